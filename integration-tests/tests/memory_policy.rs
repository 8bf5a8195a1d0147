//! linux.memoryPolicy: <https://github.com/opencontainers/runtime-spec/blob/v1.3.0/config-linux.md#memory-policy>
use plimsoll_integration_tests::{Container, known_deviation};
use serde_json::{Value, json};

fn with(policy: Value) -> Container {
    Container::new().set("/linux/memoryPolicy", policy)
}

/// The policy of the stack, which is that of the process.
const READ: &str = "grep stack /proc/self/numa_maps | cut -d' ' -f2";

#[test]
fn mode_flags_and_nodes_are_as_asked_for() {
    if known_deviation() {
        return;
    }
    for (policy, expected) in [
        (json!({"mode": "MPOL_BIND", "nodes": "0"}), "bind:0"),
        (json!({"mode": "MPOL_BIND", "nodes": "0", "flags": ["MPOL_F_STATIC_NODES"]}), "bind=static:0"),
        (json!({"mode": "MPOL_INTERLEAVE", "nodes": "0", "flags": ["MPOL_F_RELATIVE_NODES"]}), "interleave=relative:0"),
        (json!({"mode": "MPOL_PREFERRED_MANY", "nodes": "0"}), "prefer (many):0"),
        (json!({"mode": "MPOL_LOCAL"}), "local"),
        (json!({"mode": "MPOL_PREFERRED", "nodes": ""}), "local"),
        (json!({"mode": "MPOL_DEFAULT"}), "default"),
    ] {
        let read = if expected.contains(' ') { READ.replace("-f2", "-f2-3") } else { READ.to_owned() };
        assert_eq!(with(policy.clone()).shell(&read).run().ok(), expected, "{policy}");
    }
}

#[test]
fn exec_has_it_too() {
    if known_deviation() {
        return;
    }
    let container = with(json!({"mode": "MPOL_BIND", "nodes": "0"})).running();
    assert_eq!(container.exec(&["sh", "-c", READ]).ok(), "bind:0");
}

#[test]
fn what_makes_no_sense_is_an_error() {
    if known_deviation() {
        return;
    }
    for (policy, words) in [
        (json!({"mode": "MPOL_SAIL", "nodes": "0"}), "invalid memory policy mode"),
        (json!({"mode": "MPOL_BIND", "nodes": "0", "flags": ["MPOL_F_SAIL"]}), "invalid memory policy flag"),
        (json!({"mode": "MPOL_BIND", "nodes": "bow"}), "invalid memory policy node"),
        (json!({"mode": "MPOL_BIND"}), "memory policy mode requires at least one node but got 0"),
        (json!({"mode": "MPOL_LOCAL", "nodes": "0"}), "memory policy mode requires 0 nodes but got 1"),
    ] {
        let container = with(policy);
        container.create().fails(words);
        container.assert_nothing_left();
    }
}

#[test]
fn a_node_that_the_host_has_not_is_an_error() {
    if known_deviation() {
        return;
    }
    let container = with(json!({"mode": "MPOL_BIND", "nodes": "1000"}));
    container.create().fails("/linux/memoryPolicy");
    container.assert_nothing_left();
}
