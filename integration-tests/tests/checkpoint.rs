//! `checkpoint` and `restore`, with a real CRIU.
use plimsoll_integration_tests::runtime::path_with_criu;
use plimsoll_integration_tests::saved::{Saved, Streams, count};
use plimsoll_integration_tests::terminal::ConsoleSocket;
use plimsoll_integration_tests::{Container, cgroup, known_deviation, output, wait_until};
use serde_json::{Value, json};
use std::fs::{self, File};
use std::io::Write;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::{Path, PathBuf};
use std::process::{Child, Command};

#[test]
fn a_counter_goes_on_where_it_was() {
    if known_deviation() {
        return;
    }
    let saved = Saved::counter();
    let mut streams = saved.run();
    assert_eq!(count(&mut streams, 3), 3);
    let before = saved.container.pid();
    saved.checkpoint(&[]).ok();
    saved.container.call(&["state", &saved.container.id]).fails("does not exist");
    saved.container.assert_nothing_left();
    drop(streams);

    let pid_file = saved.container.dir.join("pid");
    let mut streams =
        Saved::on_pipes(saved.restore_command(&["--detach", "--pid-file", pid_file.to_str().expect("UTF-8")]));
    assert_eq!(saved.container.status(), "running");
    assert_eq!(count(&mut streams, 2), 5);
    let pid = saved.container.pid();
    assert_ne!(pid, before);
    assert_eq!(fs::read_to_string(&pid_file).expect("a pid file"), pid.to_string());
    assert_eq!(saved.container.exec(&["sh", "-c", "echo $$ >/dev/shm/x; hostname"]).ok(), "vessel");
    saved.container.call(&["pause", &saved.container.id]).ok();
    saved.container.call(&["resume", &saved.container.id]).ok();
    assert_eq!(count(&mut streams, 1), 6);
    saved.container.end();
}

#[test]
fn a_restored_container_can_be_saved_again_with_what_exec_has_started() {
    if known_deviation() {
        return;
    }
    let saved = Saved::counter();
    let mut streams = saved.run();
    for round in 1..=2 {
        assert_eq!(count(&mut streams, 1), round);
        let started = saved.container.exec(&["sh", "-c", "sleep 1000 </dev/null >/dev/null 2>&1 & echo $!"]);
        saved.checkpoint(&[]).ok();
        streams = saved.restore();
        let there = format!("/proc/{}", started.ok());
        assert_eq!(saved.container.exec(&["ls", "-d", &there]).ok(), there);
    }
    assert_eq!(count(&mut streams, 1), 3);
}

#[test]
fn one_with_a_user_namespace_comes_back_and_its_images_stay_closed_to_others() {
    if known_deviation() {
        return;
    }
    let mut saved = Saved::counter();
    for (key, host) in [("uidMappings", 100_000), ("gidMappings", 200_000)] {
        let map = json!([{"containerID": 0, "hostID": host, "size": 65536}]);
        saved.container = saved.container.set(&format!("/linux/{key}"), map);
    }
    saved.container = saved.container.namespace("user", None);
    let mut streams = saved.run();
    count(&mut streams, 1);
    saved.checkpoint(&[]).ok();
    let mut streams = saved.restore();
    assert_eq!(count(&mut streams, 1), 2);
    assert_eq!(saved.container.exec(&["cat", "/proc/1/gid_map"]).ok().split_whitespace().nth(1), Some("200000"));
    assert_eq!(fs::metadata(&saved.images).expect("images").permissions().mode() & 0o777, 0o700);
}

#[test]
fn what_masks_a_file_is_as_sealed_as_before() {
    if known_deviation() {
        return;
    }
    let (saved, _streams) = Saved::counting();
    saved.checkpoint(&[]).ok();
    let _streams = saved.restore();
    let mounts = saved.container.exec(&["cat", "/proc/1/mountinfo"]);
    for mask in mounts.ok().lines().filter(|mount| mount.contains(" /null /proc/")) {
        assert!(mask.contains(" ro,nosuid,noexec"), "{mask}");
    }
}

