//! A connection to systemd: its own socket, or a message bus. Nothing here waits longer than until its deadline.
//!
//! systemd drops its connections when it executes itself anew (`daemon-reexec`, which every upgrade does), and what it had not
//! answered it never answers. What it was at goes on: whoever has lost it asks again.
#![forbid(unsafe_code)]
use super::message::{self, Body, Message, Object};
use crate::{Error, ErrorKind, Result, sys};
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::fd::{AsFd, OwnedFd};
use rustix::io::Errno;
use rustix::net::{AddressFamily, SendFlags, SocketAddrUnix, SocketFlags, SocketType};
use std::fmt;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

/// A socket that systemd may be spoken to through.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Address {
    pub(super) path: PathBuf,
    /// In the abstract namespace (unix(7)).
    pub(super) is_abstract: bool,
    /// systemd's own: nobody in between, nothing to be asked for first.
    pub(super) is_private: bool,
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "unix:{}={}", if self.is_abstract { "abstract" } else { "path" }, self.path.display())
    }
}

impl Address {
    /// systemd's own socket, or that of a bus.
    pub(super) fn of(path: impl AsRef<Path>, is_private: bool) -> Address {
        Address { path: path.as_ref().to_owned(), is_abstract: false, is_private }
    }

    /// The Unix sockets of a list of addresses, as in `DBUS_SESSION_BUS_ADDRESS`.
    pub(super) fn list(text: &str) -> Vec<Address> {
        let address = |text: &str| {
            let mut keys = text.strip_prefix("unix:")?.split(',').filter_map(|pair| pair.split_once('='));
            let (kind, path) = keys.find(|(key, _)| matches!(*key, "path" | "abstract"))?;
            Some(Address { path: unescape(path)?.into(), is_abstract: kind == "abstract", is_private: false })
        };
        text.split(';').filter_map(address).collect()
    }
}

/// `%2d` stands for a byte.
fn unescape(text: &str) -> Option<String> {
    let mut bytes = Vec::new();
    let mut parts = text.split('%');
    bytes.extend(parts.next()?.bytes());
    for part in parts {
        bytes.push(u8::from_str_radix(part.get(..2)?, 16).ok()?);
        bytes.extend(part[2..].bytes());
    }
    String::from_utf8(bytes).ok()
}

/// What is wanted of systemd, for its errors, and by when.
#[derive(Debug, Clone)]
pub(super) struct Errand {
    /// `StartTransientUnit(plimsoll-web.scope)`
    pub(super) what: String,
    pub(super) patience: Duration,
    deadline: Instant,
}

impl Errand {
    pub(super) fn new(method: &str, unit: &str, patience: Duration) -> Errand {
        Errand { what: format!("{method}({unit})"), patience, deadline: Instant::now() + patience }
    }

    /// What is left, not nothing.
    fn left(&self) -> Option<Duration> {
        Some(self.deadline.saturating_duration_since(Instant::now())).filter(|left| !left.is_zero())
    }
}

const BUS: Object =
    Object { destination: "org.freedesktop.DBus", path: "/org/freedesktop/DBus", interface: "org.freedesktop.DBus" };
pub(super) const SYSTEMD: Object = Object {
    destination: "org.freedesktop.systemd1",
    path: "/org/freedesktop/systemd1",
    interface: "org.freedesktop.systemd1.Manager",
};

/// So many connections may be lost in one errand. More is somebody who does not want to speak to us.
const LOSSES: u32 = 5;
/// Until systemd listens again, which nothing tells.
const PAUSE: Duration = Duration::from_millis(20);

/// What a bus says for a systemd that was there when it was asked.
const HUNG_UP: [&str; 2] = ["org.freedesktop.DBus.Error.NoReply", "org.freedesktop.DBus.Error.Disconnected"];

/// A connection for one errand.
#[derive(Debug)]
pub(super) struct Bus {
    socket: OwnedFd,
    addresses: Vec<Address>,
    address: Address,
    errand: Errand,
    /// The other side has gone away in the middle.
    is_lost: bool,
    losses: u32,
    serial: u32,
    /// The calls up to this one are made for the others' sake.
    prelude: u32,
    to_send: Vec<u8>,
    received: Vec<u8>,
}

impl Bus {
    /// Connects to the first of these that anybody listens at, and is let in.
    pub(super) fn connect(addresses: &[Address], errand: Errand) -> Result<Bus> {
        let (socket, address) = connect_to_first(addresses, &errand)?;
        let (addresses, received) = (addresses.to_vec(), Vec::new());
        let mut bus = Bus {
            socket,
            addresses,
            address,
            errand,
            is_lost: false,
            losses: 0,
            serial: 0,
            prelude: 0,
            to_send: Vec::new(),
            received,
        };
        match bus.authenticate() {
            Err(lost) if bus.is_lost => bus.reconnect(lost)?,
            let_in => let_in?,
        }
        Ok(bus)
    }

