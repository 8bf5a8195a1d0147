//! The standard streams that a container is given, which belong to the caller.
use crate::{Error, Result, sys};
use rustix::fd::{AsFd, OwnedFd};
use rustix::fs::{FileType, Gid, Stat, Uid};
use rustix::io::Errno;

/// Those that are open; the caller's own if none are named.
fn open(stdio: Option<[i32; 3]>) -> impl Iterator<Item = (OwnedFd, Stat)> {
    stdio.unwrap_or([0, 1, 2]).into_iter().filter_map(|number| {
        // A caller may have closed any of them.
        let stream = sys::duplicate(number).ok()?;
        let stat = rustix::fs::fstat(&stream).ok()?;
        Some((stream, stat))
    })
}

/// Gives pipes, sockets and terminals to `uid`, so that `/dev/stdout` can be opened. A file or a device belongs to somebody
/// (CVE-2026-88265).
pub(super) fn give(stdio: Option<[i32; 3]>, uid: u32) -> Result<()> {
    for (stream, stat) in open(stdio) {
        let kind = FileType::from_raw_mode(stat.st_mode);
        let ours = matches!(kind, FileType::Fifo | FileType::Socket)
            || kind == FileType::CharacterDevice && is_terminal(stat.st_rdev);
        if !ours || stat.st_uid == uid {
            continue;
        }
        match rustix::fs::fchown(stream.as_fd(), Some(Uid::from_raw(uid)), None::<Gid>) {
            Ok(()) | Err(Errno::INVAL | Errno::PERM | Errno::ROFS) => {}
            Err(errno) => {
                return Err(Error::system("give the standard streams to the container's user", "fchown", errno));
            }
        }
    }
    Ok(())
}

/// Of a devpts: Unix98 pseudo-terminals have these numbers (Documentation/admin-guide/devices.txt). Any other terminal is a node of
/// the host's `/dev`.
fn is_terminal(number: u64) -> bool {
    (136..=143).contains(&rustix::fs::major(number))
}
