//! Signals for every process of a container.
#![forbid(unsafe_code)]
use super::directory::{Directory, Failure, Version, gone_is_none};
use super::{freezer, members};
use crate::plan::cgroup::Group;
use crate::{Error, Result, sys};
use rustix::io::Errno;
use std::collections::HashSet;
use std::os::fd::{AsFd, OwnedFd};
use std::time::Duration;

/// So many rounds find the children that processes fork while they are being signalled.
const ROUNDS: usize = 8;

/// Sends `signal` to every process of the container, nested groups included; `false` if the container has no
/// group (any more).
///
/// The freezer is used only against processes that fork faster than they can be killed, so that a runtime that
/// dies here leaves nothing frozen. SIGKILL ends a paused container too.
pub(crate) fn kill_all(groups: &[Group], signal: i32) -> Result<bool> {
    let failed =
        |call: &str, errno| Error::system(format!("signal {signal} for every process of the container"), call, errno);
    let kills = signal == libc::SIGKILL;
    let mut exists = false;
    let unified = groups.iter().find(|group| group.unified);
    // KERNEL(5.14): cgroup.kill takes all at once, those that are just being forked included.
    if let Some(unified) = unified.filter(|_| kills) {
        let opened = gone_is_none(Directory::open(&unified.directory)).map_err(|errno| failed("openat", errno))?;
        exists |= opened.is_some();
        // may fail: before 5.14, or in a threaded group; then one after the other.
        let killed = opened.is_some_and(|group| group.write("cgroup.kill", "1").is_ok());
        if killed && groups.len() == 1 {
            return Ok(true);
        }
    }
    let opened = members(groups).map(|group| gone_is_none(Directory::open(&group.directory))).transpose();
    if let Some(top) = opened.map_err(|errno| failed("openat", errno))?.flatten() {
        exists = true;
        let settled = signal_each(&top, signal);
        if kills && settled == Ok(false) {
            kill_frozen(groups, &top);
        }
        let thawed = if kills { freezer::thaw_everything(groups) } else { Ok(()) };
        settled.map_err(|(call, errno)| failed(call, errno))?;
        thawed?;
    }
    Ok(exists)
}

/// Signals each process once, until a round finds no new one; `false` if there always were. Who cannot be signalled, or a group
/// that cannot be read, keeps the signal from nobody else.
fn signal_each(top: &Directory, signal: i32) -> std::result::Result<bool, Failure> {
    let mut signalled = HashSet::new();
    let mut failure = None;
    for _ in 0..ROUNDS {
        let mut fresh = Vec::new();
        failure = top.list(&mut fresh).err().or(failure);
        fresh.retain(|pid| signalled.insert(*pid));
        if fresh.is_empty() {
            return failure.map_or(Ok(true), Err);
        }
        while !fresh.is_empty() {
            failure = signal_some(top, &mut fresh, signal).err().or(failure);
        }
    }
    failure.map_or(Ok(false), Err)
}

/// Takes some of `pids` and signals them.
fn signal_some(top: &Directory, pids: &mut Vec<i32>, signal: i32) -> std::result::Result<(), Failure> {
    let (opened, mut result) = open_some(pids);
    // A pid may have been given to a stranger before it was opened. If it is still in the group, it was not.
    let mut still = Vec::new();
    result = top.list(&mut still).and(result);
    for (_, pidfd) in opened.into_iter().filter(|(pid, _)| still.binary_search(pid).is_ok()) {
        match sys::pidfd_send_signal(pidfd.as_fd(), signal) {
            Ok(()) | Err(Errno::SRCH) => {}
            Err(errno) => result = Err(("pidfd_send_signal", errno)),
        }
    }
    result
}

/// Pidfds of as many as are not too many descriptors at a time, from the end.
fn open_some(pids: &mut Vec<i32>) -> (Vec<(i32, OwnedFd)>, std::result::Result<(), Failure>) {
    // So many are needed to look who is still there.
    const SPARE: usize = 4;
    let mut opened: Vec<(i32, OwnedFd)> = Vec::new();
    while opened.len() < 128 {
        let Some(pid) = pids.pop() else { break };
        match sys::pidfd_open(pid) {
            Ok(pidfd) => opened.push((pid, pidfd)),
            Err(Errno::SRCH | Errno::NOENT | Errno::INVAL) => {}
            // RLIMIT_NOFILE: these first, the others after them.
            Err(Errno::MFILE) if opened.len() > SPARE => {
                pids.push(pid);
                pids.extend(opened.split_off(opened.len() - SPARE).into_iter().map(|(pid, _)| pid));
                break;
            }
            Err(errno) => return (opened, Err(("pidfd_open", errno))),
        }
    }
    (opened, Ok(()))
}

/// Against a fork bomb: nothing forks while it is frozen, and its pids stay its own.
fn kill_frozen(groups: &[Group], top: &Directory) {
    let Some((group, version)) = freezer::freezer(groups) else {
        return;
    };
    // may fail: they were signalled without it; the end of init is waited for.
    let Ok(frozen) = Directory::open(&group.directory) else {
        return;
    };
    // Even half frozen it forks less.
    // may fail: as was just said.
    _ = freezer::freeze_group(&frozen, version, Duration::from_secs(1));
    let mut pids = Vec::new();
    // may fail: see above.
    _ = top.list(&mut pids);
    for pid in pids {
        // may fail: see above.
        if let Ok(pidfd) = sys::pidfd_open(pid) {
            // may fail: see above.
            _ = sys::pidfd_send_signal(pidfd.as_fd(), libc::SIGKILL);
        }
    }
    // may fail: everything is thawed once more by who has called.
    _ = freezer::thaw_group(&frozen, version);
    if version == Version::V2 {
        // may fail: see above.
        _ = frozen.write("cgroup.kill", "1");
    }
}
