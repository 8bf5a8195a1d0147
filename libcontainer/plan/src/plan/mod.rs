//! Deciding: what host and init do, in which order, and which entry of config.json asked for it.
//!
//! Nothing here touches the host. The same spec and facts give the same lines, on every machine and without root;
//! what is printed is what `create` executes. This file is the table of contents: the order of everything, and why.
#![forbid(unsafe_code)]

mod apparmor;
mod capabilities;
pub mod cgroup;
mod cpu_affinity;
mod data;
mod devices;
mod exec_groups;
mod external;
mod hooks;
mod hostname;
mod id_mappings;
mod intel_rdt;
mod io_priority;
#[cfg(any(test, fuzzing, feature = "laws"))]
pub mod laws;
pub mod line;
mod masked_paths;
mod memory_policy;
pub mod mount_options;
mod mounts;
mod namespaces;
mod net_devices;
mod no_new_privileges;
mod notify;
mod oom_score_adj;
mod personality;
mod process;
mod readonly_paths;
mod rlimits;
mod root;
mod running_mounts;
mod scheduler;
mod seccomp;
mod selinux;
mod slots;
mod sysctl;
mod terminal;
#[cfg(test)]
pub mod tests;
mod time_offsets;
mod user;
mod wait;
mod words;

pub use capabilities::{ALL as ALL_CAPABILITIES, NAMES as CAPABILITY_NAMES};
pub use cgroup::manager::CgroupManager;
pub use exec_groups::ExecPlanOptions;
pub use external::ExternalMount;
pub use hooks::of as hooks_of;
pub use id_mappings::of as id_mappings_of;
pub use intel_rdt::class as rdt_class;
pub use line::Line;
pub use memory_policy::{MEMORY_POLICY_FLAGS, MEMORY_POLICY_MODES};
pub use mounts::{clean as clean_path, is_bind};
pub use namespaces::{asked as asked_namespace, file as namespace_file};
pub use notify::SOCKET as NOTIFY_SOCKET;
pub use running_mounts::{add_mounts, find_mounts, mount_target, remove_mounts};
pub use sysctl::path_of as sysctl_path;
pub use terminal::has_terminal;
pub use wait::{DOOR, SAID, START};
pub use words::EnvValues;

use crate::facts::HostFacts;
use crate::{Bundle, Error, Result, validate};
use capabilities::Granted;
use cgroup::ScopeLines;
use exec_groups::ExecGroups;
use line::{Action, HostStep, InitStep, Origin, ZString};
use namespaces::Namespaces;
use oci_spec::runtime::{Linux, Process, Spec};
use seccomp::Filter;
use slots::Slots;
use std::borrow::Cow;
use std::path::{Path, PathBuf};

/// What is going to happen, line by line.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Plan {
    pub lines: Vec<Line>,
    /// The container's groups, for the store. None for an `exec`.
    pub cgroups: Vec<cgroup::Group>,
    /// The scope that they belong to, if systemd makes them.
    pub unit: Option<cgroup::Unit>,
    /// Groups of resctrl that go with the container, for the store.
    pub intel_rdt: Vec<PathBuf>,
}

/// What a plan depends on besides config.json and the host.
#[derive(Debug, Clone, Default, serde::Serialize, serde::Deserialize)]
pub struct PlanOptions {
    /// The container's id: names its cgroup and its keyring.
    pub id: String,
    /// `MS_MOVE` and `chroot` instead of `pivot_root`.
    pub no_pivot: bool,
    /// Keep the caller's session keyring.
    pub no_new_keyring: bool,
    /// So many descriptors from 3 on stay open in the container …
    pub preserve_fds: u32,
    /// … after these of systemd's socket activation, which the container is told of in `LISTEN_FDS`.
    pub listen_fds: u32,
    /// The program is the embedder's, and executed by its descriptor.
    #[serde(default)]
    pub program: bool,
    /// The directory of a socket for sd_notify(3), which is mounted into the container.
    #[serde(default)]
    pub notify: Option<PathBuf>,
    /// Who makes the container's cgroups.
    pub cgroup_manager: CgroupManager,
    /// Whether a caller who may not make cgroups goes without those that nobody asked for; `None`: if it is not root of the host.
    /// Root of the host never goes without: the device rules are at stake.
    #[serde(default)]
    pub rootless: Option<bool>,
}

