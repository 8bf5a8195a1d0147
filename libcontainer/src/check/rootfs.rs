//! The root filesystem as it is before anything is mounted there.
#![forbid(unsafe_code)]
use crate::Bundle;
use rustix::fd::OwnedFd;
use rustix::fs::{FileType, Mode, OFlags, ResolveFlags, Stat};
use std::path::{Path, PathBuf};

pub(super) struct Rootfs<'a> {
    root: OwnedFd,
    path: PathBuf,
    bundle: &'a Bundle,
}

impl Rootfs<'_> {
    /// None if it is not there.
    pub(super) fn open(bundle: &Bundle) -> Option<Rootfs<'_>> {
        let path = bundle.path().join(bundle.spec().root().as_ref()?.path());
        // may fail: `check` says what it can see.
        let root = rustix::fs::open(&path, OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC, Mode::empty()).ok()?;
        // may fail: as above.
        let path = std::fs::read_link(crate::sys::fd_path(&root)).ok()?;
        Some(Rootfs { root, path, bundle })
    }

    /// What is at a path of the container before the mount with this index is made, unless it is on one of the mounts before it.
    pub(super) fn look(&self, path: &Path, before: usize) -> Option<Stat> {
        let resolve = ResolveFlags::IN_ROOT | ResolveFlags::NO_MAGICLINKS;
        let found =
            // may fail: `check` says what it can see.
            rustix::fs::openat2(&self.root, path, OFlags::PATH | OFlags::CLOEXEC, Mode::empty(), resolve).ok()?;
        // may fail: as above.
        let real = std::fs::read_link(crate::sys::fd_path(&found)).ok()?;
        let real = Path::new("/").join(real.strip_prefix(&self.path).ok()?);
        let covered = |place: &Path| self.covering(place, before).is_some();
        // may fail: as above.
        (!covered(path) && !covered(&real)).then(|| rustix::fs::fstat(&found).ok()).flatten()
    }

    /// The last of the first mounts on this path or above it.
    pub(super) fn covering(&self, path: &Path, before: usize) -> Option<usize> {
        let mounts = self.bundle.spec().mounts().as_deref().unwrap_or_default();
        mounts.iter().take(before).rposition(|mount| path.starts_with(Path::new("/").join(mount.destination())))
    }
}

pub(super) fn is_directory(stat: &Stat) -> bool {
    FileType::from_raw_mode(stat.st_mode) == FileType::Directory
}
