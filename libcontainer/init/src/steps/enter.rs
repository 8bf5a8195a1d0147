//! Entering namespaces.
use super::mask_path::Covers;
use crate::fault::{At, Fault, Result};
use crate::host::{NAMESPACES, Slots};
use crate::{Init, host, host_dev, sys};
use core::ffi::CStr;
use rustix::fd::{AsFd, BorrowedFd, OwnedFd};
use rustix::fs::{CWD, Mode, OFlags};
use rustix::io::Errno;
use rustix::net::{AddressFamily, SocketFlags, SocketType};
use step::{Call, FromInit, Slot};

const CLONE_NEWNS: u32 = 0x2_0000;
const CLONE_NEWPID: u32 = 0x2000_0000;

/// `setns(2)` to the namespace at `path` on the host.
pub(super) fn join(init: &mut Init, path: &CStr, kind: u32) -> Result {
    host_dev::note();
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

/// `setns(2)` to all namespaces of a process at once: the kernel enters them all or none. In `slot` is its pidfd, or, if we may
/// not trace it, a socket over which it has sent its namespaces.
pub(super) fn join_process(init: &mut Init, slot: Slot, namespaces: u32) -> Result {
    host_dev::note();
    let process = init.slots.take(slot)?;
    match sys::setns(process.as_fd(), namespaces) {
        // Neither pidfd nor namespace.
        Err(Errno::INVAL) => join_held(process.as_fd(), namespaces)?,
        joined => joined.at(Call::Setns)?,
    }
    if namespaces & CLONE_NEWNS != 0 {
        // setns(2) has moved root and working directory to the root of that mount namespace.
        let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
        init.root = Some(rustix::fs::openat(CWD, c"/", flags, Mode::empty()).at(Call::Open)?);
    }
    Ok(())
}

/// One after another, in the order in which they were sent: the user namespace, which gives the right to the others, comes first.
#[inline(never)]
fn join_held(socket: BorrowedFd<'_>, namespaces: u32) -> Result {
    let mut held = Slots::EMPTY;
    match host::receive(socket, &mut held, &mut [0]) {
        Err(Fault { errno: Errno::NOTSOCK, .. }) => return Err(Fault::new(Call::Setns, Errno::INVAL)),
        received => received?,
    };
    for namespace in held.iter() {
        let kind = sys::namespace_type(namespace).at(Call::Ioctl)?;
        if kind & namespaces != 0 {
            sys::setns(namespace, kind).at(Call::Setns)?;
        }
    }
    Ok(())
}

/// The namespaces, in the order in which they have to be joined, by their `CLONE_NEW*` bits. `_for_children`: of a pid namespace
/// only a child becomes a member, of a time namespace only the program.
const NAMES: [(u32, &CStr); NAMESPACES] = [
    (0x1000_0000, c"/proc/self/ns/user"),
    (0x2000_0000, c"/proc/self/ns/pid_for_children"),
    (0x4000_0000, c"/proc/self/ns/net"),
    (0x0800_0000, c"/proc/self/ns/ipc"),
    (0x0400_0000, c"/proc/self/ns/uts"),
    (0x0200_0000, c"/proc/self/ns/cgroup"),
    (0x80, c"/proc/self/ns/time_for_children"),
    (CLONE_NEWNS, c"/proc/self/ns/mnt"),
];

/// Init's own namespaces.
#[derive(Debug, Default)]
pub struct Held([Option<OwnedFd>; NAMESPACES]);

impl Held {
    pub(super) fn iter(&self) -> impl Iterator<Item = BorrowedFd<'_>> {
        self.0.iter().flatten().map(AsFd::as_fd)
    }

    /// All of them in one message.
    pub(super) fn send(&self, to: BorrowedFd<'_>) -> Result {
        let mut riders = [to; NAMESPACES];
        let mut count = 0;
        for (rider, held) in riders.iter_mut().zip(self.iter()) {
            *rider = held;
            count += 1;
        }
        host::send_descriptors(to, &[step::word::JOIN], &riders[..count])
    }
}

/// A process may always open its own, whatever it says of being traced.
pub(super) fn hold(init: &mut Init, namespaces: u32) -> Result {
    for ((kind, path), place) in NAMES.into_iter().zip(&mut init.namespaces.0) {
        if namespaces & kind != 0 {
            let opened = rustix::fs::openat(CWD, path, OFlags::RDONLY | OFlags::CLOEXEC, Mode::empty());
            *place = Some(opened.at(Call::Open)?);
        }
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
