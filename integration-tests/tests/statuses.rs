//! Every command in every status: answers at once, and as runc does.
use plimsoll_integration_tests::{Container, known_deviation, output, runtime, wait_until};
use serde_json::json;
use std::fs;
use std::time::{Duration, Instant};

/// What a command says: success, or an exit status and some words.
type Answer = Result<(), (i32, &'static str)>;

const OK: Answer = Ok(());
const MISSING: Answer = Err((1, "container does not exist"));
const NOT_RUNNING: Answer = Err((1, "container not running"));

/// The command line without the id, which stands for `ID`.
const COMMANDS: &[&str] = &[
    "state ID",
    "start ID",
    "kill ID TERM",
    "kill ID KILL",
    "delete ID",
    "delete --force ID",
    "pause ID",
    "resume ID",
    "exec ID true",
    "ps --format json ID",
    "update --pids-limit 100 ID",
    "events --stats ID",
    "create ID",
    "run ID",
    "mounts add ID mounts.json",
    "mounts remove ID mounts.json",
];

/// Neither runc nor Debian's crun has `mounts`.
fn is_known(line: &str) -> bool {
    !line.starts_with("mounts") || !(runtime().is("runc") || runtime().is("crun"))
}

/// What is wrong with the answer to a command, if anything is.
fn wrong_answer(container: &Container, line: &str, expected: &Answer) -> Option<String> {
    fs::write(container.dir.join("mounts.json"), "[]").expect("our own directory");
    let words: Vec<_> = line.split(' ').map(|word| if word == "ID" { container.id.as_str() } else { word }).collect();
    let began = Instant::now();
    // `create` and `run` want the bundle.
    let seen = output::finish(container.command(&words).current_dir(&container.dir));
    let took = began.elapsed();
    let fits = match expected {
        Ok(()) => seen.status == 0,
        Err((status, words)) => seen.status == *status && seen.stderr.contains(words),
    };
    let said = seen.stderr.trim();
    (!fits || took >= Duration::from_secs(1))
        .then(|| format!("{line}: expected {expected:?}: {} {said} ({took:?})", seen.status))
}

/// Asks every command of a fresh container in a status.
#[track_caller]
fn check(make: impl Fn() -> Container, answers: &[Answer]) {
    let mut wrong = Vec::new();
    for (line, expected) in COMMANDS.iter().zip(answers).filter(|(line, _)| is_known(line)) {
        wrong.extend(wrong_answer(&make(), line, expected));
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    assert_eq!(COMMANDS.len(), answers.len());
}

#[test]
fn missing() {
    if known_deviation() {
        return;
    }
    let make = || {
        let container = Container::new().args(&["true"]);
        container.write_config();
        container
    };
    let exec = Err((255, "container does not exist"));
    check(
        make,
        &[
            MISSING, MISSING, MISSING, MISSING, MISSING, OK, MISSING, MISSING, exec, MISSING, MISSING, MISSING, OK, OK,
            MISSING, MISSING,
        ],
    );
}

const EXISTS: Answer = Err((1, "container with given ID already exists"));

#[test]
fn created() {
    if known_deviation() {
        return;
    }
    let unpaused = Err((1, "container not paused"));
    check(
        || Container::new().args(&["sleep", "1000"]).created(),
        &[OK, OK, OK, OK, OK, OK, OK, unpaused, OK, OK, OK, OK, EXISTS, EXISTS, OK, OK],
    );
}

#[test]
fn running() {
    if known_deviation() {
        return;
    }
    let start = Err((1, "cannot start an already running container"));
    let delete = Err((1, "that is not stopped: running"));
    let resume = Err((1, "container not paused"));
    check(
        || Container::new().running(),
        &[OK, start, OK, OK, delete, OK, OK, resume, OK, OK, OK, OK, EXISTS, EXISTS, OK, OK],
    );
}

#[test]
fn paused() {
    if known_deviation() {
        return;
    }
    let make = || {
        let container = Container::new().running();
        container.pause().ok();
        container
    };
    let start = Err((1, "cannot start a container in the paused state"));
    let delete = Err((1, "that is not stopped: paused"));
    let exec = Err((255, "cannot exec in a paused container (use --ignore-paused to override)"));
    check(make, &[OK, start, OK, OK, delete, OK, NOT_RUNNING, OK, exec, OK, OK, OK, EXISTS, EXISTS, OK, OK]);
}

#[test]
fn stopped() {
    if known_deviation() {
        return;
    }
    let make = || {
        let container = Container::new().running();
        container.kill("KILL").ok();
        container.wait_for("stopped");
        container
    };
    let start = Err((1, "cannot start a container that has stopped"));
    let resume = Err((1, "container not paused"));
    let exec = Err((255, "cannot exec in a stopped container"));
    let events = Err((1, "is not running"));
    check(
        make,
        &[
            OK,
            start,
            NOT_RUNNING,
            NOT_RUNNING,
            OK,
            OK,
            NOT_RUNNING,
            resume,
            exec,
            OK,
            NOT_RUNNING,
            events,
            EXISTS,
            EXISTS,
            NOT_RUNNING,
            NOT_RUNNING,
        ],
    );
}

#[test]
fn creating() {
    if known_deviation() {
        return;
    }
    // Each time a hook keeps `create` busy until we let it go.
    let mut wrong = Vec::new();
    let answers: &[Answer] = &[
        OK,
        Err((1, "cannot start a container in the creating state")),
        NOT_RUNNING,
        NOT_RUNNING,
        Err((1, "that is not stopped: creating")),
        OK,
        NOT_RUNNING,
        Err((1, "container not paused")),
        Err((255, "container not running")),
        OK,
        NOT_RUNNING,
        OK,
        EXISTS,
        EXISTS,
        NOT_RUNNING,
        NOT_RUNNING,
    ];
    for (line, expected) in COMMANDS.iter().zip(answers).filter(|(line, _)| is_known(line)) {
        let container = Container::new();
        let [reached, go] = ["reached", "go"].map(|name| container.dir.join(name));
        let script = format!(
            "touch {}; until test -e {} || ! test -e {}; do sleep 0.05; done",
            reached.display(),
            go.display(),
            reached.display()
        );
        let hook = json!([{"path": "/bin/sh", "args": ["sh", "-c", script], "env": ["PATH=/usr/bin:/bin"]}]);
        let container = container.set("/hooks", json!({"createRuntime": hook}));
        let create = container.launcher(&["create"]).stderr(std::process::Stdio::null()).spawn().expect("started");
        wait_until("the hook runs", || reached.exists().then_some(()));
        assert_eq!(container.status(), "creating");
        wrong.extend(wrong_answer(&container, line, expected));
        fs::write(&go, "").expect("our own directory");
        let created = output::wait(create, "create");
        assert_eq!(created == 0, !line.contains("--force"), "{line}: create ended with {created}");
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}
