//! `kill`: a signal to init, or to every process of the container.
use super::{Container, not_running};
use crate::store::Life;
use crate::{Error, ErrorKind, Result, cgroup, sys};
use rustix::fd::{AsFd, BorrowedFd};
use rustix::io::Errno;

impl Container {
    /// Sends `signal` (its number; 0 sends nothing, and asks whether it could) to init. SIGKILL reaches every process of the
    /// container, also where init is not pid 1 of a namespace of its own, and ends a paused container too.
    ///
    /// # Errors
    /// [`ErrorKind::NotRunning`] if it has ended; [`ErrorKind::InvalidConfig`] if there is no such signal.
    pub fn kill(&self, signal: i32) -> Result<()> {
        if signal == libc::SIGKILL && !self.record.private_pid_namespace && !self.record.cgroups.is_empty() {
            let hit = cgroup::kill_all(&self.record.cgroups, signal)?;
            return if hit { Ok(()) } else { Err(not_running()) };
        }
        match self.record.life()? {
            Life::Alive(pidfd) => self.signal_init(pidfd.as_fd(), signal),
            Life::Ended => Err(not_running()),
        }
    }

    /// Sends `signal` to every process of the container, whether its init is alive or not. It is no error if there is none.
    ///
    /// # Errors
    /// [`ErrorKind::System`] if a process could not be signalled; all others were.
    pub fn kill_all(&self, signal: i32) -> Result<()> {
        if !self.record.cgroups.is_empty() {
            return cgroup::kill_all(&self.record.cgroups, signal).map(drop);
        }
        match self.record.life()? {
            Life::Alive(pidfd) => match self.signal_init(pidfd.as_fd(), signal) {
                Err(ended) if ended.kind() == ErrorKind::NotRunning => Ok(()),
                signalled => signalled,
            },
            Life::Ended => Ok(()),
        }
    }

    fn signal_init(&self, pidfd: BorrowedFd<'_>, signal: i32) -> Result<()> {
        match sys::pidfd_send_signal(pidfd, signal) {
            Ok(()) => {}
            Err(Errno::SRCH) => return Err(not_running()),
            Err(Errno::INVAL) => {
                return Err(Error::new(ErrorKind::InvalidConfig, format!("unknown signal \"{signal}\"")));
            }
            Err(errno) => return Err(Error::system("kill", format!("pidfd_send_signal({signal})"), errno)),
        }
        if signal == libc::SIGKILL {
            // On cgroup v1 even SIGKILL waits for the thaw; also in groups that the container has frozen itself, below its own.
            cgroup::thaw_everything(&self.record.cgroups)?;
            if cgroup::is_frozen(&self.record.cgroups)? {
                cgroup::thaw(&self.record.cgroups)?;
            }
        }
        Ok(())
    }
}
