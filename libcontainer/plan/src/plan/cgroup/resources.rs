//! [`linux.resources`](https://github.com/opencontainers/runtime-spec/blob/v1.3.0/config-linux.md#control-groups)
//! as writes: each resource goes to the hierarchy that holds its controller.
#![forbid(unsafe_code)]
use super::{Group, v1, v2};
use crate::error::escape_key;
use crate::plan::host;
use crate::plan::line::{HostStep, Line, Tolerate};
use crate::{Error, ErrorKind, Result};
use oci_spec::runtime::LinuxResources;
use std::collections::{BTreeMap, HashMap};
use std::path::{Path, PathBuf};

/// A value for a file of one of the container's groups.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Write {
    /// JSON pointer into config.json.
    pub origin: String,
    pub file: PathBuf,
    pub value: String,
    pub tolerate: Tolerate,
}

impl Write {
    /// Whether it is for the file of that name.
    pub fn is(&self, name: &str) -> bool {
        self.file.file_name().is_some_and(|file| file == name)
    }

    /// The same as a line of the plan.
    pub(super) fn line(self) -> Line {
        let Write { origin, file, value, tolerate } = self;
        host(HostStep::WriteCgroup { file, value, tolerate }, origin)
    }

    fn below(mut self, directory: &Path) -> Write {
        self.file = directory.join(self.file);
        if let Tolerate::Otherwise { file, .. } = &mut self.tolerate {
            *file = directory.join(&*file);
        }
        self
    }
}

/// A write whose directory is not known yet. `origin` is relative to `/linux/resources`.
pub(super) fn write(origin: &str, file: impl Into<PathBuf>, value: impl ToString) -> Write {
    let origin = format!("/linux/resources{origin}");
    Write { origin, file: file.into(), value: value.to_string(), tolerate: Tolerate::Nothing }
}

/// A mistake in `/linux/resources`.
pub(super) fn invalid(origin: &str, message: impl Into<String>) -> Error {
    Error::config(format!("/linux/resources{origin}"), message)
}

/// What cgroup v2 has no equivalent for.
pub(super) fn only_v1(origin: &str) -> Error {
    let message = "cgroup v2 has nothing like it; it can only be set on cgroup v1";
    Error::new(ErrorKind::Unsupported, message).at(format!("/linux/resources{origin}"))
}

/// Every write that `resources` ask for, in an order that a fresh group accepts.
pub fn writes(resources: &LinuxResources, groups: &[Group]) -> Result<Vec<Write>> {
    let mut writes = Vec::new();
    let at = |v1, v2| Controller { v1, v2, groups };
    if let Some(memory) = resources.memory() {
        writes.extend(at("memory", "memory").place(|| v1::memory(memory), || v2::memory(memory))?);
    }
    if let Some(cpu) = resources.cpu() {
        writes.extend(at("cpu", "cpu").place(|| v1::cpu(cpu), || v2::cpu(cpu))?);
        // The files are called the same on both.
        writes.extend(at("cpuset", "cpuset").place(|| Ok(v1::cpuset(cpu)), || Ok(v1::cpuset(cpu)))?);
    }
    if let Some(pids) = resources.pids() {
        writes.extend(at("pids", "pids").place(|| Ok(v1::pids(pids)), || Ok(v1::pids(pids)))?);
    }
    if let Some(block_io) = resources.block_io() {
        writes.extend(at("blkio", "io").place(|| v1::block_io(block_io), || v2::block_io(block_io))?);
    }
    for (i, limit) in resources.hugepage_limits().iter().flatten().enumerate() {
        writes.extend(at("hugetlb", "hugetlb").place(|| v1::hugepages(i, limit), || v2::hugepages(i, limit))?);
    }
    if let Some(network) = resources.network() {
        let class = |class: &u32| *class != 0;
        let none = |origin, asked| {
            if asked { Err(only_v1(origin)) } else { Ok(Vec::new()) }
        };
        let has_class = network.class_id().as_ref().is_some_and(class);
        let has_priorities = network.priorities().as_ref().is_some_and(|priorities| !priorities.is_empty());
        writes.extend(at("net_cls", "").place(|| Ok(v1::net_cls(network)), || none("/network/classID", has_class))?);
        writes.extend(
            at("net_prio", "").place(|| Ok(v1::net_prio(network)), || none("/network/priorities", has_priorities))?,
        );
    }
    if let Some(rdma) = resources.rdma() {
        writes.extend(at("rdma", "rdma").place(|| v1::rdma(rdma), || v1::rdma(rdma))?);
    }
    if let Some(entries) = resources.unified() {
        writes = overridden(writes, unified(entries, groups)?);
    }
    Ok(without_weights_of_idle(writes))
}

