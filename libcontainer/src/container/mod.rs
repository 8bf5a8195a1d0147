//! The lifecycle: a file per operation.
mod checkpoint;
mod create;
mod damaged;
mod delete;
mod events;
mod exec;
mod kill;
mod make;
mod mounts;
mod notify;
mod pause;
mod planned;
mod rdt;
mod restore;
mod restored;
mod start;
mod state;
mod store;
mod update;

pub use events::{Event, Events};
pub use notify::Notifications;
pub use planned::Planned;
#[cfg(any(test, fuzzing))]
pub(crate) use state::for_hooks as state_for_hooks;
pub use update::Update;

pub use crate::plan::CgroupManager;
use crate::store::{CONFIG, Folder, Record};
use crate::{Bundle, Error, ErrorKind, Result};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::fmt;
use std::os::fd::{BorrowedFd, OwnedFd};
use std::path::PathBuf;

/// What a caller of `create` decides besides config.json.
#[derive(Debug, Clone, Default)]
#[non_exhaustive]
pub struct CreateOptions {
    /// Written atomically, decimal, without a newline.
    pub pid_file: Option<PathBuf>,
    /// Unix socket that gets the console's master; needed exactly if `process.terminal` is set and nobody takes
    /// it.
    pub console_socket: Option<PathBuf>,
    /// The caller takes the console's master itself ([`Child::take_console`]).
    pub own_console: bool,
    /// Unix socket that gets a pidfd of init.
    pub pidfd_socket: Option<PathBuf>,
    /// So many descriptors from 3 on stay open in the container.
    pub preserve_fds: u32,
    /// Before those: descriptors of systemd's socket activation, which the container learns of in `LISTEN_FDS`.
    pub listen_fds: u32,
    /// `MS_MOVE` and `chroot` instead of `pivot_root`.
    pub no_pivot: bool,
    /// Keep the caller's session keyring.
    pub no_new_keyring: bool,
    /// Give the container a socket for sd_notify(3), for [`Container::notifications`].
    pub notify: bool,
    pub cgroup_manager: CgroupManager,
    /// Whether to go without cgroups that the caller may not make and nobody asked for; `None`: unless it is root of the host.
    pub rootless: Option<bool>,
    /// Where to note what takes how long.
    pub trace: Option<crate::Trace>,
    /// Descriptors that become the container's standard streams; the caller's own if `None`.
    pub stdio: Option<[std::os::fd::RawFd; 3]>,
}

/// What a caller of `exec` decides besides the process.
#[derive(Debug, Clone, Default)]
#[non_exhaustive]
pub struct ExecOptions {
    pub pid_file: Option<PathBuf>,
    pub console_socket: Option<PathBuf>,
    pub own_console: bool,
    pub pidfd_socket: Option<PathBuf>,
    pub preserve_fds: u32,
    /// Sub-cgroups below the container's own: (controllers, path); no controllers stands for all.
    pub cgroups: Vec<(Vec<String>, String)>,
    /// Also in a paused container.
    pub ignore_paused: bool,
    /// Where to note what takes how long.
    pub trace: Option<crate::Trace>,
    pub stdio: Option<[std::os::fd::RawFd; 3]>,
}

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

/// A process that the library has started: a child of the caller.
#[derive(Debug)]
pub struct Child {
    pub(crate) pid: i32,
    pub(crate) pidfd: OwnedFd,
    pub(crate) console: Option<OwnedFd>,
}

impl Child {
    /// In the caller's pid namespace.
    pub fn pid(&self) -> i32 {
        self.pid
    }

    /// Readable when the process has ended.
    pub fn pidfd(&self) -> BorrowedFd<'_> {
        use std::os::fd::AsFd;
        self.pidfd.as_fd()
    }

    /// The console's master, if `own_console` was asked for and the process has a terminal.
    pub fn take_console(&mut self) -> Option<OwnedFd> {
        self.console.take()
    }

    /// How it has ended, if it has; whoever waits for it finds it still.
    pub(crate) fn ended(&self) -> Option<rustix::process::WaitIdStatus> {
        use rustix::process::{WaitId, WaitIdOptions, waitid};
        // What it had open is closed before it can be waited for.
        let options = WaitIdOptions::EXITED | WaitIdOptions::NOWAIT;
        waitid(WaitId::PidFd(self.pidfd()), options).ok().flatten()
    }

    /// Waits; the exit status, or 128 + signal.
    pub fn wait(&self) -> Result<i32> {
        use rustix::process::{WaitId, WaitIdOptions};
        use std::os::fd::AsFd;
        loop {
            match rustix::process::waitid(WaitId::PidFd(self.pidfd.as_fd()), WaitIdOptions::EXITED) {
                Err(rustix::io::Errno::INTR) => {}
                waited => {
                    let status = waited.map_err(|errno| Error::system("wait for the container", "waitid", errno))?;
                    let signal = || status.and_then(|status| status.terminating_signal()).map(|signal| 128 + signal);
                    return Ok(status.and_then(|status| status.exit_status()).or_else(signal).unwrap_or(255));
                }
            }
        }
    }
}

/// A container in the store.
#[derive(Debug)]
pub struct Container {
    pub(crate) folder: Folder,
    pub(crate) record: Record,
    pub(crate) child: Option<Child>,
}

impl Container {
    /// Its name in the store.
    pub fn id(&self) -> &str {
        &self.record.id
    }

    /// init as a child of the caller; only right after `create`.
    pub fn child(&mut self) -> Option<&mut Child> {
        self.child.as_mut()
    }

    /// The bundle's directory with the config.json that `create` read.
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

/// A terminal needs somebody who takes its master; nothing else does.
fn check_console(terminal: bool, socket: bool, own: bool) -> Result<()> {
    let message = match (terminal, socket || own) {
        (true, false) => "cannot allocate tty if runc will detach without setting console socket",
        (false, true) if socket => "cannot use console socket if runc will not detach or allocate tty",
        _ => return Ok(()),
    };
    Err(Error::new(ErrorKind::InvalidConfig, message))
}
