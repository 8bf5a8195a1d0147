//! The floor of the benchmark: makes only the system calls that the default config asks for, in a straight line.
//!
//! `floor ROOTFS CGROUP PROGRAM [ARGS]`. Not a runtime: it reads no config, checks nothing it does not have to
//! and cleans up nothing after an error. Without `main` of std, and linked statically by the benchmark, its own
//! start-up is next to nothing.
#![no_main]
use libc::{
    MS_BIND, MS_NODEV, MS_NOEXEC, MS_NOSUID, MS_PRIVATE, MS_RDONLY, MS_REC, MS_RELATIME, MS_REMOUNT, MS_SLAVE,
    MS_STRICTATIME,
};
use std::ffi::{CStr, CString, c_char, c_int, c_ulong};
use std::ptr::null;

/// Each mounted on its own here; the unified hierarchy has another way in.
const HIERARCHIES: [&str; 9] = ["cpu", "cpuacct", "cpuset", "memory", "devices", "freezer", "blkio", "pids", "systemd"];
const ALLOWED: [&str; 10] = [
    "c *:* m",
    "b *:* m",
    "c 1:3 rwm",
    "c 1:5 rwm",
    "c 1:7 rwm",
    "c 1:8 rwm",
    "c 1:9 rwm",
    "c 5:0 rwm",
    "c 136:* rwm",
    "c 5:2 rwm",
];
const DEVICES: [(&CStr, u32, u32); 6] = [
    (c"dev/null", 1, 3),
    (c"dev/zero", 1, 5),
    (c"dev/full", 1, 7),
    (c"dev/random", 1, 8),
    (c"dev/urandom", 1, 9),
    (c"dev/tty", 5, 0),
];
const LINKS: [(&CStr, &CStr); 5] = [
    (c"/proc/self/fd", c"dev/fd"),
    (c"/proc/self/fd/0", c"dev/stdin"),
    (c"/proc/self/fd/1", c"dev/stdout"),
    (c"/proc/self/fd/2", c"dev/stderr"),
    (c"pts/ptmx", c"dev/ptmx"),
];
const MASKED: [&CStr; 10] = [
    c"/proc/acpi",
    c"/proc/asound",
    c"/proc/kcore",
    c"/proc/keys",
    c"/proc/latency_stats",
    c"/proc/timer_list",
    c"/proc/timer_stats",
    c"/proc/sched_debug",
    c"/sys/firmware",
    c"/proc/scsi",
];
const READ_ONLY: [&CStr; 5] = [c"/proc/bus", c"/proc/fs", c"/proc/irq", c"/proc/sys", c"/proc/sysrq-trigger"];
/// CAP_KILL, CAP_NET_BIND_SERVICE, CAP_AUDIT_WRITE
const CAPABILITIES: u32 = 1 << 5 | 1 << 10 | 1 << 29;
const LAST_CAPABILITY: c_ulong = 40;

/// # Safety
/// Called by the C start-up code only, with the arguments as the kernel laid them out.
#[unsafe(no_mangle)]
unsafe extern "C" fn main(_count: c_int, arguments: *const *const c_char) -> c_int {
    // SAFETY: the caller's promise; the vector ends with a null pointer, which nothing here goes beyond.
    unsafe {
        let rootfs = CStr::from_ptr(*arguments.add(1));
        let cgroup = CStr::from_ptr(*arguments.add(2)).to_string_lossy();
        let directories = HIERARCHIES.map(|name| format!("/sys/fs/cgroup/{name}{cgroup}"));
        let hybrid = libc::access(c"/sys/fs/cgroup/unified/cgroup.procs".as_ptr(), libc::F_OK) == 0;
        let unified = hybrid.then(|| format!("/sys/fs/cgroup/unified{cgroup}"));
        for directory in directories.iter().chain(&unified) {
            check("mkdir", libc::mkdir(text(directory).as_ptr(), 0o755));
        }
        // A cpuset without cpus and memory takes no process.
        for file in ["cpuset.cpus", "cpuset.mems"] {
            let mut value = [0; 256];
            let parent = open(&format!("/sys/fs/cgroup/cpuset/{file}"), libc::O_RDONLY);
            let length = libc::read(parent, value.as_mut_ptr().cast(), value.len());
            write(&format!("{}/{file}", directories[2]), &value[..length.unsigned_abs()]);
            libc::close(parent);
        }
        write(&format!("{}/devices.deny", directories[4]), b"a");
        for rule in ALLOWED {
            write(&format!("{}/devices.allow", directories[4]), rule.as_bytes());
        }
        let tasks = directories.each_ref().map(|directory| open(&format!("{directory}/tasks"), libc::O_WRONLY));
        let into = unified.as_deref().map(|path| open(path, libc::O_PATH | libc::O_DIRECTORY));
        let child = clone_into(into);
        if child == 0 {
            contain(rootfs, &directories, &tasks);
            libc::execv(*arguments.add(3), arguments.add(3));
            fail("execv");
        }
        let mut status = 0;
        check("waitpid", libc::waitpid(child, &raw mut status, 0));
        for directory in directories.iter().chain(&unified) {
            check("rmdir", libc::rmdir(text(directory).as_ptr()));
        }
        libc::WEXITSTATUS(status)
    }
}

