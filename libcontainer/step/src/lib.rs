//! The vocabulary that plan and init share, and nothing else: what a [`Step`] is, what the two sides say to
//! each other ([`ToInit`], [`FromInit`]) and how init names what went wrong ([`Failure`]).
//!
//! The host writes steps with owned strings (`Step<ZString, Vec<u8>>`); init reads the same bytes without
//! an allocator as `Step<ZStr<'_>, &[u8]>`. Strings carry their NUL from the moment the plan is written, so
//! that neither side ever converts one.
#![cfg_attr(not(feature = "std"), no_std)]

mod call;
pub mod data;
mod text;

pub use call::Call;
pub use text::ZStr;
#[cfg(feature = "std")]
pub use text::ZString;

use serde::{Deserialize, Serialize};

/// A descriptor that the host sends to init, or that init keeps: its place in the order in which lines produce them.
pub type Slot = u16;

/// Where a bind mount comes from.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Source<S> {
    /// A path in the host's mount namespace, opened by init before it pivots.
    Path(S),
    /// A path inside the root filesystem, with what earlier lines have mounted there.
    Inside(S),
    /// A detached mount that the host has opened: for sources which root of the container's user
    /// namespace may not reach, and for id-mapped mounts, which need the host's privilege.
    Slot(Slot),
}

/// Attributes to set and to clear with `mount_setattr(2)`: `MOUNT_ATTR_*` bits.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Attributes {
    pub set: u64,
    pub clear: u64,
}

/// A device by its number.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Device {
    /// `S_IFCHR`, `S_IFBLK` or `S_IFIFO`.
    pub kind: u32,
    pub major: u32,
    pub minor: u32,
}

/// What happens where something is at the path of a device already.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Present {
    /// It stays, whatever it is: a default device is supplied, not forced.
    Stays,
    /// It has to be that device (runtime-spec, "Devices").
    IsTheDevice,
}

/// What a mount target has to be before anything is mounted there.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Target {
    /// Resolved inside the root filesystem, symbolic links followed; made if it is missing.
    Any,
    /// `/proc` and `/sys`: an ordinary directory, no symbolic link on the way (CVE-2019-19921,
    /// CVE-2023-27561: an image could otherwise choose where procfs lands).
    OrdinaryDirectory,
    /// As `Any`, and allowed inside a procfs: one of the files that lxcfs covers.
    InProc,
    /// As `Any`, and made even in the host's own `/dev`: below another mount of config.json, which has brought that in.
    InBind,
    /// It has to be there, and a symbolic link at its end is not followed but mounted on (`dest-nofollow`).
    Link,
}

/// What a mount has to say to its filesystem.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", bound(serialize = "B: data::Bytes"))]
pub enum Options<B> {
    /// `key` or `key=value`, each with its NUL, for fsconfig(2).
    Each(#[serde(serialize_with = "data::strings")] B),
    /// All of them as mount(2) takes them, with commas and a NUL, and its flags (`MS_*`): fsconfig(2) has no room for a value
    /// of more than 255 bytes.
    Whole {
        flags: u32,
        #[serde(serialize_with = "data::text")]
        data: B,
    },
}

/// A mount that is there already.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Mounted<S> {
    /// What the image, or a recursive bind mount, has brought: looked up.
    At(S),
    /// What an earlier line has mounted and kept. A path would be looked up again, and may lead elsewhere by now.
    Held(Slot),
}

/// What becomes of a symbolic link at the source of a bind mount.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Link {
    Follow,
    /// The same link is made at the target, and nothing is mounted (`copy-symlink`).
    Copy,
    /// The link itself is bound (`src-nofollow`).
    Bind,
}

/// One thing that init does, in the order written by `plan`. The name in kebab case is what `plimsoll plan` prints, and its key in JSON.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", bound(serialize = "S: Serialize, B: data::Bytes"))]
pub enum Step<S, B> {
    /// The host has work to do here: say *reached* and wait for *go*. Only where descriptors come along with *go* it takes more than
    /// write(2) and read(2), which every sensible seccomp profile allows.
    Host { fills: bool },

