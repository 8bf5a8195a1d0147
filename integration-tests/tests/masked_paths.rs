//! linux.maskedPaths: <https://github.com/opencontainers/runtime-spec/blob/v1.3.0/config-linux.md#masked-paths>
use plimsoll_integration_tests::see::mount_at;
use plimsoll_integration_tests::{Container, known_deviation};
use serde_json::{Value, json};
use std::fs;
use std::path::Path;

fn masking(path: &str, script: &str) -> Container {
    Container::new().set("/linux/maskedPaths", json!([path])).shell(script)
}

#[test]
fn a_masked_file_is_empty_and_cannot_be_filled() {
    let container = masking("/etc/secret", "cat /etc/secret; echo x >/etc/secret; cat /etc/secret");
    fs::write(container.rootfs().join("etc/secret"), "sealed").expect("our own");
    assert_eq!(container.run().ok(), "");
}

#[test]
fn a_masked_directory_is_empty_and_read_only() {
    let container = masking("/etc/vault", "ls -A /etc/vault; touch /etc/vault/x 2>/dev/null || echo sealed");
    fs::create_dir(container.rootfs().join("etc/vault")).expect("our own");
    fs::write(container.rootfs().join("etc/vault/gold"), "").expect("our own");
    assert_eq!(container.set("/root/readonly", json!(false)).run().ok(), "sealed");
}

#[test]
fn a_path_that_does_not_exist_is_left_alone() {
    assert_eq!(masking("/proc/no/such/thing", "echo fine").run().ok(), "fine");
}

#[test]
fn those_of_the_default_config_show_nothing() {
    let container = Container::new();
    let paths = container.config["linux"]["maskedPaths"].as_array().expect("an array").clone();
    let mounts = container.args(&["cat", "/proc/self/mountinfo"]).run();
    // No kernel has them all.
    for path in paths.iter().filter_map(Value::as_str).filter(|path| Path::new(path).exists()) {
        let mount = mount_at(mounts.ok(), path).unwrap_or_else(|| panic!("nothing on {path}"));
        let empty = if Path::new(path).is_dir() { mount.has("ro") } else { mount.root.ends_with("/null") };
        assert!(empty, "{mount:?}");
    }
}

#[test]
fn a_path_that_is_named_twice_is_masked_once() {
    if known_deviation() {
        return;
    }
    let container = Container::new().set("/linux/maskedPaths", json!(["/etc", "/etc/"]));
    assert_eq!(container.shell("grep -c ' /etc ' /proc/self/mountinfo").run().ok(), "1");
}

#[test]
fn a_relative_path_is_one_from_the_root() {
    for path in ["etc/secret", "./etc/../etc/secret"] {
        let container = masking(path, "cat /etc/secret");
        fs::write(container.rootfs().join("etc/secret"), "sealed").expect("our own");
        assert_eq!(container.run().ok(), "");
    }
    assert_eq!(masking("", "echo fine").run().ok(), "fine");
}
