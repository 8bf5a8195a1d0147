//! process: <https://github.com/opencontainers/runtime-spec/blob/v1.3.0/config.md#process>
use plimsoll_integration_tests::{Container, known_deviation};
use serde_json::json;
use std::fs;

#[test]
fn args_arrive_as_they_are() {
    let args = ["printf", "<%s>", "two words", "", "$HOME", "ünï\n"];
    assert_eq!(Container::new().args(&args).run().stdout, "<two words><><$HOME><ünï\n>");
}

#[test]
fn the_environment_is_that_of_the_config_and_no_more() {
    let env = json!(["PATH=/bin", "A=1", "EMPTY=", "HOME=/cabin", "EQUALS=a=b"]);
    let seen = Container::new().set("/process/env", env).args(&["env"]).run();
    let mut seen: Vec<_> = seen.ok().lines().collect();
    seen.sort_unstable();
    assert_eq!(seen, ["A=1", "EMPTY=", "EQUALS=a=b", "HOME=/cabin", "PATH=/bin"]);
}

#[test]
fn cwd_is_where_it_starts() {
    assert_eq!(Container::new().set("/process/cwd", json!("/etc")).args(&["pwd"]).run().ok(), "/etc");
}

#[test]
fn a_missing_cwd_is_made() {
    let container = Container::new().set("/process/cwd", json!("/new/deep")).set("/root/readonly", json!(false));
    assert_eq!(container.args(&["pwd"]).run().ok(), "/new/deep");
}

#[test]
fn the_exit_status_is_that_of_the_program() {
    for status in [0, 1, 42, 255] {
        Container::new().shell(&format!("exit {status}")).run().exits(status);
    }
}

#[test]
fn a_signal_is_128_and_its_number() {
    // pid 1 does not hear signals of its own namespace without a handler; its child does.
    for (signal, status) in [("KILL", 137), ("TERM", 143)] {
        Container::new().without_namespace("pid").shell(&format!("kill -{signal} $$")).run().exits(status);
    }
}

#[test]
fn stdin_reaches_the_program() {
    let container = Container::new().args(&["cat"]);
    let path = container.dir.join("input");
    fs::write(&path, "down the hatch").expect("our own");
    let mut command = container.launcher(&["run"]);
    command.stdin(fs::File::open(path).expect("just written"));
    assert_eq!(plimsoll_integration_tests::output::finish(&mut command).ok(), "down the hatch");
}

#[test]
fn stdout_and_stderr_are_apart() {
    let seen = Container::new().shell("echo one; echo two >&2").run();
    assert_eq!((seen.stdout.as_str(), seen.stderr.as_str()), ("one\n", "two\n"));
}

/// What `create` says of a program that cannot be executed.
#[track_caller]
fn refused(program: &str, words: &str) {
    let container = Container::new().args(&[program]);
    fs::write(container.rootfs().join("etc/plain"), "no program").expect("our own");
    container.create().fails(words).says(program);
    container.assert_nothing_left();
}

#[test]
fn a_program_that_is_not_in_path_is_refused_at_create() {
    refused("no-such-program", "executable file not found in $PATH");
}

#[test]
fn a_path_to_nothing_is_refused_at_create() {
    refused("/no/such/program", "no such file or directory");
}

#[test]
fn a_file_that_is_not_executable_is_refused_at_create() {
    refused("/etc/plain", "permission denied");
}

#[test]
fn a_directory_is_refused_at_create() {
    if known_deviation() {
        return;
    }
    refused("/etc", "is a directory");
}

#[test]
fn a_file_that_is_no_program_is_refused_when_it_starts() {
    let container = Container::new().args(&["/etc/plain"]);
    let plain = container.rootfs().join("etc/plain");
    fs::write(&plain, "no program").expect("our own");
    fs::set_permissions(&plain, std::os::unix::fs::PermissionsExt::from_mode(0o755)).expect("our own");
    let seen = container.run();
    assert!(seen.status != 0 && seen.stderr.to_lowercase().contains("exec format error"), "{seen:?}");
}

#[test]
fn a_script_runs_with_its_interpreter() {
    let container = Container::new().args(&["/bin/script", "on deck"]);
    let script = container.rootfs().join("bin/script");
    fs::write(&script, "#!/bin/sh\necho \"$1\"\n").expect("our own");
    fs::set_permissions(&script, std::os::unix::fs::PermissionsExt::from_mode(0o755)).expect("our own");
    assert_eq!(container.run().ok(), "on deck");
}

#[test]
fn path_is_that_of_the_config() {
    let container = Container::new().set("/process/env", json!(["PATH=/nowhere:/etc/tools"])).args(&["tool"]);
    fs::create_dir(container.rootfs().join("etc/tools")).expect("our own");
    std::os::unix::fs::symlink("/bin/busybox", container.rootfs().join("etc/tools/tool")).expect("our own");
    // busybox does not know that name: it ran.
    assert!(container.run().stderr.contains("applet not found"));
}

#[test]
fn without_a_process_create_succeeds_and_start_fails() {
    if known_deviation() {
        return;
    }
    let container = Container::new().remove("/process").created();
    assert_eq!(container.status(), "created");
    container.start().fails("process property must not be empty");
    container.delete().ok();
    container.assert_nothing_left();
}