    // ---- entering -----------------------------------------------------------------------------
    /// Write `/proc/self/oom_score_adj`, before init belongs to any container.
    SetOomScoreAdj { value: i32 },
    /// `sched_setaffinity(2)`; an empty mask stands for all processors, which undoes what the caller inherited.
    SetCpuAffinity {
        #[serde(serialize_with = "data::bits")]
        mask: B,
    },
    /// Join cgroup v1 groups: write `0` to the `tasks` file in each slot. A single-threaded process that
    /// moves itself does not wait for an RCU grace period (kernel: `cgroup_procs_write_start`).
    JoinCgroup { first: Slot, count: u16 },
    /// `setns(2)` to the namespace at a host path, which must be of the type `namespace` (one `CLONE_NEW*` bit).
    Join { path: S, namespace: u32 },
    /// `setns(2)` to all `namespaces` (`CLONE_NEW*` bits) of the process behind the pidfd in `slot`.
    JoinProcess { slot: Slot, namespaces: u32 },
    /// Take the directory in `slot` for `/`: the root of a container that has no mount namespace.
    EnterRoot { slot: Slot },
    /// `unshare(2)`.
    Unshare { namespaces: u32 },
    /// Hold on to the pid namespace of the process behind the pidfd in `slot`, for the `pidns` of a procfs.
    OpenPidNamespace { slot: Slot },
    /// Go on as a child of the host process (`CLONE_PARENT`): membership of a pid namespace begins with a fork. What only the
    /// way there took is let go.
    Fork { namespaces: u32 },
    /// Write `/proc/self/timens_offsets`, before anything has entered the time namespace.
    SetTimeOffsets {
        #[serde(serialize_with = "data::text")]
        offsets: B,
    },
    /// Become uid 0 and gid 0 of a user namespace that has just been mapped.
    BecomeRoot,
    /// Not dumpable until execve: nothing in the container may trace init or open its descriptors (CVE-2016-9962).
    SetUndumpable,
    /// Join a new session keyring with this name (`keyctl(KEYCTL_JOIN_SESSION_KEYRING)`).
    JoinSessionKeyring { name: S },
    /// Set `lo` up in a new network namespace.
    SetLoopbackUp,

