//! Entering namespaces.
use super::mask_path::Covers;
use crate::fault::{At, Fault, Result};
use crate::{Init, host, sys};
use core::ffi::CStr;
use rustix::fd::AsFd;
use rustix::fs::{CWD, Mode, OFlags};
use rustix::io::Errno;
use rustix::net::{AddressFamily, SocketFlags, SocketType};
use step::{Call, FromInit, Slot};

const CLONE_NEWNS: u32 = 0x2_0000;
const CLONE_NEWPID: u32 = 0x2000_0000;

/// `setns(2)` to the namespace at `path` on the host.
pub(super) fn join(init: &mut Init, path: &CStr, kind: u32) -> Result {
    let namespace = rustix::fs::openat(CWD, path, OFlags::RDONLY | OFlags::CLOEXEC, Mode::empty()).at(Call::Open)?;
    // A wrong type would be EINVAL from setns as well, but so would other things.
    match sys::namespace_type(namespace.as_fd()) {
        Ok(found) if found == kind => {
            sys::setns(namespace.as_fd(), kind).at(Call::Setns)?;
            if kind == CLONE_NEWPID {
                init.pid_namespace = Some(namespace);
            }
            Ok(())
        }
        Ok(_) | Err(Errno::NOTTY) => Err(Fault::new(Call::Setns, Errno::INVAL)),
        Err(errno) => Err(Fault::new(Call::Ioctl, errno)),
    }
}

/// `setns(2)` to all namespaces of a process at once: the kernel enters them all or none.
pub(super) fn join_process(init: &mut Init, slot: Slot, namespaces: u32) -> Result {
    let pidfd = init.slots.take(slot)?;
    sys::setns(pidfd.as_fd(), namespaces).at(Call::Setns)?;
    if namespaces & CLONE_NEWNS != 0 {
        // setns(2) has moved root and working directory to the root of that mount namespace.
        let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
        init.root = Some(rustix::fs::openat(CWD, c"/", flags, Mode::empty()).at(Call::Open)?);
    }
    Ok(())
}

/// The pid namespace of a process that is not joined, or not yet.
pub(super) fn open_pid_namespace(init: &mut Init, slot: Slot) -> Result {
    let pidfd = init.slots.get(slot)?;
    init.pid_namespace = Some(sys::pid_namespace_of(pidfd).at(Call::Ioctl)?);
    Ok(())
}

/// Goes on as a new child of the host process, inside the pid namespace that was joined or is made here. Whoever may trace it there
/// gets at its descriptors.
pub(super) fn fork(init: &mut Init, namespaces: u32) -> Result {
    init.pid_namespace = None;
    init.covers = Covers::default();
    match sys::fork(sys::CLONE_PARENT | u64::from(namespaces)).at(Call::Clone)? {
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
