//! linux.devices, default devices: <https://github.com/opencontainers/runtime-spec/blob/v1.3.0/config-linux.md#devices>
use plimsoll_integration_tests::{Container, known_deviation};
use serde_json::{Value, json};

/// `stat -c '%F %t:%T %a %u:%g'` of a node
#[track_caller]
fn check(container: Container, path: &str, expected: &str) {
    assert_eq!(container.args(&["stat", "-c", "%F %t:%T %a %u:%g", path]).run().ok(), expected, "{path}");
}

fn with_device(device: Value, access: &str) -> Container {
    let rule = json!({"allow": true, "type": device["type"], "major": device["major"], "minor": device["minor"], "access": access});
    Container::new().set("/linux/devices/-", device).set("/linux/resources/devices/-", rule)
}

#[test]
fn the_default_devices_are_there() {
    let nodes =
        [("null", "1:3"), ("zero", "1:5"), ("full", "1:7"), ("random", "1:8"), ("urandom", "1:9"), ("tty", "5:0")];
    let paths: Vec<_> = nodes.iter().map(|(name, _)| format!("/dev/{name}")).collect();
    let seen = Container::new().shell(&format!("stat -c '%n %t:%T %a %F' {}", paths.join(" "))).run();
    let expected: Vec<_> =
        nodes.iter().map(|(name, number)| format!("/dev/{name} {number} 666 character special file")).collect();
    assert_eq!(seen.ok(), expected.join("\n"));
}

#[test]
fn the_default_links_are_there() {
    let seen =
        Container::new().shell("cd /dev && for name in fd stdin stdout stderr ptmx; do readlink $name; done").run();
    assert_eq!(seen.ok(), "/proc/self/fd\n/proc/self/fd/0\n/proc/self/fd/1\n/proc/self/fd/2\npts/ptmx");
}

#[test]
fn the_default_devices_work() {
    let seen = Container::new().shell("echo x >/dev/null && head -c 3 /dev/zero | xxd -p && head -c 2 /dev/urandom | wc -c && ! echo x >/dev/full").run();
    assert_eq!(seen.ok(), "000000\n2");
}

#[test]
fn without_a_terminal_there_is_no_console() {
    Container::new().shell("! test -e /dev/console").run().ok();
}

#[test]
fn a_configured_device_has_its_type_number_mode_and_owner() {
    let device =
        json!({"path": "/dev/kettle", "type": "c", "major": 10, "minor": 229, "fileMode": 0o640, "uid": 7, "gid": 8});
    check(with_device(device, "rw"), "/dev/kettle", "character special file a:e5 640 7:8");
    let device =
        json!({"path": "/dev/deep/disk", "type": "b", "major": 8, "minor": 0, "fileMode": 0o600, "uid": 0, "gid": 0});
    check(with_device(device, "r"), "/dev/deep/disk", "block special file 8:0 600 0:0");
}

#[test]
fn a_fifo_is_a_device_too() {
    let device = json!({"path": "/dev/pipe", "type": "p", "fileMode": 0o666});
    check(Container::new().set("/linux/devices/-", device), "/dev/pipe", "fifo 0:0 666 0:0");
}

#[test]
fn a_device_that_is_not_allowed_cannot_be_opened() {
    let container = Container::new().capabilities(&["CAP_MKNOD"]).set("/root/readonly", json!(false));
    let seen = container.shell("mknod /dev/mem c 1 1; head -c 1 /dev/mem").run();
    assert!(seen.status != 0 && seen.stderr.contains("peration not permitted"), "{seen:?}");
}

#[test]
fn with_no_rules_at_all_nothing_but_the_defaults_is_allowed() {
    // GHSA-g54h-m393-cpwq: the rules are an allow list, whether or not they start with "deny all".
    if known_deviation() {
        return;
    }
    for rules in [json!([]), json!([{"allow": true, "type": "c", "major": 1, "minor": 3, "access": "rwm"}])] {
        let container = Container::new().capabilities(&["CAP_MKNOD"]).set("/linux/resources/devices", rules);
        let seen = container.shell("mknod /dev/disk b 8 0; head -c 1 /dev/mem || head -c 1 /dev/disk").run();
        assert_ne!(seen.status, 0, "{seen:?}");
    }
}

#[test]
fn a_rule_allows_what_it_says_and_no_more() {
    // 1:11 is /dev/kmsg: it can be opened for writing without any capability.
    let device = json!({"path": "/dev/kmsg", "type": "c", "major": 1, "minor": 11, "fileMode": 0o666});
    let seen = with_device(device, "w").shell(": >/dev/kmsg && echo writes; head -c 0 /dev/kmsg && echo reads").run();
    assert_eq!(seen.stdout.trim(), "writes", "{seen:?}");
}

#[test]
fn what_is_there_already_has_to_be_the_same_device() {
    if known_deviation() {
        return;
    }
    let device = |minor: u32| json!({"path": "/harbour", "type": "c", "major": 1, "minor": minor, "fileMode": 0o666});
    for (minor, expected) in [(3, 0), (5, 1)] {
        let container = with_device(device(minor), "rw").args(&["true"]);
        let (path, kind) = (container.rootfs().join("harbour"), nix::sys::stat::SFlag::S_IFCHR);
        nix::sys::stat::mknod(&path, kind, nix::sys::stat::Mode::from_bits_truncate(0o666), libc::makedev(1, 3))
            .expect("we are root");
        let seen = container.run();
        assert_eq!(seen.status, expected, "{seen:?}");
        if expected != 0 {
            seen.says("/linux/devices/");
            container.assert_nothing_left();
        }
    }
}
