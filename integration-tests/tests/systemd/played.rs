//! A systemd that is played, so that it can be late, broken or of another opinion.
use plimsoll_integration_tests::container::Leftovers;
use plimsoll_integration_tests::systemd::{Part, Played};
use plimsoll_integration_tests::{Container, Output, cgroup, output, runtime};
use serde_json::json;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

/// A container whose scope is asked of a played systemd.
struct Stage {
    container: Container,
    played: Played,
    slice: String,
}

impl Stage {
    /// `None` for a runtime that would look for the real one.
    fn new(part: Part) -> Option<Stage> {
        if !runtime().is("plimsoll") {
            return None;
        }
        let container = Container::new();
        let slice = format!("{}.slice", container.id.replace('-', "_"));
        let path = format!("{slice}:t:{}", container.id);
        let played = Played::new(container.dir.join("bus"), part);
        Some(Stage { container: container.set("/linux/cgroupsPath", json!(path)), played, slice })
    }

    fn command(&self, args: &[&str]) -> Command {
        let mut command = self.container.command(args);
        command.env("DBUS_SYSTEM_BUS_ADDRESS", self.played.address());
        command
    }

    fn call(&self, args: &[&str]) -> Output {
        output::finish(&mut self.command(args))
    }

    fn creation(&self) -> Command {
        self.container.write_config();
        let mut command = self.command(&["--systemd-cgroup", "create"]);
        command.arg("--bundle").arg(&self.container.dir).arg(&self.container.id);
        command
    }

    fn create(&self) -> Output {
        output::finish(&mut self.creation())
    }

    fn group(&self, hierarchy: &str) -> PathBuf {
        let hierarchy = if cgroup::is_v2() { "" } else { hierarchy };
        Path::new(cgroup::ROOT).join(hierarchy).join(&self.slice).join(self.container.unit())
    }

    #[track_caller]
    fn assert_nothing_left(&self) {
        // A played systemd does not look after its groups, and leaves them when init is no more; which may take a moment.
        let left = Leftovers { cgroups: Vec::new(), ..self.container.left_behind() };
        assert_eq!(left, Leftovers::default());
        let groups = cgroup::directories(&format!("{}/{}", self.slice, self.container.unit()));
        assert!(groups.iter().all(|group| cgroup::pids(group).is_empty()), "{groups:?}");
    }
}

impl Drop for Stage {
    fn drop(&mut self) {
        let _ = self.call(&["delete", "--force", &self.container.id]);
        cgroup::remove(&self.slice);
    }
}

#[test]
fn a_whole_life_in_a_scope() {
    let Some(mut stage) = Stage::new(Part::Works(Duration::from_millis(100))) else { return };
    let config = std::mem::take(&mut stage.container.config);
    stage.container.config = config;
    stage.container.config["linux"]["resources"]["pids"] = json!({"limit": 50});
    stage.container.config["linux"]["resources"]["memory"] = json!({"limit": 64 << 20});
    stage.container.config["process"]["args"] = json!(["sleep", "1000"]);
    stage.create().ok();
    let id = stage.container.id.clone();
    let place = fs::read_to_string(format!("/proc/{}/cgroup", stage.container.pid())).expect("procfs");
    let expected = format!("/{}/{}", stage.slice, stage.container.unit());
    // Those that systemd has made, and those that it has not.
    let controllers =
        if cgroup::is_v2() { &[""][..] } else { &["name=systemd", "pids", "memory", "freezer", "cpuset", "cpu"] };
    for controller in controllers {
        let line = format!(":{controller}:{expected}");
        assert!(place.lines().any(|found| found.ends_with(&line)), "{controller}: {place}");
    }
    let limit = fs::read_to_string(stage.group("pids").join("pids.max")).expect("a limit");
    assert_eq!(limit.trim_end(), "50");

    stage.call(&["start", &id]).ok();
    let seen = stage.call(&["exec", &id, "cat", "/proc/self/cgroup"]);
    assert!(!seen.ok().is_empty());
    stage.call(&["update", "--pids-limit", "60", &id]).ok();
    let limit = fs::read_to_string(stage.group("pids").join("pids.max")).expect("a limit");
    assert_eq!(limit.trim_end(), "60");
    stage.call(&["pause", &id]).ok();
    assert_eq!(stage.container.status(), "paused");
    stage.call(&["resume", &id]).ok();
    assert!(stage.call(&["events", "--stats", &id]).ok().contains("\"pids\""));
    assert!(!stage.call(&["ps", "--format", "json", &id]).ok().contains("null"));
    stage.call(&["kill", &id, "KILL"]).ok();
    stage.container.wait_for("stopped");
    stage.call(&["delete", &id]).ok();
    stage.assert_nothing_left();
    assert!(cgroup::directories(&expected).is_empty());
    assert_eq!(stage.played.heard(), ["StartTransientUnit", "SetUnitProperties", "StopUnit"]);
}

