//! Plimsoll's decisions, apart from anything that could carry them out: config.json's bytes and facts about a host in, an ordered
//! list of lines out. There is no I/O here, and nothing that could do any; the same input gives the same plan on every machine,
//! whatever its operating system.
//!
//! This crate is part of Plimsoll's library, `plimsoll-libcontainer`, which re-exports what users need. What is public here
//! besides may change with any release.
#![forbid(unsafe_code)]

pub mod bundle;
pub mod errno;
pub mod error;
mod facts;
#[cfg(any(test, fuzzing, feature = "laws"))]
pub mod fuzz;
pub mod json;
mod plan;
pub mod seccomp;
pub mod validate;

pub use bundle::Bundle;
pub use errno::{describe_errno, describe_io};
pub use error::{Error, ErrorKind, Result};
pub use facts::{Hierarchy, HostFacts, Systemd};
pub use plan::*;

/// The version of the runtime specification that this library implements.
pub const OCI_VERSION: &str = "1.3.0";
