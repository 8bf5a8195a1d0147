//! What went wrong in other runtimes, each as a recipe. A canary on the host must stay as it was.
use plimsoll_integration_tests::{Container, attempts, kernel_is_at_least, known_deviation, runtime};
use serde_json::{Value, json};
use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt, symlink};
use std::path::PathBuf;
use std::sync::{Mutex, PoisonError};

/// A directory of the host that a container must not reach.
fn canary(container: &Container) -> PathBuf {
    let dir = container.make_dir("canary");
    fs::write(dir.join("ptmx"), "alive").expect("our own");
    dir
}

#[track_caller]
fn assert_alive(dir: &PathBuf) {
    let names: Vec<_> = fs::read_dir(dir).expect("still there").flatten().map(|entry| entry.file_name()).collect();
    assert_eq!(names, ["ptmx"]);
    assert_eq!(fs::read_to_string(dir.join("ptmx")).expect("still there"), "alive");
    let mounts = fs::read_to_string("/proc/self/mountinfo").expect("procfs");
    assert!(!mounts.contains(&*dir.to_string_lossy()), "{mounts}");
}

#[test]
fn cve_2019_5736_the_runtimes_own_program_cannot_be_overwritten() {
    // A container that waits to be started can be entered: /proc/1/exe must not be the host's program.
    let container = Container::new().created();
    let exe = fs::read_link(format!("/proc/{}/exe", container.pid())).expect("a process");
    let seen = container.exec(&["sh", "-c", "exec 3>>/proc/1/exe"]);
    assert!(seen.status != 0, "{seen:?}");
    assert!(!exe.starts_with(&runtime().path) || exe.to_string_lossy().contains("(deleted)"), "{exe:?}");
}

#[test]
fn cve_2019_5736_nor_when_it_is_the_program_to_run() {
    let before = fs::read(&runtime().path).expect("the runtime");
    let container = Container::new().args(&["/proc/self/exe", "--version"]);
    container.run();
    assert!(fs::read(&runtime().path).expect("the runtime") == before);
    container.assert_nothing_left();
}

#[test]
fn cve_2024_21626_no_cwd_on_the_host() {
    if known_deviation() {
        return;
    }
    for number in 3..12 {
        let container = Container::new().set("/process/cwd", json!(format!("/proc/self/fd/{number}")));
        let container = container.shell("ls ../../../../etc/hostname ../../../../../../etc/hostname 2>/dev/null; pwd");
        let seen = container.run();
        assert!(seen.status != 0 && seen.stdout.is_empty(), "{number}: {seen:?}");
        container.assert_nothing_left();
    }
}

#[test]
fn cve_2024_21626_nor_for_exec() {
    if known_deviation() {
        return;
    }
    let container = Container::new().running();
    for number in 3..12 {
        let seen = container.exec_with(&["--cwd", &format!("/proc/self/fd/{number}")], &["pwd"]);
        assert!(seen.status != 0 && seen.stdout.is_empty(), "{number}: {seen:?}");
    }
}

#[test]
fn cve_2023_27561_a_symlink_as_proc_or_sys_is_refused() {
    if known_deviation() {
        return;
    }
    for name in ["proc", "sys"] {
        let container = Container::new().set("/root/readonly", json!(false));
        let path = container.rootfs().join(name);
        fs::remove_dir(&path).expect("our own");
        fs::create_dir(container.rootfs().join("tmp/fake")).expect("our own");
        symlink("/tmp/fake", &path).expect("our own");
        container.create().fails(&format!("/{name}"));
        container.assert_nothing_left();
    }
}

#[test]
fn cve_2019_16884_nothing_but_proc_is_mounted_on_proc() {
    if known_deviation() {
        return;
    }
    let mut container = Container::new().set("/mounts/-", Value::Null);
    let fake = container.dir.join("fake");
    fs::create_dir_all(fake.join("self/attr")).expect("our own");
    let bind =
        |destination: &str| json!({"destination": destination, "type": "none", "source": fake, "options": ["bind"]});
    for destination in ["/proc", "/proc/self"] {
        container = container.set("/mounts/7", bind(destination));
        container.create().fails("/proc");
        container.assert_nothing_left();
    }
}

#[test]
fn cve_2019_18837_a_mount_target_behind_a_symlink_does_not_leave_the_root_filesystem() {
    for destination in ["/etc/link/new", "/etc/link/deep/new", "/etc/link"] {
        for up in ["", "../../../../../.."] {
            let container = Container::new().set("/root/readonly", json!(false));
            let canary = canary(&container);
            symlink(format!("{up}{}", canary.display()), container.rootfs().join("etc/link")).expect("our own");
            let mount = json!({"destination": destination, "type": "tmpfs", "source": "tmpfs"});
            let container = container.mount(mount).args(&["true"]);
            // It may be refused, or made inside.
            container.run();
            assert_alive(&canary);
            let file =
                json!({"destination": destination, "type": "none", "source": "/etc/hostname", "options": ["bind"]});
            let container = container.mount(file);
            container.run();
            assert_alive(&canary);
        }
    }
}

