//! What `restore` has of `create`: whoever starts a container is told the same, and the container gets no more.
use super::notify::{READY, manager, read};
use plimsoll_integration_tests::saved::{Saved, count};
use plimsoll_integration_tests::terminal::{ConsoleSocket, Terminal};
use plimsoll_integration_tests::{Container, known_deviation, output, wait_until};
use serde_json::{Value, json};
use std::fs::{self, File};
use std::io::{IoSliceMut, Write};
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd};
use std::os::unix::fs::MetadataExt;
use std::os::unix::net::UnixListener;
use std::process::Command;

#[test]
fn a_service_manager_hears_that_the_program_is_ready_and_who_it_is() {
    if known_deviation() {
        return;
    }
    let script = format!("{READY} </dev/null >/dev/null 2>&1");
    let saved = Saved::new(Container::new().shell(&script));
    let (socket, path) = manager(&saved.container);
    let mut run = saved.container.launcher(&["run", "--detach"]);
    let run = run.env("NOTIFY_SOCKET", &path).spawn().expect("started");
    read(&socket);
    assert_eq!(output::wait(run, "run"), 0);
    saved.checkpoint(&[]).ok();
    let mut restore = saved.restore_command(&["--detach"]);
    let restore = restore.env("NOTIFY_SOCKET", &path).spawn().expect("started");
    let messages = read(&socket);
    assert_eq!(output::wait(restore, "restore"), 0);
    let pid = format!("MAINPID={}", saved.container.pid());
    assert_eq!(messages, ["READY=1".to_owned(), pid, "BARRIER=1".to_owned()]);
    assert_eq!(saved.container.exec(&["ls", "/run/notify"]).ok(), "notify.sock");
    saved.container.delete_by_force().ok();
    saved.container.assert_nothing_left();
}

#[test]
fn a_trace_has_the_lines_and_what_criu_does() {
    if known_deviation() {
        return;
    }
    let saved = Saved::counted();
    let file = saved.container.dir.join("trace.json");
    let _streams = Saved::on_pipes(saved.restore_command(&["--detach", "--trace", file.to_str().expect("UTF-8")]));
    let trace: Value = serde_json::from_slice(&fs::read(&file).expect("a trace")).expect("JSON");
    let names: Vec<_> = trace["traceEvents"].as_array().expect("an array").iter().map(|event| &event["name"]).collect();
    for name in ["(probe the host)", "(plan)", "(write the record)", "create-cgroup", "(CRIU restores)"] {
        assert!(names.contains(&&json!(name)), "{name} of {names:?}");
    }
}

#[test]
fn a_memory_limit_that_is_too_low_is_named() {
    if known_deviation() {
        return;
    }
    let mut saved = Saved::counted();
    saved.container = saved.container.set("/linux/resources/memory", json!({"limit": 1 << 20}));
    saved.restore_fails("was OOM-killed (limit ");
}

#[test]
fn the_pidfd_arrives() {
    if known_deviation() {
        return;
    }
    let saved = Saved::counted();
    let path = saved.container.dir.join("pidfd.sock");
    let listener = UnixListener::bind(&path).expect("our own directory");
    let flags = ["--detach", "--pidfd-socket", path.to_str().expect("UTF-8")];
    let _streams = Saved::on_pipes(saved.restore_command(&flags));
    let (connection, _) = listener.accept().expect("the runtime has connected");
    let pidfd = received(connection.as_raw_fd());
    let info = fs::read_to_string(format!("/proc/self/fdinfo/{}", pidfd.as_raw_fd())).expect("procfs");
    assert!(info.contains(&format!("Pid:\t{}\n", saved.container.pid())), "{info}");
}

fn received(socket: i32) -> OwnedFd {
    use nix::sys::socket::{ControlMessageOwned, MsgFlags, recvmsg};
    let mut buffer = [0; 64];
    let mut parts = [IoSliceMut::new(&mut buffer)];
    let mut space = nix::cmsg_space!([i32; 1]);
    let message = recvmsg::<()>(socket, &mut parts, Some(&mut space), MsgFlags::empty()).expect("a message");
    let first = message.cmsgs().expect("control messages").next();
    let Some(ControlMessageOwned::ScmRights(descriptors)) = first else { panic!("no descriptor but {first:?}") };
    // SAFETY: just received, and nobody else's.
    unsafe { OwnedFd::from_raw_fd(descriptors[0]) }
}

#[test]
fn it_is_on_every_processor_whatever_the_caller_is_pinned_to() {
    if known_deviation() {
        return;
    }
    let saved = Saved::counted();
    let all = allowed("self");
    let restore = saved.restore_command(&["--detach"]);
    let mut pinned = Command::new("taskset");
    pinned.args(["--cpu-list", "0"]).arg(restore.get_program()).args(restore.get_args());
    pinned.envs(restore.get_envs().filter_map(|(name, value)| Some((name, value?))));
    let _streams = Saved::on_pipes(pinned);
    assert_eq!(allowed(&saved.container.pid().to_string()), all);
}

fn allowed(pid: &str) -> String {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).expect("procfs");
    let line = status.lines().find_map(|line| line.strip_prefix("Cpus_allowed_list:\t"));
    line.expect("a list of processors").to_owned()
}

#[test]
fn it_has_a_session_keyring_of_its_own() {
    if known_deviation() {
        return;
    }
    let container =
        || Container::new().remove("/linux/maskedPaths").shell("while read word; do cat /proc/keys; echo .; done");
    let saved = Saved::new(container());
    let streams = saved.run();
    saved.checkpoint(&[]).ok();
    drop(streams);
    // By another name: the keyring of the first may not have been collected yet.
    let restored = Saved { container: container(), images: saved.images.clone() };
    let mut streams = restored.restore();
    let keyring = format!("_ses.{}", restored.container.id);
    streams.stdin.as_mut().expect("open").write_all(b"go\n").expect("a pipe");
    let keys: Vec<_> = std::iter::repeat_with(|| streams.line()).take_while(|line| line != ".").collect();
    assert!(keys.iter().any(|key| key.contains(&keyring)), "{keyring} of {keys:?}");
}

#[test]
fn its_streams_belong_to_its_user() {
    if known_deviation() {
        return;
    }
    let saved = Saved::counter_of_a_user();
    let mut streams = saved.run();
    count(&mut streams, 1);
    saved.checkpoint(&[]).ok();
    let mut streams = saved.restore();
    count(&mut streams, 1);
    let stdout = File::from(OwnedFd::from(streams.stdout.into_inner()));
    assert_eq!(stdout.metadata().expect("a pipe").uid(), 100_000);
}

#[test]
fn a_terminal_in_the_foreground_leaves_line_ends_to_ours() {
    if known_deviation() {
        return;
    }
    let script = "stty onlcr; echo ready; while read word; do stty -a; done";
    let saved = Saved::new(Container::new().set("/process/terminal", json!(true)).shell(script));
    let path = saved.container.dir.join("console");
    let console = ConsoleSocket::bind(&path);
    let flags = ["run", "--detach", "--console-socket", path.to_str().expect("UTF-8")];
    saved.container.launch(&flags).ok();
    let mut before = console.accept();
    before.expect("ready");
    saved.checkpoint(&[]).ok();
    drop(before);
    let (mut terminal, child) = Terminal::start(&mut saved.restore_command(&[]), 24, 80);
    let state = || saved.container.call(&["state", &saved.container.id]);
    wait_until("it runs", || state().stdout.contains("\"running\"").then_some(()));
    terminal.enter("go\r");
    terminal.expect("-onlcr");
    saved.container.kill("KILL").ok();
    output::wait(child, "restore");
}
