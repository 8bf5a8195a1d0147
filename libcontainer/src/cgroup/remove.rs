//! Removing a container's groups.
#![forbid(unsafe_code)]
use super::PATIENCE;
use super::directory::{Directory, Version, gone_is_none};
use super::freezer::wait_for;
use crate::plan::cgroup::Group;
use crate::{Error, Result, sys};
use rustix::event::{PollFd, PollFlags};
use rustix::fs::OFlags;
use rustix::io::Errno;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

/// Removes the groups if nobody is in them and nothing below them; `false` if some stay.
pub(crate) fn remove_empty(groups: &[Group]) -> bool {
    groups.iter().all(|group| matches!(rustix::fs::rmdir(&group.directory), Ok(()) | Err(Errno::NOENT)))
}

/// Those of the groups that are there already: somebody else's, which stay (runtime-spec: what "was not created by this container
/// MUST NOT be deleted").
pub(crate) fn existing(groups: &[Group]) -> Result<Vec<PathBuf>> {
    let mut found = Vec::new();
    for Group { directory, .. } in groups {
        match rustix::fs::stat(directory) {
            Err(Errno::NOENT | Errno::NOTDIR) => {}
            Err(errno) => {
                return Err(Error::system("look at the cgroups", format!("stat({})", directory.display()), errno));
            }
            Ok(_) => found.push(directory.clone()),
        }
    }
    Ok(found)
}

/// Removes the groups with all that the container has made below them; of those to `keep` only the latter. Waits for processes that
/// are about to end; fails if one does not, and still removes the other groups. A group that is not there is fine.
pub(crate) fn remove(groups: &[Group], keep: &[PathBuf]) -> Result<()> {
    remove_within(groups, keep, PATIENCE)
}

pub(crate) fn remove_within(groups: &[Group], keep: &[PathBuf], patience: Duration) -> Result<()> {
    let deadline = Instant::now() + patience;
    let mut result = Ok(());
    for group in groups {
        let removed = match keep.contains(&group.directory) {
            true => empty_group(&group.directory, deadline),
            false => remove_group(&group.directory, deadline),
        };
        result = result.and(removed);
    }
    result
}

/// Removes what is below the group, and waits for who is in it.
fn empty_group(directory: &Path, deadline: Instant) -> Result<()> {
    let failed = |call: &str, errno| Error::system(format!("empty the cgroup {}", directory.display()), call, errno);
    loop {
        let opened = gone_is_none(Directory::open(directory)).map_err(|errno| failed("openat", errno))?;
        let Some(top) = opened else { return Ok(()) };
        let emptied = remove_nested(&top);
        // may fail: then it is looked at again, until time is up.
        if emptied.is_ok() && top.pids().is_ok_and(|pids| pids.is_empty()) {
            return Ok(());
        }
        let left = deadline.saturating_duration_since(Instant::now());
        if left.is_zero() {
            return Err(failed("unlinkat", emptied.err().unwrap_or(Errno::BUSY)).detail(who(&top)));
        }
        if !wait_until_empty(&top, left) {
            std::thread::sleep(Duration::from_millis(1).min(left));
        }
    }
}

fn remove_group(directory: &Path, deadline: Instant) -> Result<()> {
    let failed = |call: &str, errno| Error::system(format!("remove the cgroup {}", directory.display()), call, errno);
    let mut pause = Duration::from_micros(250);
    loop {
        // Usually this is all.
        match rustix::fs::rmdir(directory) {
            Ok(()) | Err(Errno::NOENT) => return Ok(()),
            Err(Errno::BUSY) => {}
            Err(errno) => return Err(failed("rmdir", errno)),
        }
        let opened = gone_is_none(Directory::open(directory)).map_err(|errno| failed("openat", errno))?;
        let Some(top) = opened else { return Ok(()) };
        match remove_nested(&top) {
            Ok(()) => match rustix::fs::rmdir(directory) {
                Ok(()) | Err(Errno::NOENT) => return Ok(()),
                Err(_) => {}
            },
            Err(Errno::BUSY | Errno::NOENT | Errno::NODEV) => {}
            Err(errno) => return Err(failed("unlinkat", errno)),
        }
        let left = deadline.saturating_duration_since(Instant::now());
        if left.is_zero() {
            return Err(failed("rmdir", Errno::BUSY).detail(who(&top)));
        }
        if !wait_until_empty(&top, left) {
            // Empty, but the last process has not quite left, or somebody counts us as busy for another reason;
            // nothing tells when that is over.
            std::thread::sleep(pause.min(left));
            pause = (pause * 2).min(Duration::from_millis(20));
        }
    }
}

/// Removes the groups below this one, the deepest first, with one descriptor however deep they are. A group has
/// only one parent, so as many steps up as down lead back.
fn remove_nested(top: &Directory) -> std::result::Result<(), Errno> {
    let mut at = top.child(".")?;
    let mut names = Vec::new();
    loop {
        match at.first_child()? {
            Some(name) => {
                at = at.child(&name)?;
                names.push(name);
            }
            None => {
                let Some(name) = names.pop() else {
                    return Ok(());
                };
                at = at.child("..")?;
                gone_is_none(at.rmdir(name))?;
            }
        }
    }
}

/// Waits until a process ends; `false` if there is none to wait for.
fn wait_until_empty(top: &Directory, patience: Duration) -> bool {
    // may fail: whoever waits in vain waits a moment and looks again.
    if let Ok(Some(Version::V2)) = top.version() {
        // may fail: as above.
        let Ok(events) = top.open_file("cgroup.events", OFlags::RDONLY) else {
            return false;
        };
        let mut text = [0; 256];
        // Reading arms the notification.
        // may fail: as above.
        let length = rustix::io::read(&events, &mut text).unwrap_or(0);
        if !text[..length].windows(11).any(|window| window == b"populated 1") {
            return false;
        }
        wait_for(&mut [PollFd::new(&events, PollFlags::PRI)], patience);
        return true;
    }
    let started = Instant::now();
    let mut pids = Vec::new();
    // may fail: as above.
    _ = top.list(&mut pids);
    // may fail: as above.
    let open = |pid: &i32| sys::pidfd_open(*pid).ok();
    // All of them have to go, so it does not matter for which one we wait first.
    for pidfd in pids.iter().take(128).filter_map(open) {
        wait_for(&mut [PollFd::new(&pidfd, PollFlags::IN)], patience.saturating_sub(started.elapsed()));
    }
    // A pidfd of a process that has already ended, but still counts, does not make us wait.
    started.elapsed() > Duration::from_millis(1)
}

/// The processes that keep a group.
fn who(top: &Directory) -> String {
    let describe = |pid: &i32| {
        // may fail: it only adds to an error.
        let name = std::fs::read_to_string(format!("/proc/{pid}/comm")).unwrap_or_default();
        // may fail: as above.
        let status = std::fs::read_to_string(format!("/proc/{pid}/status")).unwrap_or_default();
        // may fail: as above.
        let state = status.lines().find_map(|line| line.strip_prefix("State:")).unwrap_or("state unknown");
        format!("process {pid} ({}, {}) is still in it", name.trim(), state.trim())
    };
    let mut pids = Vec::new();
    // may fail: it only adds to an error.
    _ = top.list(&mut pids);
    let first = pids.first().map(describe);
    match (first, pids.len()) {
        (Some(first), 1) => first,
        (Some(first), count) => format!("{first}, and {} more", count - 1),
        (None, _) => "no process is in it; something else keeps it busy".to_owned(),
    }
}
