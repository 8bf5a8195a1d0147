//! Programs that are executed by their descriptors: sealed copies, which `/proc/PID/exe` in a container may lead to (CVE-2019-5736).
#![forbid(unsafe_code)]
use crate::sys::{self, fd_path};
use crate::{Error, ErrorKind, Result};
use rustix::fd::{AsFd, BorrowedFd, OwnedFd};
use rustix::fs::{CWD, FileType, Mode, OFlags, SealFlags};
use rustix::io::Errno;
use std::ffi::CStr;

/// What keeps a file in memory as it is.
const SEALS: SealFlags = SealFlags::SEAL.union(SealFlags::SHRINK).union(SealFlags::GROW).union(SealFlags::WRITE);

/// A copy of an ELF program that nobody can change, for [`CreateOptions::program`](crate::CreateOptions::program): made once, and used
/// any number of times ([`OwnedFd::try_clone`]). `program` has to be a regular file that is open for reading; it need not be
/// executable.
///
/// # Errors
/// [`ErrorKind::InvalidConfig`] if it is no regular file; [`ErrorKind::PermissionDenied`] if `vm.memfd_noexec` forbids it;
/// [`ErrorKind::OutOfMemory`], [`ErrorKind::System`].
pub fn sealed(program: impl AsFd) -> Result<OwnedFd> {
    let program = program.as_fd();
    check(program)?;
    try_to_seal(c"program", &|file| copy(program, file)).map_err(|(call, errno)| failed(call, errno))
}

/// The program itself, if it is sealed; a copy of it otherwise.
pub(super) fn hold(state: BorrowedFd<'_>, program: BorrowedFd<'_>) -> Result<OwnedFd> {
    // may fail: what has no seals is no file in memory.
    if rustix::fs::fcntl_get_seals(program).is_ok_and(|seals| seals.contains(SEALS)) {
        return program.try_clone_to_owned().map_err(|error| Error::io("hold the program", "fcntl(F_DUPFD)", &error));
    }
    check(program)?;
    in_memory(c"program", state, &|file| copy(program, file)).map_err(|(call, errno)| failed(call, errno))
}

fn check(program: BorrowedFd<'_>) -> Result<()> {
    let stat = rustix::fs::fstat(program).map_err(|errno| failed("fstat", errno))?;
    match FileType::from_raw_mode(stat.st_mode) {
        FileType::RegularFile => Ok(()),
        _ => Err(Error::new(ErrorKind::InvalidConfig, "hold the program: it is no regular file")),
    }
}

fn failed(call: &'static str, errno: Errno) -> Error {
    Error::system("hold the program", call, errno)
}

/// Puts a program into a file.
type Fill<'a> = &'a dyn Fn(BorrowedFd<'_>) -> std::result::Result<(), Errno>;

/// An executable file with no name that nobody can change. `state` is a directory of ours.
pub(super) fn in_memory(
    name: &CStr,
    state: BorrowedFd<'_>,
    fill: Fill<'_>,
) -> std::result::Result<OwnedFd, (&'static str, Errno)> {
    match try_to_seal(name, fill) {
        // vm.memfd_noexec=2: no memfd may be executed. A file without a name does as well.
        Err(("memfd_create", Errno::ACCESS | Errno::NOSYS | Errno::PERM)) => {
            unlinked(state, fill).map_err(|errno| ("open(O_TMPFILE)", errno))
        }
        sealed => sealed,
    }
}

fn try_to_seal(name: &CStr, fill: Fill<'_>) -> std::result::Result<OwnedFd, (&'static str, Errno)> {
    let memfd = sys::memfd(name, true).map_err(|errno| ("memfd_create", errno))?;
    fill(memfd.as_fd()).map_err(|errno| ("write(memfd)", errno))?;
    rustix::fs::fcntl_add_seals(&memfd, SEALS).map_err(|errno| ("fcntl(F_ADD_SEALS)", errno))?;
    Ok(memfd)
}

/// The same as a read-only descriptor of a file that has no name and cannot be opened for writing: a program
/// that runs is ETXTBSY.
fn unlinked(state: BorrowedFd<'_>, fill: Fill<'_>) -> std::result::Result<OwnedFd, Errno> {
    let flags = OFlags::TMPFILE | OFlags::RDWR | OFlags::EXCL | OFlags::CLOEXEC;
    let file = rustix::fs::openat(state, c".", flags, Mode::from_raw_mode(0o555))?;
    fill(file.as_fd())?;
    rustix::fs::openat(CWD, fd_path(&file), OFlags::RDONLY | OFlags::CLOEXEC, Mode::empty())
}

/// All of a file, wherever its reader stands.
fn copy(from: BorrowedFd<'_>, to: BorrowedFd<'_>) -> std::result::Result<(), Errno> {
    const AT_ONCE: usize = 1 << 30;
    let mut at = 0;
    loop {
        match rustix::fs::sendfile(to, from, Some(&mut at), AT_ONCE) {
            Ok(0) => return Ok(()),
            Ok(_) | Err(Errno::INTR) => {}
            Err(errno) => return Err(errno),
        }
    }
}
