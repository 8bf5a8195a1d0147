//! [Devices](https://github.com/opencontainers/runtime-spec/blob/v1.3.0/config-linux.md#devices), the
//! [default devices](https://github.com/opencontainers/runtime-spec/blob/v1.3.0/config-linux.md#default-devices)
//! and the [links in /dev](https://github.com/opencontainers/runtime-spec/blob/v1.3.0/runtime-linux.md#dev-symbolic-links).
#![forbid(unsafe_code)]

use super::line::{InitStep, Line, Origin};
use super::{Context, init, mounts, z};
use crate::{Error, Result};
use oci_spec::runtime::{LinuxDevice, LinuxDeviceType};
use std::path::{Path, PathBuf};

// stat.h
const CHARACTER: u32 = 0o020_000;
const BLOCK: u32 = 0o060_000;
const FIFO: u32 = 0o010_000;

const DEFAULT: &[(&str, u32, u32)] = &[
    ("/dev/null", 1, 3),
    ("/dev/zero", 1, 5),
    ("/dev/full", 1, 7),
    ("/dev/random", 1, 8),
    ("/dev/urandom", 1, 9),
    ("/dev/tty", 5, 0),
];

const LINKS: &[(&str, &str)] = &[
    ("/dev/fd", "/proc/self/fd"),
    ("/dev/stdin", "/proc/self/fd/0"),
    ("/dev/stdout", "/proc/self/fd/1"),
    ("/dev/stderr", "/proc/self/fd/2"),
    ("/dev/core", "/proc/kcore"),
];

pub(super) fn lines(context: &Context) -> Result<Vec<Line>> {
    // Somebody else's /dev: not ours to fill.
    if mounts::binds_dev(context) {
        return Ok(Vec::new());
    }
    let mut lines = Vec::new();
    let listed = context.linux().and_then(|linux| linux.devices().as_deref()).unwrap_or_default();
    let paths: Vec<PathBuf> = listed.iter().map(|device| mounts::clean(device.path())).collect();
    for &(path, major, minor) in
        DEFAULT.iter().filter(|(path, ..)| !paths.iter().any(|listed| listed == Path::new(path)))
    {
        let node = Node { path: path.into(), kind: CHARACTER, major, minor, mode: 0o666, uid: 0, gid: 0 };
        lines.push(line(context, node, Origin::DEFAULT.to_owned())?);
    }
    // The link takes the place of a `/dev/ptmx` that is listed.
    let nodes = listed.iter().zip(paths).enumerate().filter(|(_, (_, path))| path != Path::new("/dev/ptmx"));
    for (index, (device, path)) in nodes {
        let origin = format!("/linux/devices/{index}");
        lines.push(line(context, node(device, path, &origin)?, origin)?);
    }
    for (path, target) in LINKS {
        let step = InitStep::Symlink { target: z(target, "")?, path: z(path, "")?, replace: false };
        lines.push(init(step, Origin::DEFAULT));
    }
    // The one of the container's own devpts, whatever the image has there.
    let step = InitStep::Symlink { target: z("pts/ptmx", "")?, path: z("/dev/ptmx", "")?, replace: true };
    lines.push(init(step, Origin::DEFAULT));
    Ok(lines)
}

struct Node {
    path: PathBuf,
    kind: u32,
    major: u32,
    minor: u32,
    mode: u32,
    uid: u32,
    gid: u32,
}

fn node(device: &LinuxDevice, path: PathBuf, origin: &str) -> Result<Node> {
    let kind = match device.typ() {
        LinuxDeviceType::C | LinuxDeviceType::U => CHARACTER,
        LinuxDeviceType::B => BLOCK,
        LinuxDeviceType::P => FIFO,
        LinuxDeviceType::A => return Err(Error::config(format!("{origin}/type"), "a device node is c, b, u or p")),
    };
    let number = |key: &str, value: i64| {
        u32::try_from(value)
            .map_err(|_| Error::config(format!("{origin}/{key}"), format!("{value} is no {key} number")))
    };
    let (major, minor) = match kind {
        FIFO => (0, 0),
        _ => (number("major", device.major())?, number("minor", device.minor())?),
    };
    let mode = device.file_mode().unwrap_or(0o666) & 0o7777;
    Ok(Node { path, kind, major, minor, mode, uid: device.uid().unwrap_or(0), gid: device.gid().unwrap_or(0) })
}

fn line(context: &Context, node: Node, origin: String) -> Result<Line> {
    let path = z(&node.path, &origin)?;
    let step = if context.in_user_namespace() && node.kind != FIFO {
        InitStep::BindDevice { source: path.clone(), path }
    } else {
        let Node { kind, major, minor, mode, uid, gid, .. } = node;
        InitStep::MakeDevice { path, kind, major, minor, mode, uid, gid }
    };
    Ok(init(step, origin))
}

#[cfg(test)]
mod tests {
    use crate::plan::tests::{DEFAULT_DEVICES, check, plan_of, refused, spec_of, text_of};

    #[test]
    fn every_container_gets_the_default_devices() {
        assert!(text_of(&plan_of(&spec_of("{}")), "(default)").contains(DEFAULT_DEVICES));
    }

    #[test]
    fn listed_devices_take_the_place_of_default_ones() {
        let config = r#"{"linux": {"namespaces": [{"type": "mount"}], "devices": [
            {"path": "/dev/fuse", "type": "c", "major": 10, "minor": 229, "fileMode": 432, "uid": 5, "gid": 6},
            {"path": "/dev/tty", "type": "c", "major": 5, "minor": 0},
            {"path": "/dev/loop0", "type": "b", "major": 7, "minor": 0},
            {"path": "/run/pipe", "type": "p"}]}}"#;
        check(
            config,
            "/linux/devices",
            "init make-device /dev/fuse c 10:229 0660 5:6
             init make-device /dev/tty c 5:0 0666
             init make-device /dev/loop0 b 7:0 0666
             init make-device /run/pipe p 0666",
        );
        assert!(!text_of(&plan_of(&spec_of(config)), "(default)").contains("/dev/tty"));
    }

    #[test]
    fn a_ptmx_that_is_listed_is_the_link() {
        check(
            r#"{"linux": {"devices": [{"path": "/dev/ptmx", "type": "c", "major": 5, "minor": 2}]}}"#,
            "/linux/devices",
            "",
        );
    }

    #[test]
    fn a_user_namespace_binds_the_hosts_nodes() {
        let config = r#"{"linux": {"namespaces": [{"type": "user"}, {"type": "mount"}],
            "uidMappings": [{"containerID": 0, "hostID": 1, "size": 1}], "gidMappings": [{"containerID": 0, "hostID": 1, "size": 1}],
            "devices": [{"path": "/dev/fuse", "type": "c", "major": 10, "minor": 229}]}}"#;
        check(config, "/linux/devices", "init bind-device /dev/fuse");
        assert!(text_of(&plan_of(&spec_of(config)), "(default)").contains("init bind-device /dev/null"));
    }

    #[test]
    fn a_dev_that_is_bound_is_left_alone() {
        let config = r#"{"mounts": [{"destination": "/dev/", "source": "/dev", "options": ["rbind"]}]}"#;
        assert!(!text_of(&plan_of(&spec_of(config)), "(default)").contains("/dev"));
    }

    #[test]
    fn numbers_have_to_fit() {
        refused(
            r#"{"linux": {"devices": [{"path": "/dev/x", "type": "c", "major": -1, "minor": 0}]}}"#,
            "config.json: /linux/devices/0/major: -1 is no major number",
        );
    }
}
