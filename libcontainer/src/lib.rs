//! Runs OCI containers: a config.json becomes a plan, a plan a process.
//!
//! ```no_run
//! use libcontainer::{Bundle, CreateOptions, Store};
//!
//! let store = Store::open("/run/my-engine")?;
//! let bundle = Bundle::open("/srv/web")?;
//! let (container, init) = store.create("web", &bundle, CreateOptions::new())?;
//! container.start()?;
//! println!("web has ended: {}", init.wait()?);
//! container.delete()?;
//! # libcontainer::Result::Ok(())
//! ```
//!
//! # Lifecycle
//!
//! A [`Store`] is a directory with a folder for each container. [`Store::create`] makes one from a [`Bundle`] and comes back when its
//! init waits for [`Container::start`]: everything is checked, mounted and limited, and what init may do is final. What `create` and
//! [`Store::restore`] and [`Container::exec`] start comes as a [`Child`] besides. [`Container::delete`] removes everything that
//! `create` has made; [`Container::force_delete`] ends the processes first. Whoever comes later finds the container by
//! [`Store::load`], in this program or another.
//!
//! [`Store::plan`] decides what `create` would do and does nothing: its [`Plan`] is data, to be looked at before
//! [`Store::create_planned`] plays it.
//!
//! A call that fails has left nothing, and says why in one sentence; [`Error::kind`] is what a caller can act on.
//!
//! # Threads
//!
//! Everything takes `&self` and is `Send` and `Sync`; clones of a [`Container`] or a [`Store`] are the same one. What changes a
//! container locks it, on disk: calls in other threads and other processes wait, and nothing of an update is lost. Nothing is
//! remembered of containers between calls, no thread outlives a call, no signal handler is set.
//!
//! The processes that are started share the memory of the calling thread until they execute their first program, so that neither
//! threads nor the size of this program matter, and no code of it runs in them.
//!
//! # Children and reaping
//!
//! What the library starts are children of this program: init, the process of an `exec`, hooks, newuidmap(1), CRIU. It waits for
//! hooks and helpers itself, and for no other process. Init and the processes of `exec` are the caller's to wait for, by [`Child`]:
//!
//! * A [`Child`] that is dropped is not waited for, and the process stays a zombie until this program ends. As long as one of an
//!   `exec` does, its pid namespace cannot end either, and `delete` fails after ten seconds ([`ErrorKind::Timeout`]).
//! * `delete` ends the processes of a container, and leaves init's status to who holds its [`Child`].
//! * If another part of this program waits for any child (`waitpid(-1)`, as a subreaper has to), or SIGCHLD is ignored, the status of
//!   a [`Child`] is known all the same since Linux 6.15. Before, [`Child::wait`] is an error that says so, and such a program takes
//!   the status from its own `waitpid` by [`Child::pid`]. Hooks and helpers fail then, saying that there is no child.
//! * After [`Store::load`] the init is somebody else's child: [`Container::pidfd`] and [`Container::wait_ended`] tell of its end.
//!
//! # What blocks, and how long
//!
//! | call | waits for |
//! |---|---|
//! | [`Store::create`], [`Store::create_planned`], [`Container::exec`] | init: some milliseconds; hooks, as long as their `timeout`; systemd, at most 30 s |
//! | [`Store::restore`], [`Container::checkpoint`] | CRIU: as long as it takes for the container's memory |
//! | [`Container::start`] | startContainer hooks, the `execve` of the program, poststart hooks |
//! | [`Child::wait`], [`Container::wait_ended`], [`Events::wait`], [`Notifications::relay`] | what they are called after |
//! | [`Container::delete`], [`Container::force_delete`] | the ends of processes, at most 10 s; systemd; poststop hooks |
//! | [`Container::pause`] | the freezer, at most 10 s |
//! | [`Container::update`], [`Container::pause`], [`Container::resume`], [`Container::add_mounts`] | whoever is changing the same container |
//! | everything else | nothing but the kernel |
//!
//! There is no `async fn`, and no runtime to choose: what takes milliseconds goes to a thread for blocking calls, and ends are
//! descriptors. [`Child`], [`Container::pidfd`] and [`Events`] are readable when there is something to hear;
//! `tokio::io::unix::AsyncFd`, epoll(7) or poll(2) wait for any number of them
//! ([examples/tokio.rs](https://github.com/plimsoll/plimsoll/blob/main/libcontainer/examples/tokio.rs)).
//!
//! # Security
//!
//! A created container is as hard as a running one: capabilities, ids, filters and labels are in place before anybody hears of it. Init
//! is a sealed copy of a program without an allocator. When the container's program begins, nothing of the host's is open but the
//! standard streams and [`CreateOptions::preserve`]. What config.json asks for and this host cannot do is an error, never left out. What
//! is trusted: the caller, config.json, hooks. What is not: the image, the container's processes, a checkpoint's images.
//!
//! # What needs root
//!
//! Nothing, for a container with a user namespace of its own: its ids have to be in subuid(5) and subgid(5), or one id is mapped. Its
//! cgroups come from a systemd of the user's ([`CgroupManager::Systemd`]) or from a delegated group; limits without one are an error.
//! Without a user namespace `create` takes root with CAP_SYS_ADMIN. Reading a plan ([`Plan::new`]) takes nothing.
#![warn(missing_docs)]

#[macro_use]
mod setters;

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
pub use launch::{ExitStatus, sealed};
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
