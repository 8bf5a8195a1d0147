//! [Control groups](https://github.com/opencontainers/runtime-spec/blob/v1.3.0/config-linux.md#control-groups):
//! where the container's groups are, and what is written to them before the clone.
#![forbid(unsafe_code)]
mod devices;
pub mod manager;
mod merge;
mod resources;
mod systemd;
pub mod v1;
pub mod v2;

pub use merge::merge;
pub use resources::{WEIGHTS, Write, writes};
pub use systemd::{Property, Unit, Value, limits};

use super::line::{HostStep, InitStep, Line, Origin, Tolerate};
use super::{Slots, host, init, mounts, namespaces};
use crate::CgroupManager;
use crate::facts::Hierarchy;
use crate::{Error, ErrorKind, HostFacts, Result};
use oci_spec::runtime::{LinuxNamespaceType, Spec};
use serde::{Deserialize, Serialize};
use std::ops::Range;
use std::path::{Path, PathBuf};
use step::Slot;

/// The container's group in one hierarchy. Goes into the store.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Group {
    /// As `/proc/self/cgroup` spells them; for cgroup v2 those of `cgroup.controllers`.
    pub controllers: Vec<String>,
    pub directory: PathBuf,
    /// cgroup v2.
    pub unified: bool,
}

impl Group {
    pub fn has(&self, controller: &str) -> bool {
        self.controllers.iter().any(|name| name == controller)
    }
}

/// What the control groups of a container ask of the host.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct CgroupPlan {
    /// Host lines before the clone.
    pub lines: Vec<Line>,
    /// The cgroup v2 directory that init is born in; also the v2 side of a hybrid host.
    pub into_cgroup: Option<PathBuf>,
    /// cgroup v1: the `tasks` files that init writes `0` to.
    pub tasks: Vec<PathBuf>,
    /// With the systemd driver: the scope, instead of all of the above.
    pub scope: Option<ScopeLines>,
    /// One group per hierarchy.
    pub groups: Vec<Group>,
    /// What a mount of type `cgroup` shows: the container's directory in each hierarchy of the facts, in their order.
    pub mount_view: Vec<PathBuf>,
}

/// How a container gets into a scope of systemd's.
#[derive(Debug, PartialEq, Eq)]
pub struct ScopeLines {
    pub unit: Unit,
    /// Once init is the process that stays: an empty scope ends.
    pub start: Line,
    /// Before anything depends on the group.
    pub settled: Vec<Line>,
}

/// Plans the container's groups. `id` is the name of a group that config.json does not name.
pub fn plan(spec: &Spec, facts: &HostFacts, id: &str, manager: CgroupManager) -> Result<CgroupPlan> {
    match manager {
        CgroupManager::Cgroupfs => {}
        CgroupManager::Systemd => return systemd::plan(spec, facts, id),
        CgroupManager::Disabled => {
            return Ok(CgroupPlan { mount_view: mount_view(facts, &[]), ..CgroupPlan::default() });
        }
    }
    let linux = spec.linux().as_ref();
    let path = linux.and_then(|linux| linux.cgroups_path().as_deref()).filter(|path| !path.as_os_str().is_empty());
    let resources = linux.and_then(|linux| linux.resources().as_ref());

    let groups = groups(path, facts, id)?;
    let writes = match resources {
        Some(resources) => writes(resources, &groups).map_err(|error| no_permission(error, &groups, facts))?,
        None => Vec::new(),
    };
    let (into_cgroup, tasks) = entry(&groups);
    let mut lines = Vec::new();
    if !groups.is_empty() {
        let origin = if path.is_some() { "/linux/cgroupsPath" } else { Origin::DEFAULT };
        lines.push(host(HostStep::CreateCgroup { groups: groups.clone() }, origin));
    }
    lines.extend(writes.into_iter().map(|write| write.line()));
    lines.extend(device_lines(resources.and_then(|resources| resources.devices().as_deref()), &groups, facts)?);
    lines.extend(ownership(spec, &groups));
    let mount_view = mount_view(facts, &groups);
    Ok(CgroupPlan { lines, into_cgroup, tasks, scope: None, groups, mount_view })
}

