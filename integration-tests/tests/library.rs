//! The library, called as a program with threads calls it.
mod children;
mod program;
mod streams;

use libcontainer::oci_spec::runtime::{LinuxResources, Process};
use libcontainer::{Bundle, Child, Container, CreateOptions, ErrorKind, Event, FreezerState, Result, State, Store};
use plimsoll_integration_tests::{Container as Test, cgroup, runtime};
use serde_json::{Value, json};
use std::fs;
use std::os::fd::AsFd;
use std::time::Duration;

/// A test's container that the library makes.
pub(crate) struct Case(pub(crate) Test);

impl Case {
    pub(crate) fn new() -> Case {
        Case(Test::new().args(&["sleep", "1000"]))
    }

    pub(crate) fn with(change: impl FnOnce(Test) -> Test) -> Case {
        Case(change(Case::new().0))
    }

    pub(crate) fn store(&self) -> Store {
        Store::open(self.0.dir.join("state")).expect("a store")
    }

    pub(crate) fn create(&self) -> Result<(Container, Child)> {
        self.create_with(CreateOptions::new())
    }

    fn create_with(&self, options: CreateOptions) -> Result<(Container, Child)> {
        self.0.write_config();
        self.store().create(&self.0.id, &Bundle::open(&self.0.dir)?, options)
    }

    pub(crate) fn created(&self) -> Container {
        self.create().expect("created").0
    }

    pub(crate) fn running(&self) -> Container {
        let container = self.created();
        container.start().expect("started");
        container
    }

    pub(crate) fn ended(&self) -> Container {
        let container = self.running();
        container.kill(libc::SIGKILL).expect("killed");
        while container.state().expect("a state").pid != 0 {
            std::thread::yield_now();
        }
        container
    }
}

/// A process that runs this as root.
fn process(args: &[&str]) -> Process {
    let json = json!({"args": args, "cwd": "/", "user": {"uid": 0, "gid": 0}, "env": ["PATH=/bin"]});
    Bundle::process_from_slice(json.to_string().as_bytes()).expect("a process")
}

/// Whether a descriptor is readable within this time.
fn is_readable(descriptor: impl AsFd, within: Duration) -> bool {
    use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
    let timeout = PollTimeout::try_from(within).expect("short");
    poll(&mut [PollFd::new(descriptor.as_fd(), PollFlags::POLLIN)], timeout).expect("polled") > 0
}

fn resources(of: &Value) -> LinuxResources {
    serde_json::from_value(of.clone()).expect("resources")
}

#[test]
fn threads_that_share_a_container_lose_no_update() {
    if !runtime().is("plimsoll") {
        return;
    }
    let fields = ["/pids/limit", "/memory/limit", "/cpu/shares", "/cpu/quota", "/cpu/period", "/memory/reservation"];
    let test = Test::new().args(&["sleep", "1000"]).remove("/linux/resources");
    test.write_config();
    let bundle = Bundle::open(&test.dir).expect("a bundle");
    let store = Store::open(test.dir.join("state")).expect("a store");
    let (container, _) = store.create(&test.id, &bundle, CreateOptions::new()).expect("a container");
    for round in 1..=10_i64 {
        let change = |field: &str| {
            let (section, key) = field[1..].split_once('/').expect("two");
            json!({section: {key: value(field, round)}})
        };
        std::thread::scope(|scope| {
            for field in fields {
                let container = container.clone();
                scope.spawn(move || container.update(resources(&change(field))).expect("an update"));
            }
        });
        let bundle = container.bundle().expect("its config");
        let kept = serde_json::to_value(bundle.spec().linux().as_ref().expect("linux").resources()).expect("JSON");
        for field in fields {
            assert_eq!(kept.pointer(field), Some(&json!(value(field, round))), "{field}, round {round}: {kept:#}");
        }
    }
    container.force_delete().expect("deleted");
    test.assert_nothing_left();
}

fn value(field: &str, round: i64) -> i64 {
    match field {
        "/pids/limit" => 100 + round,
        "/memory/limit" => (100 + round) << 20,
        "/memory/reservation" => (10 + round) << 20,
        "/cpu/period" => 100_000 + round * 1000,
        _ => 20_000 + round * 100,
    }
}

