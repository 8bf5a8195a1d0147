//! linux.netDevices: <https://github.com/opencontainers/runtime-spec/blob/v1.3.0/config-linux.md#network-devices>
use plimsoll_integration_tests::{Container, known_deviation};
use serde_json::{Value, json};
use std::path::Path;
use std::process::Command;
use std::sync::atomic::{AtomicU32, Ordering};

/// A device of this machine whose other end stays here, gone at the end of the test.
struct Device(String);

impl Device {
    fn new() -> Device {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let number = std::process::id() % 100_000 * 100 + COUNT.fetch_add(1, Ordering::Relaxed) % 100;
        let device = Device(format!("pl{number}"));
        ip(&format!("link add {0} type veth peer name {0}p", device.0));
        device
    }

    fn is_here(&self) -> bool {
        try_ip(&format!("link show {}", self.0))
    }
}

impl Drop for Device {
    fn drop(&mut self) {
        try_ip(&format!("link del {}p", self.0));
    }
}

fn try_ip(args: &str) -> bool {
    call(args).status.success()
}

fn call(args: &str) -> std::process::Output {
    Command::new("ip").args(args.split(' ')).output().expect("iproute2")
}

#[track_caller]
fn ip(args: &str) {
    let output = call(args);
    assert!(output.status.success(), "ip {args}: {output:?}");
}

fn with(device: &Device, entry: Value) -> Container {
    Container::new().set("/linux/netDevices", json!({ device.0.as_str(): entry }))
}

#[test]
fn one_is_moved_into_the_container_and_set_up() {
    if known_deviation() {
        return;
    }
    let device = Device::new();
    let container = with(&device, json!({})).running();
    assert!(!device.is_here());
    let seen = container.exec(&["ip", "link", "show", &device.0]);
    assert!(seen.ok().contains(",UP"), "{seen:?}");
}

#[test]
fn it_may_get_another_name() {
    if known_deviation() {
        return;
    }
    let device = Device::new();
    let seen = with(&device, json!({"name": "quay"})).shell("ls /sys/class/net; ip link show quay").run();
    assert!(seen.ok().contains("quay") && !seen.stdout.contains(&device.0), "{seen:?}");
}

#[test]
fn its_permanent_global_addresses_and_its_properties_come_along() {
    if known_deviation() {
        return;
    }
    let device = Device::new();
    ip(&format!("link set {} mtu 1234 address 02:00:00:00:12:34", device.0));
    ip(&format!("address add 192.0.2.7/24 dev {}", device.0));
    ip(&format!("address add 198.51.100.7/32 dev {}", device.0));
    ip(&format!("address add 169.254.7.7/16 scope link dev {}", device.0));
    let seen = with(&device, json!({"name": "quay"})).args(&["ip", "address", "show", "quay"]).run();
    for words in ["mtu 1234", "02:00:00:00:12:34", "192.0.2.7/24", "198.51.100.7/32"] {
        assert!(seen.ok().contains(words), "no {words}: {seen:?}");
    }
    assert!(!seen.stdout.contains("169.254.7.7"), "{seen:?}");
}

#[test]
fn addresses_of_every_family_do() {
    if !Path::new("/proc/sys/net/ipv6").exists() || known_deviation() {
        return;
    }
    let device = Device::new();
    ip(&format!("-6 address add 2001:db8::7/64 dev {} nodad", device.0));
    let seen = with(&device, json!({})).args(&["ip", "-6", "address", "show", &device.0]).run();
    assert!(seen.ok().contains("2001:db8::7/64"), "{seen:?}");
}

#[test]
fn a_template_makes_a_name_that_is_free() {
    if known_deviation() {
        return;
    }
    let (one, other) = (Device::new(), Device::new());
    let devices = json!({one.0.as_str(): {"name": "berth%d"}, other.0.as_str(): {"name": "berth%d"}});
    let seen = Container::new().set("/linux/netDevices", devices).args(&["ls", "/sys/class/net"]).run();
    assert!(seen.ok().contains("berth0") && seen.stdout.contains("berth1"), "{seen:?}");
}

#[test]
fn a_name_that_is_taken_is_an_error_and_nothing_is_moved() {
    if known_deviation() {
        return;
    }
    let device = Device::new();
    ip(&format!("link set {} up", device.0));
    let container = with(&device, json!({"name": "lo"}));
    container.create().fails("/linux/netDevices").says("already has a network device");
    container.assert_nothing_left();
    assert!(device.is_here());
}

#[test]
fn one_that_there_is_not_is_an_error() {
    if known_deviation() {
        return;
    }
    let container = Container::new().set("/linux/netDevices", json!({"nosuchdevice": {}}));
    container.create().fails("/linux/netDevices/nosuchdevice: there is no network device");
    container.assert_nothing_left();
    let container = Container::new().set("/linux/netDevices", json!({"this-name-is-too-long": {}}));
    container.create().fails("invalid network device name");
}

#[test]
fn without_a_network_namespace_it_is_an_error() {
    if known_deviation() {
        return;
    }
    let device = Device::new();
    let container = with(&device, json!({})).without_namespace("network");
    container.create().fails("unable to move network devices without a private NET namespace");
    container.assert_nothing_left();
    assert!(device.is_here());
}