    /// Does it, and does it again as long as it is only the connection that is lost.
    pub(super) fn retry<T>(&mut self, mut errand: impl FnMut(&mut Bus) -> Result<T>) -> Result<T> {
        loop {
            match errand(self) {
                Err(lost) if self.is_lost => self.reconnect(lost)?,
                done => return done,
            }
        }
    }

    pub(super) fn is_lost(&self) -> bool {
        self.is_lost
    }

    /// Waits a moment; `false` if there is none left.
    pub(super) fn pause(&self) -> bool {
        std::thread::sleep(PAUSE);
        self.errand.left().is_some()
    }

    /// Another connection; that the first one was `lost` is the error if there is none to be had.
    pub(super) fn reconnect(&mut self, lost: Error) -> Result<()> {
        self.losses += 1;
        while self.losses < LOSSES && self.pause() {
            let Ok((socket, address)) = connect_to_first(&self.addresses, &self.errand) else { continue };
            (self.socket, self.address, self.is_lost) = (socket, address, false);
            self.received.clear();
            match self.authenticate() {
                Err(_) if self.is_lost => self.losses += 1,
                let_in => return let_in,
            }
        }
        Err(lost)
    }

    /// An error if systemd would take our pids for those of others: it knows processes as its own pid namespace does.
    pub(super) fn check_pids(&self) -> Result<()> {
        match sys::peer_pid(self.socket.as_fd()) {
            Ok(0) => {
                let words = "it is outside of this pid namespace, where our pids are other processes";
                Err(Error::new(ErrorKind::Unsupported, self.error(words).to_string()))
            }
            Ok(_) => Ok(()),
            Err(errno) => Err(failed(&self.errand, &self.address, "getsockopt(SO_PEERCRED)", errno)),
        }
    }

    /// Who we are.
    fn authenticate(&mut self) -> Result<()> {
        // As libsystemd does: the peer asks the kernel who we are, whatever our uid is in a user namespace.
        self.to_send = b"\0AUTH EXTERNAL\r\nDATA\r\nBEGIN\r\n".to_vec();
        // Not along with the first call: what systemd has read with these lines it forgets until more comes.
        self.send()?;
        self.hear_authentication()?;
        if !self.address.is_private {
            self.prelude = self.call(BUS, "Hello", &Body::default());
        }
        Ok(())
    }

    /// Asks to be told of the end of jobs for this unit; before there is one, or it might be missed.
    pub(super) fn listen(&mut self, unit: &str) {
        if !self.address.is_private {
            let rule = format!(
                "type='signal',sender='{}',path='{}',interface='{}',member='JobRemoved',arg2='{unit}'",
                SYSTEMD.destination, SYSTEMD.path, SYSTEMD.interface
            );
            self.call(BUS, "AddMatch", &Body::default().text(&rule));
            self.prelude = self.call(SYSTEMD, "Subscribe", &Body::default());
        }
    }

    /// A call, to be sent with whatever else has not been; its serial.
    pub(super) fn call(&mut self, to: Object, method: &str, body: &Body) -> u32 {
        self.serial += 1;
        self.to_send.extend(message::call(self.serial, to, method, body));
        self.serial
    }

    /// To be followed by reading, which tells if nobody was there to hear it.
    pub(super) fn send(&mut self) -> Result<()> {
        let mut sent = 0;
        while sent < self.to_send.len() {
            match rustix::net::send(&self.socket, &self.to_send[sent..], SendFlags::NOSIGNAL) {
                Ok(count) => sent += count,
                Err(Errno::AGAIN) => self.wait(PollFlags::OUT, "send")?,
                Err(Errno::INTR) => {}
                // It has hung up. Why, it may have said before: whoever reads comes to that first, then to the end.
                Err(Errno::PIPE | Errno::CONNRESET) => break,
                Err(errno) => return Err(self.connection_failed("send", errno)),
            }
        }
        self.to_send.clear();
        Ok(())
    }

    /// The next message.
    pub(super) fn receive(&mut self) -> Result<Message> {
        loop {
            let length = message::length(&self.received).map_err(|_| self.not_dbus())?;
            if let Some(length) = length.filter(|length| self.received.len() >= *length) {
                let bytes: Vec<u8> = self.received.drain(..length).collect();
                return match message::parse(&bytes).map_err(|_| self.not_dbus())? {
                    Message::Failure { refusal, .. } if HUNG_UP.contains(&refusal.name.as_str()) => {
                        self.is_lost = true;
                        Err(self.error(refusal))
                    }
                    Message::Failure { to, refusal } if to <= self.prelude => Err(self.error(refusal)),
                    message => Ok(message),
                };
            }
            self.read()?;
        }
    }