#[test]
fn events_are_a_descriptor_that_is_readable_when_there_is_something_to_hear() {
    if !runtime().is("plimsoll") {
        return;
    }
    let case = Case::with(|test| {
        let test = test.set("/linux/resources/memory", json!({"limit": 32 << 20}));
        test.shell("while :; do sleep 0.1; [ -e /go ] && head -c 200m /dev/zero | tail; done")
    });
    let container = case.running();
    let events = container.events().expect("events");
    assert_eq!(events.try_next().expect("an answer"), None);
    assert!(!is_readable(&events, Duration::from_millis(50)));
    assert_eq!(events.wait(Some(Duration::from_millis(50))).expect("an answer"), None);
    fs::write(case.0.rootfs().join("go"), "").expect("our own");
    assert!(is_readable(&events, Duration::from_secs(20)));
    assert_eq!(events.wait(Some(Duration::from_secs(20))).expect("an answer"), Some(Event::OutOfMemory));
    fs::remove_file(case.0.rootfs().join("go")).expect("our own");
    container.kill(libc::SIGKILL).expect("killed");
    let until_the_end =
        std::iter::from_fn(|| events.wait(None).expect("an answer")).find(|event| *event == Event::Ended);
    assert_eq!(until_the_end, Some(Event::Ended));
    // And from then on.
    assert!(is_readable(&events, Duration::ZERO));
    assert_eq!(events.try_next().expect("an answer"), Some(Event::Ended));
    drop(container);
    case.store().force_delete(&case.0.id).expect("deleted");
}

#[test]
fn figures_are_numbers_and_not_json() {
    if !runtime().is("plimsoll") {
        return;
    }
    let limit = 64 << 20;
    let case = Case::with(|test| test.set("/linux/resources/memory", json!({"limit": limit})));
    let container = case.running();
    let stats = container.stats().expect("figures");
    assert_eq!((stats.pids.current, stats.memory.usage.limit), (1, limit));
    assert_eq!(stats.unified, cgroup::is_v2());
    assert_eq!(stats.memory.events.get("oom_kill"), Some(&0));
    assert!(stats.cpu.usage.total > 0 && stats.memory.raw.contains_key("pgfault"));
    assert_eq!(container.freezer_state().expect("an answer"), FreezerState::Thawed);
    container.pause().expect("paused");
    assert_eq!(container.freezer_state().expect("an answer"), FreezerState::Frozen);
    container.resume().expect("resumed");
    container.force_delete().expect("deleted");
}

#[test]
fn a_state_can_be_read_back() {
    if !runtime().is("plimsoll") {
        return;
    }
    let case = Case::with(|test| test.set("/annotations", json!({"a": "b"})));
    let container = case.running();
    let state = container.state().expect("a state");
    let printed = case.0.call(&["state", &case.0.id]);
    assert_eq!(serde_json::from_str::<State>(printed.ok()).expect("a state"), state);
    container.force_delete().expect("deleted");
}

#[test]
fn a_bundle_needs_no_disk() {
    if !runtime().is("plimsoll") {
        return;
    }
    let case = Case::new();
    let text = case.0.config.to_string();
    let read = Bundle::from_json(&case.0.dir, text.clone()).expect("a bundle");
    let mut spec = read.spec().clone();
    assert_eq!(Bundle::new(&case.0.dir, &spec).expect("a bundle").spec(), read.spec());
    spec.set_hostname(Some("made\0here".to_owned()));
    assert_eq!(Bundle::new(&case.0.dir, &spec).expect_err("a NUL").origin(), Some("/hostname"));
    spec.set_hostname(Some("made-here".to_owned()));
    let bundle = Bundle::new(&case.0.dir, &spec).expect("a bundle");
    let (container, _) = case.store().create(&case.0.id, &bundle, CreateOptions::new()).expect("created");
    assert!(!case.0.dir.join("config.json").exists());
    assert_eq!(container.bundle().expect("kept").spec().hostname().as_deref(), Some("made-here"));
    container.start().expect("started");
    container.force_delete().expect("deleted");
    case.0.assert_nothing_left();
}

#[test]
fn a_plan_is_looked_at_before_it_is_played() {
    if !runtime().is("plimsoll") {
        return;
    }
    let case = Case::new();
    case.0.write_config();
    let bundle = Bundle::open(&case.0.dir).expect("a bundle");
    let plan = |options| case.store().plan(&case.0.id, &bundle, options).expect("planned");
    let planned = plan(CreateOptions::new());
    let data = serde_json::to_value(planned.plan()).expect("JSON");
    let lines = data["lines"].as_array().expect("lines");
    let argv = lines.iter().find_map(|line| line.pointer("/step/exec/argv"));
    assert_eq!(argv, Some(&json!(["sleep", "1000"])), "{data:#}");
    // Nothing has come of it.
    assert_eq!(case.store().load(&case.0.id).expect_err("nobody").kind(), ErrorKind::NotFound);
    let other = Store::open(case.0.dir.join("other")).expect("a store");
    let refused = other.create_planned(planned).expect_err("another store's");
    assert_eq!(refused.kind(), ErrorKind::InvalidConfig);
    let (container, _) = case.store().create_planned(plan(CreateOptions::new())).expect("created");
    let again = case.store().create_planned(plan(CreateOptions::new())).expect_err("taken");
    assert_eq!(again.kind(), ErrorKind::Exists);
    container.start().expect("started");
    container.force_delete().expect("deleted");
    case.0.assert_nothing_left();
}
