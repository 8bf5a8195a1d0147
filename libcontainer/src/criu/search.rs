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
use rustix::fs::{Gid, Mode, OFlags, Stat, fchmod, fchown, fstat};
use rustix::io::Errno;

const GROUP: u32 = 0o070;
const SEARCH: u32 = 0o010;

/// Directories that a group may search until this is dropped.
#[derive(Debug, Default)]
pub(crate) struct Searchable {
    opened: Vec<(OwnedFd, Stat)>,
}

impl Searchable {
    /// Nothing to do without a new user namespace.
    pub(crate) fn for_restore(spec: &Spec, images: &Directory) -> Result<Searchable> {
        let has_new = matches!(asked_namespace(spec, LinuxNamespaceType::User), Some(None));
        let (_, gids) = id_mappings_of(spec);
        match gids.iter().find(|map| has_new && map.container_id == 0 && map.size != 0) {
            Some(map) => Searchable::by(map.host_id, images),
            None => Ok(Searchable::default()),
        }
    }

    /// The images' directory, and those of earlier ones that it leads to: `check` has seen to it that they end somewhere.
    fn by(group: u32, images: &Directory) -> Result<Searchable> {
        let failed = |call, errno| {
            let attempt = format!("let the container's user namespace reach {}", images.path.display());
            Error::system(attempt, call, errno)
        };
        let mut searchable = Searchable::default();
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
                let given = give(&directory, group, (stat.st_mode & !GROUP) | SEARCH);
                searchable.opened.push((directory, stat));
                given.map_err(|(call, errno)| failed(call, errno))?;
            }
        }
        Ok(searchable)
    }
}

impl Drop for Searchable {
    fn drop(&mut self) {
        for (directory, before) in &self.opened {
            if let Err((call, errno)) = give(directory, before.st_gid, before.st_mode) {
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
    use std::os::unix::fs::{DirBuilderExt, MetadataExt, symlink};

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
        let searchable = Searchable::by(group, &Directory::open(&images).unwrap()).unwrap();
        assert_eq!(modes(), [0o710, 0o710]);
        drop(searchable);
        assert_eq!(modes(), before);
        fs::remove_dir_all(top).unwrap();
    }
}
