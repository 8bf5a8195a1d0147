//! [Namespaces](https://github.com/opencontainers/runtime-spec/blob/v1.3.0/config-linux.md#namespaces): which to
//! make, which to join, in which order, and how often to fork.
#![forbid(unsafe_code)]

mod enter;

use super::line::{HookKind, HostStep, IdMap, InitStep, Line, Origin};
use super::{Slots, hooks, host, id_mappings, init, mounts, z};
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
            entry.lines.push(init(self.become_owner(spec), self.origin(USER)));
        }
        entry.lines.extend(root.map(|slot| init(InitStep::EnterRoot { slot }, "/root/path")));
        entry.fork = (all & PID != 0).then(|| self.fork(0));
        Ok(entry)
    }

    /// Root of the user namespace; where nobody is mapped to root, whoever comes first: an unmapped user could
    /// not make a single file. Of a namespace that is joined nothing is known, so root it is.
    fn become_owner(&self, spec: &Spec) -> InitStep {
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

    const MAPS: &str = r#""uidMappings": [{"containerID": 0, "hostID": 1000, "size": 1}],
        "gidMappings": [{"containerID": 0, "hostID": 1000, "size": 1}]"#;

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
