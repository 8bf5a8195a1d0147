//! Device nodes for a user namespace, in which the kernel lets nobody make one.
use crate::sys::{self, MountAttr};
use crate::{Error, Result};
use rustix::fd::{AsFd, OwnedFd};
use rustix::fs::{AtFlags, CWD, FileType, Gid, Mode, Uid};
use rustix::io::Errno;
use rustix::mount::{FsMountFlags, FsOpenFlags, MountAttrFlags, MoveMountFlags, OpenTreeFlags};
use step::Device;

const NAME: &str = "node";

/// A detached mount of a new node: alone on a filesystem of its own, so that whoever owns it can change nothing else.
pub(super) fn make(device: Device, mode: u32, uid: u32, gid: u32) -> Result<OwnedFd> {
    let place = place_with(device, mode, uid, gid)?;
    match clone(&place) {
        // KERNEL(6.15): a mount can be cloned that is attached nowhere.
        Err(Errno::INVAL) => attach_and_clone(&place),
        cloned => cloned,
    }
    .map_err(fail("open_tree"))
}

fn fail(call: &'static str) -> impl Fn(Errno) -> Error {
    move |errno| Error::system("make a device node", call, errno)
}

fn place_with(device: Device, mode: u32, uid: u32, gid: u32) -> Result<OwnedFd> {
    let context = rustix::mount::fsopen("tmpfs", FsOpenFlags::FSOPEN_CLOEXEC).map_err(fail("fsopen"))?;
    rustix::mount::fsconfig_set_string(&context, "nr_inodes", "2").map_err(fail("fsconfig"))?;
    rustix::mount::fsconfig_create(&context).map_err(fail("fsconfig"))?;
    let attributes = MountAttrFlags::MOUNT_ATTR_NOSUID | MountAttrFlags::MOUNT_ATTR_NOEXEC;
    let place = rustix::mount::fsmount(&context, FsMountFlags::FSMOUNT_CLOEXEC, attributes).map_err(fail("fsmount"))?;
    let (kind, number) = (FileType::from_raw_mode(device.kind), rustix::fs::makedev(device.major, device.minor));
    rustix::fs::mknodat(&place, NAME, kind, Mode::empty(), number).map_err(fail("mknodat"))?;
    let (uid, gid) = (Some(Uid::from_raw(uid)), Some(Gid::from_raw(gid)));
    rustix::fs::chownat(&place, NAME, uid, gid, AtFlags::SYMLINK_NOFOLLOW).map_err(fail("fchownat"))?;
    // Last: chown(2) takes bits away, and the caller's umask would.
    rustix::fs::chmodat(&place, NAME, Mode::from_raw_mode(mode), AtFlags::empty()).map_err(fail("fchmodat"))?;
    Ok(place)
}

fn clone(place: &OwnedFd) -> rustix::io::Result<OwnedFd> {
    rustix::mount::open_tree(place, NAME, OpenTreeFlags::OPEN_TREE_CLONE | OpenTreeFlags::OPEN_TREE_CLOEXEC)
}

/// The same, attached where nobody else sees it: in the mount namespace of a thread that ends with it.
fn attach_and_clone(place: &OwnedFd) -> rustix::io::Result<OwnedFd> {
    let attached = || {
        sys::unshare_mounts()?;
        let root = rustix::mount::open_tree(CWD, "/", OpenTreeFlags::OPEN_TREE_CLOEXEC)?;
        sys::mount_setattr(root.as_fd(), true, &MountAttr { propagation: libc::MS_PRIVATE, ..MountAttr::default() })?;
        rustix::mount::move_mount(place, "", CWD, "/", MoveMountFlags::MOVE_MOUNT_F_EMPTY_PATH)?;
        clone(place)
    };
    sys::on_a_thread(attached)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_kernel_that_clones_attached_mounts_only_gives_the_same_node() {
        let device = Device { kind: 0o020_000, major: 1, minor: 5 };
        let place = match place_with(device, 0o640, 5, 6) {
            // Not as an ordinary user, nor in a container.
            Err(error) if error.to_string().contains("EPERM") => return,
            place => place.unwrap(),
        };
        for node in [clone(&place), attach_and_clone(&place)] {
            let found = rustix::fs::statat(node.unwrap(), "", AtFlags::EMPTY_PATH).unwrap();
            assert_eq!((found.st_mode, found.st_uid, found.st_gid), (0o020_640, 5, 6));
            assert_eq!(found.st_rdev, rustix::fs::makedev(1, 5));
        }
    }
}
