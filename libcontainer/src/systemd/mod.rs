//! Talking to systemd (org.freedesktop.systemd1(5)): a scope for a container, its limits, its end.
//!
//! Every errand has a connection and a deadline of its own: a manager that is busy, stopped or gone costs a container, not the
//! engine that waits for us.
#![forbid(unsafe_code)]
mod bus;
mod message;

use crate::plan::cgroup::{Property, Unit};
use crate::{Result, cgroup};
use bus::{Address, Bus, Errand, SYSTEMD};
#[cfg(any(test, fuzzing))]
pub(crate) use message::laws as message_laws;
use message::{Body, Message, Refusal};
use std::path::PathBuf;
use std::time::Duration;

/// How long systemd may take for a scope, or other limits for it. It reads all its units at a daemon-reload.
const PATIENCE: Duration = Duration::from_secs(30);
/// To forget a scope that holds nobody any more, which it also does by itself.
const FORGETTING: Duration = Duration::from_secs(10);

const NO_SUCH_UNIT: &str = "org.freedesktop.systemd1.NoSuchUnit";
const UNIT_EXISTS: &str = "org.freedesktop.systemd1.UnitExists";
const READ_ONLY: &str = "org.freedesktop.DBus.Error.PropertyReadOnly";

/// The system's systemd, or a user's own.
#[derive(Debug, Clone)]
pub(crate) struct Manager {
    addresses: Vec<Address>,
    patience: Duration,
    forgetting: Duration,
}

impl Manager {
    pub(crate) fn of(user: bool) -> Manager {
        Manager {
            addresses: if user { user_addresses() } else { system_addresses() },
            patience: PATIENCE,
            forgetting: FORGETTING,
        }
    }

    /// Somebody listens, or might.
    pub(crate) fn is_there(&self) -> bool {
        // may fail: who cannot get there cannot speak to it.
        self.addresses.iter().any(|address| address.is_abstract || rustix::fs::stat(&address.path).is_ok())
    }

    /// Asks for a scope with `pid` in it, and does not wait for it.
    pub(crate) fn start(&self, unit: &Unit, properties: &[Property], pid: i32) -> Result<Starting> {
        let errand = Errand::new("StartTransientUnit", &unit.name, self.patience);
        let bus = Bus::connect(&self.addresses, errand)?;
        bus.check_pids()?;
        let (unit, properties) = (unit.name.clone(), properties.to_vec());
        let mut starting = Starting { bus, unit, pid, properties, call: None, has_reset: false, was_lost: false };
        match starting.ask() {
            Err(error) if !starting.bus.is_lost() => Err(error),
            // `wait` asks again.
            _ => Ok(starting),
        }
    }

    /// Ends a unit that nobody is left in, and forgets how it ended: its name is free afterwards.
    pub(crate) fn stop(&self, unit: &Unit) -> Result<()> {
        let mut bus = Bus::connect(&self.addresses, Errand::new("StopUnit", &unit.name, self.forgetting))?;
        bus.retry(|bus| {
            bus.listen(&unit.name);
            let stop = bus.call(SYSTEMD, "StopUnit", &Body::default().text(&unit.name).text("replace"));
            bus.send()?;
            match wait_for_job(bus, stop)? {
                Answer::Done => {}
                Answer::Refused(refusal) if refusal.name == NO_SUCH_UNIT => return Ok(()),
                Answer::Refused(refusal) => return Err(bus.error(refusal)),
                Answer::NotDone(result) => return Err(bus.error(format!("the job ended as {result:?}"))),
            }
            let reset = bus.call(SYSTEMD, "ResetFailedUnit", &Body::default().text(&unit.name));
            bus.send()?;
            match wait_for_reply(bus, reset)? {
                Answer::Refused(refusal) if refusal.name != NO_SUCH_UNIT => Err(bus.error(refusal)),
                _ => Ok(()),
            }
        })
    }

