//! process.oomScoreAdj. Only raising: lowering needs CAP_SYS_RESOURCE.
use plimsoll_integration_tests::{Container, known_deviation};
use serde_json::json;

const SHOW: [&str; 2] = ["cat", "/proc/self/oom_score_adj"];

#[test]
fn it_is_set() {
    let container = Container::new().set("/process/oomScoreAdj", json!(555));
    assert_eq!(container.args(&SHOW).run().ok(), "555");
}

#[test]
fn it_is_left_alone_when_absent() {
    let host = std::fs::read_to_string("/proc/self/oom_score_adj").expect("procfs");
    assert_eq!(Container::new().args(&SHOW).run().ok(), host.trim());
}

#[test]
fn exec_has_it_too() {
    if known_deviation() {
        return;
    }
    let container = Container::new().set("/process/oomScoreAdj", json!(555)).running();
    assert_eq!(container.exec(&SHOW).ok(), "555");
}
