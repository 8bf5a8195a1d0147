//! Processes that this program has started.
use crate::launch::{ExitStatus, Launched, wait};
use crate::{Error, ErrorKind, Result, sys};
use rustix::io::Errno;
use rustix::termios::{Winsize, tcsetwinsize};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::process::{ChildStderr, ChildStdin, ChildStdout};
use std::sync::{Mutex, PoisonError};

/// A process in a container that this program has started, by [`Store::create`](crate::Store::create),
/// [`Store::restore`](crate::Store::restore) or [`Container::exec`](crate::Container::exec).
///
/// Its descriptor ([`AsFd`]) is a pidfd: readable when the process has ended. One that is dropped is not waited for, as with
/// [`std::process::Child`].
#[derive(Debug)]
pub struct Child {
    pid: i32,
    pidfd: OwnedFd,
    status: Mutex<Option<ExitStatus>>,
    /// Our end of its standard input, if that is [piped](crate::Stdio::piped).
    pub stdin: Option<ChildStdin>,
    /// Our end of its standard output, if that is piped.
    pub stdout: Option<ChildStdout>,
    /// Our end of its standard error, if that is piped.
    pub stderr: Option<ChildStderr>,
    /// Our side of its terminal, if it has one and no socket was named that gets it.
    pub console: Option<Console>,
}

impl Child {
    pub(super) fn new(launched: Launched, [stdin, stdout, stderr]: [Option<OwnedFd>; 3]) -> Child {
        let Launched { pid, pidfd, console } = launched;
        Child {
            pid,
            pidfd,
            status: Mutex::new(None),
            stdin: stdin.map(ChildStdin::from),
            stdout: stdout.map(ChildStdout::from),
            stderr: stderr.map(ChildStderr::from),
            console: console.map(Console),
        }
    }

    /// In the caller's pid namespace.
    pub fn pid(&self) -> i32 {
        self.pid
    }

    /// Waits until it has ended. From then on the same status is told each time.
    ///
    /// # Errors
    /// [`ErrorKind::Unsupported`] before Linux 6.15, if somebody else in this program has waited for it (by `waitpid(-1)`, say), or
    /// SIGCHLD is ignored: then its status is lost.
    pub fn wait(&self) -> Result<ExitStatus> {
        loop {
            if let Some(status) = self.try_wait()? {
                return Ok(status);
            }
            wait::await_end(self.as_fd())?;
        }
    }

    /// How it has ended; `None` if it has not. Does not wait.
    ///
    /// # Errors
    /// As [`Child::wait`].
    pub fn try_wait(&self) -> Result<Option<ExitStatus>> {
        // Who asks second may not ask the kernel: the first has taken it.
        let mut known = self.status.lock().unwrap_or_else(PoisonError::into_inner);
        if known.is_none() {
            *known = wait::try_wait(self.as_fd())?;
        }
        Ok(*known)
    }

    /// Sends it a signal, by its number; 0 sends nothing, and asks whether it could.
    ///
    /// # Errors
    /// [`ErrorKind::NotRunning`] if it has ended; [`ErrorKind::InvalidConfig`] if there is no such signal.
    pub fn signal(&self, signal: i32) -> Result<()> {
        sys::pidfd_send_signal(self.as_fd(), signal).map_err(|errno| match errno {
            Errno::SRCH => Error::new(ErrorKind::NotRunning, "process already finished"),
            Errno::INVAL => Error::new(ErrorKind::InvalidConfig, format!("unknown signal \"{signal}\"")),
            errno => Error::system("kill", format!("pidfd_send_signal({signal})"), errno),
        })
    }

    /// The pidfd alone, for who waits for it without us.
    pub fn into_pidfd(self) -> OwnedFd {
        self.pidfd
    }
}

impl AsFd for Child {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.pidfd.as_fd()
    }
}

/// The master of a container's terminal, of which the process has the other side. To read and write, make it an [`OwnedFd`], or
/// borrow it ([`AsFd`]). When it is closed the process hears SIGHUP.
///
/// Line ends come as the program has written them: the terminal on which this is shown makes `\r\n` of `\n`.
#[derive(Debug)]
pub struct Console(OwnedFd);

impl Console {
    /// Tells the process that its terminal has this size (SIGWINCH).
    ///
    /// # Errors
    /// [`ErrorKind::System`].
    pub fn resize(&self, rows: u16, columns: u16) -> Result<()> {
        let size = Winsize { ws_row: rows, ws_col: columns, ws_xpixel: 0, ws_ypixel: 0 };
        tcsetwinsize(&self.0, size).map_err(|errno| Error::system("resize the console", "ioctl(TIOCSWINSZ)", errno))
    }
}

impl AsFd for Console {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }
}

impl From<Console> for OwnedFd {
    fn from(console: Console) -> OwnedFd {
        console.0
    }
}
