//! [Namespaces](https://github.com/opencontainers/runtime-spec/blob/v1.3.0/config-linux.md#namespaces): which to
//! make, which to join, in which order, and how often to fork.
#![forbid(unsafe_code)]

use super::line::{HookKind, HostStep, IdMap, InitStep, Line, Origin};
use super::{Context, Slots, hooks, host, id_mappings, init, mounts, time_offsets, z};
use crate::CgroupManager;
use crate::{HostFacts, Result};
use oci_spec::runtime::{LinuxNamespaceType, Spec};
use std::path::{Path, PathBuf};

pub(super) const MOUNT: u32 = LinuxNamespaceType::Mount as u32;
pub(super) const CGROUP: u32 = LinuxNamespaceType::Cgroup as u32;
pub(super) const USER: u32 = LinuxNamespaceType::User as u32;
pub(super) const PID: u32 = LinuxNamespaceType::Pid as u32;
pub(super) const NETWORK: u32 = LinuxNamespaceType::Network as u32;
pub(super) const TIME: u32 = LinuxNamespaceType::Time as u32;

/// The namespaces of a container, by their `CLONE_NEW*` bits.
pub(super) struct Namespaces<'a> {
    new: u32,
    joined: Vec<Joined<'a>>,
    listed: Vec<u32>,
}

/// How an `exec` gets in: what the host opens for it, and what init does.
pub(super) struct ContainerEntry {
    pub(super) opened: Vec<Line>,
    pub(super) lines: Vec<Line>,
    /// Once it holds nothing that the container has not.
    pub(super) fork: Option<Line>,
}

struct Joined<'a> {
    namespace: u32,
    path: &'a Path,
}

impl<'a> Namespaces<'a> {
    pub(super) fn of(spec: &'a Spec) -> Namespaces<'a> {
        let mut namespaces = Namespaces { new: 0, joined: Vec::new(), listed: Vec::new() };
        let listed = spec.linux().as_ref().and_then(|linux| linux.namespaces().as_deref());
        for entry in listed.unwrap_or_default() {
            let namespace = entry.typ() as u32;
            namespaces.listed.push(namespace);
            match entry.path().as_deref().filter(|path| !path.as_os_str().is_empty()) {
                Some(path) => namespaces.joined.push(Joined { namespace, path }),
                None => namespaces.new |= namespace,
            }
        }
        namespaces
    }

    /// One that config.json does not know of.
    pub(super) fn add(&mut self, namespace: u32) {
        self.new |= namespace;
    }

    /// The container has one that is new.
    pub(super) fn is_new(&self, namespace: u32) -> bool {
        self.new & namespace != 0
    }

    /// The container has one that is not the runtime's: new or joined by path.
    pub(super) fn has(&self, namespace: u32) -> bool {
        self.is_new(namespace) || self.joined.iter().any(|joined| joined.namespace == namespace)
    }

    /// The path of the one that is joined.
    pub(super) fn joined(&self, namespace: u32) -> Option<&'a Path> {
        self.joined.iter().find(|joined| joined.namespace == namespace).map(|joined| joined.path)
    }

    /// The entry of config.json that asks for it.
    pub(super) fn origin(&self, namespace: u32) -> String {
        match self.listed.iter().position(|listed| *listed == namespace) {
            Some(index) => format!("/linux/namespaces/{index}"),
            None => "/linux/namespaces".to_owned(),
        }
    }

    /// What clone3(2) can make at once. With a user namespace nothing: the others have to belong to it. And never
    /// these: a cgroup namespace begins at the group in which it is unshared, which init has yet to join; time
    /// offsets can only be written while nobody is inside.
    fn by_clone(&self) -> u32 {
        if self.has(USER) { 0 } else { self.new & !(CGROUP | TIME) }
    }

    pub(super) fn clone_line(&self, into_cgroup: Option<PathBuf>, tasks: &[PathBuf]) -> Line {
        let namespaces = self.by_clone();
        let origin = if namespaces == 0 { Origin::LIFECYCLE } else { "/linux/namespaces" };
        host(HostStep::Clone { namespaces, into_cgroup, tasks: tasks.to_vec() }, origin)
    }

