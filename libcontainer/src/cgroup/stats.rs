//! What a container uses: the data of `events --stats`, in runc's schema.
#![forbid(unsafe_code)]
use super::counters::{Counters, counted};
use super::holder;
use crate::plan::cgroup::Group;
use crate::{Error, Result};
use serde::Serialize;
use std::cell::Cell;
use std::collections::BTreeMap;

/// Zeros and empty lists are left out where runc leaves them out.
#[derive(Debug, Default, PartialEq, Serialize)]
pub(crate) struct Stats {
    pub cpu: Cpu,
    pub cpuset: Cpuset,
    pub memory: Memory,
    pub pids: Pids,
    pub blkio: Blkio,
    /// By page size.
    pub hugetlb: BTreeMap<String, Hugetlb>,
    pub intel_rdt: IntelRdt,
    /// runc has had none since it stopped making interfaces.
    pub network_interfaces: Option<Vec<()>>,
}

#[derive(Debug, Default, PartialEq, Serialize)]
pub(crate) struct IntelRdt {}

#[derive(Debug, Default, PartialEq, Serialize)]
pub(crate) struct Cpu {
    pub usage: CpuUsage,
    #[serde(skip_serializing_if = "is_default")]
    pub throttling: Throttling,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub psi: Option<Psi>,
}

/// Nanoseconds.
#[derive(Debug, Default, PartialEq, Serialize)]
pub(crate) struct CpuUsage {
    #[serde(skip_serializing_if = "is_zero")]
    pub total: u64,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub percpu: Vec<u64>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub percpu_kernel: Vec<u64>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub percpu_user: Vec<u64>,
    pub kernel: u64,
    pub user: u64,
}

#[derive(Debug, Default, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Throttling {
    #[serde(skip_serializing_if = "is_zero")]
    pub periods: u64,
    #[serde(skip_serializing_if = "is_zero")]
    pub throttled_periods: u64,
    #[serde(skip_serializing_if = "is_zero")]
    pub throttled_time: u64,
}

#[derive(Debug, Default, PartialEq, Serialize)]
pub(crate) struct Cpuset {
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub cpus: Vec<u16>,
    pub cpu_exclusive: u64,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub mems: Vec<u16>,
    pub mem_hardwall: u64,
    pub mem_exclusive: u64,
    pub memory_migrate: u64,
    pub memory_spread_page: u64,
    pub memory_spread_slab: u64,
    pub memory_pressure: u64,
    pub sched_load_balance: u64,
    pub sched_relax_domain_level: i64,
}

#[derive(Debug, Default, PartialEq, Serialize)]
pub(crate) struct Memory {
    #[serde(skip_serializing_if = "is_zero")]
    pub cache: u64,
    pub usage: MemoryEntry,
    /// Memory and swap together.
    pub swap: MemoryEntry,
    pub kernel: MemoryEntry,
    #[serde(rename = "kernelTCP")]
    pub kernel_tcp: MemoryEntry,
    /// `memory.stat`.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub raw: BTreeMap<String, u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub psi: Option<Psi>,
}

#[derive(Debug, Default, PartialEq, Serialize)]
pub(crate) struct MemoryEntry {
    pub limit: u64,
    #[serde(skip_serializing_if = "is_zero")]
    pub usage: u64,
    #[serde(skip_serializing_if = "is_zero")]
    pub max: u64,
    pub failcnt: u64,
}

#[derive(Debug, Default, PartialEq, Serialize)]
pub(crate) struct Pids {
    #[serde(skip_serializing_if = "is_zero")]
    pub current: u64,
    /// 0 for none.
    #[serde(skip_serializing_if = "is_zero")]
    pub limit: u64,
}

