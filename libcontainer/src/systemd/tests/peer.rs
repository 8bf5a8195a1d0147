//! Who is at the other end of the socket.
use super::super::{Address, Manager, message};
use super::SHORT;
use rustix::net::{AddressFamily, SocketAddrUnix, SocketFlags, SocketType};
use std::io::{Read, Write};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::mpsc::{Receiver, channel};

/// A socket's path, gone in the end.
pub(super) struct Place(pub(super) PathBuf);

impl Place {
    pub(super) fn new() -> Place {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let number = COUNT.fetch_add(1, Ordering::Relaxed);
        Place(std::env::temp_dir().join(format!("plimsoll-bus-{}-{number}", std::process::id())))
    }

    pub(super) fn manager(&self, is_private: bool) -> Manager {
        Manager { addresses: vec![Address::of(&self.0, is_private)], patience: SHORT, forgetting: SHORT }
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let _ = std::fs::remove_file(&self.0);
    }
}

/// A connection on the other side.
pub(super) struct Peer(pub(super) UnixStream);

/// What we have said: the serial, the method, and the body as it came.
pub(super) struct Said {
    pub(super) serial: u32,
    pub(super) method: String,
    pub(super) body: Vec<u8>,
}

impl Peer {
    pub(super) fn let_in(&mut self) {
        let mut heard = Vec::new();
        while !heard.ends_with(b"BEGIN\r\n") {
            let mut byte = [0];
            self.0.read_exact(&mut byte).unwrap();
            heard.push(byte[0]);
        }
        assert_eq!(heard, b"\0AUTH EXTERNAL\r\nDATA\r\nBEGIN\r\n");
        self.0.write_all(b"DATA\r\nOK 350db8d9e63e4d04a3c4ec190237310f\r\n").unwrap();
    }

    /// The next call; `None` if there is none.
    pub(super) fn hear(&mut self) -> Option<Said> {
        let mut bytes = vec![0; 16];
        self.0.read_exact(&mut bytes).ok()?;
        bytes.resize(message::length(&bytes).unwrap().unwrap(), 0);
        self.0.read_exact(&mut bytes[16..]).ok()?;
        let serial = u32::from_le_bytes(bytes[8..12].try_into().unwrap());
        let length = u32::from_le_bytes(bytes[4..8].try_into().unwrap()) as usize;
        let body = bytes.split_off(bytes.len() - length);
        let text = String::from_utf8_lossy(&bytes).into_owned();
        let methods = [
            "StartTransientUnit",
            "StopUnit",
            "ResetFailedUnit",
            "SetUnitProperties",
            "AttachProcessesToUnit",
            "Hello",
            "AddMatch",
            "Subscribe",
        ];
        let method = methods.into_iter().find(|method| text.contains(*method)).unwrap().to_owned();
        Some(Said { serial, method, body })
    }

    /// A reply, an error or a signal, as bytes: `fields` are (code, type, value).
    pub(super) fn message(
        kind: u8,
        fields: &[(u8, &str, &str)],
        to: Option<u32>,
        signature: &str,
        body: &[u8],
    ) -> Vec<u8> {
        let pad = |bytes: &mut Vec<u8>, to: usize| bytes.resize(bytes.len().next_multiple_of(to), 0);
        let number = |number: usize| u32::try_from(number).unwrap().to_le_bytes();
        let mut header = Vec::new();
        for (code, kind, value) in fields.iter().copied().chain([(8, "g", signature)]) {
            pad(&mut header, 8);
            header.extend([code, 1, kind.as_bytes()[0], 0]);
            if kind == "g" {
                header.push(u8::try_from(value.len()).unwrap());
            } else {
                header.extend(number(value.len()));
            }
            header.extend(value.as_bytes());
            header.push(0);
        }
        if let Some(to) = to {
            pad(&mut header, 8);
            header.extend([5, 1, b'u', 0]);
            header.extend(to.to_le_bytes());
        }
        let mut message = vec![b'l', kind, 1, 1];
        message.extend(number(body.len()));
        message.extend(number(7));
        message.extend(number(header.len()));
        message.extend(header);
        pad(&mut message, 8);
        message.extend(body);
        message
    }

    fn texts(texts: &[&str]) -> Vec<u8> {
        let mut body: Vec<u8> = Vec::new();
        for text in texts {
            body.resize(body.len().next_multiple_of(4), 0);
            body.extend(u32::try_from(text.len()).unwrap().to_le_bytes());
            body.extend(text.as_bytes());
            body.push(0);
        }
        body
    }

    pub(super) fn reply(to: u32, job: &str) -> Vec<u8> {
        Peer::message(2, &[], Some(to), "o", &Peer::texts(&[job]))
    }

    pub(super) fn error(to: u32, name: &str, words: &str) -> Vec<u8> {
        Peer::message(3, &[(4, "s", name)], Some(to), "s", &Peer::texts(&[words]))
    }

    pub(super) fn job_removed(job: &str, result: &str) -> Vec<u8> {
        let mut body = vec![9, 0, 0, 0];
        body.extend(Peer::texts(&[job, "web.scope", result]));
        let fields = [(1, "o", "/x"), (2, "s", "org.freedesktop.systemd1.Manager"), (3, "s", "JobRemoved")];
        Peer::message(4, &fields, None, "uoss", &body)
    }

    pub(super) fn say(&mut self, messages: &[Vec<u8>]) {
        self.0.write_all(&messages.concat()).unwrap();
    }
}

/// A peer who plays this part for the one connection there is, and says when it has.
pub(super) fn peer(part: impl FnOnce(&mut Peer) + Send + 'static) -> (Place, Receiver<()>) {
    let place = Place::new();
    let listener = UnixListener::bind(&place.0).unwrap();
    let (done, ended) = channel();
    std::thread::spawn(move || {
        let mut peer = Peer(listener.accept().unwrap().0);
        part(&mut peer);
        let _ = done.send(());
    });
    (place, ended)
}

/// A listener whose queue is full: EAGAIN for who does not want to wait for room.
pub(super) fn full(path: &Path) -> Vec<rustix::fd::OwnedFd> {
    let socket = || {
        let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
        rustix::net::socket_with(AddressFamily::UNIX, SocketType::STREAM, flags, None).unwrap()
    };
    let name = SocketAddrUnix::new(path).unwrap();
    let mut sockets = vec![socket()];
    rustix::net::bind(&sockets[0], &name).unwrap();
    rustix::net::listen(&sockets[0], 0).unwrap();
    loop {
        let next = socket();
        match rustix::net::connect(&next, &name) {
            Err(rustix::io::Errno::AGAIN) => return sockets,
            connected => connected.unwrap(),
        }
        sockets.push(next);
    }
}
