//! Taking away what `mounts add` has put into the container, and nothing else.
use crate::fault::{At, Fault, Result};
use crate::{Init, root};
use core::ffi::CStr;
use rustix::fd::{AsFd, OwnedFd};
use rustix::fs::{AtFlags, StatxFlags};
use rustix::io::Errno;
use rustix::mount::UnmountFlags;
use step::Call;

/// KERNEL(6.8): `STATX_MNT_ID_UNIQUE`, which is never used again; before that the kernel gives the one that may be.
const MOUNT_ID: StatxFlags = StatxFlags::from_bits_retain(0x4000).union(StatxFlags::MNT_ID);

/// The directory and the name at which the mount with this id is what is seen. The path alone would not do: who has renamed a
/// directory could have another mount taken away, one that masks something, say.
#[inline(never)]
fn find(init: &Init, target: &CStr, mount: u64) -> Result<(OwnedFd, root::Text)> {
    // Nothing is made on the way to what is not there.
    root::look(init.root()?, target)?.ok_or(Fault::new(Call::Statx, Errno::NOENT))?;
    let (parent, name) = root::place_of(init.root()?, target)?;
    let flags = AtFlags::SYMLINK_NOFOLLOW | AtFlags::NO_AUTOMOUNT;
    let stat = rustix::fs::statx(&parent, name.as_c_str(), flags, MOUNT_ID).at(Call::Statx)?;
    if stat.stx_mnt_id != mount {
        return Err(Fault::new(Call::Statx, Errno::STALE));
    }
    Ok((parent, name))
}

/// Whether it is there.
#[inline(never)]
pub(super) fn look_for(init: &Init, target: &CStr, mount: u64) -> Result {
    find(init, target, mount).map(drop)
}

/// umount2(2) takes no descriptor: a name, below a directory that is one. A mount point of our own mount namespace is not renamed.
#[inline(never)]
pub(super) fn run(init: &Init, target: &CStr, mount: u64) -> Result {
    let (parent, name) = find(init, target, mount)?;
    rustix::process::fchdir(parent.as_fd()).at(Call::Chdir)?;
    rustix::mount::unmount(name.as_c_str(), UnmountFlags::DETACH | UnmountFlags::NOFOLLOW).at(Call::Umount)
}
