//! The root filesystem becomes a mount of its own and is opened, once.
use super::bind_mount::{attach as attach_mount, clone_tree};
use crate::fault::{At, Fault, Result};
use crate::{Init, host_dev};
use core::ffi::CStr;
use rustix::fs::{CWD, Mode, OFlags};
use rustix::io::Errno;
use step::Call;

/// Clones it, with what is mounted below, while the tree around it is still the host's.
pub(super) fn run(init: &mut Init, path: &CStr) -> Result {
    host_dev::note();
    let root = clone_tree(CWD, path, true)?;
    // Where hooks that run in the container before the pivot begin, with runc.
    rustix::process::fchdir(&root).at(Call::Chdir)?;
    init.root = Some(root);
    Ok(())
}

/// Attaches the clone at the same place.
pub(super) fn attach(init: &mut Init, path: &CStr) -> Result {
    // Opened like any other directory: `path` is the host's, not the container's.
    let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
    let target = rustix::fs::openat(CWD, path, flags, Mode::empty()).at(Call::Open)?;
    let root = init.root.as_ref().ok_or(Fault::new(Call::MoveMount, Errno::BADF))?;
    attach_mount(root, &target)
}
