//! An open group.
#![forbid(unsafe_code)]
use rustix::fs::{AtFlags, CWD, Dir, FileType, Mode, OFlags};
use rustix::io::Errno;
use std::ffi::{CStr, CString};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::Path;

/// Which kind of hierarchy a group is in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Version {
    V1,
    V2,
}

/// The call that failed, and how.
pub(super) type Failure = (&'static str, Errno);

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
    pub(super) fn write(&self, name: &str, value: &str) -> Result<(), Failure> {
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

    /// Visits this group and all below it, parents first, with one descriptor and one name at a time: a path to the deepest can be
    /// longer than the kernel takes. A group has only one parent, so as many steps up as down lead back. One that vanishes meanwhile
    /// is left out. What fails in one is told in the end, and keeps nobody from the rest.
    pub(super) fn walk(&self, mut visit: impl FnMut(&Directory) -> Result<(), Failure>) -> Result<(), Failure> {
        let mut result = Ok(());
        let mut look = |group: &Directory, result: &mut Result<(), Failure>| {
            note(result, visit(group));
            let children = group.children().map_err(|errno| ("getdents64", errno));
            children.unwrap_or_else(|failure| {
                note(result, Err(failure));
                Vec::new()
            })
        };
        let mut at = self.child(".").map_err(|errno| ("openat(.)", errno))?;
        // Of each group on the way down those that are still to be seen.
        let mut below = vec![look(&at, &mut result)];
        while let Some(names) = below.last_mut() {
            match names.pop() {
                Some(name) => match at.child(name) {
                    Ok(child) => {
                        at = child;
                        below.push(look(&at, &mut result));
                    }
                    Err(errno) => note(&mut result, Err(("openat", errno))),
                },
                None => {
                    below.pop();
                    if !below.is_empty() {
                        at = at.child("..").map_err(|errno| ("openat(..)", errno))?;
                    }
                }
            }
        }
        result
    }

    /// Every process in this group and below.
    pub(super) fn pids(&self) -> Result<Vec<i32>, Failure> {
        let mut pids = Vec::new();
        self.list(&mut pids).map(|()| pids)
    }

    /// The same; after a failure those that could be seen.
    pub(super) fn list(&self, pids: &mut Vec<i32>) -> Result<(), Failure> {
        let listed = self.walk(|group| {
            pids.extend(group.own_pids().map_err(|errno| ("read(cgroup.procs)", errno))?);
            Ok(())
        });
        // cgroup v1 promises neither order nor uniqueness.
        pids.sort_unstable();
        pids.dedup();
        listed
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

/// The first failure stays; that a group is gone is none.
fn note(result: &mut Result<(), Failure>, done: Result<(), Failure>) {
    if result.is_ok() && !matches!(done, Err((_, Errno::NOENT | Errno::NODEV))) {
        *result = done;
    }
}

/// A group may be removed while we look.
pub(super) fn gone_is_none<T>(result: Result<T, Errno>) -> Result<Option<T>, Errno> {
    match result {
        Err(Errno::NOENT | Errno::NODEV) => Ok(None),
        result => result.map(Some),
    }
}
