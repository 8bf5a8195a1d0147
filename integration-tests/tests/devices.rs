//! linux.devices, default devices: <https://github.com/opencontainers/runtime-spec/blob/v1.3.0/config-linux.md#devices>
use plimsoll_integration_tests::skip::{NEEDS_V1, NOT_BY_SYSTEMD};
use plimsoll_integration_tests::{Container, known_deviation, skips};
use serde_json::{Value, json};

/// `stat -c '%F %t:%T %a %u:%g'` of a node
#[track_caller]
fn check(container: Container, path: &str, expected: &str) {
    assert_eq!(container.args(&["stat", "-c", "%F %t:%T %a %u:%g", path]).run().ok(), expected, "{path}");
}

fn with_device(device: Value, access: &str) -> Container {
    let rule = json!({"allow": true, "type": device["type"], "major": device["major"], "minor": device["minor"], "access": access});
    Container::new().set("/linux/devices/-", device).set("/linux/resources/devices/-", rule)
}

#[test]
fn the_default_devices_are_there() {
    let nodes =
        [("null", "1:3"), ("zero", "1:5"), ("full", "1:7"), ("random", "1:8"), ("urandom", "1:9"), ("tty", "5:0")];
    let paths: Vec<_> = nodes.iter().map(|(name, _)| format!("/dev/{name}")).collect();
    let seen = Container::new().shell(&format!("stat -c '%n %t:%T %a %F' {}", paths.join(" "))).run();
    let expected: Vec<_> =
        nodes.iter().map(|(name, number)| format!("/dev/{name} {number} 666 character special file")).collect();
    assert_eq!(seen.ok(), expected.join("\n"));
}

#[test]
fn the_default_links_are_there() {
    let seen =
        Container::new().shell("cd /dev && for name in fd stdin stdout stderr ptmx; do readlink $name; done").run();
    assert_eq!(seen.ok(), "/proc/self/fd\n/proc/self/fd/0\n/proc/self/fd/1\n/proc/self/fd/2\npts/ptmx");
}

#[test]
fn the_default_devices_work() {
    let seen = Container::new().shell("echo x >/dev/null && head -c 3 /dev/zero | xxd -p && head -c 2 /dev/urandom | wc -c && ! echo x >/dev/full").run();
    assert_eq!(seen.ok(), "000000\n2");
}

#[test]
fn without_a_terminal_there_is_no_console() {
    Container::new().shell("! test -e /dev/console").run().ok();
}

#[test]
fn a_configured_device_has_its_type_number_mode_and_owner() {
    let device =
        json!({"path": "/dev/kettle", "type": "c", "major": 10, "minor": 229, "fileMode": 0o640, "uid": 7, "gid": 8});
    check(with_device(device, "rw"), "/dev/kettle", "character special file a:e5 640 7:8");
    let device =
        json!({"path": "/dev/deep/disk", "type": "b", "major": 8, "minor": 0, "fileMode": 0o600, "uid": 0, "gid": 0});
    check(with_device(device, "r"), "/dev/deep/disk", "block special file 8:0 600 0:0");
}

#[test]
fn a_fifo_is_a_device_too() {
    let device = json!({"path": "/dev/pipe", "type": "p", "fileMode": 0o666});
    check(Container::new().set("/linux/devices/-", device), "/dev/pipe", "fifo 0:0 666 0:0");
}

#[test]
fn a_device_that_is_not_allowed_cannot_be_opened() {
    let container = Container::new().capabilities(&["CAP_MKNOD"]).set("/root/readonly", json!(false));
    let seen = container.shell("mknod /dev/mem c 1 1; head -c 1 /dev/mem").run();
    assert!(seen.status != 0 && seen.stderr.contains("peration not permitted"), "{seen:?}");
}

#[test]
fn with_no_rules_at_all_nothing_but_the_defaults_is_allowed() {
    // GHSA-g54h-m393-cpwq: the rules are an allow list, whether or not they start with "deny all".
    if known_deviation() {
        return;
    }
    for rules in [json!([]), json!([{"allow": true, "type": "c", "major": 1, "minor": 3, "access": "rwm"}])] {
        let container = Container::new().capabilities(&["CAP_MKNOD"]).set("/linux/resources/devices", rules);
        let seen = container.shell("mknod /dev/disk b 8 0; head -c 1 /dev/mem || head -c 1 /dev/disk").run();
        assert_ne!(seen.status, 0, "{seen:?}");
    }
}

#[test]
fn a_rule_allows_what_it_says_and_no_more() {
    // 1:11 is /dev/kmsg: it can be opened for writing without any capability.
    let device = json!({"path": "/dev/kmsg", "type": "c", "major": 1, "minor": 11, "fileMode": 0o666});
    let seen = with_device(device, "w").shell(": >/dev/kmsg && echo writes; head -c 0 /dev/kmsg && echo reads").run();
    assert_eq!(seen.stdout.trim(), "writes", "{seen:?}");
}

