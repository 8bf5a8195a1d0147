//! Descriptors that go to others: over unix sockets that the caller named.
use crate::sys::{self, fd_path, write_all};
use crate::{Error, Result};
use rustix::fd::{AsFd, BorrowedFd, OwnedFd};
use rustix::fs::{CWD, Mode, OFlags};
use rustix::io::IoSlice;
use rustix::net::{
    AddressFamily, SendAncillaryBuffer, SendAncillaryMessage, SendFlags, SocketAddrUnix, SocketFlags, SocketType,
};
use std::mem::MaybeUninit;
use std::path::Path;

/// Connects to the socket at `path`, however long that is: `sun_path` holds 108 bytes, so the kernel is
/// given the descriptor's name.
pub(crate) fn connect(path: &Path, kind: SocketType) -> rustix::io::Result<OwnedFd> {
    let place = rustix::fs::openat(CWD, path, OFlags::PATH | OFlags::CLOEXEC, Mode::empty())?;
    let socket = rustix::net::socket_with(AddressFamily::UNIX, kind, SocketFlags::CLOEXEC, None)?;
    rustix::net::connect(&socket, &SocketAddrUnix::new(fd_path(&place))?)?;
    Ok(socket)
}

/// Sends `descriptor` with `payload` in one message to the stream socket at `path`.
pub(crate) fn send(path: &Path, descriptor: BorrowedFd<'_>, payload: &[u8], what: &str) -> Result<()> {
    let fail = |call: &str, errno| Error::system(what, format!("{call}({})", path.display()), errno);
    let socket = connect(path, SocketType::STREAM).map_err(|errno| fail("connect", errno))?;
    let riders = [descriptor.as_fd()];
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))];
    let mut control = SendAncillaryBuffer::new(&mut space);
    control.push(SendAncillaryMessage::ScmRights(&riders));
    let sent = rustix::net::sendmsg(&socket, &[IoSlice::new(payload)], &mut control, SendFlags::NOSIGNAL)
        .map_err(|errno| fail("sendmsg", errno))?;
    // A signal may have cut a long one short; the descriptor has gone with the first part.
    write_all(&socket, &payload[sent..]).map_err(|errno| fail("write", errno))
}

/// A sealed-off file in memory that holds `bytes`.
pub(crate) fn in_memory(bytes: &[u8]) -> Result<OwnedFd> {
    let fail = |errno| Error::system("hold the state for a hook", "memfd_create", errno);
    let memfd = sys::memfd(c"plimsoll-state", false).map_err(fail)?;
    write_all(&memfd, bytes).map_err(fail)?;
    Ok(memfd)
}
