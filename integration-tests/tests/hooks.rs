//! hooks: <https://github.com/opencontainers/runtime-spec/blob/v1.3.0/config.md#posix-platform-hooks>
use plimsoll_integration_tests::{Container, hook, known_deviation, output};
use serde_json::{Value, json};
use std::fs;
use std::time::{Duration, Instant};

/// A host program that notes its name and the state it is told.
fn noting(container: &Container, kind: &str) -> Value {
    let journal = container.dir.join("journal");
    let script = format!("echo {kind} $(tr -d '\\n\\t ') >>{}", journal.display());
    hook(&script)
}

fn journal(container: &Container) -> Vec<(String, Value)> {
    let text = fs::read_to_string(container.dir.join("journal")).unwrap_or_default();
    let entry = |line: &str| {
        let (kind, state) = line.split_once(' ').expect("a name and a state");
        (kind.to_owned(), serde_json::from_str(state).unwrap_or_else(|error| panic!("{error}: {line}")))
    };
    text.lines().map(entry).collect()
}

/// Those that run in the runtime's namespaces, so that /bin/sh and the journal are the host's.
fn with_hooks() -> Container {
    let kinds = ["prestart", "createRuntime", "poststart", "poststop"];
    kinds.iter().fold(Container::new(), |container, kind| {
        let hook = noting(&container, kind);
        container.set(&format!("/hooks/{kind}"), hook)
    })
}

#[test]
fn they_run_in_the_order_of_the_lifecycle() {
    if known_deviation() {
        return;
    }
    let container = with_hooks();
    let kinds = || journal(&container).into_iter().map(|(kind, _)| kind).collect::<Vec<_>>();
    container.create().ok();
    assert_eq!(kinds(), ["prestart", "createRuntime"]);
    container.start().ok();
    assert_eq!(kinds(), ["prestart", "createRuntime", "poststart"]);
    container.delete_by_force().ok();
    assert_eq!(kinds(), ["prestart", "createRuntime", "poststart", "poststop"]);
}

#[test]
fn they_are_told_the_state() {
    if known_deviation() {
        return;
    }
    let container = with_hooks().created();
    let pid = container.pid();
    container.start().ok();
    container.delete_by_force().ok();
    let expected =
        [("prestart", "creating"), ("createRuntime", "creating"), ("poststart", "running"), ("poststop", "stopped")];
    let journal = journal(&container);
    assert_eq!(journal.len(), expected.len());
    for ((kind, state), (_, status)) in journal.iter().zip(expected) {
        assert_eq!(state["id"], json!(container.id), "{kind}");
        assert_eq!(state["bundle"], json!(container.dir), "{kind}");
        assert_eq!(state["status"], status, "{kind}");
        let expected = if status == "stopped" { json!(0) } else { json!(pid) };
        assert!(state["pid"] == expected || status == "stopped" && state["pid"].is_null(), "{kind}: {state}");
    }
}

#[test]
fn create_container_hooks_run_before_pivot_root_and_start_container_hooks_after() {
    let container = Container::new().set("/root/readonly", json!(false));
    let rootfs = container.rootfs();
    let create = hook(&format!("echo create >{}/etc/journal", rootfs.display()));
    let start = hook("echo start >>/etc/journal");
    let container = container.set("/hooks/createContainer", create).set("/hooks/startContainer", start);
    assert_eq!(container.args(&["cat", "/etc/journal"]).run().ok(), "create\nstart");
}

#[test]
fn one_that_fails_before_start_undoes_everything() {
    for kind in ["prestart", "createRuntime", "createContainer"] {
        let container = Container::new().set(&format!("/hooks/{kind}"), json!([{"path": "/bin/false"}]));
        container.create().fails("hook #0");
        container.assert_nothing_left();
    }
}

#[test]
fn one_that_takes_too_long_fails() {
    let hook = json!([{"path": "/bin/sleep", "args": ["sleep", "100"], "timeout": 1}]);
    let container = Container::new().set("/hooks/createRuntime", hook);
    container.create().fails("hook #0");
    container.assert_nothing_left();
}

