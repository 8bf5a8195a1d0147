//! The state directory: one folder per container under a root, every write atomic, a lock per container.
//!
//! ```text
//! ROOT/ID/             0700; a lock (flock) is held on the folder itself while a container is made, changed or unmade
//!         state.json   what was intended first, then what is (`Record`)
//!         config.json  as `create` read it: later changes in the bundle do not matter; those of `update` do
//!         init         a link to nowhere that says who init is, once there is one
//!         start        a FIFO: init reads from it while the container is `created` …
//!         said         … and writes to this one how it goes from then on
//!         exec.sock    init listens there, if an `exec` into the created container needs its help
//!         mounts       what `mounts add` has put into the container, a line each
//!         notify/      with the container's socket for sd_notify(3)
//!         root/        empty; where a restore mounts the root filesystem, in a mount namespace of CRIU's
//!         scope        empty; systemd may have been asked for the scope that the record names
//! ROOT/~ID/            the same before it is a container: no id begins so
//! ```
//!
//! A folder gets its name when config and record are in it, and loses it when nothing is left of the container; both by who holds its
//! lock. So whoever sees the name sees a container, and whoever has the lock has the one that the name stands for (0011).
mod folder;
mod identity;
mod record;
mod trust;

pub(crate) use folder::{Folder, Found, Lock};
pub(crate) use identity::{Life, ProcessId};
pub(crate) use record::Record;

use crate::{Error, ErrorKind, Result};
use folder::is_there;
use rustix::fd::{AsFd, BorrowedFd, OwnedFd};
use rustix::fs::{AtFlags, CWD, Dir, FileType, Mode, OFlags};
use rustix::io::Errno;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

