//! [Devices](https://github.com/opencontainers/runtime-spec/blob/v1.3.0/config-linux.md#devices), the
//! [default devices](https://github.com/opencontainers/runtime-spec/blob/v1.3.0/config-linux.md#default-devices)
//! and the [links in /dev](https://github.com/opencontainers/runtime-spec/blob/v1.3.0/runtime-linux.md#dev-symbolic-links).
#![forbid(unsafe_code)]

use super::line::{HostStep, IdMap, InitStep, Line, Origin, ZString};
use super::{Context, Slots, host, id_mappings, init, mounts, user, z};
use crate::{Error, Result};
use oci_spec::runtime::{LinuxDevice, LinuxDeviceType};
use std::collections::HashSet;
use std::path::{Path, PathBuf};
use step::{Device, Present, Source};

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
    // The one of the container's own devpts.
    ("/dev/ptmx", "pts/ptmx"),
];

/// Descriptors on their way to init: as many as one message surely holds, beside others.
const AT_ONCE: usize = 16;

pub(super) fn lines(context: &Context, slots: &mut Slots) -> Result<Vec<Line>> {
    // Somebody else's /dev: not ours to fill.
    if mounts::binds_dev(context) {
        return Ok(Vec::new());
    }
    let mut lines = Vec::new();
    let listed = context.linux().and_then(|linux| linux.devices().as_deref()).unwrap_or_default();
    let paths: Vec<PathBuf> = listed.iter().map(|device| mounts::clean(device.path())).collect();
    // What config.json mounts at the very path is what was asked for.
    let taken: HashSet<PathBuf> = mounts::targets(context).collect();
    let is_free = |path: &Path| !taken.contains(path);
    for &(path, major, minor) in
        DEFAULT.iter().filter(|(path, ..)| !paths.iter().any(|listed| listed == Path::new(path)))
    {
        let device = Device { kind: CHARACTER, major, minor };
        let node =
            Node { path: path.into(), device, mode: 0o666, uid: None, gid: None, origin: Origin::DEFAULT.into() };
        lines.extend(is_free(&node.path).then(|| node.supply(context)).transpose()?);
    }
    // The link takes the place of a `/dev/ptmx` that is listed.
    let nodes = (listed.iter().zip(paths).enumerate())
        .filter(|(_, (_, path))| path != Path::new("/dev/ptmx") && is_free(path))
        .map(|(index, (device, path))| Node::of(device, path, format!("/linux/devices/{index}")));
    for nodes in nodes.collect::<Result<Vec<_>>>()?.chunks(AT_ONCE) {
        let mut binds = Vec::new();
        for node in nodes {
            let (made, bound) = node.ask_for(context, slots)?;
            lines.extend(made);
            binds.push(bound);
        }
        lines.extend(binds);
    }
    // Where the kernel has no such file the link would lead nowhere.
    let links = LINKS.iter().filter(|(path, _)| *path != "/dev/core" || context.facts.kcore);
    for (path, target) in links.filter(|(path, _)| is_free(Path::new(path))) {
        let replace = *path == "/dev/ptmx";
        lines.push(init(InitStep::Symlink { target: z(target, "")?, path: z(path, "")?, replace }, Origin::DEFAULT));
    }
    Ok(lines)
}

/// A node that config.json or the specification asks for. Who it belongs to is root, if that is not said.
struct Node {
    path: PathBuf,
    device: Device,
    mode: u32,
    uid: Option<u32>,
    gid: Option<u32>,
    origin: String,
}

impl Node {
    fn of(device: &LinuxDevice, path: PathBuf, origin: String) -> Result<Node> {
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
        let device_number = Device { kind, major, minor };
        let mode = device.file_mode().unwrap_or(0o666) & 0o7777;
        Ok(Node { path, device: device_number, mode, uid: device.uid(), gid: device.gid(), origin })
    }

    /// A default one.
    fn supply(&self, context: &Context) -> Result<Line> {
        let step = if may_make(context) { self.make(Present::Stays)? } else { self.bind_hosts(Present::Stays)? };
        Ok(init(step, &*self.origin))
    }

    /// A listed one: what the host does for it, and what init does.
    fn ask_for(&self, context: &Context, slots: &mut Slots) -> Result<(Option<Line>, Line)> {
        let present = Present::IsTheDevice;
        let (made, step) = if may_make(context) || self.device.kind == FIFO {
            (None, self.make(present)?)
        } else if may_make_from_outside(context) {
            let (uid, gid) = self.owner(context)?;
            let make = HostStep::MakeNode { device: self.device, mode: self.mode, uid, gid };
            let source = Source::Slot(slots.take()?);
            let bind = InitStep::BindDevice { source, path: self.path_z()?, device: self.device, present };
            (Some(host(make, &*self.origin)), bind)
        } else {
            (None, self.bind_hosts(present)?)
        };
        Ok((made, init(step, &*self.origin)))
    }

    fn path_z(&self) -> Result<ZString> {
        z(&self.path, &self.origin)
    }

    fn make(&self, present: Present) -> Result<InitStep> {
        let (path, device, mode) = (self.path_z()?, self.device, self.mode);
        let (uid, gid) = (self.uid.unwrap_or(0), self.gid.unwrap_or(0));
        Ok(InitStep::MakeDevice { path, device, mode, uid, gid, present })
    }

    fn bind_hosts(&self, present: Present) -> Result<InitStep> {
        let (source, path) = (Source::Path(self.path_z()?), self.path_z()?);
        Ok(InitStep::BindDevice { source, path, device: self.device, present })
    }

