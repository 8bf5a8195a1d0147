//! The root filesystem becomes a mount of its own and is opened, once.
use super::mask_path::Covers;
use crate::Init;
use crate::fault::{At, Result};
use core::ffi::CStr;
use rustix::fs::{CWD, Mode, OFlags};
use rustix::mount::{MoveMountFlags, OpenTreeFlags};
use step::Call;

const AT_RECURSIVE: u32 = crate::sys::AT_RECURSIVE;

pub(super) fn run(init: &mut Init, path: &CStr) -> Result {
    init.covers = Covers::open()?;
    let flags = OpenTreeFlags::OPEN_TREE_CLONE
        | OpenTreeFlags::OPEN_TREE_CLOEXEC
        | OpenTreeFlags::from_bits_retain(AT_RECURSIVE);
    let tree = rustix::mount::open_tree(CWD, path, flags).at(Call::OpenTree)?;
    // The mount point is opened like any other directory: `path` is the host's, not the container's.
    let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
    let target = rustix::fs::openat(CWD, path, flags, Mode::empty()).at(Call::Open)?;
    let by_descriptor = MoveMountFlags::MOVE_MOUNT_F_EMPTY_PATH | MoveMountFlags::MOVE_MOUNT_T_EMPTY_PATH;
    rustix::mount::move_mount(&tree, c"", &target, c"", by_descriptor).at(Call::MoveMount)?;
    init.root = Some(tree);
    Ok(())
}
