//! Processes that the library has started: who waits for them, and what becomes of their status.
use super::{Case, is_readable, process};
use libcontainer::{Child, Console, Container, CreateOptions, ErrorKind, ExecOptions, Planned, Store};
use nix::sys::wait::{Id, WaitPidFlag, waitid};
use plimsoll_integration_tests::{kernel_is_at_least, runtime, wait_until};
use std::fs;
use std::os::fd::AsFd;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::process::Command;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::time::Duration;

/// Whether we are a process of this test's own, which may change what belongs to all threads; if not, one is started that is.
pub(super) fn alone(test: &str) -> bool {
    const ALONE: &str = "PLIMSOLL_TEST_ALONE";
    if std::env::var_os(ALONE).is_some() {
        return true;
    }
    let mut again = Command::new(std::env::current_exe().expect("a path"));
    let ended = again.args([test, "--exact", "--nocapture"]).env(ALONE, "1").output().expect("started");
    let said = String::from_utf8_lossy(&ended.stdout).into_owned() + &String::from_utf8_lossy(&ended.stderr);
    assert!(ended.status.success() && said.contains("1 passed"), "{said}");
    false
}

fn exec(container: &Container, script: &str) -> Child {
    container.exec(&process(&["sh", "-c", script]), ExecOptions::new()).expect("started")
}

#[test]
fn everything_may_be_sent_to_other_threads_and_shared() {
    fn check<T: Send + Sync>() {}
    check::<(Store, Container, Child, Console, Planned, CreateOptions, ExecOptions)>();
}

#[test]
fn an_exit_is_told_from_a_signal() {
    if !runtime().is("plimsoll") {
        return;
    }
    let case = Case::with(|test| test.shell("trap 'exit 143' TERM; while :; do sleep 0.05; done"));
    let (container, init) = case.create().expect("created");
    container.start().expect("started");
    assert_eq!(init.try_wait().expect("an answer"), None);
    assert!(!is_readable(&init, Duration::ZERO));
    for (script, code, signal, status) in
        [("exit 3", Some(3), None, 3), ("exit 137", Some(137), None, 137), ("kill -9 $$", None, Some(9), 137)]
    {
        let child = exec(&container, script);
        assert!(is_readable(&child, Duration::from_secs(20)));
        let ended = child.wait().expect("a status");
        assert_eq!((ended.code(), ended.signal(), ended.status()), (code, signal, status), "{script}");
        // As often as it is asked.
        assert_eq!(child.try_wait().expect("a status"), Some(ended));
        assert_eq!(child.signal(9).expect_err("gone").kind(), ErrorKind::NotRunning);
    }
    assert_eq!(init.signal(1000).expect_err("none").kind(), ErrorKind::InvalidConfig);
    init.signal(libc::SIGTERM).expect("sent");
    assert_eq!(init.wait().expect("a status").code(), Some(143));
    container.delete().expect("deleted");
}

#[test]
fn threads_may_wait_for_the_same_process() {
    if !runtime().is("plimsoll") {
        return;
    }
    let case = Case::new();
    let container = case.running();
    let child = exec(&container, "sleep 0.2; exit 5");
    std::thread::scope(|scope| {
        let waiting: Vec<_> = (0..4).map(|_| scope.spawn(|| child.wait().expect("a status").code())).collect();
        waiting.into_iter().for_each(|thread| assert_eq!(thread.join().expect("no panic"), Some(5)));
    });
    container.force_delete().expect("deleted");
}

/// Containers and processes of `exec`, while nobody but the kernel knows how they end. (Before and after it this test waits for
/// programs of its own.)
fn lives_while(disturbed: impl FnOnce(&dyn Fn())) {
    let cases: Vec<_> = (0..10).map(|_| (Case::with(|test| test.shell("exit 7")), Case::new())).collect();
    disturbed(&|| cases.iter().for_each(|(ends, stays)| live(ends, stays)));
    cases.iter().for_each(|(ends, _)| ends.0.assert_nothing_left());
}

