//! The state directory: what it says is so, or is an error; nobody else writes in it; what is lost of it can be done without.
use nix::unistd::Pid;
use plimsoll_integration_tests::skip::NOT_BY_SYSTEMD;
use plimsoll_integration_tests::storm::{Losses, Storm};
use plimsoll_integration_tests::{Container, Runtime, cgroup, known_deviation, output, runtime, skips, wait_until};
use serde_json::json;
use std::fs;
use std::os::unix::fs::{PermissionsExt, chown};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

const STRANGER: u32 = 65_534;

type Damage = Box<dyn FnOnce(&Path)>;

/// The runtime's own notes of a container.
fn record(container: &Container) -> PathBuf {
    let folder = container.dir.join("state").join(&container.id);
    // crun's.
    let status = folder.join("status");
    if status.exists() { status } else { folder.join("state.json") }
}

/// The command, with a limit on open files.
fn with_few_descriptors(container: &Container, limit: u64, args: &[&str]) -> output::Output {
    let mut command = container.command(args);
    let limit_files = move || {
        let files = nix::sys::resource::Resource::RLIMIT_NOFILE;
        Ok(nix::sys::resource::setrlimit(files, limit, limit)?)
    };
    // SAFETY: only a system call between fork and exec.
    unsafe { command.pre_exec(limit_files) };
    output::finish(&mut command)
}

#[test]
fn what_cannot_be_found_out_is_an_error_and_not_an_answer() {
    if known_deviation() {
        return;
    }
    let container = Container::new().running();
    for limit in 3..16 {
        let state = with_few_descriptors(&container, limit, &["state", &container.id]);
        assert!(state.status != 0 || state.stdout.contains("\"running\""), "{limit}: {state:#?}");
        let list = with_few_descriptors(&container, limit, &["list"]);
        assert!(list.status != 0 || list.stdout.contains("running") || !list.stderr.is_empty(), "{limit}: {list:#?}");
        let paused = with_few_descriptors(&container, limit, &["resume", &container.id]);
        assert_ne!(paused.status, 0, "{limit}: {paused:#?}");
    }
    assert_eq!(container.status(), "running");
}

#[test]
fn a_running_container_is_not_deleted_because_something_could_not_be_opened() {
    let container = Container::new().running();
    for limit in 3..16 {
        let deleted = with_few_descriptors(&container, limit, &["delete", &container.id]);
        assert_ne!(deleted.status, 0, "{limit}: {deleted:#?}");
    }
    assert_eq!(container.status(), "running");
}

#[test]
fn nor_after_any_one_failure() {
    if known_deviation() {
        return;
    }
    let container = Container::new().running();
    let trace = container.dir.join("trace");
    // What the command says, and whether it had got as far as to the call that fails.
    let under_strace = |call: &str, inject: &str, args: &[&str]| {
        let command = container.command(args);
        let mut strace = Command::new("strace");
        strace.arg("-o").arg(&trace).args(["-e", &format!("trace={call}"), "-e", inject, "--"]);
        let seen = output::finish(strace.arg(command.get_program()).args(command.get_args()).stdin(Stdio::null()));
        (seen, fs::read_to_string(&trace).expect("strace's").contains("(INJECTED)"))
    };
    for call in ["openat", "pidfd_open", "fstat", "newfstatat", "fstatfs", "poll", "read", "flock"] {
        for number in 1.. {
            let mut reached = false;
            for errno in ["EMFILE", "EIO"] {
                let inject = format!("inject={call}:error={errno}:when={number}");
                let (deleted, in_delete) = under_strace(call, &inject, &["delete", &container.id]);
                assert_ne!(deleted.status, 0, "{inject}: {deleted:#?}");
                let (state, in_state) = under_strace(call, &inject, &["state", &container.id]);
                assert!(state.status != 0 || state.stdout.contains("\"running\""), "{inject}: {state:#?}");
                reached |= in_delete || in_state;
            }
            if !reached {
                break;
            }
        }
    }
    assert_eq!(container.status(), "running");
}