impl PlanOptions {
    /// The host as the cgroups see it.
    fn cgroup_facts<'a>(&self, facts: &'a HostFacts) -> Cow<'a, HostFacts> {
        match self.rootless {
            Some(false) => Cow::Owned(HostFacts { privileged: true, in_user_namespace: false, ..facts.clone() }),
            _ => Cow::Borrowed(facts),
        }
    }
}

impl Plan {
    /// The plan of `create` and `start` for a bundle: what `plimsoll plan` prints.
    pub fn new(bundle: &Bundle, facts: &HostFacts, options: &PlanOptions) -> Result<Plan> {
        create(bundle.path(), bundle.spec(), facts, options)
    }

    /// The plan of `exec` for a process in a container of this bundle: what `plimsoll plan --exec` prints.
    pub fn exec(bundle: &Bundle, process: &Process, facts: &HostFacts, options: &PlanOptions) -> Result<Plan> {
        let cgroup = cgroup::plan(bundle.spec(), &options.cgroup_facts(facts), &options.id, options.cgroup_manager)?;
        let mut planned = ExecPlanOptions { preserve_fds: options.preserve_fds, ..ExecPlanOptions::default() };
        for group in &cgroup.groups {
            planned.join(group, group.directory.clone());
        }
        planned.through_systemd(cgroup.scope.as_ref().map(|scope| &scope.unit), &cgroup.groups, facts);
        exec(bundle.spec(), process, facts, &planned)
    }

    /// The lines, in order.
    pub fn lines(&self) -> &[Line] {
        &self.lines
    }
}

/// What a part of the plan may look at.
struct Context<'a> {
    bundle: &'a Path,
    spec: &'a Spec,
    facts: &'a HostFacts,
    options: &'a PlanOptions,
    namespaces: Namespaces<'a>,
}

impl<'a> Context<'a> {
    fn linux(&self) -> Option<&'a Linux> {
        self.spec.linux().as_ref()
    }

    /// Init becomes a member of the container's pid namespace last.
    fn forks_late(&self) -> bool {
        self.namespaces.forks_late(self.spec, self.facts)
    }

    /// The container's root belongs to another user namespace than the host's.
    fn in_user_namespace(&self) -> bool {
        self.namespaces.has(namespaces::USER) || self.facts.in_user_namespace
    }
}

