//! linux.personality: <https://github.com/opencontainers/runtime-spec/blob/v1.3.0/config-linux.md#personality>
use plimsoll_integration_tests::{Container, known_deviation};
use serde_json::{Value, json};

fn with(personality: Value) -> Container {
    Container::new().set("/linux/personality", personality)
}

#[test]
fn linux32_shows_another_machine() {
    if known_deviation() {
        return;
    }
    assert_eq!(with(json!({"domain": "LINUX32"})).args(&["uname", "-m"]).run().ok(), "i686");
    assert_eq!(with(json!({"domain": "LINUX"})).args(&["uname", "-m"]).run().ok(), std::env::consts::ARCH);
}

#[test]
fn exec_has_it_too() {
    if known_deviation() {
        return;
    }
    let container = with(json!({"domain": "LINUX32"})).running();
    assert_eq!(container.exec(&["uname", "-m"]).ok(), "i686");
}

#[test]
fn another_domain_and_any_flag_are_errors() {
    if known_deviation() {
        return;
    }
    for personality in [json!({"domain": "SOLARIS"}), json!({"domain": "LINUX", "flags": ["ADDR_NO_RANDOMIZE"]})] {
        let container = with(personality);
        container.create().fails("/linux/personality");
        container.assert_nothing_left();
    }
}
