//! sd_notify(3): a service manager hears that the container is ready.
use plimsoll_integration_tests::{Container, known_deviation, output};
use std::io::ErrorKind;
use std::os::unix::net::UnixDatagram;
use std::time::Duration;

/// busybox has one program that writes to a Unix socket, and that names it itself.
pub(super) const READY: &str = "ln -s $NOTIFY_SOCKET /dev/log; logger \"$(printf 'x\\nREADY=1')\"; sleep 1000";

/// What a manager reads, up to the barrier.
pub(super) fn read(manager: &UnixDatagram) -> Vec<String> {
    let mut messages = Vec::new();
    while messages.last().is_none_or(|last: &String| !last.starts_with("BARRIER")) {
        let mut buffer = [0; 4096];
        let length = match manager.recv(&mut buffer) {
            // With a timeout, recv(2) is not restarted after a stop (signal(7)).
            Err(error) if error.kind() == ErrorKind::Interrupted => continue,
            received => received.expect("a message"),
        };
        messages.push(String::from_utf8_lossy(&buffer[..length]).trim_end().to_owned());
    }
    messages
}

pub(super) fn manager(container: &Container) -> (UnixDatagram, std::path::PathBuf) {
    let path = container.dir.join("manager.sock");
    let socket = UnixDatagram::bind(&path).expect("our own directory");
    socket.set_read_timeout(Some(Duration::from_secs(10))).expect("a socket");
    (socket, path)
}

#[test]
fn start_tells_that_the_container_is_ready_and_who_it_is() {
    if known_deviation() {
        return;
    }
    let container = Container::new().shell(READY);
    let (socket, path) = manager(&container);
    output::finish(container.launcher(&["create"]).env("NOTIFY_SOCKET", &path)).ok();
    let mut start = container.command(&["start", &container.id]);
    let start = start.env("NOTIFY_SOCKET", &path).spawn().expect("started");
    let messages = read(&socket);
    assert_eq!(output::wait(start, "start"), 0);
    assert_eq!(messages, ["READY=1".to_owned(), format!("MAINPID={}", container.pid()), "BARRIER=1".to_owned()]);
    container.delete_by_force().ok();
    container.assert_nothing_left();
}

#[test]
fn a_detached_run_returns_when_the_container_is_ready() {
    if known_deviation() {
        return;
    }
    let container = Container::new().shell(READY);
    let (socket, path) = manager(&container);
    let mut run = container.launcher(&["run", "--detach"]);
    let run = run.env("NOTIFY_SOCKET", &path).spawn().expect("started");
    assert_eq!(read(&socket)[0], "READY=1");
    assert_eq!(output::wait(run, "run"), 0);
    assert_eq!(container.status(), "running");
}

#[test]
fn a_container_that_ends_first_keeps_nobody_waiting() {
    if known_deviation() {
        return;
    }
    let container = Container::new().shell("test -S $NOTIFY_SOCKET");
    let (_socket, path) = manager(&container);
    output::finish(container.launcher(&["run"]).env("NOTIFY_SOCKET", &path)).ok();
    output::finish(container.launcher(&["run", "--detach"]).env("NOTIFY_SOCKET", &path)).ok();
    container.delete_by_force().ok();
    container.assert_nothing_left();
}
