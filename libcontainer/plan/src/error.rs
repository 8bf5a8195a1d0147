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
    /// The errno of the call.
    source: Option<std::io::Error>,
    /// The kernel's words, or a hint.
    detail: Option<String>,
    /// It happened in init.
    of_init: bool,
}

/// What a caller can act on. More kinds may come: match with a wildcard.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum ErrorKind {
    /// An id with characters other than `[A-Za-z0-9_+.-]`, or `.`, `..`, or longer than a file name.
    InvalidId,
    /// There is no such container.
    NotFound,
    /// The id is another container's.
    Exists,
    /// The operation needs a container that runs, and this one has ended, or has not been started.
    NotRunning,
    /// The operation needs a container that does not run, or is paused, and this one runs.
    Running,
    /// The operation needs a container that is not paused.
    Paused,
    /// Somebody else is at it, or holds what is needed: a container that is being made, a cgroup with processes in it, a busy
    /// device. It may succeed later.
    Busy,
    /// config.json, a process, an option or another argument is wrong. It fails on every host and every time.
    InvalidConfig,
    /// Valid, but this library or this host cannot do it. It is refused rather than ignored.
    Unsupported,
    /// The program is not there (in the container's root filesystem, or in its `PATH`).
    ProgramNotFound,
    /// The program is there and cannot be executed: it is no executable file, not for this processor, or not for this user.
    ProgramNotExecutable,
    /// The kernel forbids it (EACCES, EPERM), or what is in the store may not be trusted.
    PermissionDenied,
    /// No space is left, or a quota is used up (ENOSPC, EDQUOT).
    NoSpace,
    /// There is not enough memory: the kernel has refused some (ENOMEM), or has killed init for want of it.
    OutOfMemory,
    /// It took too long: systemd has not answered, a process has not ended, a group has not frozen.
    Timeout,
    /// A hook failed, or ran past its timeout.
    Hook,
    /// Anything else; usually a system call has failed ([`Error::errno`]).
    System,
}

impl ErrorKind {
    /// What a failed system call comes to. A missing or an existing file is no missing or existing container.
    fn of_errno(errno: Option<i32>) -> ErrorKind {
        match errno {
            // EPERM, EACCES
            Some(1 | 13) => ErrorKind::PermissionDenied,
            // ENOMEM
            Some(12) => ErrorKind::OutOfMemory,
            // EBUSY
            Some(16) => ErrorKind::Busy,
            // ENOSPC, EDQUOT
            Some(28 | 122) => ErrorKind::NoSpace,
            // ENOSYS, EOPNOTSUPP
            Some(ENOSYS | 95) => ErrorKind::Unsupported,
            // ETIMEDOUT
            Some(110) => ErrorKind::Timeout,
            _ => ErrorKind::System,
        }
    }
}

/// Shorthand.
pub type Result<T> = std::result::Result<T, Error>;

impl Error {
    /// A failure without a system call.
    pub fn new(kind: ErrorKind, message: impl Into<String>) -> Error {
        let message = message.into();
        Error(Box::new(Inner { kind, origin: None, message, call: None, source: None, detail: None, of_init: false }))
    }

    /// A mistake in config.json at the JSON pointer `origin`.
    pub fn config(origin: impl Into<String>, message: impl Into<String>) -> Error {
        Error::new(ErrorKind::InvalidConfig, message).at(origin)
    }

    /// A failed system call: `call` is its name with what matters of its arguments. Its errno decides the kind.
    pub fn system(message: impl Into<String>, call: impl Into<String>, errno: impl Into<std::io::Error>) -> Error {
        let source = errno.into();
        let mut error = Error::new(ErrorKind::of_errno(source.raw_os_error()), message);
        error.0.call = Some(call.into());
        error.0.source = Some(source);
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
    pub fn with_kind(mut self, kind: ErrorKind) -> Error {
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

    /// It happened in init, not on the host's side.
    pub fn in_init(mut self) -> Error {
        self.0.of_init = true;
        self
    }

    /// Whether it happened in init.
    pub fn is_of_init(&self) -> bool {
        self.0.of_init
    }

    /// What a caller can act on.
    pub fn kind(&self) -> ErrorKind {
        self.0.kind
    }

    /// The system call that has failed, if that is what happened, with what matters of its arguments.
    pub fn call(&self) -> Option<&str> {
        self.0.call.as_deref()
    }

    /// errno of the failed call, if a call failed.
    pub fn errno(&self) -> Option<i32> {
        self.0.source.as_ref().and_then(std::io::Error::raw_os_error)
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
        let errno = self.source.as_ref().and_then(std::io::Error::raw_os_error);
        if let Some(errno) = errno {
            write!(f, ": {}", describe_errno(errno))?;
        }
        if let Some(detail) = &self.detail {
            write!(f, ": {detail}")?;
        }
        // docs/kernel-features.md: the last of these, mount_setattr, came with 5.12.
        let call = self.call.as_deref().map(|call| call.split('(').next().unwrap_or_default());
        if errno == Some(ENOSYS) && call.is_some_and(|call| REQUIRED.contains(&call)) {
            f.write_str(": hint: Linux 5.12 or later has it, unless a seccomp filter hides it")?;
        }
        Ok(())
    }
}

impl std::error::Error for Error {
    /// The errno of the failed call as the standard library's error. Its words are in the sentence already.
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        self.0.source.as_ref().map(|source| source as _)
    }
}

/// A key as a part of a JSON pointer (RFC 6901).
pub fn escape_key(key: &str) -> String {
    key.replace('~', "~0").replace('/', "~1")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::errno::describe_errno;

    #[test]
    fn an_errno_comes_to_a_kind_and_most_of_them_to_none_of_their_own() {
        let named = [
            ("EPERM", ErrorKind::PermissionDenied),
            ("EACCES", ErrorKind::PermissionDenied),
            ("ENOMEM", ErrorKind::OutOfMemory),
            ("EBUSY", ErrorKind::Busy),
            ("ENOSPC", ErrorKind::NoSpace),
            ("EDQUOT", ErrorKind::NoSpace),
            ("ENOSYS", ErrorKind::Unsupported),
            ("EOPNOTSUPP", ErrorKind::Unsupported),
            ("ETIMEDOUT", ErrorKind::Timeout),
        ];
        for errno in 1..134 {
            let error = Error::system("do it", "call", std::io::Error::from_raw_os_error(errno));
            let words = describe_errno(errno);
            let known = named.iter().find(|(name, _)| words.ends_with(&format!("({name})"))).map(|(_, kind)| *kind);
            assert_eq!(error.kind(), known.unwrap_or(ErrorKind::System), "{words}");
            assert_eq!(error.errno(), Some(errno));
            let source = std::error::Error::source(&error).and_then(|source| source.downcast_ref::<std::io::Error>());
            assert_eq!(source.and_then(std::io::Error::raw_os_error), Some(errno));
        }
    }

    #[test]
    fn what_no_call_has_failed_in_has_no_source() {
        let error = Error::config("/mounts/0", "wrong");
        assert!(std::error::Error::source(&error).is_none() && error.errno().is_none());
    }
}
