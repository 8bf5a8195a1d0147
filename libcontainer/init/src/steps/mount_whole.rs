//! mount(2), which takes all options as one string of up to a page: for a source or a value that fsconfig(2) has no room for.
use super::bind_mount::clone_tree;
use super::mount::{Mount, write_mode};
use crate::Init;
use crate::fault::{At, Detail, Fault, Result};
use crate::root::{self, Text};
use core::ffi::CStr;
use rustix::fd::{AsFd, OwnedFd};
use rustix::fs::{OFlags, ResolveFlags};
use rustix::io::Errno;
use rustix::mount::{MountFlags, UnmountFlags};
use step::Call;

/// Mounts it on the directory `target` and gives the mount. It looks like the directory if it `covers` it.
#[inline(never)]
pub(super) fn run(
    init: &Init,
    mount: &Mount<'_>,
    flags: u32,
    data: &[u8],
    target: &OwnedFd,
    covers: bool,
) -> Result<OwnedFd> {
    let mut text = Text::new(data.strip_suffix(&[0]).unwrap_or(data))?;
    let has_mode = data.split(|byte| *byte == b',').any(|option| option.starts_with(b"mode="));
    if covers && !has_mode {
        let mut mode = Detail::default();
        write_mode(&mut mode, target)?;
        text.append(b",")?;
        text.append(mode.as_bytes())?;
    }
    let flags = MountFlags::from_bits_retain(flags);
    // It wants a path. There is one that nobody can exchange: the working directory's.
    rustix::process::fchdir(target).at(Call::Chdir)?;
    let mounted = rustix::mount::mount(mount.source, c".", mount.fstype, flags, text.as_c_str()).at(Call::Mount);
    rustix::process::fchdir(init.root()?).at(Call::Chdir)?;
    mounted?;
    // `..` in what is taken for the root is the root, and from there the kernel goes on to what is mounted on it.
    root::open(target.as_fd(), c"..", OFlags::PATH | OFlags::DIRECTORY, ResolveFlags::empty()).at(Call::Openat2)
}

/// The same without a place. For a moment it has one: only mount(2) makes it, and only in a mount namespace.
#[inline(never)]
pub(super) fn run_detached(
    init: &Init,
    mount: &Mount<'_>,
    flags: u32,
    data: &[u8],
    place: &OwnedFd,
    covers: bool,
) -> Result<OwnedFd> {
    let mounted = run(init, mount, flags, data, place, covers)?;
    let detached = clone_tree(mounted.as_fd(), c"", false);
    rustix::process::fchdir(&mounted).at(Call::Chdir)?;
    let gone = rustix::mount::unmount(c".", UnmountFlags::DETACH).at(Call::Umount);
    rustix::process::fchdir(init.root()?).at(Call::Chdir)?;
    gone?;
    detached
}

/// Changes the filesystem of `mount`. mount(2) takes what it is not told for what is to be taken away: the mount's own flags are
/// told again.
#[inline(never)]
pub(super) fn remount(init: &Init, mount: &OwnedFd, flags: u32, data: &[u8]) -> Result {
    // statfs(2) and mount(2) have these in common: ro, nosuid, nodev, noexec, sync, mand, noatime, nodiratime.
    const COMMON: u32 = 0x1 | 0x2 | 0x4 | 0x8 | 0x10 | 0x40 | 0x400 | 0x800;
    // And these are elsewhere: relatime, nosymfollow.
    const MOVED: [(u32, u32); 2] = [(0x1000, 0x20_0000), (0x2000, 0x100)];
    let has = u32::try_from(rustix::fs::fstatfs(mount).at(Call::Statfs)?.f_flags).unwrap_or(0);
    let moved = MOVED.iter().filter(|(statfs, _)| has & statfs != 0).fold(0, |flags, (_, mount)| flags | mount);
    let flags = MountFlags::from_bits_retain(flags | has & COMMON | moved);
    let data = CStr::from_bytes_with_nul(data).map_err(|_| Fault::new(Call::Decode, Errno::PROTO))?;
    rustix::process::fchdir(mount).at(Call::Chdir)?;
    let done = rustix::mount::mount_remount(c".", flags, data).at(Call::Mount);
    rustix::process::fchdir(init.root()?).at(Call::Chdir)?;
    done
}
