//! Learning that a container has run out of memory.
#![forbid(unsafe_code)]
use super::directory::{Directory, gone_is_none};
use super::holder;
use crate::plan::cgroup::Group;
use crate::{Error, Result};
use rustix::event::{EventfdFlags, eventfd};
use rustix::fs::{OFlags, inotify};
use rustix::io::Errno;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};

/// A descriptor that becomes readable when something happens to the container's memory.
#[derive(Debug)]
pub(crate) struct OomWatch {
    /// An eventfd on cgroup v1, an inotify descriptor on v2.
    notifier: OwnedFd,
    group: Directory,
    unified: bool,
    kills: u64,
}

/// What [`OomWatch::next`] found.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum OomEvent {
    /// The container has run out of memory (again).
    OutOfMemory,
    /// No process is left, or no group: nothing more will come.
    Gone,
    /// Nothing of interest.
    Nothing,
}

impl AsFd for OomWatch {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.notifier.as_fd()
    }
}

impl OomWatch {
    /// `None` without a memory controller.
    pub(crate) fn new(groups: &[Group]) -> Result<Option<OomWatch>> {
        let failed = |call: &str, errno| Error::system("watch the container's memory", call, errno);
        let Some(memory) = holder(groups, "memory", "memory") else { return Ok(None) };
        let group = Directory::open(&memory.directory).map_err(|errno| failed("openat", errno))?;
        let notifier = if memory.unified {
            let notifier = inotify::init(inotify::CreateFlags::CLOEXEC | inotify::CreateFlags::NONBLOCK)
                .map_err(|errno| failed("inotify_init1", errno))?;
            for file in ["memory.events", "cgroup.events"] {
                inotify::add_watch(&notifier, memory.directory.join(file), inotify::WatchFlags::MODIFY)
                    .map_err(|errno| failed(&format!("inotify_add_watch({file})"), errno))?;
            }
            notifier
        } else {
            let notifier = eventfd(0, EventfdFlags::CLOEXEC | EventfdFlags::NONBLOCK)
                .map_err(|errno| failed("eventfd2", errno))?;
            let control = group.open_file("memory.oom_control", OFlags::RDONLY);
            let control = control.map_err(|errno| failed("openat(memory.oom_control)", errno))?;
            let pair = format!("{} {}", notifier.as_raw_fd(), control.as_raw_fd());
            group.write("cgroup.event_control", &pair).map_err(|(call, errno)| failed(call, errno))?;
            notifier
        };
        let kills = kills(&group, memory.unified)?.unwrap_or(0);
        Ok(Some(OomWatch { notifier, group, unified: memory.unified, kills }))
    }

    /// What has happened; does not wait. To be asked when the descriptor is readable.
    pub(crate) fn next(&mut self) -> Result<OomEvent> {
        let mut buffer = [0; 4096];
        let notified = match rustix::io::read(&self.notifier, &mut buffer) {
            Ok(_) => true,
            Err(Errno::AGAIN) => false,
            Err(errno) => return Err(Error::system("watch the container's memory", "read", errno)),
        };
        let before = self.kills;
        // An OOM that ends with the container is told before the end.
        match kills(&self.group, self.unified)? {
            Some(kills) => self.kills = kills,
            None => return Ok(OomEvent::Gone),
        }
        // cgroup v1 notifies of nothing else, also where it only stops processes instead of killing one.
        if self.kills > before || !self.unified && notified {
            return Ok(OomEvent::OutOfMemory);
        }
        let populated = || gone_is_none(self.group.read_key("cgroup.events", "populated")).map(Option::flatten);
        let is_empty = self.unified && populated().map_err(unknown)? == Some(0);
        Ok(if is_empty { OomEvent::Gone } else { OomEvent::Nothing })
    }
}

fn unknown(errno: Errno) -> Error {
    Error::system("watch the container's memory", "read", errno)
}

/// `None` if the group is gone.
fn kills(group: &Directory, unified: bool) -> Result<Option<u64>> {
    let file = if unified { "memory.events" } else { "memory.oom_control" };
    // KERNEL(4.13): v1 counts them too.
    let kills = gone_is_none(group.read_key(file, "oom_kill")).map_err(unknown)?;
    Ok(kills.map(|kills| kills.unwrap_or(0)))
}

/// Memory of a container in which the kernel has killed for want of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct OomReport {
    pub kills: u64,
    /// As the kernel prints them, in bytes or `max`.
    pub limit: String,
    pub peak: String,
}

/// `None` if nothing was killed. May fail: it only adds to an error that is there already.
pub(crate) fn oom_report(groups: &[Group]) -> Option<OomReport> {
    let memory = holder(groups, "memory", "memory")?;
    // may fail: see above.
    let group = Directory::open(&memory.directory).ok()?;
    // may fail: see above.
    let kills = kills(&group, memory.unified).ok().flatten().filter(|kills| *kills > 0)?;
    let (limit, peak) = if memory.unified {
        ("memory.max", "memory.peak")
    } else {
        ("memory.limit_in_bytes", "memory.max_usage_in_bytes")
    };
    // may fail: see above.
    let read = |file: &str| group.read(file).unwrap_or_default().trim().to_owned();
    Some(OomReport { kills, limit: read(limit), peak: read(peak) })
}
