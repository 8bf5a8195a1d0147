//! exec: another process in a running container.
use nix::mount::{MsFlags, mount};
use plimsoll_integration_tests::skip::NOT_BY_SYSTEMD;
use plimsoll_integration_tests::{Container, cgroup, kernel_is_at_least, known_deviation, output, skips, wait_until};
use serde_json::json;
use std::fs;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::Command;

#[test]
fn it_sees_what_the_container_sees() {
    let container = Container::new().set("/hostname", json!("ship")).running();
    let seen = container.exec(&["sh", "-c", "hostname; cat /proc/1/cmdline | tr '\\0' ' '"]);
    assert_eq!(seen.ok(), "ship\nsleep 1000");
}

#[test]
fn the_exit_status_is_that_of_the_program() {
    let container = Container::new().running();
    for status in [0, 3, 255] {
        container.exec(&["sh", "-c", &format!("exit {status}")]).exits(status);
    }
    container.exec(&["sh", "-c", "kill -KILL $$"]).exits(137);
}

#[test]
fn a_failure_of_the_runtime_is_255() {
    if known_deviation() {
        return;
    }
    let container = Container::new().running();
    let output = container.exec(&["no-such-program"]);
    output.exits(255).says("executable file not found in $PATH");
    assert!(!output.stderr.contains("config.json"), "it is not at fault: {output:?}");
    container.exec(&["/no/such/program"]).exits(255).says("no such file or directory");
    container.exec_with(&["--cwd", "relative"], &["true"]).exits(255);
}

#[test]
fn the_environment_is_the_containers_and_more() {
    if known_deviation() {
        return;
    }
    let container = Container::new().set("/process/env/-", json!("SHIP=Plimsoll")).running();
    let seen = container.exec_with(&["--env", "MATE=1", "--env", "BOY=a=b"], &["env"]);
    for line in ["SHIP=Plimsoll", "MATE=1", "BOY=a=b", "TERM=xterm"] {
        assert!(seen.ok().lines().any(|own| own == line), "{line}: {seen:?}");
    }
}

#[test]
fn cwd_is_the_containers_or_another() {
    let container = Container::new().set("/process/cwd", json!("/etc")).running();
    assert_eq!(container.exec_with(&["--cwd", "/tmp"], &["pwd"]).ok(), "/tmp");
}

#[test]
fn without_a_flag_cwd_is_the_containers() {
    if known_deviation() {
        return;
    }
    let container = Container::new().set("/process/cwd", json!("/etc")).running();
    assert_eq!(container.exec(&["pwd"]).ok(), "/etc");
}

#[test]
fn a_process_file_says_it_all() {
    let container = Container::new().running();
    let process = json!({
        "args": ["sh", "-c", "pwd; id -u; id -g; echo $SHIP; grep CapEff /proc/self/status"],
        "cwd": "/etc", "env": ["PATH=/bin", "SHIP=Plimsoll"], "user": {"uid": 7, "gid": 8},
    });
    let path = container.dir.join("process.json");
    fs::write(&path, process.to_string()).expect("our own");
    let seen = container.call(&["exec", "--process", &path.to_string_lossy(), &container.id]);
    assert_eq!(seen.ok(), "/etc\n7\n8\nPlimsoll\nCapEff:\t0000000000000000");
}

/// As a shell's `<(…)` is one.
#[test]
fn a_process_file_may_be_a_pipe() {
    let container = Container::new().running();
    let process = json!({"args": ["echo", "ahoy"], "cwd": "/", "env": ["PATH=/bin"], "user": {"uid": 0, "gid": 0}});
    let command = container.command(&["exec", "--process", "/dev/fd/9", &container.id]);
    let mut shell = std::process::Command::new("sh");
    let script = r#"process=$1; shift; { echo "$process" | "$@" 9<&0 </dev/null; }"#;
    shell.args(["-c", script, "sh", &process.to_string()]);
    shell.arg(command.get_program()).args(command.get_args());
    assert_eq!(plimsoll_integration_tests::output::finish(&mut shell).ok(), "ahoy");
}

#[test]
fn stdin_reaches_the_program() {
    let container = Container::new().running();
    let path = container.dir.join("input");
    fs::write(&path, "ahoy").expect("our own");
    let mut command = container.command(&["exec", &container.id, "cat"]);
    command.stdin(fs::File::open(path).expect("just written"));
    assert_eq!(plimsoll_integration_tests::output::finish(&mut command).ok(), "ahoy");
}

