//! linux.uidMappings, linux.gidMappings: <https://github.com/opencontainers/runtime-spec/blob/v1.3.0/config-linux.md#user-namespace-mappings>
use plimsoll_integration_tests::{Container, known_deviation};
use serde_json::{Value, json};
use std::os::unix::fs::MetadataExt;

fn map(inside: u32, outside: u32, size: u32) -> Value {
    json!([{"containerID": inside, "hostID": outside, "size": size}])
}

/// Root inside is 100000 outside, who owns the root filesystem.
fn mapped() -> Container {
    let container = Container::new().namespace("user", None);
    for dir in ["", "bin", "etc", "tmp", "root"] {
        std::os::unix::fs::chown(container.rootfs().join(dir), Some(100_000), Some(200_000)).expect("we are root");
    }
    container.set("/linux/uidMappings", map(0, 100_000, 65536)).set("/linux/gidMappings", map(0, 200_000, 65536))
}

#[test]
fn ids_are_mapped_as_asked_for() {
    let seen = mapped().shell("cat /proc/self/uid_map /proc/self/gid_map | tr -s ' '; id -u; id -g").run();
    assert_eq!(seen.ok(), " 0 100000 65536\n 0 200000 65536\n0\n0");
}

#[test]
fn a_file_made_inside_belongs_to_the_mapped_user() {
    let container = mapped().set("/root/readonly", json!(false)).shell("touch /etc/mine");
    container.run().ok();
    let file = container.rootfs().join("etc/mine").metadata().expect("made inside");
    assert_eq!((file.uid(), file.gid()), (100_000, 200_000));
}

#[test]
fn several_ranges_are_fine() {
    let ranges =
        json!([{"containerID": 0, "hostID": 100_000, "size": 10}, {"containerID": 10, "hostID": 300_000, "size": 5}]);
    let container = mapped().set("/linux/uidMappings", ranges).args(&["cat", "/proc/self/uid_map"]);
    let seen = container.run();
    assert_eq!(seen.ok().split_whitespace().collect::<Vec<_>>(), ["0", "100000", "10", "10", "300000", "5"]);
}

#[test]
fn the_default_mounts_and_devices_work() {
    let seen =
        mapped().shell("echo x >/dev/null && head -c 1 /dev/zero | wc -c && ls -d /dev/pts /dev/shm /proc/self").run();
    assert_eq!(seen.ok(), "1\n/dev/pts\n/dev/shm\n/proc/self");
}

#[test]
fn the_processes_are_the_mapped_users_outside() {
    let container = mapped().running();
    let process = std::fs::metadata(format!("/proc/{}", container.pid())).expect("a process");
    assert_eq!((process.uid(), process.gid()), (100_000, 200_000));
    assert_eq!(container.exec(&["id", "-u"]).ok(), "0");
}

#[test]
fn an_unmapped_user_is_an_error() {
    let container = mapped().set("/process/user/uid", json!(70_000));
    let seen = container.run();
    assert_ne!(seen.status, 0);
    container.assert_nothing_left();
}

#[test]
fn a_joined_user_namespace_is_the_others() {
    if known_deviation() {
        return;
    }
    let one = mapped().running();
    let path = |kind: &str| format!("/proc/{}/ns/{kind}", one.pid());
    let two = mapped().remove("/linux/uidMappings").remove("/linux/gidMappings").namespace("user", Some(&path("user")));
    let seen = two.shell("readlink /proc/self/ns/user; cat /proc/self/uid_map | tr -s ' '").run();
    let expected = std::fs::read_link(path("user")).expect("procfs");
    assert_eq!(seen.ok(), format!("{}\n 0 100000 65536", expected.display()));
}

/// The pipe that the container's output goes to, and what comes out of it.
fn piped(mut command: std::process::Command) -> String {
    let output = command.stderr(std::process::Stdio::piped()).output().expect("the runtime");
    assert!(output.status.success(), "{output:?}");
    String::from_utf8(output.stdout).expect("text")
}

#[test]
fn standard_streams_that_the_hosts_root_has_made_can_be_opened() {
    if known_deviation() {
        return;
    }
    for user in [0, 5] {
        let container = mapped().set("/process/user", json!({"uid": user, "gid": user}));
        let container = container.shell("echo one >/dev/stdout; echo two >/proc/self/fd/1");
        assert_eq!(piped(container.launcher(&["run"])), "one\ntwo\n");
        let container = mapped().set("/process/user", json!({"uid": user, "gid": user})).running();
        let user = format!("{user}:{user}");
        let args = ["exec", "--user", &user, &container.id, "sh", "-c", "echo three >/dev/stdout"];
        assert_eq!(piped(container.command(&args)), "three\n");
    }
}

#[test]
fn a_file_as_a_standard_stream_stays_whose_it_is() {
    if known_deviation() {
        return;
    }
    let container = mapped().shell("echo one");
    let path = container.dir.join("output");
    let file = std::fs::File::create_new(&path).expect("our own");
    let mut command = container.launcher(&["run"]);
    assert!(command.stdout(file).status().expect("the runtime").success());
    assert_eq!(std::fs::read_to_string(&path).expect("our own"), "one\n");
    assert_eq!(path.metadata().expect("our own").uid(), 0);
}

#[test]
fn a_user_namespace_that_maps_every_id_to_itself_is_one_all_the_same() {
    if known_deviation() {
        return;
    }
    let container = Container::new().remove("/linux/resources").remove("/linux/cgroupsPath");
    let container = container.args(&["sh", "-c", "echo x >/dev/null && stat -c %t:%T /dev/null"]);
    let command = container.launcher(&["run"]);
    // As whoever puts it there: it waits until it is mapped.
    let mut inside = std::process::Command::new("unshare");
    inside.args(["--user", "--mount", "sh", "-c", "read go; exec \"$@\"", "sh"]).arg(command.get_program());
    let mut inside = inside
        .args(command.get_args())
        .stdin(std::process::Stdio::piped())
        .stdout(std::process::Stdio::piped())
        .stderr(std::process::Stdio::piped())
        .spawn()
        .expect("unshare(1)");
    let maps = ["uid_map", "gid_map"].map(|map| format!("/proc/{}/{map}", inside.id()));
    let own = std::fs::read_link("/proc/self/ns/user").expect("procfs");
    let namespace = format!("/proc/{}/ns/user", inside.id());
    plimsoll_integration_tests::wait_until("it is in a user namespace", || {
        (std::fs::read_link(&namespace).ok()? != own).then_some(())
    });
    for map in maps {
        std::fs::write(map, "0 0 4294967295").expect("we are root");
    }
    std::io::Write::write_all(&mut inside.stdin.take().expect("a pipe"), b"go\n").expect("a pipe");
    let output = inside.wait_with_output().expect("its end");
    assert_eq!(String::from_utf8_lossy(&output.stdout), "1:3\n", "{output:?}");
}

#[test]
fn without_a_user_namespace_they_are_ignored() {
    let container = mapped().without_namespace("user").shell("cat /proc/self/uid_map; id -u");
    let seen = container.run();
    assert_eq!(seen.ok().split_whitespace().collect::<Vec<_>>(), ["0", "0", "4294967295", "0"]);
    let container = container.running();
    assert_eq!(container.exec(&["id", "-u"]).ok(), "0");
}