#[test]
fn what_is_there_already_has_to_be_the_same_device() {
    if known_deviation() {
        return;
    }
    let device = |minor: u32| json!({"path": "/harbour", "type": "c", "major": 1, "minor": minor, "fileMode": 0o666});
    for (minor, expected) in [(3, 0), (5, 1)] {
        let container = with_device(device(minor), "rw").args(&["true"]);
        let (path, kind) = (container.rootfs().join("harbour"), nix::sys::stat::SFlag::S_IFCHR);
        nix::sys::stat::mknod(&path, kind, nix::sys::stat::Mode::from_bits_truncate(0o666), libc::makedev(1, 3))
            .expect("we are root");
        let seen = container.run();
        assert_eq!(seen.status, expected, "{seen:?}");
        if expected != 0 {
            seen.says("/linux/devices/");
            container.assert_nothing_left();
        }
    }
}

/// Root inside is 100000 outside.
fn in_user_namespace(container: Container) -> Container {
    for dir in ["", "bin", "dev", "etc", "tmp"] {
        std::os::unix::fs::chown(container.rootfs().join(dir), Some(100_000), Some(100_000)).expect("we are root");
    }
    container.user_namespace(100_000, 65536)
}

/// As config.json of another engine has it: no tmpfs on `/dev`.
fn with_dev_of_the_image(container: Container) -> Container {
    let mut container = container.set("/root/readonly", json!(false));
    let mounts = container.config["mounts"].as_array_mut().expect("an array");
    mounts.retain(|mount| !mount["destination"].as_str().unwrap_or_default().starts_with("/dev"));
    container
}

fn bind(source: &str, destination: &str) -> Value {
    json!({"destination": destination, "type": "bind", "source": source, "options": ["bind"]})
}

/// Something of the host's that is none of its devices.
fn a_file(container: &Container) -> String {
    let path = container.dir.join("file");
    std::fs::write(&path, "ballast").expect("our own");
    path.to_str().expect("text").to_owned()
}

#[test]
fn a_mount_at_the_path_of_a_default_device_stays() {
    if known_deviation() {
        return;
    }
    let container = || Container::new().mount(bind("/dev/urandom", "/dev/random"));
    check(container(), "/dev/random", "character special file 1:9 666 0:0");
    let container = Container::new();
    let file = a_file(&container);
    let container = container.mount(bind(&file, "/dev/null")).mount(bind(&file, "/dev/full"));
    assert_eq!(container.shell("cat /dev/null /dev/full").run().ok(), "ballastballast");
}

#[test]
fn so_does_one_in_a_user_namespace() {
    if known_deviation() {
        return;
    }
    let container = in_user_namespace(Container::new()).mount(bind("/dev/urandom", "/dev/random"));
    assert_eq!(container.args(&["stat", "-c", "%t:%T", "/dev/random"]).run().ok(), "1:9");
    let container = in_user_namespace(Container::new());
    let file = a_file(&container);
    let container = container.mount(bind(&file, "/dev/full"));
    assert_eq!(container.shell("cat /dev/full").run().ok(), "ballast");
}

#[test]
fn a_mount_at_the_path_of_a_listed_device_wins() {
    if known_deviation() {
        return;
    }
    let device = json!({"path": "/dev/kettle", "type": "c", "major": 10, "minor": 229});
    for container in [Container::new(), in_user_namespace(Container::new())] {
        let file = a_file(&container);
        let container = container.mount(bind(&file, "/dev/kettle")).set("/linux/devices/-", device.clone());
        assert_eq!(container.args(&["stat", "-c", "%F", "/dev/kettle"]).run().ok(), "regular file");
    }
}

#[test]
fn what_the_image_has_in_the_place_of_a_default_device_stays() {
    if known_deviation() {
        return;
    }
    for in_namespace in [false, true] {
        let container = with_dev_of_the_image(Container::new());
        let dev = container.rootfs().join("dev");
        std::fs::write(dev.join("full"), "mine").expect("our own");
        std::os::unix::fs::symlink("zero", dev.join("random")).expect("our own");
        for name in ["fd", "stdin", "core", "ptmx"] {
            std::os::unix::fs::symlink("mine", dev.join(name)).expect("our own");
        }
        let container = if in_namespace { in_user_namespace(container) } else { container };
        let script = "cat /dev/full; for name in random fd stdin core ptmx; do echo $(readlink /dev/$name); done; stat -c %F /dev/zero";
        let container = container.shell(script);
        // The second time it finds what the first has made.
        for _ in 0..2 {
            assert_eq!(container.run().ok(), "minezero\nmine\nmine\nmine\nmine\ncharacter special file");
        }
    }
}

