//! How the process of an `exec` gets into the container's groups: they are there, and may have no room for it.
#![forbid(unsafe_code)]

use super::line::{HostStep, Line, Origin};
use super::namespaces::{self, Namespaces};
use super::{capabilities, cgroup, cpu_affinity, host};
use crate::Result;
use crate::facts::HostFacts;
use oci_spec::runtime::{Process, Spec};
use std::path::{Path, PathBuf};

/// What the plan of an `exec` depends on besides the container's config.json and the process.
#[derive(Debug, Clone, Default)]
pub struct ExecPlanOptions {
    /// cgroup v1: the `tasks` files of the groups to join, but for
    pub tasks: Vec<PathBuf>,
    /// that of the group which counts processes.
    pub pids: Option<PathBuf>,
    /// cgroup v2: the group to be born in.
    pub into_cgroup: Option<PathBuf>,
    /// It has no room for a birth: it is joined by a process that is there already, which it always takes.
    pub is_full: bool,
    /// A scope to be moved into instead, and the path of a group in it.
    pub scope: Option<(cgroup::Unit, String)>,
    /// So many descriptors from 3 on stay open in the process.
    pub preserve_fds: u32,
    /// The program is the embedder's, and executed by its descriptor.
    pub program: bool,
    /// The container is in a time namespace that config.json does not ask for: that of CRIU, which has restored it.
    pub time_namespace: bool,
}

impl ExecPlanOptions {
    /// Goes into this directory of the group's hierarchy.
    pub fn join(&mut self, group: &cgroup::Group, directory: PathBuf) {
        match (group.unified, group.has("pids")) {
            (true, _) => self.into_cgroup = Some(directory),
            (false, true) => self.pids = Some(directory.join("tasks")),
            (false, false) => self.tasks.push(directory.join("tasks")),
        }
    }

    /// Turns to the way into a cgroup v2 group that has no room for a birth, if there is one group and this way is open: between fork
    /// and move the process is under none of the container's limits and device rules. So nobody inside may be able to take it over:
    /// who is in a user namespace is not (ptrace(2): the memory of init belongs to another), nor who has no CAP_SYS_PTRACE.
    pub fn join_though_full(&mut self, spec: &Spec) -> bool {
        let may_trace = spec.process().as_ref().is_none_or(capabilities::may_trace);
        self.is_full = self.into_cgroup.is_some() && (!may_trace || Namespaces::of(spec).has(namespaces::USER));
        self.is_full
    }

    /// Takes the way through systemd where there is no other: whoever has not made a scope's group may not move into it from
    /// outside of what both of them belong to.
    pub fn through_systemd(&mut self, unit: Option<&cgroup::Unit>, groups: &[cgroup::Group], facts: &HostFacts) {
        let (Some(unit), Some(systemd)) = (unit.filter(|unit| unit.user), &facts.systemd) else { return };
        let own =
            facts.hierarchies.iter().find(|hierarchy| hierarchy.unified).map(|hierarchy| Path::new(&hierarchy.own));
        let scope = groups.iter().find(|group| group.unified);
        let below =
            self.into_cgroup.as_ref().zip(scope).and_then(|(into, scope)| into.strip_prefix(&scope.directory).ok());
        if let Some((_, below)) = own.zip(below).filter(|(own, _)| !own.starts_with(&systemd.root)) {
            let below = if below.as_os_str().is_empty() { String::new() } else { format!("/{}", below.display()) };
            self.scope = Some((unit.clone(), below));
            self.into_cgroup = None;
        }
    }
}

/// How the process of an `exec` gets into the container's groups.
pub(super) struct ExecGroups {
    /// cgroup v2, if it is born there.
    pub(super) born_in: Option<PathBuf>,
    /// cgroup v1.
    pub(super) tasks: Vec<PathBuf>,
    /// Before it enters the container.
    pub(super) early: Vec<Line>,
    /// After the last fork: a group that is full takes a process that is there, but none that is new.
    pub(super) late: Vec<Line>,
    /// Once it is in all of them.
    pub(super) settled: Option<Line>,
}

