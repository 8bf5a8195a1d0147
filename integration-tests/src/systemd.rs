//! systemd: the real one, where there is one, and one that is played.
use crate::{cgroup, skips};
use std::fs;
use std::io::{Read, Write};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::{Arc, Mutex};
use std::time::Duration;

/// Whether systemd runs this machine (sd_booted(3)); if not, the test is skipped.
pub fn is_there() -> bool {
    !skips(!Path::new("/run/systemd/system").is_dir(), "needs systemd (`test --vm` has it)")
}

/// A user whose own systemd runs; without one the test is skipped.
pub fn user() -> Option<u32> {
    let users = fs::read_dir("/run/user").into_iter().flatten().flatten();
    let uids = users.filter_map(|entry| entry.file_name().to_str()?.parse().ok());
    let user =
        uids.into_iter().find(|uid| *uid != 0 && Path::new(&format!("/run/user/{uid}/systemd/private")).exists());
    skips(user.is_none(), "needs a user with a systemd (`test --vm` has one)");
    user
}

/// The units of that name that systemd has loaded, as it lists them.
pub fn units(name: &str) -> Vec<String> {
    let listed = Command::new("systemctl").args(["list-units", "--all", "--plain", "--no-legend", name]).output();
    let text = listed.map(|output| output.stdout).unwrap_or_default();
    String::from_utf8_lossy(&text).lines().map(str::to_owned).collect()
}

/// What `systemctl show` says of a property.
///
/// # Panics
/// Without systemctl.
pub fn show(unit: &str, property: &str) -> String {
    let shown = Command::new("systemctl").args(["show", "--value", "--property", property, unit]).output();
    String::from_utf8_lossy(&shown.expect("systemctl").stdout).trim_end().to_owned()
}

/// # Panics
/// If it fails.
#[track_caller]
pub fn systemctl(args: &[&str]) {
    let status = Command::new("systemctl").args(args).status().expect("systemctl");
    assert!(status.success(), "systemctl {args:?}");
}

/// What a played systemd does when it is asked for a scope.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Part {
    /// What the real one does, as far as the groups go; after a while.
    Works(Duration),
    /// Nothing, for ever.
    IsSilent,
    /// Makes the scope, and the connection ends in the middle of saying so.
    Drops,
    /// Says what is no D-Bus.
    Babbles,
    /// The job ends so, without a scope.
    Fails(&'static str),
    /// Makes the scope where nobody looks for it.
    Misplaces,
    /// Refuses whatever it is asked for.
    Refuses,
    /// What `systemctl daemon-reexec` does to whoever has just asked for something, which is then done or not: the connection
    /// ends, for a moment nobody listens, and what was asked for goes on.
    Reexecutes { has_heard: bool },
}

/// A systemd that is played, for every connection by a thread of its own. As the real one it does one thing at a time, in the
/// order that it is asked for them.
#[derive(Debug)]
pub struct Played {
    socket: PathBuf,
    heard: Arc<Mutex<Vec<String>>>,
}

impl Played {
    /// # Panics
    /// Without a temporary directory.
    pub fn new(socket: PathBuf, part: Part) -> Played {
        let listener = UnixListener::bind(&socket).expect("a temporary directory");
        let heard = Arc::new(Mutex::new(Vec::new()));
        let (log, path) = (heard.clone(), socket.clone());
        std::thread::spawn(move || {
            let turn = Arc::new(Mutex::new(()));
            let mut listener = listener;
            while let Ok((peer, _)) = listener.accept() {
                let (log, turn) = (log.clone(), turn.clone());
                let playing = std::thread::spawn(move || Peer { socket: peer, log, turn }.play(part));
                if matches!(part, Part::Reexecutes { .. }) && playing.join().is_ok_and(|ended| ended.is_none()) {
                    let _ = fs::remove_file(&path);
                    drop(listener);
                    std::thread::sleep(Duration::from_millis(100));
                    let Ok(again) = UnixListener::bind(&path) else { return };
                    listener = again;
                }
            }
        });
        Played { socket, heard }
    }

    /// As `DBUS_SYSTEM_BUS_ADDRESS`.
    pub fn address(&self) -> String {
        format!("unix:path={}", self.socket.display())
    }

    /// The methods that have been called, but for what every connection begins with.
    ///
    /// # Panics
    /// If the player has.
    pub fn heard(&self) -> Vec<String> {
        self.heard.lock().expect("no panic").clone()
    }
}

struct Peer {
    socket: UnixStream,
    log: Arc<Mutex<Vec<String>>>,
    turn: Arc<Mutex<()>>,
}

const JOB: &str = "/org/freedesktop/systemd1/job/7";

