//! What a call said, and what was expected.
use crate::runtime;
use std::fs::{File, OpenOptions};
use std::io::{self, Read, Seek};
use std::os::unix::fs::OpenOptionsExt;
use std::os::unix::process::ExitStatusExt;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

/// Long enough for a busy machine, short enough to notice a hang.
pub const DEADLINE: Duration = Duration::from_secs(30);

#[derive(Debug, Clone)]
pub struct Output {
    pub command: String,
    /// See [`as_a_shell`].
    pub status: i32,
    pub stdout: String,
    pub stderr: String,
}

impl Output {
    /// Exit status 0: what was printed.
    #[track_caller]
    pub fn ok(&self) -> &str {
        self.exits(0).stdout.trim_end()
    }

    #[track_caller]
    pub fn exits(&self, status: i32) -> &Output {
        assert_eq!(self.status, status, "{self:#?}");
        self
    }

    /// Exit status 1 (anything but 0 from crun, which is not strict) and `words` in the error.
    #[track_caller]
    pub fn fails(&self, words: &str) -> &Output {
        assert!(self.status == 1 || self.status != 0 && !runtime().speaks_like_runc(), "{self:#?}");
        self.says(words)
    }

    /// `words` in the error, if the runtime is one that keeps runc's.
    #[track_caller]
    pub fn says(&self, words: &str) -> &Output {
        assert!(!self.stderr.trim().is_empty(), "no error was printed: {self:#?}");
        assert!(!runtime().speaks_like_runc() || self.stderr.contains(words), "expected `{words}`: {self:#?}");
        self
    }
}

/// Runs to the end.
///
/// # Panics
/// If it cannot be started, or does not end within the deadline.
#[track_caller]
pub fn finish(command: &mut Command) -> Output {
    attempt(command).unwrap_or_else(|error| panic!("{error}: {command:?}"))
}

/// Output goes through files: a pipe would stay open as long as a detached container lives.
///
/// # Errors
/// If it cannot be started, or does not end within the deadline.
fn attempt(command: &mut Command) -> io::Result<Output> {
    let (mut stdout, mut stderr) = (scratch()?, scratch()?);
    command.stdout(stdout.try_clone()?).stderr(stderr.try_clone()?);
    let mut spawned = command.spawn();
    // A copy of the runtime that was just written: another test's fork may still hold it open.
    while spawned.as_ref().is_err_and(|error| error.kind() == io::ErrorKind::ExecutableFileBusy) {
        std::thread::sleep(Duration::from_millis(1));
        spawned = command.spawn();
    }
    let child = spawned?;
    let status = end(child)?;
    Ok(Output {
        command: format!("{command:?}"),
        status,
        stdout: contents(&mut stdout)?,
        stderr: contents(&mut stderr)?,
    })
}

/// Starts it; what it prints goes nowhere.
///
/// # Panics
/// If it cannot be started.
#[track_caller]
pub fn spawn_silent(command: &mut Command) -> Child {
    command.stdout(Stdio::null()).stderr(Stdio::null()).spawn().expect("it starts")
}

/// A process that is killed when this goes out of scope.
#[derive(Debug)]
pub struct KilledOnDrop(pub Child);

impl Drop for KilledOnDrop {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// # Panics
/// If it does not end within the deadline.
#[track_caller]
pub fn wait(child: Child, said: &str) -> i32 {
    end(child).unwrap_or_else(|error| panic!("{said}: {error}"))
}

fn end(mut child: Child) -> io::Result<i32> {
    let started = Instant::now();
    while started.elapsed() < DEADLINE {
        if let Some(status) = child.try_wait()? {
            return Ok(as_a_shell(status));
        }
        std::thread::sleep(Duration::from_millis(1));
    }
    child.kill()?;
    child.wait()?;
    Err(io::Error::other("still running at the deadline"))
}

/// As a shell would say it: the exit status, or 128 + signal.
#[must_use]
pub fn as_a_shell(status: ExitStatus) -> i32 {
    status.code().unwrap_or_else(|| 128 + status.signal().unwrap_or_default())
}

/// Asks until there is an answer, within the deadline.
///
/// # Panics
/// If there is none.
#[track_caller]
pub fn wait_until<T>(what: &str, mut answer: impl FnMut() -> Option<T>) -> T {
    let started = Instant::now();
    while started.elapsed() < DEADLINE {
        if let Some(answer) = answer() {
            return answer;
        }
        std::thread::sleep(Duration::from_millis(5));
    }
    panic!("not within {DEADLINE:?}: {what}");
}

/// How often a race is run: as `ATTEMPTS` says, or `most` times, or 40 where `EMULATED` says that each takes ten times as long
/// (`test-vm`).
#[must_use]
pub fn attempts(most: usize) -> usize {
    if let Some(asked) = std::env::var("ATTEMPTS").ok().and_then(|number| number.parse().ok()) {
        return asked;
    }
    if std::env::var_os("EMULATED").is_some() { most.min(40) } else { most }
}

/// A file without a name.
fn scratch() -> io::Result<File> {
    OpenOptions::new().read(true).write(true).custom_flags(libc::O_TMPFILE).open(std::env::temp_dir())
}

fn contents(file: &mut File) -> io::Result<String> {
    let mut bytes = Vec::new();
    file.rewind()?;
    file.read_to_end(&mut bytes)?;
    Ok(String::from_utf8_lossy(&bytes).into_owned())
}
