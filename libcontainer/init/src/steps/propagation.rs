//! Propagation of mount events, and the read-only root: changes of mounts that are there already.
use super::pivot_root;
use crate::Init;
use crate::fault::{At, Fault, Result};
use crate::sys::{self, MountAttr};
use core::ffi::CStr;
use rustix::fd::{AsFd, BorrowedFd};
use rustix::fs::{AtFlags, CWD, Mode, OFlags, ResolveFlags, StatxFlags};
use rustix::io::Errno;
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

/// The whole tree, which is still a copy of the host's. Its paths go on being those that the caller sees.
pub(super) fn of_host_tree(init: &mut Init, propagation: u32) -> Result {
    let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
    let callers = rustix::fs::openat(CWD, c"/", flags, Mode::empty()).at(Call::Open)?;
    let place = |directory: BorrowedFd<'_>, path: &CStr| {
        let asked = StatxFlags::MNT_ID | StatxFlags::INO;
        let stat = rustix::fs::statx(directory, path, AtFlags::EMPTY_PATH, asked).at(Call::Statx)?;
        Ok((stat.stx_mnt_id, stat.stx_ino))
    };
    let before = place(callers.as_fd(), c"")?;
    match pivot_root::enter_namespace_root() {
        // A caller without CAP_SYS_CHROOT, say, has changed no root either.
        Ok(()) | Err(Fault { errno: Errno::PERM | Errno::NOSYS, .. }) => {}
        failed => failed?,
    }
    sys::mount_setattr(CWD, c"/", recursive_flag(propagation), &attr(propagation)).at(Call::MountSetattr)?;
    init.in_chroot = place(CWD, c"/")? != before;
    if init.in_chroot {
        rustix::process::fchdir(&callers).at(Call::Chdir)?;
        rustix::process::chroot(c".").at(Call::Chroot)?;
    }
    Ok(())
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
    sys::mount_setattr(root.as_fd(), c"", sys::AT_EMPTY_PATH, &attr).at(Call::MountSetattr)
}
