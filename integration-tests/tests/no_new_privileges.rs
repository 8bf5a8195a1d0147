//! process.noNewPrivileges
use plimsoll_integration_tests::see::field;
use plimsoll_integration_tests::{Container, known_deviation};
use serde_json::json;

#[test]
fn it_is_set_only_when_asked_for() {
    for (asked, expected) in [(json!(true), "1"), (json!(false), "0"), (json!(null), "0")] {
        let container = Container::new().args(&["cat", "/proc/self/status"]);
        let container = if asked.is_null() {
            container.remove("/process/noNewPrivileges")
        } else {
            container.set("/process/noNewPrivileges", asked)
        };
        assert_eq!(field(container.run().ok(), "NoNewPrivs"), expected);
    }
}

#[test]
fn exec_has_it_too() {
    if known_deviation() {
        return;
    }
    let container = Container::new().running();
    assert_eq!(field(container.exec(&["cat", "/proc/self/status"]).ok(), "NoNewPrivs"), "1");
}