#[test]
fn into_a_user_namespace_that_is_there_already_it_cannot_come_back() {
    if known_deviation() {
        return;
    }
    let mut saved = Saved::counter();
    let mut streams = saved.run();
    count(&mut streams, 1);
    saved.checkpoint(&[]).ok();
    saved.container = saved.container.namespace("user", Some("/proc/self/ns/user"));
    saved.restore_fails("/linux/namespaces: CRIU cannot restore into a user namespace that is there already");
}

#[test]
fn with_leave_running_it_goes_on_at_once() {
    if known_deviation() {
        return;
    }
    let (saved, mut streams) = Saved::counting();
    let pid = saved.container.pid();
    saved.checkpoint(&["--leave-running"]).ok();
    assert_eq!((saved.container.status().as_str(), saved.container.pid()), ("running", pid));
    assert_eq!(count(&mut streams, 1), 2);
    saved.container.delete_by_force().ok();
    assert_eq!(count(&mut saved.restore(), 1), 2);
}

#[test]
fn a_paused_container_can_be_saved() {
    if known_deviation() {
        return;
    }
    let (saved, _streams) = Saved::counting();
    saved.container.call(&["pause", &saved.container.id]).ok();
    saved.checkpoint(&["--leave-running"]).ok();
    assert_eq!(saved.container.status(), "paused");
    saved.checkpoint(&[]).ok();
    saved.container.assert_nothing_left();
    assert_eq!(count(&mut saved.restore(), 1), 2);
}

#[test]
fn one_that_does_not_run_cannot_be() {
    if known_deviation() {
        return;
    }
    let saved = Saved::new(Container::new().args(&["true"]).created());
    saved.checkpoint(&[]).fails("Container cannot be checkpointed in created state");
    saved.container.start().ok();
    saved.container.wait_for("stopped");
    saved.checkpoint(&[]).fails("Container cannot be checkpointed in stopped state");
    assert_eq!(saved.container.status(), "stopped");
}

#[test]
fn pre_dump_saves_the_memory_and_the_rest_follows() {
    if known_deviation() {
        return;
    }
    let (mut saved, mut streams) = Saved::counting();
    saved.images = saved.container.dir.join("before");
    let mut check = Command::new("criu");
    check
        .args(["check", "--feature", "mem_dirty_track"])
        .env("PATH", path_with_criu())
        .current_dir(&saved.container.dir);
    if !check.output().expect("criu").status.success() {
        saved.checkpoint(&["--pre-dump"]).fails("missing features");
        assert_eq!(count(&mut streams, 1), 2);
        return;
    }
    saved.checkpoint(&["--pre-dump"]).ok();
    assert_eq!(saved.container.status(), "running");
    assert_eq!(count(&mut streams, 1), 2);
    saved.images = saved.container.dir.join("images");
    saved.checkpoint(&["--parent-path", "../before"]).ok();
    assert_eq!(fs::read_link(saved.images.join("parent")).expect("a link"), Path::new("../before"));
    assert_eq!(count(&mut saved.restore(), 1), 3);
}

#[test]
fn the_earlier_images_are_beside_these() {
    if known_deviation() {
        return;
    }
    let saved = Saved::counter();
    let mut streams = saved.run();
    for parent in ["/tmp", "nowhere"] {
        saved.checkpoint(&["--parent-path", parent]).fails("--parent-path");
    }
    assert_eq!(count(&mut streams, 1), 1);
}

#[test]
fn in_the_foreground_the_exit_status_is_the_containers() {
    if known_deviation() {
        return;
    }
    let saved = Saved::counted();
    // At the end of its input it exits with 7.
    output::finish(&mut saved.restore_command(&[])).exits(7);
    saved.container.assert_nothing_left();
}

#[test]
fn a_terminal_comes_back_over_the_console_socket() {
    if known_deviation() {
        return;
    }
    let script = "n=0; while read word; do n=$((n+1)); echo \"$word $n\"; done";
    let saved = Saved::new(Container::new().set("/process/terminal", json!(true)).shell(script));
    let path = saved.container.dir.join("console");
    let console = ConsoleSocket::bind(&path);
    let flags = ["--detach", "--console-socket", path.to_str().expect("UTF-8")];
    saved.container.launch(&[&["run"], &flags[..]].concat()).ok();
    let mut terminal = console.accept();
    terminal.enter("ahoy\r");
    terminal.expect("ahoy 1");
    saved.checkpoint(&[]).ok();
    output::finish(&mut saved.restore_command(&flags)).ok();
    let mut terminal = console.accept();
    terminal.enter("again\r");
    terminal.expect("again 2");
    saved.container.delete_by_force().ok();
    saved.container.assert_nothing_left();
}

