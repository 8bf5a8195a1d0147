//! Hooks that run inside: createContainer and startContainer. The one place where init starts a process that stays its child.
use crate::fault::{At, Detail, Fault, Result};
use crate::room::Room;
use crate::{Init, sys};
use core::ffi::CStr;
use rustix::event::{PollFd, PollFlags, Timespec};
use rustix::fd::{AsFd, BorrowedFd, OwnedFd};
use rustix::fs::Mode;
use rustix::io::Errno;
use rustix::pipe::PipeFlags;
use rustix::process::{Signal, WaitId, WaitIdOptions};
use step::{Call, SIGNALS, Slot};

const SIGKILL: usize = 9;
/// What a pipe holds.
const PIPE: usize = 64 * 1024;

/// A program to run.
#[derive(Debug)]
pub(super) struct Hook<'a> {
    pub(super) path: &'a CStr,
    pub(super) argv: &'a [u8],
    pub(super) env: &'a [u8],
    pub(super) process_env: bool,
    pub(super) timeout: u32,
}

#[inline(never)]
pub(super) fn run(init: &mut Init, hook: &Hook<'_>, state: Slot) -> Result {
    // Every hook reads the state from its beginning.
    let state = init.slots.get(state)?;
    rustix::fs::seek(state, rustix::fs::SeekFrom::Start(0)).at(Call::Read)?;
    let home = if hook.process_env { init.home } else { &[] };
    // Carries the errno of a failed execve; closed by a successful one.
    let (heard, said) = rustix::pipe::pipe_with(PipeFlags::CLOEXEC).at(Call::Read)?;
    // What it says is for the error, if there is one: the container's streams are the program's.
    let (output, stream) = rustix::pipe::pipe_with(PipeFlags::CLOEXEC).at(Call::Read)?;
    let Some((pid, pidfd)) = sys::fork_with_pidfd().at(Call::Fork)? else {
        let errno = execute(init.umask, hook, home, state, &stream);
        let _ = rustix::io::write(&said, &errno.raw_os_error().to_ne_bytes());
        sys::exit(127)
    };
    drop((said, stream));
    let mut errno = [0; 4];
    if rustix::io::read(&heard, &mut errno).at(Call::Read)? == 4 {
        reap(&pidfd)?;
        return Err(Fault::new(Call::Execve, Errno::from_raw_os_error(i32::from_ne_bytes(errno))));
    }
    let mut words = Detail::default();
    if !has_ended(&pidfd, &output, hook.timeout, &mut words)? {
        // All of its session, then whoever has left that.
        let _ = rustix::process::kill_process_group(pid, Signal::KILL);
        let _ = sys::pidfd_send_signal(pidfd.as_fd(), SIGKILL);
        reap(&pidfd)?;
        init.detail.say(b"hook ran past specified timeout of ").say_number(hook.timeout.into()).say(b".0s");
        return Err(Fault::new(Call::Poll, Errno::TIMEDOUT));
    }
    let ended = reap(&pidfd)?;
    let said = match ended {
        Ended::Exit(0) => return Ok(()),
        Ended::Exit(status) => init.detail.say(b"exit status ").say_number(status.into()),
        Ended::Signal(signal) => match SIGNALS.iter().find(|(number, _)| *number == signal) {
            Some((_, name)) => init.detail.say(b"signal: ").say(name.as_bytes()),
            None => init.detail.say(b"signal ").say_number(signal.into()),
        },
    };
    said.say(b", output: ");
    let room = init.detail.room();
    init.detail.say(words.ending(room));
    Err(Fault::new(Call::Wait, Errno::CHILD))
}

/// How a hook ended.
enum Ended {
    Exit(i32),
    Signal(i32),
}

/// In the child: stdin is the state, nothing else of init's stays open.
fn execute(umask: Mode, hook: &Hook<'_>, home: &[u8], state: BorrowedFd<'_>, stream: &OwnedFd) -> Errno {
    rustix::process::umask(umask);
    // A session of its own, so that a timeout ends all of it.
    let streams = rustix::process::setsid()
        .and_then(|_| rustix::stdio::dup2_stdin(state))
        .and_then(|()| rustix::stdio::dup2_stdout(stream))
        .and_then(|()| rustix::stdio::dup2_stderr(stream));
    match streams {
        Err(errno) => errno,
        Ok(()) => match Room::default().words(sys::pointers(hook.argv, [hook.env, home])) {
            Ok(pointers) => sys::execve(None, hook.path, hook.argv, [hook.env, home], pointers),
            Err(errno) => errno,
        },
    }
}

/// Waits for the end of the hook itself: what it leaves running may keep the streams. False if it takes too long.
fn has_ended(pidfd: &OwnedFd, output: &OwnedFd, timeout: u32, words: &mut Detail) -> Result<bool> {
    let deadline = sys::milliseconds() + 1000 * u64::from(timeout);
    let mut output = Some(output);
    let mut unread = PIPE / 4096;
    loop {
        let left = i64::try_from(deadline.saturating_sub(sys::milliseconds())).unwrap_or(0);
        let limit = Timespec { tv_sec: left / 1000, tv_nsec: left % 1000 * 1_000_000 };
        let nothing = PollFd::new(pidfd, PollFlags::empty());
        let mut events =
            [PollFd::new(pidfd, PollFlags::IN), output.map_or(nothing, |fd| PollFd::new(fd, PollFlags::IN))];
        match rustix::event::poll(&mut events, (timeout > 0).then_some(&limit)) {
            Err(Errno::INTR) => continue,
            polled => {
                if polled.at(Call::Poll)? == 0 {
                    return Ok(false);
                }
            }
        }
        let [ended, said] = events.map(|event| !event.revents().is_empty());
        if let Some(stream) = output.filter(|_| said) {
            let mut buffer = [0; 4096];
            match rustix::io::read(stream, &mut buffer[..]).at(Call::Read)? {
                0 => output = None,
                n => words.say_last(&buffer[..n]),
            }
        }
        if ended {
            // What is left in the pipe is its end, but for somebody who goes on writing.
            unread = unread.saturating_sub(1);
            if !said || output.is_none() || unread == 0 {
                return Ok(true);
            }
        }
    }
}

fn reap(pidfd: &OwnedFd) -> Result<Ended> {
    loop {
        match rustix::process::waitid(WaitId::PidFd(pidfd.as_fd()), WaitIdOptions::EXITED) {
            Err(Errno::INTR) => {}
            waited => {
                let status = waited.at(Call::Wait)?;
                let signal = status.as_ref().and_then(|status| status.terminating_signal()).map(Ended::Signal);
                let exit = || Ended::Exit(status.and_then(|status| status.exit_status()).unwrap_or(-1));
                return Ok(signal.unwrap_or_else(exit));
            }
        }
    }
}
