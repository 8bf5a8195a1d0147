//! What a foreground `run` or `exec` does between its caller's terminal and the container's.
use nix::sys::termios::tcgetattr;
use plimsoll_integration_tests::terminal::Terminal;
use plimsoll_integration_tests::{Container, known_deviation, output};
use std::fs::File;
use std::io::Read;
use std::os::fd::OwnedFd;
use std::process::Stdio;
use std::time::Duration;

fn on_a_terminal(script: &str) -> Container {
    Container::new().on_a_terminal().shell(script)
}

fn pipe() -> (File, OwnedFd) {
    let (reader, writer) = nix::unistd::pipe2(nix::fcntl::OFlag::O_CLOEXEC).expect("a pipe");
    (reader.into(), writer)
}

/// The runtime with a terminal as standard error (and controlling terminal), its output in a pipe.
fn with_output_in_a_pipe(container: &Container) -> (File, Terminal, std::process::Child) {
    let (reader, writer) = pipe();
    let mut shell = std::process::Command::new("/bin/sh");
    let launcher = container.launcher(&["run"]);
    // The shell has the terminal; what it becomes writes to descriptor 9.
    let line = format!(
        "exec \"$0\" \"$@\" </dev/null >/proc/{}/fd/{}",
        std::process::id(),
        std::os::fd::AsRawFd::as_raw_fd(&writer)
    );
    shell
        .arg("-c")
        .arg(line)
        .arg(launcher.get_program())
        .args(launcher.get_args())
        .envs(launcher.get_envs().filter_map(|(key, value)| Some((key, value?))));
    let (terminal, child) = Terminal::start(&mut shell, 24, 80);
    // The runtime has opened it once the container speaks.
    std::thread::sleep(Duration::from_millis(300));
    drop(writer);
    (reader, terminal, child)
}

#[test]
fn everything_that_was_printed_arrives_before_the_end() {
    let container = on_a_terminal("seq 1 50000; exit 4");
    let (terminal, child) = Terminal::start(&mut container.launcher(&["run"]), 24, 80);
    let text = terminal.rest();
    assert!(text.ends_with("49999\r\n50000\r\n"), "{:?}", &text[text.len().saturating_sub(100)..]);
    assert_eq!(text.lines().count(), 50000);
    assert_eq!(output::wait(child, "run"), 4);
}

#[test]
fn a_file_gets_line_ends_as_the_program_wrote_them() {
    if known_deviation() {
        return;
    }
    let container = on_a_terminal("sleep 1; echo one; echo two");
    let (mut reader, _terminal, child) = with_output_in_a_pipe(&container);
    let mut text = String::new();
    reader.read_to_string(&mut text).expect("the pipe");
    assert_eq!(text, "one\ntwo\n");
    assert_eq!(output::wait(child, "run"), 0);
}

#[test]
fn the_program_goes_on_when_nobody_reads_what_it_prints() {
    if known_deviation() {
        return;
    }
    let container = on_a_terminal("sleep 1; echo one; sleep 1; seq 1 100000; exit 3");
    let (reader, _terminal, child) = with_output_in_a_pipe(&container);
    drop(reader);
    assert_eq!(output::wait(child, "run"), 3);
}

#[test]
fn the_callers_terminal_is_given_back_as_it_was() {
    if known_deviation() {
        return;
    }
    let container = on_a_terminal("echo ready; read line; exit 5");
    // The shell outlives the runtime and keeps the terminal open.
    let launcher = container.launcher(&["run"]);
    let mut shell = std::process::Command::new("/bin/sh");
    shell.arg("-c").arg("\"$0\" \"$@\"; echo status $?; read line; exit 0").arg(launcher.get_program());
    shell.args(launcher.get_args()).envs(launcher.get_envs().filter_map(|(key, value)| Some((key, value?))));
    let (mut terminal, child) = Terminal::start(&mut shell, 24, 80);
    let settings = |terminal: &Terminal| {
        let now = tcgetattr(terminal).expect("a terminal");
        (now.input_flags, now.output_flags, now.local_flags)
    };
    let before = settings(&terminal);
    terminal.expect("ready");
    assert_ne!(settings(&terminal), before, "raw while the container has it");
    terminal.enter("\r");
    terminal.expect("status 5");
    assert_eq!(settings(&terminal), before);
    terminal.enter("\n");
    assert_eq!(output::wait(child, "sh"), 0);
}

#[test]
fn real_time_signals_are_passed_on_too() {
    if known_deviation() {
        return;
    }
    let container = Container::new().shell("trap 'exit 7' 40; echo ready; while :; do sleep 0.05; done");
    let mut child = container.launcher(&["run"]).stdout(Stdio::piped()).spawn().expect("the runtime starts");
    let mut ready = [0; 6];
    child.stdout.take().expect("piped").read_exact(&mut ready).expect("the program's words");
    let pid = i32::try_from(child.id()).expect("a pid");
    // SAFETY: a system call without pointers.
    assert_eq!(unsafe { libc::kill(pid, 40) }, 0);
    assert_eq!(output::wait(child, "run"), 7);
}

#[test]
fn orphans_of_a_container_without_a_pid_namespace_are_buried() {
    let container = Container::new().without_namespace("pid").shell("(sleep 0.1 & echo $!) ; sleep 1; exit 6");
    let mut child = container.launcher(&["run"]).stdout(Stdio::piped()).spawn().expect("the runtime starts");
    let mut stdout = child.stdout.take().expect("piped");
    std::thread::sleep(Duration::from_millis(700));
    let pid = child.id();
    let children = std::fs::read_to_string(format!("/proc/{pid}/task/{pid}/children")).expect("of the runtime");
    let zombies = children
        .split_whitespace()
        .filter(|child| std::fs::read_to_string(format!("/proc/{child}/stat")).is_ok_and(|stat| stat.contains(") Z ")));
    assert_eq!(zombies.count(), 0, "{children}");
    assert_eq!(output::wait(child, "run"), 6);
    let mut text = String::new();
    stdout.read_to_string(&mut text).expect("the pipe");
}
