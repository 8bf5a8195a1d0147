//! process.ioPriority: <https://github.com/opencontainers/runtime-spec/blob/v1.3.0/config.md#linux-process>
use plimsoll_integration_tests::{Container, known_deviation};
use serde_json::{Value, json};

fn with(class: &str, priority: i32) -> Value {
    json!({"class": class, "priority": priority})
}

#[test]
fn class_and_priority_are_as_asked_for() {
    if known_deviation() {
        return;
    }
    for (class, priority, expected) in [
        ("IOPRIO_CLASS_BE", 6, "best-effort: prio 6"),
        ("IOPRIO_CLASS_RT", 1, "realtime: prio 1"),
        ("IOPRIO_CLASS_IDLE", 0, "idle"),
    ] {
        let container = Container::new().set("/process/ioPriority", with(class, priority));
        let seen = container.shell("ionice -p $$").run();
        assert_eq!(seen.ok().trim_end_matches(": prio 7").trim_end_matches(": prio 0"), expected);
    }
}

#[test]
fn one_that_there_is_not_is_an_error() {
    if known_deviation() {
        return;
    }
    let container = Container::new().set("/process/ioPriority", with("IOPRIO_CLASS_BE", 8));
    container.create().fails("invalid ioPriority.Priority: 8");
    container.assert_nothing_left();
}

#[test]
fn exec_has_it_too() {
    if known_deviation() {
        return;
    }
    let container = Container::new().set("/process/ioPriority", with("IOPRIO_CLASS_BE", 6)).running();
    assert_eq!(container.exec(&["sh", "-c", "ionice -p $$"]).ok(), "best-effort: prio 6");
}
