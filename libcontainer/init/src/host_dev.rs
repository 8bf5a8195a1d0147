//! The host's own `/dev`. A container may be given it, or have it because its root is the host's: what is there is used as it is,
//! and nothing is made, replaced or removed in it, but for the target of a mount that config.json wants inside of what it binds.
use crate::fault::{At, Fault, Result};
use crate::root::stat;
use core::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};
use rustix::fd::{AsFd, BorrowedFd, OwnedFd};
use rustix::fs::{AtFlags, CWD, Mode, OFlags, Stat};
use rustix::io::Errno;
use step::Call;

/// An inode of no filesystem: `/dev` has not been looked at, or there is none.
const NONE: u64 = 0;
static INODE: AtomicU64 = AtomicU64::new(NONE);
static DEVICE: AtomicU64 = AtomicU64::new(0);
/// It is a filesystem of its own (devtmpfs, or a tmpfs in a container), all of which is the host's `/dev`, wherever it is mounted.
static WHOLE: AtomicBool = AtomicBool::new(false);

static UNGUARDED: AtomicBool = AtomicBool::new(false);

/// Looks at it, while `/` is still the host's. Only the first look counts.
pub fn note() {
    let look = |path| rustix::fs::statat(CWD, path, AtFlags::empty());
    if INODE.load(Relaxed) != NONE {
        return;
    }
    let (Ok(dev), Ok(root)) = (look(c"/dev"), look(c"/")) else { return };
    DEVICE.store(dev.st_dev, Relaxed);
    WHOLE.store(dev.st_dev != root.st_dev, Relaxed);
    INODE.store(dev.st_ino, Relaxed);
}

/// Whether `directory` is in it.
#[inline(never)]
pub fn holds(directory: BorrowedFd<'_>) -> Result<bool> {
    let found = stat(directory)?;
    if found.st_dev != DEVICE.load(Relaxed) || INODE.load(Relaxed) == NONE {
        return Ok(false);
    }
    Ok(WHOLE.load(Relaxed) || is_below(directory, found)?)
}

/// Walks up: a `/dev` that is no filesystem of its own shares one with the root filesystems of containers.
fn is_below(directory: BorrowedFd<'_>, mut at: Stat) -> Result<bool> {
    let mut held: Option<OwnedFd> = None;
    loop {
        if (at.st_dev, at.st_ino) == (DEVICE.load(Relaxed), INODE.load(Relaxed)) {
            return Ok(true);
        }
        let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let from = held.as_ref().map_or(directory, AsFd::as_fd);
        let above = rustix::fs::openat(from, c"..", flags, Mode::empty()).at(Call::Open)?;
        let next = stat(above.as_fd())?;
        if (next.st_dev, next.st_ino) == (at.st_dev, at.st_ino) {
            return Ok(false);
        }
        (at, held) = (next, Some(above));
    }
}

/// As long as this is there, what config.json asks for is made in it as well.
#[derive(Debug)]
pub struct Unguarded(());

impl Unguarded {
    pub fn begin() -> Unguarded {
        UNGUARDED.store(true, Relaxed);
        Unguarded(())
    }
}

impl Drop for Unguarded {
    fn drop(&mut self) {
        UNGUARDED.store(false, Relaxed);
    }
}

/// Something is about to be made in `directory`.
pub fn spare(directory: BorrowedFd<'_>) -> Result {
    match !UNGUARDED.load(Relaxed) && holds(directory)? {
        true => Err(Fault::new(Call::HostDev, Errno::PERM)),
        false => Ok(()),
    }
}
