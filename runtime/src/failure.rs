//! A failure on its way to the user. It is reported once, by `main`.
#![forbid(unsafe_code)]
use crate::log;
use std::io;
use std::io::IsTerminal;

/// What went wrong, in one line, and how to exit.
#[derive(Debug)]
pub(crate) struct Failure {
    message: String,
    /// The entry of config.json at fault.
    origin: Option<String>,
    errno: Option<i32>,
    pub(crate) status: u8,
}

impl Failure {
    pub(crate) fn new(message: impl Into<String>) -> Failure {
        Failure { message: message.into(), origin: None, errno: None, status: 1 }
    }

    pub(crate) fn with_status(mut self, status: u8) -> Failure {
        self.status = status;
        self
    }

    /// A failed call of the standard library: `open process.json: no such file or directory (ENOENT)`.
    pub(crate) fn io(attempt: &str, error: &io::Error) -> Failure {
        let words = libcontainer::describe_io(error);
        Failure { errno: error.raw_os_error(), ..Failure::new(format!("{attempt}: {words}")) }
    }

    /// The same from nix.
    pub(crate) fn call(attempt: &str, errno: nix::errno::Errno) -> Failure {
        Failure::io(attempt, &errno.into())
    }

    /// Tells the user: on standard error, and in the log file if there is one.
    ///
    /// A person at a terminal reads `plimsoll: create web: …`; engines read what runc writes,
    /// `runc create failed: …`, as a log line where no log file was asked for and plainly otherwise.
    pub(crate) fn report(&self, program: &str, command: Option<&str>, id: Option<&str>) {
        let message = match command {
            Some(command @ ("create" | "run")) => {
                format!("{program} {command} failed: {}", self.message)
            }
            Some("exec") => format!("exec failed: {}", self.message),
            _ => self.message.clone(),
        };
        let logged_to_file = log::failure(&message, self.origin.as_deref(), self.errno);
        if logged_to_file {
            log::plainly(&message);
        } else if io::stderr().is_terminal() {
            // A misuse names the program by itself, as runc's does.
            let message = self.message.strip_prefix(&format!("{program}: ")).unwrap_or(&self.message);
            let asked = command.into_iter().chain(id).collect::<Vec<_>>().join(" ");
            let asked = if asked.is_empty() { asked } else { format!("{asked}: ") };
            log::plainly(&format!("{program}: {asked}{message}"));
        } else {
            log::line_to_stderr(&message);
        }
    }
}

impl From<libcontainer::Error> for Failure {
    fn from(error: libcontainer::Error) -> Failure {
        Failure {
            message: error.to_string(),
            origin: error.origin().map(str::to_owned),
            errno: error.errno(),
            status: 1,
        }
    }
}
