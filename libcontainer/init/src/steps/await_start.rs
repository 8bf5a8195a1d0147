//! `created`: wait for the word of `start`, and tell it from then on how it goes.
//!
//! The filter is loaded by now. What is called here is read(2); and what `execve` takes comes before the filter too.
use crate::fault::{At, Result};
use crate::{Init, host, sys};
use rustix::fd::{AsFd, OwnedFd};
use rustix::net::SocketFlags;
use step::{Call, Slot, word};

/// While every call is allowed.
pub(super) fn prepare() -> Result {
    sys::end_on_signals().at(Call::Sigaction)?;
    sys::release_used_pages();
    Ok(())
}

pub(super) fn run(init: &mut Init, start: Slot, said: Slot, door: Option<Slot>) -> Result {
    let start = init.slots.take(start)?;
    let said = init.slots.take(said)?;
    let mut door = door.map(|door| init.slots.take(door)).transpose()?;
    loop {
        let mut byte = [0];
        // Init itself may write to the FIFO, so that it has no end.
        match host::read(start.as_fd(), &mut byte)? {
            [word::START] => break,
            [word::JOIN] => door = door.filter(|door| hand_out_namespaces(init, door).is_ok()),
            _ => {}
        }
    }
    // It is no container that waits any more when `execve` has closed it, and close(2) is a call that a filter may not allow.
    core::mem::forget((start, door));
    init.set_host(said);
    Ok(())
}

/// Gives the namespaces to who knocks. If that fails, the door is closed for good: nobody may wait behind it.
fn hand_out_namespaces(init: &Init, door: &OwnedFd) -> rustix::io::Result<()> {
    let guest = rustix::net::accept_with(door, SocketFlags::CLOEXEC)?;
    // Who is gone meanwhile is no failure.
    let _ = init.namespaces.send(guest.as_fd());
    Ok(())
}