/// clone3(2) into all five namespaces and the v2 cgroup, if there is one.
unsafe fn clone_into(cgroup: Option<c_int>) -> c_int {
    let namespaces =
        libc::CLONE_NEWPID | libc::CLONE_NEWNET | libc::CLONE_NEWIPC | libc::CLONE_NEWUTS | libc::CLONE_NEWNS;
    // flags, pidfd, child_tid, parent_tid, exit_signal, stack, stack_size, tls, set_tid, set_tid_size, cgroup
    let mut arguments = [0_u64; 11];
    arguments[0] = u64::from(namespaces.unsigned_abs());
    arguments[4] = u64::from(libc::SIGCHLD.unsigned_abs());
    if let Some(cgroup) = cgroup {
        arguments[0] |= 0x2_0000_0000; // CLONE_INTO_CGROUP
        arguments[10] = u64::from(cgroup.unsigned_abs());
    }
    // SAFETY: without CLONE_VM the child has a copy of everything and there is only this thread.
    let child = unsafe { libc::syscall(libc::SYS_clone3, arguments.as_ptr(), size_of_val(&arguments)) };
    check("clone3", c_int::try_from(child).unwrap_or(-1))
}

/// In the child, up to execve.
unsafe fn contain(rootfs: &CStr, directories: &[String; 9], tasks: &[c_int; 9]) {
    // SAFETY: plain system calls on strings that end with a zero and structures of the right size.
    unsafe {
        for file in tasks {
            // Zero means the writer, which the kernel moves without waiting for a grace period.
            check("tasks", libc::write(*file, c"0".as_ptr().cast(), 1));
            libc::close(*file);
        }
        libc::setsid();
        check("sethostname", libc::sethostname(c"vessel".as_ptr(), 6));
        loopback_up();
        fill(rootfs, directories);
        pivot();
        drop_privilege();
    }
}

/// The mounts and devices of the root filesystem.
unsafe fn fill(rootfs: &CStr, directories: &[String; 9]) {
    mount(c"", c"/", c"", MS_REC | MS_SLAVE, c"");
    mount(rootfs, rootfs, c"", MS_BIND | MS_REC | MS_PRIVATE, c"");
    // SAFETY: plain system calls on strings that end with a zero.
    unsafe {
        check("chdir", libc::chdir(rootfs.as_ptr()));
        let quiet = MS_NOSUID | MS_NOEXEC;
        mount(c"proc", c"proc", c"proc", 0, c"");
        mount(c"tmpfs", c"dev", c"tmpfs", MS_NOSUID | MS_STRICTATIME, c"mode=755,size=65536k");
        for directory in [c"dev/pts", c"dev/shm", c"dev/mqueue"] {
            check("mkdir", libc::mkdir(directory.as_ptr(), 0o755));
        }
        mount(c"devpts", c"dev/pts", c"devpts", quiet, c"newinstance,ptmxmode=0666,mode=0620,gid=5");
        mount(c"shm", c"dev/shm", c"tmpfs", quiet | MS_NODEV, c"mode=1777,size=65536k");
        mount(c"mqueue", c"dev/mqueue", c"mqueue", quiet | MS_NODEV, c"");
        mount(c"sysfs", c"sys", c"sysfs", quiet | MS_NODEV | MS_RDONLY, c"");
        mount(c"cgroup", c"sys/fs/cgroup", c"tmpfs", quiet | MS_NODEV | MS_RELATIME, c"mode=755");
        for (name, directory) in HIERARCHIES.iter().zip(directories) {
            let target = text(&format!("sys/fs/cgroup/{name}"));
            check("mkdir", libc::mkdir(target.as_ptr(), 0o755));
            mount(&text(directory), &target, c"", MS_BIND, c"");
            mount(c"", &target, c"", MS_REMOUNT | MS_BIND | quiet | MS_NODEV | MS_RDONLY, c"");
        }
        mount(c"", c"sys/fs/cgroup", c"", MS_REMOUNT | MS_BIND | quiet | MS_NODEV | MS_RDONLY, c"");
        libc::umask(0);
        for (path, major, minor) in DEVICES {
            check("mknod", libc::mknod(path.as_ptr(), libc::S_IFCHR | 0o666, libc::makedev(major, minor)));
        }
        libc::umask(0o022);
        for (content, path) in LINKS {
            check("symlink", libc::symlink(content.as_ptr(), path.as_ptr()));
        }
    }
}

