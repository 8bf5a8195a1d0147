//! `delete`: everything that `create` made, and nothing else.
use super::damaged::Damage;
use super::{Container, Status, state};
use crate::criu::search::Opened;
use crate::launch::{Hooks, intel_rdt};
use crate::plan::line::HookKind;
use crate::store::{Life, Lock, Store};
use crate::{Error, ErrorKind, Result, cgroup, sys, systemd};
use oci_spec::runtime::Spec;
use rustix::event::{PollFd, PollFlags, Timespec};
use rustix::fd::{AsFd, BorrowedFd};
use rustix::io::Errno;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// How long a killed process may take to end. Longer is a process that the kernel cannot end (uninterruptible).
const PATIENCE: Duration = Duration::from_secs(10);

/// After so long nothing usual is what keeps a process: somebody has frozen it again, or one more has come.
const AGAIN: Duration = Duration::from_millis(200);

impl Store {
    /// Removes the container with this id, if it is stopped or created, as [`Container::delete`] does; or what a `create` that was
    /// killed has left of one.
    ///
    /// # Errors
    /// As [`Container::delete`]; [`ErrorKind::NotFound`] if there is none.
    pub fn delete(&self, id: &str) -> Result<()> {
        loop {
            let missing = match self.load(id).and_then(|container| container.delete()) {
                Err(error) if error.kind() == ErrorKind::NotFound => error,
                deleted => return deleted,
            };
            // A `create` that was killed early has a folder and nothing else.
            match self.remove_remains(id) {
                Err(error) if error.kind() != ErrorKind::NotFound => return Err(error),
                // A record has come by now.
                Ok(false) if self.has_record(id)? => {}
                _ => return Err(missing),
            }
        }
    }

    /// Ends and removes the container with this id, whatever state it is in, on disk too; `false` if there was none.
    ///
    /// # Errors
    /// As [`Container::force_delete`].
    pub fn force_delete(&self, id: &str) -> Result<bool> {
        loop {
            match self.load(id).and_then(|container| container.force_delete()) {
                Err(error) if error.kind() == ErrorKind::NotFound => {}
                // If its record is as it should be, this was about something else.
                Err(error) if self.delete_damaged(id)? == Damage::None => return Err(error),
                _ => return Ok(true),
            }
            match self.remove_remains(id) {
                Err(error) if error.kind() != ErrorKind::NotFound => return Err(error),
                // A config, and no record unless it has come by now.
                Ok(false) => _ = self.delete_damaged(id)?,
                _ => return Ok(false),
            }
        }
    }

    fn has_record(&self, id: &str) -> Result<bool> {
        match self.folder(id) {
            Err(error) if error.kind() == ErrorKind::NotFound => Ok(false),
            folder => folder?.has_record(),
        }
    }
}

impl Container {
    /// Removes a container that is stopped or created: everything that `create` has made. Then the poststop hooks run, whose
    /// failures are only warned of. Waits for somebody who is at it.
    ///
    /// # Errors
    /// [`ErrorKind::Running`], [`ErrorKind::Paused`] and [`ErrorKind::Busy`] if it is none of these; [`ErrorKind::NotFound`] if
    /// somebody else was faster; [`ErrorKind::Timeout`] after ten seconds if one of its processes does not end.
    pub fn delete(&self) -> Result<()> {
        let lock = self.lock_unless_running()?;
        let now = self.refreshed()?;
        deletable(&now.record.id, now.status_under(&lock)?)?;
        now.remove_everything(&lock)
    }

    /// Removes any container, and ends its processes first. Works from the record alone, whatever `create` had come to when it died.
    ///
    /// # Errors
    /// As [`Container::delete`], but for its status.
    pub fn force_delete(&self) -> Result<()> {
        let lock = self.lock_by_force()?;
        self.refreshed()?.remove_everything(&lock)
    }

    /// Somebody may have changed the record since it was read.
    fn refreshed(&self) -> Result<Container> {
        let record = if self.init.is_none() { Arc::new(self.folder.read_record()?) } else { self.record.clone() };
        Ok(Container { record, ..self.clone() })
    }

    fn remove_everything(&self, lock: &Lock) -> Result<()> {
        let has_ended = self.has_ended()?;
        if !has_ended {
            self.end()?;
        }
        let bundle = if self.record.has_poststop { self.bundle().map(Some) } else { Ok(None) };
        let bundle = bundle.unwrap_or_else(|error| {
            log::warn!("the poststop hooks do not run: {error}");
            None
        });
        let spec = bundle.as_ref().map(|bundle| bundle.spec());
        if has_ended { self.forget(lock, spec) } else { self.destroy(lock, spec) }
    }

