//! exec: another process in a running container.
use plimsoll_integration_tests::{Container, known_deviation, wait_until};
use serde_json::json;
use std::fs;

#[test]
fn it_sees_what_the_container_sees() {
    let container = Container::new().set("/hostname", json!("ship")).running();
    let seen = container.exec(&["sh", "-c", "hostname; cat /proc/1/cmdline | tr '\\0' ' '"]);
    assert_eq!(seen.ok(), "ship\nsleep 1000");
}

#[test]
fn the_exit_status_is_that_of_the_program() {
    let container = Container::new().running();
    for status in [0, 3, 255] {
        container.exec(&["sh", "-c", &format!("exit {status}")]).exits(status);
    }
    container.exec(&["sh", "-c", "kill -KILL $$"]).exits(137);
}

#[test]
fn a_failure_of_the_runtime_is_255() {
    if known_deviation() {
        return;
    }
    let container = Container::new().running();
    let output = container.exec(&["no-such-program"]);
    output.exits(255).says("executable file not found in $PATH");
    assert!(!output.stderr.contains("config.json"), "it is not at fault: {output:?}");
    container.exec(&["/no/such/program"]).exits(255).says("no such file or directory");
    container.exec_with(&["--cwd", "relative"], &["true"]).exits(255);
}

#[test]
fn the_environment_is_the_containers_and_more() {
    if known_deviation() {
        return;
    }
    let container = Container::new().set("/process/env/-", json!("SHIP=Plimsoll")).running();
    let seen = container.exec_with(&["--env", "MATE=1", "--env", "BOY=a=b"], &["env"]);
    for line in ["SHIP=Plimsoll", "MATE=1", "BOY=a=b", "TERM=xterm"] {
        assert!(seen.ok().lines().any(|own| own == line), "{line}: {seen:?}");
    }
}

#[test]
fn cwd_is_the_containers_or_another() {
    let container = Container::new().set("/process/cwd", json!("/etc")).running();
    assert_eq!(container.exec_with(&["--cwd", "/tmp"], &["pwd"]).ok(), "/tmp");
}

#[test]
fn without_a_flag_cwd_is_the_containers() {
    if known_deviation() {
        return;
    }
    let container = Container::new().set("/process/cwd", json!("/etc")).running();
    assert_eq!(container.exec(&["pwd"]).ok(), "/etc");
}

#[test]
fn a_process_file_says_it_all() {
    let container = Container::new().running();
    let process = json!({
        "args": ["sh", "-c", "pwd; id -u; id -g; echo $SHIP; grep CapEff /proc/self/status"],
        "cwd": "/etc", "env": ["PATH=/bin", "SHIP=Plimsoll"], "user": {"uid": 7, "gid": 8},
    });
    let path = container.dir.join("process.json");
    fs::write(&path, process.to_string()).expect("our own");
    let seen = container.call(&["exec", "--process", &path.to_string_lossy(), &container.id]);
    assert_eq!(seen.ok(), "/etc\n7\n8\nPlimsoll\nCapEff:\t0000000000000000");
}

#[test]
fn stdin_reaches_the_program() {
    let container = Container::new().running();
    let path = container.dir.join("input");
    fs::write(&path, "ahoy").expect("our own");
    let mut command = container.command(&["exec", &container.id, "cat"]);
    command.stdin(fs::File::open(path).expect("just written"));
    assert_eq!(plimsoll_integration_tests::output::finish(&mut command).ok(), "ahoy");
}

#[test]
fn detached_it_returns_while_it_runs_and_leaves_a_pid_file() {
    let container = Container::new().running();
    let path = container.dir.join("exec-pid");
    let flags = ["--detach", "--pid-file", &path.to_string_lossy()];
    container.exec_with(&flags, &["sleep", "2000"]).ok();
    let pid = fs::read_to_string(path).expect("written");
    wait_until("it became its program", || {
        fs::read_to_string(format!("/proc/{pid}/cmdline")).is_ok_and(|line| line == "sleep\x002000\0").then_some(())
    });
}

#[test]
fn flags_after_the_id_belong_to_the_program() {
    let container = Container::new().running();
    assert_eq!(container.exec(&["echo", "--tty", "-d", "--"]).ok(), "--tty -d --");
}

#[test]
fn a_capability_that_nobody_knows_is_warned_of() {
    if known_deviation() {
        return;
    }
    let container = Container::new().running();
    let output = container.exec_with(&["--cap", "CAP_HARBOUR"], &["true"]);
    output.says("ignoring unknown or unavailable capabilities: [CAP_HARBOUR]").ok();
}

#[test]
fn in_a_created_container_it_works() {
    let container = Container::new().created();
    assert_eq!(container.exec(&["echo", "early"]).ok(), "early");
}

#[test]
fn in_a_stopped_container_it_fails() {
    let container = Container::new().running();
    container.kill("KILL").ok();
    container.wait_for("stopped");
    let output = container.exec(&["true"]);
    assert_ne!(output.status, 0);
    output.says("cannot exec in a stopped container");
}

#[test]
fn in_a_paused_container_it_fails_at_once() {
    let container = Container::new().running();
    container.call(&["pause", &container.id]).ok();
    let output = container.exec(&["true"]);
    assert_ne!(output.status, 0);
    output.says("cannot exec in a paused container");
    container.call(&["resume", &container.id]).ok();
    container.exec(&["true"]).ok();
}

#[test]
fn without_a_program_it_fails() {
    let container = Container::new().running();
    assert_ne!(container.exec(&[]).status, 0);
}

#[test]
fn no_zombie_is_left_in_the_container() {
    let container = Container::new().running();
    for _ in 0..5 {
        container.exec(&["true"]).ok();
    }
    assert_eq!(container.exec(&["sh", "-c", "cat /proc/[0-9]*/stat | grep -c ' Z '"]).stdout.trim(), "0");
}

#[test]
fn a_controller_that_does_not_exist_is_refused() {
    if known_deviation() {
        return;
    }
    let container = Container::new().running();
    container.exec_with(&["--cgroup", "rudder:/"], &["true"]).exits(255).says("unknown controller rudder");
}
