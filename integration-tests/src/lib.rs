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
//! * [`see`]: reading what a payload printed: `/proc/self/{status,mountinfo}`
//! * [`terminal`]: pseudo terminals and console sockets
//! * [`cgroup`]: the hierarchies of this machine
//! * [`mod@systemd`]: the real one, and one that is played
//! * [`storm`]: commands on the same ids at once
//! * [`measure`]: cheap process starts and medians, for the programs in `src/bin`

pub mod cgroup;
pub mod container;
pub mod deviations;
pub mod measure;
pub mod output;
pub mod runtime;
pub mod see;
pub mod storm;
pub mod systemd;
pub mod terminal;

pub use container::Container;
pub use deviations::known_deviation;
pub use output::{Output, wait_until};
pub use runtime::{Runtime, runtime};
