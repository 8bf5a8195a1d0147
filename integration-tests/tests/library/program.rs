//! Programs of the embedder's, which are executed by their descriptors.
use super::{Case, process};
use libcontainer::{CreateOptions, ErrorKind, ExecOptions, Stdio, sealed};
use plimsoll_integration_tests::runtime;
use serde_json::json;
use std::fs::{self, File};
use std::io::Read;
use std::os::fd::OwnedFd;
use std::os::unix::fs::{MetadataExt, chown};

fn busybox() -> File {
    File::open("/bin/busybox").expect("busybox-static")
}

/// A bundle that has no programs.
fn without_programs(args: &[&str]) -> Case {
    let case = Case::with(|test| test.args(args));
    fs::remove_dir_all(case.0.rootfs().join("bin")).expect("our own");
    case
}

fn output(case: &Case, program: impl Into<OwnedFd>) -> String {
    let options = CreateOptions::new().program(program).stdout(Stdio::piped());
    let (container, mut init) = case.create_with(options).expect("created");
    container.start().expect("started");
    let mut said = String::new();
    init.stdout.take().expect("piped").read_to_string(&mut said).expect("read");
    assert!(init.wait().expect("ended").success(), "{said}");
    container.delete().expect("deleted");
    said
}

#[test]
fn a_program_comes_by_descriptor() {
    if !runtime().is("plimsoll") {
        return;
    }
    let case = without_programs(&["sh", "-c", "echo $0 $1; readlink /proc/$$/exe; ls /proc/$$/fd; true", "a", "b"]);
    let said = output(&case, busybox());
    // Nothing else is open, and nothing of the host's is what it leads to.
    assert!(
        said.starts_with("a\n/memfd:program (deleted)\n0\n1\n2\n")
            || said.starts_with("a b\n/memfd:program (deleted)\n"),
        "{said}"
    );
    // One that is sealed is the program itself.
    let program = sealed(busybox()).expect("sealed");
    let again = || program.try_clone().expect("dup");
    assert_eq!((output(&case, again()), output(&case, again())), (said.clone(), said));
    case.0.assert_nothing_left();
}

#[test]
fn the_program_of_the_host_cannot_be_changed_through_it() {
    if !runtime().is("plimsoll") {
        return;
    }
    let copy = Case::new();
    let path = copy.0.dir.join("program");
    fs::copy("/bin/busybox", &path).expect("our own");
    let case = without_programs(&["sh", "-c", "(exec 9<>/proc/$$/exe) 2>&1; echo x 2>&1 >>/proc/$$/exe; true"]);
    let said = output(&case, File::open(&path).expect("our own"));
    assert!(!said.is_empty(), "both are refused");
    assert_eq!(fs::read(&path).expect("our own"), fs::read("/bin/busybox").expect("there"));
}

#[test]
fn exec_takes_one_too_and_a_user_namespace_does_not_mind() {
    if !runtime().is("plimsoll") {
        return;
    }
    let map = json!([{"containerID": 0, "hostID": 100_000, "size": 65_536}]);
    let case = Case::with(|test| {
        let test = test.namespace("user", None).args(&["sleep", "1000"]);
        test.set("/linux/uidMappings", map.clone()).set("/linux/gidMappings", map)
    });
    for dir in ["", "bin", "etc", "tmp", "root"] {
        chown(case.0.rootfs().join(dir), Some(100_000), Some(100_000)).expect("we are root");
    }
    let (container, _init) = case.create_with(CreateOptions::new().program(busybox())).expect("created");
    container.start().expect("started");
    fs::remove_dir_all(case.0.rootfs().join("bin")).expect("our own");
    let options = ExecOptions::new().program(busybox()).stdout(Stdio::piped());
    let mut child = container.exec(&process(&["echo", "inside"]), options).expect("started");
    let mut said = String::new();
    child.stdout.take().expect("piped").read_to_string(&mut said).expect("read");
    assert_eq!((&*said, child.wait().expect("ended").code()), ("inside\n", Some(0)));
    container.force_delete().expect("deleted");
    case.0.assert_nothing_left();
}

#[test]
fn what_is_no_program_is_an_error_of_start() {
    if !runtime().is("plimsoll") {
        return;
    }
    let case = Case::new();
    let path = case.0.dir.join("text");
    fs::write(&path, "no program").expect("our own");
    let (container, _init) =
        case.create_with(CreateOptions::new().program(File::open(&path).expect("our own"))).expect("created");
    let error = container.start().expect_err("no program");
    assert_eq!(error.kind(), ErrorKind::ProgramNotExecutable, "{error}");
    assert_eq!(error.to_string(), "config.json: /process/args: exec the given program: exec format error (ENOEXEC)");
    container.force_delete().expect("deleted");
    let refused = case.create_with(CreateOptions::new().program(File::open("/").expect("a directory"))).map(drop);
    assert_eq!(refused.expect_err("a directory").kind(), ErrorKind::InvalidConfig);
    assert_eq!(
        sealed(File::open("/").expect("a directory")).expect_err("a directory").kind(),
        ErrorKind::InvalidConfig
    );
    assert!(fs::metadata("/bin/busybox").expect("there").size() > 0);
    case.0.assert_nothing_left();
}

#[test]
fn a_profile_without_execveat_is_named() {
    if !runtime().is("plimsoll") {
        return;
    }
    let profile = json!({"defaultAction": "SCMP_ACT_ALLOW", "syscalls": [{"names": ["execveat"], "action": "SCMP_ACT_KILL_PROCESS"}]});
    let case = Case::with(|test| test.set("/linux/seccomp", profile).set("/process/noNewPrivileges", json!(true)));
    let (container, _init) = case.create_with(CreateOptions::new().program(busybox())).expect("created");
    let error = container.start().expect_err("denied").to_string();
    assert!(error.contains("exec the given program: execveat denied by the profile"), "{error}");
    container.force_delete().expect("deleted");
}