#[test]
fn a_file_or_dev_null_as_a_stream_is_that_of_the_restore() {
    if known_deviation() {
        return;
    }
    let saved = Saved::new(Container::new().shell("n=0; while :; do n=$((n+1)); echo $n; sleep 0.05; done"));
    // CRIU wants a file as long as the old one was, unless it is only appended to.
    let file = |name: &str| {
        let path = saved.container.dir.join(name);
        File::options().append(true).create_new(true).open(path).expect("a file")
    };
    let lines = |name: &str| {
        let text = fs::read_to_string(saved.container.dir.join(name)).unwrap_or_default();
        text.lines().filter_map(|line| line.parse::<u64>().ok()).collect::<Vec<_>>()
    };
    let on_file = |mut command: Command, name: &str| {
        let said = file(&format!("{name}.err"));
        let child = command.stdout(file(name)).stderr(said).spawn().expect("the runtime");
        let status = output::wait(child, name);
        assert_eq!(status, 0, "{:?}", fs::read_to_string(saved.container.dir.join(format!("{name}.err"))));
        wait_until(name, || (lines(name).len() > 3).then_some(()));
    };
    saved.container.write_config();
    let bundle = saved.container.dir.to_str().expect("UTF-8");
    on_file(saved.command(&["run", "--detach", "--bundle", bundle, &saved.container.id]), "first");
    saved.checkpoint(&[]).ok();
    on_file(saved.restore_command(&["--detach"]), "second");
    assert_eq!(lines("second")[0], lines("first").last().expect("lines") + 1);
}

/// CRIU takes a source for a directory and a name in it.
#[test]
fn sources_may_be_written_in_any_way() {
    if known_deviation() {
        return;
    }
    let mut saved = Saved::counter();
    let dir = saved.container.dir.clone();
    fs::create_dir_all(dir.join("x/y")).expect("our own");
    symlink("x", dir.join("link")).expect("our own");
    let absolute = |path: &str| dir.join(path).to_str().expect("text").to_owned();
    let sources = [
        ".".to_owned(),
        "./x".to_owned(),
        "x/y/..".to_owned(),
        "x/../x/".to_owned(),
        "./x//y/.".to_owned(),
        "link/y/".to_owned(),
        "link".to_owned(),
        absolute("."),
        absolute("x/y/.."),
        absolute("x//"),
        "/etc/.".to_owned(),
    ];
    for (i, source) in sources.iter().enumerate() {
        let mount = json!({"destination": format!("/tmp/{i}"), "type": "bind", "source": source, "options": ["bind"]});
        saved.container = saved.container.mount(mount);
    }
    // A bundle by another name.
    let other = dir.with_extension("link");
    symlink(&dir, &other).expect("our own");
    let bundle = format!("{}/./", other.display());
    saved.container.write_config();
    let streams = Saved::on_pipes(saved.command(&["run", "--detach", "--bundle", &bundle, &saved.container.id]));
    saved.container.wait_for("running");
    fs::write(dir.join("x/y/file"), "").expect("our own");
    let seen = || {
        saved.container.exec(&["sh", "-c", "cd /tmp; ls */file */y/file */x/y/file; ls 10/hostname"]).ok().to_owned()
    };
    let before = seen();
    saved.checkpoint(&[]).ok();
    drop(streams);
    let images = saved.images.to_str().expect("UTF-8");
    let restore = ["restore", "--detach", "--image-path", images, "--bundle", &bundle, &saved.container.id];
    let mut streams = Saved::on_pipes(saved.command(&restore));
    assert_eq!(seen(), before);
    assert_eq!(count(&mut streams, 1), 1);
    fs::remove_file(other).expect("our own");
}

