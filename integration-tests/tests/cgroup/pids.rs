//! linux.resources: <https://github.com/opencontainers/runtime-spec/blob/v1.3.0/config-linux.md#pids>
use super::{check, with};
use plimsoll_integration_tests::cgroup::{self, is_v2};
use plimsoll_integration_tests::skip::{NEEDS_V1, NOT_BY_SYSTEMD};
use plimsoll_integration_tests::{known_deviation, output, skips};
use serde_json::json;
use std::process::Command;

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

/// Where nobody looks for it without a reason: the list of mounts, where it is found, may be long.
const ELSEWHERE: &str = r#"
    set -e
    mount --make-rprivate /
    umount /sys/fs/cgroup/pids
    mkdir "$DIR/pids"
    mount -t cgroup -o pids pids "$DIR/pids"
    [ -z "$HIDE_V2" ] || mount -t tmpfs tmpfs /sys/fs/cgroup/unified
    "$RUNTIME" --root "$DIR/state" create --bundle "$DIR" "$ID" >"$DIR/out" 2>&1 </dev/null || { cat "$DIR/out"; exit 1; }
    cat "$(find "$DIR/pids" -mindepth 3 -path "*$ID/pids.max")"
    "$RUNTIME" --root "$DIR/state" delete --force "$ID"
    [ -z "$(find "$DIR/pids" -mindepth 3 -path "*$ID/pids.max")" ] || echo group left
"#;

#[test]
fn a_limit_holds_in_a_hierarchy_that_is_mounted_elsewhere() {
    if skips(is_v2(), NEEDS_V1) || skips(cgroup::by_systemd(), NOT_BY_SYSTEMD) || known_deviation() {
        return;
    }
    let container = with("pids", json!({"limit": 42}));
    container.write_config();
    let mut command = Command::new("unshare");
    command.args(["--mount", "sh", "-c", ELSEWHERE]).env("RUNTIME", &container.runtime.path);
    command.env("DIR", &container.dir).env("ID", &container.id);
    let hide = if container.runtime.name == "crun" { "yes" } else { "" };
    assert_eq!(output::finish(command.env("HIDE_V2", hide)).ok(), "42");
}