/// The plan of `create`, which ends with what `start` lets happen.
pub fn create(bundle: &Path, spec: &Spec, facts: &HostFacts, options: &PlanOptions) -> Result<Plan> {
    validate::spec(spec)?;
    let with_socket = options.notify.as_deref().map(|directory| notify::with_socket(spec, directory));
    let spec = with_socket.as_ref().unwrap_or(spec);
    let context = Context { bundle, spec, facts, options, namespaces: Namespaces::of(spec) };
    let cgroup = cgroup::plan(spec, &options.cgroup_facts(facts), &options.id, options.cgroup_manager)?;
    let mut slots = Slots::after(&cgroup.tasks)?;
    let process = spec.process().as_ref();
    let capabilities = process.map(|process| Granted::of(spec, process, facts));
    let mut filter = Filter::of(spec, process.zip(capabilities.as_ref()), "creating", options.program)?;
    let wait = wait::plan(&context, &filter, &mut slots)?;
    let program = process::held(options.program && process.is_some(), &mut slots)?;
    let mounts = mounts::plan(&context, &cgroup, &mut slots)?;
    let mut lines = Vec::new();

    // The group and its limits are there before the first process is; but for one that leaves init no room to fork.
    let entry = context.namespaces.enter(&context)?;
    let forks = entry.iter().any(|line| matches!(line.action, Action::Init(InitStep::Fork { .. })));
    let late_fork = context.forks_late().then(|| context.namespaces.fork(0));
    let is_tight = |line: &Line| (forks || late_fork.is_some()) && is_one_process(line);
    let (mut tight, limits): (Vec<_>, Vec<_>) = cgroup.lines.into_iter().partition(is_tight);
    lines.extend(limits);
    lines.push(context.namespaces.clone_line(cgroup.into_cgroup, &cgroup.tasks));
    // Here they cost no round trip, and need no call that a filter might deny.
    lines.extend(wait.opened);
    lines.extend(program.map(|_| host(HostStep::HoldProgram, Origin::LIFECYCLE)));
    // At once, as systemd takes its time; but a scope whose only process ends is no more, so not before a fork that it has to
    // outlive. (A late one comes when the scope is there, and leaves it a process.)
    let (unit, start, mut settled) = match cgroup.scope {
        Some(ScopeLines { unit, start, settled }) => (Some(unit), Some(start), settled),
        None => (None, None, Vec::new()),
    };
    settled.extend(context.namespaces.unshare_cgroup(options.cgroup_manager));
    let (start, late_start) = if forks { (None, start) } else { (start, None) };
    lines.extend(start);

    // Lowering it takes CAP_SYS_RESOURCE on the host; and whatever is killed from here on is killed as the container.
    lines.extend(oom_score_adj::lines(process));
    // What the caller was pinned to is no concern of the container (its cpuset still holds).
    lines.push(cpu_affinity::all());
    // While single-threaded and still root on the host: writing `0` to `tasks` then waits for nobody.
    lines.extend(cgroup::join(0..cgroup.tasks.len())?);
    lines.extend(entry);
    if late_fork.is_none() {
        lines.append(&mut tight);
    }
    lines.extend(late_start);
    lines.extend(process::keyring(options)?);
    if context.namespaces.is_new(namespaces::NETWORK) {
        lines.push(init(InitStep::SetLoopbackUp, context.namespaces.origin(namespaces::NETWORK)));
    }
    // No hook may find the group, the namespaces or the network unready.
    let rdt = intel_rdt::plan(&context)?;
    lines.extend(rdt.lines);

    lines.extend(root::prepare(&context)?);
    lines.extend(mounts::once_settled(mounts.lines, settled));
    // After the mounts: /dev is usually one of them.
    lines.extend(devices::lines(&context, &mut slots)?);
    // As soon as the container has devices of its own, and before it may have lost the caller's terminal.
    lines.extend(process.and_then(user::reopen_streams));
    // Late: of what has failed before, no device is a victim. Virtual ones end with the namespace.
    lines.extend(net_devices::lines(&context)?);
    // The container's root is complete, but is not `/` yet: what the spec promises to these hooks.
    lines.extend(hooks::before_pivot(&context, &mut slots)?);
    // While the host's procfs can be reached: the container's own may be mounted over, or read-only.
    lines.extend(sysctl::lines(&context)?);
    lines.extend(wait.held);
    lines.extend(root::pivot(&context)?);

    // Before anything becomes read-only: /dev/console may have to be made.
    let console_is_free = !mounts::targets(&context).any(|target| target == Path::new("/dev/console"));
    lines.extend(terminal::lines(process, console_is_free)?);
    lines.extend(process::make_cwd(process)?);
    lines.extend(hostname::lines(spec)?);
    lines.extend(readonly_paths::lines(spec)?);
    lines.extend(masked_paths::lines(spec)?);
    // Filled by now.
    lines.extend(mounts.finally);
    lines.extend(root::finish(&context)?);

    let forks = late_fork.is_some();
    if let Some((process, capabilities)) = process.zip(capabilities.as_ref()) {
        lines.extend(identity(spec, process, facts, capabilities, &filter, forks)?);
        lines.extend(process::ready(process, options.preserve_fds, options.listen_fds)?);
    }
    lines.push(init(InitStep::PrepareToWait, Origin::LIFECYCLE));
    if let Some(capabilities) = capabilities.as_ref().filter(|_| forks) {
        lines.extend(filter.before_fork(capabilities));
    }
    // From here on others in the pid namespace see a process that has nothing but what its program gets.
    lines.extend(late_fork);
    if let Some(process) = process.filter(|_| forks) {
        lines.extend(rlimits::after_fork(process, context.namespaces.has(namespaces::USER)));
        lines.extend(scheduler::after_fork(process)?);
    }
    lines.append(&mut tight);
    lines.extend(terminal::session(process));
    let (state, send_state) = hooks::start_state(spec, &mut slots)?.unzip();
    lines.extend(send_state);
    let hooks = hooks::start_container(spec, state)?;
    let (limits, late_limits) = rlimits::tight(process, !hooks.is_empty() && filter.allows_limits());
    lines.extend(limits);
    // A created container is as hard as a running one: from here on init does nothing that a sensible profile denies.
    lines.extend(filter.early());
    // Adjacent to the next, so that it costs no round trip.
    lines.extend(process.and_then(|process| user::chown_streams(spec, process, facts)));
    lines.push(host(HostStep::SaveState, Origin::LIFECYCLE));
    lines.push(wait.line);
    // What the hooks run is under the filter as well, as with runc, unless that comes last of all.
    lines.extend(hooks);
    lines.extend(late_limits);
    if let Some(process) = process {
        lines.extend(filter.announcement());
        lines.extend(filter.late());
        lines.push(process::exec(process, options.listen_fds, program)?);
    }
    notify::disown(&mut lines, spec, &options.notify);
    Ok(Plan { lines, cgroups: cgroup.groups, unit, intel_rdt: rdt.own })
}

