//! The host's device nodes: a container has them, or ones like them, and can change nothing about them.
use plimsoll_integration_tests::{Container, Output, known_deviation, output};
use serde_json::json;
use std::fs::{self, File, OpenOptions};
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::Command;

const NODES: [&str; 6] = ["/dev/null", "/dev/zero", "/dev/full", "/dev/random", "/dev/urandom", "/dev/kmsg"];

/// What chmod, chown, utimensat and setxattr would change.
fn look(path: impl AsRef<Path>) -> (u32, u32, u32, i64) {
    let found = fs::metadata(path).expect("a node");
    (found.mode(), found.uid(), found.gid(), found.mtime())
}

/// The nodes as they were, whatever happens.
struct Watched(Vec<(u32, u32, u32, i64)>);

impl Watched {
    fn new() -> Watched {
        Watched(NODES.map(look).to_vec())
    }

    #[track_caller]
    fn assert_untouched(&self) {
        assert_eq!(NODES.map(look).to_vec(), self.0);
    }
}

impl Drop for Watched {
    fn drop(&mut self) {
        for (path, (mode, uid, gid, ..)) in NODES.iter().zip(&self.0) {
            if look(path).0 != *mode {
                let _ = fs::set_permissions(path, fs::Permissions::from_mode(mode & 0o7777));
            }
            if (look(path).1, look(path).2) != (*uid, *gid) {
                let _ = std::os::unix::fs::chown(path, Some(*uid), Some(*gid));
            }
        }
    }
}

/// Everything that root can do to a file by its name.
fn attack(path: &str) -> String {
    format!("chmod 667 {path}; chown 1:1 {path}; touch -d @1 {path}; chmod u+s {path};")
}

const STREAMS: &str =
    "for stream in /proc/self/fd/0 /proc/self/fd/1 /proc/self/fd/2 /dev/stdin /dev/stdout /dev/stderr; do
    chmod 667 $stream; chown 1:1 $stream; touch -d @1 $stream; done; true";

/// Its three standard streams are this.
#[track_caller]
fn with_streams(mut command: Command, path: &str) {
    let open = || OpenOptions::new().read(true).write(true).open(path).or_else(|_| File::open(path)).expect("a device");
    let child = command.stdin(open()).stdout(open()).stderr(open()).spawn().expect("the runtime");
    assert_eq!(output::wait(child, ""), 0, "{command:?}");
}

/// Every id is its own in it: root inside is the root who owns the nodes.
fn in_identical_user_namespace(container: Container) -> Container {
    container.user_namespace(0, u32::MAX)
}

#[test]
fn a_masked_file_does_not_lead_to_them() {
    if known_deviation() {
        return;
    }
    let watched = Watched::new();
    for capabilities in [&[][..], &["CAP_CHOWN", "CAP_FOWNER", "CAP_DAC_OVERRIDE", "CAP_FSETID"]] {
        let container = Container::new().set("/linux/maskedPaths", json!(["/proc/keys", "/proc/timer_list"]));
        let script = attack("/proc/keys") + "echo x >/proc/keys && cat /proc/keys";
        assert_eq!(container.capabilities(capabilities).shell(&script).run().ok(), "");
        watched.assert_untouched();
    }
}

#[test]
fn nor_does_a_mask_in_a_user_namespace_of_the_same_root() {
    if known_deviation() {
        return;
    }
    let watched = Watched::new();
    let container = in_identical_user_namespace(Container::new()).set("/linux/maskedPaths", json!(["/proc/keys"]));
    container.shell(&(attack("/proc/keys") + "true")).run().ok();
    watched.assert_untouched();
}

#[test]
fn nor_do_the_devices_of_a_user_namespace() {
    if known_deviation() {
        return;
    }
    let watched = Watched::new();
    let script = NODES[..5].iter().map(|node| attack(node)).collect::<String>()
        + "echo x >/dev/null && head -c 1 /dev/zero | wc -c";
    let seen = in_identical_user_namespace(Container::new()).shell(&script).run();
    watched.assert_untouched();
    assert_eq!(seen.ok(), "1");
}

