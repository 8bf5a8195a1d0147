//! Run OCI containers: config.json → plan → init.
mod bundle;
mod cgroup;
mod check;
mod container;
mod criu;
mod errno;
mod error;
mod facts;
mod features;
mod file;
#[cfg(any(test, fuzzing))]
pub mod fuzz;
mod json;
mod launch;
mod mountinfo;
mod plan;
mod seccomp;
mod store;
mod sys;
mod systemd;
mod trace;
mod validate;

pub use bundle::Bundle;
pub use check::{Concern, Finding};
pub use container::{
    CgroupManager, Child, Container, CreateOptions, Event, Events, ExecOptions, Notifications, State, Stats, Status,
};
pub use criu::{CriuOptions, ManageCgroups, NetworkLock};
pub use errno::{describe_errno, describe_io};
pub use error::{Error, ErrorKind, Result};
pub use facts::{Hierarchy, HostFacts, Systemd};
pub use features::{Features, OCI_VERSION};
pub use file::{read_file, read_limited};
pub use oci_spec;
pub use plan::{Line, Plan, PlanOptions};
pub use store::Store;
pub use trace::Trace;
