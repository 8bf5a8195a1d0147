//! Bind sources that the host opens: what root of a user namespace may not reach, and id-mapped mounts.
use super::channel::Channel;
use super::entry::{self, Entry};
use super::{Process, id_mappings, reap};
use crate::plan::line::{HostStep, IdMappedMount};
use crate::sys::{self, MountAttr};
use crate::{Error, Result};
use rustix::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use rustix::fs::{CWD, Mode, OFlags};
use rustix::io::Errno;
use rustix::mount::OpenTreeFlags;
use std::path::Path;
use step::Link;

const MOUNT_ATTR_IDMAP: u64 = 0x0010_0000;
const CLONE_NEWUSER: u32 = 0x1000_0000;

/// A detached mount of `source`.
pub(super) fn open(
    state: BorrowedFd<'_>,
    source: &Path,
    recursive: bool,
    link: Link,
    id_map: Option<&IdMappedMount>,
) -> Result<OwnedFd> {
    let mut flags = OpenTreeFlags::OPEN_TREE_CLONE | OpenTreeFlags::OPEN_TREE_CLOEXEC;
    if recursive {
        flags |= OpenTreeFlags::from_bits_retain(libc::AT_RECURSIVE.unsigned_abs());
    }
    if link == Link::Bind {
        flags |= OpenTreeFlags::AT_SYMLINK_NOFOLLOW;
    }
    let what = || format!("open the mount source {}", source.display());
    let mount =
        rustix::mount::open_tree(CWD, source, flags).map_err(|errno| Error::system(what(), "open_tree", errno))?;
    match id_map {
        Some(map) => self::id_map(state, mount, map),
        None => Ok(mount),
    }
}

/// The detached mount with these maps.
pub(super) fn id_map(state: BorrowedFd<'_>, mount: OwnedFd, map: &IdMappedMount) -> Result<OwnedFd> {
    let what = || format!("id-map the mount of {} on {}", map.source.display(), map.target.display());
    let namespace = match &map.of {
        Some(path) => hold(path),
        None => user_namespace(state, map),
    };
    let namespace = namespace.map_err(|error| error.within(&what()))?;
    let userns_fd = u64::from(namespace.as_raw_fd().unsigned_abs());
    let attr = MountAttr { set: MOUNT_ATTR_IDMAP, userns_fd, ..MountAttr::default() };
    sys::mount_setattr(mount.as_fd(), map.recursive, &attr).map_err(|errno| {
        let hint = "hint: its filesystem does not support id-mapped mounts";
        let error = Error::system(what(), "mount_setattr(MOUNT_ATTR_IDMAP)", errno);
        if errno == Errno::INVAL { error.detail(hint) } else { error }
    })?;
    Ok(mount)
}

/// What is mounted below it later stays in the container; what the host mounts there still arrives.
pub(super) fn isolate(mount: BorrowedFd<'_>, source: &Path) -> Result<()> {
    let attr = MountAttr { propagation: libc::MS_SLAVE, ..MountAttr::default() };
    sys::mount_setattr(mount, true, &attr).map_err(|errno| {
        Error::system(format!("open the mount source {}", source.display()), "mount_setattr(MS_SLAVE)", errno)
    })
}

fn hold(path: &Path) -> Result<OwnedFd> {
    rustix::fs::openat(CWD, path, OFlags::RDONLY | OFlags::CLOEXEC, Mode::empty())
        .map_err(|errno| Error::system("hold a user namespace", format!("open({})", path.display()), errno))
}

/// A user namespace with this mapping, which exists as long as somebody holds it. It takes a process to make
/// one: an init that never hears of a plan.
fn user_namespace(state: BorrowedFd<'_>, map: &IdMappedMount) -> Result<OwnedFd> {
    let (channel, socket) = Channel::pair()?;
    let entry = Entry { state, socket, stdio: None, preserve: &[] };
    let clone = HostStep::Clone { namespaces: CLONE_NEWUSER, into_cgroup: None, tasks: Vec::new() };
    let (Process { pid, pidfd }, _) = entry::start(entry, &clone)?;
    let opened = id_mappings::write(pid, &map.uid, &map.gid, false)
        .and_then(|()| hold(Path::new(&format!("/proc/{pid}/ns/user"))));
    // Its socket closes, and it ends.
    drop(channel);
    reap(pidfd.as_fd());
    opened
}
