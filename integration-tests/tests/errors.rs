//! What is wrong with a config is said once, and nothing is left behind.
use nix::mount::{MsFlags, mount};
use plimsoll_integration_tests::{Container, known_deviation, output, runtime};
use serde_json::{Value, json};
use std::fs;
use std::os::unix::process::CommandExt;
use std::process::Command;

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
    let canary = container.make_dir("canary");
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

fn is_ours() -> bool {
    runtime().version.starts_with("plimsoll ")
}

/// What the runtime says if a call fails so, whoever makes it.
#[track_caller]
fn said_with_failing(container: &Container, call: &str, error: &str) -> String {
    let command = container.launcher(&["create"]);
    let mut strace = Command::new("strace");
    strace.args(["-f", "-qq", "-o", "/dev/null", "-e", &format!("trace={call}"), "-e"]);
    strace.arg(format!("inject={call}:error={error}")).arg(command.get_program()).args(command.get_args());
    let output = output::finish(strace.stdin(std::process::Stdio::null()));
    assert_ne!(output.status, 0, "{output:?}");
    container.assert_nothing_left();
    output.stderr
}

#[test]
fn a_call_that_a_filter_around_us_forbids_is_named() {
    if !is_ours() {
        return;
    }
    let said = said_with_failing(&Container::new(), "close_range", "EPERM");
    assert!(said.contains("close_range: operation not permitted (EPERM)"), "{said}");
    assert!(said.contains("seccomp filter") && !said.contains("CAP_SYS_ADMIN"), "{said}");
    let said = said_with_failing(&Container::new(), "clone3", "EPERM");
    assert!(said.contains("clone3") && said.contains("seccomp filter"), "{said}");
    let said = said_with_failing(&Container::new(), "clone3", "ENOSPC");
    assert!(said.contains("not disk space"), "{said}");
}

#[test]
fn in_a_chroot_there_are_no_user_namespaces_and_the_error_says_so() {
    if !is_ours() {
        return;
    }
    let container = Container::new().user_namespace(0, 1000);
    let command = container.launcher(&["create"]);
    // A directory that holds the whole host, in a mount namespace that ends with the command.
    let place = container.make_dir("host");
    let mut shell = Command::new("unshare");
    shell.args(["-m", "sh", "-c", "mount --rbind / \"$0\" && exec chroot \"$0\" \"$@\""]).arg(&place);
    let output = output::finish(shell.arg(command.get_program()).args(command.get_args()));
    assert!(output.status != 0 && output.stderr.contains("chroot"), "{output:?}");
    container.assert_nothing_left();
}

#[test]
fn half_a_letter_is_named_by_its_place() {
    if !is_ours() {
        return;
    }
    let container = Container::new();
    container.write_config();
    let file = container.dir.join("config.json");
    let text = fs::read_to_string(&file).expect("our own").replace("\"sh\"", "\"\\ud800\"");
    fs::write(&file, text).expect("our own");
    container.call(&["create", "--bundle", &container.dir.to_string_lossy(), &container.id]).fails("/process/args/0");
}

#[test]
fn keys_in_another_case_are_the_same_keys() {
    if known_deviation() {
        return;
    }
    let container = Container::new()
        .remove("/process/noNewPrivileges")
        .remove("/process/user")
        .set("/process/NONEWPRIVILEGES", json!(true))
        .set("/process/User", json!({"UID": 5, "GId": 6}))
        .shell("id -u; id -g; grep NoNewPrivs /proc/self/status | tr -d '\\t'");
    let seen = container.run();
    assert_eq!(seen.ok(), "5\n6\nNoNewPrivs:1");
    if is_ours() {
        seen.says(r#"/process/NONEWPRIVILEGES is read as \"noNewPrivileges\""#);
        assert_eq!(seen.stderr.matches("NONEWPRIVILEGES").count(), 1, "{seen:?}");
        // What is kept of it says so no more.
        let container = container.running();
        let seen = container.exec(&["id", "-u"]);
        assert!(seen.ok() == "5" && seen.stderr.is_empty(), "{seen:?}");
        container.call(&["update", "--pids-limit", "50", &container.id]).ok();
        assert_eq!(container.exec(&["id", "-g"]).ok(), "6");
    }
}

#[test]
fn a_process_file_is_read_the_same_way() {
    if known_deviation() {
        return;
    }
    let container = Container::new().running();
    let file = container.dir.join("process.json");
    let process = json!({"ARGS": ["id", "-u"], "Cwd": "/", "ENV": ["PATH=/bin"], "User": {"UID": 5}});
    fs::write(&file, process.to_string()).expect("our own");
    let file = file.to_string_lossy();
    assert_eq!(container.call(&["exec", "--process", &file, &container.id]).ok(), "5");
    fs::write(&*file, r#"{"args": ["true"], "cwd": "/", "user": {"uid": 5}, "User": {"uid": 0}}"#).expect("our own");
    if is_ours() {
        let seen = container.call(&["exec", "--process", &file, &container.id]);
        assert!(seen.status != 0 && seen.stderr.contains("are the same entry"), "{seen:?}");
    }
}

#[test]
fn list_shows_no_control_characters() {
    if !is_ours() {
        return;
    }
    let container = Container::new().args(&["sleep", "1000"]);
    container.write_config();
    let bundle = container.dir.join("a\u{1b}[31m\nb");
    std::os::unix::fs::symlink(&container.dir, &bundle).expect("our own");
    container.call(&["create", "--bundle", &bundle.to_string_lossy(), &container.id]).ok();
    let seen = container.call(&["list"]);
    assert!(!seen.ok().contains('\u{1b}') && seen.stdout.contains("a\\u001b[31m\\nb"), "{seen:?}");
    assert_eq!(seen.stdout.lines().count(), 2, "{seen:?}");
}

#[test]
fn a_procfs_that_would_show_what_is_covered_is_refused_with_the_reason() {
    if known_deviation() {
        return;
    }
    let container = Container::new().user_namespace(100_000, 65536);
    let mut command = container.launcher(&["run"]);
    let cover = || {
        let none = None::<&str>;
        nix::sched::unshare(nix::sched::CloneFlags::CLONE_NEWNS)?;
        mount(none, "/", none, MsFlags::MS_REC | MsFlags::MS_PRIVATE, none)?;
        // As in a container of an engine, whose masked paths are covered.
        Ok(mount(Some("none"), "/proc/irq", Some("tmpfs"), MsFlags::empty(), none)?)
    };
    // SAFETY: only system calls between fork and exec.
    unsafe { command.pre_exec(cover) };
    output::finish(&mut command).fails("a part of the host's /proc is covered");
    container.assert_nothing_left();
}
