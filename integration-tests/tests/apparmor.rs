//! process.apparmorProfile: <https://github.com/opencontainers/runtime-spec/blob/v1.3.0/config.md#linux-process>
use plimsoll_integration_tests::{Container, known_deviation};
use serde_json::json;
use std::path::Path;

#[test]
fn a_profile_on_a_host_without_apparmor_is_an_error() {
    if Path::new("/sys/kernel/security/apparmor").exists() || known_deviation() {
        return;
    }
    let container = Container::new().set("/process/apparmorProfile", json!("harbour"));
    container.create().fails("apparmor: config provided but apparmor not supported");
    container.assert_nothing_left();
}

#[test]
fn an_empty_profile_is_none() {
    if known_deviation() {
        return;
    }
    Container::new().set("/process/apparmorProfile", json!("")).args(&["true"]).run().ok();
}
