//! The standard streams of a process.
use crate::{Error, Result, sys};
use rustix::fs::{Mode, OFlags};
use rustix::io::Errno;
use rustix::pipe::{PipeFlags, pipe_with};
use std::fs::File;
use std::os::fd::{AsRawFd, OwnedFd};

/// What one of a process's standard streams is, as in [`std::process::Stdio`]: nothing, where nothing is said. Without meaning if the
/// process has a terminal, which is all three of them then.
#[derive(Debug, Default)]
pub struct Stdio(Kind);

#[derive(Debug, Default)]
enum Kind {
    #[default]
    Null,
    Inherit,
    Piped,
    Given(OwnedFd),
}

impl Stdio {
    /// The null device, of the container's own.
    pub fn null() -> Stdio {
        Stdio(Kind::Null)
    }

    /// The caller's own; the null device, if the caller has closed it.
    pub fn inherit() -> Stdio {
        Stdio(Kind::Inherit)
    }

    /// A new pipe, whose other end is in the [`Child`](crate::Child).
    pub fn piped() -> Stdio {
        Stdio(Kind::Piped)
    }
}

impl From<OwnedFd> for Stdio {
    /// This descriptor, which is closed here once the process has it.
    fn from(descriptor: OwnedFd) -> Stdio {
        Stdio(Kind::Given(descriptor))
    }
}

impl From<File> for Stdio {
    /// As for its descriptor.
    fn from(file: File) -> Stdio {
        Stdio::from(OwnedFd::from(file))
    }
}

/// The three of a process that is about to be started.
#[derive(Debug, Default)]
pub(super) struct Streams {
    /// The process's ends, by their numbers here; `None`: our own, as they are.
    pub(super) numbers: Option<[i32; 3]>,
    /// Our ends of pipes.
    pub(super) ours: [Option<OwnedFd>; 3],
    /// Keeps the process's open.
    opened: Vec<OwnedFd>,
}

impl Streams {
    /// Opens what `wanted` asks for; pipes have no meaning for a process `on_a_terminal`.
    pub(super) fn open(wanted: [&Stdio; 3], on_a_terminal: bool) -> Result<Streams> {
        let mut streams = Streams::default();
        if wanted.iter().all(|stream| matches!(stream.0, Kind::Inherit)) {
            return Ok(streams);
        }
        let fail = |call: &'static str| move |errno| Error::system("open the standard streams", call, errno);
        let mut numbers = [0, 1, 2];
        for (number, Stdio(kind)) in wanted.into_iter().enumerate() {
            numbers[number] = match kind {
                Kind::Given(descriptor) => descriptor.as_raw_fd(),
                Kind::Inherit if is_open(numbers[number])? => numbers[number],
                Kind::Piped if !on_a_terminal => {
                    let (reader, writer) = pipe_with(PipeFlags::CLOEXEC).map_err(fail("pipe2"))?;
                    let (theirs, ours) = if number == 0 { (reader, writer) } else { (writer, reader) };
                    // Where the caller has closed its own streams there is room, which it has not left for this.
                    streams.ours[number] = Some(sys::above(ours, 3).map_err(fail("fcntl(F_DUPFD)"))?);
                    streams.keep(theirs)
                }
                _ => {
                    let null = rustix::fs::open(c"/dev/null", OFlags::RDWR | OFlags::CLOEXEC, Mode::empty());
                    streams.keep(null.map_err(fail("open(/dev/null)"))?)
                }
            };
        }
        streams.numbers = Some(numbers);
        Ok(streams)
    }

    fn keep(&mut self, descriptor: OwnedFd) -> i32 {
        let number = descriptor.as_raw_fd();
        self.opened.push(descriptor);
        number
    }
}

fn is_open(number: i32) -> Result<bool> {
    match sys::is_inheritable(number.unsigned_abs()) {
        Err(Errno::BADF) => Ok(false),
        asked => asked.map(|()| true).map_err(|errno| Error::system("hand on the standard streams", "fcntl", errno)),
    }
}
