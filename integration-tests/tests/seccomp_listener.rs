//! linux.seccomp.listenerPath: <https://github.com/opencontainers/runtime-spec/blob/v1.3.0/config-linux.md#the-container-process-state>
use nix::cmsg_space;
use nix::sys::socket::{ControlMessageOwned, MsgFlags, recvmsg};
use plimsoll_integration_tests::{Container, known_deviation};
use serde_json::{Value, json};
use std::io::IoSliceMut;
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd};
use std::os::unix::net::UnixListener;
use std::thread::JoinHandle;

/// Somebody who is asked about mkdir(2) and answers that the medium is of the wrong type.
fn notifying(no_new_privileges: bool) -> Container {
    let container = Container::new();
    let path = container.dir.join("agent.sock");
    let profile = json!({
        "defaultAction": "SCMP_ACT_ALLOW", "listenerPath": path, "listenerMetadata": "cargo",
        "syscalls": [{"names": ["mkdir", "mkdirat"], "action": "SCMP_ACT_NOTIFY"}],
    });
    container
        .set("/linux/seccomp", profile)
        .set("/process/noNewPrivileges", json!(no_new_privileges))
        .shell("mkdir /tmp/x; true")
}

/// Hears of one process and answers its first question.
fn agent(container: &Container) -> JoinHandle<Value> {
    let listener = UnixListener::bind(container.dir.join("agent.sock")).expect("our own");
    std::thread::spawn(move || {
        let (stream, _) = listener.accept().expect("a runtime");
        let mut buffer = vec![0; 65536];
        let mut space = cmsg_space!([i32; 4]);
        let mut parts = [IoSliceMut::new(&mut buffer)];
        let message = recvmsg::<()>(stream.as_raw_fd(), &mut parts, Some(&mut space), MsgFlags::empty()).expect("it");
        let riders: Vec<i32> = (message.cmsgs().expect("whole"))
            .flat_map(|message| match message {
                ControlMessageOwned::ScmRights(descriptors) => descriptors,
                _ => Vec::new(),
            })
            .collect();
        let length = message.bytes;
        assert_eq!(riders.len(), 1, "one descriptor");
        // SAFETY: it has just been received, by nobody else.
        answer(&unsafe { OwnedFd::from_raw_fd(riders[0]) });
        let again = std::io::Read::read(&mut &stream, &mut [0; 1]).expect("an end");
        assert_eq!(again, 0, "one message for a connection");
        serde_json::from_slice(&buffer[..length]).expect("JSON")
    })
}

fn answer(listener: &OwnedFd) {
    const RECEIVE: libc::c_ulong = 0xc050_2100;
    const SEND: libc::c_ulong = 0xc018_2101;
    // struct seccomp_notif begins with the id; struct seccomp_notif_resp is id, value, error, flags.
    let mut question = [0u64; 10];
    // SAFETY: the kernel fills 80 bytes.
    assert_eq!(unsafe { libc::ioctl(listener.as_raw_fd(), RECEIVE, question.as_mut_ptr()) }, 0);
    let mut response = [question[0], 0, u64::from(-libc::EMEDIUMTYPE as u32)];
    // SAFETY: the kernel reads 24 bytes.
    assert_eq!(unsafe { libc::ioctl(listener.as_raw_fd(), SEND, response.as_mut_ptr()) }, 0);
}

#[test]
fn the_agent_gets_the_listener_and_the_state() {
    for no_new_privileges in [true, false] {
        let container = notifying(no_new_privileges).set("/annotations", json!({"flag": "blue"}));
        let agent = agent(&container);
        container.create().ok();
        let pid = container.pid();
        container.start().ok();
        let told = agent.join().expect("an agent");
        assert_eq!(told["fds"], json!(["seccompFd"]), "{told}");
        assert_eq!(told["metadata"], "cargo", "{told}");
        assert_eq!((&told["pid"], &told["state"]["pid"]), (&json!(pid), &json!(pid)), "{told}");
        assert_eq!(told["state"]["id"], json!(container.id), "{told}");
        assert_eq!(told["state"]["bundle"], json!(container.dir), "{told}");
        assert_eq!(told["state"]["status"], "creating", "{told}");
        assert_eq!(told["state"]["annotations"]["flag"], "blue", "{told}");
        assert!(told["ociVersion"].is_string() && told["state"]["ociVersion"].is_string(), "{told}");
    }
}

#[test]
fn its_answer_is_what_the_program_gets() {
    let container = notifying(true);
    let agent = agent(&container);
    let seen = container.run();
    assert!(seen.stderr.contains("rong medium type"), "{seen:?}");
    agent.join().expect("an agent");
}

#[test]
fn exec_has_a_listener_of_its_own() {
    if known_deviation() {
        return;
    }
    let container = notifying(true);
    let first = agent(&container);
    let container = container.shell("mkdir /tmp/x; exec sleep 1000").created();
    container.start().ok();
    first.join().expect("an agent");
    std::fs::remove_file(container.dir.join("agent.sock")).expect("our own");
    let second = agent(&container);
    let seen = container.exec(&["mkdir", "/tmp/y"]);
    assert!(seen.status != 0 && seen.stderr.contains("rong medium type"), "{seen:?}");
    let told = second.join().expect("an agent");
    assert_eq!(told["state"]["status"], "running", "{told}");
    assert_eq!(told["state"]["pid"], json!(container.pid()), "{told}");
    assert_ne!(told["pid"], json!(container.pid()), "{told}");
}

#[test]
fn without_an_agent_it_is_an_error() {
    let container = notifying(true);
    container.create().fails("failed to connect with seccomp agent");
    container.assert_nothing_left();
}

#[test]
fn a_path_that_nobody_needs_is_ignored() {
    if known_deviation() {
        return;
    }
    let container = notifying(true).set("/linux/seccomp/syscalls", json!([])).args(&["true"]);
    container.run().ok();
}

#[test]
fn what_cannot_work_is_an_error() {
    if known_deviation() {
        return;
    }
    for (pointer, value, words) in [
        ("/linux/seccomp/listenerPath", json!(""), "listenerPath"),
        ("/linux/seccomp/syscalls/0/names", json!(["write"]), "SCMP_ACT_NOTIFY cannot be used for the write syscall"),
        ("/linux/seccomp/defaultAction", json!("SCMP_ACT_NOTIFY"), "SCMP_ACT_NOTIFY cannot be used as default action"),
    ] {
        let container = notifying(true).set(pointer, value);
        container.create().fails(words);
        container.assert_nothing_left();
    }
}
