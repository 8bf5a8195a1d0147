//! `tmpcopyup`: a new tmpfs begins with what it covers.
use crate::fault::{At, Fault, Result};
use core::ffi::CStr;
use core::mem::MaybeUninit;
use rustix::fd::{AsFd, BorrowedFd, OwnedFd};
use rustix::fs::{AtFlags, FileType, Gid, Mode, OFlags, RawDir, Stat, Uid};
use rustix::io::Errno;
use step::Call;

/// Deeper trees are refused: each level takes a buffer of the stack and two descriptors.
const DEPTH: usize = 64;

/// Copies what is in the directory `from` to the directory `to`, which is attached nowhere yet.
#[inline(never)]
pub(super) fn run(from: &OwnedFd, to: &OwnedFd) -> Result {
    let stat = crate::root::stat(from.as_fd())?;
    copy_directory(from.as_fd(), to.as_fd(), 0)?;
    own(to.as_fd(), c"", &stat, AtFlags::EMPTY_PATH)
}

fn copy_directory(from: BorrowedFd<'_>, to: BorrowedFd<'_>, depth: usize) -> Result {
    if depth == DEPTH {
        return Err(Fault::new(Call::Getdents, Errno::LOOP));
    }
    // `from` may be O_PATH, which cannot be listed.
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let listed = rustix::fs::openat(from, c".", flags, Mode::empty()).at(Call::Open)?;
    let mut buffer = [MaybeUninit::uninit(); 1024];
    let mut entries = RawDir::new(&listed, &mut buffer);
    while let Some(entry) = entries.next() {
        let entry = entry.at(Call::Getdents)?;
        let name = entry.file_name();
        if name != c"." && name != c".." {
            copy_entry(listed.as_fd(), to, name, depth)?;
        }
    }
    Ok(())
}

fn copy_entry(from: BorrowedFd<'_>, to: BorrowedFd<'_>, name: &CStr, depth: usize) -> Result {
    let stat = rustix::fs::statat(from, name, AtFlags::SYMLINK_NOFOLLOW).at(Call::Fstat)?;
    let (kind, mode) = (FileType::from_raw_mode(stat.st_mode), Mode::from_raw_mode(stat.st_mode & 0o7777));
    let open =
        |at, flags| rustix::fs::openat(at, name, flags | OFlags::NOFOLLOW | OFlags::CLOEXEC, mode).at(Call::Open);
    match kind {
        FileType::Directory => {
            rustix::fs::mkdirat(to, name, mode).at(Call::Mkdir)?;
            let directory = OFlags::PATH | OFlags::DIRECTORY;
            copy_directory(open(from, directory)?.as_fd(), open(to, directory)?.as_fd(), depth + 1)?;
        }
        FileType::RegularFile => {
            let source = open(from, OFlags::RDONLY | OFlags::NONBLOCK)?;
            let copy = open(to, OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL)?;
            while rustix::fs::sendfile(&copy, &source, None, 1 << 20).at(Call::Read)? > 0 {}
        }
        FileType::Symlink => {
            let mut target = [MaybeUninit::uninit(); 4096];
            let (target, _) = rustix::fs::readlinkat_raw(from, name, &mut target).at(Call::Readlink)?;
            let target = crate::root::Text::new(target)?;
            rustix::fs::symlinkat(target.as_c_str(), to, name).at(Call::Symlink)?;
        }
        // Devices, pipes and sockets.
        _ => rustix::fs::mknodat(to, name, kind, mode, stat.st_rdev).at(Call::Mknod)?,
    }
    own(to, name, &stat, AtFlags::SYMLINK_NOFOLLOW)
}

/// The owner after the content, and the mode once more: chown(2) takes set-user-id bits away.
fn own(at: BorrowedFd<'_>, name: &CStr, stat: &Stat, flags: AtFlags) -> Result {
    let (uid, gid) = (Uid::from_raw(stat.st_uid), Gid::from_raw(stat.st_gid));
    rustix::fs::chownat(at, name, Some(uid), Some(gid), flags).at(Call::Chown)?;
    if FileType::from_raw_mode(stat.st_mode) == FileType::Symlink || name.is_empty() {
        return Ok(());
    }
    rustix::fs::chmodat(at, name, Mode::from_raw_mode(stat.st_mode & 0o7777), AtFlags::empty()).at(Call::Chmod)
}
