//! A line of a plan: who does what, and which entry of config.json asked for it.
#![forbid(unsafe_code)]

use super::Plan;
use super::cgroup::{Group, Property, Unit};
use serde::Serialize;
use std::path::PathBuf;
pub use step::ZString;
use step::{Device, Link};

/// A step of init, as the plan writes it.
pub type InitStep = step::Step<ZString, Vec<u8>>;

/// Where a line comes from: a JSON pointer into config.json (`/mounts/3`), or `(default)` for what every
/// container gets, or `(lifecycle)` for what the runtime itself needs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Origin(pub String);

impl Origin {
    pub const DEFAULT: &'static str = "(default)";
    pub const LIFECYCLE: &'static str = "(lifecycle)";
}

/// One line of a plan.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Line {
    pub action: Action,
    pub origin: Origin,
}

impl Line {
    /// Who: `host` or `init`.
    pub fn actor(&self) -> &'static str {
        match self.action {
            Action::Host(_) => "host",
            Action::Init(_) => "init",
        }
    }

    /// Because of what.
    pub fn origin(&self) -> &str {
        &self.origin.0
    }

    pub fn is_the_hosts(&self) -> bool {
        matches!(self.action, Action::Host(_))
    }

    /// Whether the host sends a descriptor to init with this line, or init keeps one.
    pub fn fills_slot(&self) -> bool {
        use step::Step::{BindMount, Mount, MountCgroup2, Remount};
        let step = match &self.action {
            Action::Init(
                Mount { keep, .. } | BindMount { keep, .. } | MountCgroup2 { keep, .. } | Remount { keep, .. },
            ) => return *keep,
            Action::Init(_) => return false,
            Action::Host(step) => step,
        };
        matches!(
            step,
            HostStep::OpenProcess
                | HostStep::OpenRoot
                | HostStep::OpenMount { .. }
                | HostStep::IdMapMount { .. }
                | HostStep::MakeNode { .. }
                | HostStep::NoteMount { .. }
                | HostStep::SendState { .. }
                | HostStep::ListenForStart
                | HostStep::AnswerStart
                | HostStep::ListenForExec
                | HostStep::HoldProgram
        )
    }
}

/// What a line does, and by whom.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Action {
    Host(HostStep),
    Init(InitStep),
}

