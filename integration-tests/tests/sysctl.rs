//! linux.sysctl: <https://github.com/opencontainers/runtime-spec/blob/v1.3.0/config-linux.md#sysctl>
use plimsoll_integration_tests::Container;
use serde_json::json;

fn setting(name: &str, value: &str) -> Container {
    Container::new().set("/linux/sysctl", json!({name: value}))
}

#[test]
fn those_of_a_new_namespace_are_set() {
    let names = [
        ("net.ipv4.ip_forward", "1"),
        ("kernel.shmmni", "1234"),
        ("fs.mqueue.msg_max", "11"),
        ("kernel.msgmax", "9000"),
    ];
    for (name, value) in names {
        let path = format!("/proc/sys/{}", name.replace('.', "/"));
        assert_eq!(setting(name, value).args(&["cat", &path]).run().ok(), value, "{name}");
    }
}

#[test]
fn a_name_may_be_written_with_slashes() {
    let seen = setting("net/ipv4/ip_forward", "1").args(&["cat", "/proc/sys/net/ipv4/ip_forward"]).run();
    assert_eq!(seen.ok(), "1");
}

#[test]
fn those_of_the_host_are_refused() {
    let namespaceless = [
        setting("net.ipv4.ip_forward", "1").without_namespace("network"),
        setting("kernel.shmmni", "9").without_namespace("ipc"),
    ];
    for container in [setting("kernel.panic", "1"), setting("vm.swappiness", "1")].into_iter().chain(namespaceless) {
        let (name, _) = container.config["linux"]["sysctl"].as_object().and_then(|all| all.iter().next()).expect("one");
        container.create().fails(name);
        container.assert_nothing_left();
    }
}

#[test]
fn one_that_does_not_exist_is_an_error() {
    let container = setting("net.no.such.thing", "1");
    container.create().fails("o such file or directory");
    container.assert_nothing_left();
}

#[test]
fn the_domain_name_may_be_said_twice_if_it_is_the_same() {
    let seen = setting("kernel.domainname", "sea")
        .set("/domainname", json!("sea"))
        .args(&["cat", "/proc/sys/kernel/domainname"])
        .run();
    assert_eq!(seen.ok(), "sea");
    setting("kernel.hostname", "ship").create().fails("hostname");
}