    /// Ids of the user namespace. Of one that is joined nothing is known here.
    fn owner(&self, context: &Context) -> Result<(u32, u32)> {
        let (uids, gids) = id_mappings::of(context.spec);
        let of = |key: &str, id: Option<u32>, maps: &[IdMap]| match (id, maps) {
            (Some(id), maps) => user::mapped(context.spec, maps, id, &format!("{}/{key}", self.origin)).map(|()| id),
            (None, [first, ..]) if !id_mappings::is_mapped(maps, 0) => Ok(first.container_id),
            (None, _) => Ok(0),
        };
        Ok((of("uid", self.uid, &uids)?, of("gid", self.gid, &gids)?))
    }
}

/// Whether init may make nodes: the kernel lets nobody do so in a user namespace (`vfs_mknod` asks for the capability in the first).
fn may_make(context: &Context) -> bool {
    !context.in_user_namespace() && has_mknod(context)
}

/// Whether the host's side may, for a user namespace that it is not in itself.
fn may_make_from_outside(context: &Context) -> bool {
    context.facts.privileged && !context.facts.in_user_namespace && has_mknod(context)
}

fn has_mknod(context: &Context) -> bool {
    const CAP_MKNOD: u64 = 1 << 27;
    context.facts.missing_capabilities & CAP_MKNOD == 0
}

#[cfg(test)]
mod tests {
    use crate::facts::HostFacts;
    use crate::plan::tests::{DEFAULT_DEVICES, check, check_on, facts, plan_of, refused, spec_of, text_of};

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
        let inside = HostFacts { in_user_namespace: true, ..facts() };
        let bound = "init bind-device /dev/fuse c 10:229 ro,nosuid,noexec";
        check_on(&inside, config, "/linux/devices", bound);
        let unprivileged = HostFacts { privileged: false, euid: 1, ..facts() };
        check_on(&unprivileged, config, "/linux/devices", bound);
        let default = "init bind-device /dev/null c 1:3 ro,nosuid,noexec unless something is there\n";
        assert!(text_of(&plan_of(&spec_of(config)), "(default)").contains(default));
    }

    #[test]
    fn what_a_user_namespace_asks_for_is_made_from_outside() {
        let config = |owner: &str| {
            format!(
                r#"{{"linux": {{"namespaces": [{{"type": "user"}}, {{"type": "mount"}}],
                "uidMappings": [{{"containerID": 0, "hostID": 1000, "size": 6}}], "gidMappings": [{{"containerID": 0, "hostID": 1000, "size": 9}}],
                "devices": [{{"path": "/dev/fuse", "type": "c", "major": 1, "minor": 5, "fileMode": 416{owner}}},
                    {{"path": "/dev/pipe", "type": "p"}}]}}}}"#
            )
        };
        check(
            &config(r#", "uid": 5, "gid": 6"#),
            "/linux/devices",
            "host make-node c 1:5 0640 5:6 → fd:2
             init bind-device fd:2 on /dev/fuse c 1:5
             init make-device /dev/pipe p 0666",
        );
        check(
            &config(""),
            "/linux/devices/0",
            "host make-node c 1:5 0640 → fd:2\n init bind-device fd:2 on /dev/fuse c 1:5",
        );
        refused(
            &config(r#", "uid": 6"#),
            "config.json: /linux/devices/0/uid: 6 is not mapped in the container's user namespace",
        );
    }

    #[test]
    fn without_the_capability_the_hosts_nodes_are_bound() {
        let facts = HostFacts { missing_capabilities: 1 << 27, ..facts() };
        let config = r#"{"linux": {"namespaces": [{"type": "mount"}], "devices": [
            {"path": "/dev/disk", "type": "b", "major": 8, "minor": 0}, {"path": "/dev/pipe", "type": "p"}]}}"#;
        check_on(
            &facts,
            config,
            "/linux/devices",
            "init bind-device /dev/disk b 8:0 ro,nosuid,noexec
             init make-device /dev/pipe p 0666",
        );
    }

    #[test]
    fn what_is_mounted_at_the_very_path_wins() {
        let config = |namespaces: &str| {
            format!(
                r#"{{"mounts": [{{"destination": "/dev/./random", "source": "/dev/urandom", "options": ["bind"]}},
                {{"destination": "/dev/ptmx", "source": "/p", "options": ["bind"]}},
                {{"destination": "/dev/zero", "options": ["remount", "ro"]}},
                {{"destination": "/dev/fuse", "source": "/f", "options": ["bind"]}}],
                "linux": {{{namespaces} "devices": [{{"path": "/dev/fuse", "type": "c", "major": 10, "minor": 229}}]}}}}"#
            )
        };
        let user = r#""uidMappings": [{"containerID": 0, "hostID": 1, "size": 1}], "gidMappings": [{"containerID": 0, "hostID": 1, "size": 1}],
            "namespaces": [{"type": "user"}, {"type": "mount"}],"#;
        for namespaces in ["", user] {
            let plan = plan_of(&spec_of(&config(namespaces)));
            assert_eq!(text_of(&plan, "/linux/devices"), "");
            let defaults = text_of(&plan, "(default)");
            assert!(!defaults.contains("/dev/random") && !defaults.contains("/dev/ptmx"), "{defaults}");
            assert!(defaults.contains("/dev/zero") && defaults.contains("/dev/urandom"), "{defaults}");
        }
    }

    #[test]
    fn there_is_no_core_where_the_kernel_shows_none() {
        let config = "{}";
        assert!(text_of(&plan_of(&spec_of(config)), "(default)").contains("/dev/core"));
        let facts = HostFacts { kcore: false, ..facts() };
        let plan =
            crate::plan::create("/b".as_ref(), &spec_of(config), &facts, &crate::plan::tests::options()).unwrap();
        assert!(!text_of(&plan, "(default)").contains("/dev/core"));
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