/// One thing that the host's side does. Its name in kebab case is its key in JSON.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum HostStep {
    /// Make the container's cgroup in every hierarchy (absolute directories). Existing ones are taken if empty.
    CreateCgroup { groups: Vec<Group> },
    /// Write a value to a file of one of these cgroups.
    WriteCgroup { file: PathBuf, value: String, tolerate: Tolerate },
    /// cgroup v2: load the device program (BPF instructions, 8 bytes each) and attach it to the group.
    AttachDeviceProgram {
        directory: PathBuf,
        #[serde(serialize_with = "step::data::hex")]
        program: Vec<u8>,
    },
    /// Give the group to a user: the files of `/sys/kernel/cgroup/delegate` (runtime-spec, "cgroup ownership").
    ChownCgroup { directory: PathBuf, uid: u32 },
    /// Ask systemd for a transient scope with these properties and init in it.
    StartScope { unit: Unit, properties: Vec<Property> },
    /// Wait until it is there. Groups that systemd has not made (cgroup v1) are made, and init moved into them.
    /// Controllers of cgroup v2 that systemd leaves alone are enabled above the scope.
    AwaitScope { groups: Vec<Group> },
    /// Let systemd move the process into a scope, or into the group at this path in it.
    AttachToScope { unit: Unit, below: String },
    /// clone3(2) of init with these `CLONE_NEW*` flags; into the cgroup v2 directory if there is one. The
    /// `tasks` files of the cgroup v1 directories fill the first slots.
    Clone { namespaces: u32, into_cgroup: Option<PathBuf>, tasks: Vec<PathBuf> },
    /// Put init into the cgroup v2 directory, if it was not born there.
    JoinCgroup { directory: PathBuf },
    /// Write `/proc/PID/{uid_map,setgroups,gid_map}`, by newuidmap(1) and newgidmap(1) where we may not.
    WriteIdMaps { uid: Vec<IdMap>, gid: Vec<IdMap>, deny_setgroups: bool },
    /// Open a pidfd of the container's init, for an `exec` to join its namespaces: fills a slot.
    OpenProcess,
    /// Open the root directory of the container's init: fills a slot.
    OpenRoot,
    /// Open a bind source as a detached mount, id-mapped if there are maps: fills a slot. What is mounted below it
    /// later is seen on the host if it is `shared`.
    OpenMount { source: PathBuf, recursive: bool, link: Link, shared: bool, id_map: Option<IdMappedMount> },
    /// Id-map the detached mount that init has opened and hand it back: fills a slot.
    IdMapMount { id_map: IdMappedMount },
    /// Make a device node for the user namespace that init is in, which cannot make one: of these ids in it, on a filesystem that is
    /// mounted nowhere. A detached mount of it fills a slot.
    MakeNode { device: Device, mode: u32, uid: u32, gid: u32 },
    /// Write to the store which mount is about to be attached at `destination`, and hand it back: fills a slot.
    NoteMount { destination: PathBuf },
    /// Nothing: init has come this far, and its plan ends here.
    Meet,
    /// Move a network device into the container's network namespace.
    MoveNetDevice { name: String, new_name: String },
    /// Make a class of service in resctrl with these schemata. A shared one may be there, if it has them.
    MakeRdtClass { directory: PathBuf, schemata: Vec<String>, shared: bool },
    /// Make a monitoring group in resctrl.
    MakeRdtMonitor { directory: PathBuf },
    /// Put init into a group of resctrl.
    JoinRdtGroup { directory: PathBuf },
    /// Run a hook in the runtime's namespaces, the state on its standard input.
    RunHook { kind: HookKind, index: usize },
    /// Write the state for hooks that init runs to a descriptor that fills a slot.
    SendState { status: &'static str },
    /// prlimit(2) on init: raising a limit needs the host's privilege.
    SetRlimit { resource: u32, name: String, soft: u64, hard: u64 },
    /// What the step says, for init: to a fork it would have been lost.
    SetScheduler { step: InitStep },
    /// Take the console's master from init and pass it on.
    ForwardConsole,
    /// Take the seccomp listener from init and send it to the agent, with the state of the container.
    ForwardSeccompListener { path: PathBuf, metadata: String, status: &'static str },
    /// Give the standard streams that are pipes, sockets or terminals to a user of the user namespace that init is in, in which who made
    /// them may be nobody: init may not.
    ChownStreams { uid: u32 },
    /// Make the FIFO in the state directory through which init hears of `start`: fills a slot.
    ListenForStart,
    /// Make the one through which it answers: fills a slot.
    AnswerStart,
    /// Listen on a socket in the state directory for an `exec` by somebody who may not trace a created container: fills a slot.
    ListenForExec,
    /// Hold on to the embedder's program, or to a sealed copy of it if it is not sealed: fills a slot.
    HoldProgram,
    /// Write the container's pid and status to the store and to the pid file.
    SaveState,
}

/// A failure of a write that is no failure of the container.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Tolerate {
    /// None.
    Nothing,
    /// The file does not exist on this kernel and the value asks for nothing (`-1`, `0`).
    Missing,
    /// The group above forbids it (EPERM): this is asked for in its place, or nothing.
    Forbidden { value: Option<String> },
    /// The file does not exist on this kernel, and this one has taken its place.
    Otherwise { file: PathBuf, value: String },
}

/// One range of a uid_map or gid_map.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, serde::Deserialize)]
pub struct IdMap {
    pub container_id: u32,
    pub host_id: u32,
    pub size: u32,
}

/// The mapping of an id-mapped mount.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct IdMappedMount {
    pub uid: Vec<IdMap>,
    pub gid: Vec<IdMap>,
    /// The user namespace at this path has the maps; there are none of our own.
    pub of: Option<PathBuf>,
    /// Submounts too (`ridmap`).
    pub recursive: bool,
    /// For the words of an error: what of, and where it will be.
    pub source: PathBuf,
    pub target: PathBuf,
}

/// The six kinds of hooks, by their key.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub enum HookKind {
    Prestart,
    CreateRuntime,
    CreateContainer,
    StartContainer,
    Poststart,
    Poststop,
}

impl HookKind {
    /// Its key in `hooks`.
    pub fn key(self) -> &'static str {
        match self {
            HookKind::Prestart => "prestart",
            HookKind::CreateRuntime => "createRuntime",
            HookKind::CreateContainer => "createContainer",
            HookKind::StartContainer => "startContainer",
            HookKind::Poststart => "poststart",
            HookKind::Poststop => "poststop",
        }
    }
}

impl Plan {
    /// Each line with the slot that it fills.
    pub fn with_slots(&self) -> impl Iterator<Item = (&Line, Option<usize>)> {
        let mut next = 0;
        self.lines.iter().map(move |line| {
            if let Action::Host(HostStep::Clone { tasks, .. }) = &line.action {
                next += tasks.len();
            }
            let slot = line.fills_slot().then(|| {
                next += 1;
                next - 1
            });
            (line, slot)
        })
    }
}
