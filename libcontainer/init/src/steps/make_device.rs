//! Device nodes: made, or the host's bound where making them is forbidden.
use super::bind_mount::{attach, clone_tree};
use super::mount::set_attributes;
use crate::fault::{At, Fault, Result};
use crate::root::{self, Text};
use crate::{Init, host_dev};
use core::ffi::CStr;
use rustix::fd::{AsFd, OwnedFd};
use rustix::fs::{AtFlags, CWD, FileType, Gid, Mode, Stat, Uid};
use rustix::io::Errno;
use step::{Attributes, Call, Device, Present, Source, ZStr};

/// The null device of every Linux.
pub(super) const NULL: Device = Device { kind: 0o020_000, major: 1, minor: 3 };

/// MOUNT_ATTR_RDONLY, NOSUID, NOEXEC. A device is opened for writing through a read-only mount as well, but its mode, owner, times
/// and attributes cannot be changed there.
const SEALED: Attributes = Attributes { set: 0x1 | 0x2 | 0x8, clear: 0 };

/// A node to make.
#[derive(Debug)]
pub(super) struct Node {
    pub(super) device: Device,
    pub(super) mode: u32,
    pub(super) uid: u32,
    pub(super) gid: u32,
    pub(super) present: Present,
}

#[inline(never)]
pub(super) fn run(init: &mut Init, path: &CStr, node: &Node) -> Result {
    let place = Place::of(init, path)?;
    if host_dev::holds(place.parent.as_fd())?
        && (place.is_taken(node.device, node.present)? || place.is_not_ours(node.present)?)
    {
        return Ok(());
    }
    let (parent, name, number) = (&place.parent, place.name.as_c_str(), number(node.device));
    match rustix::fs::mknodat(parent, name, kind(node.device), Mode::from_raw_mode(node.mode), number) {
        // No CAP_MKNOD, or a device group of the caller's that forbids it.
        Err(Errno::PERM) => {
            let clone = clone_node(path, node.device).or(Err(Fault::new(Call::Mknod, Errno::PERM)));
            if clone.is_err() {
                init.detail.say(b"and the host has no such device there to bind");
            }
            return place.attach(&clone?);
        }
        // `is_taken` has errors of its own.
        Err(Errno::EXIST) if place.is_taken(node.device, node.present)? => return Ok(()),
        made => made.at(Call::Mknod)?,
    }
    if (node.uid, node.gid) != (0, 0) {
        let (uid, gid) = (Uid::from_raw(node.uid), Gid::from_raw(node.gid));
        rustix::fs::chownat(parent, name, Some(uid), Some(gid), AtFlags::SYMLINK_NOFOLLOW).at(Call::Chown)?;
    }
    Ok(())
}

/// Binds a node that is there.
#[inline(never)]
pub(super) fn bind(
    init: &mut Init,
    source: &Source<ZStr<'_>>,
    path: &CStr,
    device: Device,
    present: Present,
) -> Result {
    let mount = match *source {
        Source::Slot(slot) => init.slots.take(slot)?,
        Source::Path(source) | Source::Inside(source) => {
            init.detail.say(b"the host's ").say(source.0.to_bytes());
            let clone = clone_node(source.0, device)?;
            init.detail.clear();
            clone
        }
    };
    let place = Place::of(init, path)?;
    let found = place.look()?;
    let bindable = match &found {
        None => true,
        // The device on a filesystem that may not hold any; or what a container before this one was given to bind on.
        Some(found) => is(found, device) || is_empty_file(found),
    };
    if (!bindable || host_dev::holds(place.parent.as_fd())?) && place.is_taken(device, present)?
        || place.is_not_ours(present)?
    {
        return Ok(());
    }
    place.attach(&mount)
}

/// The host's node at `path`, if it is that device, as a mount through which nothing about it can be changed.
pub(super) fn clone_node(path: &CStr, device: Device) -> Result<OwnedFd> {
    let mount = clone_tree(CWD, path, false)?;
    if !is(&root::stat(mount.as_fd())?, device) {
        return Err(Fault::new(Call::OpenTree, Errno::NODEV));
    }
    set_attributes(mount.as_fd(), SEALED, 0)?;
    Ok(mount)
}

/// Where a node goes.
struct Place {
    parent: OwnedFd,
    name: Text,
}

impl Place {
    fn of(init: &Init, path: &CStr) -> Result<Place> {
        let (parent, name) = root::parent(init.root()?, path)?;
        Ok(Place { parent, name })
    }

    fn look(&self) -> Result<Option<Stat>> {
        match rustix::fs::statat(&self.parent, self.name.as_c_str(), AtFlags::SYMLINK_NOFOLLOW) {
            Err(Errno::NOENT) => Ok(None),
            found => found.at(Call::Fstat).map(Some),
        }
    }

    /// There is something that stays.
    fn is_taken(&self, device: Device, present: Present) -> Result<bool> {
        match (self.look()?, present) {
            (None, _) => Ok(false),
            (Some(_), Present::Stays) => Ok(true),
            (Some(found), Present::IsTheDevice) if is(&found, device) => Ok(true),
            (Some(_), Present::IsTheDevice) => Err(Fault::new(Call::Mknod, Errno::EXIST)),
        }
    }

    /// It lies in the host's own `/dev`, which can do without a default device.
    fn is_not_ours(&self, present: Present) -> Result<bool> {
        match present {
            Present::Stays => host_dev::holds(self.parent.as_fd()),
            Present::IsTheDevice => host_dev::spare(self.parent.as_fd()).map(|()| false),
        }
    }

    fn attach(&self, mount: &OwnedFd) -> Result {
        attach(mount, &root::make_file(self.parent.as_fd(), self.name.as_c_str())?)
    }
}

fn kind(device: Device) -> FileType {
    FileType::from_raw_mode(device.kind)
}

fn number(device: Device) -> u64 {
    rustix::fs::makedev(device.major, device.minor)
}

fn is(found: &Stat, device: Device) -> bool {
    let kind = kind(device);
    FileType::from_raw_mode(found.st_mode) == kind && (kind == FileType::Fifo || found.st_rdev == number(device))
}

fn is_empty_file(found: &Stat) -> bool {
    FileType::from_raw_mode(found.st_mode) == FileType::RegularFile && found.st_size == 0
}