impl Peer {
    fn play(mut self, part: Part) -> Option<()> {
        let mut start = Vec::new();
        while !start.ends_with(b"BEGIN\r\n") {
            let mut byte = [0];
            self.socket.read_exact(&mut byte).ok()?;
            start.push(byte[0]);
        }
        self.socket.write_all(b"DATA\r\nOK 350db8d9e63e4d04a3c4ec190237310f\r\n").ok()?;
        loop {
            let Some(call) = self.hear() else { return Some(()) };
            let turn = self.turn.clone();
            let _turn = turn.lock().ok()?;
            if !matches!(call.method, "Hello" | "AddMatch" | "Subscribe") {
                self.log.lock().ok()?.push(call.method.to_owned());
            }
            let heard = self.log.lock().ok()?.iter().filter(|method| *method == call.method).count();
            if let (Part::Reexecutes { has_heard }, 1) = (part, heard) {
                if has_heard && call.method == "StartTransientUnit" {
                    make(&call.slice, &call.texts[0], call.pid);
                }
                return None;
            }
            match call.method {
                "StartTransientUnit" => self.start(&call, part)?,
                _ if part == Part::IsSilent => {}
                _ if part == Part::Refuses => {
                    self.refuse(&call, "org.freedesktop.DBus.Error.AccessDenied", "Permission denied")?
                }
                "StopUnit" => {
                    let groups = groups(&call.texts[0]);
                    let removed = groups.iter().filter(|group| fs::remove_dir(group).is_ok()).count();
                    if removed == 0 {
                        let words = format!("Unit {} not loaded.", call.texts[0]);
                        self.refuse(&call, "org.freedesktop.systemd1.NoSuchUnit", &words)?;
                    } else {
                        self.job_done(&call, "done")?;
                    }
                }
                _ => self.say(message(2, &[], Some(call.serial), "", &[]))?,
            }
        }
    }

    fn start(&mut self, call: &Call, part: Part) -> Option<()> {
        let unit = &call.texts[0];
        match part {
            Part::IsSilent => Some(()),
            Part::Works(after) => {
                std::thread::sleep(after);
                make(&call.slice, unit, call.pid);
                self.job_done(call, "done")
            }
            Part::Misplaces => {
                make(&call.slice, &format!("other-{unit}"), call.pid);
                self.job_done(call, "done")
            }
            Part::Reexecutes { .. } if !groups(unit).is_empty() => {
                let words = format!("Unit {unit} was already loaded or has a fragment file.");
                self.refuse(call, "org.freedesktop.systemd1.UnitExists", &words)
            }
            Part::Reexecutes { .. } => {
                make(&call.slice, unit, call.pid);
                self.job_done(call, "done")
            }
            Part::Refuses => self.refuse(call, "org.freedesktop.DBus.Error.AccessDenied", "Permission denied"),
            Part::Fails(result) => self.job_done(call, result),
            Part::Babbles => self.say(vec![b'x'; 64]),
            Part::Drops => {
                make(&call.slice, unit, call.pid);
                let reply = message(2, &[], Some(call.serial), "o", &texts(&[JOB]));
                self.socket.write_all(&reply[..reply.len() / 2]).ok()?;
                None
            }
        }
    }

    fn job_done(&mut self, call: &Call, result: &str) -> Option<()> {
        self.say(message(2, &[], Some(call.serial), "o", &texts(&[JOB])))?;
        let mut body = vec![7, 0, 0, 0];
        body.extend(texts(&[JOB, &call.texts[0], result]));
        let fields = [
            (1, 'o', "/org/freedesktop/systemd1"),
            (2, 's', "org.freedesktop.systemd1.Manager"),
            (3, 's', "JobRemoved"),
        ];
        self.say(message(4, &fields, None, "uoss", &body))
    }

    fn refuse(&mut self, call: &Call, name: &str, words: &str) -> Option<()> {
        self.say(message(3, &[(4, 's', name)], Some(call.serial), "s", &texts(&[words])))
    }

    fn say(&mut self, bytes: Vec<u8>) -> Option<()> {
        self.socket.write_all(&bytes).ok()
    }

    fn hear(&mut self) -> Option<Call> {
        let mut head = [0; 16];
        self.socket.read_exact(&mut head).ok()?;
        let number = |at: usize| u32::from_le_bytes(head[at..at + 4].try_into().expect("four bytes"));
        let fields = (number(12) as usize).next_multiple_of(8);
        let mut rest = vec![0; fields + number(4) as usize];
        self.socket.read_exact(&mut rest).ok()?;
        Some(Call::new(number(8), &rest[..fields], &rest[fields..]))
    }
}

