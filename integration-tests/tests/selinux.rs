//! process.selinuxLabel, linux.mountLabel: <https://github.com/opencontainers/runtime-spec/blob/v1.3.0/config-linux.md#mount-label>
use plimsoll_integration_tests::{Container, known_deviation, skips};
use serde_json::json;
use std::path::Path;

fn is_here() -> bool {
    Path::new("/sys/fs/selinux/enforce").exists()
}

#[test]
fn a_label_on_a_host_without_selinux_is_an_error() {
    if known_deviation() || skips(is_here(), "needs a host without SELinux") {
        return;
    }
    let container = Container::new().set("/process/selinuxLabel", json!("system_u:system_r:container_t:s0"));
    container.create().fails("selinux label is specified in config, but selinux is disabled or not supported");
    container.assert_nothing_left();
}

#[test]
fn so_is_a_label_for_mounts() {
    if known_deviation() || skips(is_here(), "needs a host without SELinux") {
        return;
    }
    let container = Container::new().set("/linux/mountLabel", json!("system_u:object_r:container_file_t:s0:c1,c2"));
    container.create().fails("/linux/mountLabel: mount label is specified in config, but selinux is disabled");
    container.assert_nothing_left();
}

#[test]
fn empty_labels_are_none() {
    if known_deviation() {
        return;
    }
    let container = Container::new().set("/process/selinuxLabel", json!("")).set("/linux/mountLabel", json!(""));
    container.args(&["true"]).run().ok();
}
