//! [Control groups](https://github.com/opencontainers/runtime-spec/blob/v1.3.0/config-linux.md#control-groups): a
//! stand-in until the real one is merged. Plans no group at all.
#![forbid(unsafe_code)]

use super::line::{InitStep, Line, Origin};
use super::{Slots, init};
use crate::Result;
use crate::container::CgroupManager;
use crate::facts::HostFacts;
use oci_spec::runtime::Spec;
use std::path::PathBuf;

pub(super) struct CgroupPlan {
    /// Making the group and its limits.
    pub(super) before_clone: Vec<Line>,
    /// cgroup v2: the directory for clone3(2).
    pub(super) into_cgroup: Option<PathBuf>,
    /// cgroup v1: the directories, for `JoinCgroup`.
    pub(super) tasks: Vec<PathBuf>,
    /// The container's own directory in each hierarchy of `HostFacts::hierarchies`, in that order: what a mount of
    /// type `cgroup` shows.
    pub(super) mount_view: Vec<PathBuf>,
}

pub(super) fn plan(_spec: &Spec, facts: &HostFacts, _id: &str, _manager: CgroupManager) -> Result<CgroupPlan> {
    let own = |hierarchy: &crate::facts::Hierarchy| hierarchy.mount.join(hierarchy.own.trim_start_matches('/'));
    let mount_view = facts.hierarchies.iter().map(own).collect();
    Ok(CgroupPlan { before_clone: Vec::new(), into_cgroup: None, tasks: Vec::new(), mount_view })
}

/// Init moves itself.
pub(super) fn join(tasks: &[PathBuf]) -> Result<Option<Line>> {
    let count = Slots::after(tasks)?.take()?;
    Ok((count > 0).then(|| init(InitStep::JoinCgroup { first: 0, count }, Origin::LIFECYCLE)))
}
