//! `events`: what a container uses, and when it runs out of memory.
use super::{Container, Status};
use crate::cgroup::{self, OomEvent, OomWatch};
use crate::{Error, ErrorKind, Result};
use rustix::event::{PollFd, PollFlags, Timespec};
use rustix::fd::OwnedFd;
use serde::Serialize;
use std::time::{Duration, Instant};

/// What a container uses; serialized as runc does.
#[derive(Debug, Serialize)]
#[serde(transparent)]
pub struct Stats(cgroup::Stats);

/// Something to tell about a container.
#[derive(Debug)]
#[non_exhaustive]
pub enum Event {
    Stats(Box<Stats>),
    OutOfMemory,
}

/// Waits for the next event; ends with the container.
#[derive(Debug)]
pub struct Events<'a> {
    container: &'a Container,
    init: OwnedFd,
    /// Without a memory controller nobody tells.
    memory: Option<OomWatch>,
    interval: Duration,
    next: Instant,
    over: bool,
}

impl Container {
    /// What the container uses now.
    pub fn stats(&self) -> Result<Stats> {
        self.check_events()?;
        cgroup::stats(&self.record.cgroups).map(Stats)
    }

    /// Usage at every `interval`, and every lack of memory as it comes.
    pub fn events(&self, interval: Duration) -> Result<Events<'_>> {
        self.check_events()?;
        let init = self.record.life()?.pidfd().ok_or_else(|| self.no_events())?;
        let memory = match OomWatch::new(&self.record.cgroups) {
            Err(error) if error.kind() == ErrorKind::Unsupported => {
                log::warn!("out-of-memory events: {error}");
                None
            }
            watch => Some(watch?),
        };
        Ok(Events { container: self, init, memory, interval, next: Instant::now() + interval, over: false })
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

impl Events<'_> {
    fn wait(&mut self) -> Result<Option<Event>> {
        loop {
            let left = self.next.saturating_duration_since(Instant::now());
            if left.is_zero() {
                // Not a burst of them after a suspended laptop wakes.
                self.next = Instant::now() + self.interval;
                let stats = cgroup::stats(&self.container.record.cgroups)?;
                return Ok(Some(Event::Stats(Box::new(Stats(stats)))));
            }
            let mut asked = vec![PollFd::new(&self.init, PollFlags::IN)];
            asked.extend(self.memory.iter().map(|memory| PollFd::new(memory, PollFlags::IN)));
            match rustix::event::poll(&mut asked, Timespec::try_from(left).ok().as_ref()) {
                Ok(0) | Err(rustix::io::Errno::INTR) => continue,
                polled => polled.map_err(|errno| Error::system("wait for events", "poll", errno))?,
            };
            let ended = !asked[0].revents().is_empty();
            // The kernel counts a process that it kills before it kills it: what init died of is told before its end.
            let event = self.memory.as_mut().map_or(Ok(OomEvent::Nothing), OomWatch::next)?;
            self.over = ended || event == OomEvent::Gone;
            match event {
                OomEvent::OutOfMemory => return Ok(Some(Event::OutOfMemory)),
                _ if self.over => return Ok(None),
                _ => {}
            }
        }
    }
}

impl Iterator for Events<'_> {
    type Item = Result<Event>;

    fn next(&mut self) -> Option<Result<Event>> {
        if self.over {
            return None;
        }
        let event = self.wait();
        self.over |= event.is_err();
        event.transpose()
    }
}
