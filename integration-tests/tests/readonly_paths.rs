//! linux.readonlyPaths: <https://github.com/opencontainers/runtime-spec/blob/v1.3.0/config-linux.md#readonly-paths>
use plimsoll_integration_tests::see::mount_at;
use plimsoll_integration_tests::{Container, known_deviation};
use serde_json::json;
use std::fs;

fn protecting(path: &str, script: &str) -> Container {
    Container::new().set("/linux/readonlyPaths", json!([path])).set("/root/readonly", json!(false)).shell(script)
}

#[test]
fn a_file_can_be_read_and_not_written() {
    let container = protecting("/etc/chart", "cat /etc/chart; echo x >/etc/chart");
    fs::write(container.rootfs().join("etc/chart"), "north\n").expect("our own");
    let seen = container.run();
    assert_eq!(seen.stdout, "north\n");
    assert!(seen.status != 0 && seen.stderr.contains("Read-only file system"), "{seen:?}");
}

#[test]
fn a_directory_can_be_read_and_not_written() {
    let seen = protecting("/etc", "touch /root/x && ! touch /etc/x").run();
    assert_eq!(seen.status, 0, "{seen:?}");
}

#[test]
fn a_path_that_does_not_exist_is_left_alone() {
    assert_eq!(protecting("/no/such/thing", "echo fine").run().ok(), "fine");
}

#[test]
fn those_of_the_default_config_are_read_only_and_keep_their_flags() {
    let seen = Container::new().shell("cat /proc/self/mountinfo; echo 1 >/proc/sys/kernel/panic").run();
    assert_ne!(seen.status, 0, "{seen:?}");
    // No kernel has them all.
    let paths = ["/proc/bus", "/proc/fs", "/proc/irq", "/proc/sys", "/proc/sysrq-trigger"];
    for path in paths.into_iter().filter(|path| std::path::Path::new(path).exists()) {
        let mount = mount_at(&seen.stdout, path).unwrap_or_else(|| panic!("nothing on {path}"));
        assert!(mount.options.iter().any(|option| option == "ro"), "{mount:?}");
    }
}

#[test]
fn a_path_inside_a_mount_keeps_the_flags_of_that_mount() {
    if known_deviation() {
        return;
    }
    let mount = json!({"destination": "/scratch", "type": "tmpfs", "source": "tmpfs", "options": ["nosuid", "nodev", "noexec"]});
    let container = protecting("/scratch", "cat /proc/self/mountinfo").mount(mount);
    let seen = mount_at(container.run().ok(), "/scratch").expect("a mount");
    for option in ["ro", "nosuid", "nodev", "noexec"] {
        assert!(seen.has(option), "{option}: {seen:?}");
    }
}

#[test]
fn a_relative_path_is_one_from_the_root() {
    let seen = protecting("etc", "touch /root/x && ! touch /etc/x").run();
    assert_eq!(seen.status, 0, "{seen:?}");
}
