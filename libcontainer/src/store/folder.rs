//! A container's folder: its files, and the lock on it.
#![forbid(unsafe_code)]
use super::{CONFIG, INIT, NOTIFY, ProcessId, ROOT, Record, STATE, draft_name, trust};
use crate::launch::folder::{MOUNTS, SCOPE};
use crate::plan::{DOOR, SAID, START};
use crate::sys::{fd_path, write_all};
use crate::{Error, ErrorKind, Result};
use rustix::fd::{AsFd, BorrowedFd, OwnedFd};
use rustix::fs::{AtFlags, Dir, FileType, FlockOperation, Mode, OFlags, RenameFlags};
use rustix::io::Errno;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

/// A container's folder, by descriptor.
#[derive(Debug)]
pub(crate) struct Folder {
    /// The store: one for all of its folders.
    root: Arc<OwnedFd>,
    id: String,
    /// For people, and for programs that take nothing else.
    path: PathBuf,
    directory: OwnedFd,
}

/// Nobody else makes, changes or unmakes the container until this is dropped.
///
/// flock(2) belongs to the open file: each lock has a descriptor of its own, so that two threads with one container keep each other
/// out as two processes do.
#[derive(Debug)]
pub(crate) struct Lock {
    _file: OwnedFd,
}

/// What a record turned out to be.
pub(crate) enum Found {
    Record(Box<Record>),
    Missing,
    /// Empty, cut off, garbage, or another container's.
    Damaged(Error),
}

fn gone() -> Error {
    Error::new(ErrorKind::NotFound, "container does not exist")
}

pub(super) fn open_directory(at: BorrowedFd<'_>, name: &str) -> rustix::io::Result<OwnedFd> {
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    rustix::fs::openat(at, name, flags, Mode::empty())
}

/// Whether there is anything of this name.
pub(super) fn is_there(at: BorrowedFd<'_>, name: &str) -> rustix::io::Result<bool> {
    match rustix::fs::statat(at, name, AtFlags::SYMLINK_NOFOLLOW) {
        Err(Errno::NOENT) => Ok(false),
        found => found.map(|_| true),
    }
}

impl Folder {
    /// The one that is called `name` in the store; `None` if there is none.
    pub(super) fn open(root: Arc<OwnedFd>, root_path: &Path, id: &str, name: &str) -> Result<Option<Folder>> {
        let path = root_path.join(id);
        let fail = |call: &str, errno| {
            Error::system("open the container", format!("{call}({})", root_path.join(name).display()), errno)
        };
        let directory = match open_directory(root.as_fd(), name) {
            Err(Errno::NOENT | Errno::NOTDIR) => return Ok(None),
            opened => opened.map_err(|errno| fail("open", errno))?,
        };
        trust::check(&path, &rustix::fs::fstat(&directory).map_err(|errno| fail("fstat", errno))?)?;
        Ok(Some(Folder { root, id: id.to_owned(), path, directory }))
    }

