//! linux.resources: <https://github.com/opencontainers/runtime-spec/blob/v1.3.0/config-linux.md#memory>
use super::{check, count, with};
use plimsoll_integration_tests::cgroup::is_v2;
use plimsoll_integration_tests::skip::{NEEDS_V1, NEEDS_V2};
use plimsoll_integration_tests::{known_deviation, runtime, skips, wait_until};
use serde_json::json;

#[test]
fn memory() {
    let asked = json!({"limit": 64 << 20, "reservation": 32 << 20, "swap": 96 << 20});
    check(
        "memory",
        asked,
        &[
            ("memory", "memory.limit_in_bytes", "67108864"),
            ("memory", "memory.soft_limit_in_bytes", "33554432"),
            ("memory", "memory.memsw.limit_in_bytes", "100663296"),
        ],
        &[("memory.max", "67108864"), ("memory.low", "33554432"), ("memory.swap.max", "33554432")],
    );
}

#[test]
fn memory_that_is_minus_one_is_not_limited() {
    check(
        "memory",
        json!({"limit": -1, "swap": -1}),
        &[("memory", "memory.limit_in_bytes", "9223372036854771712")],
        &[("memory.max", "max"), ("memory.swap.max", "max")],
    );
}

#[test]
fn memory_as_only_v1_has_it() {
    let asked = json!({"swappiness": 10, "disableOOMKiller": true});
    check("memory", asked.clone(), &[("memory", "memory.swappiness", "10")], &[]);
    if !is_v2() {
        let container = with("memory", asked.clone()).created();
        assert_eq!(count(&container, "memory", "memory.oom_control", "oom_kill_disable"), 1);
    }
    if is_v2() && runtime().is("plimsoll") {
        with("memory", asked).create().fails("/linux/resources/memory/swappiness");
    }
}

#[test]
fn memory_of_tcp_is_of_v1() {
    if known_deviation() {
        return;
    }
    check("memory", json!({"kernelTCP": 8 << 20}), &[("memory", "memory.kmem.tcp.limit_in_bytes", "8388608")], &[]);
    if is_v2() && runtime().is("plimsoll") {
        with("memory", json!({"kernelTCP": 8 << 20})).create().fails("/linux/resources/memory/kernelTCP");
    }
}

#[test]
fn a_memory_limit_kills() {
    let container = with("memory", json!({"limit": 16 << 20}));
    let seen = container.args(&["dd", "if=/dev/zero", "of=/dev/null", "bs=64M", "count=1"]).run();
    assert_eq!(seen.status, 137, "{seen:?}");
}

#[test]
fn a_kill_for_memory_is_counted() {
    let container = with("memory", json!({"limit": 16 << 20, "swap": 16 << 20})).running();
    let seen = container.exec(&["dd", "if=/dev/zero", "of=/dev/null", "bs=64M", "count=1"]);
    assert_eq!(seen.status, 137, "{seen:?}");
    let file = if is_v2() { "memory.events" } else { "memory.oom_control" };
    assert_eq!(count(&container, "memory", file, "oom_kill"), 1);
    assert_eq!(container.status(), "running");
}

/// cgroup v1 refuses it by itself.
#[test]
fn a_limit_below_what_is_used_is_refused() {
    if known_deviation() || skips(is_v2(), NEEDS_V1) {
        return;
    }
    let container = with("memory", json!({"limit": 64 << 20})).shell("head -c 20m /dev/zero >/dev/shm/x; sleep 1000");
    let container = container.capabilities(&[]).created();
    container.start().ok();
    let usage = || container.cgroup_file("memory", "memory.usage_in_bytes").parse::<u64>().expect("a number");
    wait_until("20 MiB are in use", || (usage() > 20 << 20).then_some(()));
    container.call(&["update", "--memory", "4m", &container.id]).fails("current usage");
    assert_eq!(container.cgroup_file("memory", "memory.limit_in_bytes"), "67108864");
}

#[test]
fn a_limit_below_what_is_used_is_refused_if_asked_to() {
    if !runtime().is("plimsoll") || skips(!is_v2(), NEEDS_V2) {
        return;
    }
    let container = with("memory", json!({"limit": 64 << 20})).running();
    let below = json!({"memory": {"limit": 4096, "checkBeforeUpdate": true}});
    container.update(&below).fails("rejecting memory limit 4096");
    assert_eq!(container.cgroup_file("memory", "memory.max"), "67108864");
    assert_eq!(container.status(), "running");
}
