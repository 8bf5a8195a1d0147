//! Mounts that the kernel will not make where they are asked for, and those that become something else.
#![forbid(unsafe_code)]
use super::rootfs::{Rootfs, is_directory};
use super::{Concern, Finding};
use crate::Bundle;
use crate::plan::is_bind;
use oci_spec::runtime::{LinuxNamespaceType, Mount, Spec};
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

pub(super) fn find(bundle: &Bundle) -> Vec<Finding> {
    let spec = bundle.spec();
    let mut findings = Vec::new();
    let mut add = |concern, pointer: String, message: String| findings.push(Finding::new(concern, pointer, message));
    let rootfs = Rootfs::open(bundle);
    for (index, mount) in spec.mounts().iter().flatten().enumerate() {
        let paths = [("destination", Some(mount.destination())), ("source", mount.source().as_ref())];
        for (key, path) in paths {
            if let Some(message) = path.and_then(|path| too_long(path)) {
                add(Concern::Host, format!("/mounts/{index}/{key}"), message);
            }
        }
        if let Some(message) = rootfs.as_ref().and_then(|rootfs| misplaced(bundle, rootfs, index, mount)) {
            add(Concern::Host, format!("/mounts/{index}/destination"), message);
        }
        if mount.typ().as_deref() == Some("sysfs") && shares_network_only(spec) {
            let message =
                "sysfs needs a network namespace of the user namespace's: the host's /sys is bound instead, read-only";
            add(Concern::Notice, format!("/mounts/{index}/type"), message.into());
        }
    }
    if let Some(rootfs) = &rootfs {
        // devtmpfs is one filesystem, wherever it is mounted.
        // may fail: `check` says what it can see.
        let host = rustix::fs::stat("/dev").ok();
        let own = rootfs.look(Path::new("/dev"), usize::MAX);
        if own.zip(host).is_some_and(|(own, host)| own.st_dev == host.st_dev && own.st_ino == host.st_ino) {
            let message = "its /dev is the host's own: it is used as it is, with all of the host's devices";
            add(Concern::Security, "/root/path".into(), message.into());
        }
    }
    findings
}

/// NAME_MAX and PATH_MAX.
fn too_long(path: &Path) -> Option<String> {
    if path.as_os_str().len() >= 4096 {
        return Some("a path of more than 4095 bytes".to_owned());
    }
    let long = path.as_os_str().as_bytes().split(|byte| *byte == b'/').any(|name| name.len() > 255);
    long.then(|| "a name of more than 255 bytes".to_owned())
}

/// mount(2): a directory goes on a directory, a file on a file. What is not there is made to fit.
fn misplaced(bundle: &Bundle, rootfs: &Rootfs<'_>, index: usize, mount: &Mount) -> Option<String> {
    let target = rootfs.look(mount.destination(), index)?;
    let is_remount = mount.options().iter().flatten().any(|option| option == "remount");
    let source_is_directory = if is_bind(mount) {
        // may fail: `check` says what it can see.
        is_directory(&rustix::fs::stat(bundle.path().join(mount.source().as_deref()?)).ok()?)
    } else {
        true
    };
    if is_remount || source_is_directory == is_directory(&target) {
        return None;
    }
    let (source, target) = if source_is_directory { ("a directory", "a file") } else { ("a file", "a directory") };
    Some(format!("not a directory: {source} cannot be mounted on {target}"))
}

/// A user namespace of its own without a network namespace that belongs to it.
fn shares_network_only(spec: &Spec) -> bool {
    let namespaces = spec.linux().as_ref().and_then(|linux| linux.namespaces().as_deref()).unwrap_or_default();
    let is_new = |kind| {
        let mut listed = namespaces.iter().filter(|namespace| namespace.typ() == kind);
        listed.any(|namespace| namespace.path().as_deref().is_none_or(|path| path.as_os_str().is_empty()))
    };
    is_new(LinuxNamespaceType::User) && !is_new(LinuxNamespaceType::Network)
}

