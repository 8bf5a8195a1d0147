//! Reading what a group counts.
#![forbid(unsafe_code)]
use super::directory::{Directory, gone_is_none};
use crate::{Error, Result};
use rustix::io::Errno;
use std::cell::Cell;
use std::path::Path;

/// A group whose files may be missing: not every host counts everything. What fails otherwise is kept for the end, so that no number is
/// zero for another reason.
pub(super) struct Counters<'a> {
    directory: Directory,
    failed: &'a Cell<Option<Error>>,
}

impl<'a> Counters<'a> {
    /// `None` if the group is gone.
    pub(super) fn open(path: &Path, failed: &'a Cell<Option<Error>>) -> Option<Counters<'a>> {
        match gone_is_none(Directory::open(path)) {
            Ok(directory) => Some(Counters { directory: directory?, failed }),
            Err(errno) => {
                failed.set(Some(Error::system(
                    "count what the container uses",
                    format!("open({})", path.display()),
                    errno,
                )));
                None
            }
        }
    }

    /// `None` if that is not counted here.
    pub(super) fn read(&self, file: &str) -> Option<String> {
        self.unless_missing(file, self.directory.read(file))
    }

    /// The same, and nothing if it is not counted.
    pub(super) fn text(&self, file: &str) -> String {
        self.read(file).unwrap_or_default()
    }

    /// 0 for `max` and for a file that is not there.
    pub(super) fn number(&self, file: &str) -> u64 {
        self.text(file).trim().parse().unwrap_or(0)
    }

    /// Names of all that is counted.
    pub(super) fn files(&self) -> Vec<String> {
        let files = self.unless_missing(".", self.directory.files());
        files.unwrap_or_default()
    }

    fn unless_missing<T>(&self, file: &str, read: std::result::Result<T, Errno>) -> Option<T> {
        match read {
            Ok(read) => Some(read),
            Err(Errno::NOENT | Errno::NODEV | Errno::OPNOTSUPP) => None,
            Err(errno) => {
                self.failed.set(Some(Error::system("count what the container uses", format!("read({file})"), errno)));
                None
            }
        }
    }
}

/// What `count` comes to, unless something could not be read.
pub(super) fn counted<T>(count: impl FnOnce(&Cell<Option<Error>>) -> T) -> Result<T> {
    let failed = Cell::new(None);
    let counted = count(&failed);
    failed.into_inner().map_or(Ok(counted), Err)
}
