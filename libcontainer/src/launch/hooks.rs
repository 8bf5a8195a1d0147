//! Hooks that run in the runtime's namespaces: prestart, createRuntime, poststart, poststop.
use super::descriptors;
use crate::plan::hooks_of;
use crate::plan::line::HookKind;
use crate::{Error, ErrorKind, Result};
use oci_spec::runtime::{Hook, Spec};
use rustix::event::{PollFd, PollFlags, Timespec};
use rustix::fd::BorrowedFd;
use rustix::fs::SeekFrom;
use rustix::process::{Pid, PidfdFlags, Signal};
use std::io::Read;
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

/// The hooks of a configuration, and what they run with.
#[derive(Debug)]
pub(crate) struct Hooks<'a> {
    pub(crate) spec: &'a Spec,
    pub(crate) bundle: &'a Path,
    /// The container's, for their standard input.
    pub(crate) state: &'a [u8],
    /// They are stopped if it ends meanwhile: whoever deletes a container that is still being made should not have to wait for
    /// its hooks.
    pub(crate) init: Option<BorrowedFd<'a>>,
}

impl Hooks<'_> {
    /// Runs one after the other, as it is asked what has become of it.
    pub(crate) fn all(&self, kind: HookKind) -> impl Iterator<Item = Result<()>> {
        (0..hooks_of(self.spec, kind).len()).map(move |index| self.run(kind, index))
    }

    /// Runs one that is there.
    pub(crate) fn run(&self, kind: HookKind, index: usize) -> Result<()> {
        run(&hooks_of(self.spec, kind)[index], kind, index, self)
    }
}

/// Runs one hook in the bundle's directory (or in `/`, if that is gone), the state on its standard input. Its environment is what config.json gives it, be that
/// nothing at all; where `env` is missing, it is that of who has called `create`, `start` or `delete`, as with runc and crun.
fn run(hook: &Hook, kind: HookKind, index: usize, with: &Hooks<'_>) -> Result<()> {
    let fail = |what: String| {
        let message = format!("error running {} hook #{index}: {what}", kind.key());
        Error::new(ErrorKind::Hook, message).at(format!("/hooks/{}/{index}", kind.key()))
    };
    let mut command = Command::new(hook.path());
    if let Some([name, rest @ ..]) = hook.args().as_deref() {
        command.arg0(name).args(rest);
    }
    if let Some(env) = hook.env() {
        command.env_clear().envs(env.iter().filter_map(|entry| entry.split_once('=')));
    }
    // Who deletes a container may have removed its bundle before; what the hook has to clean up is there all the same.
    // may fail: then it is run in `/`, as was just said.
    command.current_dir(if with.bundle.is_dir() { with.bundle } else { Path::new("/") }).process_group(0);
    // A file, not a pipe: however long the state is, nobody has to wait for a hook that does not read it.
    let state = descriptors::in_memory(with.state).map_err(|error| fail(error.to_string()))?;
    rustix::fs::seek(&state, SeekFrom::Start(0)).map_err(|errno| fail(crate::describe_errno(errno.raw_os_error())))?;
    command.stdin(state).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child =
        command.spawn().map_err(|error| fail(format!("{}: {}", hook.path().display(), crate::describe_io(&error))))?;
    let seconds = hook.timeout().and_then(|seconds| u64::try_from(seconds).ok());
    let deadline = seconds.map(|seconds| Instant::now() + Duration::from_secs(seconds));
    let said = match collect(&mut child, deadline, with.init) {
        Ok(said) => said,
        Err(why) => {
            // The whole group: a shell's children would hold the pipes open.
            // may fail: it has ended.
            let _ = rustix::process::kill_process_group(Pid::from_child(&child), Signal::KILL);
            // may fail: nobody else waits for it.
            let _ = child.wait();
            return Err(fail(match why {
                Stopped::TooLong => format!("hook ran past specified timeout of {}.0s", seconds.unwrap_or_default()),
                Stopped::InitEnded => "the container's init ended".to_owned(),
                Stopped::Lost => "cannot be waited for".to_owned(),
            }));
        }
    };
    let status = child.wait().map_err(|error| fail(crate::describe_io(&error)))?;
    if status.success() {
        return Ok(());
    }
    let how = match (status.code(), status.signal()) {
        (Some(code), _) => format!("exit status {code}"),
        (None, signal) => match step::SIGNALS.iter().find(|(number, _)| Some(*number) == signal) {
            Some((_, name)) => format!("signal: {name}"),
            None => format!("signal {}", signal.unwrap_or_default()),
        },
    };
    let [stdout, stderr] = said.map(|bytes| String::from_utf8_lossy(&bytes).trim_end().to_owned());
    Err(fail(format!("{how}, stdout: {stdout}, stderr: {stderr}")))
}

/// As much as a pipe holds: how much of what a hook has said last is kept.
const LONGEST: usize = 64 * 1024;

/// Why a hook was not waited for.
enum Stopped {
    TooLong,
    InitEnded,
    /// No descriptor left to hold it by.
    Lost,
}

/// Reads both streams until the hook has ended (what it leaves running may keep them).
fn collect(
    child: &mut Child,
    deadline: Option<Instant>,
    init: Option<BorrowedFd<'_>>,
) -> std::result::Result<[Vec<u8>; 2], Stopped> {
    let ended = rustix::process::pidfd_open(Pid::from_child(child), PidfdFlags::empty()).map_err(|_| Stopped::Lost)?;
    let (Some(stdout), Some(stderr)) = (child.stdout.take(), child.stderr.take()) else { return Err(Stopped::Lost) };
    let mut streams = (stdout, stderr);
    let mut said = [Vec::new(), Vec::new()];
    let mut open = [true, true];
    let mut buffer = vec![0; LONGEST];
    loop {
        let left = match deadline {
            None => None,
            Some(deadline) => Some(deadline.checked_duration_since(Instant::now()).ok_or(Stopped::TooLong)?),
        };
        let limit = left.and_then(|left| Timespec::try_from(left).ok());
        // A closed stream is not asked again: POLLHUP would be said for ever.
        let ask = |open: bool| if open { PollFlags::IN } else { PollFlags::empty() };
        let mut events = [
            PollFd::new(&streams.0, ask(open[0])),
            PollFd::new(&streams.1, ask(open[1])),
            PollFd::new(&ended, PollFlags::IN),
            // Nothing is asked of the second one: without an init its place is taken by the hook.
            init.map_or(PollFd::new(&ended, PollFlags::empty()), |init| PollFd::from_borrowed_fd(init, PollFlags::IN)),
        ];
        match rustix::event::poll(&mut events, limit.as_ref()) {
            Ok(0) => return Err(Stopped::TooLong),
            Err(rustix::io::Errno::INTR) => continue,
            polled => _ = polled.map_err(|_| Stopped::Lost)?,
        }
        let [out, err, ended, init_ended] = events.map(|event| !event.revents().is_empty());
        for (at, ready) in [out, err].into_iter().enumerate() {
            if ready && open[at] {
                let read = if at == 0 { streams.0.read(&mut buffer) } else { streams.1.read(&mut buffer) };
                let n = read.unwrap_or(0);
                let over = (said[at].len() + n).saturating_sub(LONGEST);
                said[at].drain(..over);
                said[at].extend_from_slice(&buffer[..n]);
                open[at] = n > 0;
            }
        }
        if ended {
            return Ok(said);
        }
        if init_ended {
            return Err(Stopped::InitEnded);
        }
    }
}