#[test]
fn without_the_capability_to_make_nodes_the_hosts_are_bound() {
    if known_deviation() {
        return;
    }
    let device = json!({"path": "/dev/kmsg", "type": "c", "major": 1, "minor": 11});
    let container = with_device(device, "rwm").shell("stat -c %t:%T /dev/null /dev/kmsg && echo x >/dev/null");
    assert_eq!(without_mknod(&container).ok(), "1:3\n1:b");
    // The host has another device there, or none.
    for (path, minor) in [("/dev/kmsg", 12), ("/dev/kettle", 11)] {
        let device = json!({"path": path, "type": "c", "major": 1, "minor": minor});
        let container = with_device(device, "rwm").args(&["true"]);
        without_mknod(&container).fails(path);
        container.assert_nothing_left();
    }
}

/// Called by somebody who has given up CAP_MKNOD.
fn without_mknod(container: &Container) -> plimsoll_integration_tests::Output {
    use std::os::unix::process::CommandExt;
    let mut command = container.launcher(&["run"]);
    let give_up = || {
        const CAP_MKNOD: libc::c_int = 27;
        // SAFETY: numbers only.
        match unsafe { libc::prctl(libc::PR_CAPBSET_DROP, CAP_MKNOD, 0, 0, 0) } {
            0 => Ok(()),
            _ => Err(std::io::Error::last_os_error()),
        }
    };
    // SAFETY: only a system call between fork and exec.
    unsafe { command.pre_exec(give_up) };
    plimsoll_integration_tests::output::finish(&mut command)
}

#[test]
fn a_user_namespace_has_its_devices_as_asked_for() {
    if known_deviation() {
        return;
    }
    let device =
        |path: &str| json!({"path": path, "type": "c", "major": 1, "minor": 5, "fileMode": 0o640, "uid": 5, "gid": 6});
    for path in ["/dev/fuse", "/dev/kettle", "/dev/deep/kettle"] {
        check(in_user_namespace(with_device(device(path), "rwm")), path, "character special file 1:5 640 5:6");
    }
    let own = json!({"path": "/dev/kettle", "type": "c", "major": 1, "minor": 5, "fileMode": 0o600});
    let seen = in_user_namespace(with_device(own, "rwm"))
        .shell("head -c 1 /dev/kettle | wc -c; grep ' /dev/kettle ' /proc/self/mountinfo")
        .run();
    assert!(seen.ok().starts_with("1\n") && seen.stdout.contains("nosuid,noexec"), "{seen:?}");
    let block = json!({"path": "/dev/disk", "type": "b", "major": 7, "minor": 0});
    check(in_user_namespace(with_device(block, "r")), "/dev/disk", "block special file 7:0 666 0:0");
}

#[test]
fn a_user_namespace_may_have_many_devices() {
    if known_deviation() {
        return;
    }
    let many = (0..100).map(|n| json!({"path": format!("/dev/many{n}"), "type": "c", "major": 1, "minor": 5}));
    let container = in_user_namespace(Container::new()).set("/linux/devices", json!(many.collect::<Vec<_>>()));
    assert_eq!(container.shell("ls -d /dev/many* | wc -l; stat -c %t:%T /dev/many99").run().ok(), "100\n1:5");
}

#[test]
fn below_a_device_group_that_forbids_making_nodes_they_are_bound() {
    use plimsoll_integration_tests::cgroup;
    // On cgroup v2 it takes a program to forbid anything.
    if known_deviation() || skips(cgroup::is_v2(), NEEDS_V1) || skips(cgroup::by_systemd(), NOT_BY_SYSTEMD) {
        return;
    }
    let container = Container::new().shell("echo x >/dev/null && head -c 1 /dev/zero | wc -c; cat /dev/null");
    let above = container.cgroup_dir("devices").parent().expect("a group of its own").to_owned();
    std::fs::create_dir_all(&above).expect("we are root");
    std::fs::write(above.join("devices.deny"), "a").expect("a device group");
    for device in ["1:3", "1:5", "1:7", "1:8", "1:9", "5:0", "5:2", "10:200", "136:*"] {
        std::fs::write(above.join("devices.allow"), format!("c {device} rw")).expect("a device group");
    }
    let mut command = container.launcher(&["run"]);
    let procs = std::fs::OpenOptions::new().write(true).open(above.join("cgroup.procs")).expect("a cgroup");
    let enter = move || std::io::Write::write_all(&mut &procs, b"0");
    // SAFETY: only a system call between fork and exec.
    unsafe { std::os::unix::process::CommandExt::pre_exec(&mut command, enter) };
    assert_eq!(plimsoll_integration_tests::output::finish(&mut command).ok(), "1");
}
