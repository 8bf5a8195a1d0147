//! Symbolic links.
use crate::fault::{At, Fault, Result};
use crate::root::{self, Text};
use crate::{Init, host_dev};
use core::ffi::CStr;
use rustix::fd::{AsFd, OwnedFd};
use rustix::fs::{AtFlags, CWD, FileType};
use rustix::io::Errno;
use step::Call;

#[inline(never)]
pub(super) fn run(init: &Init, target: &CStr, path: &CStr, replace: bool) -> Result {
    let (parent, name) = root::parent(init.root()?, path)?;
    let name = name.as_c_str();
    if host_dev::holds(parent.as_fd())? {
        return Ok(());
    }
    match rustix::fs::symlinkat(target, &parent, name) {
        Err(Errno::EXIST) if replace && is_in_the_way(&parent, name)? => {
            rustix::fs::unlinkat(&parent, name, AtFlags::empty()).at(Call::Unlink)?;
            rustix::fs::symlinkat(target, &parent, name).at(Call::Symlink)
        }
        Err(Errno::EXIST) => Ok(()),
        made => made.at(Call::Symlink),
    }
}

/// A plain file in the place of `/dev/ptmx`, as images have it that were made by copying. A node of that device opens a terminal of
/// the devpts beside it (kernel: `devpts_acquire`), as well as the link does.
fn is_in_the_way(parent: &OwnedFd, name: &CStr) -> Result<bool> {
    let stat = rustix::fs::statat(parent, name, AtFlags::SYMLINK_NOFOLLOW).at(Call::Fstat)?;
    Ok(FileType::from_raw_mode(stat.st_mode) == FileType::RegularFile)
}

/// `copy-symlink`: if `source` on the host is a symbolic link, makes the same one at `path` and says so.
#[inline(never)]
pub(super) fn copy(init: &Init, source: &CStr, path: &CStr) -> Result<bool> {
    let stat = rustix::fs::statat(CWD, source, AtFlags::SYMLINK_NOFOLLOW).at(Call::Fstat)?;
    if FileType::from_raw_mode(stat.st_mode) != FileType::Symlink {
        return Ok(false);
    }
    let mut buffer = [core::mem::MaybeUninit::uninit(); 4096];
    let (target, _) = rustix::fs::readlinkat_raw(CWD, source, &mut buffer).at(Call::Readlink)?;
    let target = Text::new(target)?;
    run(init, target.as_c_str(), path, false)?;
    // What was there before has to be the same.
    let (parent, name) = root::parent(init.root()?, path)?;
    let mut buffer = [core::mem::MaybeUninit::uninit(); 4096];
    match rustix::fs::readlinkat_raw(&parent, name.as_c_str(), &mut buffer) {
        Ok((there, _)) if *there == *target.as_c_str().to_bytes() => Ok(true),
        Ok(_) | Err(Errno::INVAL) => Err(Fault::new(Call::Symlink, Errno::EXIST)),
        Err(errno) => Err(Fault::new(Call::Readlink, errno)),
    }
}
