//! What the tests of every part of the plan share: a configuration in, the lines of one origin out.
mod goldens;
mod laws;

use super::{ExecPlanOptions, Plan, PlanOptions, create, exec};
use crate::Bundle;
use crate::facts::{Hierarchy, HostFacts};
use oci_spec::runtime::Spec;
use serde_json::{Value, json};

/// Root on a host with cgroup v2.
pub fn facts() -> HostFacts {
    let unified = Hierarchy {
        controllers: vec!["cpu".into(), "memory".into(), "pids".into()],
        mount: "/sys/fs/cgroup".into(),
        own: "/".into(),
        unified: true,
        writable: true,
    };
    HostFacts { privileged: true, kcore: true, hierarchies: vec![unified], ..Default::default() }
}

pub fn options() -> PlanOptions {
    PlanOptions { id: "web".into(), ..Default::default() }
}

/// A whole configuration from a fragment: what is missing for a plan is added.
pub fn spec_of(fragment: &str) -> Spec {
    let mut config: Value = serde_json::from_str(fragment).unwrap();
    let members = config.as_object_mut().unwrap();
    members.entry("ociVersion").or_insert("1.3.0".into());
    members.entry("root").or_insert(json!({"path": "rootfs"}));
    members.entry("process").or_insert(json!({"args": ["sh"], "cwd": "/", "env": ["HOME=/"], "user": {}}));
    let linux = members.entry("linux").or_insert(json!({})).as_object_mut().unwrap();
    linux
        .entry("namespaces")
        .or_insert(json!([{"type": "mount"}, {"type": "uts"}, {"type": "ipc"}, {"type": "network"}]));
    let bytes = serde_json::to_vec(&config).unwrap();
    Bundle::from_parts("/bundle".into(), bytes).unwrap().spec().clone()
}

pub fn plan_with(spec: &Spec, options: &PlanOptions) -> crate::Result<Plan> {
    create("/bundle".as_ref(), spec, &facts(), options)
}

pub fn plan_of(spec: &Spec) -> Plan {
    plan_with(spec, &options()).unwrap()
}

/// The plan of an exec whose process has this, too.
pub fn exec_of(process: &str) -> Plan {
    let process = spec_of(&config_of(process)).process().clone().unwrap();
    exec(&spec_of("{}"), &process, &facts(), &ExecPlanOptions::default()).unwrap()
}

/// The lines of a plan whose origin begins so.
pub fn text_of(plan: &Plan, origin: &str) -> String {
    let chosen = plan.with_slots().filter(|(line, _)| line.origin().starts_with(origin));
    chosen.map(|(line, slot)| line.brief(slot)).collect::<Vec<_>>().join("\n")
}

#[track_caller]
pub fn check_on(facts: &HostFacts, fragment: &str, origin: &str, lines: &str) {
    let plan = create("/bundle".as_ref(), &spec_of(fragment), facts, &options()).unwrap();
    let expected = lines.lines().map(str::trim).collect::<Vec<_>>().join("\n");
    assert_eq!(text_of(&plan, origin), expected);
}

#[track_caller]
pub fn check(fragment: &str, origin: &str, lines: &str) {
    check_on(&facts(), fragment, origin, lines);
}

fn config_of(process: &str) -> String {
    let mut config: Value = serde_json::from_str(&format!(r#"{{"process": {{{process}}}}}"#)).unwrap();
    let members = config["process"].as_object_mut().unwrap();
    members.entry("args").or_insert(json!(["sh"]));
    members.entry("cwd").or_insert("/".into());
    config.to_string()
}

/// The same for a part of `process`.
#[track_caller]
pub fn check_process(process: &str, origin: &str, lines: &str) {
    check(&config_of(process), origin, lines);
}

#[track_caller]
pub fn refused(fragment: &str, message: &str) {
    let error = create("/bundle".as_ref(), &spec_of(fragment), &facts(), &options()).unwrap_err();
    assert_eq!(error.to_string(), message);
}

#[track_caller]
pub fn refused_process(process: &str, message: &str) {
    refused(&config_of(process), &format!("config.json: {message}"));
}

pub const DEFAULT_DEVICES: &str = "\
init make-device /dev/null c 1:3 0666 unless something is there
init make-device /dev/zero c 1:5 0666 unless something is there
init make-device /dev/full c 1:7 0666 unless something is there
init make-device /dev/random c 1:8 0666 unless something is there
init make-device /dev/urandom c 1:9 0666 unless something is there
init make-device /dev/tty c 5:0 0666 unless something is there
init symlink /dev/fd → /proc/self/fd
init symlink /dev/stdin → /proc/self/fd/0
init symlink /dev/stdout → /proc/self/fd/1
init symlink /dev/stderr → /proc/self/fd/2
init symlink /dev/core → /proc/kcore
init symlink /dev/ptmx → pts/ptmx (replacing)";
