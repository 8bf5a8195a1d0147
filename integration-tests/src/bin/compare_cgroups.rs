//! The files of a container's groups, for one configuration that asks for a bit of everything, as plimsoll, runc and crun leave
//! them: those that are not the same for all; with `--all` every file.
//!
//! `RUNTIME=/path/to/plimsoll compare_cgroups [--all] [--systemd-cgroup]`: docs/cgroups.md explains what it prints.
#![allow(clippy::print_stdout, reason = "it prints a table")]
use plimsoll_integration_tests::{Container, Runtime, cgroup, runtime};
use serde_json::{Value, json};
use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

/// What every version has on every host.
fn resources() -> Value {
    let disk = disk();
    let device = |rate: u64| json!([{"major": disk.0, "minor": disk.1, "rate": rate}]);
    let mut resources = json!({
        "memory": {"limit": 64 << 20, "reservation": 32 << 20, "swap": 96 << 20},
        "cpu": {"shares": 1024, "quota": 50_000, "period": 100_000, "cpus": "0", "mems": "0"},
        "pids": {"limit": 42},
        "blockIO": {"throttleReadBpsDevice": device(1 << 20), "throttleWriteBpsDevice": device(2 << 20),
            "throttleReadIOPSDevice": device(300), "throttleWriteIOPSDevice": device(400)},
        "devices": [{"allow": false, "access": "rwm"}, {"allow": true, "type": "c", "major": 10, "minor": 229, "access": "rw"}],
    });
    if cgroup::is_v2() {
        resources["blockIO"]["weight"] = json!(500);
        resources["hugepageLimits"] = json!([{"pageSize": "2MB", "limit": 4 << 20}]);
        resources["unified"] = json!({"memory.high": "50331648", "memory.oom.group": "1"});
    } else {
        resources["memory"]["swappiness"] = json!(10);
    }
    resources
}

/// The numbers of a whole disk.
fn disk() -> (u64, u64) {
    let disks = fs::read_dir("/sys/block").expect("sysfs").flatten();
    let disk = disks.map(|disk| disk.path()).find(|disk| disk.join("device").exists()).expect("a disk");
    let text = fs::read_to_string(disk.join("dev")).expect("sysfs");
    let (major, minor) = text.trim().split_once(':').expect("major:minor");
    (major.parse().expect("a number"), minor.parse().expect("a number"))
}

/// Where the kernel says that the container is: the same for both drivers.
fn directories(pid: i32) -> Vec<(String, PathBuf)> {
    let text = fs::read_to_string(format!("/proc/{pid}/cgroup")).expect("procfs");
    let mut found = Vec::new();
    for line in text.lines() {
        let mut fields = line.splitn(3, ':').skip(1);
        let (controllers, path) = (fields.next().unwrap_or_default(), fields.next().unwrap_or_default());
        let name = controllers.trim_start_matches("name=");
        let roots = if controllers.is_empty() { vec!["".into(), "unified".into()] } else { vec![name.to_owned()] };
        let directory = roots.iter().map(|root| Path::new(cgroup::ROOT).join(root).join(path.trim_start_matches('/')));
        let directory = directory.into_iter().find(|directory| directory.join("cgroup.procs").exists());
        found.extend(directory.filter(|_| path != "/").map(|directory| (name.to_owned(), directory)));
    }
    found
}

/// Settings, and the shape of the group; not what it has used.
fn settings(runtime: &Runtime, systemd: bool) -> BTreeMap<String, String> {
    let mut container = Container::of(runtime.clone()).set("/linux/resources", resources()).args(&["sleep", "1000"]);
    let mut flags = vec!["create"];
    if systemd {
        let path = format!("system.slice:compare:{}", container.id);
        container = container.set("/linux/cgroupsPath", json!(path));
        flags.insert(0, "--systemd-cgroup");
    }
    container.launch(&flags).ok();
    let mut settings = BTreeMap::new();
    for (hierarchy, directory) in directories(container.pid()) {
        for file in fs::read_dir(&directory).expect("a cgroup").flatten() {
            let name = file.file_name().to_string_lossy().into_owned();
            let writable =
                file.metadata().is_ok_and(|about| about.is_file() && about.permissions().mode() & 0o600 == 0o600);
            let of_use = ["cgroup.procs", "cgroup.threads", "tasks", "cgroup.event_control"].contains(&&*name)
                || [".pressure", ".peak", ".failcnt", "usage_in_bytes", ".usage", "force_empty", "reset_stats"]
                    .iter()
                    .any(|end| name.ends_with(end));
            if (writable || name == "devices.list") && !of_use {
                let content = fs::read_to_string(file.path()).unwrap_or_else(|error| error.to_string());
                let place = if hierarchy.is_empty() { name } else { format!("{hierarchy}/{name}") };
                settings.insert(place, content.trim().replace('\n', " | "));
            }
        }
    }
    settings
}

fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let has = |flag: &str| arguments.iter().any(|argument| argument == flag);
    let others = ["runc", "crun"].iter().filter_map(|name| Runtime::find(name));
    let runtimes: Vec<_> = std::iter::once(runtime().clone()).chain(others).collect();
    let seen: Vec<_> = runtimes.iter().map(|runtime| settings(runtime, has("--systemd-cgroup"))).collect();
    let names: BTreeSet<_> = seen.iter().flat_map(|settings| settings.keys()).collect();
    let versions: Vec<_> = runtimes.iter().map(|runtime| runtime.version.as_str()).collect();
    println!("{}\n", versions.join(", "));
    let mut same = 0;
    for name in names {
        let values: Vec<_> = seen.iter().map(|settings| settings.get(name).map_or("–", |value| value)).collect();
        let differ = values.iter().any(|value| *value != values[0]);
        same += usize::from(!differ);
        if differ || has("--all") {
            println!("{name}");
            for (runtime, value) in runtimes.iter().zip(values) {
                println!("    {:9} {value}", runtime.name);
            }
        }
    }
    println!("\n{same} files are the same for all");
}
