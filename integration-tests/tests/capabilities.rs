//! process.capabilities: <https://github.com/opencontainers/runtime-spec/blob/v1.3.0/config.md#linux-process>
use plimsoll_integration_tests::see::field;
use plimsoll_integration_tests::{Container, Output, known_deviation};
use serde_json::json;

const CHOWN: u64 = 1 << 0;
const KILL: u64 = 1 << 5;
const NET_BIND_SERVICE: u64 = 1 << 10;
const NET_RAW: u64 = 1 << 13;
const AUDIT_WRITE: u64 = 1 << 29;
const DEFAULT: u64 = AUDIT_WRITE | KILL | NET_BIND_SERVICE;

/// inheritable, permitted, effective, bounding, ambient
#[track_caller]
fn check(output: &Output, expected: [u64; 5]) {
    let sets = ["CapInh", "CapPrm", "CapEff", "CapBnd", "CapAmb"];
    let seen = sets.map(|set| u64::from_str_radix(field(output.ok(), set), 16).expect("hexadecimal"));
    assert_eq!(seen, expected, "inheritable, permitted, effective, bounding, ambient");
}

fn container() -> Container {
    Container::new().args(&["cat", "/proc/self/status"])
}

#[test]
fn three_sets_by_default_and_nothing_is_inheritable() {
    check(&container().run(), [0, DEFAULT, DEFAULT, DEFAULT, 0]);
}

#[test]
fn each_of_the_five_sets_is_as_asked_for() {
    let names = |names: &[&str]| json!(names);
    let sets = json!({
        "bounding": names(&["CAP_CHOWN", "CAP_KILL", "CAP_NET_RAW", "CAP_AUDIT_WRITE"]),
        "permitted": names(&["CAP_CHOWN", "CAP_KILL", "CAP_NET_RAW"]),
        "inheritable": names(&["CAP_CHOWN", "CAP_KILL"]),
        "effective": names(&["CAP_CHOWN", "CAP_NET_RAW"]),
        "ambient": names(&["CAP_CHOWN"]),
    });
    // An ordinary user has after execve what is ambient.
    let bounding = CHOWN | KILL | NET_RAW | AUDIT_WRITE;
    let ordinary = container().set("/process/capabilities", sets.clone()).set("/process/user/uid", json!(1000));
    check(&ordinary.run(), [CHOWN | KILL, CHOWN, CHOWN, bounding, CHOWN]);
    // Root would have all that is bounding, but no_new_privs lets nothing be gained: capabilities(7), execve(2).
    let root = container().set("/process/capabilities", sets);
    let permitted = CHOWN | KILL | NET_RAW;
    check(&root.run(), [CHOWN | KILL, permitted, permitted, bounding, CHOWN]);
}

#[test]
fn no_capabilities_means_none() {
    check(&container().remove("/process/capabilities").run(), [0; 5]);
    check(&container().set("/process/capabilities", json!({})).run(), [0; 5]);
}

#[test]
fn an_ordinary_user_gets_none_that_are_not_ambient() {
    check(&container().set("/process/user/uid", json!(1000)).run(), [0, 0, 0, DEFAULT, 0]);
}

#[test]
fn an_unknown_capability_is_no_reason_to_fail() {
    let names = json!(["CAP_KILL", "CAP_OF_THE_FUTURE"]);
    check(
        &container()
            .set("/process/capabilities", json!({"bounding": names, "permitted": names, "effective": names}))
            .run(),
        [0, KILL, KILL, KILL, 0],
    );
}

#[test]
fn exec_gets_those_of_the_container() {
    let container = Container::new().running();
    check(&container.exec(&["cat", "/proc/self/status"]), [0, DEFAULT, DEFAULT, DEFAULT, 0]);
}

#[test]
fn exec_with_one_more_does_not_make_it_inheritable() {
    if known_deviation() {
        return;
    }
    let container = Container::new().running();
    let more = DEFAULT | NET_RAW;
    check(&container.exec_with(&["--cap", "CAP_NET_RAW"], &["cat", "/proc/self/status"]), [0, more, more, more, 0]);
}
