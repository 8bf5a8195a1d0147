//! What goes wrong: CRIU is missing, dies or fails; the runtime is killed.
use plimsoll_integration_tests::output::KilledOnDrop;
use plimsoll_integration_tests::saved::{Saved, count};
use plimsoll_integration_tests::{Container, cgroup, hook, known_deviation, output, wait_until};
use serde_json::{Value, json};
use std::fs;
use std::os::unix::fs::PermissionsExt;

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

/// Killed while its images are open to the container's group: whoever comes next closes them.
#[test]
fn a_restore_that_is_killed_leaves_no_images_open() {
    if known_deviation() {
        return;
    }
    let saved = Saved::new(Saved::counter().container.user_namespace(200_000, 65536));
    saved.count_and_save();
    let mode = || fs::metadata(&saved.images).expect("images").permissions().mode() & 0o777;
    let killed = |id: &str| {
        saved.container.write_config();
        let (images, bundle) = (saved.images.to_str().expect("UTF-8"), saved.container.dir.to_str().expect("UTF-8"));
        // It runs in the middle of the restore.
        let hook = hook("sleep 5");
        let config = saved.container.dir.join("config.json");
        let mut text: Value = serde_json::from_slice(&fs::read(&config).expect("JSON")).expect("JSON");
        text["hooks"] = json!({"createRuntime": hook});
        // Another group in the same one, which goes when the test is over.
        let own = saved.container.cgroups_path();
        text["linux"]["cgroupsPath"] = json!(own.strip_suffix(&saved.container.id).expect("its name").to_owned() + id);
        fs::write(&config, text.to_string()).expect("our own");
        let mut command = saved.command(&["restore", "--detach", "--image-path", images, "--bundle", bundle, id]);
        let mut child = KilledOnDrop(command.spawn().expect("the runtime"));
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
fn a_hook_that_fails_ends_the_restore() {
    if known_deviation() {
        return;
    }
    let mut saved = Saved::counted();
    let hook = hook("echo too bad; exit 3");
    saved.container = saved.container.set("/hooks/createRuntime", hook);
    saved.restore_fails("too bad");
}

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
    let (file, frozen, _) = cgroup::freezer();
    let freeze = format!("echo {frozen} >{}/{file}", saved.container.cgroup_dir("freezer").display());
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
    let mut child = KilledOnDrop(command.env("PATH", path).spawn().expect("the runtime"));
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