#[test]
fn args_and_env_are_exactly_those() {
    let container = Container::new();
    let path = container.dir.join("journal");
    let script = format!("echo \"$0 $1\" >{0}; env >>{0}", path.display());
    let hook = json!([{"path": "/bin/sh", "args": ["sh", "-c", script, "zero", "one"], "env": ["A=1"]}]);
    let container = container.set("/hooks/createRuntime", hook).args(&["true"]);
    container.run().ok();
    let text = fs::read_to_string(path).expect("written");
    let mut lines = text.lines();
    assert_eq!(lines.next(), Some("zero one"));
    // What sh(1) sets by itself does not count.
    assert_eq!(lines.filter(|line| !line.starts_with("PWD=")).collect::<Vec<_>>(), ["A=1"]);
}

#[test]
fn those_in_the_container_are_told_its_pid_as_they_see_it() {
    if known_deviation() {
        return;
    }
    let container = Container::new().set("/root/readonly", json!(false));
    let rootfs = container.rootfs();
    let create = hook(&format!("cat >{}/etc/create", rootfs.display()));
    let start = hook("cat >/etc/start");
    let container = container.set("/hooks/createContainer", create).set("/hooks/startContainer", start);
    let container = container.args(&["true"]);
    container.run().ok();
    for (file, status) in [("create", "creating"), ("start", "created")] {
        let text = fs::read_to_string(rootfs.join("etc").join(file)).expect("written");
        let state: Value = serde_json::from_str(&text).expect("JSON");
        assert_eq!((&state["pid"], &state["status"]), (&json!(1), &json!(status)), "{file}: {state}");
    }
}

#[test]
fn start_container_hooks_have_the_containers_namespaces_and_environment() {
    let container = Container::new().set("/root/readonly", json!(false)).set("/process/env/-", json!("PORT=Bergen"));
    let container = container
        .set("/hooks/startContainer", hook("{ echo $PORT; hostname; readlink /proc/self/ns/net; } >/etc/journal"));
    let container = container.set("/hostname", json!("ship")).shell("cat /etc/journal; readlink /proc/self/ns/net");
    let seen = container.run();
    let lines: Vec<_> = seen.ok().lines().collect();
    assert_eq!((lines[0], lines[1], lines[2]), ("Bergen", "ship", lines[3]), "{seen:?}");
}

#[test]
fn one_need_not_read_the_state() {
    let long = "x".repeat(300_000);
    for text in ["sleep 0.1", "sleep 0.1; exec <&-; true"] {
        let container = Container::new().set("/annotations", json!({"long": long}));
        let container = ["prestart", "createRuntime", "poststart", "poststop"]
            .iter()
            .fold(container, |container, kind| container.set(&format!("/hooks/{kind}"), hook(text)));
        container.args(&["true"]).run().ok();
    }
}

#[test]
fn what_one_leaves_running_is_not_waited_for() {
    if known_deviation() {
        return;
    }
    let daemon = "(trap '' HUP; exec sleep 5) & true";
    for kind in ["createRuntime", "createContainer", "startContainer", "poststart"] {
        let container = Container::new().set(&format!("/hooks/{kind}"), hook(daemon));
        let started = std::time::Instant::now();
        container.args(&["true"]).run().ok();
        assert!(started.elapsed().as_secs() < 4, "{kind}");
    }
}

#[test]
fn one_that_fails_says_why() {
    if known_deviation() {
        return;
    }
    for kind in ["prestart", "createRuntime", "createContainer"] {
        let container = Container::new().set(&format!("/hooks/{kind}"), hook("echo no wind >&2; exit 3"));
        container.create().fails(&format!("error running {kind} hook #0: exit status 3")).says("no wind");
    }
    let nowhere = Container::new().set("/hooks/createContainer", json!([{"path": "/no/such/hook"}]));
    nowhere.create().fails("no such file or directory");
    nowhere.assert_nothing_left();
}

