//! Standard streams that are a device of the host's: `/dev/null`, as every engine gives it, above all. Who holds the host's node may
//! change its mode (`chmod 667 /proc/self/fd/0`), and with that what every process of the host may do with it.
use crate::fault::{At, Fault, Result};
use crate::{Init, root, sys};
use core::ffi::CStr;
use rustix::fd::{AsFd, BorrowedFd, OwnedFd};
use rustix::fs::{FileType, Mode, OFlags, ResolveFlags, Stat};
use rustix::io::Errno;
use rustix::mount::{FsMountFlags, FsOpenFlags, MountAttrFlags};
use step::Call;

/// The devices that every container has, by their numbers.
const OWN: [(u32, u32, &CStr); 6] = [
    (1, 3, c"/dev/null"),
    (1, 5, c"/dev/zero"),
    (1, 7, c"/dev/full"),
    (1, 8, c"/dev/random"),
    (1, 9, c"/dev/urandom"),
    (5, 0, c"/dev/tty"),
];

#[inline(never)]
pub(super) fn run(init: &Init) -> Result {
    for number in 0..3 {
        let stream = sys::stdio(number);
        // One that is closed says EBADF, and stays so.
        let Ok(stat) = rustix::fs::fstat(stream) else { continue };
        let Some(path) = own_path(&stat) else { continue };
        let flags = rustix::fs::fcntl_getfl(stream).at(Call::Fcntl)?;
        let Some(node) = open_own(init, path, &stat, flags).or_else(|| open_private(&stat, flags).ok()) else {
            harmless(stream, &stat)?;
            continue;
        };
        // O_NONBLOCK was for something else in the place of the device, a FIFO say.
        rustix::fs::fcntl_setfl(&node, flags & (OFlags::APPEND | OFlags::NONBLOCK)).at(Call::Fcntl)?;
        match number {
            0 => rustix::stdio::dup2_stdin(&node),
            1 => rustix::stdio::dup2_stdout(&node),
            _ => rustix::stdio::dup2_stderr(&node),
        }
        .at(Call::Dup3)?;
    }
    Ok(())
}

fn own_path(stat: &Stat) -> Option<&'static CStr> {
    if FileType::from_raw_mode(stat.st_mode) != FileType::CharacterDevice {
        return None;
    }
    let (major, minor) = (rustix::fs::major(stat.st_rdev), rustix::fs::minor(stat.st_rdev));
    OWN.iter().find(|own| (own.0, own.1) == (major, minor)).map(|own| own.2)
}

fn to_open(flags: OFlags) -> OFlags {
    flags & OFlags::RWMODE | OFlags::NONBLOCK | OFlags::NOCTTY | OFlags::CLOEXEC
}

/// The container's own, if what is there is that device: an image, or whoever has had this container to himself, may have put
/// anything in its place.
fn open_own(init: &Init, path: &CStr, stat: &Stat, flags: OFlags) -> Option<OwnedFd> {
    let node = root::open(init.root().ok()?, path, to_open(flags), ResolveFlags::empty()).ok()?;
    let found = rustix::fs::fstat(&node).ok()?;
    let kind = |stat: &Stat| FileType::from_raw_mode(stat.st_mode);
    ((kind(&found), found.st_rdev) == (kind(stat), stat.st_rdev)).then_some(node)
}

/// A node that nobody else has, on a filesystem that is mounted nowhere.
#[inline(never)]
fn open_private(stat: &Stat, flags: OFlags) -> rustix::io::Result<OwnedFd> {
    let context = rustix::mount::fsopen(c"tmpfs", FsOpenFlags::FSOPEN_CLOEXEC)?;
    rustix::mount::fsconfig_create(&context)?;
    let attributes = MountAttrFlags::MOUNT_ATTR_NOSUID | MountAttrFlags::MOUNT_ATTR_NOEXEC;
    let mount = rustix::mount::fsmount(&context, FsMountFlags::FSMOUNT_CLOEXEC, attributes)?;
    let (kind, mode) = (FileType::from_raw_mode(stat.st_mode), Mode::from_raw_mode(stat.st_mode & 0o777));
    rustix::fs::mknodat(&mount, c"node", kind, mode, stat.st_rdev)?;
    rustix::fs::openat(&mount, c"node", to_open(flags), Mode::empty())
}

/// What cannot be replaced may stay if root of the container, which init still is, may not change it: it belongs to nobody of its
/// user namespace. Else the program does not get it.
fn harmless(stream: BorrowedFd<'_>, stat: &Stat) -> Result {
    match rustix::fs::fchmod(stream.as_fd(), Mode::from_raw_mode(stat.st_mode & 0o7777)) {
        Err(Errno::PERM | Errno::ROFS) => Ok(()),
        _ => Err(Fault::new(Call::Mknod, Errno::PERM)),
    }
}
