//! Propagation of mount events, and the read-only root: changes of mounts that are there already.
use crate::Init;
use crate::fault::{At, Result};
use crate::sys::{self, MountAttr};
use rustix::fs::{CWD, OFlags, ResolveFlags};
use step::Call;

const MS_REC: u32 = 0x4000;
const MOUNT_ATTR_RDONLY: u64 = 1;

/// `MS_*` propagation bits as `mount_setattr` takes them: without MS_REC, which is a flag of the call.
pub(super) fn recursive_flag(propagation: u32) -> u32 {
    if propagation & MS_REC != 0 { sys::AT_RECURSIVE } else { 0 }
}

/// The attribute for a change of propagation.
pub(super) fn attr(propagation: u32) -> MountAttr {
    MountAttr { propagation: u64::from(propagation & !MS_REC), ..MountAttr::default() }
}

/// The whole tree, which is still a copy of the host's.
pub(super) fn of_host_tree(propagation: u32) -> Result {
    sys::mount_setattr(CWD, c"/", recursive_flag(propagation), &attr(propagation)).at(Call::MountSetattr)
}

/// The container's root.
pub(super) fn of_root(init: &Init, propagation: u32) -> Result {
    let flags = recursive_flag(propagation) | sys::AT_EMPTY_PATH;
    sys::mount_setattr(init.root()?, c"", flags, &attr(propagation)).at(Call::MountSetattr)
}

/// The container's root, not what is mounted below it.
pub(super) fn set_root_readonly(init: &Init) -> Result {
    let attr = MountAttr { set: MOUNT_ATTR_RDONLY, ..MountAttr::default() };
    let root = crate::root::open(init.root()?, c"/", OFlags::PATH, ResolveFlags::empty()).at(Call::Openat2)?;
    use rustix::fd::AsFd;
    sys::mount_setattr(root.as_fd(), c"", sys::AT_EMPTY_PATH, &attr).at(Call::MountSetattr)
}
