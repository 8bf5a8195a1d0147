//! What the fuzz targets in `../fuzz` do with their input. Each panics if something does not hold. The ordinary tests
//! do the same with the seeds.
use crate::Bundle;
use crate::launch::{Channel, Heard, explain};
use crate::plan::create;
pub use crate::plan::fuzz::{config, json, mount_options, seccomp};
use crate::plan::fuzz::{hosts, says_something};
use crate::plan::line::InitStep;
use crate::store::Record;
use rustix::fd::AsFd;
use std::path::Path;
use step::{FromInit, Step, ToInit, ZStr};

/// What init and the host say to each other: whatever arrives, each understands it or says that it does not.
pub fn messages(bytes: &[u8]) {
    is_said_again(bytes, |bytes| postcard::to_stdvec(&postcard::from_bytes::<ToInit>(bytes).ok()?).ok());
    is_said_again(bytes, |bytes| postcard::to_stdvec(&postcard::from_bytes::<FromInit<'_>>(bytes).ok()?).ok());

    // A plan, as init reads it.
    let mut rest = bytes;
    while let Ok((line, after)) = postcard::take_from_bytes::<(u16, Step<ZStr<'_>, &[u8]>)>(rest) {
        let sent: (u16, InitStep) = postcard::from_bytes(&rest[..rest.len() - after.len()]).unwrap();
        let again = postcard::to_stdvec(&sent).unwrap();
        assert_eq!(postcard::from_bytes(&again), Ok(line));
        rest = after;
    }

    // One message of init's, as the host hears it.
    let (ours, theirs) = Channel::pair().unwrap();
    // may fail: what is too long for the socket is no message.
    if rustix::net::send(theirs.as_fd(), bytes, rustix::net::SendFlags::NOSIGNAL).is_err() {
        return;
    }
    match ours.receive() {
        Ok(Heard::Failed(words)) => {
            let config: &[u8] = include_bytes!("../../oci-bundles/docker-default/config.json");
            let bundle = Bundle::from_parts("/bundle".into(), config.to_vec()).unwrap();
            let [(facts, options), ..] = hosts();
            let plan = create(Path::new("/bundle"), bundle.spec(), &facts, &options).unwrap();
            says_something(&explain(&plan.lines, &words));
        }
        Ok(Heard::Closed) => assert!(bytes.is_empty()),
        Ok(_) => {}
        Err(error) => says_something(&error),
    }
}

/// Who understands it would be understood as well.
fn is_said_again(bytes: &[u8], say_again: fn(&[u8]) -> Option<Vec<u8>>) {
    if let Some(again) = say_again(bytes) {
        assert_eq!(say_again(&again).as_ref(), Some(&again));
    }
}

/// A state.json: a container that is what it was after being written again, or an error that names the place.
pub fn state(bytes: &[u8]) {
    let parse = |bytes: &[u8]| Record::parse(bytes, Path::new("/run/plimsoll/web/state.json"));
    let record = match parse(bytes) {
        Ok(record) => record,
        Err(error) => return says_something(&error),
    };
    let again = serde_json::to_vec(&record).unwrap();
    let twice = serde_json::to_vec(&parse(&again).unwrap()).unwrap();
    assert_eq!(String::from_utf8(again), String::from_utf8(twice));
    // Whatever the number, there is such a process or there is none.
    if let Some(init) = &record.init {
        // may fail: as it may for a number that is anybody's.
        let _ = init.life();
    }
    let told = crate::container::state_for_hooks(&record, "created", 1);
    let told: serde_json::Value = serde_json::from_slice(&told).unwrap();
    assert_eq!(told["id"], record.id);
}

/// What comes over the system's bus, from systemd or anybody.
pub fn bus(bytes: &[u8]) {
    crate::systemd::message_laws(bytes);
}

/// An answer of CRIU's, the names in images of anybody's, and the log that CRIU leaves.
pub fn criu(bytes: &[u8]) {
    crate::criu::laws::hold(bytes);
}

/// A datagram of rtnetlink(7).
pub fn netlink(bytes: &[u8]) {
    crate::launch::net_devices::laws(bytes);
}

/// A `/proc/PID/mountinfo`: whoever may mount chooses what stands in it.
pub fn mountinfo(bytes: &[u8]) {
    crate::mountinfo::laws(bytes);
}

/// A `/proc/PID/cgroup`: whoever may make groups chooses what stands in it.
pub fn places(bytes: &[u8]) {
    crate::cgroup::place_laws(&String::from_utf8_lossy(bytes));
}

/// A subuid(5) or subgid(5).
pub fn subids(bytes: &[u8]) {
    crate::check::subids_laws(&String::from_utf8_lossy(bytes));
}

#[cfg(test)]
mod tests {
    /// What `fuzz/run` starts from.
    fn each_seed_of(target: &str, run: impl Fn(&[u8])) {
        let directory = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("fuzz/seeds").join(target);
        let mut seen = 0;
        for seed in std::fs::read_dir(directory).unwrap() {
            run(&std::fs::read(seed.unwrap().path()).unwrap());
            seen += 1;
        }
        assert!(seen >= 3, "{seen} seeds");
    }

    /// `BLESS=1` writes the plans of some bundles to the seeds, as init reads them.
    fn bless_plans() {
        if std::env::var_os("BLESS").is_none() {
            return;
        }
        for name in ["default", "everything"] {
            let file = format!("{}/fuzz/seeds/config/{name}.json", env!("CARGO_MANIFEST_DIR"));
            let bundle = crate::Bundle::from_parts("/bundle".into(), std::fs::read(file).unwrap()).unwrap();
            let [(facts, options), ..] = crate::plan::fuzz::hosts();
            let plan = super::create("/bundle".as_ref(), bundle.spec(), &facts, &options).unwrap();
            let bytes = crate::launch::encode(&plan.lines, 0).unwrap();
            std::fs::write(format!("{}/fuzz/seeds/messages/{name}", env!("CARGO_MANIFEST_DIR")), bytes).unwrap();
        }
        let failure =
            step::Failure { line: 20, call: step::Call::Fsconfig, errno: 22, detail: b"tmpfs: Bad value for 'size'" };
        let messages = [
            ("plan", postcard::to_stdvec(&step::ToInit::Plan { len: 5000, trace: 30 })),
            ("reached", postcard::to_stdvec(&step::FromInit::Reached { line: 12 })),
            ("passed", postcard::to_stdvec(&step::FromInit::Passed { line: 3, nanoseconds: 123_456_789_012 })),
            ("forked", postcard::to_stdvec(&step::FromInit::Forked { pid: 4242 })),
            ("failed", postcard::to_stdvec(&step::FromInit::Failed(failure))),
        ];
        for (name, bytes) in messages {
            std::fs::write(format!("{}/fuzz/seeds/messages/{name}", env!("CARGO_MANIFEST_DIR")), bytes.unwrap())
                .unwrap();
        }
    }

    #[test]
    fn what_holds_for_any_message_holds_for_the_seeds() {
        bless_plans();
        each_seed_of("messages", super::messages);
    }

    #[test]
    fn what_holds_for_any_state_file_holds_for_the_seeds() {
        each_seed_of("state", super::state);
    }

    /// The seeds, each cut short at every byte, and with every byte changed.
    fn and_what_is_near(run: fn(&[u8])) -> impl Fn(&[u8]) {
        move |seed| {
            run(seed);
            // A host's mountinfo may be long.
            for at in 0..seed.len().min(2000) {
                run(&seed[..at]);
                for byte in [0, 1, b' ', b'\\', 0x7f, 0xff, seed[at] ^ 1] {
                    let mut changed = seed[..seed.len().min(2000)].to_vec();
                    changed[at] = byte;
                    run(&changed);
                }
            }
        }
    }

    #[test]
    fn what_holds_for_all_that_strangers_send_holds_for_the_seeds_and_what_is_near() {
        each_seed_of("bus", and_what_is_near(super::bus));
        each_seed_of("criu", and_what_is_near(super::criu));
        each_seed_of("netlink", and_what_is_near(super::netlink));
        each_seed_of("mountinfo", and_what_is_near(super::mountinfo));
        each_seed_of("places", and_what_is_near(super::places));
        each_seed_of("subids", and_what_is_near(super::subids));
    }
}
