//! The library, called as a program with threads calls it.
use libcontainer::oci_spec::runtime::LinuxResources;
use libcontainer::{Bundle, CreateOptions, Store};
use plimsoll_integration_tests::{Container, runtime};
use serde_json::{Value, json};
use std::fs::File;
use std::os::fd::AsRawFd;

fn resources(of: &Value) -> LinuxResources {
    serde_json::from_value(of.clone()).expect("resources")
}

#[test]
fn threads_that_share_a_container_lose_no_update() {
    if !runtime().is("plimsoll") {
        return;
    }
    let fields = ["/pids/limit", "/memory/limit", "/cpu/shares", "/cpu/quota", "/cpu/period", "/memory/reservation"];
    let test = Container::new().args(&["sleep", "1000"]).remove("/linux/resources");
    test.write_config();
    let null = File::options().read(true).write(true).open("/dev/null").expect("a device");
    let mut options = CreateOptions::default();
    options.stdio = Some([null.as_raw_fd(); 3]);
    let bundle = Bundle::open(&test.dir).expect("a bundle");
    let store = Store::open(test.dir.join("state")).expect("a store");
    let container = store.create(&test.id, &bundle, &options).expect("a container");
    for round in 1..=10_i64 {
        let change = |field: &str| {
            let (section, key) = field[1..].split_once('/').expect("two");
            json!({section: {key: value(field, round)}})
        };
        std::thread::scope(|scope| {
            for field in fields {
                let container = &container;
                scope.spawn(move || container.update(&resources(&change(field))).expect("an update"));
            }
        });
        let bundle = container.bundle().expect("its config");
        let kept = serde_json::to_value(bundle.spec().linux().as_ref().expect("linux").resources()).expect("JSON");
        for field in fields {
            assert_eq!(kept.pointer(field), Some(&json!(value(field, round))), "{field}, round {round}: {kept:#}");
        }
    }
    container.delete(true).expect("deleted");
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

/// Where output goes if all three are the same descriptor, or each other's.
#[test]
fn streams_that_overlap_are_those_that_were_asked_for() {
    if !runtime().is("plimsoll") {
        return;
    }
    let test = Container::new().shell("echo out; echo err >&2");
    test.write_config();
    let open = |name: &str| {
        let path = test.dir.join(name);
        File::options().read(true).write(true).create_new(true).open(path).expect("our own")
    };
    let (first, second) = (open("first"), open("second"));
    let bundle = Bundle::open(&test.dir).expect("a bundle");
    let store = Store::open(test.dir.join("state")).expect("a store");
    for (stdio, said) in [
        ([first.as_raw_fd(), first.as_raw_fd(), second.as_raw_fd()], ["out\n", "err\n"]),
        ([second.as_raw_fd(), first.as_raw_fd(), first.as_raw_fd()], ["out\nout\nerr\n", "err\n"]),
    ] {
        let mut options = CreateOptions::default();
        options.stdio = Some(stdio);
        let mut container = store.create(&test.id, &bundle, &options).expect("a container");
        container.start().expect("started");
        assert_eq!(container.child().expect("ours").wait().expect("ended"), 0);
        container.delete(false).expect("deleted");
        let read = |name: &str| std::fs::read_to_string(test.dir.join(name)).expect("our own");
        assert_eq!([read("first"), read("second")], said);
    }
}
