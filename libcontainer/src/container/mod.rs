//! The lifecycle: a file per operation.
mod checkpoint;
mod child;
mod create;
mod damaged;
mod delete;
mod events;
mod exec;
mod kill;
mod make;
mod mounts;
mod notify;
mod options;
mod pause;
mod planned;
mod rdt;
mod restore;
mod restored;
mod start;
mod state;
mod stdio;
mod store;
mod update;

pub use child::{Child, Console};
pub use events::{Event, Events};
pub use notify::Notifications;
pub use options::{CreateOptions, ExecOptions};
pub use planned::Planned;
#[cfg(any(test, fuzzing))]
pub(crate) use state::for_hooks as state_for_hooks;
pub use stdio::Stdio;
pub use update::Update;

use crate::launch::{ExitStatus, wait};
pub use crate::plan::CgroupManager;
use crate::store::{CONFIG, Folder, Record};
use crate::{Bundle, Error, ErrorKind, Result};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::fmt;
use std::os::fd::{AsFd, OwnedFd};
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// What a container is at, in the words of the runtime-spec, and runc's `paused`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
#[non_exhaustive]
pub enum Status {
    /// It is being made.
    Creating,
    /// It waits for `start`.
    Created,
    /// Its program runs.
    Running,
    /// Its processes are stopped, or about to be.
    Paused,
    /// Its init has ended.
    Stopped,
}

impl Status {
    /// Why an operation is refused that needs another one.
    fn in_the_way(self) -> ErrorKind {
        match self {
            Status::Creating => ErrorKind::Busy,
            Status::Created | Status::Stopped => ErrorKind::NotRunning,
            Status::Running => ErrorKind::Running,
            Status::Paused => ErrorKind::Paused,
        }
    }
}

impl fmt::Display for Status {
    /// As it is serialized.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Status::Creating => "creating",
            Status::Created => "created",
            Status::Running => "running",
            Status::Paused => "paused",
            Status::Stopped => "stopped",
        })
    }
}

/// A container's state, as it was when it was asked for. As JSON it is what `runc state` prints, and can be read back.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct State {
    /// The version of the runtime specification that the library followed which made the container.
    #[serde(rename = "ociVersion")]
    pub oci_version: String,
    /// Its name in the store.
    pub id: String,
    /// Of its init, in the caller's pid namespace; 0 if stopped.
    pub pid: i32,
    /// What it is at.
    pub status: Status,
    /// Absolute path of the bundle that it was made from.
    pub bundle: PathBuf,
    /// Absolute path of the root filesystem.
    pub rootfs: PathBuf,
    /// When it was made: RFC 3339 with nanoseconds, UTC.
    pub created: String,
    /// Those of config.json.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub annotations: BTreeMap<String, String>,
    /// Name of the user who made the container; empty in `state`, filled in by `list`.
    #[serde(default)]
    pub owner: String,
}

/// A container in the store, whoever has made it. Clones are the same container, and threads may share one: what changes it waits for
/// whoever is at it, in this program or another.
#[derive(Debug, Clone)]
pub struct Container {
    pub(crate) folder: Arc<Folder>,
    pub(crate) record: Arc<Record>,
    /// A pidfd of init, if it is a child of ours that we have just made.
    pub(crate) init: Option<Arc<OwnedFd>>,
}

impl Container {
    /// One that is found in the store.
    pub(crate) fn found(folder: Folder, record: Record) -> Container {
        Container { folder: Arc::new(folder), record: Arc::new(record), init: None }
    }

    /// Its name in the store.
    pub fn id(&self) -> &str {
        &self.record.id
    }

    /// A pidfd of its init: readable when that has ended.
    ///
    /// # Errors
    /// [`ErrorKind::NotRunning`] if it has, unless this object has come of [`Store::create`](crate::Store::create).
    pub fn pidfd(&self) -> Result<OwnedFd> {
        match &self.init {
            Some(init) => init.try_clone().map_err(|error| Error::io("hold on to init", "fcntl(F_DUPFD)", &error)),
            None => self.record.life()?.pidfd().ok_or_else(not_running),
        }
    }

