//! An ordinary user without any help, and with the ranges of /etc/subuid.
use plimsoll_integration_tests::skip::{NEEDS_V2, NOT_BY_SYSTEMD};
use plimsoll_integration_tests::{Container, cgroup, known_deviation, output, runtime, skips};
use serde_json::{Value, json};
use std::fs;
use std::os::unix::fs::chown;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::LazyLock;

/// Whose containers these are: who runs the tests, or, if that is root, an account with sub-ids that is made for them: newuidmap(1)
/// wants one in /etc/passwd.
fn user() -> u32 {
    static USER: LazyLock<u32> = LazyLock::new(|| {
        const NAME: &str = "plimsoll-test";
        let us = nix::unistd::geteuid();
        if !us.is_root() {
            return us.as_raw();
        }
        let look = || nix::unistd::User::from_name(NAME).expect("/etc/passwd").map(|user| user.uid.as_raw());
        look().unwrap_or_else(|| {
            let status = Command::new("useradd").args(["--no-create-home", "--shell", "/bin/sh", NAME]).status();
            assert!(status.expect("useradd").success());
            look().expect("just made")
        })
    });
    *USER
}

/// The first sub-id of the account in /etc/subuid or /etc/subgid, and whether it has any; the test is skipped if not.
fn first_of(file: &str) -> Option<u32> {
    let name = nix::unistd::User::from_uid(user().into()).expect("/etc/passwd").map(|user| user.name);
    let text = fs::read_to_string(file).unwrap_or_default();
    let first = name.and_then(|name| {
        text.lines().find_map(|line| line.strip_prefix(&name)?.strip_prefix(':')?.split(':').next()?.parse().ok())
    });
    assert!(first.is_some() || !nix::unistd::geteuid().is_root(), "useradd gives a range");
    let lacking = first.is_none();
    skips(lacking, &format!("needs a range in {file}"));
    first
}

#[test]
fn run_works() {
    let container = Container::rootless(user()).shell("id -u; cat /proc/self/uid_map | tr -s ' '; hostname; echo $$");
    let seen = container.run();
    assert_eq!(seen.ok(), format!("0\n 0 {} 1\nvessel\n1", user()));
    container.assert_nothing_left();
}

#[test]
fn the_whole_lifecycle_works() {
    let container = Container::rootless(user()).running();
    assert_eq!(container.status(), "running");
    assert_eq!(container.exec(&["id", "-u"]).ok(), "0");
    container.end();
}

#[test]
fn exec_enters_a_container_that_waits_for_its_start() {
    if known_deviation() {
        return;
    }
    let filter = json!({"defaultAction": "SCMP_ACT_ALLOW", "architectures": ["SCMP_ARCH_X86_64"],
        "syscalls": [{"names": ["mkdir"], "action": "SCMP_ACT_ERRNO"}]});
    let container = Container::rootless(user()).set("/linux/seccomp", filter).args(&["sleep", "1000"]).created();
    for _ in 0..3 {
        let seen = container.exec(&[
            "sh",
            "-c",
            "id -u; hostname; for kind in user mnt ipc uts; do readlink /proc/self/ns/$kind; done",
        ]);
        let pid = container.pid();
        let own = ["user", "mnt", "ipc", "uts"]
            .map(|kind| format!("{}", fs::read_link(format!("/proc/{pid}/ns/{kind}")).expect("root may").display()));
        assert_eq!(seen.ok(), format!("0\nvessel\n{}", own.join("\n")));
    }
    assert_eq!(container.status(), "created");
    container.start().ok();
    container.wait_for("running");
    assert_eq!(container.exec(&["id", "-u"]).ok(), "0");
    container.end();
}

