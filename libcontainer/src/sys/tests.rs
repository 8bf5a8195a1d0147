//! Descriptors of a caller who has arranged his own as he likes: each case in a thread with a descriptor table of its own.
use super::*;
use std::fs::File;
use std::os::fd::IntoRawFd;
use std::path::{Path, PathBuf};

/// Does `work` where closing and moving descriptors concerns nobody else.
fn alone<T: Send>(work: impl FnOnce() -> T + Send) -> T {
    let alone = || {
        // SAFETY: this thread gets a copy of the table; what it closes of others' is closed in the copy.
        check(unsafe { libc::unshare(libc::CLONE_FILES) }.into()).unwrap();
        work()
    };
    std::thread::scope(|scope| scope.spawn(alone).join().unwrap())
}

fn close(number: c_int) {
    // SAFETY: in the copy of `alone`, whose owner has ended with that.
    unsafe { libc::close(number) };
}

/// Puts what `path` names at `number`, for children too.
fn put(path: &Path, number: c_int) {
    let file = File::options().read(true).write(true).open(path).unwrap().into_raw_fd();
    if file == number {
        // SAFETY: numbers only.
        check(unsafe { libc::fcntl(number, libc::F_SETFD, 0) }.into()).unwrap();
        return;
    }
    // SAFETY: numbers only.
    check(unsafe { libc::dup2(file, number) }.into()).unwrap();
    close(file);
}

fn files(names: [&str; 3]) -> (PathBuf, [PathBuf; 3]) {
    let directory = std::env::temp_dir().join(format!("plimsoll-streams-{}-{}", std::process::id(), names.concat()));
    std::fs::create_dir_all(&directory).unwrap();
    let paths = names.map(|name| directory.join(name));
    paths.iter().for_each(|path| std::fs::write(path, "").unwrap());
    (directory, paths)
}

/// What sleep(1), started as init is, has for its standard streams, and what else. The number of the socket is its argument.
fn seen_by_child(given: Option<[c_int; 3]>) -> ([PathBuf; 3], usize) {
    let program = above(File::open("/bin/sleep").unwrap().into(), 3).unwrap();
    let (socket, _other) = rustix::net::socketpair(
        rustix::net::AddressFamily::UNIX,
        rustix::net::SocketType::SEQPACKET,
        rustix::net::SocketFlags::CLOEXEC,
        None,
    )
    .unwrap();
    let socket = above(socket, 3).unwrap();
    let (stdio, _null) = standard_streams(given).unwrap();
    let how =
        Spawn { program: program.as_fd(), socket: socket.as_fd(), stdio, preserve: &[], namespaces: 0, cgroup: None };
    let (pid, pidfd) = spawn(&how).unwrap();
    let stream = |number: usize| std::fs::read_link(format!("/proc/{pid}/fd/{number}")).unwrap_or_default();
    let seen = [stream(0), stream(1), stream(2)];
    let count = || std::fs::read_dir(format!("/proc/{pid}/fd")).unwrap().count();
    // The dynamic linker opens files, one at a time, and closes them; what has been handed on stays.
    let mut seen_open = count();
    for _ in 0..200 {
        if seen_open > 4 {
            std::thread::sleep(std::time::Duration::from_millis(5));
            seen_open = count();
        }
    }
    pidfd_send_signal(pidfd.as_fd(), libc::SIGKILL).unwrap();
    rustix::process::waitid(rustix::process::WaitId::PidFd(pidfd.as_fd()), rustix::process::WaitIdOptions::EXITED)
        .unwrap();
    (seen, seen_open)
}

#[test]
fn streams_are_those_that_were_given_in_whatever_order() {
    let (directory, paths) = files(["a", "b", "c"]);
    for number in 0..27 {
        let given = [number % 3, number / 3 % 3, number / 9];
        let (seen, count) = alone(|| {
            paths.iter().zip(0..).for_each(|(path, number)| put(path, number));
            seen_by_child(Some(given))
        });
        let expected = given.map(|from| paths[usize::try_from(from).unwrap()].clone());
        // The three and the socket.
        assert_eq!((seen, count), (expected, 4), "{given:?}");
    }
    std::fs::remove_dir_all(directory).unwrap();
}

#[test]
fn one_that_the_caller_has_closed_is_the_null_device_and_nothing_of_ours() {
    let (directory, paths) = files(["d", "e", "f"]);
    for closed in 0..8 {
        let is_closed = |number: usize| closed & (1 << number) != 0;
        let (seen, count) = alone(|| {
            paths.iter().zip(0..).for_each(|(path, number)| put(path, number));
            (0..3).filter(|number| is_closed(*number)).for_each(|number| close(c_int::try_from(number).unwrap()));
            seen_by_child(None)
        });
        let expected =
            [0, 1, 2].map(|number| if is_closed(number) { PathBuf::from("/dev/null") } else { paths[number].clone() });
        assert_eq!((seen, count), (expected, 4), "{closed:03b}");
    }
    std::fs::remove_dir_all(directory).unwrap();
}

#[test]
fn given_ones_are_found_wherever_they_are_and_may_be_close_on_exec() {
    let (directory, paths) = files(["g", "h", "i"]);
    let (seen, _) = alone(|| {
        (0..3).for_each(close);
        let own = |path| File::options().read(true).write(true).open(path).unwrap().into_raw_fd();
        // 0, 1 and 2, as they come, none of them for children.
        let opened = [own(&paths[0]), own(&paths[1]), own(&paths[2])];
        assert_eq!(opened, [0, 1, 2]);
        seen_by_child(Some([0, 1, 2]))
    });
    assert_eq!(seen, paths);
    assert_eq!(alone(|| standard_streams(Some([0, 1, 1000])).err()), Some(Errno::BADF));
    std::fs::remove_dir_all(directory).unwrap();
}
