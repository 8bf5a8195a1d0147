//! process.rlimits. Only lowering: raising needs CAP_SYS_RESOURCE.
use plimsoll_integration_tests::{Container, known_deviation};
use serde_json::json;

fn with(rlimits: serde_json::Value) -> Container {
    Container::new().set("/process/rlimits", rlimits)
}

#[test]
fn soft_and_hard_are_set() {
    let limits =
        json!([{"type": "RLIMIT_NOFILE", "soft": 100, "hard": 200}, {"type": "RLIMIT_CORE", "soft": 0, "hard": 0}]);
    let seen = with(limits).shell("grep -E 'open files|core file' /proc/self/limits | tr -s ' '").run();
    assert!(seen.ok().contains("open files 100 200 files"), "{seen:?}");
    assert!(seen.ok().contains("core file size 0 0 bytes"), "{seen:?}");
}

#[test]
fn those_that_are_not_named_stay() {
    let host = std::fs::read_to_string("/proc/self/limits").expect("procfs");
    let seen = with(json!([])).args(&["cat", "/proc/self/limits"]).run();
    for name in ["Max open files", "Max stack size", "Max processes"] {
        let line = |text: &str| text.lines().find(|line| line.starts_with(name)).map(str::to_owned);
        assert_eq!(line(seen.ok()), line(&host));
    }
}

#[test]
fn an_unknown_one_is_an_error() {
    with(json!([{"type": "RLIMIT_RUM", "soft": 1, "hard": 1}])).create().fails("RLIMIT_RUM");
}

#[test]
fn one_that_is_named_twice_is_an_error() {
    if known_deviation() {
        return;
    }
    let limit = json!({"type": "RLIMIT_NOFILE", "soft": 100, "hard": 200});
    with(json!([limit, limit])).create().fails("RLIMIT_NOFILE");
}

#[test]
fn exec_has_them_too() {
    if known_deviation() {
        return;
    }
    let container = with(json!([{"type": "RLIMIT_NOFILE", "soft": 100, "hard": 200}])).running();
    assert_eq!(container.exec(&["sh", "-c", "ulimit -Sn; ulimit -Hn"]).ok(), "100\n200");
}