/// The container's own group, or the caller's where it has none.
fn mount_view(facts: &HostFacts, groups: &[Group]) -> Vec<PathBuf> {
    let own = |hierarchy: &Hierarchy| hierarchy.mount.join(hierarchy.own.trim_start_matches('/'));
    let shown = |hierarchy: &Hierarchy| {
        let mut groups = groups.iter();
        let group =
            groups.find(|group| group.directory.starts_with(&hierarchy.mount) && group.unified == hierarchy.unified);
        group.map_or_else(|| own(hierarchy), |group| group.directory.clone())
    };
    facts.hierarchies.iter().map(shown).collect()
}

/// Init moves itself into the cgroup v1 groups, whose descriptors fill the first slots.
pub(super) fn join(tasks: Range<usize>) -> Result<Option<Line>> {
    let slot = |number| Slot::try_from(number).map_err(|_| Slots::too_many());
    let (first, count) = (slot(tasks.start)?, slot(tasks.len())?);
    let step = InitStep::JoinCgroup { first, count };
    Ok((count > 0).then(|| init(step, Origin::LIFECYCLE)))
}

/// How a process gets into the groups: the directory for `CLONE_INTO_CGROUP` and the v1 `tasks` files.
pub fn entry(groups: &[Group]) -> (Option<PathBuf>, Vec<PathBuf>) {
    let unified = groups.iter().find(|group| group.unified).map(|group| group.directory.clone());
    let tasks = groups.iter().filter(|group| !group.unified).map(|group| group.directory.join("tasks"));
    (unified, tasks.collect())
}

/// The group in each hierarchy. An absolute path counts from the mount, a relative one from the caller's own
/// group; on a pure cgroup v2 host from its parent, because the own group holds processes and may therefore not
/// have children with controllers (runc does the same).
fn groups(path: Option<&Path>, facts: &HostFacts, id: &str) -> Result<Vec<Group>> {
    let pure_v2 = facts.hierarchies.iter().all(|hierarchy| hierarchy.unified);
    // An ordinary user who names no path gets groups where the host lets him make some, and needs none elsewhere. Nor does
    // anyone need one on the v2 side of a hybrid host, which is delegated by none who do so for v1 (runc makes none at all).
    let asked = |hierarchy: &Hierarchy| path.is_some() && (pure_v2 || !hierarchy.unified);
    let may = |hierarchy: &Hierarchy| asked(hierarchy) || has_authority(facts) || hierarchy.writable;
    let group = |hierarchy: &Hierarchy| {
        let below = match path {
            Some(path) if path.is_absolute() => PathBuf::new(),
            _ if pure_v2 => Path::new(&hierarchy.own).parent().unwrap_or(Path::new("/")).to_owned(),
            _ => PathBuf::from(&hierarchy.own),
        };
        let inner = clean(path.unwrap_or(Path::new(id)));
        let relative = clean(&below).join(&inner);
        if inner.as_os_str().is_empty() {
            return Err(Error::config("/linux/cgroupsPath", "names no group of the container's own"));
        }
        Ok(Group {
            controllers: hierarchy.controllers.clone(),
            directory: hierarchy.mount.join(relative),
            unified: hierarchy.unified,
        })
    };
    facts.hierarchies.iter().filter(|hierarchy| may(hierarchy)).map(group).collect()
}

/// `path` relative to the root of a hierarchy, without `.`, `..` and doubled slashes: `..` stops at the root.
fn clean(path: &Path) -> PathBuf {
    mounts::clean(path).iter().skip(1).collect()
}

/// Root of the host: what it may not do is an error. Anyone else goes without what nobody asked for.
fn has_authority(facts: &HostFacts) -> bool {
    facts.privileged && !facts.in_user_namespace
}

