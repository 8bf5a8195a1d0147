//! create, start, state, kill, delete, and the commands around them:
//! <https://github.com/opencontainers/runtime-spec/blob/v1.3.0/runtime.md#lifecycle>
mod signals;

use plimsoll_integration_tests::{Container, cgroup, known_deviation, output, runtime};
use serde_json::{Value, json};
use std::fs;
use std::time::Duration;

#[test]
fn create_prepares_and_start_runs() {
    let container = Container::new().shell("touch /dev/shm/ran; sleep 1000").created();
    assert_eq!(container.status(), "created");
    container.start().ok();
    assert_eq!(container.status(), "running");
    container.end();
}

#[test]
fn run_leaves_nothing() {
    let container = Container::new().args(&["true"]);
    container.run().ok();
    container.assert_nothing_left();
}

#[test]
fn success_is_silent() {
    let container = Container::new().args(&["sleep", "1000"]);
    let calls = [container.create(), container.start(), container.kill("KILL")];
    container.wait_for("stopped");
    for output in calls.into_iter().chain([container.delete()]) {
        assert_eq!((output.ok(), output.stderr.as_str()), ("", ""), "{output:?}");
    }
}

#[test]
fn state_says_who_it_is() {
    let container = Container::new().set("/annotations", json!({"org.example.port": "Bristol"})).running();
    let state = container.state();
    assert_eq!(state["id"], json!(container.id));
    assert_eq!(state["status"], "running");
    assert_eq!(state["bundle"], json!(container.dir));
    assert_eq!(state["annotations"]["org.example.port"], "Bristol");
    assert!(state["ociVersion"].as_str().is_some_and(|version| version.starts_with("1.")), "{state}");
    assert!(state["created"].as_str().is_some_and(|time| time.len() >= 20 && time.ends_with('Z')), "{state}");
    let command = fs::read_to_string(format!("/proc/{}/cmdline", state["pid"])).expect("a process");
    assert_eq!(command, "sleep\x001000\0");
}

#[test]
fn state_has_the_absolute_path_of_the_root_filesystem() {
    // BuildKit looks up users there.
    if known_deviation() {
        return;
    }
    let container = Container::new().created();
    assert_eq!(container.state()["rootfs"], json!(container.rootfs()));
}

#[test]
fn a_stopped_container_has_pid_0() {
    let container = Container::new().args(&["true"]).created();
    container.start().ok();
    container.wait_for("stopped");
    assert_eq!(container.state()["pid"], 0);
}

#[test]
fn every_command_says_that_a_container_does_not_exist() {
    let container = Container::new();
    for command in ["state", "start", "delete", "pause", "resume"] {
        container.call(&[command, "no-such-container"]).fails("container does not exist");
    }
    container.call(&["kill", "no-such-container", "KILL"]).fails("container does not exist");
    container.call(&["ps", "no-such-container"]).fails("container does not exist");
    let exec = container.call(&["exec", "no-such-container", "true"]);
    assert_ne!(exec.status, 0);
    exec.says("container does not exist");
}

#[test]
fn delete_with_force_of_nothing_succeeds() {
    Container::new().call(&["delete", "--force", "no-such-container"]).ok();
}

#[test]
fn an_id_is_taken_until_it_is_deleted() {
    let container = Container::new().created();
    container.create().fails("container with given ID already exists");
    assert_eq!(container.status(), "created");
    container.delete().ok();
    container.create().ok();
}

#[test]
fn a_created_container_can_be_deleted() {
    let container = Container::new().created();
    container.delete().ok();
    container.assert_nothing_left();
}

#[test]
fn a_running_container_is_not_deleted_without_force() {
    let container = Container::new().running();
    container.delete().fails(&format!("cannot delete container {} that is not stopped: running", container.id));
    assert_eq!(container.status(), "running");
    container.delete_by_force().ok();
    container.assert_nothing_left();
}

#[test]
fn start_is_only_for_created_containers() {
    let container = Container::new().running();
    container.start().fails("cannot start an already running container");
    container.kill("KILL").ok();
    container.wait_for("stopped");
    container.start().fails("cannot start a container that has stopped");
}

#[test]
fn a_stopped_container_is_not_running() {
    let container = Container::new().running();
    container.kill("KILL").ok();
    container.wait_for("stopped");
    container.kill("KILL").fails("container not running");
    container.pause().fails("container not running");
}

#[test]
fn the_pid_file_is_the_number_alone() {
    let container = Container::new();
    let path = container.dir.join("pid");
    container.launch(&["create", "--pid-file", &path.to_string_lossy()]).ok();
    assert_eq!(fs::read_to_string(path).expect("written"), container.pid().to_string());
}

#[test]
fn run_with_detach_returns_while_it_runs() {
    let container = Container::new().args(&["sleep", "1000"]);
    let path = container.dir.join("pid");
    container.launch(&["run", "--detach", "--pid-file", &path.to_string_lossy()]).ok();
    assert_eq!(container.status(), "running");
    assert_eq!(fs::read_to_string(path).expect("written"), container.pid().to_string());
}