    // ---- the root filesystem ------------------------------------------------------------------
    /// Change the propagation (`MS_*`) of the whole mount tree of the new mount namespace, also of what a caller who has changed its
    /// root does not see.
    SetRootPropagation { propagation: u32 },
    /// Clone the host's null device as a read-only detached mount, to mask files with: before anything of the container could
    /// have put something else in its place (CVE-2025-31133).
    OpenNull,
    /// Clone the root filesystem at `path` as a detached mount: every later target is resolved beneath this
    /// descriptor.
    OpenRootfs { path: S },
    /// Attach it at the same place, so that it is a mount of its own in the container's mount namespace.
    AttachRootfs { path: S },
    /// Build a filesystem detached (`fsopen`, `fsconfig`, `fsmount`) and attach it; the option `pidns` alone is the pid namespace that
    /// was joined. `attributes` and `propagation` apply to the
    /// new mount.
    Mount {
        fstype: S,
        source: S,
        target: S,
        kind: Target,
        options: Options<B>,
        attributes: Attributes,
        propagation: u32,
        /// Fill the new tmpfs with what the target held (`tmpcopyup`).
        copy_up: bool,
        /// Where the kernel forbids a new one, bind this of the host's, read-only with all that is mounted below.
        or_bind: Option<S>,
        /// The mount goes to the next slot, for a later line.
        keep: bool,
    },
    /// Clone `source` as a detached mount, set its attributes, attach it. `recursive_attributes` go to
    /// submounts as well (`rro`, …).
    BindMount {
        source: Source<S>,
        target: S,
        kind: Target,
        recursive: bool,
        attributes: Attributes,
        recursive_attributes: Attributes,
        propagation: u32,
        link: Link,
        /// The mount goes to the next slot, for a later line.
        keep: bool,
    },
    /// Clone `path` inside the root filesystem as a detached mount, for the host to id-map.
    OpenSource { path: S, recursive: bool, link: Link },
    /// Build a filesystem detached, as `Mount` does, for the host to note; it comes back in a slot. `target` is what it will cover.
    MakeMount { fstype: S, source: S, target: S, options: Options<B>, copy_up: bool },
    /// Let the host see the mount in `slot`, to note it; it comes back in another.
    ShowMount { slot: Slot },
    /// The mount with this id (`STATX_MNT_ID_UNIQUE`), and nothing above it, is at `target`: or else nothing of what follows is done.
    FindMount { target: S, mount: u64 },
    /// Detach that mount, with what is mounted below it.
    Unmount { target: S, mount: u64 },
    /// Change a mount (`remount`, the `ro` of a filesystem that init still had to fill). `keep` passes what is held on to the next
    /// slot, for a later change.
    Remount {
        mount: Mounted<S>,
        attributes: Attributes,
        recursive_attributes: Attributes,
        propagation: u32,
        options: Options<B>,
        keep: bool,
    },
    /// Mount cgroup2 at `target`, or, where the kernel forbids that, bind `fallback`, the container's own group.
    MountCgroup2 {
        target: S,
        #[serde(serialize_with = "data::strings")]
        options: B,
        attributes: Attributes,
        propagation: u32,
        fallback: S,
        keep: bool,
    },
    /// `mknod(2)` at `path`. Where that is forbidden the host's node at `path` is bound, if it is this device.
    MakeDevice { path: S, device: Device, mode: u32, uid: u32, gid: u32, present: Present },
    /// Bind a device node over `path`: the host's at a path, read-only, or one that the host has made for this container.
    BindDevice { source: Source<S>, path: S, device: Device, present: Present },
    /// Make a symbolic link at `path`. What is there stays, but for a file in the way of `/dev/ptmx` if `replace`.
    Symlink { target: S, path: S, replace: bool },
    /// Make the container's working directory if it is missing.
    MakeDirectory { path: S },
    /// Hide `path`: nothing if it does not exist, an empty read-only tmpfs over a directory, the null device over anything else.
    MaskPath { path: S },
    /// Make `path` and what is mounted below it read-only; nothing if it does not exist.
    ReadonlyPath { path: S },
    /// Write `value` to `/proc/sys/<key>` of a procfs that no container has touched.
    WriteSysctl { key: S, value: S },
    /// `sethostname(2)`.
    SetHostname { name: S },
    /// `setdomainname(2)`.
    SetDomainname { name: S },
    /// Make the root filesystem `/` with `pivot_root(2)` and let the old root go.
    PivotRoot,
    /// The same with `MS_MOVE` and `chroot(2)`, for a root on an initramfs (`--no-pivot`).
    MoveRoot,
    /// `chroot(2)` only: the container has no mount namespace of its own.
    ChangeRoot,
    /// Make the root filesystem read-only.
    SetRootReadonly,
    /// Change the propagation of `/` once it is the container's.
    SetPropagation { propagation: u32 },

