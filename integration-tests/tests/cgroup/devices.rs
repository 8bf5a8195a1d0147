//! linux.resources: <https://github.com/opencontainers/runtime-spec/blob/v1.3.0/config-linux.md#allowed-device-list>
use plimsoll_integration_tests::cgroup::is_v2;
use plimsoll_integration_tests::skip::NEEDS_V1;
use plimsoll_integration_tests::{Container, skips};
use serde_json::{Value, json};

#[test]
fn devices_are_those_of_the_config_and_the_defaults() {
    // A program cannot be read: see what follows.
    if skips(is_v2(), NEEDS_V1) {
        return;
    }
    let rule = json!({"allow": true, "type": "c", "major": 10, "minor": 229, "access": "rw"});
    let container = Container::new().set("/linux/resources/devices/-", rule).created();
    let list = container.cgroup_file("devices", "devices.list");
    let rules: Vec<_> = list.lines().collect();
    for expected in [
        "c 1:3 rwm",
        "c 1:5 rwm",
        "c 1:7 rwm",
        "c 1:8 rwm",
        "c 1:9 rwm",
        "c 5:0 rwm",
        "c 136:* rwm",
        "c 5:2 rwm",
        "c *:* m",
        "b *:* m",
    ] {
        assert!(rules.contains(&expected), "{expected}:\n{list}");
    }
    // Whether the `m` that every device has is said here once more is the runtime's choice.
    assert!(rules.iter().any(|rule| rule.starts_with("c 10:229 rw")), "{list}");
    assert!(!rules.contains(&"a *:* rwm"), "{list}");
}

/// A container that may make devices, and reads and writes /dev/kmsg (1:11) by another name.
fn with_a_device(rules: &[Value]) -> Container {
    let node = "mknod /dev/node c 1 11 || exit; (: </dev/node) && echo read; (: >/dev/node) && echo write; exit 0";
    let container = Container::new().capabilities(&["CAP_MKNOD", "CAP_SYSLOG"]).shell(node);
    rules.iter().fold(container, |container, rule| container.set("/linux/resources/devices/-", rule.clone()))
}

#[test]
fn a_device_is_as_the_last_rule_says() {
    let rule =
        |allow: bool, access: &str| json!({"allow": allow, "type": "c", "major": 1, "minor": 11, "access": access});
    let seen = with_a_device(&[]).run();
    assert_eq!(seen.ok(), "");
    assert!(seen.stderr.contains("Operation not permitted"), "{seen:?}");
    assert_eq!(with_a_device(&[rule(true, "w")]).run().ok(), "write");
    assert_eq!(with_a_device(&[rule(true, "rw")]).run().ok(), "read\nwrite");
    assert_eq!(with_a_device(&[rule(true, "rw"), rule(false, "w")]).run().ok(), "read");
}

#[test]
fn exec_has_the_same_devices() {
    let container = Container::new().capabilities(&["CAP_MKNOD"]).running();
    let seen = container.exec(&["sh", "-c", "mknod /dev/node c 1 11 && : </dev/node"]);
    assert!(seen.stderr.contains("Operation not permitted"), "{seen:?}");
}
