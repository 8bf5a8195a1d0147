//! One error, reported once: what was asked, where in config.json, which call, errno by name, the kernel's words.
use crate::errno::describe_errno;
use std::fmt;

/// A failure of the library.
///
/// Prints as one line, with the kernel's words or a hint at its end where there are any:
/// `config.json: /mounts/3: mount tmpfs on /scratch size=x: fsconfig: invalid argument (EINVAL): tmpfs: Bad value for 'size'`.
#[derive(Debug)]
pub struct Error(Box<Inner>);

#[derive(Debug)]
struct Inner {
    kind: ErrorKind,
    /// JSON pointer into config.json, or `(default)`, `(lifecycle)`.
    origin: Option<String>,
    /// What was attempted, in a few words.
    message: String,
    call: Option<String>,
    errno: Option<i32>,
    /// The kernel's words, or a hint.
    detail: Option<String>,
}

/// What a caller may want to tell apart.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum ErrorKind {
    /// An id with characters other than `[A-Za-z0-9_+.-]`, or `.`, `..`.
    InvalidId,
    /// The id is in use.
    Exists,
    /// No such container.
    DoesNotExist,
    /// The operation needs a running container.
    NotRunning,
    /// The operation needs another status.
    WrongStatus,
    /// config.json, process.json or a flag is wrong.
    InvalidConfig,
    /// Valid, but this build or this host cannot do it; refused rather than ignored.
    Unsupported,
    /// A system call failed on the host's side.
    System,
    /// A line of init failed.
    Init,
    /// A hook failed.
    Hook,
}

/// Shorthand.
pub type Result<T> = std::result::Result<T, Error>;

impl Error {
    /// A failure without a system call.
    pub fn new(kind: ErrorKind, message: impl Into<String>) -> Error {
        Error(Box::new(Inner { kind, origin: None, message: message.into(), call: None, errno: None, detail: None }))
    }

    /// A mistake in config.json at the JSON pointer `origin`.
    pub fn config(origin: impl Into<String>, message: impl Into<String>) -> Error {
        Error::new(ErrorKind::InvalidConfig, message).at(origin)
    }

    /// A failed system call: `call` is its name with what matters of its arguments.
    pub fn system(message: impl Into<String>, call: impl Into<String>, errno: impl Into<std::io::Error>) -> Error {
        let mut error = Error::new(ErrorKind::System, message);
        error.0.call = Some(call.into());
        error.0.errno = errno.into().raw_os_error();
        error
    }

    /// The same from the standard library's error.
    pub fn io(message: impl Into<String>, call: impl Into<String>, error: &std::io::Error) -> Error {
        match error.raw_os_error() {
            Some(errno) => Error::system(message, call, std::io::Error::from_raw_os_error(errno)),
            None => Error::new(ErrorKind::System, format!("{}: {error}", message.into())),
        }
    }

    /// It is about another file than config.json: `mounts: /0/destination: …`.
    pub fn in_file(mut self, file: &str) -> Error {
        if let Some(origin) = self.0.origin.take_if(|origin| origin.starts_with('/')) {
            self.0.message = format!("{file}: {origin}: {}", self.0.message);
        }
        self
    }

    /// The same about the process of an `exec`, which is in no config.json: `process: /args/0: …`. What is not of it is left alone.
    pub fn in_process(mut self) -> Error {
        if let Some(origin) = self.0.origin.take_if(|origin| origin.starts_with("/process/")) {
            self.0.origin = origin.strip_prefix("/process").map(str::to_owned);
            return self.in_file("process");
        }
        self
    }

    /// Which entry of config.json asked for it.
    pub fn at(mut self, origin: impl Into<String>) -> Error {
        self.0.origin.get_or_insert(origin.into());
        self
    }

    /// It was a part of something else, whose entry of config.json is to blame.
    pub fn within(mut self, what: &str) -> Error {
        self.0.message = format!("{what}: {}", self.0.message);
        self.0.origin = None;
        self
    }

    /// Another kind.
    pub fn kind_of(mut self, kind: ErrorKind) -> Error {
        self.0.kind = kind;
        self
    }

    /// The kernel's words, or a hint where the errno misleads.
    pub fn detail(mut self, words: impl Into<String>) -> Error {
        let words = words.into();
        if !words.is_empty() {
            self.0.detail = Some(words);
        }
        self
    }

    /// What a caller may want to tell apart.
    pub fn kind(&self) -> ErrorKind {
        self.0.kind
    }

    /// errno of the failed call, if a call failed.
    pub fn errno(&self) -> Option<i32> {
        self.0.errno
    }

    /// The entry of config.json at fault (a JSON pointer), if one is.
    pub fn origin(&self) -> Option<&str> {
        self.0.origin.as_deref()
    }

    /// For who says by himself where in config.json it is.
    pub fn without_origin(&self) -> String {
        self.0.to_string()
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(origin) = self.0.origin.as_deref().filter(|origin| origin.starts_with('/')) {
            write!(f, "config.json: {origin}: ")?;
        }
        self.0.fmt(f)
    }
}

const ENOSYS: i32 = 38;

/// Calls that there is no way without.
const REQUIRED: &[&str] = &[
    "clone3",
    "close_range",
    "fsconfig",
    "fsmount",
    "fsopen",
    "fspick",
    "mount_setattr",
    "move_mount",
    "open_tree",
    "openat2",
    "pidfd_open",
    "pidfd_send_signal",
];

impl fmt::Display for Inner {
    /// All but the origin.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)?;
        if let Some(call) = &self.call {
            write!(f, ": {call}")?;
        }
        if let Some(errno) = self.errno {
            write!(f, ": {}", describe_errno(errno))?;
        }
        if let Some(detail) = &self.detail {
            write!(f, ": {detail}")?;
        }
        // docs/kernel-features.md: the last of these, mount_setattr, came with 5.12.
        let call = self.call.as_deref().map(|call| call.split('(').next().unwrap_or_default());
        if self.errno == Some(ENOSYS) && call.is_some_and(|call| REQUIRED.contains(&call)) {
            f.write_str(": hint: Linux 5.12 or later has it, unless a seccomp filter hides it")?;
        }
        Ok(())
    }
}

impl std::error::Error for Error {}

/// A key as a part of a JSON pointer (RFC 6901).
pub fn escape_key(key: &str) -> String {
    key.replace('~', "~0").replace('/', "~1")
}