    /// Whether one is joined of which init becomes a member only when it is as weak as the program that it runs: whoever may trace
    /// processes in there traces this one. A procfs must be possible before that, and who is told init's pid must not be told that
    /// of a process which is gone when the container is created.
    pub(super) fn forks_late(&self, spec: &Spec, facts: &HostFacts) -> bool {
        let told = [HookKind::Prestart, HookKind::CreateRuntime, HookKind::CreateContainer];
        let makes_procfs = spec.mounts().iter().flatten().any(mounts::is_procfs);
        self.joined(PID).is_some()
            && (facts.procfs_of_another || !makes_procfs)
            && told.into_iter().all(|kind| hooks::of(spec, kind).is_empty())
    }

    /// The lines that bring init from the clone into the container's namespaces, without a trace of the host's
    /// being open to the container's processes.
    pub(super) fn enter(&self, context: &Context) -> Result<Vec<Line>> {
        let (spec, facts) = (context.spec, context.facts);
        let mut lines = Vec::new();
        let others = || {
            let others = self.joined.iter().filter(|joined| joined.namespace != USER);
            // The mount namespace last: the other paths are the runtime's.
            let (mount, mut others): (Vec<_>, Vec<_>) = others.partition(|joined| joined.namespace == MOUNT);
            others.extend(mount);
            others.into_iter().map(|joined| self.join(joined)).collect::<Result<Vec<_>>>()
        };
        let user = self.joined.iter().find(|joined| joined.namespace == USER);
        // Root of the host may join what does not belong to the user namespace, but only as long as it is
        // outside. An ordinary user may do nothing before it is inside.
        let others_first = facts.privileged && self.has(USER);
        // The offsets' file in procfs belongs to whoever we are while we are dumpable, and to root after that.
        let mut time = time_offsets::line(spec).filter(|_| self.is_new(TIME)).map(|line| [self.unshare(TIME), line]);
        let mut rest = self.new & !(self.by_clone() | USER);
        if context.options.cgroup_manager == CgroupManager::Systemd {
            // Later: `unshare_cgroup`.
            rest &= !CGROUP;
        }
        if time.is_some() {
            rest &= !TIME;
        }

        if let Some(user) = user {
            if others_first || time.is_none() {
                lines.extend(time.take().into_iter().flatten());
                // Before init can be seen from inside.
                lines.push(undumpable());
            }
            if others_first {
                lines.extend(others()?);
            }
            lines.push(self.join(user)?);
            if let Some(time) = time.take() {
                lines.extend(time);
                lines.push(undumpable());
            }
            lines.push(init(InitStep::BecomeRoot, self.origin(USER)));
        } else if self.is_new(USER) {
            if others_first {
                lines.extend(others()?);
            }
            lines.push(self.unshare(USER));
            lines.push(id_mappings::line(spec, facts));
            lines.extend(time.take().into_iter().flatten());
            // Now, so that what the other namespaces hold (/dev/mqueue, say) belongs to somebody of the container.
            lines.push(init(self.become_somebody(spec), "/linux/uidMappings"));
        }

        // clone3 has been the fork for a new pid namespace, unless that has to belong to a user namespace.
        let forked = rest & PID;
        rest &= !PID;
        if rest != 0 {
            lines.push(self.unshare(rest));
        }
        lines.extend(time.into_iter().flatten());
        if user.is_none() {
            // Not earlier: the host could not write the id maps, nor init its time offsets.
            lines.push(undumpable());
        }
        if !others_first {
            lines.extend(others()?);
        }
        // Membership of a pid namespace begins with a fork. Of a new one nobody else is a member.
        if forked != 0 || self.joined(PID).is_some() && !context.forks_late() {
            lines.push(self.fork(forked));
        }
        Ok(lines)
    }

    pub(super) fn fork(&self, namespaces: u32) -> Line {
        init(InitStep::Fork { namespaces }, self.origin(PID))
    }