    /// Moves `pid` into a scope, or into the group at `below` in it. Unlike its user, a user's systemd may move what is outside of
    /// its own groups: it asks the system's.
    pub(crate) fn attach(&self, unit: &Unit, below: &str, pid: i32) -> Result<()> {
        let errand = Errand::new("AttachProcessesToUnit", &unit.name, self.patience);
        let mut bus = Bus::connect(&self.addresses, errand)?;
        bus.check_pids()?;
        let body = Body::default().text(&unit.name).text(below).pids(pid.unsigned_abs());
        bus.retry(|bus| {
            let attach = bus.call(SYSTEMD, "AttachProcessesToUnit", &body);
            bus.send()?;
            match wait_for_reply(bus, attach)? {
                Answer::Refused(refusal) => Err(bus.error(refusal)),
                _ => Ok(()),
            }
        })
    }

    /// Other limits, until the next boot.
    pub(crate) fn set_properties(&self, unit: &Unit, properties: &[Property]) -> Result<()> {
        let mut properties = properties.to_vec();
        if properties.is_empty() {
            return Ok(());
        }
        let mut bus = Bus::connect(&self.addresses, Errand::new("SetUnitProperties", &unit.name, self.patience))?;
        bus.retry(|bus| {
            loop {
                let body = Body::default().text(&unit.name).bool(true).properties(&properties, None);
                let set = bus.call(SYSTEMD, "SetUnitProperties", &body);
                bus.send()?;
                match wait_for_reply(bus, set)? {
                    Answer::Refused(refusal) if drop_unknown(&mut properties, &refusal) => {}
                    Answer::Refused(refusal) => return Err(bus.error(refusal)),
                    _ => return Ok(()),
                }
            }
        })
    }
}

/// A scope that has been asked for.
#[derive(Debug)]
pub(crate) struct Starting {
    bus: Bus,
    unit: String,
    pid: i32,
    properties: Vec<Property>,
    /// The serial of the call, once it has been made.
    call: Option<u32>,
    has_reset: bool,
    /// The connection was lost after the call, which may have been heard.
    was_lost: bool,
}

impl Starting {
    fn ask(&mut self) -> Result<u32> {
        if self.call.is_none() {
            self.bus.listen(&self.unit);
        }
        let body = Body::default().text(&self.unit).text("fail");
        let body = body.properties(&self.properties, Some(self.pid.unsigned_abs())).no_units();
        let call = self.bus.call(SYSTEMD, "StartTransientUnit", &body);
        self.call = Some(call);
        self.bus.send()?;
        Ok(call)
    }

    /// Waits until the process is in the scope, and the scope has what was asked for.
    pub(crate) fn wait(mut self) -> Result<()> {
        loop {
            match self.hear() {
                Err(lost) if self.bus.is_lost() => {
                    self.bus.reconnect(lost)?;
                    (self.call, self.was_lost) = (None, true);
                }
                ended => return ended,
            }
        }
    }

    fn hear(&mut self) -> Result<()> {
        let mut call = match self.call {
            Some(call) => call,
            None => self.ask()?,
        };
        loop {
            match wait_for_job(&mut self.bus, call)? {
                Answer::Done => return Ok(()),
                Answer::NotDone(result) => {
                    let words = format!("the job ended as {result:?}");
                    return Err(self.bus.error(words).detail(format!("see systemctl status {}", self.unit)));
                }
                // The one that we had asked for.
                Answer::Refused(refusal) if refusal.name == UNIT_EXISTS && self.was_lost && self.is_settled() => {
                    return Ok(());
                }
                // One that has failed and was not forgotten keeps its name. One that is active does so too, rightly.
                Answer::Refused(refusal) if refusal.name == UNIT_EXISTS && !self.has_reset => {
                    self.has_reset = true;
                    self.bus.call(SYSTEMD, "ResetFailedUnit", &Body::default().text(&self.unit));
                }
                // Its job may still be going on.
                Answer::Refused(refusal) if refusal.name == UNIT_EXISTS && self.was_lost && self.bus.pause() => {}
                Answer::Refused(refusal) if drop_unknown(&mut self.properties, &refusal) => {}
                Answer::Refused(refusal) => return Err(self.bus.error(refusal)),
            }
            call = self.ask()?;
        }
    }

