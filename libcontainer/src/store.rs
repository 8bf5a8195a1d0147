//! The state directory: one folder per container under a root, every write atomic, a lock per container.
//!
//! ```text
//! ROOT/ID/             0700; a lock (flock) is held on the folder itself while a container is made, changed or unmade
//!         state.json   what was intended first, then what is (`Record`)
//!         config.json  as `create` read it: later changes in the bundle do not matter; those of `update` do
//!         start.sock   init listens there while the container is `created`
//!         mounts       what `mounts add` has put into the container, a line each
//!         notify/      with the container's socket for sd_notify(3)
//!         scope        empty; systemd may have been asked for the scope that the record names
//! ```
use crate::container::{CgroupManager, Container, State};
use crate::criu::search::Opened;
use crate::plan::PlanOptions;
use crate::plan::cgroup::{Group, Unit};
use crate::sys::{self, write_all};
use crate::{Error, ErrorKind, Result};
use rustix::fd::{AsFd, BorrowedFd, OwnedFd};
use rustix::fs::{AtFlags, CWD, FlockOperation, Mode, OFlags};
use rustix::io::Errno;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

const STATE: &str = "state.json";
pub(crate) const CONFIG: &str = "config.json";
pub(crate) const START_SOCKET: &str = "start.sock";
pub(crate) const MOUNTS: &str = "mounts";
pub(crate) const NOTIFY: &str = "notify";
const SCOPE: &str = "scope";

/// What is known of a container, written before anything outside the store is made: after a SIGKILL at any
/// instruction `delete --force` finds here what to clean up.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Record {
    pub(crate) id: String,
    pub(crate) oci_version: String,
    pub(crate) bundle: PathBuf,
    pub(crate) rootfs: PathBuf,
    /// RFC 3339.
    pub(crate) created: String,
    /// uid of who made it.
    pub(crate) owner: u32,
    #[serde(default)]
    pub(crate) annotations: BTreeMap<String, String>,
    #[serde(default)]
    pub(crate) cgroup_manager: CgroupManager,
    #[serde(default)]
    pub(crate) cgroups: Vec<Group>,
    /// Those of them that were there before: what is left of them at the end is not ours to remove.
    #[serde(default)]
    pub(crate) kept_cgroups: Vec<PathBuf>,
    /// The scope that the groups belong to, if systemd makes them.
    #[serde(default)]
    pub(crate) unit: Option<Unit>,
    /// Groups of resctrl to remove with the container.
    #[serde(default)]
    pub(crate) intel_rdt: Vec<PathBuf>,
    /// Signals to init end everything only if it is pid 1 of a namespace of its own.
    pub(crate) private_pid_namespace: bool,
    /// What `start` needs to know of config.json, so that it need not read it.
    #[serde(default)]
    pub(crate) has_process: bool,
    #[serde(default)]
    pub(crate) has_poststart: bool,
    #[serde(default)]
    pub(crate) has_poststop: bool,
    /// What the plan was made with, and how many lines it had: to name the line of a failure after `create`.
    #[serde(default)]
    pub(crate) planned: PlanOptions,
    #[serde(default)]
    pub(crate) plan_lines: usize,
    /// What the standard streams were that the container was given (`pipe:[1234]`): its own may be others by now. None with a
    /// terminal. At a restore they are taken for those that the images name.
    #[serde(default)]
    pub(crate) streams: Vec<String>,
    /// CRIU, which has restored it, has put it into a time namespace that config.json does not ask for.
    #[serde(default)]
    pub(crate) time_namespace: bool,
    /// Directories of images that a restore has opened to the container's group: closed again when it is over, or by who finds it
    /// killed.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(crate) opened_images: Vec<Opened>,
    /// Absent while the container is being made.
    #[serde(default)]
    pub(crate) init: Option<ProcessId>,
}

impl Record {
    /// Init's, in the caller's pid namespace; 0 before there is one.
    pub(crate) fn pid(&self) -> i32 {
        self.init.map_or(0, |init| init.pid)
    }