/// Says the real reason if a limit fails for want of a group.
fn no_permission(error: Error, groups: &[Group], facts: &HostFacts) -> Error {
    let denied = groups.len() < facts.hierarchies.len();
    if error.kind() != ErrorKind::Unsupported || !denied {
        return error;
    }
    let words = "rootless needs no limits + no cgrouppath when no permission is granted for cgroups";
    let reason = Error::new(ErrorKind::Unsupported, words);
    match error.origin() {
        Some(origin) => reason.at(origin),
        None => reason,
    }
}

fn device_lines(
    rules: Option<&[oci_spec::runtime::LinuxDeviceCgroup]>,
    groups: &[Group],
    facts: &HostFacts,
) -> Result<Vec<Line>> {
    // Without privilege over the host the kernel takes no device rules, and lets nobody make or open a
    // device that the user could not open anyway.
    if !has_authority(facts) {
        return Ok(Vec::new());
    }
    let origin =
        if rules.is_some_and(|rules| !rules.is_empty()) { "/linux/resources/devices" } else { Origin::DEFAULT };
    let model = devices::rules(rules.unwrap_or_default())?;
    let v1 = groups.iter().find(|group| !group.unified && group.has("devices"));
    if let Some(group) = v1 {
        let writes = model.v1().into_iter().map(|(name, value)| {
            let file = group.directory.join(name);
            let tolerate = if name == "devices.allow" { without_mknod(&value) } else { Tolerate::Nothing };
            host(HostStep::WriteCgroup { file, value, tolerate }, origin)
        });
        return Ok(writes.collect());
    }
    match groups.iter().find(|group| group.unified) {
        Some(group) => {
            let step = HostStep::AttachDeviceProgram { directory: group.directory.clone(), program: model.program() };
            Ok(vec![host(step, origin)])
        }
        None => Err(Error::new(ErrorKind::Unsupported, "the devices controller is not available").at(origin)),
    }
}

/// A group may not allow what the one above it forbids. Who may not make nodes has them bound, and may use them all the same.
fn without_mknod(rule: &str) -> Tolerate {
    let Some(less) = rule.strip_suffix('m') else { return Tolerate::Nothing };
    let less = less.trim_end();
    // Of `b *:* m` no access is left.
    let uses = less.ends_with(['r', 'w']);
    Tolerate::Forbidden { value: uses.then(|| less.to_owned()) }
}

/// [Ownership](https://github.com/opencontainers/runtime-spec/blob/v1.3.0/config-linux.md#cgroup-ownership):
/// a container that has its own cgroup namespace and sees its groups writable gets them, on cgroup v2.
fn ownership(spec: &Spec, groups: &[Group]) -> Option<Line> {
    let [group] = groups else { return None };
    let linux = spec.linux().as_ref()?;
    let has_namespace = namespaces::asked(spec, LinuxNamespaceType::Cgroup) == Some(None);
    let is_writable = spec.mounts().iter().flatten().any(|mount| {
        let cgroup = matches!(mount.typ().as_deref(), Some("cgroup" | "cgroup2"));
        cgroup && !mount.options().iter().flatten().any(|option| option == "ro")
    });
    if !group.unified || !has_namespace || !is_writable {
        return None;
    }
    let user = spec.process().as_ref().map_or(0, |process| process.user().uid());
    let maps = linux.uid_mappings().as_deref().unwrap_or_default();
    let map = maps.iter().find(|map| user.checked_sub(map.container_id()).is_some_and(|offset| offset < map.size()));
    let uid = match map {
        Some(map) => map.host_id().checked_add(user - map.container_id())?,
        None if maps.is_empty() => user,
        None => return None,
    };
    // Root has it already.
    let step = HostStep::ChownCgroup { directory: group.directory.clone(), uid };
    (uid != 0).then(|| host(step, "/linux/namespaces"))
}

#[cfg(test)]
mod tests;
