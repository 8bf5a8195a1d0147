//! The directory of a checkpoint. It may come from an archive that a stranger has packed.
//!
//! CRIU opens what it looks for there by name, following symbolic links, and truncates its log: `pages-1.img → /etc/shadow` would
//! put a file of the host into the memory of a process, and `restore.log → /etc/passwd` would empty another. So nothing but plain
//! files may be there.
#![forbid(unsafe_code)]
use crate::{Error, ErrorKind, Result};
use rustix::fd::{AsFd, BorrowedFd, OwnedFd};
use rustix::fs::{AtFlags, CWD, Dir, FileType, Mode, OFlags};
use rustix::io::Errno;
use std::ffi::CStr;
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};

/// What the container's standard streams were (runc's file).
const DESCRIPTORS: &CStr = c"descriptors.json";
/// The link to the images of an earlier `--pre-dump`.
const PARENT: &CStr = c"parent";
/// Where `criu lazy-pages` waits to be asked for memory.
const LAZY_PAGES: &CStr = c"lazy-pages.socket";
/// How long a chain of parents may be.
const GENERATIONS: usize = 128;

/// A directory of the caller's, open, and its absolute path.
#[derive(Debug)]
pub(crate) struct Directory {
    pub(crate) path: PathBuf,
    pub(crate) fd: OwnedFd,
}

impl Directory {
    /// Opens it; makes it, with its parents, if it is not there.
    pub(crate) fn make(path: &Path) -> Result<Directory> {
        let fail = |call, error: &std::io::Error| {
            Error::io("make the directory of a checkpoint", format!("{call}({})", path.display()), error)
        };
        std::fs::DirBuilder::new().recursive(true).mode(0o700).create(path).map_err(|error| fail("mkdir", &error))?;
        Directory::open(path)
    }

    /// Opens it.
    pub(crate) fn open(path: &Path) -> Result<Directory> {
        let fail = |call, errno| {
            Error::system("open the directory of a checkpoint", format!("{call}({})", path.display()), errno)
        };
        let absolute = std::path::absolute(path).map_err(|_| fail("getcwd", Errno::NOENT))?;
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let fd = rustix::fs::openat(CWD, path, flags, Mode::empty()).map_err(|errno| fail("open", errno))?;
        Ok(Directory { path: absolute, fd })
    }

    /// The earlier images at `parent`, which is relative to these.
    pub(crate) fn check_parent(&self, parent: &Path) -> Result<()> {
        let invalid = |message: String| Error::new(ErrorKind::InvalidConfig, message);
        if parent.is_absolute() {
            return Err(invalid("--parent-path must be relative".to_owned()));
        }
        let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
        rustix::fs::openat(&self.fd, parent, flags, Mode::empty()).map(drop).map_err(|errno| {
            let path = self.path.join(parent);
            invalid(format!(
                "invalid --parent-path: stat {}: {}",
                path.display(),
                crate::describe_errno(errno.raw_os_error())
            ))
        })
    }

    /// An error if CRIU could be led astray here.
    pub(crate) fn check(&self, lazy_pages: bool) -> Result<()> {
        check(self.fd.as_fd(), &self.path, lazy_pages, GENERATIONS)
    }

    /// An error if CRIU, which is about to empty and write this file here, would write to another.
    pub(crate) fn check_log(&self, name: &str) -> Result<()> {
        match rustix::fs::statat(&self.fd, name, AtFlags::SYMLINK_NOFOLLOW) {
            Err(Errno::NOENT) => Ok(()),
            Ok(stat) if FileType::from_raw_mode(stat.st_mode) == FileType::RegularFile => Ok(()),
            Ok(_) => Err(not_plain(&self.path.join(name))),
            Err(errno) => Err(Error::system("look at criu's log", format!("fstatat({name})"), errno)),
        }
    }

    /// Notes what the container's standard streams are.
    pub(crate) fn write_descriptors(&self, streams: &[String]) -> Result<()> {
        let fail = |errno| self.fail("write", errno);
        let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::TRUNC | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let file = rustix::fs::openat(&self.fd, DESCRIPTORS, flags, Mode::from_raw_mode(0o600)).map_err(fail)?;
        let json = serde_json::to_vec(streams).map_err(|error| Error::new(ErrorKind::System, error.to_string()))?;
        crate::sys::write_all(&file, &json).map_err(fail)
    }

    /// What the container's standard streams were.
    pub(crate) fn read_descriptors(&self) -> Result<Vec<String>> {
        // Three names of files that are open.
        const MOST: usize = 3 * 4096 + 64;
        let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC;
        let file = rustix::fs::openat(&self.fd, DESCRIPTORS, flags, Mode::empty());
        let file = file.map_err(|errno| self.fail("open", errno))?;
        let mut bytes = Vec::with_capacity(MOST + 1);
        while bytes.len() <= MOST {
            let read = rustix::io::read(&file, rustix::buffer::spare_capacity(&mut bytes));
            if read.map_err(|errno| self.fail("read", errno))? == 0 {
                break;
            }
        }
        let streams = if bytes.len() > MOST { Err("too long".to_owned()) } else { parse_descriptors(&bytes) };
        streams.map_err(|what| {
            let file = self.path.join("descriptors.json");
            Error::new(ErrorKind::InvalidConfig, format!("{}: {what}", file.display()))
        })
    }

    fn fail(&self, call: &str, errno: Errno) -> Error {
        let file = self.path.join("descriptors.json");
        Error::system(format!("{call} the names of the standard streams"), format!("{call}({})", file.display()), errno)
    }
}

