//! Entering namespaces.
use crate::fault::{At, Fault, Result};
use crate::{Init, host, host_dev, sys};
use core::ffi::CStr;
use rustix::fd::AsFd;
use rustix::fs::{CWD, Mode, OFlags};
use rustix::io::Errno;
use rustix::net::{AddressFamily, SocketFlags, SocketType};
use step::{Call, FromInit, Slot};

/// `setns(2)` to the namespace at `path` on the host.
pub(super) fn join(path: &CStr, kind: u32) -> Result {
    host_dev::note();
    let namespace = rustix::fs::openat(CWD, path, OFlags::RDONLY | OFlags::CLOEXEC, Mode::empty()).at(Call::Open)?;
    // A wrong type would be EINVAL from setns as well, but so would other things.
    match sys::namespace_type(namespace.as_fd()) {
        Ok(found) if found == kind => sys::setns(namespace.as_fd(), kind).at(Call::Setns),
        Ok(_) | Err(Errno::NOTTY) => Err(Fault::new(Call::Setns, Errno::INVAL)),
        Err(errno) => Err(Fault::new(Call::Ioctl, errno)),
    }
}

/// `setns(2)` to all namespaces of a process at once: the kernel enters them all or none.
pub(super) fn join_process(init: &mut Init, slot: Slot, namespaces: u32) -> Result {
    const CLONE_NEWNS: u32 = 0x2_0000;
    host_dev::note();
    let pidfd = init.slots.take(slot)?;
    sys::setns(pidfd.as_fd(), namespaces).at(Call::Setns)?;
    if namespaces & CLONE_NEWNS != 0 {
        // setns(2) has moved root and working directory to the root of that mount namespace.
        let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
        init.root = Some(rustix::fs::openat(CWD, c"/", flags, Mode::empty()).at(Call::Open)?);
    }
    Ok(())
}

/// Goes on as a new child of the host process, inside the pid namespace that was joined or is made here.
pub(super) fn fork(init: &Init, namespaces: u32) -> Result {
    match sys::fork(sys::CLONE_PARENT | u64::from(namespaces)).at(Call::Clone3)? {
        0 => Ok(()),
        pid => {
            // Even if nobody listens any more there is nothing left to do here.
            let _ = host::send(init.host.as_fd(), &FromInit::Forked { pid }, None);
            sys::exit(0)
        }
    }
}

/// Sets `lo` up, as everything that is called a container expects.
pub(super) fn set_loopback_up() -> Result {
    let flags = SocketFlags::CLOEXEC;
    let socket = rustix::net::socket_with(AddressFamily::INET, SocketType::DGRAM, flags, None).at(Call::Socket)?;
    sys::set_loopback_up(socket.as_fd()).at(Call::Ioctl)
}
