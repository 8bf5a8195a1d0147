//! The conversation with the host: one socket, three messages. Once the container is created, two FIFOs.
use crate::fault::{At, Fault, Result};
use crate::read::Reader;
use crate::room::Room;
use crate::sys;
use core::mem::MaybeUninit;
use rustix::fd::{AsFd, BorrowedFd, OwnedFd};
use rustix::io::{Errno, IoSlice, IoSliceMut};
use rustix::net::{
    RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, SendAncillaryBuffer, SendAncillaryMessage, SendFlags,
};
use step::{Call, DESCRIPTORS, DETAIL, Failure, FromInit, HELD, Slot, ToInit};

/// How many kinds of namespaces there are, and the most descriptors that are sent at once.
pub const NAMESPACES: usize = 8;

/// Descriptors that have arrived or were kept and are not used up yet, by slot.
#[derive(Debug)]
pub struct Slots {
    held: [Option<(Slot, OwnedFd)>; HELD],
    next: Slot,
}

impl Slots {
    /// All zero: those that nobody uses take no memory.
    pub const EMPTY: Slots = Slots { held: [const { None }; HELD], next: 0 };

    /// Into the next slot.
    pub fn put(&mut self, descriptor: OwnedFd) -> Result {
        let free = self.held.iter_mut().find(|held| held.is_none());
        *free.ok_or(Fault::new(Call::Recvmsg, Errno::MFILE))? = Some((self.next, descriptor));
        self.next += 1;
        Ok(())
    }

    /// The descriptor in `slot`, for good.
    pub fn take(&mut self, slot: Slot) -> Result<OwnedFd> {
        let held = self.held.iter_mut().find(|held| held.as_ref().is_some_and(|(at, _)| *at == slot));
        held.and_then(Option::take).map(|(_, descriptor)| descriptor).ok_or(Fault::new(Call::Decode, Errno::BADF))
    }

    /// The descriptor in `slot`, which stays there.
    pub fn get(&self, slot: Slot) -> Result<BorrowedFd<'_>> {
        let mut held = self.held.iter().flatten();
        held.find(|(at, _)| *at == slot).map(|(_, fd)| fd.as_fd()).ok_or(Fault::new(Call::Decode, Errno::BADF))
    }

    /// All that are held.
    pub fn iter(&self) -> impl Iterator<Item = BorrowedFd<'_>> {
        self.held.iter().flatten().map(|(_, fd)| fd.as_fd())
    }
}

/// Receives one message with its descriptors. An empty one means that the host is gone.
#[inline(never)]
pub(crate) fn receive<'a>(socket: BorrowedFd<'_>, slots: &mut Slots, buffer: &'a mut [u8]) -> Result<&'a [u8]> {
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(DESCRIPTORS))];
    let mut control = RecvAncillaryBuffer::new(&mut space);
    let len = loop {
        let mut parts = [IoSliceMut::new(buffer)];
        match rustix::net::recvmsg(socket, &mut parts, &mut control, RecvFlags::CMSG_CLOEXEC) {
            Err(Errno::INTR) => {}
            received => break received.at(Call::Recvmsg)?.bytes,
        }
    };
    for message in control.drain() {
        if let RecvAncillaryMessage::ScmRights(descriptors) = message {
            for descriptor in descriptors {
                slots.put(descriptor)?;
            }
        }
    }
    match len {
        0 => Err(Fault::new(Call::Recvmsg, Errno::PIPE)),
        len => Ok(&buffer[..len]),
    }
}

/// Reads the plan: its length, then its bytes in chunks. And which line is the first that is not traced.
pub fn receive_plan(socket: BorrowedFd<'_>, slots: &mut Slots, room: &mut Room) -> Result<(&'static [u8], u16)> {
    let mut message = [0; 16];
    let ToInit::Plan { len, trace } = Reader::new(receive(socket, slots, &mut message)?).read() else {
        return Err(Fault::new(Call::Decode, Errno::PROTO));
    };
    let (plan, behind) = Room::behind(len as usize).at(Call::Mmap)?;
    *room = behind;
    let mut filled = 0;
    while filled < plan.len() {
        filled += receive(socket, slots, &mut plan[filled..])?.len();
    }
    Ok((plan, trace))
}

/// Waits for *go*. If the host dies instead, there is nobody to report to: init ends. With `slots`, descriptors may come along.
pub fn await_go(socket: BorrowedFd<'_>, slots: Option<&mut Slots>) -> Result {
    let mut message = [0; 16];
    let message = match slots {
        Some(slots) => receive(socket, slots, &mut message)?,
        None => read(socket, &mut message)?,
    };
    match Reader::new(message).read() {
        ToInit::Go => Ok(()),
        ToInit::Plan { .. } => Err(Fault::new(Call::Decode, Errno::PROTO)),
    }
}

/// One message without descriptors. An empty one means that there is nobody any more.
pub fn read<'a>(socket: BorrowedFd<'_>, buffer: &'a mut [u8]) -> Result<&'a [u8]> {
    loop {
        match rustix::io::read(socket, &mut *buffer) {
            Err(Errno::INTR) => {}
            Ok(0) => return Err(Fault::new(Call::Read, Errno::PIPE)),
            read => {
                let len = read.at(Call::Read)?;
                return Ok(&buffer[..len]);
            }
        }
    }
}

/// Says where init stands; `rider` goes along.
#[inline(never)]
pub fn send(socket: BorrowedFd<'_>, message: &FromInit<'_>, rider: Option<BorrowedFd<'_>>) -> Result {
    let mut buffer = [0; DETAIL + 32];
    let bytes = postcard::to_slice(message, &mut buffer).map_err(|_| Fault::new(Call::Decode, Errno::PROTO))?;
    match rider {
        // As a filter lets it, and to a FIFO as well.
        None => rustix::io::write(socket, bytes).at(Call::Write).map(drop),
        Some(rider) => send_descriptors(socket, bytes, &[rider]),
    }
}

/// Sends `bytes` with `riders`.
pub fn send_descriptors(socket: BorrowedFd<'_>, bytes: &[u8], riders: &[BorrowedFd<'_>]) -> Result {
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(NAMESPACES))];
    let mut control = SendAncillaryBuffer::new(&mut space);
    control.push(SendAncillaryMessage::ScmRights(riders));
    rustix::net::sendmsg(socket, &[IoSlice::new(bytes)], &mut control, SendFlags::NOSIGNAL).at(Call::Sendmsg).map(drop)
}

/// Says that a line is finished, for a trace.
#[inline(never)]
pub fn send_passed(socket: BorrowedFd<'_>, line: u16) {
    // A trace with a hole is better than no container.
    let _ = send(socket, &FromInit::Passed { line, nanoseconds: sys::nanoseconds() }, None);
}

/// Says what went wrong. Whether anybody hears it no longer matters.
pub fn send_failure(socket: BorrowedFd<'_>, line: u16, fault: Fault, detail: &[u8]) {
    let errno = u16::try_from(fault.errno.raw_os_error()).unwrap_or(0);
    let _ = send(socket, &FromInit::Failed(Failure { line, call: fault.call, errno, detail }), None);
}