    fn read(&mut self) -> Result<()> {
        let mut chunk = [0; 4096];
        match rustix::io::read(&self.socket, &mut chunk) {
            Ok(0) => {
                self.is_lost = true;
                Err(self.error("the connection was closed before the answer"))
            }
            Ok(count) => {
                self.received.extend(&chunk[..count]);
                Ok(())
            }
            Err(Errno::AGAIN) => self.wait(PollFlags::IN, "read"),
            Err(Errno::INTR) => Ok(()),
            Err(errno) => Err(self.connection_failed("read", errno)),
        }
    }

    /// `DATA` and `OK GUID`.
    fn hear_authentication(&mut self) -> Result<()> {
        loop {
            if let Some(end) = self.received.windows(2).position(|window| window == b"\r\n") {
                let line: Vec<u8> = self.received.drain(..end + 2).collect();
                if line.starts_with(b"OK ") {
                    return Ok(());
                }
                if !line.starts_with(b"DATA") {
                    let words = String::from_utf8_lossy(&line).trim_end().to_owned();
                    return Err(self.error(format!("not let in ({words})")));
                }
            } else if self.received.len() > 1024 {
                // No such line is longer than a GUID.
                return Err(self.not_dbus());
            } else {
                self.read()?;
            }
        }
    }

    fn wait(&self, event: PollFlags, call: &str) -> Result<()> {
        let Some(left) = self.errand.left() else {
            let words = format!("no answer within {} s", self.errand.patience.as_secs_f32());
            return Err(self.error(words).with_kind(ErrorKind::Timeout));
        };
        match poll(&mut [PollFd::new(&self.socket, event)], Timespec::try_from(left).ok().as_ref()) {
            Ok(_) | Err(Errno::INTR) => Ok(()),
            Err(errno) => Err(failed(&self.errand, &self.address, call, errno)),
        }
    }

    fn connection_failed(&mut self, call: &str, errno: Errno) -> Error {
        self.is_lost = matches!(errno, Errno::CONNRESET | Errno::PIPE);
        failed(&self.errand, &self.address, call, errno)
    }

    /// An error with what was wanted, and through which socket.
    pub(super) fn error(&self, words: impl fmt::Display) -> Error {
        Error::new(ErrorKind::System, format!("systemd: {} on {}: {words}", self.errand.what, self.address))
    }

    fn not_dbus(&self) -> Error {
        self.error("what came is not D-Bus")
    }
}

fn failed(errand: &Errand, address: &Address, call: &str, errno: Errno) -> Error {
    Error::system(format!("systemd: {} on {address}", errand.what), call, errno)
}

/// A connection to the first of these that anybody listens at.
fn connect_to_first(addresses: &[Address], errand: &Errand) -> Result<(OwnedFd, Address)> {
    let mut last = None;
    for address in addresses {
        match connect(address, errand) {
            Ok(socket) => return Ok((socket, address.clone())),
            Err(errno @ (Errno::NOENT | Errno::CONNREFUSED)) => last = Some((address, errno)),
            Err(errno) => return Err(failed(errand, address, "connect", errno)),
        }
    }
    match last {
        Some((address, errno)) => Err(failed(errand, address, "connect", errno)),
        None => {
            let message = format!("systemd: {}: there is no socket to speak to it through", errand.what);
            Err(Error::new(ErrorKind::Unsupported, message))
        }
    }
}

fn connect(address: &Address, errand: &Errand) -> std::result::Result<OwnedFd, Errno> {
    let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
    let socket = rustix::net::socket_with(AddressFamily::UNIX, SocketType::STREAM, flags, None)?;
    let name = match address.is_abstract {
        true => SocketAddrUnix::new_abstract_name(address.path.as_os_str().as_encoded_bytes())?,
        false => SocketAddrUnix::new(&address.path)?,
    };
    let mut pause = Duration::from_millis(1);
    loop {
        match rustix::net::connect(&socket, &name) {
            // So many are waiting to be let in that there is no room for another; nothing tells when there is.
            Err(Errno::AGAIN) => match errand.left() {
                Some(left) => std::thread::sleep(pause.min(left)),
                None => return Err(Errno::AGAIN),
            },
            Err(Errno::INTR) => {}
            connected => return connected.map(|()| socket),
        }
        pause = (pause * 2).min(Duration::from_millis(50));
    }
}