const STATE: &str = "state.json";
pub(crate) const CONFIG: &str = "config.json";
pub(crate) const NOTIFY: &str = "notify";
const ROOT: &str = "root";
const INIT: &str = "init";

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
            // may fail: without /proc nothing can be made, and every command that needs more says so.
            Some(dir) if !root || user_is_not_root() && crate::facts::in_user_namespace().unwrap_or(false) => {
                PathBuf::from(dir).join("plimsoll")
            }
            _ => PathBuf::from("/run/plimsoll"),
        }
    }

    /// The store at `root`, which is made (0700) when the first container is.
    ///
    /// # Errors
    /// [`ErrorKind::InvalidConfig`] if `root` is `/`; the working directory is gone, where `root` is relative.
    pub fn open(root: impl AsRef<Path>) -> Result<Store> {
        let root = std::path::absolute(root.as_ref()).map_err(|error| Error::io("open the store", "getcwd", &error))?;
        if root == Path::new("/") {
            return Err(Error::new(ErrorKind::InvalidConfig, "a store cannot be in /"));
        }
        Ok(Store { root })
    }

    /// All folders that may be containers, sorted by name; each is opened when it is its turn, below one root directory.
    pub(crate) fn folders(&self) -> Result<impl Iterator<Item = (String, Result<Folder>)>> {
        let root = self.root()?;
        let ids = root.as_ref().map_or(Ok(Vec::new()), |root| self.ids(root.as_fd()))?;
        Ok(ids.into_iter().map(move |id| {
            let folder = self.folder_in(root.as_ref(), &id);
            (id, folder)
        }))
    }

    fn ids(&self, root: BorrowedFd<'_>) -> Result<Vec<String>> {
        let fail =
            |call: &str, errno| Error::system("list containers", format!("{call}({})", self.root.display()), errno);
        let listing = folder::open_directory(root, ".").map_err(|errno| fail("open", errno))?;
        let mut ids = Vec::new();
        for entry in Dir::new(listing).map_err(|errno| fail("getdents", errno))? {
            let entry = entry.map_err(|errno| fail("getdents", errno))?;
            let id = entry.file_name().to_string_lossy();
            // Some filesystems do not say what it is; to be opened as a folder is to be one.
            let is_folder = matches!(entry.file_type(), FileType::Directory | FileType::Unknown);
            if is_folder && check_id(&id).is_ok() {
                ids.push(id.into_owned());
            }
        }
        ids.sort();
        Ok(ids)
    }

    /// Removes what is left of a container without a record: of a `create` that died before its container had a name, or of a
    /// `delete` that died in the end. `false` if there is a container by now.
    pub(crate) fn remove_remains(&self, id: &str) -> Result<bool> {
        check_id(id)?;
        self.remove_draft(id)?;
        let folder = self.folder(id)?;
        let lock = folder.lock()?;
        if folder.has(STATE)? || folder.has(CONFIG)? {
            return Ok(false);
        }
        folder.remove(&lock).map(|()| true)
    }

    /// The draft that a `create` of this id has left when it died. One that is at work keeps its own.
    pub(crate) fn remove_draft(&self, id: &str) -> Result<()> {
        let (Some(root), name) = (self.root()?, draft_name(id)) else { return Ok(()) };
        let Some(draft) = Folder::open(root, &self.root, id, &name)? else { return Ok(()) };
        match draft.try_lock_as(&name) {
            Ok(Some(lock)) => draft.remove_as(&name, &lock),
            Err(error) if error.kind() != ErrorKind::NotFound => Err(error),
            _ => Ok(()),
        }
    }

    /// The folder of a container that exists.
    pub(crate) fn folder(&self, id: &str) -> Result<Folder> {
        check_id(id)?;
        self.folder_in(self.root()?.as_ref(), id)
    }

    fn folder_in(&self, root: Option<&Arc<OwnedFd>>, id: &str) -> Result<Folder> {
        let folder = root.map_or(Ok(None), |root| Folder::open(Arc::clone(root), &self.root, id, id))?;
        folder.ok_or_else(|| Error::new(ErrorKind::NotFound, "container does not exist"))
    }

    /// A new folder of this name with what `fill` puts into it, which has to be a config and a record; locked.
    pub(crate) fn make_folder<T>(
        &self,
        id: &str,
        fill: impl FnOnce(&Draft<'_>) -> Result<T>,
    ) -> Result<(Folder, Lock, T)> {
        check_id(id)?;
        let root = self.make_root()?;
        let is_taken = || is_there(root.as_fd(), id).map_err(|errno| self.not_made("stat", id, errno));
        if is_taken()? {
            return Err(exists());
        }
        let (folder, lock) = self.draft(&root, id)?;
        let filled = fill(&Draft(&folder)).and_then(|filled| folder.publish().map(|()| filled));
        match filled {
            Ok(filled) => Ok((folder, lock, filled)),
            Err(error) => {
                folder.remove_as(&draft_name(id), &lock)?;
                // What stood in our way may have been its, whoever has come first.
                Err(if is_taken()? { exists() } else { error })
            }
        }
    }

    /// A folder that has no id's name yet, locked. Whatever a `create` that died has left in it will be overwritten.
    fn draft(&self, root: &Arc<OwnedFd>, id: &str) -> Result<(Folder, Lock)> {
        let name = draft_name(id);
        let mut made = false;
        let drafted = self.draft_as(root, id, &name, &mut made);
        if made && drafted.is_err() {
            // may fail: whoever has come first may have put something into it. What matters is why it is not ours.
            _ = rustix::fs::unlinkat(root, &name, AtFlags::REMOVEDIR);
        }
        drafted
    }

    fn draft_as(&self, root: &Arc<OwnedFd>, id: &str, name: &str, made: &mut bool) -> Result<(Folder, Lock)> {
        loop {
            match rustix::fs::mkdirat(root, name, Mode::from_raw_mode(0o700)) {
                Ok(()) => *made = true,
                Err(Errno::EXIST) => {}
                Err(errno) => return Err(self.not_made("mkdir", name, errno)),
            }
            // As long as it is not locked, somebody may take it for remains, or for his own.
            let Some(folder) = Folder::open(Arc::clone(root), &self.root, id, name)? else { continue };
            match folder.try_lock_as(name) {
                Ok(Some(lock)) => return Ok((folder, lock)),
                Ok(None) if is_there(root.as_fd(), id).map_err(|errno| self.not_made("stat", id, errno))? => {
                    return Err(exists());
                }
                // Another `create` is about to have the name, or somebody clears away.
                Ok(None) => std::thread::sleep(Duration::from_millis(1)),
                Err(error) if error.kind() == ErrorKind::NotFound => {}
                Err(error) => return Err(error),
            }
        }
    }

    /// The root directory, by descriptor: what it is found to be it stays, whoever may exchange directories above it. `None` if there
    /// is none.
    fn root(&self) -> Result<Option<Arc<OwnedFd>>> {
        let fail =
            |call: &str, errno| Error::system("open the store", format!("{call}({})", self.root.display()), errno);
        let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let root = match rustix::fs::openat(CWD, &self.root, flags, Mode::empty()) {
            Err(Errno::NOENT | Errno::NOTDIR) => return Ok(None),
            opened => opened.map_err(|errno| fail("open", errno))?,
        };
        trust::check_root(&self.root, &rustix::fs::fstat(&root).map_err(|errno| fail("fstat", errno))?)?;
        Ok(Some(Arc::new(root)))
    }

    fn make_root(&self) -> Result<Arc<OwnedFd>> {
        if let Some(root) = self.root()? {
            return Ok(root);
        }
        std::os::unix::fs::DirBuilderExt::mode(std::fs::DirBuilder::new().recursive(true), 0o700)
            .create(&self.root)
            .map_err(|error| {
                let made = Error::io("make the store", format!("mkdir({})", self.root.display()), &error);
                if error.kind() == std::io::ErrorKind::PermissionDenied { made.detail(HINT) } else { made }
            })?;
        self.root()?.ok_or_else(|| self.not_made("open", "", Errno::NOENT))
    }

    fn not_made(&self, call: &str, name: &str, errno: Errno) -> Error {
        let call = format!("{call}({})", self.root.join(name).display());
        let error = Error::system("make the container's folder", call, errno);
        if errno == Errno::ACCESS { error.detail(HINT) } else { error }
    }
}