fn live(ends: &Case, stays: &Case) {
    let (container, init) = ends.create().expect("created");
    container.start().expect("started");
    let ended = init.wait();
    container.delete().expect("deleted");
    let container = stays.running();
    let killed = exec(&container, "kill -9 $$").wait();
    container.force_delete().expect("deleted");
    if kernel_is_at_least(6, 15) {
        assert_eq!(ended.expect("a status").code(), Some(7));
        assert_eq!(killed.expect("a status").signal(), Some(9));
    } else {
        let lost = [ended, killed].map(|ended| ended.map_err(|error| error.kind()));
        assert_eq!(lost, [Err(ErrorKind::Unsupported); 2]);
    }
}

#[test]
fn a_program_that_ignores_sigchld_hears_of_ends() {
    if !runtime().is("plimsoll") || !alone("library::children::a_program_that_ignores_sigchld_hears_of_ends") {
        return;
    }
    lives_while(|live| {
        // SAFETY: no handler is given.
        unsafe { libc::signal(libc::SIGCHLD, libc::SIG_IGN) };
        live();
        // SAFETY: as above.
        unsafe { libc::signal(libc::SIGCHLD, libc::SIG_DFL) };
    });
}

#[test]
fn a_program_that_reaps_any_child_hears_of_ends() {
    if !runtime().is("plimsoll") || !alone("library::children::a_program_that_reaps_any_child_hears_of_ends") {
        return;
    }
    lives_while(|live| {
        let over = AtomicBool::new(false);
        std::thread::scope(|scope| {
            scope.spawn(|| {
                while !over.load(Relaxed) {
                    // SAFETY: nothing is written.
                    if unsafe { libc::waitpid(-1, std::ptr::null_mut(), libc::WNOHANG) } <= 0 {
                        std::thread::sleep(Duration::from_micros(50));
                    }
                }
            });
            let lived = catch_unwind(AssertUnwindSafe(live));
            over.store(true, Relaxed);
            lived.unwrap_or_else(|panic| resume_unwind(panic));
        });
    });
}

/// Lets `ioctl(PIDFD_GET_INFO)` of this thread be what it is before Linux 6.13.
fn forget_pidfd_info() {
    let short = |number: u32| u16::try_from(number).expect("small");
    let step = |code: u32, jt, jf, k| libc::sock_filter { code: short(code), jt, jf, k };
    let ioctl = u32::try_from(libc::SYS_ioctl).expect("small");
    let load = libc::BPF_LD | libc::BPF_W | libc::BPF_ABS;
    let equal = libc::BPF_JMP | libc::BPF_JEQ | libc::BPF_K;
    let mut filter: [_; 6] = [
        step(load, 0, 0, 0),
        step(equal, 0, 3, ioctl),
        step(load, 0, 0, 24),
        step(equal, 0, 1, 0xc040_ff0b),
        step(libc::BPF_RET, 0, 0, libc::SECCOMP_RET_ERRNO | libc::ENOTTY as u32),
        step(libc::BPF_RET, 0, 0, libc::SECCOMP_RET_ALLOW),
    ];
    let program = libc::sock_fprog { len: 6, filter: filter.as_mut_ptr() };
    // SAFETY: the kernel copies the program, which is as long as it says.
    let loaded = unsafe {
        libc::prctl(libc::PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0);
        libc::prctl(libc::PR_SET_SECCOMP, libc::SECCOMP_MODE_FILTER, &raw const program)
    };
    assert_eq!(loaded, 0);
}

#[test]
fn a_status_that_the_kernel_does_not_tell_is_an_error_and_not_made_up() {
    if !runtime().is("plimsoll") {
        return;
    }
    let case = Case::new();
    let container = case.running();
    let child = exec(&container, "exit 3");
    assert!(is_readable(&child, Duration::from_secs(20)));
    // SAFETY: nothing is written.
    assert_eq!(unsafe { libc::waitpid(child.pid(), std::ptr::null_mut(), 0) }, child.pid());
    std::thread::scope(|scope| {
        let on_an_older_kernel = || {
            forget_pidfd_info();
            child.wait().expect_err("lost")
        };
        let error = scope.spawn(on_an_older_kernel).join().expect("no panic");
        assert_eq!(error.kind(), ErrorKind::Unsupported);
        assert!(error.to_string().contains("somebody else has waited for it"), "{error}");
    });
    if kernel_is_at_least(6, 15) {
        assert_eq!(child.wait().expect("told all the same").code(), Some(3));
    }
    container.force_delete().expect("deleted");
}