    /// A pidfd of init; `None` if it has ended, or there is none yet.
    pub(crate) fn pidfd(&self) -> Option<OwnedFd> {
        self.init.and_then(ProcessId::open)
    }

    /// What is in `file`.
    pub(crate) fn parse(bytes: &[u8], file: &Path) -> Result<Record> {
        serde_json::from_slice(bytes)
            .map_err(|error| Error::new(ErrorKind::System, format!("read the state: {}: {error}", file.display())))
    }
}

/// A process and nobody else: pids are used again, pairs with a start time are not.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct ProcessId {
    pub(crate) pid: i32,
    /// In clock ticks since boot (proc_pid_stat(5), field 22).
    pub(crate) start_time: u64,
}

impl ProcessId {
    /// The process that now has `pid`; `None` if it has ended (a zombie has).
    pub(crate) fn of(pid: i32) -> Option<ProcessId> {
        let stat = crate::facts::read(format!("/proc/{pid}/stat")).ok()?;
        // The command in parentheses may itself hold spaces and parentheses.
        let mut fields = stat.rsplit_once(')')?.1.split_ascii_whitespace();
        let state = fields.next()?;
        let start_time = fields.nth(18)?.parse().ok()?;
        (!matches!(state, "Z" | "X")).then_some(ProcessId { pid, start_time })
    }

    pub(crate) fn is_alive(self) -> bool {
        ProcessId::of(self.pid) == Some(self)
    }

    /// A pidfd of exactly this process; `None` if it has ended.
    pub(crate) fn open(self) -> Option<OwnedFd> {
        let pidfd = sys::pidfd_open(self.pid).ok()?;
        // Asked after the pidfd was opened: whoever has the number now is who the pidfd stands for.
        self.is_alive().then_some(pidfd)
    }
}

/// A root directory with a folder for each container.
#[derive(Debug, Clone)]
pub struct Store {
    pub(crate) root: PathBuf,
}

impl Store {
    /// `/run/plimsoll`; `$XDG_RUNTIME_DIR/plimsoll` for who is not root, or is so only in a user namespace. An empty
    /// variable is none: Podman sets it so for root.
    pub fn default_root() -> PathBuf {
        let runtime_dir = std::env::var_os("XDG_RUNTIME_DIR").filter(|dir| !dir.is_empty());
        let root = rustix::process::geteuid().is_root();
        match runtime_dir {
            Some(dir) if !root || user_is_not_root() && crate::facts::in_user_namespace().unwrap_or(false) => {
                PathBuf::from(dir).join("plimsoll")
            }
            _ => PathBuf::from("/run/plimsoll"),
        }
    }

    /// The store at `root`, which is made (0700) when the first container is.
    pub fn open(root: impl AsRef<Path>) -> Result<Store> {
        let root = std::path::absolute(root.as_ref()).map_err(|error| Error::io("open the store", "getcwd", &error))?;
        if root == Path::new("/") {
            return Err(Error::new(ErrorKind::InvalidConfig, "Option --root argument should not be set to /"));
        }
        Ok(Store { root })
    }

    /// The container with this id; [`ErrorKind::DoesNotExist`] if there is none.
    pub fn load(&self, id: &str) -> Result<Container> {
        let folder = self.folder(id)?;
        let record = folder.read_record()?;
        Ok(Container { folder, record, child: None })
    }

    /// Every container's state, sorted by id; what cannot be read is an error of its own entry.
    pub fn list(&self) -> Result<Vec<(String, Result<State>)>> {
        let entries = match std::fs::read_dir(&self.root) {
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(Vec::new()),
            entries => entries
                .map_err(|error| Error::io("list containers", format!("open({})", self.root.display()), &error))?,
        };
        let mut ids: Vec<String> = entries
            .flatten()
            .filter(|entry| entry.file_type().is_ok_and(|kind| kind.is_dir()))
            .filter_map(|entry| entry.file_name().into_string().ok())
            .filter(|id| check_id(id).is_ok())
            .collect();
        ids.sort();
        let state = |id: &str| -> Result<State> {
            let container = self.load(id)?;
            let mut state = container.state()?;
            let owner = container.record.owner;
            state.owner = user_name(owner).unwrap_or_else(|| format!("#{owner}"));
            Ok(state)
        };
        Ok(ids
            .into_iter()
            .map(|id| {
                let state = state(&id);
                (id, state)
            })
            // Deleted since it was listed.
            .filter(|(_, state)| !matches!(state, Err(error) if error.kind() == ErrorKind::DoesNotExist))
            .collect())
    }

