//! Symbolic links.
use crate::Init;
use crate::fault::{At, Fault, Result};
use crate::root::{self, Text};
use core::ffi::CStr;
use rustix::fs::{AtFlags, CWD, FileType};
use rustix::io::Errno;
use step::Call;

#[inline(never)]
pub(super) fn run(init: &Init, target: &CStr, path: &CStr, replace: bool) -> Result {
    let (parent, name) = root::parent(init.root()?, path)?;
    let name = name.as_c_str();
    match rustix::fs::symlinkat(target, &parent, name) {
        Err(Errno::EXIST) if replace => {
            rustix::fs::unlinkat(&parent, name, AtFlags::empty()).at(Call::Unlink)?;
            rustix::fs::symlinkat(target, &parent, name).at(Call::Symlink)
        }
        Err(Errno::EXIST) => Ok(()),
        made => made.at(Call::Symlink),
    }
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
