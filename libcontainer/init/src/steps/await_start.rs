//! `created`: wait until `start` connects, and talk to it from then on.
use super::mask_path::Covers;
use crate::fault::{At, Result};
use crate::{Init, sys};
use rustix::io::Errno;
use rustix::net::SocketFlags;
use step::{Call, Slot};

pub(super) fn run(init: &mut Init, slot: Slot) -> Result {
    let listener = init.slots.take(slot)?;
    // What lies on the masked paths is in place; a container that waits holds nothing that it does not need.
    init.covers = Covers::default();
    // Nor is there anything left to hide: it has the container's rights and none of the host's handles, and `exec` by an
    // ordinary user may only join a process that it may trace.
    super::process::set_dumpable()?;
    sys::end_on_signals();
    sys::forget_stack();
    let starter = loop {
        match rustix::net::accept_with(&listener, SocketFlags::CLOEXEC) {
            Err(Errno::INTR | Errno::CONNABORTED) => {}
            accepted => break accepted.at(Call::Accept)?,
        }
    };
    init.set_host(starter);
    Ok(())
}
