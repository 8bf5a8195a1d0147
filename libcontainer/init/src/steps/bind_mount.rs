//! Bind mounts: a clone of the source, detached, attached to a descriptor.
use super::mount::{MOUNT_ATTR_RDONLY, is_procfs, open_target, set_attributes};
use super::propagation;
use crate::fault::{At, Fault, Result};
use crate::root::{self, Make};
use crate::{Init, sys};
use core::ffi::CStr;
use rustix::fd::{AsFd, BorrowedFd, OwnedFd};
use rustix::fs::{CWD, FileType, Mode, OFlags, ResolveFlags};
use rustix::io::Errno;
use rustix::mount::{MoveMountFlags, OpenTreeFlags};
use step::{Attributes, Call, Link, Source, Target, ZStr};

/// A source to bind.
#[derive(Debug)]
pub(super) struct BindMount<'a> {
    pub(super) source: &'a Source<ZStr<'a>>,
    pub(super) recursive: bool,
    pub(super) attributes: Attributes,
    pub(super) recursive_attributes: Attributes,
    pub(super) link: Link,
}

/// Gives the mount; `None` where a symbolic link was copied instead.
#[inline(never)]
pub(super) fn run(init: &mut Init, bind: &BindMount<'_>, target: &CStr, kind: Target) -> Result<Option<OwnedFd>> {
    let mount = match *bind.source {
        Source::Slot(slot) => init.slots.take(slot)?,
        Source::Inside(path) => open_inside(init, path.0, bind.recursive, bind.link)?,
        Source::Path(path) => {
            if bind.link == Link::Copy && super::symlink::copy(init, path.0, target)? {
                return Ok(None);
            }
            let opened = match bind.link {
                Link::Bind => clone_link(path.0, bind.recursive),
                Link::Follow | Link::Copy => clone_tree(CWD, path.0, bind.recursive),
            };
            if opened.is_err() {
                init.detail.say(path.0.to_bytes());
            }
            opened?
        }
    };
    let stat = root::stat(mount.as_fd())?;
    let is_directory = FileType::from_raw_mode(stat.st_mode) == FileType::Directory;
    let make = if is_directory { Make::Directory } else { Make::File };
    // A procfs over /proc is what `kind` allows; anything else there is not.
    let is_proc = is_directory && stat.st_ino == 1 && is_procfs(&mount)?;
    if kind == Target::OrdinaryDirectory && target == c"/proc" && !is_proc {
        // Whatever else it is, init and others would take it for one (CVE-2019-16884).
        return Err(Fault::new(Call::MoveMount, Errno::PERM));
    }
    let target = open_target(init, target, kind, make, is_proc)?;
    set_own_attributes(mount.as_fd(), bind.attributes)?;
    set_attributes(mount.as_fd(), bind.recursive_attributes, sys::AT_RECURSIVE)?;
    attach(&mount, &target)?;
    Ok(Some(mount))
}

/// Who has been given a mount read-only has to leave it so (mount_namespaces(7)), and engines say `rw` of whatever nobody asked to
/// be read-only.
fn set_own_attributes(mount: BorrowedFd<'_>, attributes: Attributes) -> Result {
    match set_attributes(mount, attributes, 0) {
        Err(fault) if fault.errno == Errno::PERM && attributes.clear & MOUNT_ATTR_RDONLY != 0 => {
            set_attributes(mount, Attributes { clear: attributes.clear & !MOUNT_ATTR_RDONLY, ..attributes }, 0)
        }
        set => set,
    }
}

/// What `path` is, even if that is a symbolic link.
fn clone_link(path: &CStr, recursive: bool) -> Result<OwnedFd> {
    let flags = OFlags::PATH | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let found = rustix::fs::openat(CWD, path, flags, Mode::empty()).at(Call::Open)?;
    clone_tree(found.as_fd(), c"", recursive)
}

fn open_inside(init: &mut Init, path: &CStr, recursive: bool, link: Link) -> Result<OwnedFd> {
    let nofollow = if link == Link::Bind { OFlags::NOFOLLOW } else { OFlags::empty() };
    let found = root::open(init.root()?, path, OFlags::PATH | nofollow, ResolveFlags::empty());
    if found.is_err() {
        init.detail.say(path.to_bytes());
    }
    clone_tree(found.at(Call::Openat2)?.as_fd(), c"", recursive)
}

/// The clone goes to the host with the next word to it.
pub(super) fn open_source(init: &mut Init, path: &CStr, recursive: bool, link: Link) -> Result {
    init.rider = Some(open_inside(init, path, recursive, link)?);
    Ok(())
}

/// `open_tree(2)`: a detached copy of the mount at `path`.
pub(super) fn clone_tree(dir: BorrowedFd<'_>, path: &CStr, recursive: bool) -> Result<OwnedFd> {
    let mut flags = OpenTreeFlags::OPEN_TREE_CLONE | OpenTreeFlags::OPEN_TREE_CLOEXEC;
    if recursive {
        flags |= OpenTreeFlags::from_bits_retain(sys::AT_RECURSIVE);
    }
    if path.is_empty() {
        flags |= OpenTreeFlags::AT_EMPTY_PATH;
    }
    rustix::mount::open_tree(dir, path, flags).at(Call::OpenTree)
}

/// `move_mount(2)` from a descriptor to a descriptor: no path is resolved.
pub(super) fn attach(mount: &OwnedFd, target: &OwnedFd) -> Result {
    let by_descriptor = MoveMountFlags::MOVE_MOUNT_F_EMPTY_PATH | MoveMountFlags::MOVE_MOUNT_T_EMPTY_PATH;
    match rustix::mount::move_mount(mount, c"", target, c"", by_descriptor) {
        // What mount(2) says of a directory on a file, or a file on a directory, and engines look for.
        Err(Errno::INVAL) if root::is_directory(mount.as_fd())? != root::is_directory(target.as_fd())? => {
            Err(Fault::new(Call::MoveMount, Errno::NOTDIR))
        }
        moved => moved.at(Call::MoveMount),
    }
}

/// The propagation that an option asked for; 0 for none.
pub(super) fn set_propagation(mount: BorrowedFd<'_>, propagation: u32) -> Result {
    if propagation == 0 {
        return Ok(());
    }
    let flags = propagation::recursive_flag(propagation) | sys::AT_EMPTY_PATH;
    sys::mount_setattr(mount, c"", flags, &propagation::attr(propagation)).at(Call::MountSetattr)
}