/// What an ordinary user does where `/proc` shows nobody's processes but his own: 0 if all of it is as it should be.
const HIDDEN: &str = r#"
    set -e
    mount -t proc -o hidepid=2 proc /proc
    as_user() { setpriv --reuid "$OWNER" --regid "$OWNER" --clear-groups "$@"; }
    as_user "$RUNTIME" --root "$DIR/state" create --pid-file "$DIR/pid" --bundle "$DIR" "$ID" >"$DIR/out" 2>&1
    as_user "$RUNTIME" --root "$DIR/state" state "$ID" | grep -q '"created"' || { echo not created; exit 1; }
    as_user "$RUNTIME" --root "$DIR/state" start "$ID"
    as_user "$RUNTIME" --root "$DIR/state" state "$ID" | grep -q '"running"' || { echo not running; exit 1; }
    as_user "$RUNTIME" --root "$DIR/state" delete "$ID" 2>"$DIR/refused" && { echo deleted while running; exit 1; }
    as_user "$RUNTIME" --root "$DIR/state" delete --force "$ID"
    [ ! -d "/proc/$(cat "$DIR/pid")" ] || grep -q 'State:.Z' "/proc/$(cat "$DIR/pid")/status" || { echo it lives on; exit 1; }
    [ -z "$(ls "$DIR/state")" ] || { echo state left; exit 1; }
"#;

#[test]
fn where_proc_hides_processes_a_user_has_his_containers_all_the_same() {
    if known_deviation() {
        return;
    }
    let container = Container::rootless(1234).args(&["sleep", "1000"]);
    container.write_config();
    // Where the runtime can be called.
    let mut command = Runtime { path: "/usr/bin/unshare".into(), ..container.runtime.clone() }.command();
    command.args(["--mount", "--pid", "--fork", "--kill-child", "sh", "-c", HIDDEN]);
    command.env("RUNTIME", &container.runtime.path).env("DIR", &container.dir).env("ID", &container.id);
    command.env("OWNER", "1234").env("XDG_RUNTIME_DIR", &container.dir).stdin(Stdio::null());
    output::finish(&mut command).ok();
}

#[test]
fn a_process_that_has_the_number_now_is_not_the_containers() {
    let container = Container::new().running();
    let path = record(&container);
    let own = container.pid().to_string();
    let mut other = Command::new("sleep").arg("1000").spawn().expect("sleep");
    let text = fs::read_to_string(&path).expect("a record");
    fs::write(&path, text.replace(&own, &other.id().to_string())).expect("our own");
    // plimsoll says it beside the record.
    let link = path.with_file_name("init");
    if let Ok(text) = fs::read_link(&link) {
        fs::remove_file(&link).expect("our own");
        let text = text.to_str().expect("words").replace(&own, &other.id().to_string());
        std::os::unix::fs::symlink(text, &link).expect("our own");
    }
    assert_eq!(container.status(), "stopped");
    container.kill("KILL");
    container.delete_by_force().ok();
    assert!(other.try_wait().expect("our own child").is_none());
    other.kill().expect("our own child");
    other.wait().expect("our own child");
}

/// A container whose record has been made into something else.
#[track_caller]
fn with_damaged_record(damage: impl FnOnce(&Path)) -> Container {
    let container = Container::new().running();
    damage(&record(&container));
    container
}

