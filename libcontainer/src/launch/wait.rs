//! How a process has ended: asked of the kernel by who holds a pidfd of it, whoever else may have waited for it.
use crate::{Error, ErrorKind, Result, sys};
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::fd::BorrowedFd;
use rustix::io::Errno;
use rustix::process::{WaitId, WaitIdOptions, WaitIdStatus, waitid};
use std::fmt;
use std::time::Duration;

/// How a process has ended: by itself, with a code, or by a signal.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct ExitStatus(i32);

impl ExitStatus {
    /// What it has given to exit(3), 0 to 255; `None` if a signal has ended it.
    pub fn code(self) -> Option<i32> {
        self.signal().is_none().then_some(self.0 >> 8 & 0xff)
    }

    /// The signal that has ended it.
    pub fn signal(self) -> Option<i32> {
        Some(self.0 & 0x7f).filter(|signal| *signal != 0)
    }

    /// The signal has left a core dump.
    pub fn core_dumped(self) -> bool {
        self.0 & 0x80 != 0
    }

    /// It has ended by itself, with code 0.
    pub fn success(self) -> bool {
        self.0 == 0
    }

    /// What shells and engines write: the code, or 128 + the signal.
    pub fn status(self) -> u8 {
        let status = self.signal().map_or(self.0 >> 8, |signal| 128 + signal);
        // Signals end with 64.
        u8::try_from(status & 0xff).unwrap_or(u8::MAX)
    }
}

impl From<WaitIdStatus> for ExitStatus {
    fn from(status: WaitIdStatus) -> ExitStatus {
        let signal = || status.terminating_signal().unwrap_or(0) | if status.dumped() { 0x80 } else { 0 };
        ExitStatus(status.exit_status().map_or_else(signal, |code| (code & 0xff) << 8))
    }
}

impl From<ExitStatus> for std::process::ExitStatus {
    fn from(status: ExitStatus) -> std::process::ExitStatus {
        std::os::unix::process::ExitStatusExt::from_raw(status.0)
    }
}

impl fmt::Display for ExitStatus {
    /// `exit status 3`, `signal 9`, `signal 11 (core dumped)`
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let dumped = if self.core_dumped() { " (core dumped)" } else { "" };
        match self.signal() {
            Some(signal) => write!(f, "signal {signal}{dumped}"),
            None => write!(f, "exit status {}", self.status()),
        }
    }
}

/// Long enough for the kernel to take a process away that nobody waits for.
const AWAY: Duration = Duration::from_secs(1);

/// Waits for a child, and forgets how it has ended.
pub(crate) fn reap(pidfd: BorrowedFd<'_>) {
    while let Err(Errno::INTR) = waitid(WaitId::PidFd(pidfd), WaitIdOptions::EXITED) {}
}

/// The status of a child that has ended, which is then gone; `None` if it has not.
pub(crate) fn try_wait(pidfd: BorrowedFd<'_>) -> Result<Option<ExitStatus>> {
    match ask(pidfd, WaitIdOptions::NOHANG)? {
        Asked::Told(status) => Ok(Some(status)),
        Asked::NotYet => Ok(None),
        Asked::NotOurs if is_ready(pidfd, PollFlags::IN, Some(Duration::ZERO))? => known(pidfd).map(Some),
        Asked::NotOurs => Ok(None),
    }
}

/// Waits until a process has ended, ours or not; whoever waits for it finds it still.
pub(crate) fn until_ended(pidfd: BorrowedFd<'_>) -> Result<ExitStatus> {
    // Of a child what it had open is closed before it can be waited for.
    match ask(pidfd, WaitIdOptions::NOWAIT)? {
        Asked::Told(status) => Ok(status),
        Asked::NotYet | Asked::NotOurs => {
            is_ready(pidfd, PollFlags::IN, None)?;
            known(pidfd)
        }
    }
}

/// The same, for who asks for the status next.
pub(crate) fn await_end(pidfd: BorrowedFd<'_>) -> Result<()> {
    match ask(pidfd, WaitIdOptions::NOWAIT)? {
        Asked::Told(_) => Ok(()),
        Asked::NotYet | Asked::NotOurs => is_ready(pidfd, PollFlags::IN, None).map(drop),
    }
}

enum Asked {
    Told(ExitStatus),
    NotYet,
    /// No child of ours, or one that somebody has waited for.
    NotOurs,
}

fn ask(pidfd: BorrowedFd<'_>, how: WaitIdOptions) -> Result<Asked> {
    loop {
        return match waitid(WaitId::PidFd(pidfd), WaitIdOptions::EXITED | how) {
            Err(Errno::INTR) => continue,
            Err(Errno::CHILD) => Ok(Asked::NotOurs),
            Err(errno) => Err(Error::system("wait for the process", "waitid", errno)),
            Ok(status) => Ok(status.map_or(Asked::NotYet, |status| Asked::Told(status.into()))),
        };
    }
}

/// How one has ended that is gone, or about to be.
fn known(pidfd: BorrowedFd<'_>) -> Result<ExitStatus> {
    is_ready(pidfd, PollFlags::HUP, Some(AWAY))?;
    sys::exit_code(pidfd).map(ExitStatus).ok_or_else(|| {
        let message = "the status of the process is lost: somebody else has waited for it, or SIGCHLD is ignored";
        Error::new(ErrorKind::Unsupported, message).detail("hint: Linux 6.15 or later tells it all the same")
    })
}

/// Waits for one of these events of a pidfd; `false` if there was none in time.
fn is_ready(pidfd: BorrowedFd<'_>, events: PollFlags, most: Option<Duration>) -> Result<bool> {
    let limit = most.and_then(|most| Timespec::try_from(most).ok());
    loop {
        let mut asked = [PollFd::from_borrowed_fd(pidfd, events & !PollFlags::HUP)];
        match poll(&mut asked, limit.as_ref()) {
            Err(Errno::INTR) => {}
            polled => {
                return polled
                    .map(|ready| ready > 0)
                    .map_err(|errno| Error::system("wait for the process", "poll", errno));
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::ExitStatus;

    #[test]
    fn a_signal_is_no_code() {
        let table = [
            (0, Some(0), None, 0, "exit status 0"),
            (255 << 8, Some(255), None, 255, "exit status 255"),
            (137 << 8, Some(137), None, 137, "exit status 137"),
            (9, None, Some(9), 137, "signal 9"),
            (64, None, Some(64), 192, "signal 64"),
            (0x80 | 11, None, Some(11), 139, "signal 11 (core dumped)"),
        ];
        for (raw, code, signal, status, words) in table {
            let ended = ExitStatus(raw);
            assert_eq!((ended.code(), ended.signal(), ended.status()), (code, signal, status));
            assert_eq!(ended.to_string(), words);
            assert_eq!(std::os::unix::process::ExitStatusExt::into_raw(std::process::ExitStatus::from(ended)), raw);
        }
    }
}
