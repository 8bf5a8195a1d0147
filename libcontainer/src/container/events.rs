//! `events` and `stats`: what a container uses, when it runs out of memory, when it ends.
use super::{Container, Status, rdt};
use crate::cgroup::{self, OomEvent, OomWatch};
use crate::stats::Stats;
use crate::{Error, ErrorKind, FreezerState, HostFacts, Result};
use rustix::event::{PollFd, PollFlags, Timespec, epoll, poll};
use rustix::fd::{AsFd, BorrowedFd, OwnedFd};
use rustix::io::Errno;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

/// What has happened to a container.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Event {
    /// The kernel has killed one of its processes for want of memory; on cgroup v1 with `disableOOMKiller` it has stopped one. Several
    /// in quick succession may be one event.
    OutOfMemory,
    /// Its init has ended. An [`Event::OutOfMemory`] that it died of comes first; nothing comes after this one.
    Ended,
}

/// What happens to a container from the moment on in which this was made ([`Container::events`]).
///
/// The descriptor ([`AsFd`]) is readable when there is something to hear, for an event loop; or [`Events::wait`] waits. It belongs
/// to the container's init: it goes on after the [`Container`] is dropped, and hears nothing of a later one of the same id.
#[derive(Debug)]
pub struct Events {
    /// Of both below.
    poll: OwnedFd,
    init: OwnedFd,
    /// Without a memory controller nobody tells.
    memory: Option<Mutex<OomWatch>>,
}

impl AsFd for Events {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.poll.as_fd()
    }
}

impl Container {
    /// What the container uses now.
    ///
    /// # Errors
    /// [`ErrorKind::NotRunning`] if it has ended; [`ErrorKind::System`] if a figure is there and cannot be read.
    pub fn stats(&self) -> Result<Stats> {
        self.check_events()?;
        let mut stats = cgroup::stats(&self.record.cgroups)?;
        // Hardly any host has it: then config.json need not be read.
        if let Some(mount) = HostFacts::resctrl()? {
            let bundle = self.bundle()?;
            if let Some(of) = bundle.spec().linux().as_ref().and_then(|linux| linux.intel_rdt().as_ref()) {
                stats.intel_rdt = rdt::figures(of, &mount, &self.record.id)?;
            }
        }
        Ok(stats)
    }

    /// What its freezer does: a container on the way to being paused is [`FreezerState::Freezing`]. Thawed if it has no freezer.
    ///
    /// # Errors
    /// [`ErrorKind::System`] if the kernel does not say.
    pub fn freezer_state(&self) -> Result<FreezerState> {
        cgroup::freezer_state(&self.record.cgroups)
    }

    /// What happens to it from now on: it runs out of memory, it ends.
    ///
    /// # Errors
    /// [`ErrorKind::NotRunning`] if it has ended.
    pub fn events(&self) -> Result<Events> {
        self.check_events()?;
        let fail = |call: &'static str| move |errno| Error::system("wait for events", call, errno);
        let init = self.record.life()?.pidfd().ok_or_else(|| self.no_events())?;
        let memory = OomWatch::new(&self.record.cgroups)?;
        if memory.is_none() {
            log::warn!("out-of-memory events: the container has no cgroup with a memory controller");
        }
        let poll = epoll::create(epoll::CreateFlags::CLOEXEC).map_err(fail("epoll_create1"))?;
        let descriptors = memory.iter().map(AsFd::as_fd).chain([init.as_fd()]);
        for descriptor in descriptors {
            epoll::add(&poll, descriptor, epoll::EventData::new_u64(0), epoll::EventFlags::IN)
                .map_err(fail("epoll_ctl"))?;
        }
        Ok(Events { poll, init, memory: memory.map(Mutex::new) })
    }

    fn check_events(&self) -> Result<()> {
        match self.status()? {
            Status::Stopped => Err(self.no_events()),
            _ => Ok(()),
        }
    }

    fn no_events(&self) -> Error {
        Error::new(ErrorKind::NotRunning, format!("container with id {} is not running", self.record.id))
    }
}

impl Events {
    /// What has happened, if anything has; does not wait. After the end it is [`Event::Ended`] each time.
    ///
    /// # Errors
    /// [`ErrorKind::System`] if the kernel does not say.
    pub fn try_next(&self) -> Result<Option<Event>> {
        // Asked before the memory is looked at: what init died of is told before its end, for the kernel counts a process that it
        // kills before it kills it.
        let ended = is_readable(self.init.as_fd(), Some(Duration::ZERO))?;
        let memory = self.memory.as_ref().map(|memory| memory.lock().unwrap_or_else(PoisonError::into_inner).next());
        Ok(match memory.transpose()? {
            Some(OomEvent::OutOfMemory) => Some(Event::OutOfMemory),
            Some(OomEvent::Gone) => Some(Event::Ended),
            _ => ended.then_some(Event::Ended),
        })
    }

    /// Waits for what happens next; for ever, or so long, and then it is `None`.
    ///
    /// # Errors
    /// [`ErrorKind::System`] if the kernel does not say.
    pub fn wait(&self, most: Option<Duration>) -> Result<Option<Event>> {
        let until = most.and_then(|most| Instant::now().checked_add(most));
        loop {
            let left = until.map(|until| until.saturating_duration_since(Instant::now()));
            let readable = is_readable(self.poll.as_fd(), left)?;
            match if readable { self.try_next()? } else { None } {
                // Something that is of no interest; or time is up.
                None if left != Some(Duration::ZERO) => {}
                event => return Ok(event),
            }
        }
    }
}

fn is_readable(descriptor: BorrowedFd<'_>, most: Option<Duration>) -> Result<bool> {
    let limit = most.and_then(|most| Timespec::try_from(most).ok());
    match poll(&mut [PollFd::new(&descriptor, PollFlags::IN)], limit.as_ref()) {
        Ok(ready) => Ok(ready > 0),
        Err(Errno::INTR) => Ok(false),
        Err(errno) => Err(Error::system("wait for events", "poll", errno)),
    }
}
