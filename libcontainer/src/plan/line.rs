//! A line of a plan: who does what, and which entry of config.json asked for it.
use std::fmt;
use std::path::PathBuf;
pub(crate) use step::ZString;

/// A step of init, as the plan writes it.
pub(crate) type InitStep = step::Step<ZString, Vec<u8>>;

/// Where a line comes from: a JSON pointer into config.json (`/mounts/3`), or `(default)` for what every
/// container gets, or `(lifecycle)` for what the runtime itself needs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Origin(pub(crate) String);

impl Origin {
    pub(crate) const DEFAULT: &'static str = "(default)";
    pub(crate) const LIFECYCLE: &'static str = "(lifecycle)";
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// One line of a plan.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Line {
    pub(crate) action: Action,
    pub(crate) origin: Origin,
}

/// What a line does, and by whom.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Action {
    Host(HostStep),
    Init(InitStep),
}

/// One thing that the host's side does.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum HostStep {
    /// Make the container's cgroup in every hierarchy (absolute directories). Existing ones are taken if empty.
    CreateCgroup { directories: Vec<PathBuf> },
    /// Write a value to a file of one of these cgroups.
    WriteCgroup {
        file: PathBuf,
        value: String,
        tolerate: Tolerate,
    },
    /// cgroup v2: load the device program (BPF instructions, 8 bytes each) and attach it to the group.
    AttachDeviceProgram {
        directory: PathBuf,
        program: Vec<u8>,
    },
    /// Give the group to a user: the files of `/sys/kernel/cgroup/delegate` (runtime-spec, "cgroup ownership").
    ChownCgroup { directory: PathBuf, uid: u32 },
    /// clone3(2) of init with these `CLONE_NEW*` flags; into the cgroup v2 directory if there is one. The
    /// `tasks` files of the cgroup v1 directories fill the first slots.
    Clone {
        namespaces: u32,
        into_cgroup: Option<PathBuf>,
        tasks: Vec<PathBuf>,
    },
    /// Write `/proc/PID/{uid_map,setgroups,gid_map}`, by newuidmap(1) and newgidmap(1) where we may not.
    WriteIdMaps { uid: Vec<IdMap>, gid: Vec<IdMap>, deny_setgroups: bool },
    /// Open a pidfd of the container's init, for an `exec` to join its namespaces: fills a slot.
    OpenProcess,
    /// Open a bind source as a detached mount, id-mapped if there are maps: fills a slot.
    OpenMount {
        source: PathBuf,
        recursive: bool,
        id_map: Option<IdMappedMount>,
    },
    /// Move a network device into the container's network namespace.
    MoveNetDevice { name: String, new_name: String },
    /// Run a hook in the runtime's namespaces, the state on its standard input.
    RunHook { kind: HookKind, index: usize },
    /// Write the state for hooks that init runs to a descriptor that fills a slot.
    SendState { status: &'static str },
    /// prlimit(2) on init: raising a limit needs the host's privilege.
    SetRlimit {
        resource: u32,
        name: String,
        soft: u64,
        hard: u64,
    },
    /// Take the console's master from init and pass it on.
    ForwardConsole,
    /// Take the seccomp listener from init and send it to the agent.
    ForwardSeccompListener { path: PathBuf, metadata: String },
    /// Listen for `start` on a socket in the state directory: fills a slot.
    ListenForStart,
    /// Write the container's pid and status to the store and to the pid file.
    SaveState,
}

/// A failure of a write that is no failure of the container.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Tolerate {
    /// None.
    Nothing,
    /// The file does not exist on this kernel and the value asks for nothing (`-1`, `0`).
    Missing,
    /// The file does not exist on this kernel, and this one has taken its place.
    Otherwise { file: PathBuf, value: String },
}

/// One range of a uid_map or gid_map.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct IdMap {
    pub container_id: u32,
    pub host_id: u32,
    pub size: u32,
}

/// The mapping of an id-mapped mount.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct IdMappedMount {
    pub uid: Vec<IdMap>,
    pub gid: Vec<IdMap>,
    /// Submounts too (`ridmap`).
    pub recursive: bool,
}

/// The six kinds of hooks, by their key.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum HookKind {
    Prestart,
    CreateRuntime,
    CreateContainer,
    StartContainer,
    Poststart,
    Poststop,
}
