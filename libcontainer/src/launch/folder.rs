//! What a plan's lines leave in the container's folder, for whoever comes after a runtime that was killed.
#![forbid(unsafe_code)]
use crate::{Error, Result};
use rustix::fd::BorrowedFd;
use rustix::fs::{Mode, OFlags};

/// What `mounts add` has put into the container, a line each.
pub(crate) const MOUNTS: &str = "mounts";
/// Empty: systemd may have been asked for the scope that the record names.
pub(crate) const SCOPE: &str = "scope";

/// To be said in the container's folder before systemd is asked for its scope: from then on `delete` has one to end, even if
/// nothing of it is there yet.
pub(crate) fn note_scope(folder: BorrowedFd<'_>) -> Result<()> {
    let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    match rustix::fs::openat(folder, SCOPE, flags, Mode::from_raw_mode(0o600)) {
        Ok(_) => Ok(()),
        Err(errno) => Err(Error::system("write the state", "open(scope)", errno)),
    }
}
