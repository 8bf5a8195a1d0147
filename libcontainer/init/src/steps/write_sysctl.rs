//! Kernel parameters.
use crate::fault::{At, Result};
use core::ffi::CStr;
use rustix::fs::{CWD, Mode, OFlags, ResolveFlags};
use step::Call;

/// Writes below the host's `/proc/sys`, which is still the one that is seen: no container has touched it, and
/// the kernel answers for the namespaces of who writes.
pub(super) fn run(key: &CStr, value: &CStr) -> Result {
    let sys = rustix::fs::openat(CWD, c"/proc/sys", OFlags::PATH | OFlags::CLOEXEC, Mode::empty()).at(Call::Open)?;
    let resolve = ResolveFlags::BENEATH | ResolveFlags::NO_SYMLINKS;
    let flags = OFlags::WRONLY | OFlags::CLOEXEC;
    let file = rustix::fs::openat2(sys, key, flags, Mode::empty(), resolve).at(Call::Openat2)?;
    rustix::io::write(&file, value.to_bytes()).at(Call::Write).map(drop)
}