/// The plan that makes in the root filesystem what the mounts of `create` need, and mounts them for nobody: CRIU, which restores
/// a container's mounts, wants their targets to be there. The process ends with the last line.
pub fn mount_targets(bundle: &Path, spec: &Spec, facts: &HostFacts, options: &PlanOptions) -> Result<Plan> {
    let with_socket = options.notify.as_deref().map(|directory| notify::with_socket(spec, directory));
    let spec = with_socket.as_ref().unwrap_or(spec);
    let context = Context { bundle, spec, facts, options, namespaces: Namespaces::of(spec) };
    let cgroup = cgroup::plan(spec, &options.cgroup_facts(facts), &options.id, options.cgroup_manager)?;
    let mut slots = Slots::after(&[])?;
    let mounts = mounts::plan(&context, &cgroup, &mut slots)?;
    let mut lines = vec![context.namespaces.clone_line(None, &[])];
    lines.extend(context.namespaces.enter(&context)?);
    // A mount of cgroup2 in the first cgroup namespace would set its options for the host.
    lines.extend(context.namespaces.unshare_cgroup(options.cgroup_manager));
    lines.extend(root::prepare(&context)?);
    lines.extend(mounts.lines);
    lines.extend(devices::lines(&context, &mut slots)?);
    // The host hears that it has come this far.
    lines.push(host(HostStep::Meet, Origin::LIFECYCLE));
    notify::disown(&mut lines, spec, &options.notify);
    Ok(Plan { lines, ..Plan::default() })
}

/// A group may have a single process.
fn is_one_process(line: &Line) -> bool {
    matches!(&line.action, Action::Host(HostStep::WriteCgroup { file, value, .. }) if file.ends_with("pids.max") && value == "1")
}

/// The plan of `exec`: into the container, and from there on the lines of `create`.
pub fn exec(spec: &Spec, process: &Process, facts: &HostFacts, options: &ExecPlanOptions) -> Result<Plan> {
    let process = &process::inherit(process, spec);
    validate::process(process)?;
    let mut namespaces = Namespaces::of(spec);
    if options.time_namespace {
        namespaces.add(namespaces::TIME);
    }
    let mut groups = ExecGroups::of(process, facts, namespaces.has(namespaces::PID), options)?;
    let mut slots = Slots::after(&groups.tasks)?;
    let (into_cgroup, tasks) = (groups.born_in.take(), std::mem::take(&mut groups.tasks));
    let mut lines = vec![host(HostStep::Clone { namespaces: 0, into_cgroup, tasks }, Origin::LIFECYCLE)];
    let entry = namespaces.enter_container(spec, &mut slots)?;
    lines.extend(entry.opened);
    let program = process::held(options.program, &mut slots)?;
    lines.extend(program.map(|_| host(HostStep::HoldProgram, Origin::LIFECYCLE)));
    lines.extend(oom_score_adj::lines(Some(process)));
    // "initial" holds until the process is in the container's cgroup, "final" from there on (config.md).
    lines.push(cpu_affinity::initial(process)?);
    lines.extend(groups.early);
    lines.extend(entry.lines);
    lines.extend(user::reopen_streams(process));
    let mut console = terminal::lines(Some(process), false)?.into_iter();
    lines.extend(console.next());
    let capabilities = Granted::of(spec, process, facts);
    let mut filter = Filter::of(spec, Some((process, &capabilities)), "running", options.program)?;
    let forks = entry.fork.is_some();
    lines.extend(identity(spec, process, facts, &capabilities, &filter, forks)?);
    lines.extend(process::ready(process, options.preserve_fds, 0)?);
    if forks {
        lines.extend(filter.before_fork(&capabilities));
    }
    // From here on the container sees a process that has nothing but what its program gets.
    lines.extend(entry.fork);
    let (by_host, by_init): (Vec<_>, Vec<_>) = groups.late.into_iter().partition(Line::is_the_hosts);
    lines.extend(by_init);
    if forks {
        lines.extend(rlimits::after_fork(process, namespaces.has(namespaces::USER)));
        lines.extend(scheduler::after_fork(process)?);
    }
    lines.extend(terminal::session(Some(process)));
    lines.extend(by_host);
    lines.extend(console);
    lines.extend(groups.settled);
    lines.extend(rlimits::tight(Some(process), false).0);
    lines.extend(filter.early());
    lines.extend(user::chown_streams(spec, process, facts));
    lines.push(host(HostStep::SaveState, Origin::LIFECYCLE));
    lines.extend(filter.announcement());
    lines.extend(filter.late());
    lines.push(process::exec(process, 0, program)?);
    Ok(Plan { lines, ..Plan::default() })
}

