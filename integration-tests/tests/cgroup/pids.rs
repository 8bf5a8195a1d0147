//! linux.resources: <https://github.com/opencontainers/runtime-spec/blob/v1.3.0/config-linux.md#pids>
use super::{check, with};
use plimsoll_integration_tests::cgroup;
use plimsoll_integration_tests::known_deviation;
use serde_json::json;

#[test]
fn pids() {
    check("pids", json!({"limit": 42}), &[("pids", "pids.max", "42")], &[("pids.max", "42")]);
}

#[test]
fn a_pids_limit_of_minus_one_is_none() {
    if known_deviation() {
        return;
    }
    check("pids", json!({"limit": -1}), &[("pids", "pids.max", "max")], &[("pids.max", "max")]);
}

#[test]
fn a_pids_limit_stops_a_fork() {
    let container = with("pids", json!({"limit": 3}));
    let seen = container.shell("sleep 9 & sleep 9 & sleep 9 & sleep 9 & echo unlimited").run();
    assert!(!seen.stdout.contains("unlimited"), "{seen:?}");
}

/// `limit` is a pointer since 1.3: an empty object asks for nothing.
#[test]
fn pids_without_a_limit_asks_for_none() {
    if known_deviation() {
        return;
    }
    // systemd has a default of its own.
    if !cgroup::by_systemd() {
        check("pids", json!({}), &[("pids", "pids.max", "max")], &[("pids.max", "max")]);
    }
    let container = with("pids", json!({"limit": 42})).running();
    for nothing in [json!({"pids": {}}), json!({"pids": {"limit": null}})] {
        container.update(&nothing).ok();
        assert_eq!(container.cgroup_file("pids", "pids.max"), "42");
    }
}