/// What of a call is of interest to who plays.
struct Call {
    serial: u32,
    method: &'static str,
    /// The strings that the body begins with.
    texts: Vec<String>,
    slice: String,
    pid: u32,
}

impl Call {
    fn new(serial: u32, fields: &[u8], body: &[u8]) -> Call {
        const METHODS: [&str; 8] = [
            "StartTransientUnit",
            "StopUnit",
            "ResetFailedUnit",
            "SetUnitProperties",
            "AttachProcessesToUnit",
            "Hello",
            "AddMatch",
            "Subscribe",
        ];
        let is_in = |method: &&str| find(fields, method.as_bytes()).is_some();
        let method = METHODS.into_iter().find(is_in).expect("a method that is known");
        let text = |at: usize| {
            let length = u32::from_le_bytes(body.get(at..at + 4)?.try_into().ok()?) as usize;
            String::from_utf8(body.get(at + 4..at + 4 + length)?.to_vec()).ok()
        };
        let after = |name: &[u8]| find(body, name).map(|at| at + name.len());
        // Name, signature, and then the value at a multiple of its size.
        let slice = after(b"Slice\0\x01s\0").and_then(|at| text(at.next_multiple_of(4)));
        let pid = after(b"PIDs\0\x02au\0").map(|at| at.next_multiple_of(4) + 4);
        let pid = pid.and_then(|at| Some(u32::from_le_bytes(body.get(at..at + 4)?.try_into().ok()?)));
        let texts = if body.is_empty() { Vec::new() } else { text(0).into_iter().collect() };
        Call { serial, method, texts, slice: slice.unwrap_or_default(), pid: pid.unwrap_or_default() }
    }
}

fn find(bytes: &[u8], words: &[u8]) -> Option<usize> {
    bytes.windows(words.len()).position(|window| window == words)
}

/// The groups that systemd makes by itself: on cgroup v1 some of the hierarchies stay for the runtime.
fn hierarchies() -> Vec<PathBuf> {
    let names = if cgroup::is_v2() { &[""][..] } else { &["systemd", "memory", "pids"] };
    names.iter().map(|name| Path::new(cgroup::ROOT).join(name)).collect()
}

fn make(slice: &str, unit: &str, pid: u32) {
    for hierarchy in hierarchies() {
        let group = hierarchy.join(slice).join(unit);
        fs::create_dir_all(hierarchy.join(slice)).expect("a group");
        if cgroup::is_v2() {
            for parent in [&hierarchy, &hierarchy.join(slice)] {
                fs::write(parent.join("cgroup.subtree_control"), "+memory +pids +cpu").expect("controllers");
            }
        }
        fs::create_dir_all(&group).expect("a group");
        // Whoever has ended meanwhile is in no group.
        let _ = fs::write(group.join("cgroup.procs"), pid.to_string());
    }
}

/// Wherever there is a group of that name in a slice of the tests.
fn groups(unit: &str) -> Vec<PathBuf> {
    let slices = |hierarchy: PathBuf| {
        let entries = fs::read_dir(hierarchy).into_iter().flatten().flatten().map(|entry| entry.path());
        entries.filter(|path| path.extension().is_some_and(|end| end == "slice")).collect::<Vec<_>>()
    };
    let groups = hierarchies().into_iter().flat_map(slices).map(|slice| slice.join(unit));
    groups.filter(|group| group.is_dir()).collect()
}

fn texts(texts: &[&str]) -> Vec<u8> {
    let mut body: Vec<u8> = Vec::new();
    for text in texts {
        body.resize(body.len().next_multiple_of(4), 0);
        body.extend(u32::try_from(text.len()).expect("short").to_le_bytes());
        body.extend(text.as_bytes());
        body.push(0);
    }
    body
}

/// A message with these fields: (code, type, value).
fn message(kind: u8, fields: &[(u8, char, &str)], to: Option<u32>, signature: &str, body: &[u8]) -> Vec<u8> {
    let pad = |bytes: &mut Vec<u8>, to: usize| bytes.resize(bytes.len().next_multiple_of(to), 0);
    let number = |number: usize| u32::try_from(number).expect("short").to_le_bytes();
    let mut header = Vec::new();
    for (code, kind, value) in fields {
        pad(&mut header, 8);
        header.extend([*code, 1, u8::try_from(*kind).expect("ASCII"), 0]);
        header.extend(number(value.len()));
        header.extend(value.as_bytes());
        header.push(0);
    }
    if !signature.is_empty() {
        pad(&mut header, 8);
        header.extend([8, 1, b'g', 0, u8::try_from(signature.len()).expect("short")]);
        header.extend(signature.as_bytes());
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
