//! What a caller of the library can act on: a table of what goes wrong and its kind.
use crate::library::Case;
use libcontainer::oci_spec::runtime::Process;
use libcontainer::{Bundle, Container, ErrorKind, ExecOptions, Result};
use plimsoll_integration_tests::runtime;
use serde_json::json;
use std::fs;
use std::os::unix::fs::{DirBuilderExt, PermissionsExt, chown, symlink};

fn shell() -> Process {
    Bundle::process_from_slice(br#"{"args": ["true"], "cwd": "/", "user": {"uid": 0, "gid": 0}}"#).expect("a process")
}

fn exec(container: &Container, program: &str) -> Result<()> {
    let mut process = shell();
    process.set_args(Some(vec![program.to_owned()]));
    container.exec(&process, ExecOptions::new()).map(drop)
}

type Attempt = fn() -> (Case, Result<()>);

#[rustfmt::skip]
const TABLE: &[(&str, ErrorKind, Attempt)] = &[
    ("an id with a slash", ErrorKind::InvalidId, || {
        let case = Case::new();
        let loaded = case.store().load("a/b").map(drop);
        (case, loaded)
    }),
    ("an id that nobody has", ErrorKind::NotFound, || {
        let case = Case::new();
        let loaded = case.store().load("nobody").map(drop);
        (case, loaded)
    }),
    ("deleting what is not there", ErrorKind::NotFound, || {
        let case = Case::new();
        let deleted = case.store().delete("nobody").map(drop);
        (case, deleted)
    }),
    ("an id that is taken", ErrorKind::Exists, || {
        let case = Case::new();
        let _container = case.created();
        let created = case.create().map(drop);
        (case, created)
    }),
    ("a signal for one that has ended", ErrorKind::NotRunning, || {
        let case = Case::new();
        let killed = case.ended().kill(libc::SIGTERM);
        (case, killed)
    }),
    ("exec in one that has ended", ErrorKind::NotRunning, || {
        let case = Case::new();
        let executed = exec(&case.ended(), "true");
        (case, executed)
    }),
    ("starting one that has ended", ErrorKind::NotRunning, || {
        let case = Case::new();
        let _container = case.ended();
        let started = case.store().load(&case.0.id).and_then(|container| container.start());
        (case, started)
    }),
    ("starting one that runs", ErrorKind::Running, || {
        let case = Case::new();
        let started = case.running().start();
        (case, started)
    }),
    ("deleting one that runs", ErrorKind::Running, || {
        let case = Case::new();
        let deleted = case.running().delete();
        (case, deleted)
    }),
    ("resuming one that runs", ErrorKind::Running, || {
        let case = Case::new();
        let resumed = case.running().resume();
        (case, resumed)
    }),
    ("exec in a paused one", ErrorKind::Paused, || {
        let case = Case::new();
        let container = case.running();
        container.pause().expect("paused");
        let executed = exec(&container, "true");
        container.resume().expect("resumed");
        (case, executed)
    }),
    ("deleting a paused one", ErrorKind::Paused, || {
        let case = Case::new();
        let container = case.running();
        container.pause().expect("paused");
        let deleted = case.store().delete(&case.0.id).map(drop);
        container.resume().expect("resumed");
        (case, deleted)
    }),
    ("a cgroup with somebody in it", ErrorKind::Busy, || {
        let case = Case::new();
        let other = Case::with(|test| test.set("/linux/cgroupsPath", json!(case.0.cgroup())));
        let _container = case.created();
        let created = other.create().map(drop);
        (case, created)
    }),
    ("no process.cwd", ErrorKind::InvalidConfig, || {
        let case = Case::with(|test| test.set("/process/cwd", json!("")));
        let created = case.create().map(drop);
        (case, created)
    }),
    ("a signal that nobody has", ErrorKind::InvalidConfig, || {
        let case = Case::new();
        let killed = case.running().kill(1000);
        (case, killed)
    }),
    ("a flag of personality(2)", ErrorKind::Unsupported, || {
        let personality = json!({"domain": "LINUX", "flags": ["ADDR_NO_RANDOMIZE"]});
        let case = Case::with(|test| test.set("/linux/personality", personality));
        let created = case.create().map(drop);
        (case, created)
    }),
    ("a program that is not in PATH", ErrorKind::ProgramNotFound, || {
        let case = Case::with(|test| test.args(&["nowhere"]));
        let created = case.create().map(drop);
        (case, created)
    }),
    ("a path at which there is no program", ErrorKind::ProgramNotFound, || {
        let case = Case::with(|test| test.args(&["/bin/nowhere"]));
        let created = case.create().map(drop);
        (case, created)
    }),
    ("an exec of what is not there", ErrorKind::ProgramNotFound, || {
        let case = Case::new();
        let executed = exec(&case.running(), "nowhere");
        (case, executed)
    }),
    ("a loader that is not there", ErrorKind::ProgramNotFound, || {
        let case = Case::with(|test| test.args(&["/script"]));
        let script = case.0.rootfs().join("script");
        fs::write(&script, "#!/nowhere\n").expect("our own");
        fs::set_permissions(&script, fs::Permissions::from_mode(0o755)).expect("our own");
        let started = case.created().start();
        (case, started)
    }),
    ("a directory as a program", ErrorKind::ProgramNotExecutable, || {
        let case = Case::with(|test| test.args(&["/bin"]));
        let created = case.create().map(drop);
        (case, created)
    }),
    ("a file that may not be executed", ErrorKind::ProgramNotExecutable, || {
        let case = Case::with(|test| test.args(&["/file"]));
        fs::write(case.0.rootfs().join("file"), "").expect("our own");
        let created = case.create().map(drop);
        (case, created)
    }),
    ("a file that no processor understands", ErrorKind::ProgramNotExecutable, || {
        let case = Case::with(|test| test.args(&["/file"]));
        let file = case.0.rootfs().join("file");
        fs::write(&file, [0x7f; 64]).expect("our own");
        fs::set_permissions(&file, fs::Permissions::from_mode(0o755)).expect("our own");
        let started = case.created().start();
        (case, started)
    }),
    ("a store of somebody else's", ErrorKind::PermissionDenied, || {
        let case = Case::new();
        let root = case.0.dir.join("state");
        fs::DirBuilder::new().mode(0o700).create(&root).expect("our own");
        chown(&root, Some(1234), Some(1234)).expect("we are root");
        let loaded = case.store().load("one").map(drop);
        chown(&root, Some(0), Some(0)).expect("we are root");
        (case, loaded)
    }),
    ("a filesystem that the container's root may not mount", ErrorKind::PermissionDenied, || {
        let map = json!([{"containerID": 0, "hostID": 100_000, "size": 65_536}]);
        let case = Case::with(|test| {
            let test = test.namespace("user", None).without_namespace("ipc");
            test.set("/linux/uidMappings", map.clone()).set("/linux/gidMappings", map)
        });
        for dir in ["", "bin", "etc", "tmp", "root"] {
            chown(case.0.rootfs().join(dir), Some(100_000), Some(100_000)).expect("we are root");
        }
        let created = case.create().map(drop);
        (case, created)
    }),
    ("a filesystem that is full", ErrorKind::NoSpace, || {
        let mount = json!({"destination": "/full", "type": "tmpfs", "source": "tmpfs", "options": ["size=4k", "tmpcopyup"]});
        let case = Case::with(|test| test.mount(mount));
        fs::create_dir(case.0.rootfs().join("full")).expect("our own");
        fs::write(case.0.rootfs().join("full/file"), [0; 64 << 10]).expect("our own");
        let created = case.create().map(drop);
        (case, created)
    }),
    ("a group without memory", ErrorKind::OutOfMemory, || {
        let case = Case::with(|test| test.set("/linux/resources/memory", json!({"limit": 8192})));
        let created = case.create().map(drop);
        (case, created)
    }),
    ("a hook that fails", ErrorKind::Hook, || {
        let case = Case::with(|test| test.set("/hooks", json!({"createRuntime": [{"path": "/bin/false"}]})));
        let created = case.create().map(drop);
        (case, created)
    }),
    ("a root filesystem that is not there", ErrorKind::System, || {
        let case = Case::with(|test| test.set("/root/path", json!("nowhere")));
        let created = case.create().map(drop);
        (case, created)
    }),
    ("a symbolic link that leads in a circle", ErrorKind::System, || {
        let mount = json!({"destination": "/loop", "type": "tmpfs", "source": "tmpfs"});
        let case = Case::with(|test| test.mount(mount));
        symlink("loop", case.0.rootfs().join("loop")).expect("our own");
        let created = case.create().map(drop);
        (case, created)
    }),
];

#[test]
fn what_goes_wrong_has_a_kind_that_a_caller_can_act_on() {
    if !runtime().is("plimsoll") {
        return;
    }
    let mut wrong = Vec::new();
    for (what, expected, attempt) in TABLE {
        let (case, outcome) = attempt();
        match outcome {
            Err(error) if error.kind() == *expected => {
                let source = std::error::Error::source(&error).is_some();
                assert_eq!(source, error.errno().is_some(), "{what}: {error}");
            }
            Err(error) => wrong.push(format!("{what}: {:?} instead of {expected:?}: {error}", error.kind())),
            Ok(()) => wrong.push(format!("{what}: nothing was wrong")),
        }
        case.store().force_delete(&case.0.id).expect("deleted");
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}
