//! Drives any OCI runtime as an engine would: by its command line only.
//!
//! ```no_run
//! use plimsoll_integration_tests::Container;
//! use serde_json::json;
//!
//! let seen = Container::new().set("/hostname", json!("ship")).shell("hostname").run();
//! assert_eq!(seen.ok(), "ship");
//! ```
//!
//! `RUNTIME=plimsoll|runc|crun|/a/path` chooses who is tested. The tests are tested themselves on runc and crun;
//! where those are known to do something else, [`deviations`] says so, and why.
//!
//! * [`mod@runtime`]: who is tested, and how it must be called on this machine
//! * [`container`]: a bundle in a temporary directory, the container that runs from it, and what is left of them
//! * [`output`]: what a call said, and what was expected
//! * [`saved`]: containers that CRIU saves and restores
//! * [`see`]: reading what a payload printed: `/proc/self/{status,mountinfo}`
//! * [`skip`]: what a test needs that this machine lacks
//! * [`terminal`]: pseudo terminals and console sockets
//! * [`cgroup`]: the hierarchies of this machine
//! * [`mod@systemd`]: the real one, and one that is played
//! * [`storm`]: commands on the same ids at once
//! * [`measure`]: cheap process starts and medians, for the programs in `src/bin`
//! * [`harness`]: what the programs share that kill a runtime or let its calls fail
//! * [`fingerprint`]: what a container is, to be compared
//! * [`fault`]: a tracer that lets one system call fail; [`syscalls`]: their names

pub mod cgroup;
pub mod container;
pub mod deviations;
#[cfg(all(target_arch = "x86_64", target_env = "gnu"))]
pub mod fault;
pub mod fingerprint;
pub mod harness;
pub mod measure;
pub mod output;
mod rootfs;
pub mod runtime;
pub mod saved;
pub mod see;
pub mod skip;
pub mod storm;
pub mod syscalls;
pub mod systemd;
pub mod terminal;

pub use container::{Container, hook};
pub use deviations::known_deviation;
pub use output::{Output, attempts, wait_until};
pub use runtime::{Runtime, runtime};
pub use see::kernel_is_at_least;
pub use skip::skips;