#[derive(Debug, Default, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Blkio {
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub io_service_bytes_recursive: Vec<BlkioEntry>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub io_serviced_recursive: Vec<BlkioEntry>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub io_queue_recursive: Vec<BlkioEntry>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub io_service_time_recursive: Vec<BlkioEntry>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub io_wait_time_recursive: Vec<BlkioEntry>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub io_merged_recursive: Vec<BlkioEntry>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub io_time_recursive: Vec<BlkioEntry>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub sectors_recursive: Vec<BlkioEntry>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub psi: Option<Psi>,
}

#[derive(Debug, Default, PartialEq, Serialize)]
pub(crate) struct BlkioEntry {
    #[serde(skip_serializing_if = "is_zero")]
    pub major: u64,
    #[serde(skip_serializing_if = "is_zero")]
    pub minor: u64,
    #[serde(skip_serializing_if = "String::is_empty")]
    pub op: String,
    #[serde(skip_serializing_if = "is_zero")]
    pub value: u64,
}

#[derive(Debug, Default, PartialEq, Serialize)]
pub(crate) struct Hugetlb {
    #[serde(skip_serializing_if = "is_zero")]
    pub usage: u64,
    #[serde(skip_serializing_if = "is_zero")]
    pub max: u64,
    pub failcnt: u64,
}

/// Pressure stall information.
#[derive(Debug, Default, PartialEq, Serialize)]
pub(crate) struct Psi {
    pub some: PsiData,
    pub full: PsiData,
}

#[derive(Debug, Default, PartialEq, Serialize)]
pub(crate) struct PsiData {
    pub avg10: f64,
    pub avg60: f64,
    pub avg300: f64,
    pub total: u64,
}

#[allow(clippy::trivially_copy_pass_by_ref, reason = "serde calls it so")]
fn is_zero(number: &u64) -> bool {
    *number == 0
}

fn is_default<T: Default + PartialEq>(value: &T) -> bool {
    *value == T::default()
}

/// What the container uses now. What the host does not count, or a group that is gone, is left at zero.
pub(crate) fn stats(groups: &[Group]) -> Result<Stats> {
    counted(|failed| count(groups, failed))
}

fn count(groups: &[Group], failed: &Cell<Option<Error>>) -> Stats {
    let group = |v1: &str, v2: &str| {
        let holder = holder(groups, v1, v2)?;
        Some((Counters::open(&holder.directory, failed)?, holder.unified))
    };
    let unified = groups.iter().find(|group| group.unified);
    let unified = || Counters::open(&unified?.directory, failed);
    let mut stats = Stats::default();
    match group("cpu", "cpu") {
        Some((group, true)) => cpu_v2(&group, &mut stats.cpu),
        Some((group, false)) => throttling(&group, &mut stats.cpu.throttling, "throttled_time", 1),
        // cpu.stat of cgroup v2 counts without the controller.
        None => {
            if let Some(group) = unified() {
                cpu_v2(&group, &mut stats.cpu);
            }
        }
    }
    if let Some((group, false)) = group("cpuacct", "") {
        stats.cpu.usage = cpuacct(&group);
    }
    if let Some((group, false)) = group("cpuset", "") {
        stats.cpuset = cpuset(&group);
    }
    if let Some((group, unified)) = group("memory", "memory") {
        stats.memory = if unified { memory_v2(&group) } else { memory_v1(&group) };
    }
    if let Some((group, _)) = group("pids", "pids") {
        stats.pids = Pids { current: group.number("pids.current"), limit: group.number("pids.max") };
    }
    if let Some((group, unified)) = group("blkio", "io") {
        stats.blkio = if unified { io_v2(&group.text("io.stat")) } else { blkio_v1(&group) };
    }
    if let Some((group, unified)) = group("hugetlb", "hugetlb") {
        stats.hugetlb = hugetlb(&group, unified);
    }
    // Only cgroup v2 measures pressure; on a hybrid host its side does.
    if let Some(group) = unified() {
        let pressure = |file: &str| group.read(file).map(|text| psi(&text));
        stats.cpu.psi = pressure("cpu.pressure");
        stats.memory.psi = pressure("memory.pressure");
        stats.blkio.psi = pressure("io.pressure");
    }
    stats
}

