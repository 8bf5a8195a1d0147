//! Stopping every process of a container at once.
#![forbid(unsafe_code)]
use super::directory::{Directory, Failure, Version, gone_is_none};
use super::{PATIENCE, holder};
use crate::plan::cgroup::Group;
use crate::{Error, ErrorKind, Result};
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::fs::{CWD, Mode, OFlags};
use rustix::io::Errno;
use std::path::Path;
use std::time::{Duration, Instant};

/// What a freezer does, in the kernel's words.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum FreezerState {
    /// Its processes run.
    Thawed,
    /// It has been asked to stop them, and some still run.
    Freezing,
    /// None of them runs.
    Frozen,
}

/// A group counts as frozen too if one above it is.
pub(super) fn state(group: &Directory, version: Version) -> std::result::Result<FreezerState, Errno> {
    state_by(|file| group.read(file), version)
}

fn state_by(
    read: impl Fn(&str) -> std::result::Result<String, Errno>,
    version: Version,
) -> std::result::Result<FreezerState, Errno> {
    // The topmost group has no such files: nobody freezes it.
    let read = |file| gone_is_none(read(file)).map(Option::unwrap_or_default);
    Ok(match version {
        Version::V1 => match read("freezer.state")?.trim() {
            "FROZEN" => FreezerState::Frozen,
            "FREEZING" => FreezerState::Freezing,
            _ => FreezerState::Thawed,
        },
        Version::V2 if read("cgroup.events")?.lines().any(|line| line == "frozen 1") => FreezerState::Frozen,
        Version::V2 if read("cgroup.freeze")?.trim() == "1" => FreezerState::Freezing,
        Version::V2 => FreezerState::Thawed,
    })
}

/// The group whose freezer stops the whole container.
pub(super) fn freezer(groups: &[Group]) -> Option<(&Group, Version)> {
    let v1 = groups.iter().find(|group| !group.unified && group.has("freezer"));
    let v2 = || groups.iter().find(|group| group.unified);
    v1.map(|group| (group, Version::V1)).or_else(|| v2().map(|group| (group, Version::V2)))
}

/// The directory of that group.
pub(crate) fn freezer_directory(groups: &[Group]) -> Option<&Path> {
    freezer(groups).map(|(group, _)| group.directory.as_path())
}

fn open(groups: &[Group], doing: &str) -> Result<(Directory, Version)> {
    let Some((group, version)) = freezer(groups) else {
        return Err(Error::new(ErrorKind::Unsupported, format!("{doing}: the container has no cgroup with a freezer")));
    };
    let opened = Directory::open(&group.directory);
    let call = || format!("openat({})", group.directory.display());
    Ok((opened.map_err(|errno| Error::system(doing, call(), errno))?, version))
}

/// Whether the container is paused, or about to be.
pub(crate) fn is_frozen(groups: &[Group]) -> Result<bool> {
    freezer_state(groups).map(|state| state != FreezerState::Thawed)
}

/// A container without a freezer, or without its group, is thawed.
pub(crate) fn freezer_state(groups: &[Group]) -> Result<FreezerState> {
    let Some((group, version)) = freezer(groups) else { return Ok(FreezerState::Thawed) };
    state_by(|file| read_word(&group.directory.join(file)), version).map_err(|errno| {
        Error::system("find out whether it is paused", format!("read({})", group.directory.display()), errno)
    })
}

/// A file of a few words, which the kernel hands out whole: an open and a read for each container that is listed.
fn read_word(file: &Path) -> std::result::Result<String, Errno> {
    let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let file = rustix::fs::openat(CWD, file, flags, Mode::empty())?;
    let mut text = [0; 512];
    let length = rustix::io::read(&file, &mut text)?;
    String::from_utf8(text[..length].to_vec()).map_err(|_| Errno::ILSEQ)
}

/// Stops every process of the container. What cannot be stopped is left running: afterwards the container is
/// either frozen, or it is not and this fails.
pub(crate) fn freeze(groups: &[Group]) -> Result<()> {
    let (group, version) = open(groups, "freeze the container")?;
    freeze_group(&group, version, PATIENCE)
}

