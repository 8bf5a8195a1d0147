//! Pseudo terminals and console sockets.
use crate::output;
use nix::pty::{OpenptyResult, Winsize, openpty};
use nix::sys::socket::{ControlMessageOwned, MsgFlags, recvmsg};
use std::fs::File;
use std::io::{ErrorKind, IoSliceMut, Read};
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd};
use std::os::unix::net::UnixListener;
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Child, Command};
use std::sync::mpsc::{Receiver, channel};
use std::time::{Duration, Instant};

nix::ioctl_write_ptr_bad!(set_size, libc::TIOCSWINSZ, Winsize);

/// The side of a pseudo terminal where a person would sit.
#[derive(Debug)]
pub struct Terminal {
    master: File,
    heard: Receiver<Vec<u8>>,
    text: String,
}

impl std::os::fd::AsFd for Terminal {
    fn as_fd(&self) -> std::os::fd::BorrowedFd<'_> {
        self.master.as_fd()
    }
}

impl Terminal {
    pub fn from_master(master: OwnedFd) -> Terminal {
        let master = File::from(master);
        let mut reader = master.try_clone().expect("dup");
        let (tell, heard) = channel();
        std::thread::spawn(move || {
            let mut buffer = [0; 4096];
            // EIO: the other side is closed.
            while let Ok(length @ 1..) = reader.read(&mut buffer) {
                if tell.send(buffer[..length].to_vec()).is_err() {
                    break;
                }
            }
        });
        Terminal { master, heard, text: String::new() }
    }

    /// Starts `command` as the leader of a session on a new terminal.
    ///
    /// # Panics
    /// If there is no pseudo terminal to be had.
    pub fn start(command: &mut Command, rows: u16, columns: u16) -> (Terminal, Child) {
        let OpenptyResult { master, slave } = openpty(&size(rows, columns), None).expect("a pseudo terminal");
        for give in [Command::stdin, Command::stdout, Command::stderr] {
            give(command, slave.try_clone().expect("dup"));
        }
        // SAFETY: both are single system calls, allowed between fork and exec; descriptor 0 is the terminal by then.
        unsafe {
            command.pre_exec(|| {
                nix::unistd::setsid()?;
                nix::errno::Errno::result(libc::ioctl(0, libc::TIOCSCTTY, 0))?;
                Ok(())
            });
        }
        let child = command.spawn().expect("the runtime starts");
        // The command keeps descriptors of the terminal until it is dropped or given others.
        for give in [Command::stdin, Command::stdout, Command::stderr] {
            give(command, std::process::Stdio::null());
        }
        (Terminal::from_master(master), child)
    }

    /// # Panics
    /// If it is not a terminal.
    pub fn resize(&self, rows: u16, columns: u16) {
        // SAFETY: the descriptor is open and the kernel reads one `winsize`.
        unsafe { set_size(self.master.as_raw_fd(), &size(rows, columns)) }.expect("a terminal");
    }

    /// # Panics
    /// If nobody is at the other end.
    pub fn enter(&mut self, text: &str) {
        std::io::Write::write_all(&mut self.master, text.as_bytes()).expect("a terminal");
    }

    /// Everything heard so far, once `words` are in it.
    ///
    /// # Panics
    /// If they do not come within the deadline.
    #[track_caller]
    pub fn expect(&mut self, words: &str) -> &str {
        let deadline = Instant::now() + output::DEADLINE;
        while !self.text.contains(words) {
            match self.heard.recv_timeout(deadline.saturating_duration_since(Instant::now())) {
                Ok(bytes) => self.text += &String::from_utf8_lossy(&bytes),
                Err(why) => panic!("{why}: expected `{words}`: {:?}", self.text),
            }
        }
        &self.text
    }

    /// Everything, to the end.
    pub fn rest(mut self) -> String {
        while let Ok(bytes) = self.heard.recv_timeout(Duration::from_secs(2)) {
            self.text += &String::from_utf8_lossy(&bytes);
        }
        self.text
    }
}

fn size(rows: u16, columns: u16) -> Winsize {
    Winsize { ws_row: rows, ws_col: columns, ws_xpixel: 0, ws_ypixel: 0 }
}

/// What an engine listens on: the runtime connects and sends the master of the container's terminal.
#[derive(Debug)]
pub struct ConsoleSocket(UnixListener);

impl ConsoleSocket {
    /// # Panics
    /// If the path is taken.
    pub fn bind(path: &Path) -> ConsoleSocket {
        let listener = UnixListener::bind(path).expect("a socket");
        listener.set_nonblocking(true).expect("a socket");
        ConsoleSocket(listener)
    }

    /// # Panics
    /// If no terminal arrives.
    #[track_caller]
    pub fn accept(&self) -> Terminal {
        let stream = crate::wait_until("the runtime connects to the console socket", || match self.0.accept() {
            Err(error) if error.kind() == ErrorKind::WouldBlock => None,
            accepted => Some(accepted.expect("a socket").0),
        });
        stream.set_nonblocking(false).expect("a socket");
        let mut name = [0; 4096];
        let mut space = nix::cmsg_space!([libc::c_int; 1]);
        let mut buffers = [IoSliceMut::new(&mut name)];
        let message = recvmsg::<()>(stream.as_raw_fd(), &mut buffers, Some(&mut space), MsgFlags::MSG_CMSG_CLOEXEC)
            .expect("a message");
        let descriptor = message.cmsgs().expect("whole").find_map(|message| match message {
            ControlMessageOwned::ScmRights(descriptors) => descriptors.first().copied(),
            _ => None,
        });
        // SAFETY: the kernel has just installed this descriptor for us and nobody else knows it.
        Terminal::from_master(unsafe { OwnedFd::from_raw_fd(descriptor.expect("a descriptor")) })
    }
}
