//! What is open when the program starts: 0, 1, 2, and what --preserve-fds names.
use nix::fcntl::{FcntlArg, FdFlag, fcntl};
use plimsoll_integration_tests::{Container, known_deviation, output, wait_until};
use std::fs::File;
use std::os::fd::AsRawFd;
use std::os::unix::process::CommandExt;
use std::process::Command;

/// Puts a file where the runtime finds it.
fn give(command: &mut Command, file: File, number: i32) {
    // SAFETY: dup2(2) and fcntl(2) between fork and exec; the file lives in the closure.
    unsafe {
        command.pre_exec(move || {
            if file.as_raw_fd() == number {
                fcntl(&file, FcntlArg::F_SETFD(FdFlag::empty()))?;
            } else {
                nix::errno::Errno::result(libc::dup2(file.as_raw_fd(), number))?;
            }
            Ok(())
        });
    }
}

fn file(container: &Container, name: &str) -> File {
    let path = container.dir.join(name);
    std::fs::write(&path, format!("{name} on deck")).expect("our own");
    File::open(path).expect("just written")
}

#[test]
fn only_0_1_and_2_are_open() {
    let container = Container::new().shell("ls /proc/$$/fd; true");
    let mut command = container.launcher(&["run"]);
    // What the caller forgot to close stays outside.
    give(&mut command, file(&container, "leak"), 7);
    assert_eq!(output::finish(&mut command).ok(), "0\n1\n2");
}

#[test]
fn the_same_for_exec() {
    let container = Container::new().running();
    let mut command = container.command(&["exec", &container.id, "sh", "-c", "ls /proc/$$/fd; true"]);
    give(&mut command, file(&container, "leak"), 7);
    assert_eq!(output::finish(&mut command).ok(), "0\n1\n2");
}

#[test]
fn a_created_container_waits_with_nothing_of_the_host() {
    if known_deviation() {
        return;
    }
    let container = Container::new().created();
    // Its own program in memory, a socket or pipe to wait on; standard streams are what the caller gave.
    let host = |path: &std::path::Path| ["/sys", "/proc", "/run", "/usr"].iter().any(|host| path.starts_with(host));
    let pid = container.pid();
    // `create` returns as soon as it can be started, which is a moment before it waits.
    wait_until("it to hold nothing of the host's", || {
        let open = std::fs::read_dir(format!("/proc/{pid}/fd")).expect("a process").flatten();
        let mut targets = open.filter_map(|entry| std::fs::read_link(entry.path()).ok());
        (!targets.any(|path| host(&path))).then_some(())
    });
}

#[test]
fn preserved_ones_arrive_where_they_were() {
    let container = Container::new().shell("cat <&3; echo; cat <&4; echo; ls /proc/$$/fd; true");
    let mut command = container.launcher(&["run", "--preserve-fds", "2"]);
    give(&mut command, file(&container, "three"), 3);
    give(&mut command, file(&container, "four"), 4);
    assert_eq!(output::finish(&mut command).ok(), "three on deck\nfour on deck\n0\n1\n2\n3\n4");
}

#[test]
fn preserving_what_is_not_open_is_an_error() {
    if known_deviation() {
        return;
    }
    let container = Container::new().args(&["true"]);
    container.launch(&["create", "--preserve-fds", "200"]).fails("preserved-fd");
    container.assert_nothing_left();
}