#[test]
fn a_standard_stream_does_not_lead_to_them() {
    if known_deviation() {
        return;
    }
    let watched = Watched::new();
    for path in NODES {
        for in_user_namespace in [false, true] {
            let container = Container::new().capabilities(&["CAP_CHOWN", "CAP_FOWNER"]).shell(STREAMS);
            let container = if in_user_namespace { in_identical_user_namespace(container) } else { container };
            with_streams(container.launcher(&["run"]), path);
            watched.assert_untouched();
        }
    }
}

#[test]
fn nor_does_one_of_exec() {
    if known_deviation() {
        return;
    }
    let watched = Watched::new();
    for container in [Container::new(), in_identical_user_namespace(Container::new())] {
        let container = container.capabilities(&["CAP_CHOWN", "CAP_FOWNER"]).running();
        for path in NODES {
            let args = ["exec", &container.id, "sh", "-c", STREAMS];
            with_streams(container.command(&args), path);
            watched.assert_untouched();
        }
    }
}

#[test]
fn nor_where_the_container_has_put_something_else_in_the_place_of_its_own() {
    if known_deviation() {
        return;
    }
    let watched = Watched::new();
    let script = "test \"$(head -c 1 <&0 | wc -c)\" = 0 && echo nothing >&1 && ".to_owned() + STREAMS;
    for instead in ["true", "mkfifo /dev/null", "echo x >/dev/null", "ln -s /etc/passwd /dev/null", "mkdir /dev/null"] {
        let container = Container::new().running();
        container.exec(&["sh", "-c", &format!("rm /dev/null && {instead}")]).ok();
        with_streams(container.command(&["exec", &container.id, "sh", "-c", &script]), "/dev/null");
        watched.assert_untouched();
    }
}

#[test]
fn nor_where_the_image_has() {
    if known_deviation() {
        return;
    }
    let watched = Watched::new();
    let container = without_dev(Container::new()).shell(STREAMS);
    fs::write(container.rootfs().join("dev/null"), "x").expect("our own");
    with_streams(container.launcher(&["run"]), "/dev/null");
    watched.assert_untouched();
    assert_eq!(fs::read_to_string(container.rootfs().join("dev/null")).expect("our own"), "x");
}

#[test]
fn a_stream_that_is_the_null_device_is_called_so() {
    if known_deviation() {
        return;
    }
    let container = Container::new().shell("readlink /proc/self/fd/0; test -t 0 || echo no terminal");
    assert_eq!(container.run().ok(), "/dev/null\nno terminal");
    let container = Container::new().running();
    assert_eq!(container.exec(&["readlink", "/proc/self/fd/0"]).ok(), "/dev/null");
}

fn without_dev(container: Container) -> Container {
    let mut container = container.set("/root/readonly", json!(false));
    let mounts = container.config["mounts"].as_array_mut().expect("an array");
    mounts.retain(|mount| !mount["destination"].as_str().unwrap_or_default().starts_with("/dev"));
    container
}

/// A directory with what a host has in `/dev`, but for `/dev/ptmx` and `/dev/console`, and where it is.
fn dev_of_another_host(container: &Container) -> PathBuf {
    use nix::sys::stat::{Mode, SFlag, makedev, mknod};
    let dev = container.dir.join("dev");
    for dir in ["pts", "shm", "mqueue", "net"] {
        fs::create_dir_all(dev.join(dir)).expect("our own");
    }
    for (name, major, minor) in
        [("null", 1, 3), ("zero", 1, 5), ("full", 1, 7), ("random", 1, 8), ("urandom", 1, 9), ("tty", 5, 0)]
    {
        let mode = Mode::from_bits_truncate(0o666);
        mknod(&dev.join(name), SFlag::S_IFCHR, mode, makedev(major, minor)).expect("we are root");
        fs::set_permissions(dev.join(name), fs::Permissions::from_mode(0o666)).expect("our own");
    }
    dev
}

fn listing(dev: &Path) -> Vec<(PathBuf, u32, u32, u32, u64, i64)> {
    let mut found = Vec::new();
    let mut rest = vec![dev.to_owned()];
    while let Some(path) = rest.pop() {
        let meta = fs::symlink_metadata(&path).expect("a file");
        if meta.is_dir() {
            rest.extend(fs::read_dir(&path).expect("a directory").map(|entry| entry.expect("an entry").path()));
        }
        found.push((path, meta.mode(), meta.uid(), meta.gid(), meta.rdev(), meta.mtime()));
    }
    found.sort();
    found
}