/// A shell's `set -x`, say, is long, and the reason comes last.
#[test]
fn of_one_that_says_much_the_end_is_told() {
    if known_deviation() {
        return;
    }
    for kind in ["createRuntime", "createContainer", "startContainer"] {
        let much =
            "i=0; while [ $i -lt 9000 ]; do echo line $i of the log >&2; i=$((i+1)); done; echo no wind >&2; exit 3";
        let container = Container::new().set(&format!("/hooks/{kind}"), hook(much)).args(&["true"]);
        let seen = container.run();
        assert!(seen.status != 0 && seen.stderr.contains("no wind"), "{kind}: {seen:?}");
        assert!(seen.stderr.contains("exit status 3"), "{kind}: {seen:?}");
    }
}

/// What a hook without `env` sees of the environment of who has called the runtime.
fn seen_by_hooks_without(env: Option<Value>) -> Vec<(&'static str, String)> {
    let kinds = ["prestart", "createRuntime", "createContainer", "poststart", "poststop"];
    let container = kinds.iter().fold(Container::new(), |container, kind| {
        let mut hook =
            hook(&format!("cat >/dev/null; echo {kind} ${{SHIP-unset}} >>{}", container.dir.join("journal").display()));
        if let Some(env) = &env {
            hook[0]["env"] = env.clone();
        }
        container.set(&format!("/hooks/{kind}"), hook)
    });
    let container = container.args(&["sleep", "1000"]);
    output::finish(container.launcher(&["create"]).env("SHIP", "create")).ok();
    output::finish(container.command(&["start", &container.id]).env("SHIP", "start")).ok();
    output::finish(container.command(&["delete", "--force", &container.id]).env("SHIP", "delete")).ok();
    let text = fs::read_to_string(container.dir.join("journal")).expect("written");
    kinds
        .iter()
        .map(|kind| {
            let line = text.lines().find_map(|line| line.strip_prefix(&format!("{kind} "))).unwrap_or("");
            (*kind, line.to_owned())
        })
        .collect()
}

#[test]
fn without_env_they_have_the_callers_environment() {
    if known_deviation() {
        return;
    }
    let expected = [
        ("prestart", "create"),
        ("createRuntime", "create"),
        // With crun this one has the caller's too.
        ("createContainer", "unset"),
        ("poststart", "start"),
        ("poststop", "delete"),
    ];
    assert_eq!(seen_by_hooks_without(None), expected.map(|(kind, value)| (kind, value.to_owned())));
}

#[test]
fn with_an_empty_env_they_have_an_empty_environment() {
    let seen = seen_by_hooks_without(Some(json!([])));
    assert!(seen.iter().all(|(_, value)| value == "unset"), "{seen:?}");
}

#[test]
fn a_poststop_hook_runs_though_the_bundle_is_gone() {
    if known_deviation() {
        return;
    }
    let container = Container::new().args(&["sleep", "1000"]);
    let bundle = container.dir.join("bundle");
    let journal = noting(&container, "poststop");
    let container = container.set("/hooks/poststop", journal).set("/root/path", json!(container_root(&bundle)));
    container.write_config();
    fs::create_dir(&bundle).expect("our own");
    fs::copy(container.dir.join("config.json"), bundle.join("config.json")).expect("our own");
    container.call(&["create", "--bundle", &bundle.to_string_lossy(), &container.id]).ok();
    fs::remove_dir_all(&bundle).expect("our own");
    container.delete_by_force().ok();
    assert_eq!(self::journal(&container).len(), 1);
}

/// The root filesystem beside a bundle.
fn container_root(bundle: &std::path::Path) -> std::path::PathBuf {
    bundle.with_file_name("rootfs")
}

#[test]
fn those_inside_have_a_timeout_as_well() {
    for kind in ["createContainer", "startContainer"] {
        let hook = json!([{"path": "/bin/sleep", "args": ["sleep", "100"], "timeout": 1}]);
        let container = Container::new().set(&format!("/hooks/{kind}"), hook);
        let started = Instant::now();
        let seen = container.run();
        assert!(seen.status != 0 && started.elapsed() < Duration::from_secs(60), "{seen:?}");
        assert!(known_deviation() || seen.stderr.contains("timeout"), "{seen:?}");
    }
}

