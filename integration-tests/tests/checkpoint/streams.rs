//! Standard streams and terminals after a restore.
use plimsoll_integration_tests::saved::Saved;
use plimsoll_integration_tests::terminal::ConsoleSocket;
use plimsoll_integration_tests::{Container, known_deviation, output, wait_until};
use std::fs::{self, File};
use std::process::Command;

#[test]
fn in_the_foreground_the_exit_status_is_the_containers() {
    if known_deviation() {
        return;
    }
    let saved = Saved::counted();
    // At the end of its input it exits with 7.
    output::finish(&mut saved.restore_command(&[])).exits(7);
    saved.container.assert_nothing_left();
}

#[test]
fn a_terminal_comes_back_over_the_console_socket() {
    if known_deviation() {
        return;
    }
    let script = "n=0; while read word; do n=$((n+1)); echo \"$word $n\"; done";
    let saved = Saved::new(Container::new().on_a_terminal().shell(script));
    let path = saved.container.dir.join("console");
    let console = ConsoleSocket::bind(&path);
    let flags = ["--detach", "--console-socket", path.to_str().expect("UTF-8")];
    saved.container.launch(&[&["run"], &flags[..]].concat()).ok();
    let mut terminal = console.accept();
    terminal.enter("ahoy\r");
    terminal.expect("ahoy 1");
    saved.checkpoint(&[]).ok();
    output::finish(&mut saved.restore_command(&flags)).ok();
    let mut terminal = console.accept();
    terminal.enter("again\r");
    terminal.expect("again 2");
    saved.container.delete_by_force().ok();
    saved.container.assert_nothing_left();
}

#[test]
fn a_file_or_dev_null_as_a_stream_is_that_of_the_restore() {
    if known_deviation() {
        return;
    }
    let saved = Saved::new(Container::new().shell("n=0; while :; do n=$((n+1)); echo $n; sleep 0.05; done"));
    // CRIU wants a file as long as the old one was, unless it is only appended to.
    let file = |name: &str| {
        let path = saved.container.dir.join(name);
        File::options().append(true).create_new(true).open(path).expect("a file")
    };
    let lines = |name: &str| {
        let text = fs::read_to_string(saved.container.dir.join(name)).unwrap_or_default();
        text.lines().filter_map(|line| line.parse::<u64>().ok()).collect::<Vec<_>>()
    };
    let on_file = |mut command: Command, name: &str| {
        let said = file(&format!("{name}.err"));
        let child = command.stdout(file(name)).stderr(said).spawn().expect("the runtime");
        let status = output::wait(child, name);
        assert_eq!(status, 0, "{:?}", fs::read_to_string(saved.container.dir.join(format!("{name}.err"))));
        wait_until(name, || (lines(name).len() > 3).then_some(()));
    };
    saved.container.write_config();
    let bundle = saved.container.dir.to_str().expect("UTF-8");
    on_file(saved.command(&["run", "--detach", "--bundle", bundle, &saved.container.id]), "first");
    saved.checkpoint(&[]).ok();
    on_file(saved.restore_command(&["--detach"]), "second");
    assert_eq!(lines("second")[0], lines("first").last().expect("lines") + 1);
}