#[test]
fn an_answer_may_come_late() {
    let Some(stage) = Stage::new(Part::Works(Duration::from_secs(3))) else { return };
    stage.create().ok();
    assert_eq!(stage.container.status(), "created");
}

#[test]
fn what_goes_wrong_with_systemd_is_one_clear_error_and_leaves_nothing() {
    for (part, words) in [
        (Part::Drops, "the connection was closed before the answer"),
        (Part::Babbles, "what came is not D-Bus"),
        (Part::Fails("failed"), "the job ended as \\\"failed\\\""),
        (Part::Fails("canceled"), "the job ended as \\\"canceled\\\""),
        (Part::Misplaces, "systemd has put init into "),
    ] {
        let Some(stage) = Stage::new(part) else { return };
        let failed = stage.create();
        failed.exits(1);
        let error = failed.stderr.trim_end();
        assert!(error.contains(words) && error.lines().count() == 1, "{part:?}: {error}");
        let call = format!("StartTransientUnit({}) on unix:path=", stage.container.unit());
        assert!(part == Part::Misplaces || error.contains(&call), "{part:?}: {error}");
        stage.assert_nothing_left();
    }
}

#[test]
fn who_never_answers_costs_half_a_minute_and_nothing_else() {
    let Some(stage) = Stage::new(Part::IsSilent) else { return };
    let since = Instant::now();
    let failed = stage.creation().stdout(Stdio::null()).stderr(Stdio::piped()).output().expect("the runtime");
    let words = String::from_utf8_lossy(&failed.stderr).into_owned();
    assert_eq!(failed.status.code(), Some(1), "{words}");
    let call =
        format!("StartTransientUnit({}) on {}: no answer within 30 s", stage.container.unit(), stage.played.address());
    assert!(words.contains(&call) && words.lines().count() == 1, "{words}");
    let elapsed = since.elapsed();
    assert!((Duration::from_secs(29)..Duration::from_secs(45)).contains(&elapsed), "{elapsed:?}");
    stage.assert_nothing_left();
}

#[test]
fn nobody_at_the_socket_is_an_error_that_names_it() {
    let Some(stage) = Stage::new(Part::IsSilent) else { return };
    fs::remove_file(stage.container.dir.join("bus")).expect("our own");
    stage.create().fails("there is no systemd here");
    let mut command = stage.creation();
    // Somebody was there once.
    drop(std::os::unix::net::UnixListener::bind(stage.container.dir.join("bus")).expect("our own"));
    let failed = output::finish(&mut command);
    failed.fails("connect: connection refused (ECONNREFUSED)").says(&stage.played.address());
    stage.assert_nothing_left();
}