#[test]
fn the_end_of_a_container_that_was_loaded_is_heard_and_left_to_its_parent() {
    if !runtime().is("plimsoll") {
        return;
    }
    let case = Case::with(|test| test.shell("while ! [ -e /go ]; do sleep 0.05; done; exit 9"));
    let (container, init) = case.create().expect("created");
    container.start().expect("started");
    let loaded = case.store().load(&case.0.id).expect("there");
    let pidfd = loaded.pidfd().expect("it runs");
    assert!(!is_readable(&pidfd, Duration::ZERO));
    let waiting = std::thread::spawn({
        let loaded = loaded.clone();
        move || loaded.wait_ended().expect("heard")
    });
    fs::write(case.0.rootfs().join("go"), "").expect("our own");
    assert_eq!(waiting.join().expect("no panic").and_then(|ended| ended.code()), Some(9));
    assert!(is_readable(&pidfd, Duration::ZERO));
    // Not ours to take.
    assert_eq!(init.wait().expect("a status").code(), Some(9));
    if kernel_is_at_least(6, 15) {
        assert_eq!(container.wait_ended().expect("heard").and_then(|ended| ended.code()), Some(9));
    }
    assert_eq!(loaded.wait_ended().expect("it had ended before"), None);
    assert_eq!(loaded.pidfd().expect_err("ended").kind(), ErrorKind::NotRunning);
    container.delete().expect("deleted");
    case.0.assert_nothing_left();
}

/// A container of the binary's, whose init belongs to somebody else by the time that it ends.
#[test]
fn the_status_of_somebody_elses_child_is_told_once_that_one_has_waited_for_it() {
    if !runtime().is("plimsoll") {
        return;
    }
    let test = plimsoll_integration_tests::Container::new().shell("while ! [ -e /go ]; do sleep 0.05; done; exit 9");
    let mut shell = test.launcher(&["run"]).spawn().expect("started");
    let store = Store::open(test.dir.join("state")).expect("a store");
    let loaded = wait_until("it to run", || store.load(&test.id).ok().filter(|container| container.pidfd().is_ok()));
    fs::write(test.rootfs().join("go"), "").expect("our own");
    let ended = loaded.wait_ended().expect("heard");
    assert_eq!(ended.and_then(|ended| ended.code()), kernel_is_at_least(6, 15).then_some(9));
    assert_eq!(shell.wait().expect("ended").code(), Some(9));
}

#[test]
fn nothing_stays_open_of_what_has_ended() {
    if !runtime().is("plimsoll") || !alone("library::children::nothing_stays_open_of_what_has_ended") {
        return;
    }
    let open = || fs::read_dir("/proc/self/fd").expect("procfs").count();
    let case = Case::new();
    let life = || {
        let (container, _init) = case.create().expect("created");
        container.start().expect("started");
        container.force_delete().expect("deleted");
    };
    life();
    let before = open();
    (0..30).for_each(|_| life());
    assert_eq!(open(), before);
    let container = case.running();
    let true_ = process(&["true"]);
    let run = || container.exec(&true_, ExecOptions::new()).expect("started").wait().expect("ended").success();
    assert!(run());
    let before = open();
    assert!((0..300).all(|_| run()));
    assert_eq!(open(), before);
    container.force_delete().expect("deleted");
}

#[test]
fn a_pidfd_outlives_the_child_that_it_was_of() {
    if !runtime().is("plimsoll") {
        return;
    }
    let case = Case::new();
    let container = case.running();
    let pidfd = exec(&container, "sleep 0.1").into_pidfd();
    assert!(is_readable(pidfd.as_fd(), Duration::from_secs(20)));
    // As long as nobody has, its pid namespace does not end.
    waitid(Id::PIDFd(pidfd.as_fd()), WaitPidFlag::WEXITED).expect("ours");
    container.force_delete().expect("deleted");
}