    /// The process is in a group of the scope's name: systemd moves it there when the scope has all that was asked for.
    fn is_settled(&self) -> bool {
        // may fail: it is asked again, until time is up.
        let groups = std::fs::read_to_string(format!("/proc/{}/cgroup", self.pid)).unwrap_or_default();
        cgroup::memberships(&groups).any(|(_, path)| path.rsplit('/').next() == Some(&self.unit))
    }
}

/// What became of a call.
enum Answer {
    Done,
    Refused(Refusal),
    /// Its job had another result.
    NotDone(String),
}

/// The answer to a call.
fn wait_for_reply(bus: &mut Bus, call: u32) -> Result<Answer> {
    loop {
        match bus.receive()? {
            Message::Reply { to, .. } if to == call => return Ok(Answer::Done),
            Message::Failure { to, refusal } if to == call => return Ok(Answer::Refused(refusal)),
            _ => {}
        }
    }
}

/// The answer to a call that makes a job, and the end of that job.
fn wait_for_job(bus: &mut Bus, call: u32) -> Result<Answer> {
    let mut wanted = None;
    let mut ended = Vec::new();
    loop {
        match bus.receive()? {
            Message::Reply { to, value } if to == call => wanted = Some(value),
            Message::Failure { to, refusal } if to == call => return Ok(Answer::Refused(refusal)),
            Message::JobRemoved { job, result } => ended.push((job, result)),
            _ => {}
        }
        if let Some((_, result)) = ended.iter().find(|(job, _)| Some(job) == wanted.as_ref()) {
            return Ok(if result == "done" { Answer::Done } else { Answer::NotDone(result.clone()) });
        }
    }
}

/// A systemd that is older than a property names it in its refusal. A limit is written to the group as well, so that it holds
/// nevertheless, until systemd writes its own. `false` if it says something else, or names none that can be done without.
fn drop_unknown(properties: &mut Vec<Property>, refusal: &Refusal) -> bool {
    const NEEDED: [&str; 3] = ["PIDs", "Slice", "Delegate"];
    let named = |property: &Property| {
        refusal.words.split(|letter: char| !letter.is_ascii_alphanumeric()).any(|word| word == property.name)
    };
    if refusal.name != READ_ONLY {
        return false;
    }
    let before = properties.len();
    properties.retain(|property| {
        let drop = !NEEDED.contains(&property.name) && named(property);
        if drop {
            log::warn!("this systemd does not know {property}");
        }
        !drop
    });
    properties.len() < before
}

/// As libsystemd has it, and before a bus systemd's own socket: nobody in between who could be slow, full or stopped.
fn system_addresses() -> Vec<Address> {
    if let Some(given) = given("DBUS_SYSTEM_BUS_ADDRESS") {
        return given;
    }
    vec![Address::of("/run/systemd/private", true), Address::of("/run/dbus/system_bus_socket", false)]
}

fn user_addresses() -> Vec<Address> {
    if let Some(given) = given("DBUS_SESSION_BUS_ADDRESS") {
        return given;
    }
    let uid = rustix::process::geteuid().as_raw();
    let runtime = variable("XDG_RUNTIME_DIR").map_or_else(|| PathBuf::from(format!("/run/user/{uid}")), PathBuf::from);
    vec![Address::of(runtime.join("systemd/private"), true), Address::of(runtime.join("bus"), false)]
}

/// The Unix sockets among the addresses that a variable holds.
fn given(name: &str) -> Option<Vec<Address>> {
    variable(name).map(|text| Address::list(&text)).filter(|addresses| !addresses.is_empty())
}

/// Engines set one empty that they would rather unset.
fn variable(name: &str) -> Option<String> {
    std::env::var(name).ok().filter(|value| !value.is_empty())
}

#[cfg(test)]
mod tests;