/// Killed while its images are open to the container's group: whoever comes next closes them.
#[test]
fn a_restore_that_is_killed_leaves_no_images_open() {
    if known_deviation() {
        return;
    }
    let mut saved = Saved::counter();
    for key in ["uidMappings", "gidMappings"] {
        saved.container = saved
            .container
            .set(&format!("/linux/{key}"), json!([{"containerID": 0, "hostID": 200_000, "size": 65536}]));
    }
    saved.container = saved.container.namespace("user", None);
    let mut streams = saved.run();
    count(&mut streams, 1);
    saved.checkpoint(&[]).ok();
    let mode = || fs::metadata(&saved.images).expect("images").permissions().mode() & 0o777;
    let killed = |id: &str| {
        saved.container.write_config();
        let (images, bundle) = (saved.images.to_str().expect("UTF-8"), saved.container.dir.to_str().expect("UTF-8"));
        // It runs in the middle of the restore.
        let hook = json!([{"path": "/bin/sh", "args": ["sh", "-c", "sleep 5"]}]);
        let config = saved.container.dir.join("config.json");
        let mut text: Value = serde_json::from_slice(&fs::read(&config).expect("JSON")).expect("JSON");
        text["hooks"] = json!({"createRuntime": hook});
        text["linux"]["cgroupsPath"] = json!(saved.container.cgroups_path().replace(&saved.container.id, id));
        fs::write(&config, text.to_string()).expect("our own");
        let mut command = saved.command(&["restore", "--detach", "--image-path", images, "--bundle", bundle, id]);
        let mut child = Holder(command.spawn().expect("the runtime"));
        wait_until("the images are open", || (mode() == 0o710).then_some(()));
        child.0.kill().expect("our own");
        child.0.wait().expect("our own");
        assert_eq!(mode(), 0o710);
    };
    killed(&saved.container.id);
    saved.container.delete_by_force().ok();
    assert_eq!(mode(), 0o700);
    let other = format!("{}-other", saved.container.id);
    killed(&other);
    // The next restore, of another one, knows how they were.
    let mut streams = saved.restore();
    assert_eq!(count(&mut streams, 1), 2);
    assert_eq!(mode(), 0o700);
    saved.container.call(&["delete", "--force", &other]).ok();
    assert_eq!(mode(), 0o700);
}

#[test]
fn bind_mounts_are_those_of_the_configuration() {
    if known_deviation() {
        return;
    }
    let container = Container::new().shell("while read word; do cat /conf/name /odd/name; done");
    let sources = ["link", "odd", "other"].map(|name| {
        let dir = container.dir.join(name);
        fs::create_dir(&dir).expect("our own");
        fs::write(dir.join("name"), format!("{name}\n")).expect("our own");
        dir
    });
    fs::create_dir(container.rootfs().join("real")).expect("our own");
    symlink("/real/conf", container.rootfs().join("conf")).expect("our own");
    symlink("/real/o,dd [x", container.rootfs().join("odd")).expect("our own");
    let bind =
        |source: &PathBuf, target: &str| json!({"destination": target, "source": source, "options": ["bind", "ro"]});
    let container = container.mount(bind(&sources[0], "/conf")).mount(bind(&sources[1], "/odd"));
    let last = container.config["mounts"].as_array().expect("an array").len() - 1;
    let mut saved = Saved::new(container);
    let mut streams = saved.run();
    let ask = |streams: &mut Streams| {
        streams.stdin.as_mut().expect("open").write_all(b"\n").expect("a pipe");
        [streams.line(), streams.line()]
    };
    assert_eq!(ask(&mut streams), ["link", "odd"]);
    saved.checkpoint(&[]).ok();
    saved.container = saved.container.set(&format!("/mounts/{last}/source"), json!(sources[2]));
    let mut streams = saved.restore();
    assert_eq!(ask(&mut streams), ["link", "other"]);
    let written = saved.container.exec(&["sh", "-c", "echo x >/conf/name"]);
    assert!(written.status != 0 && written.stderr.contains("Read-only"), "{written:?}");
}

