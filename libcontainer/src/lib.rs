//! Run OCI containers: config.json → plan → init.
mod bundle;
mod container;
mod error;
mod facts;
mod plan {
    mod line;
}
mod store;

pub use bundle::Bundle;
pub use container::{CgroupManager, Child, Container, CreateOptions, ExecOptions, State, Status};
pub use error::{Error, ErrorKind, Result};
pub use facts::{Hierarchy, HostFacts};
pub use oci_spec;
pub use store::Store;
