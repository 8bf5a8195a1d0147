//! Lets the processes of a new user namespace reach the images.
//!
//! Each process that CRIU restores opens its images by itself, and may be root in its namespace only: to a directory with mode 0700
//! it is a stranger. With mode 0711 every user of the host could read the container's memory, as names and modes of CRIU's files are
//! no secret. So the directory is opened to one group, the host's id of the container's group 0, until the restore is over.
#![forbid(unsafe_code)]
use super::images::Directory;
use crate::plan::{asked_namespace, id_mappings_of};
use crate::{Error, Result};
use oci_spec::runtime::{LinuxNamespaceType, Spec};
use rustix::fd::OwnedFd;
use rustix::fs::{CWD, Gid, Mode, OFlags, fchmod, fchown, fstat};
use rustix::io::Errno;
use serde::{Deserialize, Serialize};
use std::path::PathBuf;

const GROUP: u32 = 0o070;
const SEARCH: u32 = 0o010;

/// A directory as it was before it was opened. Goes into the store before it is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Opened {
    path: PathBuf,
    device: u64,
    inode: u64,
    group: u32,
    mode: u32,
}

impl Opened {
    pub(crate) fn is_same(&self, other: &Opened) -> bool {
        (self.device, self.inode) == (other.device, other.inode)
    }

    /// For whoever finds it opened by a restore that was killed. What is not there, or no longer as the restore has left it, stays.
    pub(crate) fn close(&self) -> Result<()> {
        let failed = |(call, errno)| {
            Error::system(format!("close the images in {} to the container's group", self.path.display()), call, errno)
        };
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let directory = match rustix::fs::openat(CWD, &self.path, flags, Mode::empty()) {
            Err(Errno::NOENT | Errno::NOTDIR | Errno::LOOP) => return Ok(()),
            opened => opened.map_err(|errno| failed(("openat", errno)))?,
        };
        let now = fstat(&directory).map_err(|errno| failed(("fstat", errno)))?;
        // `give` takes the group's rights away first.
        let is_ours = matches!(now.st_mode & GROUP, 0 | SEARCH);
        if (now.st_dev, now.st_ino) != (self.device, self.inode) || !is_ours {
            return Ok(());
        }
        give(&directory, self.group, self.mode).map_err(failed)
    }
}

/// Directories that a group may search until this is dropped.
#[derive(Debug, Default)]
pub(crate) struct Searchable(Vec<(OwnedFd, Opened)>);

impl Searchable {
    /// What has to be opened: nothing without a new user namespace. Nothing is yet.
    pub(crate) fn for_restore(spec: &Spec, images: &Directory) -> Result<Option<Searching>> {
        let has_new = matches!(asked_namespace(spec, LinuxNamespaceType::User), Some(None));
        let (_, gids) = id_mappings_of(spec);
        let map = gids.iter().find(|map| has_new && map.container_id == 0 && map.size != 0);
        map.map(|map| Searching::by(map.host_id, images)).transpose()
    }
}

/// Directories that are about to be opened.
#[derive(Debug)]
pub(crate) struct Searching {
    group: u32,
    directories: Vec<(OwnedFd, Opened)>,
}

impl Searching {
    /// The images' directory, and those of earlier ones that it leads to: `check` has seen to it that they end somewhere.
    fn by(group: u32, images: &Directory) -> Result<Searching> {
        let failed = |call, errno| {
            let attempt = format!("let the container's user namespace reach {}", images.path.display());
            Error::system(attempt, call, errno)
        };
        let mut searching = Searching { group, directories: Vec::new() };
        let mut next = Some(images.fd.try_clone().map_err(|error| Error::io("open the images", "fcntl", &error))?);
        while let Some(directory) = next {
            let stat = fstat(&directory).map_err(|errno| failed("fstat", errno))?;
            next = match rustix::fs::openat(
                &directory,
                c"parent",
                OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC,
                Mode::empty(),
            ) {
                Ok(parent) => Some(parent),
                Err(Errno::NOENT | Errno::NOTDIR) => None,
                Err(errno) => return Err(failed("open(parent)", errno)),
            };
            if stat.st_mode & 0o001 == 0 {
                let path = std::fs::read_link(crate::sys::fd_path(&directory))
                    .map_err(|error| Error::io("find the images", "readlink", &error))?;
                let (device, inode, group, mode) = (stat.st_dev, stat.st_ino, stat.st_gid, stat.st_mode);
                searching.directories.push((directory, Opened { path, device, inode, group, mode }));
            }
        }
        Ok(searching)
    }

    /// What to write down first.
    pub(crate) fn before(&self) -> Vec<Opened> {
        self.directories.iter().map(|(_, before)| before.clone()).collect()
    }

    pub(crate) fn open(self) -> Result<Searchable> {
        let mut searchable = Searchable::default();
        for (directory, before) in self.directories {
            let given = give(&directory, self.group, (before.mode & !GROUP) | SEARCH);
            let attempt = || format!("let the container's user namespace reach {}", before.path.display());
            let given = given.map_err(|(call, errno)| Error::system(attempt(), call, errno));
            searchable.0.push((directory, before));
            given?;
        }
        Ok(searchable)
    }
}

impl Drop for Searchable {
    fn drop(&mut self) {
        for (directory, before) in &self.0 {
            if let Err((call, errno)) = give(directory, before.group, before.mode) {
                let words = crate::describe_errno(errno.raw_os_error());
                log::warn!("give the images back to their group: {call}: {words}");
            }
        }
    }
}

/// What the one group was allowed the other must not be for a moment.
fn give(directory: &OwnedFd, group: u32, mode: u32) -> std::result::Result<(), (&'static str, Errno)> {
    let set = |mode: u32| fchmod(directory, Mode::from_raw_mode(mode & 0o7777)).map_err(|errno| ("fchmod", errno));
    set(mode & !GROUP)?;
    fchown(directory, None, Some(Gid::from_raw(group))).map_err(|errno| ("fchown", errno))?;
    set(mode)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;
    use std::os::unix::fs::{DirBuilderExt, MetadataExt, PermissionsExt, symlink};

    #[test]
    fn a_group_may_search_the_images_until_it_is_over() {
        let top = std::env::temp_dir().join(format!("plimsoll-searchable-{}", std::process::id()));
        let (images, earlier) = (top.join("images"), top.join("earlier"));
        for (path, mode) in [(&images, 0o750), (&earlier, 0o700)] {
            fs::DirBuilder::new().recursive(true).mode(mode).create(path).unwrap();
        }
        symlink("../earlier", images.join("parent")).unwrap();
        let modes = || [&images, &earlier].map(|path| fs::metadata(path).unwrap().mode() & 0o777);
        let before = modes();
        // A group that the caller is in is all that an ordinary user can give it to.
        let group = rustix::process::getegid().as_raw();
        let open = || Searching::by(group, &Directory::open(&images).unwrap()).unwrap();
        let searching = open();
        let noted = searching.before();
        let searchable = searching.open().unwrap();
        assert_eq!(modes(), [0o710, 0o710]);
        drop(searchable);
        assert_eq!(modes(), before);
        // Killed in the middle.
        std::mem::forget(open().open().unwrap());
        noted.iter().for_each(|opened| opened.close().unwrap());
        assert_eq!(modes(), before);
        // What has been given away since is left alone.
        fs::set_permissions(&images, fs::Permissions::from_mode(0o770)).unwrap();
        noted.iter().for_each(|opened| opened.close().unwrap());
        assert_eq!(modes(), [0o770, 0o700]);
        fs::remove_dir_all(top).unwrap();
    }
}