/// At any instant between the question and the answer.
#[test]
fn whoever_dies_while_systemd_is_at_it_leaves_nothing_that_delete_does_not_find() {
    for milliseconds in [5, 60, 150, 300] {
        let Some(stage) = Stage::new(Part::Works(Duration::from_millis(200))) else { return };
        let mut create = output::spawn_silent(&mut stage.creation());
        std::thread::sleep(Duration::from_millis(milliseconds));
        let _ = create.kill();
        let _ = create.wait();
        // systemd goes on with what it has been asked for, and comes to the rest when that is done.
        let deleted = stage.call(&["delete", "--force", &stage.container.id]);
        assert!(deleted.status == 0, "{milliseconds} ms: {deleted:#?}");
        stage.assert_nothing_left();
        let groups = cgroup::directories(&format!("{}/{}", stage.slice, stage.container.unit()));
        assert!(groups.is_empty(), "{milliseconds} ms: {groups:?}");
    }
}

/// As at every upgrade of systemd: its connections end, its socket is gone for a moment, and what it was at goes on.
#[test]
fn a_systemd_that_executes_itself_anew_is_asked_again() {
    for part in [Part::Reexecutes { has_heard: true }, Part::Reexecutes { has_heard: false }] {
        let Some(stage) = Stage::new(part) else { return };
        stage.create().ok();
        assert_eq!(stage.container.status(), "created");
        let group = stage.group("pids");
        assert_eq!(cgroup::pids(&group), [stage.container.pid()], "{group:?}");
        stage.call(&["update", "--pids-limit", "60", &stage.container.id]).ok();
        stage.call(&["delete", "--force", &stage.container.id]).ok();
        stage.assert_nothing_left();
        let calls = [
            "StartTransientUnit",
            "StartTransientUnit",
            "SetUnitProperties",
            "SetUnitProperties",
            "StopUnit",
            "StopUnit",
        ];
        let heard: Vec<_> = stage.played.heard().into_iter().filter(|method| method != "ResetFailedUnit").collect();
        assert_eq!(heard, calls);
    }
}

/// There our pids are those of other processes: one of them would be put into the scope, and killed with it.
#[test]
fn a_systemd_outside_of_our_pid_namespace_is_not_asked_for_a_scope() {
    let Some(stage) = Stage::new(Part::Works(Duration::ZERO)) else { return };
    let create = stage.creation();
    let mut inside = Command::new("unshare");
    inside.args(["--pid", "--fork", "--mount-proc"]).arg(create.get_program()).args(create.get_args());
    inside.env("DBUS_SYSTEM_BUS_ADDRESS", stage.played.address()).stdin(Stdio::null());
    output::finish(&mut inside).fails("outside of this pid namespace");
    stage.assert_nothing_left();
    assert!(stage.played.heard().iter().all(|method| method == "StopUnit"));
}

/// The kernel's files have the new values by then.
#[test]
fn an_update_that_systemd_refuses_is_taken_back() {
    let Some(stage) = Stage::new(Part::Works(Duration::ZERO)) else { return };
    stage.create().ok();
    let pids = || fs::read_to_string(stage.group("pids").join("pids.max")).expect("a limit");
    let before = pids();
    let other = Played::new(stage.container.dir.join("other"), Part::Refuses);
    let mut update = stage.container.command(&["update", "--pids-limit", "60", &stage.container.id]);
    let refused = output::finish(update.env("DBUS_SYSTEM_BUS_ADDRESS", other.address()));
    refused.fails("SetUnitProperties").says("Permission denied (org.freedesktop.DBus.Error.AccessDenied)");
    assert_eq!(pids(), before);
    // Nor is it remembered.
    stage.call(&["update", "--memory", "64m", &stage.container.id]).ok();
    assert_eq!(pids(), before);
}

#[test]
fn delete_does_not_fail_for_want_of_an_answer() {
    let Some(stage) = Stage::new(Part::Works(Duration::ZERO)) else { return };
    stage.create().ok();
    let silent = Played::new(stage.container.dir.join("silent"), Part::IsSilent);
    let mut delete = stage.container.command(&["delete", "--force", &stage.container.id]);
    let deleted = output::finish(delete.env("DBUS_SYSTEM_BUS_ADDRESS", silent.address()));
    deleted.exits(0).says("no answer within 10 s");
    stage.assert_nothing_left();
}
