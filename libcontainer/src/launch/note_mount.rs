//! Which mounts `mounts add` has put into a container: a line each in the store, written before the mount is attached, so that who
//! comes after a runtime that was killed knows what to take away.
#![forbid(unsafe_code)]
use super::folder::MOUNTS;
use crate::sys::write_all;
use crate::{Error, ErrorKind, Result};
use rustix::fd::BorrowedFd;
use rustix::fs::{AtFlags, Mode, OFlags, StatxFlags};
use serde::{Deserialize, Serialize};
use std::path::{Path, PathBuf};

/// A mount and where it is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Note {
    pub(crate) destination: PathBuf,
    pub(crate) mount: u64,
    /// By a `mounts remove` that has failed at another one: who repeats it asks for this one again.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub(crate) gone: bool,
}

pub(super) fn note(state: BorrowedFd<'_>, destination: &Path, mount: BorrowedFd<'_>) -> Result<()> {
    let failed = |call: &'static str| move |errno| Error::system("note the mount", call, errno);
    // KERNEL(6.8): STATX_MNT_ID_UNIQUE; the number that others get may come to be another mount's.
    let mask = StatxFlags::from_bits_retain(0x4000) | StatxFlags::MNT_ID;
    let stat = rustix::fs::statx(mount, c"", AtFlags::EMPTY_PATH, mask).map_err(failed("statx"))?;
    let note = Note { destination: destination.to_owned(), mount: stat.stx_mnt_id, gone: false };
    let json = serde_json::to_string(&note)
        .map_err(|error| Error::new(ErrorKind::System, format!("note the mount: {error}")))?;
    let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::APPEND | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let file = rustix::fs::openat(state, MOUNTS, flags, Mode::from_raw_mode(0o600)).map_err(failed("open(mounts)"))?;
    write_all(&file, format!("\n{json}").as_bytes()).map_err(failed("write(mounts)"))
}

/// What the file says. Who was killed while writing the last line has attached nothing for it.
pub(crate) fn notes(file: &[u8]) -> Vec<Note> {
    file.split(|byte| *byte == b'\n').filter_map(|line| serde_json::from_slice(line).ok()).collect()
}
