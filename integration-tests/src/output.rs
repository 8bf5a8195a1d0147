//! What a call said, and what was expected.
use crate::runtime;
use std::fs::File;
use std::io::{Read, Seek};
use std::os::unix::process::ExitStatusExt;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

/// Long enough for a busy machine, short enough to notice a hang.
pub const DEADLINE: Duration = Duration::from_secs(30);

#[derive(Debug, Clone)]
pub struct Output {
    pub command: String,
    /// As a shell would say it: the exit status, or 128 + signal.
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

    /// Exit status 1 and `words` in the error, which is one line (if the runtime is one that keeps runc's words).
    #[track_caller]
    pub fn fails(&self, words: &str) -> &Output {
        self.exits(1).says(words)
    }

    #[track_caller]
    pub fn says(&self, words: &str) -> &Output {
        assert!(!self.stderr.trim().is_empty(), "no error was printed: {self:#?}");
        assert!(!runtime().speaks_like_runc() || self.stderr.contains(words), "expected `{words}`: {self:#?}");
        self
    }
}

/// Runs to the end, within the deadline. Output goes through files: a pipe would stay open as long as a
/// detached container lives.
///
/// # Panics
/// If it cannot be started, or does not end.
#[track_caller]
pub fn finish(command: &mut Command) -> Output {
    let (mut stdout, mut stderr) = (scratch(), scratch());
    let share = |file: &File| Stdio::from(file.try_clone().expect("dup"));
    let said = format!("{command:?}");
    let child = command.stdout(share(&stdout)).stderr(share(&stderr)).spawn();
    let status = wait(child.unwrap_or_else(|error| panic!("{said}: {error}")), &said);
    Output { command: said, status, stdout: contents(&mut stdout), stderr: contents(&mut stderr) }
}

#[track_caller]
pub fn wait(mut child: Child, said: &str) -> i32 {
    let started = Instant::now();
    loop {
        if let Some(status) = child.try_wait().expect("our own child") {
            return status.code().unwrap_or_else(|| 128 + status.signal().unwrap_or_default());
        }
        if started.elapsed() > DEADLINE {
            let _ = child.kill();
            let _ = child.wait();
            panic!("still running after {DEADLINE:?}: {said}");
        }
        std::thread::sleep(Duration::from_millis(1));
    }
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

/// A file without a name.
fn scratch() -> File {
    let flags = libc::O_TMPFILE;
    let mut options = std::fs::OpenOptions::new();
    std::os::unix::fs::OpenOptionsExt::custom_flags(options.read(true).write(true), flags);
    options.open(std::env::temp_dir()).expect("a temporary file")
}

fn contents(file: &mut File) -> String {
    let mut bytes = Vec::new();
    file.rewind().expect("a plain file");
    file.read_to_end(&mut bytes).expect("a plain file");
    String::from_utf8_lossy(&bytes).into_owned()
}