#[test]
fn cve_2026_41579_a_symlink_as_dev_does_not_leave_the_root_filesystem() {
    if known_deviation() {
        return;
    }
    for up in ["", "../../../../../.."] {
        let container = Container::new().set("/root/readonly", json!(false)).args(&["true"]);
        let canary = canary(&container);
        fs::remove_dir(container.rootfs().join("dev")).expect("our own");
        symlink(format!("{up}{}", canary.display()), container.rootfs().join("dev")).expect("our own");
        let container = without(container, &["/dev", "/dev/pts", "/dev/shm", "/dev/mqueue"]);
        container.run();
        assert_alive(&canary);
    }
}

fn without(mut container: Container, targets: &[&str]) -> Container {
    let mounts = container.config["mounts"].as_array_mut().expect("an array");
    mounts.retain(|mount| !targets.iter().any(|target| mount["destination"] == *target));
    container
}

#[test]
fn cve_2026_88264_a_symlink_as_console_or_null_does_not_leave_the_root_filesystem() {
    for name in ["null", "console", "full"] {
        let container = Container::new().set("/root/readonly", json!(false)).args(&["true"]);
        let canary = canary(&container);
        symlink(canary.join("new"), container.rootfs().join("dev").join(name)).expect("our own");
        let container = without(container, &["/dev", "/dev/pts", "/dev/shm", "/dev/mqueue"]);
        container.run();
        assert_alive(&canary);
    }
}

#[test]
fn cve_2025_31133_a_false_dev_null_does_not_unmask() {
    let container = Container::new().set("/root/readonly", json!(false)).shell("cat /etc/secret");
    fs::write(container.rootfs().join("etc/secret"), "sealed").expect("our own");
    fs::write(container.rootfs().join("etc/other"), "other").expect("our own");
    symlink("/etc/other", container.rootfs().join("dev/null")).expect("our own");
    let container = without(container, &["/dev", "/dev/pts", "/dev/shm", "/dev/mqueue"]);
    let seen = container.set("/linux/maskedPaths", json!(["/etc/secret"])).run();
    assert_eq!(seen.stdout, "", "{seen:?}");
}

#[test]
fn cve_2026_84042_no_helper_of_the_image_is_run_outside() {
    let container = Container::new().set("/root/readonly", json!(false)).args(&["true"]);
    let canary = canary(&container);
    for helper in ["newuidmap", "newgidmap", "systemctl", "criu", "ip", "ps"] {
        let path = container.rootfs().join("bin").join(helper);
        let _ = fs::remove_file(&path);
        fs::write(&path, format!("#!/bin/sh\n: >{}/{helper}\n", canary.display())).expect("our own");
        fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).expect("our own");
    }
    let path = format!("PATH={0}/bin:/bin", container.rootfs().display());
    let container = container.set("/process/env", json!([path])).running();
    container.exec(&["true"]).ok();
    container.call(&["ps", &container.id]).ok();
    container.delete_by_force().ok();
    assert_alive(&canary);
}

#[test]
fn cve_2026_115521_a_read_only_root_stays_so_whatever_proc_is() {
    let container = without(Container::new(), &["/proc"]);
    symlink("/", container.rootfs().join("proc/self")).expect("our own");
    let container = container.set("/linux/maskedPaths", json!([])).set("/linux/readonlyPaths", json!([]));
    let seen = container.shell("touch /etc/x && echo written").run();
    assert!(!seen.stdout.contains("written"), "{seen:?}");
}

#[test]
fn cve_2016_9962_the_process_that_enters_cannot_be_inspected() {
    // While `exec` comes in, the container looks at everyone's descriptors for a directory of the host.
    let spy = "while :; do for fd in /proc/[0-9]*/fd/*; do target=$(readlink $fd) && case $target in /sys/*|/run/*|/tmp/plimsoll*state*) echo $target;; esac; done; done 2>/dev/null";
    let container = Container::new().shell(&format!("{spy} >/dev/shm/seen")).created();
    container.start().ok();
    for _ in 0..10 {
        container.exec(&["true"]).ok();
    }
    assert_eq!(container.exec(&["cat", "/dev/shm/seen"]).ok(), "");
}

/// A ptracer takes a whole processor.
static ONE_AT_A_TIME: Mutex<()> = Mutex::new(());

/// A container in which a program looks at, and stops, every process that comes up.
fn ptracer(filter: &Value) -> Container {
    let program = env!("CARGO_BIN_EXE_ptracer");
    let mut container = Container::new()
        .capabilities(&["CAP_SYS_PTRACE"])
        .set("/process/noNewPrivileges", json!(false))
        .set("/linux/seccomp", filter.clone());
    for path in ["/lib", "/lib64", "/usr/lib", "/usr/lib64"].into_iter().filter(|path| fs::metadata(path).is_ok()) {
        let bind = json!({"destination": path, "type": "none", "source": path, "options": ["rbind", "ro"]});
        container = container.mount(bind);
    }
    let bind = json!({"destination": "/ptracer", "type": "none", "source": program, "options": ["bind", "ro"]});
    let container = container.mount(bind).shell("/ptracer /dev/shm/stop >/dev/shm/seen 2>&1; sleep 1000").created();
    container.start().ok();
    container
}

