//! Doing what [`plan::cgroup`](crate::plan::cgroup) decided, and the operations on a container's groups.
//!
//! Every group is opened once and everything in it is reached from that descriptor. A container can nest groups
//! below its own as deep as it likes and may rename or remove them at any time, so whatever walks down takes a
//! group that is gone for an empty one, and never follows a path that it has not just read.
#![deny(unsafe_code)]
#[allow(unsafe_code, reason = "bpf(2), which rustix lacks")]
mod bpf;
mod counters;
mod create;
mod device_program;
mod directory;
mod freezer;
mod kill;
mod oom;
mod place;
mod remove;
mod scope;
mod stats;
mod update;

pub(crate) use create::{chown, create, refuse_busy, refuse_frozen};
pub(crate) use device_program::attach_device_program;
pub use freezer::FreezerState;
pub(crate) use freezer::{freeze, freezer_directory, freezer_state, is_frozen, thaw, thaw_everything};
pub(crate) use kill::kill_all;
pub(crate) use oom::{OomEvent, OomWatch, oom_report};
#[cfg(any(test, fuzzing))]
pub(crate) use place::laws as place_laws;
pub(crate) use place::{for_another as place_for_another, memberships};
pub(crate) use remove::{existing, remove, remove_empty, remove_within};
pub(crate) use scope::settle_in_scope;
pub(crate) use stats::stats;
pub(crate) use update::update;

use crate::plan::cgroup::Group;
use crate::plan::line::Tolerate;
use crate::{Error, Result};
use directory::{Directory, gone_is_none};
use rustix::fs::{CWD, Mode, OFlags};
use rustix::io::Errno;
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// How long a group may take to freeze or to become empty.
const PATIENCE: Duration = Duration::from_secs(10);

/// Writes `value` to a file of a group.
pub(crate) fn write(file: &Path, value: &str, tolerate: &Tolerate) -> Result<()> {
    Writer::default().write(file, value, tolerate)
}

/// Writes to files of groups, and keeps the last one open: device rules are many writes to one file.
#[derive(Debug, Default)]
pub(crate) struct Writer(Option<(PathBuf, OwnedFd)>);

impl Writer {
    pub(crate) fn write(&mut self, file: &Path, value: &str, tolerate: &Tolerate) -> Result<()> {
        check_written(file, value, tolerate, self.try_write(file, value))
    }

    fn try_write(&mut self, file: &Path, value: &str) -> std::result::Result<(), (&'static str, Errno)> {
        let open = match self.0.take() {
            Some((last, open)) if last == file => open,
            _ => {
                let flags = OFlags::WRONLY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
                rustix::fs::openat(CWD, file, flags, Mode::empty()).map_err(|errno| ("openat", errno))?
            }
        };
        let written = rustix::io::write(&open, value.as_bytes()).map(drop).map_err(|errno| ("write", errno));
        self.0 = Some((file.to_owned(), open));
        written
    }
}

fn check_written(
    file: &Path,
    value: &str,
    tolerate: &Tolerate,
    written: std::result::Result<(), (&'static str, Errno)>,
) -> Result<()> {
    match (written, tolerate) {
        (Ok(()), _) | (Err((_, Errno::NOENT)), Tolerate::Missing) => Ok(()),
        // Of the write only: who may not even open the file has not been told anything of the group above.
        (Err(("write", Errno::PERM)), Tolerate::Forbidden { value: None }) => Ok(()),
        (Err(("write", Errno::PERM)), Tolerate::Forbidden { value: Some(value) }) => {
            write(file, value, &Tolerate::Nothing)
        }
        (Err((_, Errno::NOENT)), Tolerate::Otherwise { file, value }) => write(file, value, &Tolerate::Nothing),
        (Err((call, errno)), _) => {
            let (parent, name) = split(file);
            // may fail: a hint only adds to an error.
            let hint = Directory::open(parent).map(|group| hint(&group, name, value, errno)).unwrap_or_default();
            Err(failure(file, value, call, errno, &hint))
        }
    }
}

/// The long path comes last: engines cut messages off.
fn failure(file: &Path, value: &str, call: &str, errno: Errno, hint: &str) -> Error {
    let (group, name) = split(file);
    let separator = if hint.is_empty() { "" } else { ": " };
    let error = Error::system(format!("write {value:?} to {name}"), call, errno);
    error.detail(format!("{hint}{separator}in {}", group.display()))
}

/// What the errno does not say.
fn hint(group: &Directory, name: &str, value: &str, errno: Errno) -> String {
    // may fail: as above.
    let number = |file: &str| group.read(file).map(|text| text.trim().to_owned()).unwrap_or_default();
    match (errno, name) {
        (Errno::NOENT, _) => {
            let controller = name.split('.').next().unwrap_or_default();
            match group.read("cgroup.controllers") {
                Ok(list) if !list.split_whitespace().any(|each| each == controller) => format!(
                    "controller {controller:?} is not enabled for this group (type {:?}); a group with processes \
                     cannot have children with controllers",
                    number("cgroup.type")
                ),
                _ => "this kernel has no such setting".to_owned(),
            }
        }
        (Errno::BUSY, "memory.limit_in_bytes") => format!(
            "unable to set memory limit to {value} (current usage: {}, peak usage: {})",
            number("memory.usage_in_bytes"),
            number("memory.max_usage_in_bytes")
        ),
        (Errno::PERM, "devices.allow") => "the parent group does not allow it either".to_owned(),
        (Errno::NODEV, "io.max" | "io.weight" | "io.bfq.weight") => "there is no such block device".to_owned(),
        _ => String::new(),
    }
}

/// Every process in the groups, nested ones too, by its pid in the caller's pid namespace.
pub(crate) fn pids(groups: &[Group]) -> Result<Vec<i32>> {
    let Some(group) = members(groups) else {
        return Ok(Vec::new());
    };
    let opened = gone_is_none(Directory::open(&group.directory)).map_err(|errno| ("openat", errno));
    // may fail: not here: without a group there is nobody in it.
    let listed = opened.and_then(|opened| opened.map_or(Ok(Vec::new()), |group| group.pids()));
    listed.map_err(|(call, errno)| {
        let doing = format!("list the container's processes in {}", group.directory.display());
        Error::system(doing, call, errno)
    })
}

/// The group that tells best which processes belong to the container: a container cannot leave its freezer or
/// its device rules by accident. On a hybrid host the v2 side may have been left out by other tools.
fn members(groups: &[Group]) -> Option<&Group> {
    let v1 = ["freezer", "devices", "pids", "memory"];
    let holds = |name: &&str| groups.iter().find(|group| !group.unified && group.has(name));
    v1.iter().find_map(holds).or_else(|| groups.first())
}

/// The group that holds a controller: its name on v1 and on v2.
fn holder<'a>(groups: &'a [Group], v1: &str, v2: &str) -> Option<&'a Group> {
    groups.iter().find(|group| group.has(if group.unified { v2 } else { v1 }))
}

fn split(file: &Path) -> (&Path, &str) {
    let name = file.file_name().and_then(|name| name.to_str()).unwrap_or_default();
    (file.parent().unwrap_or(Path::new("/")), name)
}

#[cfg(test)]
mod tests;
