//! The kernel's files of cgroup v2, and systemd, as far as an update meets them: so that all pairs of fields can be tried in no time.
use super::Files;
use crate::plan::cgroup::{Property, Value, Write};
use crate::{Error, Result};
use rustix::io::Errno;
use std::cell::RefCell;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

/// A group's files. What is not mentioned here takes any value.
#[derive(Debug, Clone)]
pub(super) struct Group {
    pub files: RefCell<BTreeMap<String, String>>,
    /// A file and a value that it refuses.
    pub refuses: RefCell<Option<(String, String)>>,
}

impl Group {
    pub(super) fn new() -> Group {
        let files = [
            ("cpu.idle", "0"),
            ("cpu.weight", "100"),
            ("cpu.max", "max 100000"),
            ("cpu.max.burst", "0"),
            ("cpuset.cpus", ""),
            ("cpuset.mems", ""),
            ("memory.min", "0"),
            ("memory.low", "0"),
            ("memory.high", "max"),
            ("memory.max", "max"),
            ("memory.swap.max", "max"),
            ("memory.zswap.max", "max"),
            ("memory.oom.group", "0"),
            ("pids.max", "max"),
            ("io.weight", "default 100"),
            ("io.max", ""),
            ("hugetlb.2MB.max", "max"),
            ("hugetlb.2MB.rsvd.max", "max"),
        ];
        let files = files.into_iter().map(|(name, value)| (name.to_owned(), value.to_owned())).collect();
        Group { files: RefCell::new(files), refuses: RefCell::new(None) }
    }

    fn get(&self, name: &str) -> String {
        self.files.borrow().get(name).cloned().unwrap_or_default()
    }

    fn set(&self, name: &str, value: impl Into<String>) {
        self.files.borrow_mut().insert(name.to_owned(), value.into());
    }

    pub(super) fn put(&self, name: &str, value: &str) -> std::result::Result<(), Errno> {
        if !self.files.borrow().contains_key(name) {
            return Err(Errno::NOENT);
        }
        if self.refuses.borrow().as_ref().is_some_and(|(file, refused)| file == name && refused == value) {
            return Err(Errno::IO);
        }
        match name {
            "cpu.idle" => {
                let was = self.get(name);
                match (&*was, value) {
                    ("0", "1") => self.set("cpu.weight", "0"),
                    ("1", "0") => self.set("cpu.weight", "100"),
                    (_, "0" | "1") => {}
                    _ => return Err(Errno::INVAL),
                }
                self.set(name, value);
            }
            "cpu.weight" if self.get("cpu.idle") == "1" => return Err(Errno::INVAL),
            "cpu.weight" if !value.parse().is_ok_and(|weight| (1..=10_000).contains(&weight)) => {
                return Err(Errno::RANGE);
            }
            "cpu.max" => {
                let old = self.get(name);
                let period = value.split(' ').nth(1).or(old.split(' ').nth(1)).unwrap_or_default();
                let quota = value.split(' ').next().unwrap_or_default();
                let number = |text: &str| text.parse::<u64>().ok();
                if number(quota).is_some_and(|quota| quota < 1000 || number(&self.get("cpu.max.burst")) > Some(quota)) {
                    return Err(Errno::INVAL);
                }
                self.set(name, format!("{quota} {period}"));
            }
            "cpu.max.burst" => {
                let quota = self.get("cpu.max").split(' ').next().and_then(|quota| quota.parse::<u64>().ok());
                if quota.is_some_and(|quota| value.parse::<u64>().is_ok_and(|burst| burst > quota)) {
                    return Err(Errno::INVAL);
                }
                self.set(name, value);
            }
            "cpuset.cpus" | "cpuset.mems" => self.set(name, ranges(value)),
            "io.max" => self.put_io_max(value),
            "io.weight" => self.put_io_weight(value),
            _ => self.set(name, value),
        }
        Ok(())
    }

