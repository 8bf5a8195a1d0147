//! What a container is, seen from inside and from its cgroups: equal for two containers of the same configuration.
use crate::{Container, cgroup};
use serde_json::{Value, json};
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

/// Prints all that a configuration may restrict, then `END`.
const PROGRAM: &str = "#!/bin/sh\n\
     cat /proc/self/status /proc/self/limits /proc/self/mountinfo /proc/self/cgroup /proc/self/oom_score_adj \
     /proc/sys/kernel/hostname /proc/sys/kernel/domainname /proc/sys/net/ipv4/ping_group_range /tmp/hooks 2>&1; \
     stat -c '%A %u %g %t:%T %N' /dev/* /run 2>&1; ls /proc/self/fd; id; umask; env; pwd; echo END";

/// Every kind of restriction that this machine can give, and a hook of each kind.
#[must_use]
pub fn restricted(container: Container) -> Container {
    let docker: Value =
        serde_json::from_str(include_str!("../../oci-bundles/docker-default/config.json")).expect("JSON");
    let log = container.dir.join("hooks");
    let hook = |kind: &str| {
        let script = format!("echo {kind} >>{}", log.display());
        crate::hook(&script)
    };
    let inside = crate::hook("echo startContainer >>/tmp/hooks");
    let resources = json!({
        "devices": [
            {"allow": false, "access": "rwm"},
            {"allow": true, "type": "c", "major": 10, "minor": 229, "access": "rw"},
        ],
        "memory": {"limit": 268_435_456_u64},
        "cpu": {"shares": 512, "quota": 50000, "period": 100_000},
        "pids": {"limit": 100},
    });
    let fuse =
        json!({"path": "/dev/fuse", "type": "c", "major": 10, "minor": 229, "fileMode": 0o640, "uid": 5, "gid": 6});
    let program = container.rootfs().join("bin/fingerprint");
    fs::write(&program, PROGRAM).expect("our own");
    fs::set_permissions(&program, fs::Permissions::from_mode(0o755)).expect("our own");
    fs::create_dir_all(container.dir.join("shared")).expect("our own");
    let shared = container.dir.join("shared");
    container
        .set("/linux/seccomp", docker["linux"]["seccomp"].clone())
        .set("/linux/resources", resources)
        .set("/linux/devices", json!([fuse]))
        .set("/linux/sysctl", json!({"net.ipv4.ping_group_range": "0 7"}))
        .set("/process/user", json!({"uid": 7, "gid": 8, "additionalGids": [9, 10], "umask": 0o27}))
        .set("/process/oomScoreAdj", json!(500))
        .set("/process/rlimits/-", json!({"type": "RLIMIT_CORE", "hard": 0, "soft": 0}))
        .set("/process/cwd", json!("/tmp"))
        .set("/domainname", json!("harbour"))
        .set("/hooks/createRuntime", hook("createRuntime"))
        .set("/hooks/createContainer", hook("createContainer"))
        .set("/hooks/startContainer", inside)
        .set("/hooks/poststart", hook("poststart"))
        .set("/hooks/poststop", hook("poststop"))
        .mount(json!({"destination": "/tmp", "type": "tmpfs", "source": "tmpfs", "options": ["nosuid", "nodev", "mode=1777"]}))
        .mount(json!({"destination": "/root", "source": "/etc", "options": ["rbind", "rro", "nosuid"]}))
        .mount(json!({"destination": "/etc", "source": shared, "options": ["bind", "rslave", "ro"]}))
        .args(&["fingerprint"])
}

/// The same, with root inside an ordinary user outside.
#[must_use]
pub fn mapped(container: Container) -> Container {
    restricted(container).remove("/hooks/createContainer").user_namespace(100_000, 65536)
}

/// What the program has printed, if it has come to its end, without what differs from one container to the next.
pub fn inside(container: &Container, printed: &str) -> Option<String> {
    printed.trim_end().ends_with("END").then(|| normal(container, printed))
}