#[test]
fn a_container_with_a_damaged_record_is_deleted_by_force_with_all_that_belongs_to_it() {
    if known_deviation() {
        return;
    }
    let cut = |path: &Path| {
        let text = fs::read(path).expect("a record");
        fs::write(path, &text[..text.len() / 2]).expect("our own");
    };
    let write = |bytes: &'static [u8]| move |path: &Path| fs::write(path, bytes).expect("our own");
    let lost = |path: &Path| fs::remove_file(path).expect("our own");
    let damages: [Damage; 6] = [
        Box::new(write(b"")),
        Box::new(cut),
        Box::new(write(b"\0\0\0\0\xff\xfe")),
        Box::new(write(b"{}")),
        Box::new(write(b"[1, 2")),
        Box::new(lost),
    ];
    for damage in damages {
        let container = with_damaged_record(damage);
        assert_ne!(container.delete().status, 0);
        container.call(&["list"]).ok();
        container.delete_by_force().ok();
        container.assert_nothing_left();
        container.create().ok();
    }
}

#[test]
fn also_without_a_config_or_with_neither() {
    if !runtime().is("plimsoll") {
        return;
    }
    for (record_too, text) in [(false, "{"), (true, ""), (true, "{\"ociVersion\": 1}")] {
        let container = with_damaged_record(|path| {
            fs::write(path.with_file_name("config.json"), text).expect("our own");
            if record_too {
                fs::write(path, "").expect("our own");
            }
        });
        container.delete_by_force().ok();
        // The cgroups cannot be known without either.
        let left = container.left_behind();
        assert!(left.processes.is_empty() && left.state.is_empty(), "{left:#?}");
        assert!(record_too || left.cgroups.is_empty(), "{left:#?}");
    }
}

/// Somebody else, in the container's cgroup.
fn stranger_in(container: &Container) -> Child {
    let procs = container.cgroup_dir("pids").join("cgroup.procs");
    let mut command = Command::new("sleep");
    command.arg("1000");
    // SAFETY: writes a file between fork and exec.
    unsafe { command.pre_exec(move || fs::write(&procs, "0")) };
    command.spawn().expect("sleep")
}

#[test]
fn who_may_be_somebody_else_is_not_killed_for_a_damaged_record() {
    // A scope ends with its last process: there is no group that a stranger could be in.
    if !runtime().is("plimsoll") || skips(cgroup::by_systemd(), NOT_BY_SYSTEMD) {
        return;
    }
    let container = Container::new().running();
    container.kill("KILL").ok();
    container.wait_for("stopped");
    let mut stranger = stranger_in(&container);
    fs::write(record(&container), "").expect("our own");
    container.delete_by_force().ok();
    assert!(stranger.try_wait().expect("our own child").is_none(), "the stranger is dead");
    assert!(container.left_behind().state.is_empty());
    stranger.kill().expect("our own child");
    stranger.wait().expect("our own child");
}

#[test]
fn what_another_runtime_has_made_is_left_alone() {
    if !runtime().is("plimsoll") {
        return;
    }
    let container = with_damaged_record(|path| {
        fs::write(path, "{\"id\": \"x\", \"init_process_pid\": 1, \"cgroup_paths\": {}}").expect("our own");
        fs::write(path.with_file_name("status"), "{}").expect("our own");
    });
    container.delete_by_force().fails("is not of plimsoll");
    assert!(record(&container).with_file_name("status").exists());
    fs::remove_file(record(&container)).expect("our own");
    container.delete_by_force().ok();
}

#[test]
fn a_create_that_died_before_its_container_had_a_name_is_in_nobodys_way() {
    if !runtime().is("plimsoll") {
        return;
    }
    let container = Container::new().args(&["sleep", "1000"]);
    let draft = container.dir.join("state").join(format!("~{}", container.id));
    let die = || {
        let command = container.launcher(&["create"]);
        let mut strace = Command::new("strace");
        strace.args(["-o", "/dev/null", "-e", "inject=renameat2:signal=SIGKILL", "--"]);
        strace.arg(command.get_program()).args(command.get_args()).stdin(Stdio::null());
        assert_ne!(output::finish(&mut strace).status, 0);
        assert!(draft.exists());
    };
    die();
    assert_eq!(container.call(&["list", "--quiet"]).ok(), "");
    container.call(&["state", &container.id]).fails("container does not exist");
    container.delete_by_force().ok();
    container.assert_nothing_left();
    die();
    container.create().ok();
    assert!(!draft.exists());
    container.end();
}

