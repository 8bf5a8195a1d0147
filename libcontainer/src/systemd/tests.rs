//! Peers that are late, broken or of another opinion. Each is a thread behind a socket, and plays a part.
use super::*;
use crate::plan::cgroup::Value;
use rustix::net::{AddressFamily, SocketAddrUnix, SocketFlags, SocketType};
use std::io::{Read, Write};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::Path;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::mpsc::{Receiver, channel};
use std::thread::sleep;
use std::time::Instant;

const SHORT: Duration = Duration::from_millis(300);

/// A socket's path, gone in the end.
struct Place(PathBuf);

impl Place {
    fn new() -> Place {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let number = COUNT.fetch_add(1, Ordering::Relaxed);
        Place(std::env::temp_dir().join(format!("plimsoll-bus-{}-{number}", std::process::id())))
    }

    fn manager(&self, is_private: bool) -> Manager {
        Manager { addresses: vec![Address::of(&self.0, is_private)], patience: SHORT, forgetting: SHORT }
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let _ = std::fs::remove_file(&self.0);
    }
}

/// A connection on the other side.
struct Peer(UnixStream);

/// What we have said: the serial, the method, and the body as it came.
struct Said {
    serial: u32,
    method: String,
    body: Vec<u8>,
}

impl Peer {
    fn let_in(&mut self) {
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
    fn hear(&mut self) -> Option<Said> {
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
    fn message(kind: u8, fields: &[(u8, &str, &str)], to: Option<u32>, signature: &str, body: &[u8]) -> Vec<u8> {
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

    fn reply(to: u32, job: &str) -> Vec<u8> {
        Peer::message(2, &[], Some(to), "o", &Peer::texts(&[job]))
    }

    fn error(to: u32, name: &str, words: &str) -> Vec<u8> {
        Peer::message(3, &[(4, "s", name)], Some(to), "s", &Peer::texts(&[words]))
    }

    fn job_removed(job: &str, result: &str) -> Vec<u8> {
        let mut body = vec![9, 0, 0, 0];
        body.extend(Peer::texts(&[job, "web.scope", result]));
        let fields = [(1, "o", "/x"), (2, "s", "org.freedesktop.systemd1.Manager"), (3, "s", "JobRemoved")];
        Peer::message(4, &fields, None, "uoss", &body)
    }

    fn say(&mut self, messages: &[Vec<u8>]) {
        self.0.write_all(&messages.concat()).unwrap();
    }
}

/// A peer who plays this part for the one connection there is, and says when it has.
fn peer(part: impl FnOnce(&mut Peer) + Send + 'static) -> (Place, Receiver<()>) {
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

fn unit() -> Unit {
    Unit { name: "web.scope".to_owned(), user: false }
}

fn limits() -> Vec<Property> {
    vec![
        Property { name: "Delegate", value: Value::Bool(true) },
        Property { name: "MemoryMax", value: Value::Number(7) },
        Property { name: "AllowedCPUs", value: Value::Set(vec![3]) },
    ]
}

fn start(place: &Place) -> Result<()> {
    place.manager(true).start(&unit(), &limits(), 42)?.wait()
}

/// The words of the error, which comes no later than twice the patience.
#[track_caller]
fn error(result: impl FnOnce() -> Result<()>) -> String {
    let since = Instant::now();
    let error = result().unwrap_err();
    let (kind, error) = (error.kind(), error.to_string());
    assert!(since.elapsed() < 3 * SHORT, "{error} after {:?}", since.elapsed());
    assert_eq!(kind == crate::ErrorKind::Timeout, error.contains("no answer within"), "{kind:?}: {error}");
    error
}

#[track_caller]
fn starting_fails(part: impl FnOnce(&mut Peer) + Send + 'static, words: &str) {
    let (place, _ended) = peer(part);
    let error = error(|| start(&place));
    let expected = format!("systemd: StartTransientUnit(web.scope) on unix:path={}: {words}", place.0.display());
    assert_eq!(error, expected);
}

#[test]
fn a_scope_is_there_when_its_job_is_done() {
    let (place, ended) = peer(|peer| {
        peer.let_in();
        let said = peer.hear().unwrap();
        assert_eq!(said.method, "StartTransientUnit");
        // Of somebody else's job nothing is learnt.
        peer.say(&[Peer::job_removed("/job/1", "failed"), Peer::reply(said.serial, "/job/2")]);
        sleep(Duration::from_millis(50));
        peer.say(&[Peer::job_removed("/job/2", "done")]);
    });
    start(&place).unwrap();
    ended.recv().unwrap();
}

#[test]
fn the_end_of_a_job_may_be_told_before_its_beginning() {
    let (place, _ended) = peer(|peer| {
        peer.let_in();
        let said = peer.hear().unwrap();
        peer.say(&[Peer::job_removed("/job/2", "done"), Peer::reply(said.serial, "/job/2")]);
    });
    start(&place).unwrap();
}

#[test]
fn a_message_may_come_byte_by_byte() {
    let (place, _ended) = peer(|peer| {
        peer.let_in();
        let said = peer.hear().unwrap();
        for byte in [Peer::reply(said.serial, "/job/2"), Peer::job_removed("/job/2", "done")].concat() {
            peer.0.write_all(&[byte]).unwrap();
        }
    });
    start(&place).unwrap();
}

#[test]
fn on_a_bus_we_introduce_ourselves_and_subscribe_first() {
    let (place, ended) = peer(|peer| {
        peer.let_in();
        let heard: Vec<_> = (0..4).map(|_| peer.hear().unwrap()).collect();
        let methods: Vec<_> = heard.iter().map(|said| said.method.as_str()).collect();
        assert_eq!(methods, ["Hello", "AddMatch", "Subscribe", "StartTransientUnit"]);
        let rule = String::from_utf8_lossy(&heard[1].body).into_owned();
        assert!(rule.contains("member='JobRemoved',arg2='web.scope'"), "{rule}");
        peer.say(&[Peer::reply(4, "/job/2"), Peer::job_removed("/job/2", "done")]);
    });
    place.manager(false).start(&unit(), &limits(), 42).unwrap().wait().unwrap();
    ended.recv().unwrap();
}

#[test]
fn a_bus_that_refuses_us_is_an_error() {
    let (place, _ended) = peer(|peer| {
        peer.let_in();
        peer.hear().unwrap();
        peer.say(&[Peer::error(1, "org.freedesktop.DBus.Error.LimitsExceeded", "too many of you")]);
    });
    let error = error(|| place.manager(false).start(&unit(), &limits(), 42)?.wait());
    assert!(error.ends_with(": too many of you (org.freedesktop.DBus.Error.LimitsExceeded)"), "{error}");
}

#[test]
fn who_never_answers_is_not_waited_for_longer_than_the_deadline() {
    let silent = |peer: &mut Peer| {
        let mut ignored = Vec::new();
        let _ = peer.0.read_to_end(&mut ignored);
    };
    starting_fails(silent, "no answer within 0.3 s");
    let deaf = |peer: &mut Peer| {
        peer.let_in();
        while peer.hear().is_some() {}
    };
    starting_fails(deaf, "no answer within 0.3 s");
    // It has taken the job, and never ends it.
    let slow = |peer: &mut Peer| {
        peer.let_in();
        let said = peer.hear().unwrap();
        peer.say(&[Peer::reply(said.serial, "/job/2")]);
        while peer.hear().is_some() {}
    };
    starting_fails(slow, "no answer within 0.3 s");
}

#[test]
fn who_never_stops_talking_is_not_listened_to_longer_either() {
    let chatty = |peer: &mut Peer| {
        peer.let_in();
        while peer.0.write_all(&Peer::job_removed("/job/1", "done")).is_ok() {
            sleep(Duration::from_millis(20));
        }
    };
    starting_fails(chatty, "no answer within 0.3 s");
}

#[test]
fn an_answer_may_come_late() {
    let (place, _ended) = peer(|peer| {
        sleep(SHORT / 4);
        peer.let_in();
        let said = peer.hear().unwrap();
        sleep(SHORT / 4);
        peer.say(&[Peer::reply(said.serial, "/job/2"), Peer::job_removed("/job/2", "done")]);
    });
    start(&place).unwrap();
}

#[test]
fn a_connection_that_breaks_is_an_error_at_once() {
    const CLOSED: &str = "the connection was closed before the answer";
    let (place, _ended) = peer(|_| {});
    let error = error(|| start(&place));
    assert!(error.contains("(ECONNRESET)") || error.contains(CLOSED), "{error}");
    let after_the_call = |peer: &mut Peer| {
        peer.let_in();
        peer.hear().unwrap();
    };
    starting_fails(after_the_call, CLOSED);
    let within_the_answer = |peer: &mut Peer| {
        peer.let_in();
        let said = peer.hear().unwrap();
        peer.0.write_all(&Peer::reply(said.serial, "/job/2")[..30]).unwrap();
    };
    starting_fails(within_the_answer, CLOSED);
    let within_the_job = |peer: &mut Peer| {
        peer.let_in();
        let said = peer.hear().unwrap();
        peer.say(&[Peer::reply(said.serial, "/job/2")]);
    };
    starting_fails(within_the_job, CLOSED);
}

#[test]
fn what_is_no_dbus_is_an_error() {
    let http = |peer: &mut Peer| peer.0.write_all(b"HTTP/1.1 400 Bad Request\r\n\r\n").unwrap();
    starting_fails(http, "not let in (HTTP/1.1 400 Bad Request)");
    // Who hangs up before we have sent everything is heard all the same.
    for _ in 0..50 {
        let rejected = |peer: &mut Peer| peer.0.write_all(b"REJECTED EXTERNAL\r\n").unwrap();
        starting_fails(rejected, "not let in (REJECTED EXTERNAL)");
    }
    for bytes in [[b'x'; 64], [0xff; 64]] {
        let noise = move |peer: &mut Peer| {
            peer.let_in();
            peer.hear().unwrap();
            peer.0.write_all(&bytes).unwrap();
        };
        starting_fails(noise, "what came is not D-Bus");
    }
    // It says that more will come than there is memory for.
    let endless = |peer: &mut Peer| {
        peer.let_in();
        peer.hear().unwrap();
        peer.0.write_all(&[b'l', 2, 1, 1, 0, 0, 0, 0x40, 1, 0, 0, 0, 8, 0, 0, 0]).unwrap();
    };
    starting_fails(endless, "what came is not D-Bus");
}

#[test]
fn a_job_that_is_not_done_is_an_error() {
    for result in ["failed", "canceled", "timeout", "dependency"] {
        let part = move |peer: &mut Peer| {
            peer.let_in();
            let said = peer.hear().unwrap();
            peer.say(&[Peer::reply(said.serial, "/job/2"), Peer::job_removed("/job/2", result)]);
        };
        starting_fails(part, &format!("the job ended as {result:?}: see systemctl status web.scope"));
    }
}

#[test]
fn a_refusal_is_passed_on() {
    let part = |peer: &mut Peer| {
        peer.let_in();
        let said = peer.hear().unwrap();
        peer.say(&[Peer::error(said.serial, "org.freedesktop.DBus.Error.AccessDenied", "Permission denied")]);
    };
    starting_fails(part, "Permission denied (org.freedesktop.DBus.Error.AccessDenied)");
}

#[test]
fn a_name_that_a_failed_unit_keeps_is_freed_once() {
    let (place, ended) = peer(|peer| {
        peer.let_in();
        let said = peer.hear().unwrap();
        peer.say(&[Peer::error(said.serial, UNIT_EXISTS, "Unit web.scope was already loaded")]);
        let (reset, again) = (peer.hear().unwrap(), peer.hear().unwrap());
        assert_eq!((reset.method.as_str(), again.method.as_str()), ("ResetFailedUnit", "StartTransientUnit"));
        assert_eq!(again.body, said.body);
        // It was not even there to be reset.
        peer.say(&[Peer::error(reset.serial, NO_SUCH_UNIT, "no")]);
        peer.say(&[Peer::reply(again.serial, "/job/2"), Peer::job_removed("/job/2", "done")]);
    });
    start(&place).unwrap();
    ended.recv().unwrap();

    let somebody_elses = |peer: &mut Peer| {
        peer.let_in();
        while let Some(said) = peer.hear() {
            let exists = Peer::error(said.serial, UNIT_EXISTS, "Unit web.scope was already loaded");
            peer.say(&[if said.method == "StartTransientUnit" { exists } else { Peer::reply(said.serial, "") }]);
        }
    };
    starting_fails(somebody_elses, "Unit web.scope was already loaded (org.freedesktop.systemd1.UnitExists)");
}

#[test]
fn what_an_older_systemd_does_not_know_is_left_out() {
    let contains = |said: &Said, name: &str| said.body.windows(name.len()).any(|window| window == name.as_bytes());
    let (place, ended) = peer(move |peer| {
        peer.let_in();
        let said = peer.hear().unwrap();
        assert!(contains(&said, "AllowedCPUs") && contains(&said, "PIDs"));
        let words = "Cannot set property AllowedCPUs, or unknown property.";
        peer.say(&[Peer::error(said.serial, READ_ONLY, words)]);
        let again = peer.hear().unwrap();
        assert!(!contains(&again, "AllowedCPUs") && contains(&again, "MemoryMax") && contains(&again, "PIDs"));
        peer.say(&[Peer::reply(again.serial, "/job/2"), Peer::job_removed("/job/2", "done")]);
    });
    start(&place).unwrap();
    ended.recv().unwrap();
    // Without this one there is no container.
    let needed = |peer: &mut Peer| {
        peer.let_in();
        let said = peer.hear().unwrap();
        peer.say(&[Peer::error(said.serial, READ_ONLY, "Cannot set property Delegate, or unknown property.")]);
    };
    let words = "Cannot set property Delegate, or unknown property. (org.freedesktop.DBus.Error.PropertyReadOnly)";
    starting_fails(needed, words);
}

#[test]
fn nobody_there_is_an_error_that_names_the_socket() {
    let place = Place::new();
    let error = error(|| start(&place));
    assert!(error.ends_with("connect: no such file or directory (ENOENT)"), "{error}");
    assert!(!place.manager(true).is_there());
}

#[test]
fn the_second_socket_does_where_nobody_listens_at_the_first() {
    let (place, _ended) = peer(|peer| {
        peer.let_in();
        let said = peer.hear().unwrap();
        peer.say(&[Peer::reply(said.serial, "/job/2"), Peer::job_removed("/job/2", "done")]);
    });
    let mut manager = place.manager(true);
    manager.addresses.insert(0, Address::of("/nonexistent/private", true));
    manager.start(&unit(), &limits(), 42).unwrap().wait().unwrap();
}

/// A listener whose queue is full: EAGAIN for who does not want to wait for room.
fn full(path: &Path) -> Vec<rustix::fd::OwnedFd> {
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

#[test]
fn a_full_queue_is_waited_for_until_the_deadline() {
    let place = Place::new();
    let sockets = full(&place.0);
    let error = error(|| start(&place));
    assert!(error.ends_with("connect: resource temporarily unavailable (EAGAIN)"), "{error}");
    // Room after a while is early enough.
    let listener = sockets[0].try_clone().unwrap();
    let queued = sockets.len() - 1;
    std::thread::spawn(move || {
        sleep(SHORT / 3);
        let listener = UnixListener::from(listener);
        listener.set_nonblocking(false).unwrap();
        let others: Vec<_> = (0..queued).map(|_| listener.accept().unwrap()).collect();
        let mut peer = Peer(listener.accept().unwrap().0);
        peer.let_in();
        let said = peer.hear().unwrap();
        peer.say(&[Peer::reply(said.serial, "/job/2"), Peer::job_removed("/job/2", "done")]);
        drop(others);
    });
    start(&place).unwrap();
}

#[test]
fn a_unit_is_stopped_and_forgotten() {
    let (place, ended) = peer(|peer| {
        peer.let_in();
        let stop = peer.hear().unwrap();
        assert_eq!(stop.method, "StopUnit");
        peer.say(&[Peer::reply(stop.serial, "/job/2"), Peer::job_removed("/job/2", "done")]);
        let reset = peer.hear().unwrap();
        assert_eq!(reset.method, "ResetFailedUnit");
        peer.say(&[Peer::error(reset.serial, NO_SUCH_UNIT, "Unit web.scope not loaded.")]);
    });
    place.manager(true).stop(&unit()).unwrap();
    ended.recv().unwrap();
    let (place, _ended) = peer(|peer| {
        peer.let_in();
        let stop = peer.hear().unwrap();
        peer.say(&[Peer::error(stop.serial, NO_SUCH_UNIT, "Unit web.scope not loaded.")]);
    });
    place.manager(true).stop(&unit()).unwrap();
    let (place, _ended) = peer(|peer| {
        peer.let_in();
        while peer.hear().is_some() {}
    });
    let error = error(|| place.manager(true).stop(&unit()));
    assert!(error.starts_with("systemd: StopUnit(web.scope) on ") && error.ends_with("within 0.3 s"), "{error}");
}

#[test]
fn limits_are_changed_and_processes_moved_in_one_call_each() {
    let (place, _ended) = peer(|peer| {
        peer.let_in();
        let said = peer.hear().unwrap();
        assert_eq!(said.method, "SetUnitProperties");
        peer.say(&[Peer::message(2, &[], Some(said.serial), "", &[])]);
    });
    place.manager(true).set_properties(&unit(), &limits()).unwrap();
    // Nothing that systemd has a property for: nothing to tell.
    Place::new().manager(true).set_properties(&unit(), &[]).unwrap();
    let (place, _ended) = peer(|peer| {
        peer.let_in();
        let said = peer.hear().unwrap();
        assert_eq!(said.method, "AttachProcessesToUnit");
        assert_eq!(said.body, b"\x09\0\0\0web.scope\0\0\0\x04\0\0\0/sub\0\0\0\0\x04\0\0\0\x2a\0\0\0");
        peer.say(&[Peer::message(2, &[], Some(said.serial), "", &[])]);
    });
    place.manager(true).attach(&unit(), "/sub", 42).unwrap();
}

#[test]
fn addresses_are_read_as_libdbus_does() {
    let list = |text| Address::list(text).iter().map(ToString::to_string).collect::<Vec<_>>();
    assert_eq!(list("unix:path=/run/user/1000/bus,guid=12"), ["unix:path=/run/user/1000/bus"]);
    assert_eq!(list("tcp:host=x,port=1;unix:abstract=/tmp/a%3ab"), ["unix:abstract=/tmp/a:b"]);
    assert_eq!(list("unix:path=/a%zz;autolaunch:"), [""; 0]);
}
