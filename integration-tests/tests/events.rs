//! `events`: usage and out-of-memory notifications, in runc's schema.
use plimsoll_integration_tests::{Container, known_deviation, output, wait_until};
use serde_json::{Value, json};
use std::collections::BTreeSet;
use std::fs;
use std::process::Child;

/// `events` in the background, its output in a file.
fn watch(container: &Container, flags: &[&str]) -> (Child, std::path::PathBuf) {
    let path = container.dir.join("events");
    let file = fs::File::options().append(true).create_new(true).open(&path).expect("our own directory");
    let mut command = container.command(&[&["events"], flags, &[container.id.as_str()]].concat());
    (command.stdout(file).spawn().expect("started"), path)
}

fn lines(path: &std::path::Path) -> Vec<Value> {
    let text = fs::read_to_string(path).unwrap_or_default();
    text.lines().filter_map(|line| serde_json::from_str(line).ok()).collect()
}

#[test]
fn stats_are_one_line_of_json() {
    if known_deviation() {
        return;
    }
    let container = Container::new().set("/linux/resources/pids", json!({"limit": 33})).running();
    let output = container.call(&["events", "--stats", &container.id]);
    assert_eq!(output.ok().lines().count(), 1);
    let event: Value = serde_json::from_str(output.ok()).expect("JSON");
    assert_eq!((&event["type"], &event["id"]), (&json!("stats"), &json!(container.id)));
    let data = &event["data"];
    assert_eq!(data["pids"], json!({"current": 1, "limit": 33}));
    for pointer in ["/cpu/usage/total", "/memory/usage/usage", "/memory/usage/limit", "/memory/raw/pgfault"] {
        assert!(data.pointer(pointer).is_some_and(Value::is_u64), "{pointer}: {data}");
    }
}

/// Every key that runc writes, we write, and no other; numbers differ.
#[test]
fn stats_have_runcs_keys() {
    if known_deviation() {
        return;
    }
    let container = Container::new().running();
    let ours: Value = serde_json::from_str(container.call(&["events", "--stats", &container.id]).ok()).expect("JSON");
    let of = |name: &str| -> BTreeSet<String> {
        ours["data"][name].as_object().into_iter().flatten().map(|(key, _)| key.clone()).collect()
    };
    let sections: BTreeSet<_> = ours["data"].as_object().expect("an object").keys().map(String::as_str).collect();
    let expected = ["blkio", "cpu", "cpuset", "hugetlb", "intel_rdt", "memory", "network_interfaces", "pids"];
    assert_eq!(sections, expected.into());
    // `psi` is there on cgroup v2 only, `cache` and (since runc 1.3) `throttling` if it is not 0.
    for (name, keys) in [("cpu", &["usage"][..]), ("memory", &["kernel", "kernelTCP", "raw", "swap", "usage"])] {
        for key in keys {
            assert!(of(name).contains(*key), "{name}/{key}: {:?}", of(name));
        }
    }
}

/// Who looks for the word in the lines finds events.
#[test]
fn nothing_but_an_event_says_oom() {
    if known_deviation() {
        return;
    }
    let container = Container::new().set("/linux/resources/memory", json!({"limit": 64 << 20})).running();
    let said = container.call(&["events", "--stats", &container.id]);
    assert!(!said.ok().contains("oom"), "{}", said.ok());
}

#[test]
fn usage_comes_at_every_interval_until_the_container_ends() {
    if known_deviation() {
        return;
    }
    let container = Container::new().running();
    let (events, path) = watch(&container, &["--interval", "50ms"]);
    wait_until("there are three", || (lines(&path).len() >= 3).then_some(()));
    assert!(lines(&path).iter().all(|event| event["type"] == "stats" && event["data"]["pids"]["current"] == 1));
    container.delete_by_force().ok();
    output::wait(events, "events");
}

#[test]
fn running_out_of_memory_is_told() {
    if known_deviation() {
        return;
    }
    let container =
        Container::new().set("/linux/resources/memory", json!({"limit": 24 << 20, "swap": 24 << 20})).running();
    let (events, path) = watch(&container, &["--interval", "10m"]);
    // Nobody says when it listens.
    std::thread::sleep(std::time::Duration::from_millis(300));
    container.exec(&["dd", "if=/dev/zero", "of=/dev/null", "bs=64M", "count=1"]).exits(137);
    wait_until("it is told", || (!lines(&path).is_empty()).then_some(()));
    assert_eq!(lines(&path)[0], json!({"type": "oom", "id": container.id}));
    container.delete_by_force().ok();
    output::wait(events, "events");
}

#[test]
fn an_interval_of_nothing_is_refused() {
    if known_deviation() {
        return;
    }
    let container = Container::new().running();
    container.call(&["events", "--interval", "0s", &container.id]).fails("duration interval must be greater than 0");
}