/// Lines of `key value`.
fn keyed(text: &str) -> BTreeMap<String, u64> {
    let pair = |line: &str| {
        let (key, value) = line.split_once(' ')?;
        Some((key.to_owned(), value.trim().parse().ok()?))
    };
    text.lines().filter_map(pair).collect()
}

fn numbers(text: &str) -> Vec<u64> {
    text.split_whitespace().filter_map(|number| number.parse().ok()).collect()
}

fn throttling(group: &Counters<'_>, throttling: &mut Throttling, time: &str, unit: u64) {
    let stat = keyed(&group.text("cpu.stat"));
    let value = |key: &str| stat.get(key).copied().unwrap_or(0);
    *throttling = Throttling {
        periods: value("nr_periods"),
        throttled_periods: value("nr_throttled"),
        throttled_time: value(time) * unit,
    };
}

fn cpu_v2(group: &Counters<'_>, cpu: &mut Cpu) {
    throttling(group, &mut cpu.throttling, "throttled_usec", 1000);
    let stat = keyed(&group.text("cpu.stat"));
    let value = |key: &str| stat.get(key).copied().unwrap_or(0) * 1000;
    cpu.usage = CpuUsage {
        total: value("usage_usec"),
        kernel: value("system_usec"),
        user: value("user_usec"),
        ..CpuUsage::default()
    };
}

fn cpuacct(group: &Counters<'_>) -> CpuUsage {
    let stat = keyed(&group.text("cpuacct.stat"));
    // Ticks of USER_HZ, which is 100 wherever Linux runs containers.
    let ticks = |key: &str| stat.get(key).copied().unwrap_or(0) * 10_000_000;
    let all = group.text("cpuacct.usage_all");
    // "cpu user system"
    let column = |index: usize| all.lines().skip(1).filter_map(|line| numbers(line).get(index).copied()).collect();
    CpuUsage {
        total: group.number("cpuacct.usage"),
        percpu: numbers(&group.text("cpuacct.usage_percpu")),
        percpu_kernel: column(2),
        percpu_user: column(1),
        kernel: ticks("system"),
        user: ticks("user"),
    }
}

fn cpuset(group: &Counters<'_>) -> Cpuset {
    let list = |file: &str| ranges(&group.text(file));
    let level = group.text("cpuset.sched_relax_domain_level");
    Cpuset {
        cpus: list("cpuset.cpus"),
        cpu_exclusive: group.number("cpuset.cpu_exclusive"),
        mems: list("cpuset.mems"),
        mem_hardwall: group.number("cpuset.mem_hardwall"),
        mem_exclusive: group.number("cpuset.mem_exclusive"),
        memory_migrate: group.number("cpuset.memory_migrate"),
        memory_spread_page: group.number("cpuset.memory_spread_page"),
        memory_spread_slab: group.number("cpuset.memory_spread_slab"),
        memory_pressure: group.number("cpuset.memory_pressure"),
        sched_load_balance: group.number("cpuset.sched_load_balance"),
        sched_relax_domain_level: level.trim().parse().unwrap_or(0),
    }
}

/// `0-2,7` as the kernel prints it.
fn ranges(text: &str) -> Vec<u16> {
    let range = |part: &str| {
        let (first, last) = part.split_once('-').unwrap_or((part, part));
        Some(first.parse::<u16>().ok()?..=last.parse::<u16>().ok()?)
    };
    text.trim().split(',').filter_map(range).flatten().collect()
}

fn memory_v1(group: &Counters<'_>) -> Memory {
    let entry = |name: &str| {
        let value = |suffix: &str| group.number(&format!("memory.{name}{suffix}"));
        MemoryEntry {
            limit: value("limit_in_bytes"),
            usage: value("usage_in_bytes"),
            max: value("max_usage_in_bytes"),
            failcnt: value("failcnt"),
        }
    };
    let raw = keyed(&group.text("memory.stat"));
    Memory {
        cache: raw.get("cache").copied().unwrap_or(0),
        usage: entry(""),
        swap: entry("memsw."),
        kernel: entry("kmem."),
        kernel_tcp: entry("kmem.tcp."),
        raw,
        ..Memory::default()
    }
}

