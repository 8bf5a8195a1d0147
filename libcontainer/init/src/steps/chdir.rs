//! The working directory.
use crate::fault::{At, Fault, Result};
use crate::root::{self, Make};
use crate::{Init, sys};
use core::ffi::CStr;
use rustix::fs::{OFlags, ResolveFlags};
use rustix::io::Errno;
use step::Call;

/// The working directory is made if it is missing, as runc and Docker do.
pub(super) fn make_directory(init: &Init, path: &CStr) -> Result {
    match root::open_or_make(init.root()?, path, Make::Directory, ResolveFlags::empty()) {
        // `/` itself, or one that only its user may reach: `Chdir` says so if it matters.
        Ok(_) | Err(Fault { errno: Errno::ACCESS | Errno::BUSY | Errno::EXIST, .. }) => Ok(()),
        Err(fault) => Err(fault),
    }
}

/// Opened beneath the root, magic links refused, so that `/proc/self/fd/7` leads nowhere (CVE-2024-21626); and
/// the kernel is asked afterwards whether it is inside.
#[inline(never)]
pub(super) fn run(init: &mut Init, path: &CStr, uid: u32, gid: u32) -> Result {
    let flags = OFlags::PATH | OFlags::DIRECTORY;
    let mut opened = root::open(init.root()?, path, flags, ResolveFlags::empty());
    if matches!(opened, Err(Errno::ACCESS)) {
        let root = init.root()?;
        opened = as_user(uid, gid, || root::open(root, path, flags, ResolveFlags::empty()));
    }
    if opened.is_err() {
        init.detail.say(path.to_bytes());
    }
    let directory = opened.at(Call::Openat2)?;
    let changed = match rustix::process::fchdir(&directory) {
        Err(Errno::ACCESS) => as_user(uid, gid, || rustix::process::fchdir(&directory)),
        changed => changed,
    };
    changed.at(Call::Chdir)?;
    let mut buffer = [0; 4096];
    match sys::getcwd(&mut buffer) {
        Ok(inside) if inside.starts_with(b"/") => Ok(()),
        Ok(_) => Err(Fault::new(Call::Getcwd, Errno::XDEV)),
        Err(errno) => Err(Fault::new(Call::Getcwd, errno)),
    }
}

fn as_user<T>(uid: u32, gid: u32, work: impl FnOnce() -> T) -> T {
    sys::set_filesystem_ids(uid, gid);
    let done = work();
    sys::set_filesystem_ids(0, 0);
    done
}