    /// Removes what a `create` that died before it wrote its record, or a `delete` that died after, has left; `false` if there is
    /// a container by now: its `create` had only not come to the record yet.
    pub fn remove_remains(&self, id: &str) -> Result<bool> {
        let folder = self.folder(id)?;
        folder.lock()?;
        if folder.has(STATE) {
            return Ok(false);
        }
        folder.remove().map(|()| true)
    }

    /// The folder of a container that exists.
    fn folder(&self, id: &str) -> Result<Folder> {
        check_id(id)?;
        let path = self.root.join(id);
        match open_directory(CWD, &path) {
            Err(Errno::NOENT | Errno::NOTDIR) => Err(Error::new(ErrorKind::DoesNotExist, "container does not exist")),
            opened => {
                let directory = opened
                    .map_err(|errno| Error::system("open the container", format!("open({})", path.display()), errno))?;
                Ok(Folder { path, directory })
            }
        }
    }

    /// A new folder, locked.
    pub(crate) fn make_folder(&self, id: &str) -> Result<Folder> {
        check_id(id)?;
        let path = self.root.join(id);
        let fail = |errno| {
            let error = Error::system("make the container's folder", format!("mkdir({})", path.display()), errno);
            // What an ordinary user without a login session runs into first.
            if errno == Errno::ACCESS {
                error.detail("hint: XDG_RUNTIME_DIR or --root names a store of your own")
            } else {
                error
            }
        };
        loop {
            self.make_directory(&path, fail)?;
            // As long as it is not locked, `delete` may take it for the remains of another `create`, and remove it.
            let directory = match open_directory(CWD, &path) {
                Err(Errno::NOENT) => continue,
                opened => opened.map_err(fail)?,
            };
            let folder = Folder { path: path.clone(), directory };
            match folder.lock() {
                Err(gone) if gone.kind() == ErrorKind::DoesNotExist => {}
                locked => return locked.map(|()| folder),
            }
        }
    }

    fn make_directory(&self, path: &Path, fail: impl Fn(Errno) -> Error) -> Result<()> {
        let mode = Mode::from_raw_mode(0o700);
        let made = match rustix::fs::mkdir(path, mode) {
            Err(Errno::NOENT) => {
                std::os::unix::fs::DirBuilderExt::mode(std::fs::DirBuilder::new().recursive(true), 0o700)
                    .create(&self.root)
                    .map_err(|error| Error::io("make the store", format!("mkdir({})", self.root.display()), &error))?;
                rustix::fs::mkdir(path, mode)
            }
            made => made,
        };
        match made {
            Err(Errno::EXIST) => Err(Error::new(ErrorKind::Exists, "container with given ID already exists")),
            made => made.map_err(fail),
        }
    }
}

/// To be said in the container's folder before systemd is asked for its scope: from then on `delete` has one to end, even if
/// nothing of it is there yet.
pub(crate) fn note_scope(folder: BorrowedFd<'_>) -> Result<()> {
    let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    match rustix::fs::openat(folder, SCOPE, flags, Mode::from_raw_mode(0o600)) {
        Ok(_) => Ok(()),
        Err(errno) => Err(Error::system("write the state", "open(scope)", errno)),
    }
}

/// `[A-Za-z0-9_+.-]+`, but not `.` and `..`, and no longer than a file name.
pub(crate) fn check_id(id: &str) -> Result<()> {
    let known = |byte: u8| byte.is_ascii_alphanumeric() || b"_+.-".contains(&byte);
    if id.is_empty() || id.len() > 255 || id == "." || id == ".." || !id.bytes().all(known) {
        return Err(Error::new(ErrorKind::InvalidId, "invalid container ID format"));
    }
    Ok(())
}

