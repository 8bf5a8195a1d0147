//! annotations: <https://github.com/opencontainers/runtime-spec/blob/v1.3.0/config.md#annotations>
use nix::unistd::{Gid, setgroups};
use plimsoll_integration_tests::{Container, known_deviation, output};
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

#[test]
fn the_callers_groups_are_kept_where_one_says_so() {
    if known_deviation() {
        return;
    }
    let groups = |container: &Container| {
        let mut command = container.launcher(&["run"]);
        // SAFETY: only a system call between fork and exec.
        unsafe { command.pre_exec(|| Ok(setgroups(&[Gid::from_raw(7), Gid::from_raw(8)])?)) };
        output::finish(&mut command).ok().to_owned()
    };
    let container = || Container::new().set("/process/user/additionalGids", json!([9])).shell("id -G");
    assert_eq!(groups(&container()), "0 9");
    let kept = container().set("/annotations", json!({"run.oci.keep_original_groups": "1"}));
    assert_eq!(groups(&kept), "0 7 8");
}
