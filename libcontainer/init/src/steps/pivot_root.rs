//! The root filesystem becomes `/`.
use crate::fault::{At, Fault, Result};
use crate::{Init, root, sys};
use rustix::fd::AsFd;
use rustix::fs::{CWD, Mode, OFlags};
use rustix::mount::UnmountFlags;
use rustix::process::PidfdFlags;
use step::{Call, Slot};

/// `pivot_root(".", ".")`: the old root ends up mounted over the new one, at the same place, from where it is
/// let go (pivot_root(2), "Notes"). No directory for it has to exist in the image.
pub(super) fn pivot(init: &mut Init) -> Result {
    leave_chroot(init)?;
    rustix::process::fchdir(init.root()?).at(Call::Chdir)?;
    rustix::process::pivot_root(c".", c".").at(Call::PivotRoot)?;
    // Nothing in this tree is shared with the host (`SetRootPropagation` came first): letting go of the old root stays here.
    rustix::mount::unmount(c".", UnmountFlags::DETACH).at(Call::Umount)?;
    enter(init)
}

/// For a root on an initramfs, which `pivot_root` refuses to move. Not inlined: its buffers would be in the frame of every step,
/// and so in the memory of a container that waits.
#[inline(never)]
pub(super) fn move_root(init: &mut Init) -> Result {
    leave_chroot(init)?;
    rustix::process::fchdir(init.root()?).at(Call::Chdir)?;
    let mut inside = [0; 4096];
    let inside = sys::getcwd(&mut inside).at(Call::Getcwd)?;
    super::hide_host::run(inside)?;
    rustix::mount::mount_move(c".", c"/").at(Call::Mount)?;
    rustix::process::chroot(c".").at(Call::Chroot)?;
    enter(init)
}

/// In a caller's chroot, pivot_root(2) would swap the directory that this one takes for `/`, and the host's tree would stay above it: for
/// `exec`, which enters the mount namespace at its root, and for whoever else may do so.
fn leave_chroot(init: &Init) -> Result {
    if init.in_chroot { enter_namespace_root() } else { Ok(()) }
}

/// setns(2), to the mount namespace that this process is in, makes the root of that its own.
pub(super) fn enter_namespace_root() -> Result {
    const CLONE_NEWNS: u32 = 0x2_0000;
    let own = rustix::process::pidfd_open(rustix::process::getpid(), PidfdFlags::empty()).at(Call::Pidfd)?;
    sys::setns(own.as_fd(), CLONE_NEWNS).at(Call::Setns)
}

/// As `exec`, where there is no mount namespace whose root it would be.
pub(super) fn enter_root(init: &mut Init, slot: Slot) -> Result {
    let root = init.slots.take(slot)?;
    rustix::process::fchdir(&root).at(Call::Chdir)?;
    rustix::process::chroot(c".").at(Call::Chroot)?;
    init.root = Some(root);
    Ok(())
}

/// Without a mount namespace there is nothing to pivot.
pub(super) fn change_root(init: &mut Init) -> Result {
    rustix::process::fchdir(init.root()?).at(Call::Chdir)?;
    rustix::process::chroot(c".").at(Call::Chroot)?;
    rustix::process::chdir(c"/").at(Call::Chdir)
    // The clone that `OpenRootfs` made stays open: it is attached nowhere, and would be taken apart.
}

/// `/` is the container's from here on; keep it open as the place where paths begin.
fn enter(init: &mut Init) -> Result {
    rustix::process::chdir(c"/").at(Call::Chdir)?;
    let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
    let opened = rustix::fs::openat(CWD, c"/", flags, Mode::empty()).at(Call::Open)?;
    let same = |a: &rustix::fs::Stat, b: &rustix::fs::Stat| (a.st_dev, a.st_ino) == (b.st_dev, b.st_ino);
    if !same(&root::stat(opened.as_fd())?, &root::stat(init.root()?)?) {
        return Err(Fault::new(Call::PivotRoot, rustix::io::Errno::XDEV));
    }
    init.root = Some(opened);
    Ok(())
}
