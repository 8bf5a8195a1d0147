//! Run OCI containers: config.json → plan → init.
mod cgroup;
mod check;
mod container;
mod criu;
mod facts;
pub mod features;
mod file;
#[cfg(any(test, fuzzing))]
pub mod fuzz;
mod launch;
mod mountinfo;
mod open_bundle;
pub mod stats;
mod store;
mod sys;
mod systemd;
mod trace;

pub(crate) use plimsoll_plan as plan;

pub use cgroup::FreezerState;
pub use check::{Concern, Finding};
pub use container::{
    CgroupManager, Child, Console, Container, CreateOptions, Event, Events, ExecOptions, Notifications, Planned, State,
    Status, Stdio, Update,
};
pub use criu::{CriuOptions, ManageCgroups, NetworkLock};
pub use facts::HostFacts;
pub use features::{Features, OCI_VERSION};
pub use file::{read_file, read_limited};
pub use launch::ExitStatus;
pub use oci_spec;
pub use open_bundle::Bundle;
pub use plimsoll_plan::{
    EnvValues, Error, ErrorKind, Hierarchy, Line, Plan, PlanOptions, Result, Systemd, clean_path, describe_errno,
    describe_io,
};

/// What the lines of a [`Plan`] are made of.
pub mod steps {
    pub use plimsoll_plan::cgroup::{Group, Property, Unit, Value};
    pub use plimsoll_plan::line::{
        Action, HookKind, HostStep, IdMap, IdMappedMount, InitStep, Origin, Tolerate, ZString,
    };
    pub use step::{Attributes, Device, Link, Lsm, Mounted, Options, Present, Slot, Source, Step, Target};
}

pub use stats::Stats;
pub use store::Store;
pub use trace::Trace;
