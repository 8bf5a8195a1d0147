//! The calls that init makes, by the names in the manual.
use serde::{Deserialize, Serialize};

macro_rules! calls {
    ($($variant:ident = $name:literal),* $(,)?) => {
        /// A system call, or another action of init that can fail.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
        pub enum Call { $(#[doc = $name] $variant),* }

        impl Call {
            /// The name in the manual.
            pub fn name(self) -> &'static str {
                match self { $(Call::$variant => $name),* }
            }
        }
    };
}

calls! {
    Accept = "accept4", Bind = "bind", Bounding = "prctl(PR_CAPBSET_DROP)", Ambient = "prctl(PR_CAP_AMBIENT_RAISE)",
    Capget = "capget", Capset = "capset", Chdir = "fchdir", Chown = "fchown", Chmod = "fchmod", Chroot = "chroot",
    Clone = "clone", Clone3 = "clone3", CloseRange = "close_range", Decode = "decode", Dup3 = "dup3", Execve = "execve", Execveat = "execveat", Fcntl = "fcntl", Fork = "fork",
    Fsconfig = "fsconfig", Fsmount = "fsmount", Fsopen = "fsopen", Fspick = "fspick", Fstat = "fstat", Getcwd = "getcwd",
    Getdents = "getdents64", HostDev = "make it in the host's own /dev", Ioctl = "ioctl", IoprioSet = "ioprio_set", Keyctl = "keyctl", Linkat = "linkat",
    LsmSetSelfAttr = "lsm_set_self_attr", Mkdir = "mkdirat", Mknod = "mknodat", Mmap = "mmap", Mount = "mount",
    MountSetattr = "mount_setattr", MoveMount = "move_mount", Open = "open", OpenTree = "open_tree", Openat2 = "openat2",
    Panic = "panic", Personality = "personality", Pidfd = "pidfd_open", PivotRoot = "pivot_root", Poll = "ppoll",
    Prctl = "prctl", Read = "read", Readlink = "readlinkat", Recvmsg = "recvmsg", Rename = "renameat2",
    ResolveProgram = "faccessat2", SchedSetaffinity = "sched_setaffinity", SchedSetattr = "sched_setattr",
    Seccomp = "seccomp", Sendmsg = "sendmsg", SetMempolicy = "set_mempolicy", Setdomainname = "setdomainname",
    Setgroups = "setgroups", Sethostname = "sethostname", Setns = "setns", Setresgid = "setresgid",
    Setresuid = "setresuid", Setsid = "setsid", Setrlimit = "setrlimit", Sigaction = "rt_sigaction", Socket = "socket", Statfs = "fstatfs", Statx = "statx",
    Symlink = "symlinkat", Umount = "umount2", Unlink = "unlinkat", Unshare = "unshare", Wait = "waitid", Write = "write",
}
