//! The mounts of a process ([proc_pid_mountinfo(5)](https://man7.org/linux/man-pages/man5/proc_pid_mountinfo.5.html)).
#![forbid(unsafe_code)]
use crate::{Error, Result};
use rustix::fd::OwnedFd;
use rustix::fs::{AtFlags, CWD, FileType, Mode, OFlags, ResolveFlags, StatxAttributes, StatxFlags};
use rustix::io::Errno;
use std::ffi::OsString;
use std::os::unix::ffi::OsStringExt;
use std::path::{Path, PathBuf};

/// A line of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Mount {
    pub(crate) id: u64,
    /// `major:minor` of the filesystem.
    pub(crate) device: String,
    /// What of the filesystem is mounted.
    pub(crate) root: PathBuf,
    /// Where, as the process sees it.
    pub(crate) point: PathBuf,
    /// Of the mount, or of the filesystem.
    pub(crate) read_only: bool,
    pub(crate) fstype: String,
    /// Those of the filesystem, with commas.
    pub(crate) options: String,
}

/// The mounts of a container, and its root to look for them from.
#[derive(Debug)]
pub(crate) struct Mounts {
    pub(crate) all: Vec<Mount>,
    root: OwnedFd,
}

/// What a path of the container's leads to.
#[derive(Debug)]
pub(crate) struct Found<'a> {
    /// What it lies on; `None` for a mount that has come since.
    pub(crate) mount: Option<&'a Mount>,
    /// It is the root of that.
    pub(crate) is_mount: bool,
    pub(crate) is_null: bool,
    pub(crate) kind: FileType,
}

impl Mounts {
    /// Those that `pid` sees.
    pub(crate) fn of(pid: i32) -> Result<Mounts> {
        let all = of(Some(pid))?;
        let path = format!("/proc/{pid}/root");
        let root = rustix::fs::openat(CWD, &path, OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC, Mode::empty())
            .map_err(|errno| Error::system("look at the container's mounts", format!("open({path})"), errno))?;
        Ok(Mounts { all, root })
    }

    /// `None` if there is no such thing.
    pub(crate) fn look(&self, path: &Path) -> Result<Option<Found<'_>>> {
        let fail = |call: &str, errno| {
            Error::system("look at the container's mounts", format!("{call}({})", path.display()), errno)
        };
        let flags = OFlags::PATH | OFlags::CLOEXEC;
        let resolve = ResolveFlags::IN_ROOT | ResolveFlags::NO_MAGICLINKS;
        let opened = match rustix::fs::openat2(&self.root, path, flags, Mode::empty(), resolve) {
            Err(Errno::NOENT | Errno::NOTDIR | Errno::LOOP) => return Ok(None),
            opened => opened.map_err(|errno| fail("openat2", errno))?,
        };
        let wanted = StatxFlags::TYPE | StatxFlags::MNT_ID;
        let stat = rustix::fs::statx(&opened, "", AtFlags::EMPTY_PATH, wanted).map_err(|errno| fail("statx", errno))?;
        let kind = FileType::from_raw_mode(stat.stx_mode.into());
        Ok(Some(Found {
            mount: self.all.iter().find(|mount| mount.id == stat.stx_mnt_id),
            is_mount: stat.stx_attributes.contains(StatxAttributes::MOUNT_ROOT),
            is_null: kind == FileType::CharacterDevice && (stat.stx_rdev_major, stat.stx_rdev_minor) == (1, 3),
            kind,
        }))
    }
}

/// The mounts of `pid`, or of this process, in the order in which they were attached.
pub(crate) fn of(pid: Option<i32>) -> Result<Vec<Mount>> {
    let path = pid.map_or("/proc/self/mountinfo".to_owned(), |pid| format!("/proc/{pid}/mountinfo"));
    let text =
        std::fs::read(&path).map_err(|error| Error::io("look at the mounts", format!("open({path})"), &error))?;
    Ok(parse(&text))
}

/// The lines of a mountinfo; what is none is left out.
pub(crate) fn parse(text: &[u8]) -> Vec<Mount> {
    text.split(|byte| *byte == b'\n').filter_map(parse_line).collect()
}