fn normal(container: &Container, text: &str) -> String {
    const CHANGES: &[&str] = &[
        "Vm",
        "Rss",
        "Hugetlb",
        "Pid",
        "Tgid",
        "PPid",
        "NSpid",
        "NStgid",
        "NSpgid",
        "NSsid",
        "Threads",
        "SigQ",
        "Ngid",
        "FDSize",
        "SigCgt",
        "voluntary",
        "nonvoluntary",
        "CoreDumping",
        "THP",
        "untag",
        "x86_Thread",
        "Name",
        "State",
        "TracerPid",
    ];
    let line = |line: &str| {
        if CHANGES.iter().any(|key| line.starts_with(key)) {
            return None;
        }
        // mountinfo: ids and device numbers are given out in turn, and so are peer groups.
        let line = match line.split_once(" - ") {
            Some((mount, kind)) => {
                let peers = |word: &str| word.split_once(':').map_or(word.to_owned(), |(group, _)| group.to_owned());
                let mount: Vec<_> = mount.split(' ').skip(3).map(peers).collect();
                // The whole machine has one cgroup2, and anybody who mounts it changes its options.
                let kind = if kind.starts_with("cgroup2 ") { "cgroup2" } else { kind };
                format!("{} - {kind}", mount.join(" "))
            }
            None => line.to_owned(),
        };
        Some(line.replace(&container.id, "ID"))
    };
    text.lines().filter_map(line).collect::<Vec<_>>().join("\n")
}

/// A process of the container, as the host sees it.
pub fn process(container: &Container, pid: i32) -> String {
    let read = |file: &str| fs::read_to_string(format!("/proc/{pid}/{file}")).unwrap_or_else(|error| error.to_string());
    let namespace = |name: &str| {
        let link = |pid: &str| fs::read_link(format!("/proc/{pid}/ns/{name}")).ok();
        let own = if link(&pid.to_string()) == link("self") { "the host's" } else { "its own" };
        format!("{name}: {own}\n")
    };
    let names = ["mnt", "pid", "net", "ipc", "uts", "cgroup", "user", "time"];
    let text = [read("status"), read("limits"), read("mountinfo"), read("cgroup"), read("oom_score_adj")].concat();
    names.map(namespace).concat() + &normal(container, &text)
}

/// The values in all its cgroups, and how many processes there are.
pub fn cgroups(container: &Container) -> String {
    const FILES: &[&str] = &[
        "memory.limit_in_bytes",
        "memory.memsw.limit_in_bytes",
        "memory.soft_limit_in_bytes",
        "memory.swappiness",
        "memory.oom_control",
        "cpu.shares",
        "cpu.cfs_quota_us",
        "cpu.cfs_period_us",
        "cpuset.cpus",
        "cpuset.mems",
        "pids.max",
        "devices.list",
        "freezer.state",
        "blkio.weight",
        "net_cls.classid",
        "memory.max",
        "memory.high",
        "memory.low",
        "memory.swap.max",
        "cpu.max",
        "cpu.weight",
        "cgroup.freeze",
        "io.weight",
        "hugetlb.2MB.limit_in_bytes",
        "hugetlb.2MB.max",
    ];
    let mut lines = Vec::new();
    let mut directories = cgroup::directories(&container.cgroup());
    directories.sort();
    for directory in directories {
        let shown = directory.to_string_lossy().replace(&container.id, "ID");
        let processes = cgroup::pids(&directory).len();
        lines.push(format!("{shown}: {processes} processes"));
        lines.extend(FILES.iter().filter_map(|file| value(&directory, file)).map(|value| format!("{shown}/{value}")));
    }
    lines.join("\n")
}

fn value(directory: &Path, file: &str) -> Option<String> {
    let value = fs::read_to_string(directory.join(file)).ok()?;
    // Not a limit but a state: whether somebody is killed just now.
    let value: Vec<_> =
        value.lines().filter(|line| !line.starts_with("under_oom") && !line.starts_with("oom_kill ")).collect();
    Some(format!("{file}: {}", value.join("; ")))
}

/// What one says and the other does not.
pub fn difference(usual: &str, other: &str) -> String {
    let without = |text: &str, known: &str, sign: char| {
        let known: Vec<_> = known.lines().collect();
        text.lines().filter(|line| !known.contains(line)).map(|line| format!(" {sign}`{line}`")).collect::<Vec<_>>()
    };
    let mut lines = without(usual, other, '-');
    lines.extend(without(other, usual, '+'));
    if lines.is_empty() && usual != other {
        lines.push(" the same lines, in another order or number".into());
    }
    lines.truncate(6);
    lines.concat()
}