#[test]
fn a_create_that_fails_ends_with_poststop() {
    let container = Container::new().set("/hooks/createRuntime", json!([{"path": "/bin/false"}]));
    let poststop = noting(&container, "poststop");
    let container = container.set("/hooks/poststop", poststop);
    container.create().fails("hook #0");
    container.assert_nothing_left();
    if !known_deviation() {
        assert_eq!(journal(&container).len(), 1);
    }
}

/// "Generate an error, stop the container, and continue the lifecycle at step 12": destroy it, run the poststop hooks.
#[test]
fn a_start_that_fails_in_a_hook_ends_the_container() {
    if known_deviation() {
        return;
    }
    for kind in ["startContainer", "poststart"] {
        let container = Container::new().set(&format!("/hooks/{kind}"), json!([{"path": "/bin/false"}]));
        let poststop = noting(&container, "poststop");
        let container = container.set("/hooks/poststop", poststop).args(&["sleep", "1000"]).created();
        container.start().fails(&format!("{kind} hook #0"));
        container.assert_nothing_left();
        assert_eq!(journal(&container).len(), 1, "{kind}");
    }
}

#[test]
fn a_start_container_hook_that_fails_keeps_the_program_from_running() {
    let container = Container::new().set("/root/readonly", json!(false));
    let container = container.set("/hooks/startContainer", json!([{"path": "/bin/false"}])).shell("touch /etc/ran");
    assert_ne!(container.run().status, 0);
    assert!(!container.rootfs().join("etc/ran").exists());
}

#[test]
fn a_poststop_hook_that_fails_is_no_error() {
    let container = Container::new();
    let (last, path) = (noting(&container, "poststop"), "/hooks/poststop");
    let container = container.set(path, json!([{"path": "/bin/false"}])).set("/hooks/poststop/-", last[0].clone());
    let container = container.args(&["true"]);
    container.run().ok();
    if !known_deviation() {
        assert_eq!(journal(&container).len(), 1);
    }
}

#[test]
fn a_path_has_to_be_absolute_and_a_timeout_more_than_nothing() {
    if known_deviation() {
        return;
    }
    for hook in [json!([{"path": "bin/true"}]), json!([{"path": "/bin/true", "timeout": 0}])] {
        let container = Container::new().set("/hooks/createRuntime", hook);
        container.create().fails("/hooks/createRuntime/0");
        container.assert_nothing_left();
    }
}

#[test]
fn create_container_hooks_begin_in_the_root_filesystem() {
    if known_deviation() {
        return;
    }
    let container = Container::new().set("/root/readonly", json!(false));
    let container = container.set("/hooks/createContainer", hook("echo here >etc/journal"));
    assert_eq!(container.args(&["cat", "/etc/journal"]).run().ok(), "here");
}

#[test]
fn start_container_hooks_have_the_home_of_the_process() {
    let container = Container::new().set("/root/readonly", json!(false)).set("/process/env", json!(["SHIP=Plimsoll"]));
    let container = container.set("/hooks/startContainer", hook("echo $SHIP $HOME >/etc/journal"));
    assert_eq!(container.args(&["/bin/cat", "/etc/journal"]).run().ok(), "Plimsoll /");
}

#[test]
fn those_inside_run_under_a_profile_that_hides_clone3_as_docker_s_does() {
    let profile = json!({
        "defaultAction": "SCMP_ACT_ALLOW",
        "syscalls": [{"names": ["clone3"], "action": "SCMP_ACT_ERRNO", "errnoRet": 38}],
    });
    let container = Container::new()
        .set("/root/readonly", json!(false))
        .set("/linux/seccomp", profile)
        .set("/hooks/startContainer", hook("echo ran >/etc/journal"));
    assert_eq!(container.shell("cat /etc/journal").run().ok(), "ran");
}