#[test]
fn commands_on_one_id_at_once_lose_nothing() {
    if known_deviation() {
        return;
    }
    let storm = Storm::over(1);
    storm.blow(8, Duration::from_secs(5));
    assert_eq!(storm.losses(), Losses::default());
}

#[test]
fn of_many_creates_of_one_id_one_has_it() {
    if known_deviation() {
        return;
    }
    let container = Container::new().args(&["sleep", "1000"]);
    container.write_config();
    let bundle = container.dir.display().to_string();
    let spawn = |_| {
        let mut command = container.command(&["create", "--bundle", &bundle, &container.id]);
        output::spawn_silent(&mut command)
    };
    for _ in 0..5 {
        let children: Vec<_> = (0..8).map(spawn).collect();
        let succeeded = children.into_iter().map(|child| output::wait(child, "create"));
        assert_eq!(succeeded.filter(|status| *status == 0).count(), 1);
        assert_eq!(container.status(), "created");
        container.delete_by_force().ok();
        container.assert_nothing_left();
    }
}

#[test]
fn a_start_and_a_delete_at_once_end_in_one_of_two_ways() {
    if known_deviation() {
        return;
    }
    for _ in 0..20 {
        let container = Container::new().args(&["sleep", "1000"]).created();
        let spawn = |args: &[&str]| output::spawn_silent(&mut container.command(args));
        let (start, delete) = (spawn(&["start", &container.id]), spawn(&["delete", &container.id]));
        let (started, deleted) = (output::wait(start, "start"), output::wait(delete, "delete"));
        // What has been started is running; what was deleted has not been.
        assert!((started == 0) != (deleted == 0), "start {started}, delete {deleted}");
        if started == 0 {
            assert_eq!(container.status(), "running");
            container.delete_by_force().ok();
        }
        container.assert_nothing_left();
    }
}

/// A stopped container with a poststop hook, in a store that is somebody else's as far as `forge` makes it so.
#[track_caller]
fn refused(forge: impl FnOnce(&Container)) {
    let container = Container::new().args(&["true"]);
    let witness = container.dir.join("hook-ran");
    let hook = json!([{"path": "/bin/touch", "args": ["touch", witness]}]);
    let container = container.set("/hooks/poststop", hook).created();
    container.start().ok();
    container.wait_for("stopped");
    forge(&container);
    let id = &*container.id;
    let calls: [&[&str]; 8] = [
        &["state", id],
        &["start", id],
        &["kill", id, "KILL"],
        &["exec", id, "true"],
        &["ps", id],
        &["update", "--pids-limit", "10", id],
        &["delete", id],
        &["delete", "--force", id],
    ];
    for args in calls {
        let said = container.call(args);
        assert_ne!(said.status, 0, "{said:#?}");
        said.says("is not to be trusted");
    }
    let list = container.call(&["list"]);
    assert!(list.stderr.contains("is not to be trusted") || !runtime().is("plimsoll"), "{list:#?}");
    assert!(!witness.exists(), "the hook has run");
    // For whoever clears away.
    give_everything_to(&container, 0);
}

fn give_everything_to(container: &Container, owner: u32) {
    let state = container.dir.join("state");
    let folder = state.join(&container.id);
    let files = fs::read_dir(&folder).expect("a folder").flatten().map(|entry| entry.path());
    for path in [state.clone(), folder.clone()].into_iter().chain(files) {
        std::os::unix::fs::lchown(&path, Some(owner), Some(owner)).expect("we are root");
    }
    fs::set_permissions(&state, fs::Permissions::from_mode(0o700)).expect("we are root");
    fs::set_permissions(&folder, fs::Permissions::from_mode(0o700)).expect("we are root");
    fs::set_permissions(record(container), fs::Permissions::from_mode(0o600)).expect("we are root");
}

