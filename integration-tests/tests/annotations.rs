//! annotations: <https://github.com/opencontainers/runtime-spec/blob/v1.3.0/config.md#annotations>
use nix::unistd::{Gid, setgroups};
use plimsoll_integration_tests::{Container, Output, known_deviation, output};
use serde_json::json;
use std::os::unix::process::CommandExt;

#[test]
fn they_are_kept_in_the_state() {
    let container = Container::new().set("/annotations", json!({"org.example.port": "Bergen", "empty": ""})).created();
    let state = container.state();
    assert_eq!(state["annotations"]["org.example.port"], "Bergen", "{state}");
    assert_eq!(state["annotations"]["empty"], "", "{state}");
}

#[test]
fn unknown_ones_and_unknown_properties_are_ignored() {
    let container = Container::new()
        .set("/annotations", json!({"org.example.unknown": "x"}))
        .set("/harbour", json!({"pilot": 1}))
        .set("/process/harbour", json!([]))
        .set("/linux/harbour", json!("x"))
        .set("/linux/resources/harbour", json!(3))
        .set("/windows", json!({"layerFolders": ["C:\\Layers"]}));
    container.args(&["true"]).run().ok();
}

/// What `id -G` says in a container whose caller has the groups 7 and 8.
fn run_with_groups(container: &Container) -> Output {
    let mut command = container.launcher(&["run"]);
    // SAFETY: only a system call between fork and exec.
    unsafe { command.pre_exec(|| Ok(setgroups(&[Gid::from_raw(7), Gid::from_raw(8)])?)) };
    output::finish(&mut command)
}

fn keeping_groups(value: &str) -> Container {
    Container::new().set("/annotations", json!({"run.oci.keep_original_groups": value})).shell("id -G")
}

#[test]
fn the_callers_groups_are_kept_where_one_says_so() {
    if known_deviation() {
        return;
    }
    let without = Container::new().set("/process/user/additionalGids", json!([9])).shell("id -G");
    assert_eq!(run_with_groups(&without).ok(), "0 9");
    assert_eq!(run_with_groups(&keeping_groups("1")).ok(), "0 7 8");
    // As Podman has it with an image whose root is in further groups, Alpine Linux's for instance.
    let others = keeping_groups("1").set("/process/user/additionalGids", json!([0, 1, 2, 3, 4, 6, 10, 11, 20, 26, 27]));
    assert_eq!(run_with_groups(&others).ok(), "0 7 8");
}

#[test]
fn the_callers_groups_are_not_kept_where_one_says_no() {
    if known_deviation() {
        return;
    }
    for no in ["0", "false", ""] {
        assert_eq!(run_with_groups(&keeping_groups(no)).ok(), "0", "{no:?}");
    }
}