#[test]
fn what_mounts_add_has_mounted_is_restored_if_config_json_has_it_by_then() {
    if known_deviation() {
        return;
    }
    let mut saved = Saved::counter();
    saved.container = saved.container.set("/root/readonly", json!(false));
    let source = saved.container.dir.join("source");
    fs::create_dir(&source).expect("our own");
    fs::write(source.join("file"), "ours").expect("our own");
    let mut streams = saved.run();
    count(&mut streams, 1);
    let added = [
        json!({"destination": "/data", "source": source, "options": ["bind", "ro"]}),
        json!({"destination": "/scratch", "type": "tmpfs", "source": "tmpfs"}),
    ];
    let list = saved.container.dir.join("list.json");
    fs::write(&list, json!(added).to_string()).expect("our own");
    saved.container.call(&["mounts", "add", &saved.container.id, list.to_str().expect("UTF-8")]).ok();
    saved.container.exec(&["sh", "-c", "echo kept >/scratch/file"]).ok();
    saved.checkpoint(&[]).says("unless config.json has the mounts of `mounts add`: /data, /scratch").ok();
    saved.restore_fails("No mapping for");
    for mount in added {
        saved.container = saved.container.mount(mount);
    }
    let mut streams = saved.restore();
    assert_eq!(count(&mut streams, 1), 2);
    assert_eq!(saved.container.exec(&["cat", "/data/file", "/scratch/file"]).ok(), "ourskept");
}

#[test]
fn its_limits_are_those_of_the_configuration_wherever_its_cgroup_is() {
    if known_deviation() {
        return;
    }
    let (mut saved, _streams) = Saved::counting();
    saved.checkpoint(&["--manage-cgroups-mode", "ignore"]).ok();
    let (path, group) = (saved.container.cgroups_path(), saved.container.cgroup());
    let (path, elsewhere) = match cgroup::by_systemd() {
        true => (path.replace(":t:", ":else:"), group.replace("/t-", "/else-")),
        false => (format!("{path}-2"), format!("{group}-2")),
    };
    saved.container = saved
        .container
        .set("/linux/cgroupsPath", json!(path))
        .set("/linux/resources/pids", json!({"limit": 77}))
        .set("/linux/resources/memory", json!({"limit": 64 << 20}));
    let mut streams = Saved::on_pipes(saved.restore_command(&["--detach", "--manage-cgroups-mode", "ignore"]));
    assert_eq!(count(&mut streams, 1), 2);
    let groups = fs::read_to_string(format!("/proc/{}/cgroup", saved.container.pid())).expect("procfs");
    assert!(groups.lines().all(|line| line.ends_with(&elsewhere) || !line.contains(&saved.container.id)), "{groups}");
    let file = |controller: &str, v1: &str, v2: &str| {
        let (hierarchy, name) = if cgroup::is_v2() { ("", v2) } else { (controller, v1) };
        let path = Path::new(cgroup::ROOT).join(hierarchy).join(elsewhere.trim_start_matches('/')).join(name);
        fs::read_to_string(&path).unwrap_or_else(|error| panic!("{path:?}: {error}")).trim().to_owned()
    };
    assert_eq!(file("pids", "pids.max", "pids.max"), "77");
    assert_eq!(file("memory", "memory.limit_in_bytes", "memory.max"), (64 << 20).to_string());
    saved.container.delete_by_force().ok();
    saved.container.assert_nothing_left();
}

/// A process that does not outlive the test.
struct Holder(Child);

