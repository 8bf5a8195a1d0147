//! Reading what somebody else has named: nothing that blocks, and not without end.
#![forbid(unsafe_code)]

use rustix::fs::{CWD, Dir, DirEntry, FileType, Mode, OFlags};
use rustix::io::Errno;
use std::ffi::{OsStr, OsString};
use std::io::{Error, Read, Result};
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

/// The longest file that is read. A configuration with ten thousand mounts has four megabytes.
const MOST: u64 = 64 << 20;

/// `PIPEFS_MAGIC` of linux/magic.h.
const PIPEFS: i128 = 0x5049_5045;

/// What is in a regular file, wherever a link leads: a FIFO would keep us waiting, `/dev/zero` has no end. Or what comes out of a
/// pipe without a name (`/dev/fd/63`, a shell's `<(…)`), whose other end belongs to who has named it.
///
/// # Errors
/// It cannot be read, is neither, or is longer than 64 MiB.
pub fn read_file(path: impl AsRef<Path>) -> Result<Vec<u8>> {
    let flags = OFlags::RDONLY | OFlags::NONBLOCK | OFlags::NOCTTY | OFlags::CLOEXEC;
    let file = rustix::fs::openat(CWD, path.as_ref(), flags, Mode::empty()).map_err(|errno| match errno {
        // A socket, or a device without a driver.
        Errno::NXIO => irregular(),
        errno => errno.into(),
    })?;
    let stat = rustix::fs::fstat(&file)?;
    match FileType::from_raw_mode(stat.st_mode) {
        FileType::RegularFile => {}
        FileType::Fifo if i128::from(rustix::fs::fstatfs(&file)?.f_type) == PIPEFS => {
            rustix::fs::fcntl_setfl(&file, OFlags::empty())?;
        }
        FileType::Directory => return Err(Errno::ISDIR.into()),
        _ => return Err(irregular()),
    }
    // One byte more shows the end.
    let size = u64::try_from(stat.st_size).unwrap_or(0).min(MOST) + 1;
    let mut bytes = Vec::with_capacity(usize::try_from(size).unwrap_or(0));
    read(std::fs::File::from(file), &mut bytes)?;
    Ok(bytes)
}

fn irregular() -> Error {
    Error::other("not a regular file")
}

/// What is in a directory, but for `.` and `..`. Not std's `read_dir`, which panics if close(2) fails.
pub(crate) fn names(directory: &Path) -> Result<Vec<OsString>> {
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
    let listing = Dir::new(rustix::fs::openat(CWD, directory, flags, Mode::empty())?)?;
    let name = |entry: DirEntry| OsStr::from_bytes(entry.file_name().to_bytes()).to_owned();
    let mut names = listing.map(|entry| Ok(name(entry?))).collect::<Result<Vec<_>>>()?;
    names.retain(|name| name != "." && name != "..");
    Ok(names)
}

/// All that comes, up to a limit: what a pipe brings, for those who ask for one.
///
/// # Errors
/// It cannot be read, or is longer than 64 MiB.
pub fn read_limited(from: impl Read) -> Result<Vec<u8>> {
    let mut bytes = Vec::new();
    read(from, &mut bytes)?;
    Ok(bytes)
}

fn read(from: impl Read, bytes: &mut Vec<u8>) -> Result<()> {
    from.take(MOST + 1).read_to_end(bytes)?;
    if bytes.len() as u64 > MOST {
        return Err(Error::other(format!("longer than {} MiB", MOST >> 20)));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::fd::AsRawFd;
    use std::os::unix::fs::symlink;

    #[test]
    fn a_pipe_of_the_callers_is_read_to_its_end() {
        let (reader, writer) = rustix::pipe::pipe().unwrap();
        let late = std::thread::spawn(move || {
            std::thread::sleep(std::time::Duration::from_millis(20));
            rustix::io::write(&writer, b"text").unwrap();
        });
        assert_eq!(read_file(format!("/dev/fd/{}", reader.as_raw_fd())).unwrap(), b"text");
        late.join().unwrap();
    }

    #[test]
    fn only_a_regular_file_is_read_and_not_without_end() {
        let directory = std::env::temp_dir().join(format!("plimsoll-file-{}", std::process::id()));
        std::fs::create_dir_all(&directory).unwrap();
        let at = |name: &str| directory.join(name);
        std::fs::write(at("file"), "text").unwrap();
        symlink("file", at("link")).unwrap();
        assert_eq!(read_file(at("link")).unwrap(), b"text");
        rustix::fs::mknodat(CWD, at("fifo"), FileType::Fifo, 0o600.into(), 0).unwrap();
        let _socket = std::os::unix::net::UnixListener::bind(at("socket")).unwrap();
        symlink("/dev/zero", at("zero")).unwrap();
        let long = std::fs::File::create_new(at("long")).unwrap();
        for (name, words) in [
            ("fifo", "not a regular file"),
            ("socket", "not a regular file"),
            ("zero", "not a regular file"),
            (".", "Is a directory (os error 21)"),
            ("missing", "No such file or directory (os error 2)"),
        ] {
            assert_eq!(read_file(at(name)).unwrap_err().to_string(), words, "{name}");
        }
        long.set_len(MOST + 1).unwrap();
        assert_eq!(read_file(at("long")).unwrap_err().to_string(), "longer than 64 MiB");
        assert!(read_limited(std::io::repeat(0)).is_err());
        std::fs::remove_dir_all(directory).unwrap();
    }
}
