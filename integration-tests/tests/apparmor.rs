//! process.apparmorProfile: <https://github.com/opencontainers/runtime-spec/blob/v1.3.0/config.md#linux-process>
use plimsoll_integration_tests::{Container, known_deviation};
use serde_json::json;
use std::io::Write;
use std::path::Path;
use std::process::{Command, Stdio};

#[test]
fn a_profile_on_a_host_without_apparmor_is_an_error() {
    if Path::new("/sys/kernel/security/apparmor").exists() || known_deviation() {
        return;
    }
    let container = Container::new().set("/process/apparmorProfile", json!("harbour"));
    container.create().fails("apparmor: config provided but apparmor not supported");
    container.assert_nothing_left();
}

/// Loads a profile that denies one file, for the length of `body`.
fn with_profile(body: impl FnOnce(&str)) {
    let name = format!("plimsoll-test-{}", std::process::id());
    let text = format!(
        "profile {name} flags=(attach_disconnected,mediate_deleted) {{ file, capability, network, mount, umount, pivot_root, signal, ptrace, deny /etc/secret r, }}"
    );
    let parser = |flag: &str| {
        let mut parser =
            Command::new("apparmor_parser").arg(flag).stdin(Stdio::piped()).spawn().expect("apparmor_parser");
        parser.stdin.take().expect("a pipe").write_all(text.as_bytes()).expect("written");
        assert!(parser.wait().expect("our own child").success(), "apparmor_parser {flag}");
    };
    parser("--replace");
    body(&name);
    parser("--remove");
}

#[test]
fn the_program_runs_under_its_profile_and_so_does_exec() {
    if !Path::new("/sys/kernel/security/apparmor/profiles").exists() || known_deviation() {
        return;
    }
    with_profile(|name| {
        let container = Container::new().set("/process/apparmorProfile", json!(name));
        std::fs::write(container.rootfs().join("etc/secret"), "secret").expect("our own");
        let container = container.running();
        let script = "cat /proc/self/attr/current; cat /etc/secret";
        let seen = container.exec(&["sh", "-c", script]);
        assert!(seen.stdout.starts_with(&format!("{name} (enforce)")), "{seen:?}");
        assert!(seen.stderr.contains("Permission denied"), "{seen:?}");
        let label = std::fs::read_to_string(format!("/proc/{}/attr/current", container.pid())).expect("procfs");
        assert_eq!(label.trim(), format!("{name} (enforce)"));
        let other = container.exec_with(&["--apparmor", "unconfined"], &["cat", "/etc/secret"]);
        // Who is confined may not leave; who starts from outside is not confined.
        assert_eq!(other.stdout, "secret", "{other:?}");
    });
}

#[test]
fn a_profile_that_is_not_loaded_is_an_error() {
    if !Path::new("/sys/kernel/security/apparmor/profiles").exists() || known_deviation() {
        return;
    }
    let container = Container::new().set("/process/apparmorProfile", json!("no-such-profile"));
    container.create().fails("no-such-profile");
    container.assert_nothing_left();
}

#[test]
fn an_empty_profile_is_none() {
    if known_deviation() {
        return;
    }
    Container::new().set("/process/apparmorProfile", json!("")).args(&["true"]).run().ok();
}
