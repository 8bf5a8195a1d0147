//! Hooks that run in the runtime's namespaces: prestart, createRuntime, poststart, poststop.
use crate::plan::line::HookKind;
use crate::{Error, ErrorKind, Result};
use oci_spec::runtime::{Hook, Hooks};
use rustix::event::{PollFd, PollFlags, Timespec};
use rustix::fd::BorrowedFd;
use std::io::{Read, Write};
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

/// The hooks of one kind, in their order.
pub(crate) fn of_kind(hooks: &Hooks, kind: HookKind) -> &[Hook] {
    #[allow(deprecated)]
    let list = match kind {
        HookKind::Prestart => hooks.prestart(),
        HookKind::CreateRuntime => hooks.create_runtime(),
        HookKind::CreateContainer => hooks.create_container(),
        HookKind::StartContainer => hooks.start_container(),
        HookKind::Poststart => hooks.poststart(),
        HookKind::Poststop => hooks.poststop(),
    };
    list.as_deref().unwrap_or_default()
}

/// The key in config.json.
pub(crate) fn key(kind: HookKind) -> &'static str {
    match kind {
        HookKind::Prestart => "prestart",
        HookKind::CreateRuntime => "createRuntime",
        HookKind::CreateContainer => "createContainer",
        HookKind::StartContainer => "startContainer",
        HookKind::Poststart => "poststart",
        HookKind::Poststop => "poststop",
    }
}

/// Runs one hook in the bundle's directory, the state on its standard input. Its environment is what config.json
/// gives it and nothing of the container's or the caller's. It is stopped if `init` ends meanwhile: whoever deletes a container
/// that is still being made should not have to wait for its hooks.
pub(crate) fn run(
    hook: &Hook,
    kind: HookKind,
    index: usize,
    bundle: &Path,
    state: &[u8],
    init: Option<BorrowedFd<'_>>,
) -> Result<()> {
    let fail = |what: String| {
        let message = format!("error running {} hook #{index}: {what}", key(kind));
        Error::new(ErrorKind::Hook, message).at(format!("/hooks/{}/{index}", key(kind)))
    };
    let mut command = Command::new(hook.path());
    if let Some([name, rest @ ..]) = hook.args().as_deref() {
        command.arg0(name).args(rest);
    }
    command.env_clear().envs(hook.env().iter().flatten().filter_map(|entry| entry.split_once('=')));
    command.current_dir(bundle).process_group(0);
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().map_err(|error| {
        let errno = rustix::io::Errno::from_io_error(&error);
        fail(format!("{}: {}", hook.path().display(), errno.map_or(error.to_string(), crate::error::describe)))
    })?;
    if let Some(mut stdin) = child.stdin.take() {
        // A hook need not read it; a short state fits the pipe, so that nothing here can block.
        let _ = stdin.write_all(state);
    }
    let seconds = hook.timeout().and_then(|seconds| u64::try_from(seconds).ok());
    let deadline = seconds.map(|seconds| Instant::now() + Duration::from_secs(seconds));
    let said = match collect(&mut child, deadline, init) {
        Ok(said) => said,
        Err(why) => {
            // The whole group: a shell's children would hold the pipes open.
            if let Some(group) = i32::try_from(child.id()).ok().and_then(rustix::process::Pid::from_raw) {
                let _ = rustix::process::kill_process_group(group, rustix::process::Signal::KILL);
            }
            let _ = child.wait();
            return Err(fail(match why {
                Stopped::TooLong => format!("hook ran past specified timeout of {}.0s", seconds.unwrap_or_default()),
                Stopped::InitEnded => "the container's init ended".to_owned(),
            }));
        }
    };
    let status = child.wait().map_err(|error| fail(error.to_string()))?;
    if status.success() {
        return Ok(());
    }
    let how = match (status.code(), status.signal()) {
        (Some(code), _) => format!("exit status {code}"),
        (None, signal) => format!("signal {}", signal.unwrap_or_default()),
    };
    let [stdout, stderr] = said.map(|bytes| String::from_utf8_lossy(&bytes).trim_end().to_owned());
    Err(fail(format!("{how}, stdout: {stdout}, stderr: {stderr}")))
}

/// What a hook may say before the rest is dropped.
const LONGEST: usize = 64 * 1024;

/// Why a hook was not waited for.
enum Stopped {
    TooLong,
    InitEnded,
}

/// Reads both streams until they are closed.
fn collect(
    child: &mut std::process::Child,
    deadline: Option<Instant>,
    init: Option<BorrowedFd<'_>>,
) -> std::result::Result<[Vec<u8>; 2], Stopped> {
    let (Some(mut stdout), Some(mut stderr)) = (child.stdout.take(), child.stderr.take()) else {
        return Ok([Vec::new(), Vec::new()]);
    };
    let mut said = [Vec::new(), Vec::new()];
    let mut open = [true, true];
    while open != [false, false] {
        let left = match deadline {
            None => None,
            Some(deadline) => Some(deadline.checked_duration_since(Instant::now()).ok_or(Stopped::TooLong)?),
        };
        let limit = left.and_then(|left| Timespec::try_from(left).ok());
        // A closed stream is not asked again: POLLHUP would be said for ever.
        let ask = |open: bool| if open { PollFlags::IN } else { PollFlags::empty() };
        let mut streams = vec![PollFd::new(&stdout, ask(open[0])), PollFd::new(&stderr, ask(open[1]))];
        streams.extend(init.iter().map(|init| PollFd::new(init, PollFlags::IN)));
        match rustix::event::poll(&mut streams, limit.as_ref()) {
            Ok(0) => return Err(Stopped::TooLong),
            Err(rustix::io::Errno::INTR) => continue,
            Err(_) => return Ok(said),
            Ok(_) => {}
        }
        if streams.get(2).is_some_and(|init| !init.revents().is_empty()) {
            return Err(Stopped::InitEnded);
        }
        let ready = [0, 1].map(|at| open[at] && !streams[at].revents().is_empty());
        let mut buffer = [0; 4096];
        for at in [0, 1] {
            if ready[at] {
                let read = if at == 0 { stdout.read(&mut buffer) } else { stderr.read(&mut buffer) };
                match read {
                    Ok(n @ 1..) => {
                        let room = LONGEST.saturating_sub(said[at].len());
                        said[at].extend_from_slice(&buffer[..n.min(room)]);
                    }
                    _ => open[at] = false,
                }
            }
        }
    }
    Ok(said)
}