#[test]
fn detached_it_returns_while_it_runs_and_leaves_a_pid_file() {
    let container = Container::new().running();
    let path = container.dir.join("exec-pid");
    let flags = ["--detach", "--pid-file", &path.to_string_lossy()];
    container.exec_with(&flags, &["sleep", "2000"]).ok();
    let pid = fs::read_to_string(path).expect("written");
    wait_until("it became its program", || {
        fs::read_to_string(format!("/proc/{pid}/cmdline")).is_ok_and(|line| line == "sleep\x002000\0").then_some(())
    });
}

#[test]
fn flags_after_the_id_belong_to_the_program() {
    let container = Container::new().running();
    assert_eq!(container.exec(&["echo", "--tty", "-d", "--"]).ok(), "--tty -d --");
}

#[test]
fn a_capability_that_nobody_knows_is_warned_of() {
    if known_deviation() {
        return;
    }
    let container = Container::new().running();
    let output = container.exec_with(&["--cap", "CAP_HARBOUR"], &["true"]);
    output.says("ignoring unknown or unavailable capabilities: [CAP_HARBOUR]").ok();
}

#[test]
fn in_a_created_container_it_works() {
    let container = Container::new().created();
    assert_eq!(container.exec(&["echo", "early"]).ok(), "early");
}

#[test]
fn in_a_stopped_container_it_fails() {
    let container = Container::new().running();
    container.kill("KILL").ok();
    container.wait_for("stopped");
    let output = container.exec(&["true"]);
    assert_ne!(output.status, 0);
    output.says("cannot exec in a stopped container");
}

#[test]
fn in_a_paused_container_it_fails_at_once() {
    let container = Container::new().running();
    container.pause().ok();
    let output = container.exec(&["true"]);
    assert_ne!(output.status, 0);
    output.says("cannot exec in a paused container");
    container.resume().ok();
    container.exec(&["true"]).ok();
}

#[test]
fn without_a_program_it_fails() {
    let container = Container::new().running();
    assert_ne!(container.exec(&[]).status, 0);
}

#[test]
fn no_zombie_is_left_in_the_container() {
    let container = Container::new().running();
    for _ in 0..5 {
        container.exec(&["true"]).ok();
    }
    assert_eq!(container.exec(&["sh", "-c", "cat /proc/[0-9]*/stat | grep -c ' Z '"]).stdout.trim(), "0");
}

#[test]
fn a_controller_that_does_not_exist_is_refused() {
    if known_deviation() {
        return;
    }
    let container = Container::new().running();
    container.exec_with(&["--cgroup", "rudder:/"], &["true"]).exits(255).says("unknown controller rudder");
}

#[test]
fn a_container_that_may_have_no_more_processes_can_be_entered() {
    if known_deviation() {
        return;
    }
    let container = Container::new().set("/linux/resources/pids", json!({"limit": 1})).running();
    for _ in 0..10 {
        container.exec(&["true"]).ok();
    }
    // But not more than entered.
    container.exec(&["sh", "-c", "sleep 0 & wait"]).exits(2);
    let joined = Container::new().set("/linux/resources/pids", json!({"limit": 1}));
    let joined = joined.namespace("pid", Some(&format!("/proc/{}/ns/pid", container.pid()))).running();
    joined.exec(&["true"]).ok();
}

#[test]
fn it_is_in_every_group_of_the_container() {
    let container = Container::new().set("/linux/resources/pids", json!({"limit": 100})).running();
    let groups = |pid: &str| container.exec(&["sort", &format!("/proc/{pid}/cgroup")]).ok().to_owned();
    assert_eq!(groups("self"), groups("1"));
}

#[test]
fn it_does_not_count_against_its_users_limit_before_it_is_there() {
    if known_deviation() {
        return;
    }
    let limit = json!([{"type": "RLIMIT_NPROC", "soft": 2, "hard": 2}]);
    let container =
        Container::new().set("/process/user", json!({"uid": 41_414, "gid": 0})).set("/process/rlimits", limit);
    let container = container.running();
    for _ in 0..5 {
        let seen = container.exec(&["grep", "Max processes", "/proc/self/limits"]);
        let numbers: Vec<_> = seen.ok().split_ascii_whitespace().skip(2).take(2).collect();
        assert_eq!(numbers, ["2", "2"]);
    }
}

