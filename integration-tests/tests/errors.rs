//! What is wrong with a config is said once, and nothing is left behind.
use plimsoll_integration_tests::{Container, known_deviation};
use serde_json::{Value, json};
use std::fs;

/// `create` fails with one error that has `words` in it, and leaves nothing.
#[track_caller]
fn check(container: &Container, words: &str) {
    let output = container.create();
    output.fails(words);
    assert!(output.stdout.is_empty(), "{output:?}");
    container.assert_nothing_left();
}

#[track_caller]
fn refused(pointer: &str, value: Value, words: &str) {
    check(&Container::new().set(pointer, value), words);
}

#[test]
fn a_bad_tmpfs_option() {
    let mount = json!({"destination": "/tmp", "type": "tmpfs", "source": "tmpfs", "options": ["size=bogus"]});
    refused("/mounts/-", mount, "/tmp");
}

#[test]
fn a_missing_bind_source() {
    let mount = json!({"destination": "/tmp", "type": "none", "source": "/no/such/source", "options": ["bind"]});
    refused("/mounts/-", mount, "/no/such/source");
}

#[test]
fn an_unknown_filesystem() {
    refused("/mounts/-", json!({"destination": "/tmp", "type": "barnaclefs", "source": "none"}), "o such device");
}

#[test]
fn a_missing_namespace_path() {
    check(&Container::new().namespace("ipc", Some("/no/such/namespace")), "/no/such/namespace");
}

#[test]
fn an_unknown_sysctl() {
    refused("/linux/sysctl", json!({"net.ipv4.no_such_thing": "1"}), "no_such_thing");
}

#[test]
fn a_wrong_json_type() {
    if known_deviation() {
        return;
    }
    refused("/process/user/uid", json!("zero"), "uid");
    refused("/mounts", json!({}), "mounts");
}

#[test]
fn no_json_at_all() {
    let container = Container::new();
    container.write_config();
    for text in ["", "{", "[]", "{\"ociVersion\": \"1.0.2\"} trailing"] {
        fs::write(container.dir.join("config.json"), text).expect("our own");
        let output = container.call(&["create", "--bundle", &container.dir.to_string_lossy(), &container.id]);
        output.fails("");
        container.assert_nothing_left();
    }
}

#[test]
fn no_config_at_all() {
    let container = Container::new();
    let output = container.call(&["create", "--bundle", &container.dir.to_string_lossy(), &container.id]);
    output.fails("JSON specification file config.json not found");
    container.assert_nothing_left();
}

#[test]
fn no_bundle_at_all() {
    let container = Container::new();
    let nowhere = container.dir.join("nowhere");
    let output = container.call(&["create", "--bundle", &nowhere.to_string_lossy(), &container.id]);
    output.fails(&format!("{}: ", nowhere.display())).says("no such file or directory");
    container.assert_nothing_left();
}

#[test]
fn a_zero_byte_in_a_string() {
    if known_deviation() {
        return;
    }
    refused("/process/args", json!(["true", "a\0b"]), "");
    refused("/process/env/-", json!("A=a\0b"), "");
    refused("/mounts/-", json!({"destination": "/tmp\0/x", "type": "tmpfs", "source": "tmpfs"}), "");
    refused("/process/cwd", json!("/\0tmp"), "");
    refused("/linux/cgroupsPath", json!("/plimsoll\0test"), "");
}

#[test]
fn no_program() {
    if known_deviation() {
        return;
    }
    refused("/process/args", json!([]), "args must not be empty");
    check(&Container::new().remove("/process/args"), "args must not be empty");
}

#[test]
fn a_relative_cwd() {
    if known_deviation() {
        return;
    }
    refused("/process/cwd", json!("tmp"), "Cwd must be an absolute path");
}

#[test]
fn an_empty_cwd() {
    refused("/process/cwd", json!(""), "Cwd property must not be empty");
}

#[test]
fn an_id_that_is_a_path() {
    if known_deviation() {
        return;
    }
    let container = Container::new();
    container.write_config();
    let invalid = ["../escape", "a/b", "/etc", "..", ".", "a b", "a\nb", "ä"].map(|id| (id, "invalid"));
    for (id, words) in invalid.into_iter().chain([("", "empty")]) {
        for command in ["create", "run"] {
            container.call(&[command, "--bundle", &container.dir.to_string_lossy(), id]).fails(words);
        }
        container.assert_nothing_left();
    }
    assert!(!container.dir.join("escape").exists());
}

#[test]
fn a_strange_id_is_not_followed_by_delete() {
    if known_deviation() {
        return;
    }
    let container = Container::new();
    let canary = container.dir.join("canary");
    fs::create_dir(&canary).expect("our own");
    container.call(&["list"]);
    fs::create_dir_all(container.dir.join("state")).expect("our own");
    container.call(&["delete", "--force", "../canary"]);
    assert!(canary.is_dir());
}

#[test]
fn good_ids_with_every_allowed_letter() {
    let container = Container::new().args(&["true"]);
    container.write_config();
    for id in ["a", "A.b_c-d+9", "0"] {
        container.call(&["run", "--bundle", &container.dir.to_string_lossy(), id]).ok();
    }
}

#[test]
fn an_unknown_namespace() {
    refused("/linux/namespaces/-", json!({"type": "harbour"}), "harbour");
}

#[test]
fn an_unknown_command_or_flag() {
    let container = Container::new();
    assert_ne!(container.call(&["sail"]).status, 0);
    assert_ne!(container.call(&["state", "--sail", "x"]).status, 0);
    assert_ne!(container.call(&["state"]).status, 0);
    assert_ne!(container.call(&["state", "a", "b"]).status, 0);
}

#[test]
fn a_mapping_without_a_user_namespace() {
    if known_deviation() {
        return;
    }
    refused("/linux/uidMappings", json!([{"containerID": 0, "hostID": 0, "size": 1}]), "");
}
