//! Peers that are late, broken or of another opinion. Each is a thread behind a socket, and plays a part.
mod peer;

use super::*;
use crate::plan::cgroup::Value;
use peer::{Peer, Place, Said, full, peer};
use std::io::{Read, Write};
use std::os::unix::net::UnixListener;
use std::thread::sleep;
use std::time::Instant;

const SHORT: Duration = Duration::from_millis(300);

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