#[test]
fn sub_ids_are_mapped_by_newuidmap() {
    let range = |own: u32, first: u32| json!([{"containerID": 0, "hostID": own, "size": 1}, {"containerID": 1, "hostID": first, "size": 1000}]);
    let (Some(uids), Some(gids)) = (first_of("/etc/subuid"), first_of("/etc/subgid")) else { return };
    let container = Container::rootless(user()).set("/linux/uidMappings", range(user(), uids));
    let container = container.set("/linux/gidMappings", range(user(), gids));
    let seen = container
        .set("/process/user", json!({"uid": 5, "gid": 6}))
        .shell("id -u; id -g; cat /proc/self/uid_map | tr -s ' '")
        .run();
    assert_eq!(seen.ok(), format!("5\n6\n 0 {} 1\n 1 {} 1000", user(), uids));
}

#[test]
fn a_range_that_is_not_ours_is_refused() {
    let container = Container::rootless(user());
    let stranger =
        json!([{"containerID": 0, "hostID": user(), "size": 1}, {"containerID": 1, "hostID": 1, "size": 10}]);
    let container = container.set("/linux/uidMappings", stranger);
    container.create().fails("newuidmap");
    container.assert_nothing_left();
}

#[test]
fn the_config_that_spec_writes_runs() {
    if known_deviation() {
        return;
    }
    let mut container = Container::rootless(user());
    let dir = container.make_dir("new");
    chown(&dir, Some(user()), Some(user())).expect("ours, or we are root");
    container.call(&["spec", "--rootless", "--bundle", &dir.to_string_lossy()]).ok();
    let text = fs::read_to_string(dir.join("config.json")).expect("written");
    container.config = serde_json::from_str::<Value>(&text).expect("JSON");
    assert_eq!(container.config["linux"]["uidMappings"], json!([{"containerID": 0, "hostID": user(), "size": 1}]));
    let container = container.set("/process/terminal", json!(false)).args(&["echo", "afloat"]);
    assert_eq!(container.run().ok(), "afloat");
}

#[test]
fn nothing_but_its_own_files_can_be_written() {
    let seen = Container::rootless(user())
        .shell("echo 1 >/proc/sys/kernel/panic; mkdir /sys/fs/cgroup/pids/x; mkdir /sys/fs/cgroup/x")
        .run();
    assert_ne!(seen.status, 0, "{seen:?}");
}

#[test]
fn without_permission_a_group_that_nobody_asked_for_is_left_out_unless_the_flag_says_otherwise() {
    if known_deviation() {
        return;
    }
    let container = Container::rootless(user()).args(&["echo", "afloat"]);
    container.write_config();
    let bundle = container.dir.to_string_lossy();
    let run = |flag: &str| container.call(&[flag, "run", "--bundle", &bundle, &container.id]);
    assert_eq!(run("--rootless=auto").ok(), "afloat");
    assert_eq!(run("--rootless=true").ok(), "afloat");
    assert_ne!(run("--rootless=false").status, 0);
}

/// A cgroup of the user's own, as systemd makes it for a session, and removes it in the end.
struct Delegated(PathBuf);

impl Delegated {
    /// The runtime is called in `shell`, below.
    fn to(container: &mut Container) -> Delegated {
        let directory = Path::new(cgroup::ROOT).join(format!("{}-session", container.id));
        let shell = directory.join("shell");
        fs::write(format!("{}/cgroup.subtree_control", cgroup::ROOT), "+memory +pids +cpu").expect("controllers");
        fs::create_dir_all(&shell).expect("a cgroup");
        for group in [&directory, &shell] {
            for file in [".", "cgroup.procs", "cgroup.subtree_control", "cgroup.threads"] {
                chown(group.join(file), container.user, container.user).expect("ours, or we are root");
            }
        }
        container.called_in = Some(shell);
        Delegated(directory)
    }
}

impl Drop for Delegated {
    fn drop(&mut self) {
        cgroup::remove(&format!("/{}", self.0.file_name().unwrap_or_default().to_string_lossy()));
    }
}