    /// Waits until its init has ended, whoever its parent is, and leaves it to that one. How it has ended, if the kernel tells: before
    /// Linux 6.15 only of a child of ours that nobody has waited for; after it once its parent has waited for it, for which this waits
    /// a second at most. `None` if it had ended before.
    ///
    /// # Errors
    /// [`ErrorKind::System`] if it cannot be waited for.
    pub fn wait_ended(&self) -> Result<Option<ExitStatus>> {
        let pidfd = match self.pidfd() {
            Err(error) if error.kind() == ErrorKind::NotRunning => return Ok(None),
            pidfd => pidfd?,
        };
        match wait::until_ended(pidfd.as_fd()) {
            Err(error) if error.kind() == ErrorKind::Unsupported => Ok(None),
            ended => ended.map(Some),
        }
    }

    /// The bundle's directory with the config.json that `create` read.
    ///
    /// # Errors
    /// What `create` has kept cannot be read.
    pub fn bundle(&self) -> Result<Bundle> {
        let lost =
            || Error::new(ErrorKind::System, "read the container's config: there is no config.json in the store");
        Bundle::from_parts(self.record.bundle.clone(), self.folder.read(CONFIG)?.ok_or_else(lost)?)
    }

    /// What leads into its namespaces: a pidfd of init, or a socket over which it sends them, if it still waits for `start` and we
    /// may not trace it (`plan::wait`). None if it has ended.
    fn way_in(&self) -> Result<Option<OwnedFd>> {
        match self.knock()? {
            Some(socket) => Ok(Some(socket)),
            None => Ok(self.record.life()?.pidfd()),
        }
    }

    fn knock(&self) -> Result<Option<OwnedFd>> {
        use rustix::fs::OFlags;
        use rustix::io::Errno;
        use rustix::net::{RecvFlags, SocketType, recv};
        let fail = |call: &'static str| move |errno| Error::system("join the created container", call, errno);
        let Some(door) = self.folder.door()? else { return Ok(None) };
        let socket = match crate::launch::descriptors::connect(&door, SocketType::SEQPACKET) {
            // Started, or ended, since.
            Err(Errno::CONNREFUSED | Errno::NOENT) => return Ok(None),
            connected => connected.map_err(fail("connect(exec.sock)"))?,
        };
        let start = match self.folder.open_fifo(crate::plan::START, OFlags::WRONLY) {
            Err(Errno::NXIO | Errno::NOENT) => return Ok(None),
            opened => opened.map_err(fail("open(start)"))?,
        };
        rustix::io::write(&start, &[step::word::JOIN]).map_err(fail("write(start)"))?;
        // Somebody may start the container meanwhile: then there is an end instead of an answer.
        match recv(&socket, &mut [0; 1], RecvFlags::PEEK) {
            Err(Errno::CONNRESET) | Ok((0, _)) => Ok(None),
            answered => answered.map_err(fail("recv")).map(|_| Some(socket)),
        }
    }

    /// Changes a container, and nobody else does meanwhile. One that is being made would keep us waiting.
    fn locked_while_running<T>(&self, work: impl FnOnce() -> Result<T>) -> Result<T> {
        if matches!(self.status()?, Status::Stopped | Status::Creating) {
            return Err(not_running());
        }
        let _lock = self.folder.lock()?;
        work()
    }
}

/// runc's words, for whatever needs a container that runs.
fn not_running() -> Error {
    Error::new(ErrorKind::NotRunning, "container not running")
}

/// Without a terminal there is nothing to be sent over the socket.
fn check_console(terminal: bool, socket: Option<&Path>) -> Result<()> {
    match socket {
        Some(_) if !terminal => {
            Err(Error::new(ErrorKind::InvalidConfig, "a console socket for a process without a terminal"))
        }
        _ => Ok(()),
    }
}
