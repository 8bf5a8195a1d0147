//! Staying with a process until it ends: signals are passed on, a terminal is copied and resized.
//!
//! Standard streams that are no terminal need no copying: the process has them itself. A terminal is made by the
//! container, so that its master has to be joined to ours; ours is then raw, and given back when [`Foreground`] is dropped.
use crate::failure::Failure;
use libcontainer::{Child, ErrorKind, ExitStatus};
use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::prctl;
use nix::sys::signal::{SigSet, Signal};
use nix::sys::signalfd::{SfdFlags, SignalFd};
use nix::sys::termios::{OutputFlags, SetArg, Termios, cfmakeraw, tcgetattr, tcsetattr};
use rustix::process::{Pid, WaitOptions, waitpid};
use rustix::termios::{isatty, tcgetwinsize};
use std::fs::File;
use std::io;
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, OwnedFd};
use std::path::Path;

/// What has to be in place before the process is there.
#[derive(Debug)]
pub(crate) struct Foreground {
    signals: SignalFd,
    subreaper: bool,
    ours: Option<OurTerminal>,
    console: Option<Console>,
}

impl Foreground {
    /// Blocks every signal, so that from here on none is lost and none ends us. (The process starts with an empty
    /// mask all the same: init sets it.)
    pub(crate) fn prepare(has_terminal: bool, subreaper: bool) -> Result<Foreground, Failure> {
        let ours = has_terminal.then(OurTerminal::find).transpose()?;
        let set = if subreaper { prctl::set_child_subreaper(true) } else { Ok(()) };
        if let Err(errno) = set {
            log::warn!("prctl(PR_SET_CHILD_SUBREAPER): {}", libcontainer::describe_errno(errno as i32));
        }
        let mut signals = SigSet::all();
        if has_terminal {
            // A background job that reads or sets the terminal stops until its shell says `fg`.
            signals.remove(Signal::SIGTTIN);
            signals.remove(Signal::SIGTTOU);
        }
        signals.thread_block().map_err(|errno| Failure::call("sigprocmask", errno))?;
        let flags = SfdFlags::SFD_CLOEXEC | SfdFlags::SFD_NONBLOCK;
        let signals = SignalFd::with_flags(&signals, flags).map_err(|errno| Failure::call("signalfd", errno))?;
        Ok(Foreground { signals, subreaper, ours, console: None })
    }

    /// Joins our terminal to the container's.
    pub(crate) fn attach(&mut self, console: Option<libcontainer::Console>) -> Result<(), Failure> {
        let Some(ours) = &mut self.ours else {
            return Ok(());
        };
        let console = console.ok_or_else(|| Failure::new("the container's terminal did not arrive"))?;
        self.console = Some(Console::new(console)?);
        ours.make_raw()?;
        self.resize();
        Ok(())
    }

    /// Rows and columns of our terminal.
    pub(crate) fn size(&self) -> Option<(u16, u16)> {
        // may fail: a terminal without a size gets none.
        let size = tcgetwinsize(&self.ours.as_ref()?.terminal).ok()?;
        Some((size.ws_row, size.ws_col))
    }

    /// Waits for the process; its exit status, or 128 + signal.
    pub(crate) fn wait(&mut self, child: &Child) -> Result<u8, Failure> {
        let mut ended = None;
        while ended.is_none() {
            let ready = self.poll(child)?;
            if ready.signals {
                ended = self.take_signals(child)?;
            }
            if let Some(console) = &mut self.console {
                console.copy(&ready);
            }
            if ended.is_none() && ready.child {
                ended = child.try_wait()?;
            }
        }
        if let Some(console) = &mut self.console {
            console.drain();
        }
        Ok(ended.map_or(u8::MAX, ExitStatus::status))
    }

    fn poll(&self, child: &Child) -> Result<Ready, Failure> {
        let (stdin, stdout) = (io::stdin(), io::stdout());
        let mut wanted = vec![(self.signals.as_fd(), PollFlags::POLLIN), (child.as_fd(), PollFlags::POLLIN)];
        let mut timeout = PollTimeout::NONE;
        if let Some(console) = &self.console {
            let [input, output, mut master] = console.poll_flags();
            if console.hung_up {
                // Always ready, which is no news. Somebody may open the other side again, so look from time to time.
                (master, timeout) = (PollFlags::empty(), PollTimeout::from(100_u8));
            }
            wanted.extend([(stdin.as_fd(), input), (stdout.as_fd(), output), (console.master.as_fd(), master)]);
        }
        // What nothing is wanted of stays out: poll(2) would report a hang-up again and again.
        let asked = wanted.iter().filter(|(_, flags)| !flags.is_empty());
        let mut fds = asked.map(|(fd, flags)| PollFd::new(*fd, *flags)).collect::<Vec<_>>();
        match poll(&mut fds, timeout) {
            Ok(_) | Err(Errno::EINTR) => {}
            Err(errno) => return Err(Failure::call("poll", errno)),
        }
        let mut answers = fds.iter().map(|fd| fd.any().unwrap_or(false));
        let mut ready = wanted.iter().map(|(_, flags)| !flags.is_empty() && answers.next().unwrap_or(false));
        let mut next = || ready.next().unwrap_or(false);
        Ok(Ready { signals: next(), child: next(), stdin: next(), stdout: next(), master: next() })
    }