/// Who the process is and what it may do: the same for `create` and `exec`. The `filter` is loaded after it; whether init `forks`
/// then matters to what a fork is measured by, or does not hand on.
fn identity(
    spec: &Spec,
    process: &Process,
    facts: &HostFacts,
    capabilities: &Granted,
    filter: &Filter,
    forks: bool,
) -> Result<Vec<Line>> {
    let mut lines = Vec::new();
    // These four may need CAP_SYS_NICE or CAP_SYS_ADMIN.
    lines.extend(scheduler::lines(process, forks)?);
    lines.extend(io_priority::lines(process)?);
    lines.extend(personality::lines(spec)?);
    lines.extend(memory_policy::lines(spec)?);
    lines.extend(user::umask(process));
    // Before the filter, which may not know lsm_set_self_attr(2). They take effect at execve.
    lines.extend(apparmor::lines(process)?);
    lines.extend(selinux::lines(process)?);
    lines.extend(user::chown_stdio(spec, process, facts));

    // Takes CAP_SETPCAP, so it comes before the capabilities.
    lines.push(capabilities.bounding());
    // As root, who may pass directories which the user of the process may not.
    lines.extend(process::chdir(process)?);
    // Before the privilege to raise one is gone; late, as the small ones (RLIMIT_NOFILE, RLIMIT_AS) hit init too.
    lines.extend(rlimits::lines(process, Namespaces::of(spec).has(namespaces::USER), forks));
    // Groups first: changing them takes CAP_SETGID, which is as good as gone after SetIds.
    lines.extend(user::groups(spec, process, facts)?);
    lines.push(user::ids(spec, process)?);
    lines.push(filter.sets(capabilities));
    // Both look at files as the user of the process.
    lines.extend(process::home(process));
    lines.extend(filter.executes_by_name().then(|| process::resolve(process)).transpose()?);
    lines.extend(no_new_privileges::lines(process));
    Ok(lines)
}

/// A line of init.
fn init(step: InitStep, origin: impl Into<String>) -> Line {
    Line { action: Action::Init(step), origin: Origin(origin.into()) }
}

/// A line of the host.
fn host(step: HostStep, origin: impl Into<String>) -> Line {
    Line { action: Action::Host(step), origin: Origin(origin.into()) }
}

/// A string as the kernel takes it. `Bundle` has ruled out NULs, but a `Spec` can also be made by a program.
fn z(text: impl AsRef<std::ffi::OsStr>, origin: &str) -> Result<ZString> {
    let nul = |_| Error::config(origin, "a string must not contain a NUL");
    ZString::new(text.as_ref().as_encoded_bytes()).map_err(nul)
}

/// Strings as one block, each with its NUL.
fn block<T: AsRef<std::ffi::OsStr>>(texts: impl IntoIterator<Item = T>, origin: &str) -> Result<Vec<u8>> {
    let mut block = Vec::new();
    for text in texts {
        block.extend_from_slice(z(text, origin)?.0.as_bytes_with_nul());
    }
    Ok(block)
}

/// In Go, whose configurations these are, an empty string is as good as none.
fn given(text: &Option<String>) -> Option<&str> {
    text.as_deref().filter(|text| !text.is_empty())
}
