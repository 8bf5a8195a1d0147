//! process.execCPUAffinity: <https://github.com/opencontainers/runtime-spec/blob/v1.3.0/config.md#linux-process>
use plimsoll_integration_tests::see::field;
use plimsoll_integration_tests::{Container, known_deviation};
use serde_json::json;

fn with(affinity: serde_json::Value) -> Container {
    Container::new().set("/process/execCPUAffinity", affinity)
}

#[track_caller]
fn cpus(status: &str) -> &str {
    field(status, "Cpus_allowed_list")
}

#[test]
fn final_is_that_of_what_exec_starts_and_not_of_the_container() {
    if known_deviation() {
        return;
    }
    let all = std::fs::read_to_string("/proc/self/status").expect("procfs");
    let container = with(json!({"initial": "0", "final": "0"})).running();
    assert_eq!(cpus(container.exec(&["cat", "/proc/self/status"]).ok()), "0");
    assert_eq!(cpus(container.exec(&["cat", "/proc/1/status"]).ok()), cpus(&all));
}

#[test]
fn initial_stays_if_there_is_no_final() {
    if known_deviation() {
        return;
    }
    let container = with(json!({"initial": "0"})).running();
    assert_eq!(cpus(container.exec(&["cat", "/proc/self/status"]).ok()), "0");
}

#[test]
fn what_is_no_list_is_an_error() {
    if known_deviation() {
        return;
    }
    let container = with(json!({"initial": "bow-stern"}));
    let created = container.create();
    let failed = if created.status == 0 { container.exec(&["true"]) } else { created };
    assert!(failed.status != 0 && failed.stderr.contains("bow-stern"), "{failed:?}");
}

#[test]
fn initial_may_be_outside_of_the_containers_cpuset() {
    let container =
        with(json!({"initial": "0", "final": "1"})).set("/linux/resources/cpu", json!({"cpus": "1"})).running();
    assert_eq!(cpus(container.exec(&["cat", "/proc/self/status"]).ok()), "1");
}