    /// Handles what signals have come; the exit status, if it was the child's end that was reaped.
    fn take_signals(&mut self, child: &Child) -> Result<Option<ExitStatus>, Failure> {
        let mut ended = None;
        while let Some(signal) = self.signals.read_signal().map_err(|errno| Failure::call("read signals", errno))? {
            let number = signal.ssi_signo as i32;
            match number {
                libc::SIGCHLD if self.subreaper => ended = reap(child)?.or(ended),
                libc::SIGCHLD | libc::SIGURG => {}
                libc::SIGWINCH => self.resize(),
                // Our own, like SIGPIPE when nobody reads what we print.
                _ if signal.ssi_pid == std::process::id() => {}
                _ => {
                    if number == libc::SIGCONT {
                        // While we were stopped the shell had the terminal; or it has gone for good (SIGHUP comes with
                        // SIGCONT), and then there is nothing to set.
                        let _ = self.ours.as_mut().map(OurTerminal::make_raw);
                        self.resize();
                    }
                    log::debug!("passing signal {number} on to {}", child.pid());
                    send(child, number);
                }
            }
        }
        Ok(ended)
    }

    /// Gives the container's terminal the size of ours. If ours has gone, there is no size to give.
    fn resize(&self) {
        let (Some(ours), Some(console)) = (&self.ours, &self.console) else { return };
        // may fail: as above.
        if let Ok(size) = tcgetwinsize(&ours.terminal) {
            // may fail: the container has closed it.
            let _ = console.master.resize(size.ws_row, size.ws_col);
        }
    }
}

/// Who stays takes the terminal's master itself.
pub(crate) fn refuse_socket(console_socket: Option<&Path>) -> Result<(), Failure> {
    match console_socket {
        Some(_) => Err(Failure::new("cannot use console socket if runc will not detach or allocate tty")),
        None => Ok(()),
    }
}

/// Who does not stay needs somebody who takes it, exactly if there is one.
pub(crate) fn check_detached(has_terminal: bool, console_socket: Option<&Path>) -> Result<(), Failure> {
    match console_socket {
        None if has_terminal => {
            Err(Failure::new("cannot allocate tty if runc will detach without setting console socket"))
        }
        Some(_) if !has_terminal => refuse_socket(console_socket),
        _ => Ok(()),
    }
}

/// Sends any signal, real-time ones too; it is no failure if the process has ended.
pub(crate) fn send(child: &Child, signal: i32) {
    match child.signal(signal) {
        Err(error) if error.kind() != ErrorKind::NotRunning => log::warn!("{error}"),
        _ => {}
    }
}

/// Buries every process that has ended: the child, whose status is returned, and orphans of the container that have become ours.
fn reap(child: &Child) -> Result<Option<ExitStatus>, Failure> {
    let mut ended = None;
    while let Some(pid) = next_dead() {
        if pid.as_raw_nonzero().get() == child.pid() {
            ended = child.try_wait()?;
        } else if waitpid(Some(pid), WaitOptions::NOHANG).is_err() {
            break;
        }
    }
    Ok(ended)
}

/// Who has ended and is not buried.
fn next_dead() -> Option<Pid> {
    let mut about = MaybeUninit::<libc::siginfo_t>::zeroed();
    let how = libc::WEXITED | libc::WNOHANG | libc::WNOWAIT;
    // SAFETY: the kernel writes one siginfo.
    let asked = unsafe { libc::waitid(libc::P_ALL, 0, about.as_mut_ptr(), how) };
    // SAFETY: all zeros are one, and waitid(2) fills in what it says of a child, or nothing.
    let pid = unsafe { about.assume_init().si_pid() };
    // may fail: without children there is nobody to bury.
    if asked == 0 { Pid::from_raw(pid) } else { None }
}

#[derive(Debug)]
struct Ready {
    signals: bool,
    child: bool,
    stdin: bool,
    stdout: bool,
    master: bool,
}

/// The terminal that we were started from.
#[derive(Debug)]
struct OurTerminal {
    terminal: OwnedFd,
    before: Option<Termios>,
}

impl OurTerminal {
    /// One of the standard streams, or the controlling terminal if all of them are redirected.
    fn find() -> Result<OurTerminal, Failure> {
        let (stdin, stdout, stderr) = (io::stdin(), io::stdout(), io::stderr());
        let streams = [stdin.as_fd(), stdout.as_fd(), stderr.as_fd()];
        let terminal = match streams.into_iter().find(|stream| isatty(stream)) {
            Some(stream) => stream.try_clone_to_owned().map_err(|error| Failure::io("dup", &error))?,
            None => File::open("/dev/tty").map_err(|error| Failure::io("open /dev/tty", &error))?.into(),
        };
        Ok(OurTerminal { terminal, before: None })
    }