fn memory_v2(group: &Counters<'_>) -> Memory {
    let limit = |file: &str| match group.text(file).trim() {
        "max" => u64::MAX,
        limit => limit.parse().unwrap_or(0),
    };
    let usage = MemoryEntry {
        limit: limit("memory.max"),
        usage: group.number("memory.current"),
        max: group.number("memory.peak"),
        failcnt: 0,
    };
    // As on cgroup v1, memory and swap together.
    let swap = MemoryEntry {
        limit: limit("memory.swap.max").saturating_add(if group.read("memory.swap.max").is_some() {
            usage.limit
        } else {
            0
        }),
        usage: group.number("memory.swap.current") + usage.usage,
        max: 0,
        failcnt: 0,
    };
    let raw = keyed(&group.text("memory.stat"));
    Memory { cache: raw.get("file").copied().unwrap_or(0), usage, swap, raw, ..Memory::default() }
}

/// CFQ's files, else BFQ's, else those of the throttling that every kernel has.
fn blkio_v1(group: &Counters<'_>) -> Blkio {
    let entries = |name: &str| {
        let text = ["blkio.", "blkio.bfq.", "blkio.throttle."].iter().find_map(|prefix| {
            let text = group.read(&format!("{prefix}{name}_recursive"))?;
            Some(blkio_entries(&text)).filter(|entries| !entries.is_empty())
        });
        text.unwrap_or_default()
    };
    Blkio {
        io_service_bytes_recursive: entries("io_service_bytes"),
        io_serviced_recursive: entries("io_serviced"),
        io_queue_recursive: entries("io_queued"),
        io_service_time_recursive: entries("io_service_time"),
        io_wait_time_recursive: entries("io_wait_time"),
        io_merged_recursive: entries("io_merged"),
        io_time_recursive: entries("time"),
        sectors_recursive: entries("sectors"),
        psi: None,
    }
}

/// Lines of `8:0 Read 4096`, or `8:0 17`; the sum over all devices is left out.
fn blkio_entries(text: &str) -> Vec<BlkioEntry> {
    let entry = |line: &str| {
        let (device, rest) = line.split_once(' ')?;
        let (major, minor) = device.split_once(':')?;
        let (op, value) = rest.split_once(' ').unwrap_or(("", rest));
        let (major, minor) = (major.parse().ok()?, minor.parse().ok()?);
        Some(BlkioEntry { major, minor, op: op.to_owned(), value: value.trim().parse().ok()? })
    };
    text.lines().filter_map(entry).collect()
}

/// Lines of `8:0 rbytes=1 wbytes=2 rios=3 wios=4 dbytes=0 dios=0`.
fn io_v2(text: &str) -> Blkio {
    let mut blkio = Blkio::default();
    for line in text.lines() {
        let mut words = line.split_whitespace();
        let Some((major, minor)) = words.next().and_then(|device| device.split_once(':')) else { continue };
        for (key, value) in words.filter_map(|word| word.split_once('=')) {
            let (list, op) = match key {
                "rbytes" => (&mut blkio.io_service_bytes_recursive, "Read"),
                "wbytes" => (&mut blkio.io_service_bytes_recursive, "Write"),
                "rios" => (&mut blkio.io_serviced_recursive, "Read"),
                "wios" => (&mut blkio.io_serviced_recursive, "Write"),
                _ => continue,
            };
            let number = |text: &str| text.parse().unwrap_or(0);
            list.push(BlkioEntry {
                major: number(major),
                minor: number(minor),
                op: op.to_owned(),
                value: number(value),
            });
        }
    }
    blkio
}