    /// A line for each device that has a limit.
    fn put_io_max(&self, value: &str) {
        let (device, asked) = value.split_once(' ').expect("a device");
        let mut lines: BTreeMap<_, _> = self.lines("io.max");
        let old = lines.remove(device).unwrap_or_else(|| "rbps=max wbps=max riops=max wiops=max".to_owned());
        let change = |pair: &str| {
            let key = pair.split('=').next().expect("a key");
            asked.split(' ').rfind(|other| other.split('=').next() == Some(key)).unwrap_or(pair).to_owned()
        };
        let new = old.split(' ').map(change).collect::<Vec<_>>().join(" ");
        if new.split(' ').any(|pair| !pair.ends_with("=max")) {
            lines.insert(device.to_owned(), new);
        }
        self.set_lines("io.max", &lines);
    }

    fn put_io_weight(&self, value: &str) {
        let (device, weight) = value.split_once(' ').unwrap_or(("default", value));
        let mut lines = self.lines("io.weight");
        match weight {
            "default" => _ = lines.remove(device),
            weight => _ = lines.insert(device.to_owned(), weight.to_owned()),
        }
        self.set_lines("io.weight", &lines);
    }

    fn lines(&self, name: &str) -> BTreeMap<String, String> {
        let text = self.get(name);
        let line = |line: &str| line.split_once(' ').map(|(device, rest)| (device.to_owned(), rest.to_owned()));
        text.lines().filter_map(line).collect()
    }

    fn set_lines(&self, name: &str, lines: &BTreeMap<String, String>) {
        // The kernel's order: `default` first.
        let mut lines: Vec<_> = lines.iter().map(|(device, rest)| format!("{device} {rest}")).collect();
        lines.sort_by_key(|line| !line.starts_with("default"));
        self.set(name, lines.join("\n"));
    }
}

/// As the kernel prints them: `0-2,5`.
fn ranges(list: &str) -> String {
    let mut ranges: Vec<(u32, u32)> = Vec::new();
    for range in list.split(',').filter(|range| !range.is_empty()) {
        let (first, last) = range.split_once('-').unwrap_or((range, range));
        let (first, last) = (first.parse().expect("a number"), last.parse().expect("a number"));
        match ranges.last_mut() {
            Some((_, end)) if *end + 1 == first => *end = last,
            _ => ranges.push((first, last)),
        }
    }
    let range = |(first, last)| if first == last { format!("{first}") } else { format!("{first}-{last}") };
    ranges.into_iter().map(range).collect::<Vec<_>>().join(",")
}

impl Files for Group {
    fn read(&self, file: &Path) -> Option<String> {
        self.files.borrow().get(file.file_name()?.to_str()?).cloned()
    }

    fn write(&self, file: &Path, value: &str) -> Result<()> {
        let name = file.file_name().and_then(|name| name.to_str()).expect("text");
        self.put(name, value).map_err(|errno| Error::system(format!("write {value:?} to {name}"), "write", errno))
    }
}

/// What systemd keeps of a scope, and writes: of a controller everything, as soon as one of its properties is set
/// (systemd 257, `cgroup_context_apply`).
#[derive(Debug, Clone, Default)]
pub(super) struct Systemd {
    numbers: BTreeMap<&'static str, u64>,
    sets: BTreeMap<&'static str, Vec<u8>>,
    devices: BTreeMap<&'static str, BTreeMap<String, u64>>,
    /// Only at the start of a scope.
    kills_all: bool,
}

impl Systemd {
    pub(super) fn start(&mut self, properties: &[Property], group: &Group) {
        self.kills_all = properties.iter().any(|property| property.to_string() == "OOMPolicy=kill");
        self.set(properties, group);
        self.reload(group);
    }

    pub(super) fn set(&mut self, properties: &[Property], group: &Group) {
        for Property { name, value } in properties {
            match value {
                Value::Number(number) => _ = self.numbers.insert(name, *number),
                Value::Set(set) => _ = self.sets.insert(name, set.clone()),
                Value::Rates(rates) => self.devices.entry(name).or_default().extend(rates.iter().cloned()),
                _ => {}
            }
            self.apply(controller(name), group);
        }
    }

