//! hostname, domainname: <https://github.com/opencontainers/runtime-spec/blob/v1.3.0/config.md#hostname>
use plimsoll_integration_tests::{Container, known_deviation};
use serde_json::json;

#[test]
fn it_is_set_in_the_new_uts_namespace() {
    let seen = Container::new().set("/hostname", json!("plimsoll-line")).args(&["hostname"]).run();
    assert_eq!(seen.ok(), "plimsoll-line");
}

#[test]
fn without_one_it_is_the_hosts() {
    let host = std::fs::read_to_string("/proc/sys/kernel/hostname").expect("procfs");
    assert_eq!(Container::new().remove("/hostname").args(&["hostname"]).run().ok(), host.trim());
}

#[test]
fn the_hosts_name_does_not_change() {
    let before = std::fs::read_to_string("/proc/sys/kernel/hostname").expect("procfs");
    Container::new().run().ok();
    assert_eq!(std::fs::read_to_string("/proc/sys/kernel/hostname").expect("procfs"), before);
}

#[test]
fn without_a_uts_namespace_it_is_refused() {
    let container = Container::new().without_namespace("uts");
    container.create().fails("unable to set hostname without a private UTS namespace");
    container.assert_nothing_left();
}

#[test]
fn a_domainname_is_set() {
    if known_deviation() {
        return;
    }
    let seen =
        Container::new().set("/domainname", json!("harbour")).args(&["cat", "/proc/sys/kernel/domainname"]).run();
    assert_eq!(seen.ok(), "harbour");
}
