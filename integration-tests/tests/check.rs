//! `check`, `--trace`, `trace`: what only plimsoll has.
use plimsoll_integration_tests::{Container, Output, runtime};
use serde_json::{Value, json};
use std::collections::BTreeSet;

fn is_ours() -> bool {
    runtime().version.starts_with("plimsoll ")
}

#[track_caller]
fn check(container: &Container, flags: &[&str]) -> Output {
    container.write_config();
    let bundle = container.dir.to_string_lossy();
    container.call(&[&["check", "--bundle", &bundle], flags].concat())
}

#[test]
fn check_finds_nothing_wrong_with_a_config_that_runs() {
    if !is_ours() {
        return;
    }
    let container = Container::new();
    let findings: Value = serde_json::from_str(check(&container, &["--json"]).ok()).expect("JSON");
    assert!(
        findings.as_array().expect("an array").iter().all(|finding| finding["concern"] == "security"),
        "{findings}"
    );
}

#[test]
fn check_tells_every_problem_at_once() {
    if !is_ours() {
        return;
    }
    let container = Container::new()
        .set("/process/cwd", json!("relative"))
        .set("/linux/devices", json!([{"path": "relative", "type": "c", "major": 1, "minor": 3}]))
        .set("/mounts/0/optoins", json!(["ro"]))
        .mount(json!({"destination": "/x", "source": "/no/such/place", "type": "bind", "options": ["bind"]}));
    let output = check(&container, &["--json"]);
    let findings: Value = serde_json::from_str(&output.exits(1).stdout).expect("JSON");
    let told: BTreeSet<_> = findings
        .as_array()
        .expect("an array")
        .iter()
        .filter(|finding| finding["concern"] != "security")
        .map(|finding| (finding["concern"].as_str().expect("text"), finding["pointer"].as_str().expect("text")))
        .collect();
    let last = container.config["mounts"].as_array().expect("an array").len() - 1;
    let source = format!("/mounts/{last}/source");
    let expected = [
        ("config", "/process/cwd"),
        ("config", "/linux/devices/0/path"),
        ("ignored", "/mounts/0/optoins"),
        ("host", &source),
    ];
    assert_eq!(told, expected.into());
    // The same for people.
    assert!(check(&container, &[]).exits(1).stdout.contains("error       /process/cwd"));
}

#[test]
fn check_knows_the_ids_that_an_ordinary_user_may_map() {
    if !is_ours() {
        return;
    }
    const NOBODY_S: u32 = 4_294_000;
    let container = Container::rootless(NOBODY_S);
    let fits: Value = serde_json::from_str(&check(&container, &["--json"]).stdout).expect("JSON");
    assert!(!fits.to_string().contains("newuidmap"), "{fits}");
    let container = container.set("/linux/uidMappings/-", json!({"containerID": 1, "hostID": 5_000_000, "size": 10}));
    let says = check(&container, &[]).exits(1).stdout.clone();
    assert!(says.contains("/linux/uidMappings/1") && says.contains("5000000 to 5000009"), "{says}");
    assert!(says.contains("has none in /etc/subuid"), "{says}");
}

#[test]
fn check_knows_what_this_kernel_lacks() {
    if !is_ours() {
        return;
    }
    let container = Container::new()
        .mount(json!({"destination": "/x", "type": "nosuchfs"}))
        .set("/linux/sysctl", json!({"net.no.such": "1"}));
    let says = check(&container, &[]).exits(1).stdout.clone();
    assert!(says.contains("this kernel has no filesystem nosuchfs"), "{says}");
    assert!(says.contains("/linux/sysctl/net.no.such"), "{says}");
}

#[test]
fn a_trace_has_the_lines_of_both_sides_on_one_clock() {
    if !is_ours() {
        return;
    }
    let container = Container::new().args(&["true"]);
    let file = container.dir.join("trace.json");
    container.launch(&["run", "--trace", &file.to_string_lossy()]).ok();
    let trace: Value = serde_json::from_slice(&std::fs::read(&file).expect("written")).expect("JSON");
    let events: Vec<_> =
        trace["traceEvents"].as_array().expect("an array").iter().filter(|event| event["ph"] == "X").collect();
    let named =
        |name: &str| events.iter().find(|event| event["name"] == name).unwrap_or_else(|| panic!("{name}: {trace:#}"));
    for (name, actor) in [("clone", "host"), ("mount", "init"), ("pivot-root", "init"), ("save-state", "host")] {
        assert_eq!(named(name)["cat"], actor);
    }
    assert_eq!(named("pivot-root")["args"]["origin"], "/root/path");
    let at = |name: &str| named(name)["ts"].as_f64().expect("a number");
    assert!(at("clone") < at("mount") && at("mount") < at("pivot-root") && at("pivot-root") < at("save-state"));
    assert!(
        events.iter().all(|event| event["dur"].as_f64().is_some_and(|took| (0.0..30e6).contains(&took))),
        "{trace:#}"
    );
    let file = file.to_string_lossy();
    assert!(container.call(&["trace", &file]).ok().contains("all of it"));
    let picture = container.dir.join("trace.svg");
    container.call(&["trace", &file, "--svg", &picture.to_string_lossy()]).ok();
    assert!(std::fs::read_to_string(picture).expect("drawn").ends_with("</svg>\n"));
}

#[test]
fn create_start_and_exec_are_traced_too() {
    if !is_ours() {
        return;
    }
    let container = Container::new().args(&["sleep", "1000"]);
    let file = container.dir.join("trace.json");
    let name = file.to_string_lossy();
    let contains = |what: &str| std::fs::read_to_string(&file).expect("written").contains(what);
    container.launch(&["create", "--trace", &name]).ok();
    assert!(contains("listen-for-start"));
    container.call(&["start", "--trace", &name, &container.id]).ok();
    assert!(contains("(connect to init)"));
    container.exec_with(&["--trace", &name], &["true"]).ok();
    assert!(contains("open-process"));
    // A start that fails is traced as far as it came.
    let broken = Container::new().set("/root/path", json!("nowhere"));
    assert_ne!(broken.launch(&["create", "--trace", &name]).status, 0);
    assert!(contains("clone"));
}