/// Runs it where `dev` is the host's `/dev`.
fn run_with_dev(container: &Container, dev: &Path) -> Output {
    use nix::mount::{MsFlags, mount};
    let mut command = container.launcher(&["run"]);
    let dev = dev.to_owned();
    let enter = move || {
        nix::sched::unshare(nix::sched::CloneFlags::CLONE_NEWNS)?;
        let none = None::<&str>;
        mount(none, "/", none, MsFlags::MS_REC | MsFlags::MS_PRIVATE, none)?;
        mount(Some(&dev), "/dev", none, MsFlags::MS_BIND, none)?;
        // Where /tmp is mounted nodev, this is not.
        mount(none, "/dev", none, MsFlags::MS_BIND | MsFlags::MS_REMOUNT, none)?;
        Ok(())
    };
    // SAFETY: only system calls between fork and exec.
    unsafe { command.pre_exec(enter) };
    output::finish(&mut command)
}

#[test]
fn a_container_whose_dev_is_the_hosts_leaves_it_as_it_is() {
    if known_deviation() {
        return;
    }
    let bind = |source: &str| json!({"destination": "/dev", "type": "bind", "source": source, "options": ["rbind"]});
    let root = |container: Container| container.set("/root/path", json!("/")).set("/root/readonly", json!(true));
    let listed =
        json!({"path": "/dev/zero", "type": "c", "major": 1, "minor": 5, "fileMode": 0o600, "uid": 5, "gid": 5});
    let list = |container: Container| container.set("/linux/devices/-", listed.clone());
    let variants: [&dyn Fn(Container) -> Container; 4] = [
        &|container| root(container),
        &|container| list(root(container)),
        &|container| container.mount(bind("/dev")),
        &|container| root(in_identical_user_namespace(container)),
    ];
    for variant in variants {
        let container = variant(without_dev(Container::new()).args(&["/bin/true"]));
        let dev = dev_of_another_host(&container);
        let before = listing(&dev);
        run_with_dev(&container, &dev).ok();
        assert_eq!(listing(&dev), before);
    }
}

#[test]
fn what_kubernetes_mounts_in_the_hosts_dev_has_its_place_there() {
    let container = without_dev(Container::new()).args(&["cat", "/dev/termination-log"]);
    let (dev, log) = (dev_of_another_host(&container), container.dir.join("log"));
    fs::write(&log, "ballast").expect("our own");
    let bind = |source: &Path, place: &str| json!({"destination": place, "type": "bind", "source": source, "options": ["rbind"]});
    let container = container.mount(bind(Path::new("/dev"), "/dev")).mount(bind(&log, "/dev/termination-log"));
    let before = listing(&dev).len();
    assert_eq!(run_with_dev(&container, &dev).ok(), "ballast");
    assert_eq!(listing(&dev).len(), before + 1);
}

#[test]
fn what_would_have_to_be_made_there_is_an_error() {
    if known_deviation() {
        return;
    }
    let device = json!({"path": "/dev/kettle", "type": "c", "major": 10, "minor": 229});
    let mount = json!({"destination": "/dev/kettle", "type": "tmpfs", "source": "tmpfs"});
    for (place, value) in [("/linux/devices/-", device), ("/mounts/-", mount)] {
        let container = without_dev(Container::new()).args(&["/bin/true"]).set("/root/path", json!("/"));
        let container = container.set("/root/readonly", json!(true)).set(place, value);
        let dev = dev_of_another_host(&container);
        let before = listing(&dev);
        run_with_dev(&container, &dev).fails("the host's own /dev");
        assert_eq!(listing(&dev), before);
    }
}

#[test]
fn where_the_host_has_no_null_device_only_what_needs_it_fails() {
    if known_deviation() {
        return;
    }
    let container = Container::new().args(&["true"]);
    let dev = dev_of_another_host(&container);
    fs::remove_file(dev.join("null")).expect("our own");
    run_with_dev(&container.set("/linux/maskedPaths", json!(["/sys/firmware", "/proc/keys"])), &dev)
        .fails("/linux/maskedPaths/1")
        .says("/dev/null");
    let container = Container::new().args(&["true"]);
    let dev = dev_of_another_host(&container);
    fs::remove_file(dev.join("null")).expect("our own");
    run_with_dev(&container.set("/linux/maskedPaths", json!(["/sys/firmware"])), &dev).ok();
}
