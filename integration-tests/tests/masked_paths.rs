//! linux.maskedPaths: <https://github.com/opencontainers/runtime-spec/blob/v1.3.0/config-linux.md#masked-paths>
use plimsoll_integration_tests::Container;
use plimsoll_integration_tests::see::mount_at;
use serde_json::json;
use std::fs;

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
    let seen = Container::new().shell("head -c 1 /proc/kcore /proc/keys /proc/timer_list; ls -A /sys/firmware /proc/acpi; cat /proc/self/mountinfo").run();
    let kcore = mount_at(&seen.stdout, "/proc/kcore").expect("a mount over /proc/kcore");
    assert!(kcore.root.ends_with("/null"), "{kcore:?}");
    assert!(mount_at(&seen.stdout, "/sys/firmware").is_some_and(|mount| mount.has("ro")), "{seen:?}");
}