/// Podman calls with hardly any environment: who does not say that it is root's is not.
fn user_is_not_root() -> bool {
    std::env::var_os("USER").is_none_or(|user| user != "root")
}

/// What passwd(5) calls a user.
pub(crate) fn user_name(uid: u32) -> Option<String> {
    let passwd = std::fs::read_to_string("/etc/passwd").ok()?;
    let number = uid.to_string();
    let line = passwd.lines().find(|line| line.split(':').nth(2) == Some(&number))?;
    line.split(':').next().map(str::to_owned)
}

fn open_directory(at: BorrowedFd<'_>, path: &Path) -> rustix::io::Result<OwnedFd> {
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    rustix::fs::openat(at, path, flags, Mode::empty())
}

/// A container's folder.
#[derive(Debug)]
pub(crate) struct Folder {
    path: PathBuf,
    directory: OwnedFd,
}

impl Folder {
    pub(crate) fn fd(&self) -> BorrowedFd<'_> {
        self.directory.as_fd()
    }

    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// Waits until nobody else makes or unmakes this container. Released when the folder is dropped.
    pub(crate) fn lock(&self) -> Result<()> {
        loop {
            match rustix::fs::flock(&self.directory, FlockOperation::LockExclusive) {
                Err(Errno::INTR) => {}
                locked => break locked.map_err(|errno| self.error("lock the container", "flock", errno))?,
            }
        }
        self.check_is_there()
    }

    /// It may have been removed, or removed and made again, while we waited.
    fn check_is_there(&self) -> Result<()> {
        let gone = || Error::new(ErrorKind::DoesNotExist, "container does not exist");
        let ours = rustix::fs::fstat(&self.directory).map_err(|_| gone())?;
        let now = rustix::fs::statat(CWD, &self.path, AtFlags::SYMLINK_NOFOLLOW).map_err(|_| gone())?;
        if (ours.st_dev, ours.st_ino) != (now.st_dev, now.st_ino) {
            return Err(gone());
        }
        Ok(())
    }

    /// The same without waiting; `false` if somebody else holds it.
    pub(crate) fn try_lock(&self) -> Result<bool> {
        match rustix::fs::flock(&self.directory, FlockOperation::NonBlockingLockExclusive) {
            Err(Errno::WOULDBLOCK) => return Ok(false),
            locked => locked.map_err(|errno| self.error("lock the container", "flock", errno))?,
        }
        self.check_is_there().map(|()| true)
    }

    /// Somebody holds the lock.
    pub(crate) fn is_locked(&self) -> bool {
        // A descriptor of its own: the lock belongs to the open file, and this one may be the holder's.
        let Ok(again) = open_directory(self.fd(), Path::new(".")) else { return false };
        rustix::fs::flock(&again, FlockOperation::NonBlockingLockExclusive) == Err(Errno::WOULDBLOCK)
    }

    /// Lets others make changes, without waiting for the end of this process.
    pub(crate) fn unlock(&self) {
        let _ = rustix::fs::flock(&self.directory, FlockOperation::Unlock);
    }

    pub(crate) fn read(&self, name: &str) -> rustix::io::Result<Vec<u8>> {
        let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let file = rustix::fs::openat(&self.directory, name, flags, Mode::empty())?;
        let size = usize::try_from(rustix::fs::fstat(&file)?.st_size).unwrap_or(0);
        let mut bytes = Vec::with_capacity(size + 1);
        while rustix::io::read(&file, rustix::buffer::spare_capacity(&mut bytes))? > 0 {
            bytes.reserve(4096);
        }
        Ok(bytes)
    }

    /// Writes a file that nobody reads before the record is there.
    pub(crate) fn write_new(&self, name: &str, bytes: &[u8]) -> Result<()> {
        let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        rustix::fs::openat(&self.directory, name, flags, Mode::from_raw_mode(0o600))
            .and_then(|file| write_all(&file, bytes))
            .map_err(|errno| self.error("write the state", &format!("write({name})"), errno))
    }

    /// Writes a file whole or not at all.
    pub(crate) fn write(&self, name: &str, bytes: &[u8]) -> Result<()> {
        let new = format!(".{name}");
        let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::TRUNC | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        rustix::fs::openat(&self.directory, &new, flags, Mode::from_raw_mode(0o600))
            .and_then(|file| write_all(&file, bytes))
            .and_then(|()| rustix::fs::renameat(&self.directory, &new, &self.directory, name))
            .map_err(|errno| self.error("write the state", &format!("write({name})"), errno))
    }

    pub(crate) fn read_record(&self) -> Result<Record> {
        let bytes = match self.read(STATE) {
            Err(Errno::NOENT) => return Err(Error::new(ErrorKind::DoesNotExist, "container does not exist")),
            read => read.map_err(|errno| self.error("read the state", "read(state.json)", errno))?,
        };
        Record::parse(&bytes, &self.path.join(STATE))
    }

    pub(crate) fn write_record(&self, record: &Record) -> Result<()> {
        let bytes = serde_json::to_vec(record)
            .map_err(|error| Error::new(ErrorKind::System, format!("write the state: {error}")))?;
        self.write(STATE, &bytes)
    }

    /// init waits for `start`.
    pub(crate) fn awaits_start(&self) -> bool {
        self.has(START_SOCKET)
    }

    /// A scope of the name in the record is the container's, or nobody's.
    pub(crate) fn has_asked_for_scope(&self) -> bool {
        self.has(SCOPE)
    }

    fn has(&self, name: &str) -> bool {
        rustix::fs::accessat(&self.directory, name, rustix::fs::Access::EXISTS, AtFlags::empty()).is_ok()
    }

    pub(crate) fn start_socket(&self) -> PathBuf {
        self.path.join(START_SOCKET)
    }

    /// From here on the container is `running`.
    pub(crate) fn remove_start_socket(&self) {
        let _ = rustix::fs::unlinkat(&self.directory, START_SOCKET, AtFlags::empty());
    }

    /// Removes the folder; the record last, so that whoever dies here can be succeeded.
    pub(crate) fn remove(&self) -> Result<()> {
        let mut names: Vec<_> =
            std::fs::read_dir(&self.path).into_iter().flatten().flatten().map(|entry| entry.file_name()).collect();
        names.sort_by_key(|name| name == STATE);
        for name in names {
            match rustix::fs::unlinkat(&self.directory, &name, AtFlags::empty()) {
                Ok(()) | Err(Errno::NOENT) => {}
                Err(Errno::ISDIR) if name == NOTIFY => self.remove_notify()?,
                Err(errno) => {
                    return Err(self.error("remove the state", &format!("unlink({})", name.display()), errno));
                }
            }
        }
        match rustix::fs::unlinkat(CWD, &self.path, AtFlags::REMOVEDIR) {
            Ok(()) | Err(Errno::NOENT) => Ok(()),
            Err(errno) => Err(self.error("remove the state", "rmdir", errno)),
        }
    }

    /// Makes the directory of the socket. The container's processes look for it by no path of the host's.
    pub(crate) fn make_notify(&self) -> Result<()> {
        rustix::fs::mkdirat(&self.directory, NOTIFY, Mode::from_raw_mode(0o755))
            .map_err(|errno| self.error("make a socket for notifications", "mkdir(notify)", errno))
    }

    fn remove_notify(&self) -> Result<()> {
        let removed = open_directory(self.fd(), Path::new(NOTIFY))
            .map(|directory| rustix::fs::unlinkat(directory, crate::plan::NOTIFY_SOCKET, AtFlags::empty()))
            .and_then(|_| rustix::fs::unlinkat(&self.directory, NOTIFY, AtFlags::REMOVEDIR));
        removed.map_err(|errno| self.error("remove the state", "rmdir(notify)", errno))
    }

    fn error(&self, what: &str, call: &str, errno: Errno) -> Error {
        Error::system(what, call, errno).detail(format!("in {}", self.path.display()))
    }
}
