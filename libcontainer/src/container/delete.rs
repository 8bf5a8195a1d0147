//! `delete`: everything that `create` made, and nothing else.
use super::{Container, Status, state};
use crate::criu::search::Opened;
use crate::launch::{Hooks, intel_rdt};
use crate::plan::line::HookKind;
use crate::{Error, ErrorKind, Result, cgroup, sys, systemd};
use oci_spec::runtime::Spec;
use rustix::event::{PollFd, PollFlags, Timespec};
use rustix::fd::AsFd;
use std::time::Duration;

/// How long a killed process may take to end. Longer is a process that the kernel cannot end (uninterruptible).
const PATIENCE: Duration = Duration::from_secs(10);

impl Container {
    /// Removes a container that is stopped, or created; with `force` any, killing it first. Works from the record alone,
    /// whatever `create` had come to when it died.
    pub fn delete(mut self, force: bool) -> Result<()> {
        if !force {
            match self.status()? {
                Status::Stopped | Status::Created => {}
                status => {
                    let message = format!("cannot delete container {} that is not stopped: {status}", self.record.id);
                    return Err(Error::new(ErrorKind::WrongStatus, message));
                }
            }
        }
        if !self.folder.try_lock()? {
            // Whoever is still at it (a create) fails now and lets go.
            self.end()?;
            self.folder.lock()?;
        }
        if self.child.is_none() {
            // Somebody may have changed it since it was read.
            self.record = self.folder.read_record()?;
        }
        if !self.has_ended() {
            self.end()?;
        }
        let bundle = if self.record.has_poststop { self.bundle().ok() } else { None };
        self.destroy(bundle.as_ref().map(|bundle| bundle.spec()))
    }

    /// Whether there is nothing to end: with its pid 1 a namespace ends, and groups that can be removed hold nobody.
    fn has_ended(&self) -> bool {
        let dead = self.record.init.is_some_and(|init| !init.is_alive());
        let kept = !self.record.kept_cgroups.is_empty();
        dead && self.record.private_pid_namespace && !kept && cgroup::remove_empty(&self.record.cgroups)
    }

    /// Ends every process and waits for it.
    pub(super) fn end(&self) -> Result<()> {
        let init = self.record.pidfd();
        if let Some(pidfd) = &init {
            let _ = sys::pidfd_send_signal(pidfd.as_fd(), libc::SIGKILL);
        }
        cgroup::kill_all(&self.record.cgroups, libc::SIGKILL)?;
        if let Some(pidfd) = &init {
            let limit = Timespec::try_from(PATIENCE).ok();
            let ended = rustix::event::poll(&mut [PollFd::new(pidfd, PollFlags::IN)], limit.as_ref());
            if ended == Ok(0) {
                let hint = "hint: the kernel cannot end one of its processes, a cgroup above is frozen, or one is dead and its parent outside the container has not waited for it";
                return Err(Error::new(ErrorKind::System, "container init still running").detail(hint));
            }
        }
        Ok(())
    }

    /// Removes the cgroups and resctrl groups, then the record, then runs the poststop hooks, whose failures are only warned of.
    pub(super) fn destroy(&self, spec: Option<&Spec>) -> Result<()> {
        let remove_groups = || cgroup::remove(&self.record.cgroups, &self.record.kept_cgroups);
        remove_groups()?;
        // Without groups the scope ends by itself; this waits for it, so that its name is free. And it is all there is of one
        // whose groups are gone already, or not yet there: systemd may still have been about to make it.
        if let Some(unit) = self.record.unit.as_ref().filter(|_| self.folder.has_asked_for_scope()) {
            if let Err(error) = systemd::Manager::of(unit.user).stop(unit) {
                log::warn!("{error}");
            }
            remove_groups()?;
        }
        intel_rdt::remove(&self.record.intel_rdt)?;
        // Of a restore that was killed.
        self.record.opened_images.iter().try_for_each(Opened::close)?;
        self.folder.remove()?;
        let Some(spec) = spec else { return Ok(()) };
        let state = &state::for_hooks(&self.record, "stopped", 0);
        let hooks = Hooks { spec, bundle: &self.record.bundle, state, init: None };
        hooks.all(HookKind::Poststop).filter_map(Result::err).for_each(|error| log::warn!("{error}"));
        Ok(())
    }
}
