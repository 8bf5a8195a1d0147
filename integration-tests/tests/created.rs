//! Between `create` and the program: a container that waits is as hard as one that runs, and what dies there is heard.
use plimsoll_integration_tests::see::field;
use plimsoll_integration_tests::{Container, hook, known_deviation, output, runtime, wait_until};
use serde_json::{Value, json};
use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::PathBuf;

fn profile(default: &str, allowed: &[&str]) -> Value {
    let allow = json!([{"names": allowed, "action": "SCMP_ACT_ALLOW"}]);
    let syscalls = if allowed.is_empty() { json!([]) } else { allow };
    json!({"defaultAction": default, "architectures": ["SCMP_ARCH_X86_64"], "syscalls": syscalls})
}

/// What the kernel says of the container's init.
fn status(container: &Container) -> String {
    fs::read_to_string(format!("/proc/{}/status", container.pid())).expect("it is there")
}

#[test]
fn it_has_the_rights_that_its_program_will_have() {
    if known_deviation() {
        return;
    }
    let rule = json!([{"names": ["mkdir"], "action": "SCMP_ACT_ERRNO"}]);
    let filter = json!({"defaultAction": "SCMP_ACT_ALLOW", "architectures": ["SCMP_ARCH_X86_64"], "syscalls": rule});
    for no_new_privileges in [true, false] {
        let container = Container::new().capabilities(&["CAP_CHOWN"]).set("/linux/seccomp", filter.clone());
        let container = container.set("/process/noNewPrivileges", json!(no_new_privileges));
        let container = container.set("/process/user", json!({"uid": 1000, "gid": 1001, "additionalGids": [7]}));
        let container = container.args(&["sleep", "1000"]).created();
        let keys = [
            "Uid",
            "Gid",
            "Groups",
            "CapInh",
            "CapPrm",
            "CapEff",
            "CapBnd",
            "CapAmb",
            "NoNewPrivs",
            "Seccomp",
            "Seccomp_filters",
        ];
        let of = |status: &str| keys.map(|key| format!("{key} {}", field(status, key)));
        let created = of(&status(&container));
        container.start().ok();
        wait_until("the program", || {
            fs::read_to_string(format!("/proc/{}/comm", container.pid())).ok().filter(|name| name == "sleep\n")
        });
        let mut running = of(&status(&container));
        // Of a program of another user than root `execve` leaves what is ambient and inheritable.
        for (key, place) in [("CapPrm", 4), ("CapEff", 5)] {
            if created[place] != running[place] {
                assert_eq!(running[place], format!("{key} 0000000000000000"), "{created:?}");
                running[place].clone_from(&created[place]);
            }
        }
        assert_eq!(created, running);
        assert_eq!(field(&status(&container), "Seccomp"), "2");
        assert!(created[4].ends_with("0000000000000001"), "{created:?}");
    }
}

#[test]
fn its_files_in_proc_belong_to_root() {
    let container = Container::new().set("/process/user", json!({"uid": 1000, "gid": 1000})).created();
    for file in ["ns", "fd", "environ", "ns/net"] {
        let found = fs::symlink_metadata(format!("/proc/{}/{file}", container.pid())).expect("it is there");
        assert_eq!(found.uid(), 0, "{file}");
    }
}

#[test]
fn a_neighbour_of_the_same_user_cannot_get_at_it() {
    if known_deviation() {
        return;
    }
    let user = json!({"uid": 1000, "gid": 1000});
    let host = Container::new().set("/process/user", user.clone()).capabilities(&[]).running();
    let namespace = format!("/proc/{}/ns/pid", host.pid());
    let container = Container::new().set("/process/user", user).capabilities(&[]).without_namespace("pid");
    let container = container.namespace("pid", Some(&namespace)).created();
    let inside = field(&status(&container), "NSpid").split_whitespace().last().expect("a pid").to_owned();
    // Each of these is what ptrace(2) would need, to read or to attach.
    let script = format!(
        "cd /proc/{inside} && for file in mem maps environ auxv; do cat $file >/dev/null 2>&1 && echo $file; done; \
         for link in exe cwd root ns/mnt ns/user; do readlink $link 2>/dev/null; done; ls fd 2>/dev/null; (echo x >mem) 2>/dev/null && echo written"
    );
    let seen = host.exec(&["sh", "-c", &script]);
    assert_eq!(seen.stdout.trim(), "", "{seen:?}");
}

#[test]
fn one_of_many_starts_starts_it() {
    if known_deviation() {
        return;
    }
    let container =
        Container::new().set("/root/readonly", json!(false)).shell("echo x >>/ran; exec sleep 1000").created();
    let starts: Vec<_> =
        (0..8).map(|_| container.command(&["start", &container.id]).spawn().expect("a start")).collect();
    let statuses: Vec<_> = starts.into_iter().map(|start| output::wait(start, "start")).collect();
    assert_eq!(statuses.iter().filter(|status| **status == 0).count(), 1, "{statuses:?}");
    container.start().fails("cannot start an already running container");
    wait_until("the program", || fs::read_to_string(container.rootfs().join("ran")).ok().filter(|ran| !ran.is_empty()));
    assert_eq!(fs::read_to_string(container.rootfs().join("ran")).expect("it ran"), "x\n");
}

#[test]
fn one_that_was_killed_cannot_be_started() {
    let container = Container::new().created();
    container.kill("KILL").ok();
    container.wait_for("stopped");
    if runtime().speaks_like_runc() {
        container.start().fails("cannot start a container that has stopped");
    } else {
        assert_ne!(container.start().status, 0);
    }
}

