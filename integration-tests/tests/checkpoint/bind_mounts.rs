//! Bind mounts and masks after a restore.
use plimsoll_integration_tests::saved::{Saved, Streams, count};
use plimsoll_integration_tests::{Container, known_deviation};
use serde_json::json;
use std::fs;
use std::io::Write;
use std::os::unix::fs::symlink;
use std::path::PathBuf;

#[test]
fn what_masks_a_file_is_as_sealed_as_before() {
    if known_deviation() {
        return;
    }
    let (saved, _streams) = Saved::counting();
    saved.checkpoint(&[]).ok();
    let _streams = saved.restore();
    let mounts = saved.container.exec(&["cat", "/proc/1/mountinfo"]);
    for mask in mounts.ok().lines().filter(|mount| mount.contains(" /null /proc/")) {
        assert!(mask.contains(" ro,nosuid,noexec"), "{mask}");
    }
}

/// CRIU takes a source for a directory and a name in it.
#[test]
fn sources_may_be_written_in_any_way() {
    if known_deviation() {
        return;
    }
    let mut saved = Saved::counter();
    let dir = saved.container.dir.clone();
    fs::create_dir_all(dir.join("x/y")).expect("our own");
    symlink("x", dir.join("link")).expect("our own");
    let absolute = |path: &str| dir.join(path).to_str().expect("text").to_owned();
    let sources = [
        ".".to_owned(),
        "./x".to_owned(),
        "x/y/..".to_owned(),
        "x/../x/".to_owned(),
        "./x//y/.".to_owned(),
        "link/y/".to_owned(),
        "link".to_owned(),
        absolute("."),
        absolute("x/y/.."),
        absolute("x//"),
        "/etc/.".to_owned(),
    ];
    for (i, source) in sources.iter().enumerate() {
        let mount = json!({"destination": format!("/tmp/{i}"), "type": "bind", "source": source, "options": ["bind"]});
        saved.container = saved.container.mount(mount);
    }
    // A bundle by another name.
    let other = dir.with_extension("link");
    symlink(&dir, &other).expect("our own");
    let bundle = format!("{}/./", other.display());
    saved.container.write_config();
    let streams = Saved::on_pipes(saved.command(&["run", "--detach", "--bundle", &bundle, &saved.container.id]));
    saved.container.wait_for("running");
    fs::write(dir.join("x/y/file"), "").expect("our own");
    let seen = || {
        saved.container.exec(&["sh", "-c", "cd /tmp; ls */file */y/file */x/y/file; ls 10/hostname"]).ok().to_owned()
    };
    let before = seen();
    saved.checkpoint(&[]).ok();
    drop(streams);
    let images = saved.images.to_str().expect("UTF-8");
    let restore = ["restore", "--detach", "--image-path", images, "--bundle", &bundle, &saved.container.id];
    let mut streams = Saved::on_pipes(saved.command(&restore));
    assert_eq!(seen(), before);
    assert_eq!(count(&mut streams, 1), 1);
    fs::remove_file(other).expect("our own");
}

#[test]
fn bind_mounts_are_those_of_the_configuration() {
    if known_deviation() {
        return;
    }
    let container = Container::new().shell("while read word; do cat /conf/name /odd/name; done");
    let sources = ["link", "odd", "other"].map(|name| {
        let dir = container.dir.join(name);
        fs::create_dir(&dir).expect("our own");
        fs::write(dir.join("name"), format!("{name}\n")).expect("our own");
        dir
    });
    fs::create_dir(container.rootfs().join("real")).expect("our own");
    symlink("/real/conf", container.rootfs().join("conf")).expect("our own");
    symlink("/real/o,dd [x", container.rootfs().join("odd")).expect("our own");
    let bind =
        |source: &PathBuf, target: &str| json!({"destination": target, "source": source, "options": ["bind", "ro"]});
    let container = container.mount(bind(&sources[0], "/conf")).mount(bind(&sources[1], "/odd"));
    let last = container.config["mounts"].as_array().expect("an array").len() - 1;
    let mut saved = Saved::new(container);
    let mut streams = saved.run();
    let ask = |streams: &mut Streams| {
        streams.stdin.as_mut().expect("open").write_all(b"\n").expect("a pipe");
        [streams.line(), streams.line()]
    };
    assert_eq!(ask(&mut streams), ["link", "odd"]);
    saved.checkpoint(&[]).ok();
    saved.container = saved.container.set(&format!("/mounts/{last}/source"), json!(sources[2]));
    let mut streams = saved.restore();
    assert_eq!(ask(&mut streams), ["link", "other"]);
    let written = saved.container.exec(&["sh", "-c", "echo x >/conf/name"]);
    assert!(written.status != 0 && written.stderr.contains("Read-only"), "{written:?}");
}

#[test]
fn what_mounts_add_has_mounted_is_restored_if_config_json_has_it_by_then() {
    if known_deviation() {
        return;
    }
    let mut saved = Saved::counter();
    saved.container = saved.container.set("/root/readonly", json!(false));
    let source = saved.container.make_dir("source");
    fs::write(source.join("file"), "ours").expect("our own");
    let mut streams = saved.run();
    count(&mut streams, 1);
    let added = [
        json!({"destination": "/data", "source": source, "options": ["bind", "ro"]}),
        json!({"destination": "/scratch", "type": "tmpfs", "source": "tmpfs"}),
    ];
    let list = saved.container.dir.join("list.json");
    fs::write(&list, json!(added).to_string()).expect("our own");
    saved.container.call(&["mounts", "add", &saved.container.id, list.to_str().expect("UTF-8")]).ok();
    saved.container.exec(&["sh", "-c", "echo kept >/scratch/file"]).ok();
    saved.checkpoint(&[]).says("unless config.json has the mounts of `mounts add`: /data, /scratch").ok();
    saved.restore_fails("No mapping for");
    for mount in added {
        saved.container = saved.container.mount(mount);
    }
    let mut streams = saved.restore();
    assert_eq!(count(&mut streams, 1), 2);
    assert_eq!(saved.container.exec(&["cat", "/data/file", "/scratch/file"]).ok(), "ourskept");
}