    // ---- the process --------------------------------------------------------------------------
    /// `setsid(2)`.
    NewSession,
    /// Open a pty in the container's devpts, make it the standard streams, and hand its master to the host with
    /// *reached* of the next host line. `on_dev_console` also binds it over `/dev/console`.
    OpenConsole { height: u16, width: u16, uid: u32, on_dev_console: bool },
    /// Open the standard streams that are the host's null device, or another that every container has, anew from the container's
    /// own: through the host's node its mode, owner and times could be changed.
    ReopenStreams,
    /// `TIOCSCTTY`: the standard streams are the session's terminal.
    SetControllingTerminal,
    /// `fchown` the standard streams that are pipes, sockets or terminals to the container's user.
    ChownStdio { uid: u32 },
    /// `umask(2)`.
    SetUmask { mask: u32 },
    /// `setrlimit(2)` with the number of a resource, while there still is the privilege to raise one.
    SetRlimit { resource: u32, soft: u64, hard: u64 },
    /// Raise a limit, soft and hard, to `to` or to the hard one that there is, if that is more, as far as there is the privilege.
    RaiseRlimit { resource: u32, to: u64 },
    /// `sched_setattr(2)`.
    SetScheduler { policy: u32, flags: u64, nice: i32, priority: u32, runtime: u64, deadline: u64, period: u64 },
    /// `ioprio_set(2)` for this process.
    SetIoPriority { value: u32 },
    /// `personality(2)`.
    SetPersonality { domain: u32 },
    /// `set_mempolicy(2)`; `nodes` is a bit mask of native words.
    SetMemoryPolicy {
        mode: u32,
        #[serde(serialize_with = "data::bits")]
        nodes: B,
    },
    /// Label that the program gets at `execve`: `lsm_set_self_attr(2)`, or the host's procfs where that is missing.
    SetExecLabel { lsm: Lsm, label: S },
    /// `PR_SET_NO_NEW_PRIVS`.
    SetNoNewPrivs,
    /// Drop every capability that is not in `keep` from the bounding set.
    DropBoundingSet { keep: u64 },
    /// Change to `cwd`, which has to be inside the root filesystem afterwards (CVE-2024-21626). Where root
    /// may not enter, the user of the process is tried.
    Chdir { path: S, uid: u32, gid: u32 },
    /// `setgroups(2)`; `gids` are native u32s. Also when empty: the caller's groups must not stay.
    SetGroups {
        #[serde(serialize_with = "data::numbers")]
        gids: B,
    },
    /// `setresgid(2)`, `setresuid(2)`, keeping capabilities for the next step.
    SetIds { uid: u32, gid: u32 },
    /// `capset(2)` and the ambient set, then read back and compared.
    SetCapabilities { effective: u64, permitted: u64, inheritable: u64, ambient: u64 },
    /// `capset(2)` and nothing else: keeps of what `SetCapabilities` has set what is in these sets too.
    KeepCapabilities { effective: u64, permitted: u64 },
    /// `seccomp(SECCOMP_SET_MODE_FILTER)`; `filter` is an array of `sock_filter`. A listener's descriptor
    /// rides on *reached* of the next host line.
    LoadSeccomp {
        flags: u32,
        #[serde(serialize_with = "data::hex")]
        filter: B,
    },
    /// Set `HOME` from the container's `/etc/passwd`; `/` where it says nothing. Only planned if the environment has none.
    DefaultHome { uid: u32 },
    /// Find the program as `execvp(3)` would, in `search` (`PATH` of the container), so that a missing one fails `create`.
    ResolveProgram { name: S, search: S },
    /// Run a hook in the container's namespaces with the state in `state` as its standard input.
    /// `timeout` is in seconds, 0 for none.
    /// `process_env` is set if `env` is the process's: its `HOME` belongs to it then.
    RunHook {
        path: S,
        #[serde(serialize_with = "data::strings")]
        argv: B,
        #[serde(serialize_with = "data::strings")]
        env: B,
        process_env: bool,
        timeout: u32,
        state: Slot,
    },
    /// Open its own namespaces (`CLONE_NEW*` bits), while the host's procfs can be reached, for an `exec` into the container that
    /// the kernel would not let trace it.
    HoldNamespaces { namespaces: u32 },
    /// Do ahead of the filter what waiting takes: a signal that asks the container to end ends it, and the stack is given back.
    PrepareToWait,
    /// The container is `created`. Read from the FIFO in `start` until it says that the program shall run; what fails from here on
    /// is written to the FIFO in `said`. Who asks for it gets the namespaces that are held over the listening socket in `door`.
    AwaitStart { start: Slot, said: Slot, door: Option<Slot> },
    /// Really close (close-on-exec would be too late: `/proc/self/fd` is still there while the path is
    /// resolved) everything above the standard streams but `preserve` descriptors.
    CloseDescriptors { preserve: u32 },
    /// Do ahead of the filter what `execve` takes: the umask, and memory for so many pointers.
    PrepareExec { pointers: u32 },
    /// Say that nothing but `execve` comes now (and a filter that does not let init say it later): who hears this and then that the
    /// other end is closed knows that the program runs.
    AnnounceExec,
    /// `execve(2)`: `argv` and `env` are NUL-terminated strings, one after another. Of the program in a slot, if there is one, by
    /// `execveat(2)`.
    Exec {
        program: Option<Slot>,
        #[serde(serialize_with = "data::strings")]
        argv: B,
        #[serde(serialize_with = "data::strings")]
        env: B,
    },
}