#[cfg(test)]
mod tests {
    use crate::check::{Concern, Finding, check};
    use crate::plan::HostFacts;
    use crate::plan::PlanOptions;
    use serde_json::{Value, json};
    use std::os::unix::fs::symlink;
    use std::path::{Path, PathBuf};

    /// A root filesystem with a little of everything; removed in the end.
    struct Scratch(PathBuf);

    impl Scratch {
        fn new(name: &str) -> Scratch {
            let path = std::env::temp_dir().join(format!("plimsoll-check-{name}-{}", std::process::id()));
            for directory in ["etc", "dev", "proc", "sys", "bin", "tmp"] {
                std::fs::create_dir_all(path.join("rootfs").join(directory)).unwrap();
            }
            std::fs::write(path.join("rootfs/etc/hosts"), "").unwrap();
            std::fs::write(path.join("rootfs/dev/null"), "").unwrap();
            symlink("hosts", path.join("rootfs/etc/link")).unwrap();
            Scratch(path)
        }

        /// All but what is unwise.
        fn findings(&self, config: &Value, facts: &HostFacts) -> Vec<Finding> {
            let options = PlanOptions { cgroup_manager: crate::CgroupManager::Disabled, ..PlanOptions::default() };
            let found = check(&self.0, config.to_string().as_bytes(), facts, &options);
            found.into_iter().filter(|finding| finding.concern != Concern::Security).collect()
        }
    }

    impl Drop for Scratch {
        fn drop(&mut self) {
            let _ = std::fs::remove_dir_all(&self.0);
        }
    }

    fn config(more: Value) -> Value {
        let mut config = json!({
            "ociVersion": "1.0.0", "root": {"path": "rootfs"}, "process": {"user": {}, "args": ["sh"], "cwd": "/"},
            "linux": {"namespaces": [{"type": "mount"}, {"type": "network"}]},
        });
        for (key, value) in more.as_object().unwrap() {
            match (&mut config[key], value) {
                (Value::Object(members), Value::Object(more)) => members.extend(more.clone()),
                (place, value) => *place = value.clone(),
            }
        }
        config
    }

    #[track_caller]
    fn finds(scratch: &Scratch, more: Value, expected: &[(Concern, &str)]) {
        let facts = HostFacts { privileged: true, ..HostFacts::default() };
        let findings = scratch.findings(&config(more), &facts);
        let found: Vec<_> = findings.iter().map(|finding| (finding.concern, finding.pointer.as_str())).collect();
        assert_eq!(found, expected, "{findings:#?}");
    }

    #[test]
    fn what_cannot_be_mounted_there_is_foreseen() {
        let scratch = Scratch::new("mounts");
        let bind = |source: &str, target: &str| json!({"destination": target, "source": source, "type": "bind", "options": ["bind"]});
        let long = format!("/tmp/{}", "x".repeat(256));
        for (mount, wrong) in [
            (json!({"destination": "/etc/hosts", "type": "tmpfs"}), true),
            (json!({"destination": "/etc/link", "type": "tmpfs"}), true),
            (json!({"destination": "/etc", "type": "tmpfs"}), false),
            (json!({"destination": long, "type": "tmpfs"}), true),
            (bind("/etc", "/etc/hosts"), true),
            (bind("/etc/passwd", "/etc"), true),
            (bind("/etc/passwd", "/etc/hosts"), false),
            (bind("/etc/passwd", "/etc/new"), false),
            (bind("/etc", "/new"), false),
        ] {
            let expected = [(Concern::Host, "/mounts/0/destination")];
            finds(&scratch, json!({"mounts": [mount]}), if wrong { &expected } else { &[] });
        }
        // Nobody looks at what is on a mount that comes first.
        let covered = json!([{"destination": "/etc", "type": "tmpfs"}, bind("/etc", "/etc/hosts")]);
        finds(&scratch, json!({"mounts": covered}), &[]);
    }

    #[test]
    fn a_sysfs_without_a_network_namespace_of_its_own_is_told() {
        let map = json!([{"containerID": 0, "hostID": 0, "size": 1}]);
        let linux =
            json!({"uidMappings": map, "gidMappings": map, "namespaces": [{"type": "user"}, {"type": "mount"}]});
        let mounts = json!([{"destination": "/sys", "type": "sysfs"}]);
        let scratch = Scratch::new("sysfs");
        finds(&scratch, json!({"linux": linux, "mounts": mounts}), &[(Concern::Notice, "/mounts/0/type")]);
    }

