//! `kill`: a signal to init, or to every process of the container.
use super::{Container, not_running};
use crate::store::Life;
use crate::{Error, ErrorKind, Result, cgroup, sys};
use rustix::fd::AsFd;
use rustix::io::Errno;

impl Container {
    /// Sends `signal` to init; to every process of the container if `all`. SIGKILL reaches them all where init is not pid 1 of
    /// a namespace of its own, whether init is alive or not, and ends a paused container too.
    pub fn kill(&self, signal: i32, all: bool) -> Result<()> {
        let everybody = all || signal == libc::SIGKILL && !self.record.private_pid_namespace;
        if everybody && !self.record.cgroups.is_empty() {
            let hit = cgroup::kill_all(&self.record.cgroups, signal)?;
            return if hit || all { Ok(()) } else { Err(not_running()) };
        }
        let Life::Alive(pidfd) = self.record.life()? else {
            // What `kill --all` asked for is so already.
            return if all { Ok(()) } else { Err(not_running()) };
        };
        match sys::pidfd_send_signal(pidfd.as_fd(), signal) {
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