pub(super) fn freeze_group(group: &Directory, version: Version, patience: Duration) -> Result<()> {
    let frozen = match version {
        Version::V1 => freeze_v1(group, patience),
        Version::V2 => freeze_v2(group, patience),
    };
    if frozen.is_err() {
        // may fail: what is reported is that it did not freeze.
        _ = thaw_group(group, version);
    }
    frozen.map_err(|(call, errno)| Error::system("freeze the container", call, errno))
}

/// cgroup v1 can stay in FREEZING while processes come and go, and tells nobody when it is done. What helps
/// (runc has found) is to thaw for a moment and try again.
fn freeze_v1(group: &Directory, patience: Duration) -> std::result::Result<(), Failure> {
    let deadline = Instant::now() + patience;
    for attempt in 0_u32.. {
        if attempt % 25 == 24 {
            // may fail: it is written to again at once.
            _ = group.write("freezer.state", "THAWED");
            std::thread::sleep(Duration::from_millis(1));
        }
        group.write("freezer.state", "FROZEN")?;
        for _ in 0..5 {
            if state(group, Version::V1).map_err(|errno| ("read(freezer.state)", errno))? == FreezerState::Frozen {
                return Ok(());
            }
            std::thread::sleep(Duration::from_micros(if attempt == 0 { 100 } else { 2000 }));
        }
        if Instant::now() >= deadline {
            break;
        }
    }
    Err(("wait for freezer.state", Errno::TIMEDOUT))
}

fn freeze_v2(group: &Directory, patience: Duration) -> std::result::Result<(), Failure> {
    let events = group.open_file("cgroup.events", OFlags::RDONLY).map_err(|errno| ("openat(cgroup.events)", errno))?;
    group.write("cgroup.freeze", "1")?;
    let deadline = Instant::now() + patience;
    loop {
        // Reading arms the next notification.
        let mut text = [0; 256];
        let length = rustix::io::pread(&events, &mut text, 0).map_err(|errno| ("read(cgroup.events)", errno))?;
        if text[..length].windows(8).any(|window| window == b"frozen 1") {
            return Ok(());
        }
        let left = deadline.saturating_duration_since(Instant::now());
        if left.is_zero() {
            return Err(("wait for cgroup.events", Errno::TIMEDOUT));
        }
        wait_for(&mut [PollFd::new(&events, PollFlags::PRI)], left);
    }
}

/// poll(2) that may also come back early.
pub(super) fn wait_for(descriptors: &mut [PollFd<'_>], patience: Duration) {
    let timeout = Timespec::try_from(patience).ok();
    // may fail: as was just said.
    _ = poll(descriptors, timeout.as_ref());
}

/// Lets the container run again. A group that it has frozen itself, below its own, stays as it is. Without a group
/// there is nothing to thaw.
pub(crate) fn thaw(groups: &[Group]) -> Result<()> {
    let Some((group, version)) = freezer(groups) else { return Ok(()) };
    let thawed = match gone_is_none(Directory::open(&group.directory)) {
        Ok(Some(group)) => thaw_group(&group, version),
        Ok(None) => Ok(()),
        Err(errno) => Err(("openat", errno)),
    };
    thawed.map_err(|(call, errno)| Error::system("thaw the container", call, errno))
}

pub(super) fn thaw_group(group: &Directory, version: Version) -> std::result::Result<(), Failure> {
    match version {
        Version::V1 => group.write("freezer.state", "THAWED"),
        Version::V2 => group.write("cgroup.freeze", "0"),
    }
}

/// Thaws every group of the container, nested ones too: on cgroup v1 a frozen process does not even die.
pub(crate) fn thaw_everything(groups: &[Group]) -> Result<()> {
    let failed = |call: &str, errno| Error::system("thaw the container", call, errno);
    let Some(v1) = holder(groups, "freezer", "").filter(|group| !group.unified) else { return Ok(()) };
    let opened = gone_is_none(Directory::open(&v1.directory)).map_err(|errno| failed("openat", errno))?;
    let thawed = opened.map_or(Ok(()), |top| {
        top.walk(|group| match state(group, Version::V1).map_err(|errno| ("read(freezer.state)", errno))? {
            FreezerState::Thawed => Ok(()),
            _ => thaw_group(group, Version::V1),
        })
    });
    thawed.map_err(|(call, errno)| failed(call, errno))
}