/// The names in a descriptors.json, or what is wrong with it.
pub(super) fn parse_descriptors(bytes: &[u8]) -> std::result::Result<Vec<String>, String> {
    let streams: Vec<String> = serde_json::from_slice(bytes).map_err(|error| error.to_string())?;
    if streams.len() > 3 { Err("more than three standard streams".to_owned()) } else { Ok(streams) }
}

fn check(directory: BorrowedFd<'_>, path: &Path, lazy_pages: bool, generations: usize) -> Result<()> {
    let fail =
        |call: &str, errno| Error::system("look at the checkpoint", format!("{call}({})", path.display()), errno);
    let entries = Dir::read_from(directory).map_err(|errno| fail("getdents64", errno))?;
    for entry in entries {
        let entry = entry.map_err(|errno| fail("getdents64", errno))?;
        let name = entry.file_name();
        if name == c"." || name == c".." {
            continue;
        }
        let stat = rustix::fs::statat(directory, name, AtFlags::SYMLINK_NOFOLLOW);
        match FileType::from_raw_mode(stat.map_err(|errno| fail("fstatat", errno))?.st_mode) {
            // CRIU looks into none.
            FileType::RegularFile | FileType::Directory => {}
            FileType::Socket if lazy_pages && name == LAZY_PAGES => {}
            FileType::Symlink if name == PARENT => {
                let target = rustix::fs::readlinkat(directory, PARENT, Vec::new());
                let target = target.map_err(|errno| fail("readlink(parent)", errno))?;
                let path = path.join("parent");
                if target.as_bytes().starts_with(b"/") || generations == 0 {
                    return Err(not_plain(&path));
                }
                let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NONBLOCK | OFlags::CLOEXEC;
                let parent = rustix::fs::openat(directory, PARENT, flags, Mode::empty())
                    .map_err(|errno| fail("open(parent)", errno))?;
                check(parent.as_fd(), &path, lazy_pages, generations - 1)?;
            }
            _ => return Err(not_plain(&path.join(name.to_string_lossy().as_ref()))),
        }
    }
    Ok(())
}

fn not_plain(path: &Path) -> Error {
    let message = format!("refusing a checkpoint with something other than plain files: {path:?}");
    Error::new(ErrorKind::InvalidConfig, message)
}

#[cfg(test)]
mod tests {
    use super::Directory;
    use std::fs;
    use std::os::unix::fs::symlink;
    use std::path::{Path, PathBuf};

    struct Scratch(PathBuf);

    impl Scratch {
        fn new(name: &str) -> Scratch {
            let path = std::env::temp_dir().join(format!("plimsoll-images-{name}-{}", std::process::id()));
            fs::create_dir_all(path.join("images")).unwrap();
            Scratch(path)
        }

        fn images(&self) -> PathBuf {
            self.0.join("images")
        }
    }

    impl Drop for Scratch {
        fn drop(&mut self) {
            let _ = fs::remove_dir_all(&self.0);
        }
    }

    fn said(path: &Path) -> String {
        Directory::open(path).unwrap().check(false).err().map(|error| error.to_string()).unwrap_or_default()
    }

    #[test]
    fn links_fifos_and_devices_are_refused_and_plain_files_are_not() {
        let scratch = Scratch::new("kinds");
        fs::write(scratch.images().join("core-1.img"), "x").unwrap();
        fs::create_dir(scratch.images().join(".criu.cgyard.x")).unwrap();
        assert_eq!(said(&scratch.images()), "");
        symlink("/etc/shadow", scratch.images().join("pages-1.img")).unwrap();
        assert!(said(&scratch.images()).ends_with("images/pages-1.img\""));
        fs::remove_file(scratch.images().join("pages-1.img")).unwrap();
        rustix::fs::mkfifoat(rustix::fs::CWD, scratch.images().join("x\ny"), rustix::fs::Mode::RUSR).unwrap();
        assert!(said(&scratch.images()).ends_with("images/x\\ny\""), "{}", said(&scratch.images()));
    }

    #[test]
    fn a_parent_is_relative_ends_somewhere_and_is_looked_at_too() {
        let scratch = Scratch::new("parent");
        fs::create_dir(scratch.0.join("before")).unwrap();
        let parent = scratch.images().join("parent");
        symlink("../before", &parent).unwrap();
        assert_eq!(said(&scratch.images()), "");
        symlink("/etc/passwd", scratch.0.join("before/pages-1.img")).unwrap();
        assert!(said(&scratch.images()).ends_with("images/parent/pages-1.img\""));
        for target in ["/var", "../images"] {
            fs::remove_file(&parent).unwrap();
            symlink(target, &parent).unwrap();
            assert!(said(&scratch.images()).ends_with("parent\""), "{}", said(&scratch.images()));
        }
    }

    #[test]
    fn descriptors_come_back_and_nothing_else_does() {
        let scratch = Scratch::new("descriptors");
        let images = Directory::open(&scratch.images()).unwrap();
        let streams = vec!["pipe:[5]".to_owned(), "file[1f:5]".to_owned(), String::new()];
        images.write_descriptors(&streams).unwrap();
        assert_eq!(images.read_descriptors().unwrap(), streams);
        let file = scratch.images().join("descriptors.json");
        let wrong = ["", "{}", "[1]", r#"["a","b","c","d"]"#, "[[", &format!("[\"{}\"]", "x".repeat(1 << 20))];
        for text in wrong {
            fs::write(&file, text).unwrap();
            assert!(images.read_descriptors().is_err(), "{text}");
        }
        fs::remove_file(&file).unwrap();
        symlink("/etc/passwd", &file).unwrap();
        assert!(images.read_descriptors().unwrap_err().to_string().contains("ELOOP"));
        assert!(images.write_descriptors(&streams).unwrap_err().to_string().contains("ELOOP"));
    }
}
