//! Masked and read-only paths.
use super::bind_mount::{attach, clone_tree};
use super::make_device::{NULL, clone_node};
use super::mount::{MOUNT_ATTR_RDONLY, set_attributes};
use crate::fault::{At, Fault, Result};
use crate::{Init, root, sys};
use core::ffi::CStr;
use rustix::fd::{AsFd, OwnedFd};
use rustix::io::Errno;
use rustix::mount::{FsMountFlags, FsOpenFlags, MountAttrFlags};
use step::{Attributes, Call};

const NULL_PATH: &CStr = c"/dev/null";

/// What is mounted over a masked path. The first use attaches the mount, later ones a clone of it: one
/// superblock however many paths are masked.
#[derive(Debug, Default)]
pub struct Covers {
    /// The host's null device, or why there is none: a host without it can mask directories all the same.
    null: Option<Result<OwnedFd>>,
    null_attached: bool,
    empty: Option<OwnedFd>,
}

impl Covers {
    /// Opens the host's null device while the host's `/dev` is still the one that is seen.
    pub(super) fn open_null(&mut self) {
        self.null = Some(clone_node(NULL_PATH, NULL));
    }

    fn cover_file(&mut self, target: &OwnedFd) -> Result {
        let missing = Err(Fault::new(Call::OpenTree, Errno::NODEV));
        let null = self.null.as_ref().unwrap_or(&missing).as_ref().map_err(|fault| *fault)?;
        if self.null_attached {
            return attach(&clone_tree(null.as_fd(), c"", false)?, target);
        }
        attach(null, target)?;
        self.null_attached = true;
        Ok(())
    }

    fn cover_directory(&mut self, target: &OwnedFd) -> Result {
        if let Some(empty) = &self.empty {
            return attach(&clone_tree(empty.as_fd(), c"", false)?, target);
        }
        let context = rustix::mount::fsopen(c"tmpfs", FsOpenFlags::FSOPEN_CLOEXEC).at(Call::Fsopen)?;
        // Room for the root directory and nothing else.
        rustix::mount::fsconfig_set_string(&context, c"nr_blocks", c"1").at(Call::Fsconfig)?;
        rustix::mount::fsconfig_set_string(&context, c"nr_inodes", c"2").at(Call::Fsconfig)?;
        rustix::mount::fsconfig_create(&context).at(Call::Fsconfig)?;
        let attributes = MountAttrFlags::MOUNT_ATTR_RDONLY;
        let empty = rustix::mount::fsmount(&context, FsMountFlags::FSMOUNT_CLOEXEC, attributes).at(Call::Fsmount)?;
        attach(&empty, target)?;
        self.empty = Some(empty);
        Ok(())
    }
}

pub(super) fn run(init: &mut Init, path: &CStr) -> Result {
    let Some(target) = root::look(init.root()?, path)? else { return Ok(()) };
    if root::is_directory(target.as_fd())? {
        init.covers.cover_directory(&target)
    } else {
        init.detail.say(b"with the host's ").say(NULL_PATH.to_bytes());
        init.covers.cover_file(&target)
    }
}

/// A read-only copy of `path`, with what is mounted below it, over itself.
pub(super) fn readonly(init: &Init, path: &CStr) -> Result {
    let Some(target) = root::look(init.root()?, path)? else { return Ok(()) };
    let copy = clone_tree(target.as_fd(), c"", true)?;
    let readonly = Attributes { set: MOUNT_ATTR_RDONLY, clear: 0 };
    set_attributes(copy.as_fd(), readonly, sys::AT_RECURSIVE)?;
    attach(&copy, &target)
}
