use super::{model, old_value};
use crate::plan::cgroup::{Write, limits, merge, writes};
use oci_spec::runtime::LinuxResources;
use std::collections::BTreeMap;

#[test]
fn of_a_line_per_device_only_the_one_counts() {
    let text = "8:0 rbps=1 wbps=max riops=max wiops=max\n8:16 rbps=2 wbps=max riops=max wiops=max\n";
    assert_eq!(old_value("io.max", text, "8:16 rbps=5"), "8:16 rbps=2 wbps=max riops=max wiops=max");
    assert_eq!(old_value("io.max", text, "8:1 rbps=5"), "8:1 rbps=max wbps=max riops=max wiops=max");
    assert_eq!(old_value("blkio.throttle.read_bps_device", "", "8:0 1"), "8:0 0");
    assert_eq!(old_value("io.weight", "default 100\n8:0 50\n", "200"), "default 100");
    assert_eq!(old_value("net_prio.ifpriomap", "lo 5\neth0 0\n", "lo 6"), "lo 5");
}

#[test]
fn of_a_single_value_all_of_it() {
    assert_eq!(old_value("cpu.max", "max 100000\n", "5 10"), "max 100000");
    assert_eq!(old_value("memory.oom_control", "oom_kill_disable 0\nunder_oom 0\n", "1"), "0");
}

/// Values of `linux.resources`, one for each kind of file, some in two ways.
const FIELDS: [&str; 38] = [
    r#"{"memory": {"limit": 104857600}}"#,
    r#"{"memory": {"limit": 52428800}}"#,
    r#"{"memory": {"limit": -1}}"#,
    r#"{"memory": {"limit": 104857600, "swap": 209715200}}"#,
    r#"{"memory": {"limit": 104857600, "swap": -1}}"#,
    r#"{"memory": {"reservation": 33554432}}"#,
    r#"{"cpu": {"shares": 3333}}"#,
    r#"{"cpu": {"shares": 200}}"#,
    r#"{"cpu": {"quota": 50000}}"#,
    r#"{"cpu": {"quota": 12345}}"#,
    r#"{"cpu": {"quota": -1}}"#,
    r#"{"cpu": {"period": 900000}}"#,
    r#"{"cpu": {"quota": 300000, "period": 300000}}"#,
    r#"{"cpu": {"quota": 50000, "burst": 10000}}"#,
    r#"{"cpu": {"idle": 1}}"#,
    r#"{"cpu": {"idle": 0}}"#,
    r#"{"cpu": {"idle": 1, "shares": 500}}"#,
    r#"{"cpu": {"cpus": "0-2,5"}}"#,
    r#"{"cpu": {"cpus": "1", "mems": "0"}}"#,
    r#"{"pids": {"limit": 42}}"#,
    r#"{"pids": {"limit": 0}}"#,
    r#"{"pids": {"limit": -1}}"#,
    r#"{"blockIO": {"weight": 500}}"#,
    r#"{"blockIO": {"weightDevice": [{"major": 8, "minor": 0, "weight": 70}]}}"#,
    r#"{"blockIO": {"throttleReadBpsDevice": [{"major": 8, "minor": 0, "rate": 1000}]}}"#,
    r#"{"blockIO": {"throttleReadBpsDevice": [{"major": 8, "minor": 0, "rate": 0}]}}"#,
    r#"{"blockIO": {"throttleWriteIOPSDevice": [{"major": 8, "minor": 16, "rate": 7}]}}"#,
    r#"{"hugepageLimits": [{"pageSize": "2MB", "limit": 4194304}]}"#,
    r#"{"unified": {"cpu.weight": "42"}}"#,
    r#"{"unified": {"cpu.idle": "1"}}"#,
    r#"{"unified": {"cpu.max": "70000"}}"#,
    r#"{"unified": {"cpu.max": "max 400000"}}"#,
    r#"{"unified": {"memory.high": "20971520", "memory.low": "1048576"}}"#,
    r#"{"unified": {"memory.max": "30000000"}}"#,
    r#"{"unified": {"memory.oom.group": "1", "memory.min": "4096"}}"#,
    r#"{"unified": {"pids.max": "9"}}"#,
    r#"{"unified": {"io.weight": "default 33", "io.max": "8:0 wbps=77 riops=5"}}"#,
    r#"{"unified": {"cpuset.cpus": "3", "memory.zswap.max": "0"}}"#,
];

/// A container of either driver's.
#[derive(Clone)]
struct Played {
    group: model::Group,
    systemd: Option<model::Systemd>,
    stored: serde_json::Value,
}

impl Played {
    fn create(stored: &str, by_systemd: bool) -> Played {
        let stored: serde_json::Value = serde_json::from_str(stored).unwrap();
        let group = model::Group::new();
        let resources: LinuxResources = serde_json::from_value(stored.clone()).unwrap();
        let writes = writes(&resources, &model::groups()).unwrap();
        let systemd = by_systemd.then(|| {
            let mut systemd = model::Systemd::default();
            systemd.start(&limits(&writes, &model::groups()), &group);
            systemd
        });
        model::create(&group, &writes);
        Played { group, systemd, stored }
    }

