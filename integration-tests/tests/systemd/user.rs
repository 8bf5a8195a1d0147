//! A user's own systemd (`systemd --user`).
use plimsoll_integration_tests::systemd;
use plimsoll_integration_tests::{Container, Output, cgroup, output, runtime, wait_until};
use serde_json::json;
use std::fs;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

/// A container of a user who has a systemd, and where its scope is.
fn scoped_by_user() -> Option<(Container, PathBuf)> {
    let user = systemd::user()?;
    let container = Container::rootless(user);
    let path = format!("user.slice:t:{}", container.id);
    let manager = format!("user.slice/user-{user}.slice/user@{user}.service/user.slice");
    let group = Path::new(cgroup::ROOT).join(manager).join(container.unit());
    Some((container.set("/linux/cgroupsPath", json!(path)), group))
}

/// As podman calls it: nothing but the directory. `inside`: from a group of the user's own, and as cron would, not even that.
fn call_as_user(container: &Container, args: &[&str], inside: bool) -> Output {
    let user = container.user.expect("a user");
    let mut command = container.command(args);
    command.env_remove("DBUS_SESSION_BUS_ADDRESS").env("XDG_RUNTIME_DIR", format!("/run/user/{user}"));
    if inside {
        let group = format!("/sys/fs/cgroup/user.slice/user-{user}.slice/user@{user}.service/init.scope/cgroup.procs");
        let procs = fs::OpenOptions::new().write(true).open(group).expect("the user's systemd");
        let mut moved = Command::new(command.get_program());
        moved.args(command.get_args()).stdin(Stdio::null()).current_dir(&container.dir);
        moved.env_remove("DBUS_SESSION_BUS_ADDRESS").env_remove("XDG_RUNTIME_DIR").env("PLIMSOLL_TEST", &container.id);
        let enter = move || {
            std::io::Write::write_all(&mut &procs, b"0")?;
            nix::unistd::setgroups(&[])?;
            nix::unistd::setgid(user.into())?;
            Ok(nix::unistd::setuid(user.into())?)
        };
        // SAFETY: only system calls between fork and exec, in a process of one thread.
        unsafe { moved.pre_exec(enter) };
        command = moved;
    }
    output::finish(&mut command)
}

#[test]
fn a_users_own_systemd_makes_the_scope_wherever_he_calls_from() {
    for inside in [true, false] {
        let Some((container, group)) = scoped_by_user() else { return };
        let resources = json!({"memory": {"limit": 64 << 20}, "pids": {"limit": 30}, "cpu": {"quota": 20_000}});
        let container = container.set("/linux/resources", resources).args(&["sleep", "1000"]);
        container.write_config();
        let bundle = container.dir.to_string_lossy().into_owned();
        let flag = if cgroup::by_systemd() { &[][..] } else { &["--systemd-cgroup"] };
        let call = |args: &[&str]| call_as_user(&container, args, inside);
        call(&[flag, &["create", "--bundle", &bundle, &container.id]].concat()).ok();
        let read = |file: &str| fs::read_to_string(group.join(file)).expect(file).trim_end().to_owned();
        assert_eq!(read("memory.max"), "67108864");
        assert_eq!(read("pids.max"), "30");
        assert_eq!(read("cpu.max"), "20000 100000");
        call(&["start", &container.id]).ok();
        let seen = call(&["exec", &container.id, "cat", "/proc/self/cgroup"]);
        assert!(seen.ok().contains("0::"), "{seen:?}");
        let greedy = call(&["exec", &container.id, "dd", "if=/dev/zero", "of=/dev/null", "bs=128M", "count=1"]);
        assert_eq!(greedy.status, 137, "{greedy:?}");
        call(&["update", "--pids-limit", "20", &container.id]).ok();
        assert_eq!(read("pids.max"), "20");
        call(&["pause", &container.id]).ok();
        assert_eq!(read("cgroup.freeze"), "1");
        call(&["resume", &container.id]).ok();
        call(&["kill", &container.id, "KILL"]).ok();
        wait_until("it has stopped", || call(&["state", &container.id]).stdout.contains("stopped").then_some(()));
        call(&["delete", &container.id]).ok();
        assert!(!group.exists());
        container.assert_nothing_left();
    }
}

#[test]
fn a_controller_that_a_user_was_not_given_is_an_error_that_says_so() {
    let Some((container, group)) = scoped_by_user().filter(|_| runtime().is("plimsoll")) else { return };
    let limit = json!([{"pageSize": "2MB", "limit": 0}]);
    let container = container.set("/linux/resources", json!({"hugepageLimits": limit}));
    container.write_config();
    let bundle = container.dir.to_string_lossy().into_owned();
    let args = ["--systemd-cgroup", "create", "--bundle", &bundle, &container.id];
    let args = if cgroup::by_systemd() { &args[1..] } else { &args[..] };
    call_as_user(&container, args, false).fails("to the user's systemd are delegated cpuset, cpu, io, memory, pids");
    assert!(!group.exists());
}

#[test]
fn without_a_systemd_a_user_who_asks_for_no_limit_goes_without_a_cgroup() {
    if !runtime().is("plimsoll") {
        return;
    }
    let container = Container::rootless(65_534).args(&["echo", "afloat"]);
    let flag = if cgroup::by_systemd() { &["run"][..] } else { &["--systemd-cgroup", "run"] };
    let seen = output::finish(container.launcher(flag).env_remove("DBUS_SESSION_BUS_ADDRESS"));
    assert_eq!(seen.ok(), "afloat");
    assert!(
        seen.stderr.contains("there is no systemd of the user's own") && seen.stderr.lines().count() == 1,
        "{seen:?}"
    );
}