/// What it has seen by now: processes, those that it has stopped, their capabilities, and the rest.
fn seen_by(ptracer: &Container) -> (u64, u64, u64, String) {
    ptracer.exec(&["touch", "/dev/shm/stop"]).ok();
    let seen = plimsoll_integration_tests::wait_until("the ptracer has spoken", || {
        let seen = ptracer.exec(&["cat", "/dev/shm/seen"]).stdout;
        seen.contains("roots").then_some(seen)
    });
    let number = |name: &str, radix| {
        let value = seen.lines().find_map(|line| line.strip_prefix(name)).expect("a line");
        u64::from_str_radix(value.trim(), radix).expect("a number")
    };
    (number("processes", 10), number("stopped", 10), number("permitted", 16), seen.clone())
}

/// No capability but those of the container, no root but its own, and of descriptors none that leads out.
#[track_caller]
#[expect(clippy::print_stderr, reason = "with `--nocapture` it is seen what the attack has come to")]
fn assert_nothing_worth_taking(ptracer: &Container, permitted: u64) {
    let (processes, stopped, found, seen) = seen_by(ptracer);
    eprintln!("{seen}");
    assert!(processes > 10 && stopped > 5, "it was too slow to see anything: {seen}");
    assert_eq!(found & !permitted, 0, "{seen}");
    let host = fs::metadata("/").expect("a root");
    assert!(!seen.contains(&format!("\"{}:{}\"", host.dev(), host.ino())), "{seen}");
    let open = seen.lines().find(|line| line.starts_with("open")).expect("a line");
    for path in open.split('"').filter(|path| path.starts_with('/')) {
        // The caller's standard streams are files without a name. Into `tasks` nobody can be written who is not there already.
        // A created init waits on two FIFOs in the store, where nobody else gets at them.
        let is_fifo = path.contains("/state/") && (path.ends_with("/start") || path.ends_with("/said"));
        let known = path == "/" || path == "/dev/null" || path.ends_with("/tasks") || path.ends_with(" (deleted)");
        let harmless = known || is_fifo;
        assert!(harmless, "{path}: {seen}");
    }
}

const SYS_PTRACE: u64 = 1 << 19;

#[test]
fn a_ptracer_in_the_container_finds_nothing_worth_taking_in_who_execs() {
    if known_deviation() {
        return;
    }
    let _alone = ONE_AT_A_TIME.lock().unwrap_or_else(PoisonError::into_inner);
    let container = ptracer(&Value::Null);
    let process = json!({"args": ["true"], "cwd": "/", "env": ["PATH=/bin"], "user": {"uid": 0, "gid": 0},
        "capabilities": {"bounding": [], "effective": [], "permitted": [], "inheritable": [], "ambient": []}});
    let path = container.dir.join("process.json");
    fs::write(&path, process.to_string()).expect("our own");
    for _ in 0..attempts(120) {
        container.call(&["exec", "--process", &path.to_string_lossy(), &container.id]);
    }
    assert_nothing_worth_taking(&container, SYS_PTRACE);
}

#[test]
fn nor_where_a_filter_takes_cap_sys_admin_to_load() {
    if known_deviation() {
        return;
    }
    let _alone = ONE_AT_A_TIME.lock().unwrap_or_else(PoisonError::into_inner);
    let container = ptracer(
        &json!({"defaultAction": "SCMP_ACT_ALLOW", "syscalls": [{"names": ["mkdir"], "action": "SCMP_ACT_ERRNO"}]}),
    );
    for _ in 0..attempts(120) {
        container.exec(&["true"]);
    }
    assert_nothing_worth_taking(&container, SYS_PTRACE);
}

#[test]
fn nor_in_who_joins_its_pid_namespace() {
    if known_deviation() {
        return;
    }
    let _alone = ONE_AT_A_TIME.lock().unwrap_or_else(PoisonError::into_inner);
    let container = ptracer(&Value::Null);
    let pid = format!("/proc/{}/ns/pid", container.pid());
    for _ in 0..attempts(40) {
        let mut neighbour = Container::new().capabilities(&[]).namespace("pid", Some(&pid)).args(&["true"]);
        if !kernel_is_at_least(6, 18) {
            // Without its option `pidns` whoever wants a procfs has to be inside before (docs/decisions/0008-late-fork.md).
            neighbour = neighbour.remove("/mounts/0");
        }
        neighbour.run().ok();
    }
    assert_nothing_worth_taking(&container, SYS_PTRACE);
}
