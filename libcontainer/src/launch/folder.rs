//! What a plan's lines make in the container's folder: notes for whoever comes after a runtime that was killed, and where init
//! waits to be spoken to.
#![forbid(unsafe_code)]
use crate::plan::DOOR;
use crate::{Error, Result, sys};
use rustix::fd::{BorrowedFd, OwnedFd};
use rustix::fs::{FileType, Mode, OFlags};
use rustix::net::{AddressFamily, SocketAddrUnix, SocketFlags, SocketType};
use std::path::PathBuf;

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

/// Open for both, so that it has an end only when init, the only one who keeps it, has ended or executed its program.
pub(super) fn make_fifo(state: BorrowedFd<'_>, name: &str) -> Result<OwnedFd> {
    let fail = |call: &str| {
        let call = format!("{call}({name})");
        move |errno| Error::system("make a FIFO for start", call, errno)
    };
    rustix::fs::mknodat(state, name, FileType::Fifo, Mode::from_raw_mode(0o600), 0).map_err(fail("mkfifo"))?;
    let flags = OFlags::RDWR | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    rustix::fs::openat(state, name, flags, Mode::empty()).map_err(fail("open"))
}

/// A socket, through which a created init that may not be traced hands out its namespaces.
pub(super) fn listen_for_exec(state: BorrowedFd<'_>) -> Result<OwnedFd> {
    let fail = |call: &'static str| move |errno| Error::system("listen for exec", call, errno);
    let socket = rustix::net::socket_with(AddressFamily::UNIX, SocketType::SEQPACKET, SocketFlags::CLOEXEC, None)
        .map_err(fail("socket"))?;
    let path = PathBuf::from(sys::fd_path(&state)).join(DOOR);
    let address = SocketAddrUnix::new(&path).map_err(fail("bind"))?;
    rustix::net::bind(&socket, &address).map_err(fail("bind"))?;
    rustix::net::listen(&socket, 16).map_err(fail("listen"))?;
    Ok(socket)
}
