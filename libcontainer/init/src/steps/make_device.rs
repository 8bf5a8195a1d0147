//! Device nodes.
use super::bind_mount::{attach, clone_tree};
use crate::Init;
use crate::fault::{At, Fault, Result};
use crate::root::{self, Make};
use core::ffi::CStr;
use rustix::fs::{AtFlags, CWD, FileType, Gid, Mode, ResolveFlags, Uid};
use rustix::io::Errno;
use step::Call;

/// A node to make.
#[derive(Debug)]
pub(super) struct Device {
    pub(super) kind: u32,
    pub(super) major: u32,
    pub(super) minor: u32,
    pub(super) mode: u32,
    pub(super) uid: u32,
    pub(super) gid: u32,
}

#[inline(never)]
pub(super) fn run(init: &Init, path: &CStr, device: &Device) -> Result {
    let (parent, name) = root::parent(init.root()?, path)?;
    let name = name.as_c_str();
    let kind = FileType::from_raw_mode(device.kind);
    let number = rustix::fs::makedev(device.major, device.minor);
    match rustix::fs::mknodat(&parent, name, kind, Mode::from_raw_mode(device.mode), number) {
        // What is there has to be what was asked for (runtime-spec, "Devices").
        Err(Errno::EXIST) => {
            let found = rustix::fs::statat(&parent, name, AtFlags::SYMLINK_NOFOLLOW).at(Call::Fstat)?;
            let same =
                FileType::from_raw_mode(found.st_mode) == kind && (kind == FileType::Fifo || found.st_rdev == number);
            return if same { Ok(()) } else { Err(Fault::new(Call::Mknod, Errno::EXIST)) };
        }
        made => made.at(Call::Mknod)?,
    }
    if (device.uid, device.gid) != (0, 0) {
        let (uid, gid) = (Uid::from_raw(device.uid), Gid::from_raw(device.gid));
        rustix::fs::chownat(&parent, name, Some(uid), Some(gid), AtFlags::SYMLINK_NOFOLLOW).at(Call::Chown)?;
    }
    Ok(())
}

/// Binds the host's node: the kernel makes none for a user namespace.
pub(super) fn bind(init: &Init, source: &CStr, path: &CStr) -> Result {
    let mount = clone_tree(CWD, source, false)?;
    let target = root::open_or_make(init.root()?, path, Make::File, ResolveFlags::empty())?;
    attach(&mount, &target)
}
