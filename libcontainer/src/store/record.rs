//! `state.json`: what was intended, and what is.
use super::identity::{Life, ProcessId};
use crate::criu::search::Opened;
use crate::plan::cgroup::{Group, Unit};
use crate::plan::{CgroupManager, PlanOptions};
use crate::{Error, ErrorKind, Result};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

/// What is known of a container, written before anything outside the store is made: after a SIGKILL at any
/// instruction `delete --force` finds here what to clean up.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Record {
    pub(crate) id: String,
    pub(crate) oci_version: String,
    pub(crate) bundle: PathBuf,
    pub(crate) rootfs: PathBuf,
    /// RFC 3339.
    pub(crate) created: String,
    /// uid of who made it.
    pub(crate) owner: u32,
    #[serde(default)]
    pub(crate) annotations: BTreeMap<String, String>,
    #[serde(default)]
    pub(crate) cgroup_manager: CgroupManager,
    #[serde(default)]
    pub(crate) cgroups: Vec<Group>,
    /// Those of them that were there before: what is left of them at the end is not ours to remove.
    #[serde(default)]
    pub(crate) kept_cgroups: Vec<PathBuf>,
    /// The scope that the groups belong to, if systemd makes them.
    #[serde(default)]
    pub(crate) unit: Option<Unit>,
    /// Groups of resctrl to remove with the container.
    #[serde(default)]
    pub(crate) intel_rdt: Vec<PathBuf>,
    /// Signals to init end everything only if it is pid 1 of a namespace of its own.
    pub(crate) private_pid_namespace: bool,
    /// What `start` needs to know of config.json, so that it need not read it.
    #[serde(default)]
    pub(crate) has_process: bool,
    #[serde(default)]
    pub(crate) has_poststart: bool,
    #[serde(default)]
    pub(crate) has_poststop: bool,
    /// What the plan was made with, and how many lines it had: to name the line of a failure after `create`.
    #[serde(default)]
    pub(crate) planned: PlanOptions,
    #[serde(default)]
    pub(crate) plan_lines: usize,
    /// What the standard streams were that the container was given (`pipe:[1234]`): its own may be others by now. None with a
    /// terminal. At a restore they are taken for those that the images name.
    #[serde(default)]
    pub(crate) streams: Vec<String>,
    /// CRIU, which has restored it, has put it into a time namespace that config.json does not ask for.
    #[serde(default)]
    pub(crate) time_namespace: bool,
    /// Directories of images that a restore has opened to the container's group: closed again when it is over, or by who finds it
    /// killed.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(crate) opened_images: Vec<Opened>,
    /// Absent while the container is being made. `create` says it by the link `init` alone ([`Folder::note_init`](super::Folder));
    /// whoever writes the record later writes it here too.
    #[serde(default)]
    pub(crate) init: Option<ProcessId>,
}

impl Record {
    /// Init's, in the caller's pid namespace; 0 before there is one.
    pub(crate) fn pid(&self) -> i32 {
        self.init.as_ref().map_or(0, |init| init.pid)
    }

    /// Whether init lives. One that has not come to life yet has not.
    pub(crate) fn life(&self) -> Result<Life> {
        self.init.as_ref().map_or(Ok(Life::Ended), ProcessId::life)
    }

    /// What is in `file`.
    pub(crate) fn parse(bytes: &[u8], file: &Path) -> Result<Record> {
        serde_json::from_slice(bytes)
            .map_err(|error| Error::new(ErrorKind::System, format!("read the state: {}: {error}", file.display())))
    }
}
