//! `type: cgroup` on cgroup v2.
use super::bind_mount::{attach, clone_tree};
use super::mount::{open_target, set_attributes};
use crate::Init;
use crate::fault::{At, Fault, Result};
use crate::root::Make;
use core::ffi::CStr;
use rustix::fd::AsFd;
use rustix::fs::CWD;
use rustix::io::Errno;
use rustix::mount::{FsMountFlags, FsOpenFlags, MountAttrFlags};
use step::{Attributes, Call, Target};

/// A new mount of cgroup2, which shows the cgroup namespace's root; without the privilege for that, or where the
/// hierarchy is busy elsewhere, the container's own group, never more (CVE-2023-25809).
pub(super) fn run(init: &mut Init, target: &CStr, attributes: Attributes, fallback: &CStr) -> Result {
    let target = open_target(init, target, Target::Any, Make::Directory, false)?;
    let mount = match mount_cgroup2() {
        Err(Fault { errno: Errno::PERM | Errno::BUSY, .. }) => {
            init.detail.say(fallback.to_bytes());
            clone_tree(CWD, fallback, true)?
        }
        mounted => mounted?,
    };
    set_attributes(mount.as_fd(), attributes, 0)?;
    attach(&mount, &target)
}

fn mount_cgroup2() -> Result<rustix::fd::OwnedFd> {
    let context = rustix::mount::fsopen(c"cgroup2", FsOpenFlags::FSOPEN_CLOEXEC).at(Call::Fsopen)?;
    rustix::mount::fsconfig_create(&context).at(Call::Fsconfig)?;
    rustix::mount::fsmount(&context, FsMountFlags::FSMOUNT_CLOEXEC, MountAttrFlags::empty()).at(Call::Fsmount)
}
