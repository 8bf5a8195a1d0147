//! Hooks that run inside: createContainer and startContainer. The one place where init starts a process that stays its child.
use crate::fault::{At, Fault, Result};
use crate::{Init, sys};
use core::ffi::CStr;
use core::fmt::Write;
use rustix::event::{PollFd, PollFlags, Timespec};
use rustix::fd::{AsFd, OwnedFd};
use rustix::io::Errno;
use rustix::pipe::PipeFlags;
use rustix::process::{WaitId, WaitIdOptions};
use step::{Call, Slot};

const SIGKILL: usize = 9;

/// A program to run.
#[derive(Debug)]
pub(super) struct Hook<'a> {
    pub(super) path: &'a CStr,
    pub(super) argv: &'a [u8],
    pub(super) env: &'a [u8],
    pub(super) timeout: u32,
}

pub(super) fn run(init: &mut Init, hook: &Hook<'_>, state: Slot) -> Result {
    // Every hook reads the state from its beginning.
    let state = init.slots.get(state)?;
    rustix::fs::seek(state, rustix::fs::SeekFrom::Start(0)).at(Call::Read)?;
    // Carries the errno of a failed execve; closed by a successful one.
    let (heard, said) = rustix::pipe::pipe_with(PipeFlags::CLOEXEC).at(Call::Read)?;
    let Some(pidfd) = sys::fork_with_pidfd().at(Call::Fork)? else {
        let errno = execute(init, hook, state);
        let _ = rustix::io::write(&said, &errno.raw_os_error().to_ne_bytes());
        sys::exit(127)
    };
    drop(said);
    let outcome = wait(&pidfd, &heard, hook.timeout);
    match outcome {
        Ok(0) => Ok(()),
        Ok(status) => {
            let _ = write!(init.detail, "exit status {status}");
            Err(Fault::new(Call::Wait, Errno::CHILD))
        }
        Err(fault) => {
            if fault.errno == Errno::TIMEDOUT {
                let _ = write!(init.detail, "hook ran past specified timeout of {}.0s", hook.timeout);
            }
            Err(fault)
        }
    }
}

/// In the child: stdin is the state, nothing else of init's stays open.
fn execute(init: &Init, hook: &Hook<'_>, state: rustix::fd::BorrowedFd<'_>) -> Errno {
    rustix::process::umask(init.umask);
    // A session of its own, so that a timeout ends all of it.
    let _ = rustix::process::setsid();
    match rustix::stdio::dup2_stdin(state) {
        Err(errno) => errno,
        Ok(()) => sys::execve(hook.path, hook.argv, [hook.env, b""]),
    }
}

fn wait(pidfd: &OwnedFd, heard: &OwnedFd, timeout: u32) -> Result<i32> {
    let mut errno = [0; 4];
    if rustix::io::read(heard, &mut errno).at(Call::Read)? == 4 {
        reap(pidfd)?;
        return Err(Fault::new(Call::Execve, Errno::from_raw_os_error(i32::from_ne_bytes(errno))));
    }
    let limit = Timespec { tv_sec: i64::from(timeout), tv_nsec: 0 };
    loop {
        let mut ended = [PollFd::new(pidfd, PollFlags::IN)];
        match rustix::event::poll(&mut ended, (timeout > 0).then_some(&limit)) {
            Err(Errno::INTR) => {}
            Ok(0) => {
                let _ = sys::pidfd_send_signal(pidfd.as_fd(), SIGKILL);
                reap(pidfd)?;
                return Err(Fault::new(Call::Poll, Errno::TIMEDOUT));
            }
            polled => {
                polled.at(Call::Poll)?;
                return reap(pidfd);
            }
        }
    }
}

fn reap(pidfd: &OwnedFd) -> Result<i32> {
    loop {
        match rustix::process::waitid(WaitId::PidFd(pidfd.as_fd()), WaitIdOptions::EXITED) {
            Err(Errno::INTR) => {}
            waited => {
                let status = waited.at(Call::Wait)?;
                let signal = || status.and_then(|status| status.terminating_signal()).map(|signal| 128 + signal);
                return Ok(status.and_then(|status| status.exit_status()).or_else(signal).unwrap_or(-1));
            }
        }
    }
}
