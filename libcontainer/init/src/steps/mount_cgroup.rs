//! `type: cgroup` on cgroup v2.
use super::bind_mount::{attach, clone_tree};
use super::mount::{Mount, build, open_target, set_attributes};
use crate::Init;
use crate::fault::{Fault, Result};
use crate::root::Make;
use core::ffi::CStr;
use rustix::fd::{AsFd, OwnedFd};
use rustix::fs::CWD;
use rustix::io::Errno;
use step::{Attributes, Options, Target};

/// A new mount of cgroup2, which shows the cgroup namespace's root; without the privilege for that, or where the
/// hierarchy is busy elsewhere, the container's own group, never more (CVE-2023-25809).
#[inline(never)]
pub(super) fn run(
    init: &mut Init,
    target: &CStr,
    options: &[u8],
    attributes: Attributes,
    fallback: &CStr,
) -> Result<OwnedFd> {
    let target = open_target(init, target, Target::Any, Make::Directory, false)?;
    let plain = Mount {
        fstype: c"cgroup2",
        source: c"cgroup2",
        options: Options::Each(options),
        attributes: Attributes::default(),
        copy_up: false,
    };
    let mount = match build(init, &plain, options, None) {
        Err(Fault { errno: Errno::PERM | Errno::BUSY, .. }) => {
            init.detail.clear();
            init.detail.say(fallback.to_bytes());
            clone_tree(CWD, fallback, true)?
        }
        mounted => mounted?,
    };
    set_attributes(mount.as_fd(), attributes, 0)?;
    attach(&mount, &target)?;
    Ok(mount)
}
