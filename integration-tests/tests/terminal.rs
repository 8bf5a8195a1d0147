//! process.terminal, process.consoleSize, --console-socket
use plimsoll_integration_tests::terminal::{ConsoleSocket, Terminal};
use plimsoll_integration_tests::{Container, known_deviation, output};
use serde_json::json;

fn on_a_terminal(script: &str) -> Container {
    Container::new().on_a_terminal().shell(script)
}

#[test]
fn run_has_a_terminal_of_its_own() {
    let container = on_a_terminal("tty; test -t 0 && test -t 1 && test -t 2 && echo all; ls -l /dev/console | cut -c1");
    let (terminal, child) = Terminal::start(&mut container.launcher(&["run"]), 24, 80);
    assert_eq!(output::wait(child, "run"), 0);
    let text = terminal.rest();
    assert!(text.contains("/dev/pts/0\r\nall\r\nc\r\n"), "{text:?}");
}

#[test]
fn it_is_the_controlling_one() {
    let container = on_a_terminal("echo by name >/dev/tty; echo $(cut -d' ' -f7 /proc/self/stat)");
    let (terminal, child) = Terminal::start(&mut container.launcher(&["run"]), 24, 80);
    assert_eq!(output::wait(child, "run"), 0);
    let text = terminal.rest();
    assert!(text.contains("by name") && !text.contains("\r\n0\r\n"), "{text:?}");
}

#[test]
fn what_is_typed_arrives() {
    let container = on_a_terminal("echo ready; read line; echo \"heard <$line>\"");
    let (mut terminal, child) = Terminal::start(&mut container.launcher(&["run"]), 24, 80);
    terminal.expect("ready");
    terminal.enter("ahoy\r");
    terminal.expect("heard <ahoy>");
    assert_eq!(output::wait(child, "run"), 0);
}

#[test]
fn control_c_interrupts_the_program() {
    let container = on_a_terminal("trap 'echo interrupted; exit 9' INT; echo ready; while :; do sleep 0.05; done");
    let (mut terminal, child) = Terminal::start(&mut container.launcher(&["run"]), 24, 80);
    terminal.expect("ready");
    terminal.enter("\x03");
    assert_eq!(output::wait(child, "run"), 9);
    assert!(terminal.rest().contains("interrupted"));
}

#[test]
fn the_size_is_that_of_the_callers() {
    if known_deviation() {
        return;
    }
    // runc sets it when the program runs already.
    let container = on_a_terminal("for i in 1 2 3 4 5 6 7 8 9; do stty size 2>&1; sleep 0.1; done");
    let (mut terminal, child) = Terminal::start(&mut container.launcher(&["run"]), 33, 99);
    terminal.expect("33 99");
    assert_eq!(output::wait(child, "run"), 0);
}

#[test]
fn a_change_of_size_is_passed_on() {
    if known_deviation() {
        return;
    }
    let container = on_a_terminal("while :; do stty size 2>&1; sleep 0.05; done");
    let (mut terminal, child) = Terminal::start(&mut container.launcher(&["run"]), 33, 99);
    terminal.expect("\n");
    terminal.resize(44, 111);
    terminal.expect("44 111");
    container.kill("KILL").ok();
    assert_eq!(output::wait(child, "run"), 137);
}

#[test]
fn a_console_socket_gets_the_master() {
    let container = on_a_terminal("stty size; read line; echo \"heard <$line>\"");
    let container = container.set("/process/consoleSize", json!({"height": 12, "width": 34}));
    let path = container.dir.join("console");
    let socket = ConsoleSocket::bind(&path);
    container.launch(&["create", "--console-socket", &path.to_string_lossy()]).ok();
    let mut terminal = socket.accept();
    container.start().ok();
    terminal.expect("12 34");
    terminal.enter("ahoy\r");
    terminal.expect("heard <ahoy>");
}

#[test]
fn detached_with_a_terminal_needs_a_socket() {
    let container = on_a_terminal("true");
    container.create().fails("cannot allocate tty if runc will detach without setting console socket");
    container.assert_nothing_left();
}

#[test]
fn a_socket_without_a_terminal_is_refused() {
    if known_deviation() {
        return;
    }
    let container = Container::new().args(&["true"]);
    let path = container.dir.join("console");
    let _socket = ConsoleSocket::bind(&path);
    let output = container.launch(&["create", "--console-socket", &path.to_string_lossy()]);
    output.fails("cannot use console socket if runc will not detach or allocate tty");
}

#[test]
fn exec_has_a_terminal_when_asked_for() {
    let container = Container::new().running();
    let mut command = container.command(&["exec", "--tty", &container.id, "sh", "-c", "tty; exit 4"]);
    let (terminal, child) = Terminal::start(&mut command, 24, 80);
    assert_eq!(output::wait(child, "exec"), 4);
    let text = terminal.rest();
    assert!(text.contains("/dev/pts/0"), "{text:?}");
}

#[test]
fn exec_with_a_socket_sends_its_own() {
    let container = Container::new().running();
    let path = container.dir.join("console");
    let socket = ConsoleSocket::bind(&path);
    container
        .exec_with(
            &["--tty", "--detach", "--console-socket", &path.to_string_lossy()],
            &["sh", "-c", "echo aloft; sleep 9"],
        )
        .ok();
    socket.accept().expect("aloft");
}

#[test]
fn console_size_is_that_of_the_new_terminal_and_nothing_without_one() {
    let sized = |container: Container| container.set("/process/consoleSize", json!({"height": 31, "width": 97}));
    let container = sized(on_a_terminal("stty size"));
    let socket = ConsoleSocket::bind(&container.dir.join("console.sock"));
    container.launch(&["create", "--console-socket", &container.dir.join("console.sock").to_string_lossy()]).ok();
    let terminal = socket.accept();
    container.start().ok();
    assert!(terminal.rest().contains("31 97"));
    sized(Container::new()).args(&["true"]).run().ok();
}

#[test]
fn without_a_devpts_there_is_an_error_that_says_so() {
    if known_deviation() {
        return;
    }
    let mut container = on_a_terminal("true");
    let mounts = container.config["mounts"].as_array_mut().expect("an array");
    mounts.retain(|mount| mount["destination"] != "/dev/pts");
    let path = container.dir.join("console");
    let _socket = ConsoleSocket::bind(&path);
    container.launch(&["create", "--console-socket", &path.to_string_lossy()]).fails("devpts on /dev/pts");
    container.assert_nothing_left();
}
