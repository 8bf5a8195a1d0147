//! linux.intelRdt: <https://github.com/opencontainers/runtime-spec/blob/v1.3.0/config-linux.md#intelrdt>
use plimsoll_integration_tests::{Container, known_deviation, skips};
use serde_json::json;
use std::path::Path;

#[test]
fn without_resctrl_it_is_an_error() {
    if known_deviation() || skips(Path::new("/sys/fs/resctrl/schemata").exists(), "needs a host without resctrl") {
        return;
    }
    let container = Container::new().set("/linux/intelRdt", json!({"closID": "gold", "l3CacheSchema": "L3:0=f"}));
    container.create().fails("/linux/intelRdt");
    container.assert_nothing_left();
}

#[test]
fn a_class_is_the_name_of_a_directory() {
    if known_deviation() {
        return;
    }
    let container = Container::new().set("/linux/intelRdt", json!({"closID": "../harbour"}));
    container.create().fails("invalid intelRdt.ClosID");
    container.assert_nothing_left();
}