    /// A new cgroup namespace begins at the group that init is in: with systemd, which moves it there, that is not on entry.
    pub(super) fn unshare_cgroup(&self, manager: CgroupManager) -> Option<Line> {
        (manager == CgroupManager::Systemd && self.is_new(CGROUP)).then(|| self.unshare(CGROUP))
    }

    /// Those that the container has, new and joined.
    pub(super) fn all(&self) -> u32 {
        self.joined.iter().fold(self.new, |all, joined| all | joined.namespace)
    }

    /// The lines that bring an `exec` into the container.
    pub(super) fn enter_container(&self, spec: &Spec, slots: &mut Slots) -> Result<ContainerEntry> {
        self.enter_container_but(0, false, spec, slots)
    }

    /// The same without some of its namespaces; that of its pids may be kept in hand, for a procfs.
    pub(super) fn enter_container_but(
        &self,
        not: u32,
        keep_pid: bool,
        spec: &Spec,
        slots: &mut Slots,
    ) -> Result<ContainerEntry> {
        let all = self.all() & !not;
        // Before anything in the container can see it.
        let mut entry = ContainerEntry { opened: Vec::new(), lines: vec![undumpable()], fork: None };
        // setns(2) leads to the root of a mount namespace; where there is none, only its init knows the container's.
        let root = if self.has(MOUNT) { None } else { Some(slots.take()?) };
        entry.opened.extend(root.map(|_| host(HostStep::OpenRoot, "/root/path")));
        if all != 0 {
            let slot = slots.take()?;
            entry.opened.push(host(HostStep::OpenProcess, "/linux/namespaces"));
            if self.has(PID) && not & PID != 0 && keep_pid {
                entry.lines.push(init(InitStep::OpenPidNamespace { slot }, self.origin(PID)));
            }
            entry.lines.push(init(InitStep::JoinProcess { slot, namespaces: all }, "/linux/namespaces"));
        }
        if all & USER != 0 {
            entry.lines.push(init(self.become_somebody(spec), self.origin(USER)));
        }
        entry.lines.extend(root.map(|slot| init(InitStep::EnterRoot { slot }, "/root/path")));
        entry.fork = (all & PID != 0).then(|| self.fork(0));
        Ok(entry)
    }

    /// Root of the user namespace; where nobody is mapped to root, whoever comes first: an unmapped user could
    /// not make a single file. Of a namespace that is joined nothing is known, so root it is.
    fn become_somebody(&self, spec: &Spec) -> InitStep {
        let (uid, gid) = id_mappings::of(spec);
        let first = |maps: &[IdMap]| match maps {
            [first, ..] if !id_mappings::is_mapped(maps, 0) => first.container_id,
            _ => 0,
        };
        match (first(&uid), first(&gid)) {
            (0, 0) => InitStep::BecomeRoot,
            (uid, gid) => InitStep::SetIds { uid, gid },
        }
    }

    fn join(&self, joined: &Joined) -> Result<Line> {
        let origin = self.origin(joined.namespace);
        let path = z(joined.path, &origin)?;
        Ok(init(InitStep::Join { path, namespace: joined.namespace }, origin))
    }

    fn unshare(&self, namespaces: u32) -> Line {
        let origin =
            if namespaces.count_ones() == 1 { self.origin(namespaces) } else { "/linux/namespaces".to_owned() };
        init(InitStep::Unshare { namespaces }, origin)
    }
}

/// Whether config.json asks for this namespace, and for which: a new one (`Some(None)`), or the one at a path.
pub fn asked(spec: &Spec, namespace: LinuxNamespaceType) -> Option<Option<&Path>> {
    let namespaces = Namespaces::of(spec);
    let namespace = namespace as u32;
    namespaces.has(namespace).then(|| namespaces.joined(namespace))
}

/// What it is called in `/proc/PID/ns` (namespaces(7)).
pub fn file(namespace: LinuxNamespaceType) -> &'static str {
    match namespace {
        LinuxNamespaceType::Cgroup => "cgroup",
        LinuxNamespaceType::Ipc => "ipc",
        LinuxNamespaceType::Mount => "mnt",
        LinuxNamespaceType::Network => "net",
        LinuxNamespaceType::Pid => "pid",
        LinuxNamespaceType::Time => "time",
        LinuxNamespaceType::User => "user",
        LinuxNamespaceType::Uts => "uts",
    }
}