/// What an ordinary user without a login session runs into first.
const HINT: &str = "hint: XDG_RUNTIME_DIR or --root names a store of your own";

/// A folder that nobody reads yet.
pub(crate) struct Draft<'a>(&'a Folder);

impl Draft<'_> {
    pub(crate) fn write(&self, record: &Record, config: &[u8], notify: bool) -> Result<()> {
        self.0.write_draft(CONFIG, config)?;
        self.0.write_draft_record(record)?;
        if notify { self.0.make_notify() } else { Ok(()) }
    }
}

/// No id's: `~` is in none. An id may be as long as a name.
fn draft_name(id: &str) -> String {
    format!("~{}", &id[..id.len().min(254)])
}

fn exists() -> Error {
    Error::new(ErrorKind::Exists, "container with given ID already exists")
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

/// What passwd(5) calls a user; `None` where there is no such file, or none for us.
pub(crate) fn user_name(uid: u32) -> Result<Option<String>> {
    const PASSWD: &str = "/etc/passwd";
    let passwd = match std::fs::read(PASSWD) {
        Err(error) if matches!(error.raw_os_error(), Some(libc::ENOENT | libc::EACCES)) => return Ok(None),
        read => read.map_err(|error| Error::io("look for the owner's name", format!("read({PASSWD})"), &error))?,
    };
    let passwd = String::from_utf8_lossy(&passwd);
    let number = uid.to_string();
    let line = passwd.lines().find(|line| line.split(':').nth(2) == Some(&number));
    Ok(line.and_then(|line| line.split(':').next()).map(str::to_owned))
}