#[test]
fn run_with_keep_leaves_it_to_be_deleted() {
    if known_deviation() {
        return;
    }
    let container = Container::new().shell("exit 7");
    container.launch(&["run", "--keep"]).exits(7);
    assert_eq!(container.status(), "stopped");
    container.delete().ok();
    container.assert_nothing_left();
}

#[test]
fn list_shows_what_there_is() {
    let container = Container::new();
    container.call(&["list"]);
    let container = container.running();
    let listed: Value = serde_json::from_str(container.call(&["list", "--format", "json"]).ok()).expect("JSON");
    assert_eq!(listed[0]["id"], json!(container.id));
    assert_eq!(listed[0]["status"], "running");
    assert_eq!(listed[0]["pid"], json!(container.pid()));
    assert_eq!(listed[0]["bundle"], json!(container.dir));
    let table = container.call(&["list"]);
    let (header, row) = table.ok().split_once('\n').expect("two lines");
    for column in ["PID", "STATUS", "BUNDLE", "CREATED", "OWNER"] {
        assert!(header.contains(column), "{header}");
    }
    assert!(row.starts_with(&container.id) && row.contains("running") && row.contains("root"), "{row}");
    assert_eq!(container.call(&["list", "--quiet"]).ok(), container.id);
}

#[test]
fn ps_shows_its_processes() {
    let container = Container::new().running();
    let pids: Value =
        serde_json::from_str(container.call(&["ps", "--format", "json", &container.id]).ok()).expect("JSON");
    assert_eq!(pids, json!([container.pid()]));
    assert!(container.call(&["ps", &container.id]).ok().contains(&container.pid().to_string()));
}

#[test]
fn ps_of_a_stopped_container_shows_none() {
    if known_deviation() {
        return;
    }
    let container = Container::new().running();
    container.kill("KILL").ok();
    container.wait_for("stopped");
    assert_eq!(container.call(&["ps", "--format", "json", &container.id]).ok(), "null");
    assert_eq!(container.call(&["ps", &container.id]).ok().lines().count(), 1);
}

#[test]
fn ps_passes_its_arguments_on() {
    if known_deviation() {
        return;
    }
    let container = Container::new().running();
    let seen = container.call(&["ps", &container.id, "-eo", "pid,comm"]);
    assert_eq!(
        seen.ok().split_whitespace().collect::<Vec<_>>(),
        ["PID", "COMMAND", &container.pid().to_string(), "sleep"]
    );
}

#[test]
fn pause_freezes_and_resume_thaws() {
    let container = Container::new().running();
    container.pause().ok();
    assert_eq!(container.status(), "paused");
    let (file, frozen, thawed) = cgroup::freezer();
    assert_eq!(container.cgroup_file("freezer", file), frozen);
    container.resume().ok();
    assert_eq!(container.status(), "running");
    assert_eq!(container.cgroup_file("freezer", file), thawed);
}

#[test]
fn resume_is_for_paused_containers() {
    if known_deviation() {
        return;
    }
    let container = Container::new().running();
    container.resume().fails("container not paused");
}

#[test]
fn a_paused_container_is_deleted_with_force_only() {
    let container = Container::new().running();
    container.pause().ok();
    assert_ne!(container.delete().status, 0);
    container.delete_by_force().ok();
    container.assert_nothing_left();
}

#[test]
fn a_bundle_is_the_current_directory_unless_named() {
    let container = Container::new().args(&["echo", "here"]);
    container.write_config();
    let mut command = container.command(&["run", &container.id]);
    assert_eq!(plimsoll_integration_tests::output::finish(command.current_dir(&container.dir)).ok(), "here");
}

#[test]
fn an_error_goes_to_the_log_as_well() {
    let container = Container::new();
    let log = container.dir.join("log.json");
    let flags = ["--log", &log.to_string_lossy(), "--log-format", "json", "state", "no-such-container"];
    let output = container.call(&flags);
    output.fails("container does not exist");
    let text = fs::read_to_string(log).expect("a log");
    let entry: Value = serde_json::from_str(text.lines().last().expect("a line")).expect("JSON");
    assert_eq!(entry["level"], "error");
    assert!(entry["time"].as_str().is_some_and(|time| time.len() >= 20), "{entry}");
    assert!(output.stderr.contains(entry["msg"].as_str().expect("a message")), "{entry} {output:?}");
}

#[test]
fn a_log_is_opened_before_there_is_something_to_log() {
    let container = Container::new().created();
    let log = container.dir.join("log");
    container.call(&["--log", &log.to_string_lossy(), "state", &container.id]).ok();
    assert_eq!(fs::read_to_string(log).expect("made"), "");
    let nowhere = container.call(&["--log", "/nonexistent/log", "state", &container.id]);
    nowhere.fails("open /nonexistent/log: no such file or directory");
}