    fn update(&mut self, change: &str) -> crate::Result<()> {
        self.update_and(change, || Ok(()))
    }

    /// And writes it down so.
    fn update_and(&mut self, change: &str, keep: impl FnOnce() -> crate::Result<()>) -> crate::Result<()> {
        let merged = merge(&self.stored, &serde_json::from_str(change).unwrap()).unwrap();
        let resources: LinuxResources = serde_json::from_value(merged.clone()).unwrap();
        let asked = writes(&resources, &model::groups())?;
        let (group, systemd) = (&self.group, &mut self.systemd);
        let tell = |writes: &[Write]| {
            if let Some(systemd) = systemd {
                systemd.set(&limits(writes, &model::groups()), group);
            }
            Ok(())
        };
        super::change(group, asked, tell, keep)?;
        self.stored = merged;
        Ok(())
    }

    fn files(&self) -> BTreeMap<String, String> {
        self.group.files.borrow().clone()
    }

    /// What systemd makes of it at its next daemon-reload.
    fn reloaded(&self) -> BTreeMap<String, String> {
        let Played { group, systemd, .. } = self.clone();
        if let Some(systemd) = systemd {
            systemd.reload(&group);
        }
        let mut files = group.files.take();
        // A period without a quota, parts of a percent, and what a scope does when memory is short can only be written to the files.
        files.retain(|name, _| !matches!(&**name, "cpu.max" | "memory.oom.group"));
        // A weight of a device's own cannot be taken back, but can be the usual one.
        let weights = files["io.weight"].lines().filter(|line| !line.starts_with("8:0 100"));
        let weights = weights.collect::<Vec<_>>().join("\n");
        files.insert("io.weight".to_owned(), weights);
        files
    }
}

/// Every field, and every pair of fields, after each other and at once: with systemd a group ends as it does without, and a
/// daemon-reload changes nothing.
#[test]
fn an_update_ends_the_same_with_both_drivers() {
    for first in FIELDS {
        for second in FIELDS {
            for changes in [&[first][..], &[first, second], &[first, second, first]] {
                for at_create in [1, 0] {
                    let start = if at_create == 1 { changes[0] } else { "{}" };
                    let [files, systemd] = [false, true].map(|by_systemd| {
                        let mut played = Played::create(start, by_systemd);
                        for change in &changes[at_create..] {
                            played.update(change).unwrap_or_else(|error| panic!("{changes:?}: {error}"));
                        }
                        played
                    });
                    assert_eq!(files.files(), systemd.files(), "{changes:?} from {start}");
                    assert_eq!(files.reloaded(), systemd.reloaded(), "{changes:?} from {start}, reloaded");
                }
            }
        }
    }
}

/// Whatever value of it the kernel refuses: neither the files nor systemd keep anything.
#[test]
fn a_refused_update_leaves_files_and_properties_as_they_were() {
    for (first, second) in FIELDS.iter().flat_map(|first| FIELDS.iter().map(move |second| (first, second))) {
        for by_systemd in [false, true] {
            let before = Played::create(first, by_systemd);
            let merged = merge(&before.stored, &serde_json::from_str(second).unwrap()).unwrap();
            let asked = writes(&serde_json::from_value(merged).unwrap(), &model::groups()).unwrap();
            for write in asked {
                let name = write.file.file_name().unwrap().to_str().unwrap().to_owned();
                if before.files().get(&name) == Some(&write.value) {
                    continue;
                }
                let mut played = before.clone();
                played.group.refuses.replace(Some((name, write.value.clone())));
                if played.update(second).is_err() {
                    assert_eq!(played.files(), before.files(), "{first}, then {second} without {write:?}");
                    assert_eq!(
                        played.reloaded(),
                        before.reloaded(),
                        "{first}, then {second} without {write:?}, reloaded"
                    );
                }
            }
        }
    }
}

#[test]
fn a_period_or_no_quota_alone_keeps_the_other() {
    let mut played = Played::create(r#"{"cpu": {"period": 900000}}"#, true);
    played.update(r#"{"cpu": {"quota": -1}}"#).unwrap();
    assert_eq!(played.files()["cpu.max"], "max 900000");
    let mut played = Played::create("{}", true);
    played.update(r#"{"cpu": {"period": 900000}}"#).unwrap();
    assert_eq!(played.files()["cpu.max"], "max 900000");
}

#[test]
fn an_update_that_cannot_be_written_down_leaves_files_and_properties_as_they_were() {
    for (first, second) in FIELDS.iter().flat_map(|first| FIELDS.iter().map(move |second| (first, second))) {
        for by_systemd in [false, true] {
            let before = Played::create(first, by_systemd);
            let mut played = before.clone();
            let full = || Err(crate::Error::new(crate::ErrorKind::System, "no space left"));
            assert!(played.update_and(second, full).is_err(), "{first}, then {second}");
            assert_eq!(played.files(), before.files(), "{first}, then {second}");
            assert_eq!(played.reloaded(), before.reloaded(), "{first}, then {second}, reloaded");
        }
    }
}