#[test]
fn a_store_of_somebody_elses_is_refused_and_its_hooks_do_not_run() {
    if known_deviation() {
        return;
    }
    refused(|container| give_everything_to(container, STRANGER));
}

#[test]
fn so_is_what_somebody_else_could_have_written() {
    if known_deviation() {
        return;
    }
    let mode = |path: &Path, mode| fs::set_permissions(path, fs::Permissions::from_mode(mode)).expect("we are root");
    refused(|container| mode(&container.dir.join("state"), 0o777));
    refused(|container| mode(&container.dir.join("state"), 0o1777));
    refused(|container| mode(&container.dir.join("state").join(&container.id), 0o770));
    refused(|container| mode(&record(container), 0o666));
    refused(|container| {
        chown(container.dir.join("state").join(&container.id), Some(STRANGER), None).expect("we are root");
    });
    refused(|container| chown(record(container), Some(STRANGER), None).expect("we are root"));
}

#[test]
fn roots_store_in_a_directory_that_everybody_may_write_to_is_fine() {
    // As /tmp is: in there nobody can take our directory away.
    let container = Container::new().args(&["true"]);
    fs::set_permissions(&container.dir, fs::Permissions::from_mode(0o1777)).expect("we are root");
    container.run().ok();
    container.assert_nothing_left();
}

#[test]
fn streams_that_the_caller_has_closed_are_the_null_device() {
    if known_deviation() {
        return;
    }
    for closed in 0..8 {
        let container = Container::new();
        let out = container.make_dir("out");
        let mount = json!({"destination": "/tmp", "type": "bind", "source": out, "options": ["rbind", "rw"]});
        let script = "for fd in 0 1 2; do seen=\"$seen $(readlink /proc/$$/fd/$fd)\"; done; echo $seen >/tmp/seen";
        let container = container.mount(mount).shell(&format!("{script}; true"));
        let mut command = container.launcher(&["run"]);
        let stream = fs::File::options().read(true).write(true).open("/dev/zero").expect("a device");
        command.stdin(stream.try_clone().expect("a copy")).stdout(stream.try_clone().expect("a copy")).stderr(stream);
        let close = move || {
            for number in (0..3).filter(|number| closed & (1 << number) != 0) {
                // SAFETY: numbers only, in the child.
                unsafe { libc::close(number) };
            }
            Ok(())
        };
        // SAFETY: only system calls between fork and exec.
        unsafe { command.pre_exec(close) };
        assert!(command.status().expect("the runtime starts").success(), "{closed:03b}");
        let seen = fs::read_to_string(out.join("seen")).expect("it has looked");
        let expected = [0, 1, 2].map(|number| if closed & (1 << number) == 0 { "/dev/zero" } else { "/dev/null" });
        assert_eq!(seen.split_whitespace().collect::<Vec<_>>(), expected, "{closed:03b}");
    }
}

#[test]
fn many_at_once_and_many_in_all() {
    if known_deviation() {
        return;
    }
    let ids: Vec<_> = (0..24).map(|_| Container::new().args(&["sleep", "1000"])).collect();
    let spawn = |container: &Container| output::spawn_silent(&mut container.launcher(&["create"]));
    let children: Vec<_> = ids.iter().map(spawn).collect();
    children.into_iter().for_each(|child| assert_eq!(output::wait(child, "create"), 0));
    let pids: Vec<_> = ids.iter().map(Container::pid).collect();
    ids.iter().for_each(|container| _ = container.delete_by_force().ok());
    for (container, pid) in ids.iter().zip(pids) {
        let ended = || nix::sys::signal::kill(Pid::from_raw(pid), None).is_err().then_some(());
        wait_until("init has ended", ended);
        container.assert_nothing_left();
    }
}