#[test]
fn version_names_the_runtime_first() {
    let output = Container::new().call(&["--version"]);
    assert!(output.ok().starts_with(&format!("{} version ", runtime().name)), "{output:?}");
    assert!(output.ok().lines().any(|line| line.starts_with("spec: ")), "{output:?}");
}

#[test]
fn spec_writes_a_config_once() {
    let container = Container::new();
    let bundle = container.make_dir("new");
    let spec = || container.call(&["spec", "--bundle", &bundle.to_string_lossy()]);
    spec().ok();
    let config: Value =
        serde_json::from_str(&fs::read_to_string(bundle.join("config.json")).expect("written")).expect("JSON");
    assert_eq!(config["process"]["args"], json!(["sh"]));
    assert_eq!(config["root"], json!({"path": "rootfs", "readonly": true}));
    spec().fails("exists");
}

#[test]
fn the_config_that_spec_writes_runs() {
    let mut container = Container::new();
    let cgroup = container.cgroups_path();
    container.call(&["spec", "--bundle", &container.dir.to_string_lossy()]).ok();
    container.config =
        serde_json::from_str(&fs::read_to_string(container.dir.join("config.json")).expect("written")).expect("JSON");
    let container = container.set("/process/terminal", json!(false)).set("/linux/cgroupsPath", json!(cgroup));
    assert_eq!(container.args(&["echo", "afloat"]).run().ok(), "afloat");
}

#[test]
fn features_are_json() {
    if known_deviation() {
        return;
    }
    let features: Value = serde_json::from_str(Container::new().call(&["features"]).ok()).expect("JSON");
    assert!(features["ociVersionMin"].is_string() && features["ociVersionMax"].is_string(), "{features}");
    let namespaces = features["linux"]["namespaces"].as_array().expect("an array");
    assert!(["user", "pid", "mount"].iter().all(|kind| namespaces.contains(&json!(kind))), "{features}");
}

#[test]
fn delete_takes_an_expression_for_many() {
    if known_deviation() {
        return;
    }
    let container = Container::new().args(&["sleep", "1000"]);
    let names = three_running(&container);
    container.call(&["delete", "--force", "--regex", &format!("^{}-a[0-9]$", container.id)]).ok();
    assert_eq!(container.call(&["list", "--quiet"]).ok(), names[2]);
    container.call(&["delete", "--force", "--regex", "b$"]).ok();
    assert_eq!(container.call(&["list", "--quiet"]).ok(), "");
}

/// The ids of three running containers from one bundle: those with `-a1`, `-a2` and `-b` at the end of its own.
/// (All begin with its own, which is how they are found if the test fails.)
#[track_caller]
fn three_running(container: &Container) -> [String; 3] {
    let bundle = container.dir.to_string_lossy().into_owned();
    let ids = ["-a1", "-a2", "-b"].map(|end| format!("{}{end}", container.id));
    for id in &ids {
        let path = if cgroup::by_systemd() { format!(":t:{id}") } else { format!("{}/{id}", container.cgroup()) };
        let mut config = container.config.clone();
        config["linux"]["cgroupsPath"] = json!(path);
        fs::write(container.dir.join("config.json"), config.to_string()).expect("our own");
        container.call(&["run", "--detach", "--bundle", &bundle, id]).ok();
    }
    ids
}

#[test]
fn the_configuration_may_have_another_name() {
    if known_deviation() {
        return;
    }
    let container = Container::new().args(&["echo", "other"]);
    container.write_config();
    fs::rename(container.dir.join("config.json"), container.dir.join("other.json")).expect("our own");
    let bundle = container.dir.to_string_lossy().into_owned();
    let run = |more: &[&str]| container.call(&[&["run", "--bundle", &bundle], more, &[container.id.as_str()]].concat());
    assert_eq!(run(&["--config", &format!("{bundle}/other.json")]).ok(), "other");
    run(&["-f", "third.json"]).fails("third.json not found");
}

/// At any instant of `create`; whoever comes too early waits for it, and takes nothing away from it.
#[test]
fn a_delete_in_the_middle_of_create_leaves_nothing() {
    if !runtime().is("plimsoll") {
        return;
    }
    let container = Container::new().args(&["sleep", "1000"]);
    for tenths in 0..30 {
        let mut create = output::spawn_silent(&mut container.launcher(&["create"]));
        std::thread::sleep(Duration::from_micros(tenths * 400));
        container.call(&["delete", "--force", &container.id]).ok();
        let created = create.wait().expect("our child").success();
        let there = container.call(&["state", &container.id]).status == 0;
        // Deleted before it began, in the middle, or after.
        assert!(created || !there, "{tenths}: it failed, and is there");
        if !there {
            container.assert_nothing_left();
        }
        container.call(&["delete", "--force", &container.id]).ok();
        container.assert_nothing_left();
    }
}
