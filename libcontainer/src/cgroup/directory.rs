//! An open group.
#![forbid(unsafe_code)]
use rustix::fs::{AtFlags, CWD, Dir, FileType, Mode, OFlags};
use rustix::io::Errno;
use std::ffi::{CStr, CString, OsStr};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

/// Which kind of hierarchy a group is in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Version {
    V1,
    V2,
}

/// A group, by a descriptor (`O_PATH`).
#[derive(Debug)]
pub(super) struct Directory(OwnedFd);

impl AsFd for Directory {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }
}

const DIRECTORY: OFlags = OFlags::PATH.union(OFlags::DIRECTORY).union(OFlags::NOFOLLOW).union(OFlags::CLOEXEC);

impl Directory {
    pub(super) fn open(path: &Path) -> Result<Directory, Errno> {
        rustix::fs::openat(CWD, path, DIRECTORY, Mode::empty()).map(Directory)
    }

    /// `name` is one component, or `..`.
    pub(super) fn child(&self, name: impl rustix::path::Arg) -> Result<Directory, Errno> {
        rustix::fs::openat(&self.0, name, DIRECTORY, Mode::empty()).map(Directory)
    }

    /// `None` if this is no cgroup filesystem at all.
    pub(super) fn version(&self) -> Result<Option<Version>, Errno> {
        // CGROUP_SUPER_MAGIC and CGROUP2_SUPER_MAGIC of linux/magic.h.
        Ok(match rustix::fs::fstatfs(&self.0)?.f_type {
            0x0027_e0eb => Some(Version::V1),
            0x6367_7270 => Some(Version::V2),
            _ => None,
        })
    }

    pub(super) fn open_file(&self, name: &str, how: OFlags) -> Result<OwnedFd, Errno> {
        rustix::fs::openat(&self.0, name, how | OFlags::NOFOLLOW | OFlags::CLOEXEC, Mode::empty())
    }

    pub(super) fn read(&self, name: &str) -> Result<String, Errno> {
        let file = self.open_file(name, OFlags::RDONLY)?;
        let mut text = Vec::with_capacity(512);
        while rustix::io::read(&file, rustix::buffer::spare_capacity(&mut text))? > 0 {
            text.reserve(512);
        }
        String::from_utf8(text).map_err(|_| Errno::ILSEQ)
    }

    /// One write(2), as the kernel's parsers want it. Fails with the call's name.
    pub(super) fn write(&self, name: &str, value: &str) -> Result<(), (&'static str, Errno)> {
        let file = self.open_file(name, OFlags::WRONLY).map_err(|errno| ("openat", errno))?;
        rustix::io::write(&file, value.as_bytes()).map(drop).map_err(|errno| ("write", errno))
    }

    /// The value of `key` in a file of `key value` lines.
    pub(super) fn read_key(&self, name: &str, key: &str) -> Result<Option<u64>, Errno> {
        let text = self.read(name)?;
        let value = text.lines().find_map(|line| line.strip_prefix(key)?.strip_prefix(' ')?.trim().parse().ok());
        Ok(value)
    }

    /// Names of the groups in this one.
    pub(super) fn children(&self) -> Result<Vec<CString>, Errno> {
        // kernfs counts subdirectories as links.
        if rustix::fs::fstat(&self.0)?.st_nlink == 2 {
            return Ok(Vec::new());
        }
        let mut names = Vec::new();
        self.each_child(|name| {
            names.push(name.to_owned());
            true
        })?;
        Ok(names)
    }

    pub(super) fn first_child(&self) -> Result<Option<CString>, Errno> {
        let mut first = None;
        if rustix::fs::fstat(&self.0)?.st_nlink != 2 {
            self.each_child(|name| {
                first = Some(name.to_owned());
                false
            })?;
        }
        Ok(first)
    }

    /// Names of the files in this group.
    pub(super) fn files(&self) -> Result<Vec<String>, Errno> {
        let listing = self.open_file(".", OFlags::RDONLY | OFlags::DIRECTORY)?;
        let name = |entry: rustix::fs::DirEntry| entry.file_name().to_string_lossy().into_owned();
        Dir::new(listing)?.map(|entry| entry.map(name)).collect()
    }

    fn each_child(&self, mut visit: impl FnMut(&CStr) -> bool) -> Result<(), Errno> {
        let listing = self.open_file(".", OFlags::RDONLY | OFlags::DIRECTORY)?;
        for entry in Dir::new(listing)? {
            let entry = entry?;
            let is_group =
                entry.file_type() == FileType::Directory && !matches!(entry.file_name().to_bytes(), b"." | b"..");
            if is_group && !visit(entry.file_name()) {
                break;
            }
        }
        Ok(())
    }

    /// Visits this group and all below it, parents first, one descriptor at a time. One that vanishes meanwhile is
    /// left out.
    pub(super) fn walk(&self, mut visit: impl FnMut(&Directory) -> Result<(), Errno>) -> Result<(), Errno> {
        let mut paths = vec![PathBuf::from(".")];
        while let Some(path) = paths.pop() {
            let Some(group) = gone_is_none(self.child(&path))? else {
                continue;
            };
            for name in gone_is_none(group.children())?.unwrap_or_default() {
                paths.push(path.join(OsStr::from_bytes(name.to_bytes())));
            }
            gone_is_none(visit(&group))?;
        }
        Ok(())
    }

    /// Every process in this group and below.
    pub(super) fn pids(&self) -> Result<Vec<i32>, Errno> {
        let mut pids = self.own_pids()?;
        for name in self.children()? {
            if let Some(child) = gone_is_none(self.child(name))? {
                child.walk(|group| {
                    pids.extend(group.own_pids()?);
                    Ok(())
                })?;
            }
        }
        // cgroup v1 promises neither order nor uniqueness.
        pids.sort_unstable();
        pids.dedup();
        Ok(pids)
    }

    fn own_pids(&self) -> Result<Vec<i32>, Errno> {
        let text = match self.read("cgroup.procs") {
            // A threaded group: its processes are those of the domain above.
            Err(Errno::OPNOTSUPP) => String::new(),
            text => text?,
        };
        // 0 stands for a process that the caller's pid namespace cannot name; kill(2) would take it for a whole group.
        Ok(text.lines().filter_map(|line| line.parse().ok()).filter(|pid| *pid > 0).collect())
    }

    pub(super) fn rmdir(&self, name: impl rustix::path::Arg) -> Result<(), Errno> {
        rustix::fs::unlinkat(&self.0, name, AtFlags::REMOVEDIR)
    }
}

/// A group may be removed while we look.
pub(super) fn gone_is_none<T>(result: Result<T, Errno>) -> Result<Option<T>, Errno> {
    match result {
        Err(Errno::NOENT | Errno::NODEV) => Ok(None),
        result => result.map(Some),
    }
}
