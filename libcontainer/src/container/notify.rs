//! Passing on that a container is ready (sd_notify(3)).
use super::{Container, not_running};
use crate::plan::NOTIFY_SOCKET;
use crate::store::NOTIFY;
use crate::sys::fd_path;
use crate::{Error, Result};
use rustix::event::{PollFd, PollFlags, Timespec};
use rustix::fd::{AsFd, OwnedFd};
use rustix::fs::{Mode, OFlags};
use rustix::io::{Errno, IoSlice};
use rustix::net::{
    AddressFamily, RecvFlags, SendAncillaryBuffer, SendAncillaryMessage, SendFlags, SocketAddrUnix, SocketFlags,
    SocketType,
};
use std::ffi::OsStr;
use std::mem::MaybeUninit;
use std::os::unix::ffi::OsStrExt;
use std::time::Duration;

/// How long systemd may take to have read what we sent.
const BARRIER: Duration = Duration::from_secs(30);

/// The container's socket, open before its program runs, and the manager's.
#[derive(Debug)]
pub struct Notifications {
    socket: OwnedFd,
    manager: OwnedFd,
    init: OwnedFd,
    pid: i32,
    tells_pid: bool,
}

impl Container {
    /// Opens the container's socket, before its program runs; `None` if it was made without one
    /// ([`CreateOptions::notify`](crate::CreateOptions::notify)). `manager` is what `NOTIFY_SOCKET` names: a path, or an abstract
    /// name after an `@`.
    ///
    /// # Errors
    /// [`ErrorKind::NotRunning`](crate::ErrorKind::NotRunning) if the container has ended; [`ErrorKind::System`](crate::ErrorKind)
    /// if one of the sockets cannot be used.
    pub fn notifications(&self, manager: &OsStr) -> Result<Option<Notifications>> {
        if self.record.planned.notify.is_none() {
            return Ok(None);
        }
        let fail = |call: &'static str| move |errno| Error::system("pass on notifications", call, errno);
        let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let directory =
            rustix::fs::openat(self.folder.fd(), NOTIFY, flags, Mode::empty()).map_err(fail("open(notify)"))?;
        let socket = || rustix::net::socket_with(AddressFamily::UNIX, SocketType::DGRAM, SocketFlags::CLOEXEC, None);
        let ours = socket().map_err(fail("socket"))?;
        let path = format!("{}/{NOTIFY_SOCKET}", fd_path(&directory));
        rustix::net::bind(&ours, &SocketAddrUnix::new(&path).map_err(fail("bind"))?).map_err(fail("bind"))?;
        // Whoever the container's process is may write to it.
        rustix::fs::chmod(&path, Mode::from_raw_mode(0o777)).map_err(fail("chmod(notify.sock)"))?;
        let theirs = socket().map_err(fail("socket"))?;
        let address = match manager.as_bytes() {
            [b'@', name @ ..] => SocketAddrUnix::new_abstract_name(name),
            path => SocketAddrUnix::new(path),
        };
        let address = address.map_err(fail("connect($NOTIFY_SOCKET)"))?;
        rustix::net::connect(&theirs, &address).map_err(fail("connect($NOTIFY_SOCKET)"))?;
        let init = self.record.life()?.pidfd().ok_or_else(not_running)?;
        let pid = self.record.pid();
        Ok(Some(Notifications { socket: ours, manager: theirs, init, pid, tells_pid: false }))
    }
}

impl Notifications {
    /// The manager is told the pid of the container's init as well (`MAINPID=`): for a caller who does not stay.
    #[must_use]
    pub fn with_main_pid(mut self) -> Notifications {
        self.tells_pid = true;
        self
    }

    /// Tells the manager that the container is ready. What a restored program has said before the checkpoint it does not say again.
    ///
    /// # Errors
    /// [`ErrorKind::System`](crate::ErrorKind) if the manager cannot be told.
    pub fn ready(self) -> Result<()> {
        self.tell(b"READY=1").map_err(|errno| Error::system("pass on notifications", "send($NOTIFY_SOCKET)", errno))
    }

    /// Waits until the container says that it is ready, or ends, and tells the manager.
    ///
    /// # Errors
    /// [`ErrorKind::System`](crate::ErrorKind) if the manager cannot be told.
    pub fn relay(self) -> Result<()> {
        let fail = |call: &'static str| move |errno| Error::system("pass on notifications", call, errno);
        loop {
            let mut asked = [PollFd::new(&self.socket, PollFlags::IN), PollFd::new(&self.init, PollFlags::IN)];
            match rustix::event::poll(&mut asked, None) {
                Err(Errno::INTR) => continue,
                polled => polled.map_err(fail("poll"))?,
            };
            let [said, ended] = asked.map(|asked| !asked.revents().is_empty());
            if said {
                let mut buffer = [0; 4096];
                let (length, _) =
                    rustix::net::recv(&self.socket, &mut buffer[..], RecvFlags::empty()).map_err(fail("recv"))?;
                let ready = buffer[..length].split(|byte| *byte == b'\n').find(|line| line.starts_with(b"READY="));
                if let Some(ready) = ready {
                    return self.tell(ready).map_err(fail("send($NOTIFY_SOCKET)"));
                }
            } else if ended {
                return Ok(());
            }
        }
    }

    fn tell(&self, ready: &[u8]) -> rustix::io::Result<()> {
        let send = |message: &[u8]| rustix::net::send(&self.manager, message, SendFlags::NOSIGNAL).map(drop);
        send(&[ready, b"\n"].concat())?;
        if self.tells_pid {
            send(format!("MAINPID={}\n", self.pid).as_bytes())?;
        }
        // Closed by systemd once it has read all of it: afterwards nobody need be here for it to ask.
        let (here, there) = rustix::pipe::pipe_with(rustix::pipe::PipeFlags::CLOEXEC)?;
        let riders = [there.as_fd()];
        let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))];
        let mut control = SendAncillaryBuffer::new(&mut space);
        control.push(SendAncillaryMessage::ScmRights(&riders));
        let message = [IoSlice::new(b"BARRIER=1")];
        rustix::net::sendmsg(&self.manager, &message, &mut control, SendFlags::NOSIGNAL)?;
        drop(there);
        let limit = Timespec::try_from(BARRIER).ok();
        rustix::event::poll(&mut [PollFd::new(&here, PollFlags::empty())], limit.as_ref()).map(drop)
    }
}