#[test]
fn a_delegated_cgroup_has_limits() {
    // With systemd: `systemd.rs`.
    if skips(!cgroup::is_v2(), NEEDS_V2) || skips(cgroup::by_systemd(), NOT_BY_SYSTEMD) {
        return;
    }
    let resources = json!({"memory": {"limit": 32 << 20}, "pids": {"limit": 20}, "cpu": {"quota": 50_000}});
    let mut container = Container::rootless(user()).set("/linux/resources", resources);
    let session = Delegated::to(&mut container);
    let container = container.running();
    let group = session.0.join(&container.id);
    let read = |file: &str| fs::read_to_string(group.join(file)).expect(file).trim_end().to_owned();
    assert_eq!(read("memory.max"), "33554432");
    assert_eq!(read("pids.max"), "20");
    assert_eq!(read("cpu.max"), "50000 100000");
    let seen = container.exec(&["dd", "if=/dev/zero", "of=/dev/null", "bs=64M", "count=1"]);
    assert_eq!(seen.status, 137, "{seen:?}");
    container.pause().ok();
    assert_eq!(read("cgroup.freeze"), "1");
    container.delete_by_force().ok();
    assert!(!group.exists());
    container.assert_nothing_left();
}

#[test]
fn a_limit_without_a_cgroup_to_set_it_in_is_an_error() {
    if !runtime().is("plimsoll") || skips(!cgroup::is_v2(), NEEDS_V2) || skips(cgroup::by_systemd(), NOT_BY_SYSTEMD) {
        return;
    }
    let container = Container::rootless(user()).set("/linux/resources/pids", json!({"limit": 20}));
    container.create().fails("rootless needs no limits");
    container.assert_nothing_left();
}

/// As Podman calls: from a user namespace of its own, with hardly any environment.
#[test]
fn root_of_a_user_namespace_has_the_users_store_though_nothing_says_who_he_is() {
    if !runtime().is("plimsoll") {
        return;
    }
    let container = Container::rootless(user());
    // What a `create` that died at once has left.
    let runtime_dir = container.dir.join("run");
    let folder = runtime_dir.join("plimsoll").join(&container.id);
    fs::create_dir_all(&folder).expect("our own");
    for path in [&runtime_dir, &runtime_dir.join("plimsoll"), &folder] {
        chown(path, Some(user()), Some(user())).expect("ours, or we are root");
    }
    let mut command = Command::new("unshare");
    if nix::unistd::geteuid().is_root() {
        let uid = user().to_string();
        command = Command::new("setpriv");
        command.args(["--reuid", &uid, "--regid", &uid, "--clear-groups", "unshare"]);
    }
    let status = command
        .args(["--user", "--map-root-user"])
        .arg(&container.runtime.path)
        .args(["delete", "--force", &container.id])
        .env_clear()
        .env("PATH", "/usr/sbin:/usr/bin:/sbin:/bin")
        .env("XDG_RUNTIME_DIR", &runtime_dir)
        .status();
    assert!(status.expect("setpriv and unshare").success());
    assert!(!folder.exists());
}

/// What Podman asks for unless it is told `ro`: <https://github.com/opencontainers/runc/issues/4575>
#[test]
fn a_volume_that_is_there_read_only_only_is_so_though_rw_is_asked_for() {
    if known_deviation() {
        return;
    }
    let own = nix::unistd::geteuid().as_raw();
    let volume =
        json!({"destination": "/mnt", "type": "bind", "source": "volume", "options": ["rprivate", "rw", "rbind"]});
    let container = Container::rootless(own)
        .set("/linux/uidMappings/0/hostID", json!(0))
        .set("/linux/gidMappings/0/hostID", json!(0))
        .mount(volume)
        .shell("touch /mnt/x 2>/dev/null || cat /mnt/name");
    let volume = container.make_dir("volume");
    fs::write(volume.join("name"), "read-only").expect("our own");
    let runtime = container.launcher(&["run"]);
    let entered = ["--user", "--map-root-user", "--mount"];
    let mut host = Command::new("unshare");
    host.args(entered).args(["sh", "-c", r#"mount --bind "$0" "$0" && mount -o remount,bind,ro "$0" && exec "$@""#]);
    host.arg(&volume).arg("unshare").args(entered).arg(runtime.get_program()).args(runtime.get_args());
    assert_eq!(output::finish(host.current_dir(&container.dir)).ok(), "read-only");
    container.assert_nothing_left();
}
