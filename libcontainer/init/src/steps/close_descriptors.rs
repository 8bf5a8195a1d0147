//! Nothing of the host's stays open.
use crate::fault::{At, Result};
use crate::host::NAMESPACES;
use crate::{Init, sys};
use rustix::fd::AsRawFd;
use step::{Call, DESCRIPTORS};

/// Really closes: `execve` resolves the program's path before close-on-exec happens, so `/proc/self/fd/N` of a
/// leaked descriptor would still lead out (CVE-2024-21626). What stays are the standard streams, `preserve`
/// more, sockets and FIFOs, which lead nowhere: to the host, and for `start`; namespaces that are held; and a program that is
/// executed by its descriptor, which nobody can change.
pub(super) fn run(init: &mut Init, preserve: u32) -> Result {
    let first = 3 + preserve;
    let mut keep = [u32::MAX; DESCRIPTORS + NAMESPACES + 2];
    let program = [&init.host].into_iter().chain(&init.rider).map(AsRawFd::as_raw_fd);
    let held = init.slots.iter().chain(init.namespaces.iter()).map(|held| held.as_raw_fd());
    for (place, number) in keep.iter_mut().zip(program.chain(held)) {
        *place = u32::try_from(number).unwrap_or(u32::MAX);
    }
    let mut from = first;
    loop {
        // The nearest that stays, in numeric order; u32::MAX when there is none left.
        let kept = keep.iter().copied().filter(|kept| *kept >= from).min().unwrap_or(u32::MAX);
        if kept > from {
            sys::close_range(from, kept - 1).at(Call::CloseRange)?;
        }
        if kept == u32::MAX {
            break;
        }
        from = kept + 1;
    }
    // They are closed; nobody may close their numbers once more.
    core::mem::forget(init.root.take());
    core::mem::forget(core::mem::take(&mut init.covers));
    Ok(())
}