impl Drop for Holder {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

#[test]
fn a_namespace_that_is_joined_is_joined_again() {
    if known_deviation() {
        return;
    }
    let holder = Holder(Command::new("unshare").args(["--net", "sleep", "1000"]).spawn().expect("unshare"));
    let path = format!("/proc/{}/ns/net", holder.0.id());
    let own = fs::read_link("/proc/self/ns/net").expect("procfs");
    wait_until("a network namespace", || (fs::read_link(&path).ok()? != own).then_some(()));
    let container = Saved::counter().container.namespace("network", Some(&path));
    let saved = Saved::new(container);
    let mut streams = saved.run();
    count(&mut streams, 1);
    saved.checkpoint(&[]).ok();
    let mut streams = saved.restore();
    assert_eq!(count(&mut streams, 1), 2);
    let joined = fs::read_link(format!("/proc/{}/ns/net", saved.container.pid())).expect("procfs");
    assert_eq!(joined, fs::read_link(&path).expect("procfs"));
    saved.container.delete_by_force().ok();
}

#[test]
fn hooks_run_when_the_namespaces_are_there_and_when_it_is_gone() {
    if known_deviation() {
        return;
    }
    let saved = Saved::counter();
    let journal = saved.container.dir.join("journal");
    let hook = |kind: &str| {
        let script =
            format!("echo {kind} $(tr -d '\\n\\t ' | grep -o '\"status\":\"[a-z]*\"') >>{}", journal.display());
        json!([{"path": "/bin/sh", "args": ["sh", "-c", script]}])
    };
    let kinds = ["prestart", "createRuntime", "poststop"];
    let container = kinds.iter().fold(saved.container, |container, kind| {
        let hook = hook(kind);
        container.set(&format!("/hooks/{kind}"), hook)
    });
    let saved = Saved { container, images: saved.images };
    let journal = || {
        let text = fs::read_to_string(&journal).unwrap_or_default();
        let _ = fs::remove_file(&journal);
        text.lines().map(|line| line.replace("\"status\":", "")).collect::<Vec<_>>()
    };
    let mut streams = saved.run();
    count(&mut streams, 1);
    assert_eq!(journal(), ["prestart \"creating\"", "createRuntime \"creating\""]);
    saved.checkpoint(&[]).ok();
    assert_eq!(journal(), ["poststop \"stopped\""]);
    let _streams = saved.restore();
    assert_eq!(journal(), ["prestart \"creating\"", "createRuntime \"creating\""]);
    saved.container.delete_by_force().ok();
    assert_eq!(journal(), ["poststop \"stopped\""]);
}

#[test]
fn a_hook_that_fails_ends_the_restore() {
    if known_deviation() {
        return;
    }
    let mut saved = Saved::counted();
    let hook = json!([{"path": "/bin/sh", "args": ["sh", "-c", "echo too bad; exit 3"]}]);
    saved.container = saved.container.set("/hooks/createRuntime", hook);
    saved.restore_fails("too bad");
}

// What goes wrong.

/// A `PATH` with this script as `criu`.
fn with_criu(container: &Container, script: &str) -> String {
    let dir = container.dir.join("bin");
    fs::create_dir_all(&dir).expect("our own");
    let new = dir.join("criu.new");
    fs::write(&new, format!("#!/bin/sh\n{script}\n")).expect("our own");
    fs::set_permissions(&new, fs::Permissions::from_mode(0o755)).expect("our own");
    fs::rename(&new, dir.join("criu")).expect("our own");
    format!("{}:/usr/sbin:/usr/bin:/sbin:/bin", dir.display())
}

#[test]
fn without_criu_there_is_one_clear_error() {
    if known_deviation() {
        return;
    }
    let saved = Saved::new(Container::new().running());
    let images = saved.images.to_str().expect("UTF-8");
    let mut command = saved.container.command(&["checkpoint", "--image-path", images, &saved.container.id]);
    // One in the current directory is not meant.
    with_criu(&saved.container, "exit 0");
    command.env("PATH", "/nowhere:bin:").current_dir(&saved.container.dir);
    output::finish(&mut command).fails("executable file not found in $PATH");
    assert_eq!(saved.container.status(), "running");
}

#[test]
fn a_criu_that_dies_leaves_the_container_as_it_was() {
    if known_deviation() {
        return;
    }
    let saved = Saved::counter();
    let mut streams = saved.run();
    // As one does that is killed in the middle of its work.
    let freeze = match cgroup::is_v2() {
        true => format!("echo 1 >{}/cgroup.freeze", saved.container.cgroup_dir("").display()),
        false => format!("echo FROZEN >{}/freezer.state", saved.container.cgroup_dir("freezer").display()),
    };
    let path = with_criu(&saved.container, &format!("{freeze}; sleep 0.1; kill -9 $$"));
    let images = saved.images.to_str().expect("UTF-8");
    let mut command = saved.container.command(&["checkpoint", "--image-path", images, &saved.container.id]);
    output::finish(command.env("PATH", path)).fails("criu ended: signal: 9");
    assert_eq!(saved.container.status(), "running");
    assert_eq!(count(&mut streams, 1), 1);
}

#[test]
fn a_failure_of_criu_says_what_its_log_says() {
    if known_deviation() {
        return;
    }
    // Somebody outside is at the other end of its input. (A program may take notice of having been stopped: not this one.)
    let saved = Saved::new(Container::new().shell("while :; do sleep 1; done"));
    let (socket, _other) = std::os::unix::net::UnixStream::pair().expect("sockets");
    saved.container.write_config();
    let bundle = saved.container.dir.to_str().expect("UTF-8");
    let mut command = saved.command(&["run", "--detach", "--bundle", bundle, &saved.container.id]);
    output::finish(command.stdin(std::os::fd::OwnedFd::from(socket))).ok();
    let work = saved.container.dir.join("work");
    let seen = saved.checkpoint(&["--work-path", work.to_str().expect("UTF-8")]);
    seen.fails("criu failed: type DUMP errno").says("work/dump.log").says("Error (criu/");
    assert_eq!(saved.container.status(), "running");
}

#[test]
fn a_restore_that_fails_leaves_nothing() {
    if known_deviation() {
        return;
    }
    let saved = Saved::counted();
    fs::write(saved.images.join("inventory.img"), "nonsense").expect("our own");
    saved.restore_fails("restore.log: ");
    fs::remove_dir_all(&saved.images).expect("our own");
    saved.restore_fails("no such file or directory");
}

#[test]
fn a_restore_that_is_killed_can_be_cleaned_up() {
    if known_deviation() {
        return;
    }
    let saved = Saved::counted();
    let path = with_criu(&saved.container, "exec sleep 1000");
    let mut command = saved.restore_command(&["--detach"]);
    let mut child = Holder(command.env("PATH", path).spawn().expect("the runtime"));
    let sleeps = || {
        let procs = saved.container.cgroup_dir("pids");
        cgroup::pids(&procs)
            .iter()
            .any(|pid| fs::read_to_string(format!("/proc/{pid}/comm")).is_ok_and(|name| name == "sleep\n"))
    };
    wait_until("CRIU works", || sleeps().then_some(()));
    child.0.kill().expect("our own");
    child.0.wait().expect("our own");
    saved.container.delete_by_force().ok();
    saved.container.assert_nothing_left();
}

// Images that a stranger has packed.

/// A container's images, and a file of the host's that is not to be touched.
fn packed() -> (Saved, PathBuf) {
    let saved = Saved::counted();
    let canary = saved.container.dir.join("canary");
    fs::write(&canary, "alive").expect("our own");
    (saved, canary)
}

#[test]
fn images_are_plain_files() {
    if known_deviation() {
        return;
    }
    let (saved, canary) = packed();
    for name in ["pages-1.img", "restore.log", "descriptors.json", "stats-restore", "new\x1b[31m"] {
        let file = saved.images.join(name);
        let before = fs::read(&file);
        let _ = fs::remove_file(&file);
        symlink(&canary, &file).expect("our own");
        saved.restore_fails("refusing a checkpoint with something other than plain files");
        fs::remove_file(&file).expect("our own");
        nix::unistd::mkfifo(&file, nix::sys::stat::Mode::S_IRUSR).expect("our own");
        saved.restore_fails("refusing a checkpoint with something other than plain files");
        fs::remove_file(&file).expect("our own");
        if let Ok(before) = before {
            fs::write(&file, before).expect("our own");
        }
    }
    symlink(saved.container.dir.join("rootfs"), saved.images.join("parent")).expect("our own");
    saved.restore_fails("refusing a checkpoint");
    fs::remove_file(saved.images.join("parent")).expect("our own");
    assert_eq!(fs::read_to_string(&canary).expect("still there"), "alive");
    assert_eq!(count(&mut saved.restore(), 1), 2);
}

#[test]
fn criu_writes_its_log_to_a_file_of_its_own() {
    if known_deviation() {
        return;
    }
    let (saved, canary) = packed();
    let work = saved.container.dir.join("work");
    fs::create_dir(&work).expect("our own");
    symlink(&canary, work.join("restore.log")).expect("our own");
    let command = &mut saved.restore_command(&["--detach", "--work-path", work.to_str().expect("UTF-8")]);
    output::finish(command).fails("refusing a checkpoint with something other than plain files");
    saved.container.assert_nothing_left();
    assert_eq!(fs::read_to_string(&canary).expect("still there"), "alive");
}

#[test]
fn names_of_streams_are_names_of_streams() {
    if known_deviation() {
        return;
    }
    let (saved, _) = packed();
    let file = saved.images.join("descriptors.json");
    let before = fs::read(&file).expect("runc's file");
    let long = format!("[{:?}]", "x".repeat(1 << 20));
    for wrong in ["", "{}", "[1,2,3]", r#"["a","b","c","d"]"#, &"[".repeat(5000), &long] {
        fs::write(&file, wrong).expect("our own");
        saved.restore_fails("descriptors.json");
    }
    // What is no stream is not asked for: CRIU makes pipes with nobody at the other end.
    fs::write(&file, r#"["/etc/shadow","pipe:[1]x","extRootNetNS"]"#).expect("our own");
    output::finish(&mut saved.restore_command(&["--detach"])).ok();
    saved.container.delete_by_force().ok();
    fs::write(&file, before).expect("our own");
    assert_eq!(count(&mut saved.restore(), 1), 2);
}

#[test]
fn a_place_that_criu_would_misread_is_refused() {
    if known_deviation() {
        return;
    }
    // CVE-2026-119101: the image leads the mount to where its name says something else to CRIU.
    let container = Container::new();
    symlink("/x]:/etc", container.rootfs().join("data")).expect("our own");
    let source = container.dir.join("source");
    fs::create_dir(&source).expect("our own");
    let mount = json!({"destination": "/data", "source": source, "options": ["bind"]});
    let saved = Saved::new(container.mount(mount).running());
    saved.checkpoint(&[]).fails("CRIU cannot be told of a path with a ']'");
    assert_eq!(saved.container.status(), "running");
}

#[test]
fn the_root_filesystem_stays_read_only() {
    if known_deviation() {
        return;
    }
    let (saved, _) = packed();
    let _streams = saved.restore();
    let written = saved.container.exec(&["touch", "/etc/new"]);
    assert!(written.status != 0 && written.stderr.contains("Read-only"), "{written:?}");
}

#[test]
fn images_do_not_decide_what_processes_may_do_and_see() {
    if known_deviation() {
        return;
    }
    let (mut saved, _) = packed();
    let fine = saved.container.config.clone();
    let shm = |mounts: &[Value]| mounts.iter().position(|mount| mount["destination"] == "/dev/shm").expect("a mount");
    let filter =
        json!({"defaultAction": "SCMP_ACT_ALLOW", "syscalls": [{"names": ["reboot"], "action": "SCMP_ACT_ERRNO"}]});
    let without_shm = {
        let mut mounts = fine["mounts"].as_array().expect("an array").clone();
        mounts.remove(shm(&mounts));
        json!(mounts)
    };
    for (place, value, words) in [
        ("/process/capabilities", json!({"bounding": ["CAP_KILL"]}), " has Cap"),
        ("/linux/seccomp", filter, "/linux/seccomp: refusing"),
        ("/linux/maskedPaths/-", json!("/proc/version"), "/linux/maskedPaths/10: refusing"),
        ("/linux/readonlyPaths/-", json!("/dev"), "is not protected"),
        ("/mounts", without_shm, "where nothing is to be"),
    ] {
        saved.container = saved.container.set(place, value);
        saved.restore_fails(words);
        saved.container.config = fine.clone();
    }
    assert_eq!(count(&mut saved.restore(), 1), 2);
}

#[test]
fn nor_in_which_namespaces_they_are() {
    if known_deviation() {
        return;
    }
    let container = Saved::counter().container.without_namespace("uts").remove("/hostname");
    let mut saved = Saved::new(container);
    let mut streams = saved.run();
    count(&mut streams, 1);
    saved.checkpoint(&[]).ok();
    saved.container = saved.container.namespace("uts", None);
    saved.restore_fails("its uts namespace is another");
}