impl ExecGroups {
    pub(super) fn of(
        process: &Process,
        facts: &HostFacts,
        forks: bool,
        options: &ExecPlanOptions,
    ) -> Result<ExecGroups> {
        let moved =
            |directory: &PathBuf| host(HostStep::JoinCgroup { directory: directory.clone() }, Origin::LIFECYCLE);
        let tasks: Vec<_> = options.tasks.iter().chain(&options.pids).cloned().collect();
        // Who has opened `tasks` may move its own processes; root of the host, those of anybody: by then it is somebody else's.
        let counted_late = forks && options.pids.is_some() && facts.is_root_of_host();
        let first = if counted_late { options.tasks.len() } else { tasks.len() };
        let mut early: Vec<_> = cgroup::join(0..first)?.into_iter().collect();
        let mut late: Vec<_> = cgroup::join(first..tasks.len())?.into_iter().collect();
        let mut born_in = options.into_cgroup.clone();
        if options.is_full {
            late.extend(born_in.take().as_ref().map(moved));
        } else if cpu_affinity::has_initial(process) {
            early.extend(born_in.take().as_ref().map(moved));
        }
        if let Some((unit, below)) = options.scope.clone() {
            late.push(host(HostStep::AttachToScope { unit, below }, Origin::LIFECYCLE));
        }
        let mut settled = cpu_affinity::r#final(process)?;
        if late.is_empty() {
            early.extend(settled.take());
        }
        Ok(ExecGroups { born_in, tasks, early, late, settled })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::plan::tests::{facts, spec_of};

    /// The lines of an `exec` in a container with a pid namespace, from the clone on, that have to do with its groups or with the fork.
    fn exec_lines(options: &ExecPlanOptions, facts: &HostFacts) -> Vec<String> {
        let spec = spec_of(r#"{"linux": {"namespaces": [{"type": "pid"}, {"type": "mount"}]}}"#);
        let plan = crate::plan::exec(&spec, spec.process().as_ref().unwrap(), facts, options).unwrap();
        let of_groups =
            |line: &&crate::plan::Line| matches!(line.step(), "clone" | "join-cgroup" | "fork" | "set-capabilities");
        plan.lines.iter().filter(of_groups).map(|line| line.brief(None)).collect()
    }

    #[test]
    fn exec_is_counted_by_a_v1_group_last_and_under_every_other_rule_first() {
        let options = ExecPlanOptions {
            tasks: vec!["/devices/web/tasks".into(), "/memory/web/tasks".into()],
            pids: Some("/pids/web/tasks".into()),
            ..Default::default()
        };
        let clone = "host clone /devices/web/tasks → fd:0 /memory/web/tasks → fd:1 /pids/web/tasks → fd:2";
        let last =
            [clone, "init join-cgroup fd:0–1", "init set-capabilities none", "init fork", "init join-cgroup fd:2"];
        assert_eq!(exec_lines(&options, &facts()), last);
        // Only root of the host may move what has become somebody else's.
        let user = HostFacts { euid: 1000, ..facts() };
        let first = [clone, "init join-cgroup fd:0–2", "init set-capabilities none", "init fork"];
        assert_eq!(exec_lines(&options, &user), first);
    }

    #[test]
    fn exec_is_born_in_a_v2_group_unless_that_is_full() {
        let mut options = ExecPlanOptions { into_cgroup: Some("/sys/fs/cgroup/web".into()), ..Default::default() };
        let born = ["host clone into /sys/fs/cgroup/web", "init set-capabilities none", "init fork"];
        assert_eq!(exec_lines(&options, &facts()), born);
        let with =
            |more: &str| spec_of(&format!(r#"{{"process": {{"args": ["a"], "cwd": "/", "user": {{}}{more}}}}}"#));
        // Whom a process in the container may take over before it is moved, that one is not let in.
        let traces = with(r#", "capabilities": {"bounding": ["CAP_SYS_PTRACE"]}"#);
        assert!(!options.join_though_full(&traces) && !options.is_full);
        assert!(options.join_though_full(&with("")));
        let moved = ["host clone", "init set-capabilities none", "init fork", "host join-cgroup /sys/fs/cgroup/web"];
        assert_eq!(exec_lines(&options, &facts()), moved);
    }
}