fn hugetlb(group: &Counters<'_>, unified: bool) -> BTreeMap<String, Hugetlb> {
    let known = if unified { ".current" } else { ".usage_in_bytes" };
    let sizes = group.files();
    let sizes = sizes.iter().filter_map(|file| file.strip_prefix("hugetlb.")?.strip_suffix(known));
    let one = |size: &str| {
        // Reservations are what limits apply to where there are any.
        let rsvd = format!("hugetlb.{size}.rsvd");
        let prefix = if group.read(&format!("{rsvd}{known}")).is_some() { rsvd } else { format!("hugetlb.{size}") };
        let failcnt = match unified {
            true => keyed(&group.text(&format!("hugetlb.{size}.events"))).get("max").copied().unwrap_or(0),
            false => group.number(&format!("{prefix}.failcnt")),
        };
        let max = if unified { 0 } else { group.number(&format!("{prefix}.max_usage_in_bytes")) };
        (size.to_owned(), Hugetlb { usage: group.number(&format!("{prefix}{known}")), max, failcnt })
    };
    sizes.filter(|size| !size.contains('.')).map(one).collect()
}

/// Lines of `some avg10=0.00 avg60=0.00 avg300=0.00 total=0`.
fn psi(text: &str) -> Psi {
    let mut psi = Psi::default();
    for line in text.lines() {
        let (kind, rest) = line.split_once(' ').unwrap_or((line, ""));
        let value = |key: &str| rest.split_whitespace().find_map(|word| word.strip_prefix(key)?.strip_prefix('='));
        let average = |key: &str| value(key).and_then(|value| value.parse().ok()).unwrap_or(0.0);
        let data = PsiData {
            avg10: average("avg10"),
            avg60: average("avg60"),
            avg300: average("avg300"),
            total: value("total").and_then(|value| value.parse().ok()).unwrap_or(0),
        };
        match kind {
            "some" => psi.some = data,
            "full" => psi.full = data,
            _ => {}
        }
    }
    psi
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_prints_what_runc_prints_for_nothing() {
        let json = serde_json::to_string(&Stats::default()).unwrap();
        let entry = r#"{"limit":0,"failcnt":0}"#;
        assert_eq!(
            json,
            format!(
                r#"{{"cpu":{{"usage":{{"kernel":0,"user":0}}}},"cpuset":{{"cpu_exclusive":0,"mem_hardwall":0,"mem_exclusive":0,"memory_migrate":0,"memory_spread_page":0,"memory_spread_slab":0,"memory_pressure":0,"sched_load_balance":0,"sched_relax_domain_level":0}},"memory":{{"usage":{entry},"swap":{entry},"kernel":{entry},"kernelTCP":{entry}}},"pids":{{}},"blkio":{{}},"hugetlb":{{}},"intel_rdt":{{}},"network_interfaces":null}}"#
            )
        );
    }

    #[test]
    fn the_kernels_formats() {
        assert_eq!(ranges("0-2,7\n"), [0, 1, 2, 7]);
        assert_eq!(ranges("\n"), Vec::<u16>::new());
        let psi =
            psi("some avg10=1.50 avg60=0.10 avg300=0.00 total=42\nfull avg10=0.00 avg60=0.00 avg300=0.00 total=7\n");
        assert_eq!((psi.some.avg10, psi.some.total, psi.full.total), (1.5, 42, 7));
        let entry = |op: &str, value| BlkioEntry { major: 8, minor: 0, op: op.to_owned(), value };
        assert_eq!(blkio_entries("8:0 Read 1\n8:0 Total 3\nTotal 3\n"), [entry("Read", 1), entry("Total", 3)]);
        assert_eq!(blkio_entries("8:0 17\n"), [entry("", 17)]);
        let io = io_v2("8:0 rbytes=1 wbytes=2 rios=3 wios=4 dbytes=5 dios=6\n");
        assert_eq!(io.io_service_bytes_recursive, [entry("Read", 1), entry("Write", 2)]);
        assert_eq!(io.io_serviced_recursive, [entry("Read", 3), entry("Write", 4)]);
    }
}
