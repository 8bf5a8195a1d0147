//! What this host can do: plain data, found by trying, never by comparing versions.
use serde::{Deserialize, Serialize};
use std::path::PathBuf;

/// Yes/no answers and places that a plan depends on. Can be written to JSON and read back, so that a plan
/// can be made for another host (`plimsoll plan --facts`).
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct HostFacts {
    /// Effective user and group of the caller.
    pub euid: u32,
    pub egid: u32,
    /// CAP_SYS_ADMIN in the caller's own user namespace.
    pub privileged: bool,
    /// Capabilities (by their bits) that the caller has not, or this kernel does not know.
    pub missing_capabilities: u64,
    /// The caller is inside another user namespace than the first one.
    pub in_user_namespace: bool,
    /// setgroups(2) has been given up in that user namespace, for it and all below it (user_namespaces(7)).
    pub setgroups_denied: bool,
    /// The cgroup hierarchies, each with the caller's own place in it.
    pub hierarchies: Vec<Hierarchy>,
    /// The systemd that makes the caller's scopes; only looked for where one is to be made.
    pub systemd: Option<Systemd>,
    /// The kernel shows its memory at `/proc/kcore`.
    pub kcore: bool,
    /// A procfs can be made for another pid namespace than that of whoever makes it (`pidns`); only looked for where one is joined.
    pub procfs_of_another: bool,
    /// Where resctrl is mounted: the classes and monitors of Intel RDT.
    pub resctrl: Option<PathBuf>,
}

impl HostFacts {
    /// uid 0 of the first user namespace.
    pub fn is_root_of_host(&self) -> bool {
        self.euid == 0 && !self.in_user_namespace
    }
}

/// A running systemd.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Systemd {
    /// The user's own (`systemd --user`), not the system's.
    pub user: bool,
    /// The group that its slices are in, relative to the mount of a hierarchy (begins with `/`).
    pub root: String,
    /// Of cgroup v2, the controllers that it has to give; `None` for all.
    pub delegated: Option<Vec<String>>,
}

/// One mounted cgroup hierarchy.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Hierarchy {
    /// Controllers as `/proc/self/cgroup` spells them (`cpu`, `cpuacct`, `name=systemd`); for cgroup v2 those of
    /// its `cgroup.controllers`.
    pub controllers: Vec<String>,
    /// Where it is mounted.
    pub mount: PathBuf,
    /// The caller's group, relative to the mount (begins with `/`).
    pub own: String,
    /// cgroup v2.
    pub unified: bool,
    /// The caller may make a group below its own (on a pure cgroup v2 host: beside its own).
    #[serde(default)]
    pub writable: bool,
}

#[cfg(any(test, fuzzing, feature = "laws"))]
impl Hierarchy {
    /// One that the caller, whose group is `/own`, may make groups in.
    pub fn example(controllers: &[&str], mount: &str, unified: bool) -> Hierarchy {
        let controllers = controllers.iter().map(|name| (*name).to_owned()).collect();
        Hierarchy { controllers, mount: mount.into(), own: "/own".to_owned(), unified, writable: true }
    }
}