fn undumpable() -> Line {
    init(InitStep::SetUndumpable, Origin::DEFAULT)
}

#[cfg(test)]
mod tests {
    use crate::facts::HostFacts;
    use crate::plan::tests::{facts, spec_of};
    use crate::plan::{Context, PlanOptions};

    const MAPS: &str = r#""uidMappings": [{"containerID": 0, "hostID": 1000, "size": 1}], "gidMappings": [{"containerID": 0, "hostID": 1000, "size": 1}]"#;

    /// `user net=/n` and so on in, the entering lines out.
    fn entry(facts: &HostFacts, listed: &str, more: &str) -> String {
        let namespaces: Vec<_> = (listed.split_whitespace())
            .map(|entry| match entry.split_once('=') {
                Some((kind, path)) => format!(r#"{{"type": "{kind}", "path": "{path}"}}"#),
                None => format!(r#"{{"type": "{entry}"}}"#),
            })
            .collect();
        let comma = if more.is_empty() { "" } else { ", " };
        let spec = spec_of(&format!(r#"{{"linux": {{"namespaces": [{}]{comma}{more}}}}}"#, namespaces.join(", ")));
        let options = PlanOptions::default();
        let namespaces = super::Namespaces::of(&spec);
        let context = Context { bundle: "/b".as_ref(), spec: &spec, facts, options: &options, namespaces };
        let mut lines = vec![context.namespaces.clone_line(None, &[])];
        lines.extend(context.namespaces.enter(&context).unwrap());
        lines.iter().map(|line| line.brief(None)).collect::<Vec<_>>().join("; ")
    }

    #[test]
    fn entering_is_a_table() {
        let root = &facts();
        let user = &HostFacts { euid: 1000, egid: 1000, ..Default::default() };
        let offsets = &format!(r#"{MAPS}, "timeOffsets": {{"boottime": {{"secs": 5}}}}"#);
        let maps = "host write-id-maps uid 0:1000:1 gid 0:1000:1";
        let table: &[(&HostFacts, &str, &str, &str)] = &[
            (root, "", "", "host clone; init set-undumpable"),
            (root, "pid network ipc uts mount", "", "host clone pid,network,ipc,uts,mount; init set-undumpable"),
            // The cgroup namespace begins where init is then.
            (root, "mount cgroup", "", "host clone mount; init unshare cgroup; init set-undumpable"),
            (
                root,
                "mount time",
                r#""timeOffsets": {"boottime": {"secs": 5}}"#,
                "host clone mount; init unshare time; init set-time-offsets boottime 5 0; init set-undumpable",
            ),
            // Kubernetes: a pod's namespaces are joined.
            (
                root,
                "pid network=/n ipc=/i uts=/u mount",
                "",
                "host clone pid,mount; init set-undumpable; init join network /n; init join ipc /i; init join uts /u",
            ),
            // A joined pid namespace takes a fork, but not here.
            (root, "mount pid=/p", "", "host clone mount; init set-undumpable; init join pid /p"),
            // The path of the network namespace is the host's, not that of the mount namespace.
            (
                root,
                "mount=/m network=/n",
                "",
                "host clone; init set-undumpable; init join network /n; init join mount /m",
            ),
            // Everything that is new has to belong to the new user namespace.
            (
                root,
                "user pid network mount cgroup",
                MAPS,
                &format!(
                    "host clone; init unshare user; {maps}; init become-root; init unshare network,mount,cgroup; init set-undumpable; init fork pid"
                ),
            ),
            (
                root,
                "user time mount",
                offsets,
                &format!(
                    "host clone; init unshare user; {maps}; init unshare time; init set-time-offsets boottime 5 0; init become-root; init unshare mount; init set-undumpable"
                ),
            ),
            (
                user,
                "user pid mount",
                MAPS,
                &format!(
                    "host clone; init unshare user; {maps} setgroups denied; init become-root; init unshare mount; init set-undumpable; init fork pid"
                ),
            ),
            // Joined with the host's privilege, before it is given up.
            (
                root,
                "user network=/n mount pid",
                MAPS,
                &format!(
                    "host clone; init join network /n; init unshare user; {maps}; init become-root; init unshare mount; init set-undumpable; init fork pid"
                ),
            ),
            (
                root,
                "user=/u pid=/p mount",
                "",
                "host clone; init set-undumpable; init join pid /p; init join user /u; init become-root; init unshare mount",
            ),
            // An ordinary user has no privilege outside of the user namespace.
            (
                user,
                "user=/u pid=/p network=/n mount",
                "",
                "host clone; init set-undumpable; init join user /u; init become-root; init unshare mount; init join pid /p; init join network /n",
            ),
            // No root to become.
            (
                root,
                "user mount",
                r#""uidMappings": [{"containerID": 5, "hostID": 1000, "size": 1}], "gidMappings": [{"containerID": 5, "hostID": 1000, "size": 1}]"#,
                "host clone; init unshare user; host write-id-maps uid 5:1000:1 gid 5:1000:1; init set-ids 5:5; init unshare mount; init set-undumpable",
            ),
        ];
        for (facts, listed, more, expected) in table {
            assert_eq!(entry(facts, listed, more), *expected, "\nfor {listed}");
        }
    }

    /// The steps of a plan, by their names.
    fn steps(plan: &crate::plan::Plan) -> Vec<&'static str> {
        plan.lines.iter().map(|line| line.step()).collect()
    }

    /// The plan of `create` with a joined pid namespace and a procfs.
    fn joining(more: &str, facts: &HostFacts) -> Vec<&'static str> {
        let config = format!(
            r#"{{"mounts": [{{"destination": "/proc", "type": "proc"}}]{more},
                "linux": {{"namespaces": [{{"type": "pid", "path": "/p"}}, {{"type": "mount"}}]}}}}"#
        );
        steps(&crate::plan::create("/b".as_ref(), &spec_of(&config), facts, &crate::plan::tests::options()).unwrap())
    }

    #[test]
    fn who_joins_a_pid_namespace_becomes_a_member_last() {
        let facts = HostFacts { procfs_of_another: true, ..facts() };
        let steps = joining("", &facts);
        let fork = steps.iter().position(|step| *step == "fork").unwrap();
        assert_eq!(steps[fork..fork + 3], ["fork", "new-session", "save-state"]);
        assert!(steps[..fork].contains(&"set-capabilities") && steps[..fork].contains(&"pivot-root"), "{steps:?}");
    }

    #[test]
    fn but_before_a_procfs_that_cannot_be_made_for_another_and_before_hooks_that_are_told_its_pid() {
        let able = HostFacts { procfs_of_another: true, ..facts() };
        let hooks = |kind: &str| format!(r#", "hooks": {{"{kind}": [{{"path": "/h"}}]}}"#);
        let early = |steps: Vec<&'static str>| {
            let place = |name| steps.iter().position(|step| *step == name).unwrap();
            place("fork") < place("open-rootfs")
        };
        assert!(early(joining("", &facts())));
        for kind in ["prestart", "createRuntime", "createContainer"] {
            assert!(early(joining(&hooks(kind), &able)), "{kind}");
        }
        assert!(!early(joining(&hooks("startContainer"), &able)));
    }

    #[test]
    fn a_limit_of_one_process_comes_after_the_fork() {
        let order = |limit: u32| {
            let config = format!(
                r#"{{"linux": {{"cgroupsPath": "/web", "resources": {{"pids": {{"limit": {limit}}}}}, {MAPS},
                    "namespaces": [{{"type": "user"}}, {{"type": "pid"}}, {{"type": "mount"}}]}}}}"#
            );
            let plan = crate::plan::tests::plan_of(&crate::plan::tests::spec_of(&config));
            let place = |step: &str, words: &str| {
                plan.lines.iter().position(|line| line.step() == step && line.detail().contains(words)).unwrap()
            };
            place("write-cgroup", "pids.max") < place("fork", "")
        };
        assert!(order(2));
        assert!(!order(1));
    }
}
