//! hooks: <https://github.com/opencontainers/runtime-spec/blob/v1.3.0/config.md#posix-platform-hooks>
use plimsoll_integration_tests::{Container, known_deviation};
use serde_json::{Value, json};
use std::fs;

/// A host program that notes its name and the state it is told.
fn noting(container: &Container, kind: &str) -> Value {
    let journal = container.dir.join("journal");
    let script = format!("echo {kind} $(tr -d '\\n\\t ') >>{}", journal.display());
    json!([{"path": "/bin/sh", "args": ["sh", "-c", script]}])
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
    container.call(&["delete", "--force", &container.id]).ok();
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
    container.call(&["delete", "--force", &container.id]).ok();
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
    let create =
        json!([{"path": "/bin/sh", "args": ["sh", "-c", format!("echo create >{}/etc/journal", rootfs.display())]}]);
    let start = json!([{"path": "/bin/sh", "args": ["sh", "-c", "echo start >>/etc/journal"]}]);
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
fn create_container_hooks_begin_in_the_root_filesystem() {
    if known_deviation() {
        return;
    }
    let container = Container::new().set("/root/readonly", json!(false));
    let hook = json!([{"path": "/bin/sh", "args": ["sh", "-c", "echo here >etc/journal"]}]);
    let output = container.set("/hooks/createContainer", hook).args(&["cat", "/etc/journal"]).run();
    assert_eq!(output.ok(), "here");
}

#[test]
fn start_container_hooks_have_the_environment_of_the_process() {
    let container = Container::new().set("/root/readonly", json!(false)).set("/process/env", json!(["SHIP=Plimsoll"]));
    let hook = json!([{"path": "/bin/sh", "args": ["sh", "-c", "echo $SHIP $HOME >/etc/journal"]}]);
    let output = container.set("/hooks/startContainer", hook).args(&["/bin/cat", "/etc/journal"]).run();
    assert_eq!(output.ok(), "Plimsoll /");
}