    /// As at a daemon-reload.
    pub(super) fn reload(&self, group: &Group) {
        ["cpu", "cpuset", "memory", "pids", "io"].into_iter().for_each(|controller| self.apply(controller, group));
    }

    fn apply(&self, controller: &str, group: &Group) {
        // What the kernel refuses is only logged.
        let put = |name: &str, value: String| _ = group.put(name, &value);
        let number = |name: &str, default: u64| self.numbers.get(name).copied().unwrap_or(default);
        let limit = |number: u64| if number == u64::MAX { "max".to_owned() } else { number.to_string() };
        match controller {
            "cpu" => {
                let weight = number("CPUWeight", 100);
                put("cpu.idle", u64::from(weight == 0).to_string());
                if weight > 0 {
                    put("cpu.weight", weight.to_string());
                }
                let quota = number("CPUQuotaPerSecUSec", u64::MAX);
                put(
                    "cpu.max",
                    match quota {
                        u64::MAX => "max 100000".to_owned(),
                        quota => {
                            let period = match number("CPUQuotaPeriodUSec", u64::MAX) {
                                u64::MAX => 100_000,
                                period => period.max(1000).max(1_000_000_000 / quota).min(1_000_000),
                            };
                            format!("{} {period}", (quota * period / 1_000_000).max(1000))
                        }
                    },
                );
            }
            "cpuset" => {
                for (name, file) in [("AllowedCPUs", "cpuset.cpus"), ("AllowedMemoryNodes", "cpuset.mems")] {
                    let set = self.sets.get(name).cloned().unwrap_or_default();
                    put(file, Property { name: "", value: Value::Set(set) }.to_string()[1..].to_owned());
                }
            }
            "memory" => {
                for (name, file, default) in [
                    ("MemoryMin", "memory.min", 0),
                    ("MemoryLow", "memory.low", 0),
                    ("MemoryHigh", "memory.high", u64::MAX),
                    ("MemoryMax", "memory.max", u64::MAX),
                    ("MemorySwapMax", "memory.swap.max", u64::MAX),
                    ("MemoryZSwapMax", "memory.zswap.max", u64::MAX),
                ] {
                    put(file, limit(number(name, default)));
                }
                put("memory.oom.group", u64::from(self.kills_all).to_string());
            }
            "pids" => put("pids.max", limit(number("TasksMax", u64::MAX))),
            "io" => {
                put("io.weight", format!("default {}", number("IOWeight", 100)));
                for (device, weight) in self.devices.get("IODeviceWeight").into_iter().flatten() {
                    put("io.weight", format!("{} {weight}", device.trim_start_matches("/dev/block/")));
                }
                for (name, key) in [
                    ("IOReadBandwidthMax", "rbps"),
                    ("IOWriteBandwidthMax", "wbps"),
                    ("IOReadIOPSMax", "riops"),
                    ("IOWriteIOPSMax", "wiops"),
                ] {
                    for (device, rate) in self.devices.get(name).into_iter().flatten() {
                        put("io.max", format!("{} {key}={}", device.trim_start_matches("/dev/block/"), limit(*rate)));
                    }
                }
            }
            _ => {}
        }
    }
}

fn controller(property: &str) -> &'static str {
    match property {
        "AllowedCPUs" | "AllowedMemoryNodes" => "cpuset",
        "TasksMax" => "pids",
        name if name.starts_with("CPU") => "cpu",
        name if name.starts_with("Memory") => "memory",
        name if name.starts_with("IO") => "io",
        _ => "",
    }
}

/// The group as the plan knows it.
pub(super) fn groups() -> Vec<crate::plan::cgroup::Group> {
    let controllers = ["cpuset", "cpu", "io", "memory", "hugetlb", "pids"].map(str::to_owned).to_vec();
    vec![crate::plan::cgroup::Group { controllers, directory: PathBuf::from("/c/web"), unified: true }]
}

/// As `create` writes them.
pub(super) fn create(files: &Group, writes: &[Write]) {
    for write in writes {
        super::replace(files, write).unwrap_or_else(|error| panic!("{error}"));
    }
}