    /// Keys go to the container as they are pressed. Output is still processed (`OPOST`): the container's terminal leaves
    /// line ends alone, so that they are right both on a screen and in a file.
    fn make_raw(&mut self) -> Result<(), Failure> {
        let failed = |errno| Failure::call("failed to set the terminal from the stdin", errno);
        let now = tcgetattr(&self.terminal).map_err(failed)?;
        let before = self.before.get_or_insert(now);
        let mut raw = before.clone();
        cfmakeraw(&mut raw);
        raw.output_flags |= OutputFlags::OPOST;
        tcsetattr(&self.terminal, SetArg::TCSANOW, &raw).map_err(failed)
    }
}

impl Drop for OurTerminal {
    fn drop(&mut self) {
        if let Some(before) = &self.before {
            // If the terminal has gone there is nothing to give back.
            // may fail: it has hung up.
            let _ = tcsetattr(&self.terminal, SetArg::TCSANOW, before);
        }
    }
}

/// The master of the container's terminal, with what is on its way in either direction.
#[derive(Debug)]
struct Console {
    master: libcontainer::Console,
    /// Nobody has the other side open.
    hung_up: bool,
    input: Buffer,
    output: Buffer,
}

impl Console {
    fn new(master: libcontainer::Console) -> Result<Console, Failure> {
        // Its own open file description, unlike standard input and output: nobody else is surprised.
        rustix::io::ioctl_fionbio(&master, true).map_err(|errno| Failure::io("ioctl(FIONBIO)", &errno.into()))?;
        Ok(Console { master, hung_up: false, input: Buffer::new(), output: Buffer::new() })
    }

    /// What to wait for on standard input, on standard output and on the master: a buffer is filled when it is empty
    /// and emptied when it is not, so that a reader that does not read stops the writer and nothing else.
    fn poll_flags(&self) -> [PollFlags; 3] {
        let when = |condition, flag| if condition { flag } else { PollFlags::empty() };
        [
            when(self.input.wants_more(), PollFlags::POLLIN),
            when(self.output.has_some(), PollFlags::POLLOUT),
            when(self.output.wants_more(), PollFlags::POLLIN) | when(self.input.has_some(), PollFlags::POLLOUT),
        ]
    }

    fn copy(&mut self, ready: &Ready) {
        if ready.stdin {
            self.input.fill(io::stdin());
        }
        if ready.master || self.hung_up {
            if self.input.has_some() && self.input.empty_into(&self.master).is_err() {
                // Nobody there to read it.
                self.input.clear();
            }
            self.read_master();
        }
        if ready.stdout {
            self.write_stdout();
        }
    }

    fn read_master(&mut self) {
        if self.output.wants_more() {
            self.hung_up = !self.output.fill_again(&self.master);
        }
    }

    fn write_stdout(&mut self) {
        if self.output.empty_into(io::stdout()).is_err() {
            // Nobody reads what the container prints; it goes on nevertheless.
            self.output.clear();
        }
    }

    /// What the process had written when it ended. The kernel keeps less than this for a terminal: what comes beyond is
    /// written by somebody who is still alive, and may never stop.
    fn drain(&mut self) {
        const MOST: usize = 256 * 1024 / Buffer::SIZE;
        for _ in 0..MOST {
            while self.output.has_some() {
                self.write_stdout();
            }
            self.read_master();
            if !self.output.has_some() {
                return;
            }
        }
    }
}

/// Bytes on their way. No larger than a pipe takes at once: after POLLOUT, writing them does not block.
#[derive(Debug)]
struct Buffer {
    bytes: Box<[u8; Buffer::SIZE]>,
    start: usize,
    end: usize,
    /// The source has ended.
    closed: bool,
}

impl Buffer {
    const SIZE: usize = libc::PIPE_BUF;

    fn new() -> Buffer {
        Buffer { bytes: Box::new([0; Buffer::SIZE]), start: 0, end: 0, closed: false }
    }

    fn has_some(&self) -> bool {
        self.start < self.end
    }

    fn wants_more(&self) -> bool {
        !self.has_some() && !self.closed
    }

    fn clear(&mut self) {
        (self.start, self.end) = (0, 0);
    }

    /// Reads once; an end or an error is final.
    fn fill(&mut self, source: impl AsFd) {
        self.closed = !self.fill_again(source);
    }

    /// Reads once. Returns false at an end or an error.
    fn fill_again(&mut self, source: impl AsFd) -> bool {
        self.clear();
        match rustix::io::read(source, &mut self.bytes[..]) {
            Ok(0) => false,
            Ok(length) => {
                self.end = length;
                true
            }
            Err(errno) => matches!(errno, rustix::io::Errno::AGAIN | rustix::io::Errno::INTR),
        }
    }

    /// Writes once.
    fn empty_into(&mut self, sink: impl AsFd) -> rustix::io::Result<()> {
        match rustix::io::write(sink, &self.bytes[self.start..self.end]) {
            Ok(length) => {
                self.start += length;
                Ok(())
            }
            Err(rustix::io::Errno::AGAIN | rustix::io::Errno::INTR) => Ok(()),
            Err(errno) => Err(errno),
        }
    }
}