    #[test]
    fn devices_that_something_stands_in_the_way_of_are_foreseen() {
        let scratch = Scratch::new("devices");
        let device = |path: &str| json!({"path": path, "type": "c", "major": 1, "minor": 9});
        let linux = json!({"devices": [device("/dev/null"), device("/dev/x"), device("/dev/random")]});
        let mounts =
            json!([{"destination": "/dev/random", "source": "/dev/urandom", "type": "bind", "options": ["bind"]}]);
        finds(
            &scratch,
            json!({"linux": linux, "mounts": mounts}),
            &[(Concern::Host, "/linux/devices/0/path"), (Concern::Notice, "/linux/devices/2/path")],
        );
    }

    #[test]
    fn devices_that_cannot_be_made_are_those_of_the_host_or_none() {
        let scratch = Scratch::new("mknod");
        let device = |path: &str, minor| json!({"path": path, "type": "c", "major": 1, "minor": minor});
        let linux = json!({"devices": [device("/dev/urandom", 9), device("/dev/no-such", 9), device("/dev/zero", 9)]});
        let facts = HostFacts { privileged: true, in_user_namespace: true, ..HostFacts::default() };
        let findings = scratch.findings(&config(json!({"linux": linux})), &facts);
        let found: Vec<_> = findings.iter().map(|finding| (finding.concern, finding.pointer.as_str())).collect();
        let expected = [
            (Concern::Host, "/linux/devices/1"),
            (Concern::Host, "/linux/devices/2"),
            (Concern::Notice, "/linux/devices/0"),
        ];
        assert_eq!(found, expected, "{findings:#?}");
    }

    #[test]
    fn few_descriptors_and_odd_keys_are_told() {
        let scratch = Scratch::new("odd");
        let process = json!({"rlimits": [{"type": "RLIMIT_NOFILE", "soft": 3, "hard": 10}], "NONEWPRIVILEGES": true});
        let expected = [(Concern::Notice, "/process/NONEWPRIVILEGES"), (Concern::Notice, "/process/rlimits/0/soft")];
        finds(&scratch, json!({"process": process}), &expected);
    }

    #[test]
    fn the_hosts_own_dev_is_told() {
        let options = PlanOptions { cgroup_manager: crate::CgroupManager::Disabled, ..PlanOptions::default() };
        let facts = HostFacts { privileged: true, ..HostFacts::default() };
        let told = |more: Value| {
            let found = check(Path::new("/"), config(more).to_string().as_bytes(), &facts, &options);
            found.iter().any(|finding| finding.pointer == "/root/path" && finding.message.contains("host's own"))
        };
        assert!(told(json!({"root": {"path": "/"}})));
        assert!(!told(json!({"root": {"path": "/"}, "mounts": [{"destination": "/dev", "type": "tmpfs"}]})));
    }

    /// Those of Docker, Podman, containerd and the others that are examples.
    #[test]
    fn usual_configurations_cause_no_alarm() {
        let scratch = Scratch::new("usual");
        let directory = Path::new(env!("CARGO_MANIFEST_DIR")).join("../oci-bundles");
        for entry in std::fs::read_dir(directory).unwrap().flatten() {
            let Ok(text) = std::fs::read(entry.path().join("config.json")) else { continue };
            let mut config: Value = serde_json::from_slice(&text).unwrap();
            config["root"]["path"] = json!("rootfs");
            let facts = HostFacts { privileged: true, ..HostFacts::default() };
            let about = |finding: &Finding| {
                let alarm = finding.concern == Concern::Notice || finding.message.contains("not a directory");
                alarm || finding.pointer.starts_with("/linux/devices")
            };
            let alarms: Vec<_> = scratch.findings(&config, &facts).into_iter().filter(about).collect();
            assert!(alarms.is_empty(), "{:?}: {alarms:#?}", entry.file_name());
        }
    }
}
