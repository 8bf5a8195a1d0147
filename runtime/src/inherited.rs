//! Descriptors that our caller has left open for the container, from 3 on.
use crate::failure::Failure;
use std::io;
use std::os::fd::{FromRawFd, OwnedFd, RawFd};

/// The first `listen` of them, and the `preserve` after these. Each has to be there, and to be the caller's.
pub(crate) fn take(listen: u32, preserve: u32) -> Result<[Vec<OwnedFd>; 2], Failure> {
    let all = listen.saturating_add(preserve);
    let mut taken = (0..all).map(|number| take_one(number, all)).collect::<Result<Vec<_>, _>>()?;
    let rest = taken.split_off(listen as usize);
    Ok([taken, rest])
}

fn take_one(index: u32, all: u32) -> Result<OwnedFd, Failure> {
    let number = RawFd::try_from(index.saturating_add(3)).unwrap_or(RawFd::MAX);
    let missing =
        |error| Failure::io(&format!("unable to stat preserved-fd {index} (of {all}): fcntl({number})"), &error);
    // SAFETY: numbers only; a closed descriptor is EBADF.
    match unsafe { libc::fcntl(number, libc::F_GETFD) } {
        -1 => Err(missing(io::Error::last_os_error())),
        // What we have opened ourselves is close-on-exec.
        flags if flags & libc::FD_CLOEXEC != 0 => Err(missing(io::Error::from_raw_os_error(libc::EBADF))),
        // SAFETY: it is open, and nobody in this process has opened it, so that nobody else closes it.
        _ => Ok(unsafe { OwnedFd::from_raw_fd(number) }),
    }
}