    pub(crate) fn fd(&self) -> BorrowedFd<'_> {
        self.directory.as_fd()
    }

    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    pub(crate) fn id(&self) -> &str {
        &self.id
    }

    /// Waits until nobody else makes, changes or unmakes this container.
    pub(crate) fn lock(&self) -> Result<Lock> {
        let lock = self.lock_with(FlockOperation::LockExclusive, &self.id)?;
        lock.ok_or_else(|| self.error("lock the container", "flock", Errno::WOULDBLOCK))
    }

    /// The same without waiting; `None` if somebody else holds it.
    pub(crate) fn try_lock(&self) -> Result<Option<Lock>> {
        self.try_lock_as(&self.id)
    }

    pub(super) fn try_lock_as(&self, name: &str) -> Result<Option<Lock>> {
        self.lock_with(FlockOperation::NonBlockingLockExclusive, name)
    }

    /// Somebody holds the lock.
    pub(crate) fn is_locked(&self) -> Result<bool> {
        match self.try_lock() {
            // Its last moments: somebody has just removed it.
            Err(gone) if gone.kind() == ErrorKind::NotFound => Ok(true),
            locked => locked.map(|lock| lock.is_none()),
        }
    }

    fn lock_with(&self, operation: FlockOperation, name: &str) -> Result<Option<Lock>> {
        let fail = |call: &'static str| move |errno| self.error("lock the container", call, errno);
        let own = match open_directory(self.fd(), ".") {
            // What is removed has not even itself.
            Err(Errno::NOENT) => return Err(gone()),
            opened => opened.map_err(fail("open(.)"))?,
        };
        loop {
            match rustix::fs::flock(&own, operation) {
                Err(Errno::INTR) => {}
                Err(Errno::WOULDBLOCK) => return Ok(None),
                locked => break locked.map_err(fail("flock"))?,
            }
        }
        // It may have been removed, or removed and made again, while we waited. Only who has the lock removes it: from here on it stays.
        let ours = rustix::fs::fstat(&own).map_err(fail("fstat"))?;
        let now = match rustix::fs::statat(&*self.root, name, AtFlags::SYMLINK_NOFOLLOW) {
            Err(Errno::NOENT) => return Err(gone()),
            found => found.map_err(fail("fstatat"))?,
        };
        if (ours.st_dev, ours.st_ino) == (now.st_dev, now.st_ino) { Ok(Some(Lock { _file: own })) } else { Err(gone()) }
    }

    /// Gives a draft the container's name, unless there is a container of that name.
    pub(super) fn publish(&self) -> Result<()> {
        self.publish_with(RenameFlags::NOREPLACE)
    }

    fn publish_with(&self, flags: RenameFlags) -> Result<()> {
        let draft = draft_name(&self.id);
        let renamed = match rustix::fs::renameat_with(&*self.root, &*draft, &*self.root, &*self.id, flags) {
            // NFS, or an old overlayfs: a directory takes the place of none but an empty one, and a container's never is.
            Err(Errno::INVAL | Errno::NOSYS | Errno::OPNOTSUPP) => {
                rustix::fs::renameat(&*self.root, &*draft, &*self.root, &*self.id)
            }
            renamed => renamed,
        };
        match renamed {
            Err(Errno::EXIST | Errno::NOTEMPTY | Errno::NOTDIR) => Err(super::exists()),
            renamed => renamed.map_err(|errno| self.error("make the container's folder", "renameat2", errno)),
        }
    }

    /// What is in a file; `None` if there is no such file.
    pub(crate) fn read(&self, name: &str) -> Result<Option<Vec<u8>>> {
        let fail = |call: &'static str| {
            move |errno| self.error("read the container's files", &format!("{call}({name})"), errno)
        };
        // Without O_NONBLOCK a FIFO would wait for a writer.
        let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC;
        let file = match rustix::fs::openat(&self.directory, name, flags, Mode::empty()) {
            Err(Errno::NOENT) => return Ok(None),
            opened => opened.map_err(fail("open"))?,
        };
        let stat = rustix::fs::fstat(&file).map_err(fail("fstat"))?;
        trust::check(&self.path.join(name), &stat)?;
        if FileType::from_raw_mode(stat.st_mode) != FileType::RegularFile {
            let message = format!("read the container's files: {} is no regular file", self.path.join(name).display());
            return Err(Error::new(ErrorKind::System, message));
        }
        let size = usize::try_from(stat.st_size).unwrap_or(0);
        let mut bytes = Vec::with_capacity(size + 1);
        // What is as long as it was said to be is all: files here are replaced, or grow.
        while rustix::io::read(&file, rustix::buffer::spare_capacity(&mut bytes)).map_err(fail("read"))? > 0
            && bytes.len() != size
        {
            bytes.reserve(4096);
        }
        Ok(Some(bytes))
    }

    /// Writes a file of a draft, which nobody reads; one that died may have left the beginning of it.
    pub(super) fn write_draft(&self, name: &str, bytes: &[u8]) -> Result<()> {
        let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::TRUNC | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        rustix::fs::openat(&self.directory, name, flags, Mode::from_raw_mode(0o600))
            .and_then(|file| write_all(&file, bytes))
            .map_err(|errno| self.error("write the state", &format!("write({name})"), errno))
    }

    /// Writes a file whole or not at all.
    pub(crate) fn write(&self, name: &str, bytes: &[u8]) -> Result<()> {
        // Of nobody else, in this process or another; what a killed one leaves goes with the folder.
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let new = format!(".{name}.{}.{}", std::process::id(), COUNT.fetch_add(1, Ordering::Relaxed));
        let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::TRUNC | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let written = rustix::fs::openat(&self.directory, &new, flags, Mode::from_raw_mode(0o600))
            .and_then(|file| write_all(&file, bytes))
            .and_then(|()| rustix::fs::renameat(&self.directory, &new, &self.directory, name));
        written.map_err(|errno| {
            // may fail: what matters is why it could not be written; it goes with the folder.
            let _ = rustix::fs::unlinkat(&self.directory, &new, AtFlags::empty());
            self.error("write the state", &format!("write({name})"), errno)
        })
    }

    pub(crate) fn find_record(&self) -> Result<Found> {
        let path = self.path.join(STATE);
        let Some(bytes) = self.read(STATE)? else { return Ok(Found::Missing) };
        Ok(match Record::parse(&bytes, &path) {
            Ok(mut record) if record.id == self.id => {
                if record.init.is_none() {
                    record.init = self.noted_init()?;
                }
                Found::Record(Box::new(record))
            }
            Ok(record) => {
                let message = format!("read the state: {} is of another container, {:?}", path.display(), record.id);
                Found::Damaged(Error::new(ErrorKind::System, message))
            }
            Err(error) => Found::Damaged(error),
        })
    }

    pub(crate) fn read_record(&self) -> Result<Record> {
        match self.find_record()? {
            Found::Record(record) => Ok(*record),
            Found::Missing => Err(gone()),
            Found::Damaged(error) => {
                Err(error.detail("hint: `delete --force` removes the container by what else is known of it"))
            }
        }
    }

    pub(crate) fn write_record(&self, record: &Record) -> Result<()> {
        self.write(STATE, &encode(record)?)
    }

    pub(super) fn write_draft_record(&self, record: &Record) -> Result<()> {
        self.write_draft(STATE, &encode(record)?)
    }

    /// Says who init is, in a place of its own: it takes one call, and no half-written record can take it along.
    pub(crate) fn note_init(&self, init: &ProcessId) -> Result<()> {
        rustix::fs::symlinkat(init.to_text(), &self.directory, INIT)
            .map_err(|errno| self.error("write the state", "symlink(init)", errno))
    }

    /// Who init is, as far as that place tells.
    pub(crate) fn noted_init(&self) -> Result<Option<ProcessId>> {
        match rustix::fs::readlinkat(&self.directory, INIT, Vec::with_capacity(128)) {
            Err(Errno::NOENT | Errno::INVAL) => Ok(None),
            read => {
                let text = read.map_err(|errno| self.error("read the container's files", "readlink(init)", errno))?;
                // may fail: damaged as well, it tells nothing.
                Ok(text.to_str().ok().and_then(ProcessId::from_text))
            }
        }
    }

    /// init waits for `start`: it has the FIFO open. When it executes its program it has not.
    pub(crate) fn awaits_start(&self) -> Result<bool> {
        match self.open_fifo(START, OFlags::WRONLY) {
            Ok(_) => Ok(true),
            Err(Errno::NOENT | Errno::NXIO) => Ok(false),
            Err(errno) => Err(self.error("look whether init waits", "open(start)", errno)),
        }
    }

    /// One end of a FIFO in the folder. For writing: `NXIO` if nobody reads from it.
    pub(crate) fn open_fifo(&self, name: &str, end: OFlags) -> rustix::io::Result<OwnedFd> {
        let flags = end | OFlags::NONBLOCK | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        rustix::fs::openat(&self.directory, name, flags, Mode::empty())
    }

    /// A scope of the name in the record is the container's, or nobody's.
    pub(crate) fn has_asked_for_scope(&self) -> Result<bool> {
        self.has(SCOPE)
    }

    pub(crate) fn has_record(&self) -> Result<bool> {
        self.has(STATE)
    }

    pub(super) fn has(&self, name: &str) -> Result<bool> {
        is_there(self.fd(), name).map_err(|errno| self.error("look at the container", &format!("stat({name})"), errno))
    }

    /// Through it a created init that may not be traced hands out its namespaces.
    pub(crate) fn door(&self) -> Result<Option<PathBuf>> {
        Ok(self.has(DOOR)?.then(|| PathBuf::from(fd_path(&self.directory)).join(DOOR)))
    }

    /// From here on the container is `running`.
    pub(crate) fn remove_fifos(&self) -> Result<()> {
        for name in [START, SAID, DOOR] {
            match rustix::fs::unlinkat(&self.directory, name, AtFlags::empty()) {
                Ok(()) | Err(Errno::NOENT) => {}
                Err(errno) => return Err(self.error("start the container", &format!("unlink({name})"), errno)),
            }
        }
        Ok(())
    }

    /// Removes the folder; the record last, so that whoever dies here can be succeeded.
    pub(crate) fn remove(&self, lock: &Lock) -> Result<()> {
        self.remove_as(&self.id, lock)
    }

    pub(super) fn remove_as(&self, name: &str, _lock: &Lock) -> Result<()> {
        let mut names = self.names()?;
        names.sort_by_key(|name| name == STATE);
        for name in names {
            match rustix::fs::unlinkat(&self.directory, &*name, AtFlags::empty()) {
                Ok(()) | Err(Errno::NOENT) => {}
                Err(Errno::ISDIR) if name == NOTIFY => self.remove_notify()?,
                Err(Errno::ISDIR) if name == ROOT => rustix::fs::unlinkat(&self.directory, ROOT, AtFlags::REMOVEDIR)
                    .map_err(|errno| self.error("remove the state", "rmdir(root)", errno))?,
                Err(errno) => return Err(self.error("remove the state", &format!("unlink({name})"), errno)),
            }
        }
        match rustix::fs::unlinkat(&*self.root, name, AtFlags::REMOVEDIR) {
            Ok(()) | Err(Errno::NOENT) => Ok(()),
            Err(errno) => Err(self.error("remove the state", "rmdir", errno)),
        }
    }

    fn names(&self) -> Result<Vec<String>> {
        let fail = |errno| self.error("look at the container", "getdents", errno);
        let mut names = Vec::new();
        for entry in Dir::read_from(&self.directory).map_err(fail)? {
            let name = entry.map_err(fail)?.file_name().to_string_lossy().into_owned();
            if name != "." && name != ".." {
                names.push(name);
            }
        }
        Ok(names)
    }

    /// A file that none of ours is: whoever made it has made the folder.
    pub(crate) fn foreign_file(&self) -> Result<Option<String>> {
        let ours = |name: &String| {
            let of = |file: &str| name == file || name.strip_prefix('.').is_some_and(|rest| rest.starts_with(file));
            [STATE, CONFIG, MOUNTS].into_iter().any(of)
                || [START, SAID, DOOR, NOTIFY, ROOT, SCOPE, INIT].contains(&&**name)
        };
        Ok(self.names()?.into_iter().find(|name| !ours(name)))
    }

    /// Makes the directory of the socket. The container's processes look for it by no path of the host's.
    pub(crate) fn make_notify(&self) -> Result<()> {
        match rustix::fs::mkdirat(&self.directory, NOTIFY, Mode::from_raw_mode(0o755)) {
            Ok(()) | Err(Errno::EXIST) => Ok(()),
            Err(errno) => Err(self.error("make a socket for notifications", "mkdir(notify)", errno)),
        }
    }

    /// Makes a directory for a root filesystem to be mounted on, and tells its path.
    pub(crate) fn make_root(&self) -> Result<PathBuf> {
        match rustix::fs::mkdirat(&self.directory, ROOT, Mode::from_raw_mode(0o700)) {
            Ok(()) => Ok(self.path.join(ROOT)),
            Err(errno) => Err(self.error("make a place for the root filesystem", "mkdir(root)", errno)),
        }
    }

    fn remove_notify(&self) -> Result<()> {
        let fail = |errno| self.error("remove the state", "rmdir(notify)", errno);
        let directory = open_directory(self.fd(), NOTIFY).map_err(fail)?;
        match rustix::fs::unlinkat(directory, crate::plan::NOTIFY_SOCKET, AtFlags::empty()) {
            Ok(()) | Err(Errno::NOENT) => {}
            Err(errno) => return Err(fail(errno)),
        }
        rustix::fs::unlinkat(&self.directory, NOTIFY, AtFlags::REMOVEDIR).map_err(fail)
    }

    fn error(&self, what: &str, call: &str, errno: Errno) -> Error {
        Error::system(what, call, errno).detail(format!("in {}", self.path.display()))
    }
}

fn encode(record: &Record) -> Result<Vec<u8>> {
    serde_json::to_vec(record).map_err(|error| Error::new(ErrorKind::System, format!("write the state: {error}")))
}