/// Makes the working directory the root, read-only, and its masked and read-only paths.
unsafe fn pivot() {
    // SAFETY: plain system calls on strings that end with a zero.
    unsafe {
        check("pivot_root", libc::syscall(libc::SYS_pivot_root, c".".as_ptr(), c".".as_ptr()));
        check("umount2", libc::umount2(c".".as_ptr(), libc::MNT_DETACH));
        mount(c"", c"/", c"", MS_REMOUNT | MS_BIND | MS_RDONLY, c"");
        for path in READ_ONLY {
            if libc::mount(path.as_ptr(), path.as_ptr(), null(), MS_BIND | MS_REC, null()) == 0 {
                mount(c"", path, c"", MS_REMOUNT | MS_BIND | MS_RDONLY, c"");
            }
        }
        for path in MASKED {
            // Not there, or a directory: the other way.
            if libc::mount(c"/dev/null".as_ptr(), path.as_ptr(), null(), MS_BIND, null()) != 0 {
                libc::mount(c"tmpfs".as_ptr(), path.as_ptr(), c"tmpfs".as_ptr(), MS_RDONLY, null());
            }
        }
        check("chdir", libc::chdir(c"/".as_ptr()));
    }
}

unsafe fn drop_privilege() {
    // SAFETY: plain system calls on structures of the right size.
    unsafe {
        let limit = libc::rlimit { rlim_cur: 1024, rlim_max: 1024 };
        check("setrlimit", libc::setrlimit(libc::RLIMIT_NOFILE, &raw const limit));
        for capability in
            (0..=LAST_CAPABILITY).filter(|capability| *capability > 31 || CAPABILITIES & 1 << capability == 0)
        {
            check("prctl", libc::prctl(libc::PR_CAPBSET_DROP, capability, 0, 0, 0));
        }
        check("setgroups", libc::setgroups(0, null()));
        check("setresgid", libc::setresgid(0, 0, 0));
        check("setresuid", libc::setresuid(0, 0, 0));
        let header = [0x2008_0522_u32, 0];
        let sets = [CAPABILITIES, CAPABILITIES, 0, 0, 0, 0];
        check("capset", libc::syscall(libc::SYS_capset, header.as_ptr(), sets.as_ptr()));
        check("prctl", libc::prctl(libc::PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0));
        check("close_range", libc::syscall(libc::SYS_close_range, 3, c_int::MAX, 0));
    }
}

unsafe fn loopback_up() {
    // SAFETY: an `ifreq` is a plain structure, and its name fits with the zero that ends it.
    unsafe {
        let socket = check("socket", libc::socket(libc::AF_INET, libc::SOCK_DGRAM | libc::SOCK_CLOEXEC, 0));
        let mut request: libc::ifreq = std::mem::zeroed();
        request.ifr_name[..2].copy_from_slice(&[b'l' as _, b'o' as _]);
        request.ifr_ifru.ifru_flags = 1; // IFF_UP
        check("ioctl", libc::ioctl(socket, libc::SIOCSIFFLAGS, &raw mut request));
        libc::close(socket);
    }
}

fn mount(source: &CStr, target: &CStr, kind: &CStr, flags: c_ulong, data: &CStr) {
    let data = if data.is_empty() { null() } else { data.as_ptr().cast() };
    // SAFETY: strings that end with a zero.
    check("mount", unsafe { libc::mount(source.as_ptr(), target.as_ptr(), kind.as_ptr(), flags, data) });
}

fn open(path: &str, flags: c_int) -> c_int {
    // SAFETY: a string that ends with a zero.
    check(path, unsafe { libc::open(text(path).as_ptr(), flags | libc::O_CLOEXEC) })
}

fn write(path: &str, bytes: &[u8]) {
    let file = open(path, libc::O_WRONLY);
    // SAFETY: the bytes are those of the slice.
    unsafe {
        check(path, libc::write(file, bytes.as_ptr().cast(), bytes.len()));
        libc::close(file);
    }
}

fn text(path: &str) -> CString {
    CString::new(path).unwrap_or_default()
}

fn check<T: PartialOrd + Default>(what: &str, result: T) -> T {
    if result < T::default() {
        fail(what);
    }
    result
}

fn fail(what: &str) -> ! {
    // SAFETY: a string that ends with a zero.
    unsafe {
        libc::perror(text(what).as_ptr());
        libc::_exit(1)
    }
}