    /// Whoever is still at it (a create) fails now and lets go.
    fn lock_by_force(&self) -> Result<Lock> {
        match self.folder.try_lock()? {
            Some(lock) => Ok(lock),
            None => self.end().and_then(|()| self.folder.lock()),
        }
    }

    /// Waits for whoever is at it, but not until it has ended: it may be a `start`.
    fn lock_unless_running(&self) -> Result<Lock> {
        loop {
            deletable(&self.record.id, self.status()?)?;
            if let Some(lock) = self.folder.try_lock()? {
                return Ok(lock);
            }
            std::thread::sleep(Duration::from_millis(1));
        }
    }

    /// Whether there is nothing to end, and no group any more: with its pid 1 a namespace ends, and groups that can be removed hold nobody.
    fn has_ended(&self) -> Result<bool> {
        if self.record.init.is_none() || !self.record.private_pid_namespace || !self.record.kept_cgroups.is_empty() {
            return Ok(false);
        }
        Ok(matches!(self.record.life()?, Life::Ended) && cgroup::remove_empty(&self.record.cgroups))
    }

    /// Ends every process and waits for it.
    pub(super) fn end(&self) -> Result<()> {
        let init = self.record.life()?.pidfd();
        let started = Instant::now();
        loop {
            if let Some(pidfd) = &init {
                match sys::pidfd_send_signal(pidfd.as_fd(), libc::SIGKILL) {
                    Ok(()) | Err(Errno::SRCH) => {}
                    Err(errno) => return Err(Error::system("kill", "pidfd_send_signal(9)", errno)),
                }
            }
            cgroup::kill_all(&self.record.cgroups, libc::SIGKILL)?;
            let Some(pidfd) = &init else { return Ok(()) };
            if ends_within(pidfd.as_fd(), AGAIN)? {
                return Ok(());
            }
            if started.elapsed() > PATIENCE {
                let hint = "hint: the kernel cannot end one of its processes, a cgroup above is frozen, or one is dead and its parent outside the container has not waited for it";
                return Err(Error::new(ErrorKind::Timeout, "container init still running").detail(hint));
            }
        }
    }

    /// Removes the cgroups and resctrl groups, then the record, then runs the poststop hooks, whose failures are only warned of.
    pub(super) fn destroy(&self, lock: &Lock, spec: Option<&Spec>) -> Result<()> {
        self.remove_groups()?;
        self.forget(lock, spec)
    }

    /// The rest of that, once the cgroups are gone.
    fn forget(&self, lock: &Lock, spec: Option<&Spec>) -> Result<()> {
        // Without groups the scope ends by itself; this waits for it, so that its name is free. And it is all there is of one
        // whose groups are gone already, or not yet there: systemd may still have been about to make it.
        let has_scope = self.record.unit.is_some() && self.folder.has_asked_for_scope()?;
        if let Some(unit) = self.record.unit.as_ref().filter(|_| has_scope) {
            if let Err(error) = systemd::Manager::of(unit.user).stop(unit) {
                log::warn!("{error}");
            }
            self.remove_groups()?;
        }
        intel_rdt::remove(&self.record.intel_rdt)?;
        // Of a restore that was killed.
        self.record.opened_images.iter().try_for_each(Opened::close)?;
        self.folder.remove(lock)?;
        let Some(spec) = spec else { return Ok(()) };
        let state = &state::for_hooks(&self.record, "stopped", 0);
        let hooks = Hooks { spec, bundle: &self.record.bundle, state, init: None };
        hooks.all(HookKind::Poststop).filter_map(Result::err).for_each(|error| log::warn!("{error}"));
        Ok(())
    }

    fn remove_groups(&self) -> Result<()> {
        let (groups, kept) = (&self.record.cgroups, &self.record.kept_cgroups);
        match cgroup::remove_within(groups, kept, AGAIN) {
            Ok(()) => Ok(()),
            // An `exec` may have come in since everybody was killed.
            Err(_) => cgroup::kill_all(groups, libc::SIGKILL).and_then(|_| cgroup::remove(groups, kept)),
        }
    }
}

fn deletable(id: &str, status: Status) -> Result<()> {
    match status {
        Status::Stopped | Status::Created => Ok(()),
        status => {
            let message = format!("cannot delete container {id} that is not stopped: {status}");
            Err(Error::new(status.in_the_way(), message))
        }
    }
}

fn ends_within(pidfd: BorrowedFd<'_>, patience: Duration) -> Result<bool> {
    let limit = Timespec::try_from(patience)
        .map_err(|_| Error::new(ErrorKind::System, "wait for the container's end: too long"))?;
    match rustix::event::poll(&mut [PollFd::new(&pidfd, PollFlags::IN)], Some(&limit)) {
        Ok(ready) => Ok(ready > 0),
        Err(Errno::INTR) => Ok(false),
        Err(errno) => Err(Error::system("wait for the container's end", "poll", errno)),
    }
}