/// With a poststart hook that says that it has run.
fn watched(container: Container) -> (Container, PathBuf) {
    let mark = container.dir.join("poststart");
    let hook = hook(&format!("touch {}", mark.display()));
    (container.set("/hooks/poststart", hook), mark)
}

#[test]
fn a_start_whose_init_is_killed_fails() {
    if known_deviation() {
        return;
    }
    let (container, mark) = watched(Container::new().set("/root/readonly", json!(false)));
    let hook = hook("touch /reached; exec sleep 1000");
    let container = container.set("/hooks/startContainer", hook).created();
    let pid = nix::unistd::Pid::from_raw(container.pid());
    let start = container.command(&["start", &container.id]).spawn().expect("a start");
    wait_until("the hook", || container.rootfs().join("reached").exists().then_some(()));
    nix::sys::signal::kill(pid, nix::sys::signal::Signal::SIGKILL).expect("it waits for its hook");
    assert_ne!(output::wait(start, "start"), 0);
    assert!(!mark.exists(), "a poststart hook of a program that never ran");
    container.wait_for("stopped");
}

#[test]
fn a_run_whose_init_is_killed_says_so() {
    if known_deviation() {
        return;
    }
    let (container, mark) = watched(Container::new());
    let hook = hook("kill -KILL $PPID; sleep 1");
    // Where the first process of a pid namespace would not hear it.
    let container = container.set("/hooks/startContainer", hook).without_namespace("pid");
    container.run().exits(1).says("container init was killed");
    assert!(!mark.exists());
}

#[test]
fn a_program_with_hardly_any_descriptors_runs() {
    if known_deviation() {
        return;
    }
    for limit in [0, 3, 4, 6, 20] {
        for hooks in [false, true] {
            let (container, mark) = watched(Container::new().set("/root/readonly", json!(false)));
            let limits = json!([{"type": "RLIMIT_NOFILE", "soft": limit, "hard": limit}]);
            let mut container = container.set("/process/rlimits", limits).shell("ulimit -n");
            if hooks {
                let hook = hook("echo x >/hook");
                container = container.set("/hooks/startContainer", hook);
            }
            assert_eq!(container.run().ok(), limit.to_string());
            assert!(mark.exists());
            assert_eq!(container.rootfs().join("hook").exists(), hooks);
        }
    }
}

#[test]
fn a_limit_under_which_nothing_can_live_is_named() {
    if known_deviation() {
        return;
    }
    for kind in ["RLIMIT_AS", "RLIMIT_DATA"] {
        let (container, mark) = watched(Container::new());
        let container = container.set("/process/rlimits", json!([{"type": kind, "soft": 0, "hard": 0}]));
        container.run().exits(1).says("mmap: cannot allocate memory");
        assert!(!mark.exists());
    }
}

#[test]
fn a_filter_that_lets_init_do_nothing_neither_hangs_nor_starts() {
    if known_deviation() {
        return;
    }
    let defaults = ["ERRNO", "KILL", "KILL_THREAD", "KILL_PROCESS", "TRAP", "TRACE"];
    for (default, allowed) in defaults.iter().flat_map(|default| [(default, &[][..]), (default, &["read", "write"])]) {
        for no_new_privileges in [true, false] {
            let (container, mark) = watched(Container::new());
            let container = container.set("/linux/seccomp", profile(&format!("SCMP_ACT_{default}"), allowed));
            let container = container.set("/process/noNewPrivileges", json!(no_new_privileges));
            let seen = container.run();
            assert!(seen.status == 1 && !seen.stderr.is_empty(), "{default} {allowed:?}: {seen:?}");
            let created = container.create();
            if created.status == 0 {
                assert_ne!(container.start().status, 0, "{default} {allowed:?}");
                container.wait_for("stopped");
            }
            assert!(!mark.exists(), "{default} {allowed:?}");
        }
    }
}

#[test]
fn execve_alone_can_be_denied() {
    if known_deviation() {
        return;
    }
    for action in ["ERRNO", "KILL", "KILL_PROCESS", "TRAP"] {
        let (container, mark) = watched(Container::new());
        let rule = json!([{"names": ["execve"], "action": format!("SCMP_ACT_{action}")}]);
        let filter =
            json!({"defaultAction": "SCMP_ACT_ALLOW", "architectures": ["SCMP_ARCH_X86_64"], "syscalls": rule});
        let container = container.set("/linux/seccomp", filter);
        container.run().exits(1).says("exec");
        container.create().ok();
        container.start().fails("exec");
        assert!(!mark.exists(), "{action}");
    }
}

/// As the waiting takes it: a profile without it is loaded just before the program.
#[test]
fn a_profile_that_denies_init_to_read_is_still_good_for_a_program() {
    if known_deviation() {
        return;
    }
    let allowed = [
        "execve",
        "write",
        "exit_group",
        "brk",
        "arch_prctl",
        "prctl",
        "getuid",
        "geteuid",
        "getgid",
        "getegid",
        "set_tid_address",
        "set_robust_list",
        "rseq",
        "prlimit64",
        "readlink",
        "getrandom",
        "mprotect",
        "mmap",
        "capset",
        "rt_sigaction",
        "rt_sigprocmask",
        "fstat",
        "newfstatat",
        "ioctl",
    ];
    for no_new_privileges in [true, false] {
        let container = Container::new().set("/linux/seccomp", profile("SCMP_ACT_ERRNO", &allowed));
        let container = container.set("/process/noNewPrivileges", json!(no_new_privileges)).args(&["echo", "sails"]);
        assert_eq!(container.run().ok(), "sails");
    }
}