#[test]
fn it_goes_where_init_is_if_the_containers_group_is_no_more() {
    if known_deviation() || skips(cgroup::by_systemd(), NOT_BY_SYSTEMD) {
        return;
    }
    let container = Container::new().running();
    let pid = container.pid().to_string();
    let own = cgroup::directories(&container.cgroup());
    let moved: Vec<_> = own.iter().map(|dir| dir.with_file_name("moved")).collect();
    for (own, moved) in own.iter().zip(&moved) {
        fs::create_dir(moved).expect("a group");
        for file in ["cpuset.cpus", "cpuset.mems"] {
            if let Ok(value) = fs::read_to_string(own.join(file)) {
                fs::write(moved.join(file), value.trim()).expect("a setting");
            }
        }
        fs::write(moved.join("cgroup.procs"), &pid).expect("a group");
        fs::remove_dir(own).expect("an empty group");
    }
    let seen = container.exec(&["cat", "/proc/self/cgroup"]);
    let outside = fs::read_to_string(format!("/proc/{pid}/cgroup")).expect("procfs");
    let inside = container.exec(&["cat", "/proc/1/cgroup"]);
    container.delete_by_force().ok();
    wait_until("its groups are empty", || {
        moved.iter().all(|dir| fs::remove_dir(dir).is_ok() || !dir.exists()).then_some(())
    });
    assert!(outside.contains("/moved"), "{outside}");
    assert_eq!(seen.ok(), inside.ok());
}

/// The runtime as somebody calls it who has changed the root: to a bind mount of the host's, or to an ordinary directory
/// in which the host's are mounted. In a mount namespace of its own.
fn in_chroot(mut command: Command, root: &Path, bound: bool) -> Command {
    let mounts: Vec<(String, PathBuf)> = if bound {
        vec![("/".to_owned(), root.to_owned())]
    } else {
        let names = fs::read_dir("/").expect("a root").flatten().map(|entry| entry.path());
        names.filter(|path| path.is_dir()).map(|path| (path.display().to_string(), below(root, &path))).collect()
    };
    mounts.iter().for_each(|(_, target)| fs::create_dir_all(target).expect("our own"));
    let root = root.to_owned();
    let enter = move || {
        let none = None::<&str>;
        nix::sched::unshare(nix::sched::CloneFlags::CLONE_NEWNS)?;
        mount(none, "/", none, MsFlags::MS_REC | MsFlags::MS_PRIVATE, none)?;
        for (source, target) in &mounts {
            mount(Some(&**source), target, none, MsFlags::MS_BIND | MsFlags::MS_REC, none)?;
        }
        nix::unistd::chroot(&root)?;
        nix::unistd::chdir("/")?;
        Ok(())
    };
    // SAFETY: system calls between fork and exec; paths this short are copied to the stack.
    unsafe { command.pre_exec(enter) };
    command
}

fn below(root: &Path, path: &Path) -> PathBuf {
    root.join(path.strip_prefix("/").expect("absolute"))
}

#[test]
fn in_a_chroot_it_ends_up_in_the_containers_root() {
    if known_deviation() {
        return;
    }
    for (bound, flags) in [(true, &[][..]), (false, &[]), (true, &["--no-pivot"])] {
        let container = Container::new().args(&["sleep", "1000"]);
        let root = container.make_dir("chroot");
        fs::write(container.rootfs().join("etc/ship"), "Plimsoll").expect("our own");
        let create = container.launcher(&[&["create"], flags].concat());
        output::finish(&mut in_chroot(create, &root, bound)).ok();
        container.start().ok();
        let look = ["exec", &container.id, "cat", "/etc/ship"];
        for command in [container.command(&look), in_chroot(container.command(&look), &root, bound)] {
            let mut command = command;
            assert_eq!(output::finish(&mut command).ok(), "Plimsoll", "{bound} {flags:?}");
        }
        // Nor is anything of the host's above it, for whoever enters the mount namespace another way.
        let pid = container.pid().to_string();
        let seen = Command::new("nsenter").args(["-t", &pid, "-m", "/bin/cat", "/etc/ship"]).output().expect("nsenter");
        assert_eq!(String::from_utf8_lossy(&seen.stdout), "Plimsoll", "{bound} {flags:?}");
    }
}

#[test]
fn without_a_mount_namespace_too() {
    if known_deviation() {
        return;
    }
    let container = Container::new().without_namespace("mount").without_namespace("cgroup");
    let container =
        container.remove("/linux/maskedPaths").remove("/linux/readonlyPaths").set("/root/readonly", json!(false));
    let mut container = container.args(&["sleep", "1000"]);
    container.config["mounts"].as_array_mut().expect("an array").retain(|mount| {
        // Before, nothing can be mounted in a tree that is attached nowhere (docs/kernel-features.md).
        mount["destination"] == "/proc" && kernel_is_at_least(6, 15)
    });
    fs::write(container.rootfs().join("etc/ship"), "Plimsoll").expect("our own");
    container.create().ok();
    container.start().ok();
    assert_eq!(container.exec(&["cat", "/etc/ship"]).ok(), "Plimsoll");
}