fn parse_line(line: &[u8]) -> Option<Mount> {
    let mut fields = line.split(|byte| *byte == b' ');
    let id = std::str::from_utf8(fields.next()?).ok()?.parse().ok()?;
    let device = String::from_utf8(fields.nth(1)?.to_vec()).ok()?;
    let (root, point) = (path(fields.next()?), path(fields.next()?));
    let read_only = |options: &[u8]| options.split(|byte| *byte == b',').any(|option| option == b"ro");
    let mount = read_only(fields.next()?);
    // A few optional fields end with a `-`; then come type, source and options of the filesystem.
    let mut fields = fields.skip_while(|field| *field != b"-").skip(1);
    let fstype = String::from_utf8_lossy(fields.next()?).into_owned();
    let options = fields.nth(1).unwrap_or_default();
    let read_only = mount || read_only(options);
    Some(Mount { id, device, root, point, read_only, fstype, options: String::from_utf8_lossy(options).into_owned() })
}

/// Blanks, line ends and backslashes are in octal.
fn path(field: &[u8]) -> PathBuf {
    let mut bytes = Vec::with_capacity(field.len());
    let mut rest = field;
    while let [first, after @ ..] = rest {
        match after {
            [a @ b'0'..=b'3', b @ b'0'..=b'7', c @ b'0'..=b'7', ..] if *first == b'\\' => {
                let byte = (a - b'0') << 6 | (b - b'0') << 3 | (c - b'0');
                bytes.push(byte);
                rest = &after[3..];
            }
            _ => {
                bytes.push(*first);
                rest = after;
            }
        }
    }
    PathBuf::from(OsString::from_vec(bytes))
}

/// What holds for every mountinfo, for tests and the fuzzer: what is written as the kernel writes it is read as it was.
#[cfg(any(test, fuzzing))]
pub(crate) fn laws(text: &[u8]) {
    let mounts = parse(text);
    assert!(mounts.len() <= text.split(|byte| *byte == b'\n').count());
    for mount in mounts {
        let fields = [mount.device.as_bytes(), mount.fstype.as_bytes(), mount.options.as_bytes()];
        // Blanks cannot be in them, and what is no text has become a longer one.
        assert!(fields.iter().all(|field| !field.contains(&b' ') && !field.contains(&b'\n')), "{mount:?}");
        let line = [
            format!("{} 1 {} ", mount.id, mount.device).into_bytes(),
            escape(&mount.root),
            b" ".to_vec(),
            escape(&mount.point),
            if mount.read_only { b" ro shared:1 - ".to_vec() } else { b" rw - ".to_vec() },
            format!("{} source {}", mount.fstype, mount.options).into_bytes(),
        ];
        assert_eq!(parse(&line.concat()), [mount]);
    }
}

/// As `seq_path(…, " \t\n\\")` of the kernel does it.
#[cfg(any(test, fuzzing))]
fn escape(path: &Path) -> Vec<u8> {
    let escaped = |byte: &u8| match byte {
        b' ' | b'\t' | b'\n' | b'\\' => format!("\\{byte:03o}").into_bytes(),
        byte => vec![*byte],
    };
    std::os::unix::ffi::OsStrExt::as_bytes(path.as_os_str()).iter().flat_map(escaped).collect()
}

#[cfg(test)]
mod tests {
    use super::{Mount, parse_line};

    #[test]
    fn a_line_with_and_without_optional_fields() {
        let mount = |line: &str| parse_line(line.as_bytes()).unwrap();
        let expected = Mount {
            id: 36,
            device: "98:0".to_owned(),
            root: "/mnt1".into(),
            point: "/mnt 2\\".into(),
            read_only: false,
            fstype: "ext3".to_owned(),
            options: "rw,errors=continue".to_owned(),
        };
        assert_eq!(
            mount(r"36 35 98:0 /mnt1 /mnt\0402\134 rw,noatime master:1 - ext3 /dev/root rw,errors=continue"),
            expected
        );
        assert!(mount("36 35 98:0 / /a ro,noatime - ext3 /dev/root rw").read_only);
        assert!(mount("36 35 98:0 / /a rw shared:1 master:2 - ext3 - ro,x").read_only);
        assert_eq!(parse_line(b""), None);
        assert_eq!(mount(r"1 1 0:1 /\+12\777\8 / rw - t s o").root, std::path::Path::new(r"/\+12\777\8"));
    }
}