/// What `unified` says of a file is the only word on it: not one that something is to make of the other first. Lines about a device
/// stand beside each other.
fn overridden(mut writes: Vec<Write>, mut entries: Vec<Write>) -> Vec<Write> {
    for entry in &mut entries {
        let is_quota = entry.is("cpu.max");
        if !is_quota && entry.value.contains(' ') {
            continue;
        }
        let is_other = |write: &Write| write.file == entry.file && (is_quota || !write.value.contains(' '));
        let (others, rest): (Vec<_>, Vec<_>) = writes.into_iter().partition(is_other);
        writes = rest;
        let period = others.last().and_then(|other| other.value.split(' ').nth(1).map(str::to_owned));
        // A quota alone is one for the period that there is.
        if let Some(period) = period.filter(|_| !entry.value.trim().contains(' ')) {
            entry.value = format!("{} {period}", entry.value.trim());
        }
    }
    writes.extend(entries);
    writes
}

/// KERNEL(5.15): an idle group refuses shares and weights, and forgets those that it has had.
fn without_weights_of_idle(mut writes: Vec<Write>) -> Vec<Write> {
    let is_idle = writes.iter().rev().find(|write| write.is("cpu.idle")).is_some_and(|write| write.value != "0");
    writes.retain(|write| !(is_idle && WEIGHTS.iter().any(|name| write.is(name))));
    writes
}

/// Files that say how much of the processor a group gets beside its siblings.
pub const WEIGHTS: [&str; 3] = ["cpu.shares", "cpu.weight", "cpu.weight.nice"];

/// A controller by its name on either version.
struct Controller<'a> {
    v1: &'a str,
    v2: &'a str,
    groups: &'a [Group],
}

impl Controller<'_> {
    /// The writes of the version that holds the controller, in its directory. Without the controller, writes
    /// that ask for nothing are left out and any other is an error.
    fn place(
        &self,
        v1: impl FnOnce() -> Result<Vec<Write>>,
        v2: impl FnOnce() -> Result<Vec<Write>>,
    ) -> Result<Vec<Write>> {
        let holds = |group: &&Group| group.has(if group.unified { self.v2 } else { self.v1 });
        if let Some(group) = self.groups.iter().find(holds) {
            let writes = if group.unified { v2()? } else { v1()? };
            return Ok(writes.into_iter().map(|write| write.below(&group.directory)).collect());
        }
        let pure_v2 = !self.groups.is_empty() && self.groups.iter().all(|group| group.unified);
        let (writes, name) = if pure_v2 { (v2()?, self.v2) } else { (v1()?, self.v1) };
        match writes.into_iter().find(|write| write.tolerate != Tolerate::Missing) {
            Some(write) => {
                let message = format!("the {name} controller is not available on this host");
                Err(Error::new(ErrorKind::Unsupported, message).at(write.origin))
            }
            None => Ok(Vec::new()),
        }
    }
}

/// Files of cgroup v2 by their names; the controller is the part before the first dot.
fn unified(entries: &HashMap<String, String>, groups: &[Group]) -> Result<Vec<Write>> {
    let mut writes = Vec::new();
    for (file, value) in entries.iter().collect::<BTreeMap<_, _>>() {
        let origin = format!("/unified/{}", escape_key(file));
        if file.contains('/') {
            return Err(invalid(&origin, format!("unified resource {file:?} must be a file name (no slashes)")));
        }
        let Some((controller, _)) = file.split_once('.') else {
            let message = format!("unified resource {file:?} must be in the form CONTROLLER.PARAMETER");
            return Err(invalid(&origin, message));
        };
        let unified = groups.iter().find(|group| group.unified);
        let holds = |group: &Group| controller == "cgroup" || group.has(controller);
        let Some(group) = unified.filter(|group| holds(group)) else {
            let message = if groups.iter().all(|group| group.unified) {
                format!("unified resource {file:?} can't be set: controller {controller:?} not available")
            } else {
                "invalid configuration: unified resources cannot be used on cgroup v1".to_owned()
            };
            return Err(Error::new(ErrorKind::Unsupported, message).at(format!("/linux/resources{origin}")));
        };
        // A file such as io.max takes one device per write.
        for line in value.lines().filter(|line| !line.is_empty()) {
            writes.push(write(&origin, file, line).below(&group.directory));
        }
    }
    Ok(writes)
}