/// Whose label an exec label is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Lsm {
    Apparmor,
    Selinux,
}

/// What the host says. Descriptors may ride on both; they fill the next slots in order.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum ToInit {
    /// First: so many bytes of plan follow, in messages of at most [`CHUNK`] bytes. Init tells of the lines before `trace` when
    /// it has finished them; 0 for none.
    Plan { len: u32, trace: u16 },
    /// The host lines are done; go on.
    Go,
}

/// What init says.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum FromInit<'a> {
    /// Init stands before this line, which is the host's. A descriptor (console, seccomp listener) may ride on it.
    Reached { line: u16 },
    /// Init has finished this line at this time (nanoseconds of `CLOCK_MONOTONIC`), and has not waited for an answer. Of a line
    /// that is none it says so when it has started.
    Passed { line: u16, nanoseconds: u64 },
    /// Init goes on as this pid (of the host's pid namespace): `Step::Fork`. May overtake what the new process says.
    Forked { pid: i32 },
    /// Init executes the program: if it is closed without another word, it has.
    Executing,
    /// These are init's last words.
    #[serde(borrow)]
    Failed(Failure<'a>),
}

/// Which line failed, in which call, with which errno; in the kernel's words where there are any.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Failure<'a> {
    pub line: u16,
    pub call: Call,
    pub errno: u16,
    /// What the filesystem context said (fsopen(2), "Message retrieval"), which path or option it was, or a hook's status.
    #[serde(borrow)]
    pub detail: &'a [u8],
}

/// What is written to the FIFO that a created init reads from.
pub mod word {
    /// Run the program.
    pub const START: u8 = b's';
    /// Accept a connection on the door, and send the namespaces that are held over it.
    pub const JOIN: u8 = b'j';
}

/// The most that [`Failure::detail`] holds, in bytes.
pub const DETAIL: usize = 512;
/// The most that one message holds, in bytes.
pub const CHUNK: usize = 32 * 1024;
/// The most descriptors that init holds at once.
pub const HELD: usize = 256;
/// The most descriptors that ride on one message (the kernel's `SCM_MAX_FD` is 253).
pub const DESCRIPTORS: usize = 64;
/// Go's words, which runc's callers know, for signals that end programs.
pub const SIGNALS: &[(i32, &str)] = &[
    (1, "hangup"),
    (2, "interrupt"),
    (3, "quit"),
    (4, "illegal instruction"),
    (5, "trace/breakpoint trap"),
    (6, "aborted"),
    (7, "bus error"),
    (8, "floating point exception"),
    (9, "killed"),
    (11, "segmentation fault"),
    (13, "broken pipe"),
    (14, "alarm clock"),
    (15, "terminated"),
    (31, "bad system call"),
];
