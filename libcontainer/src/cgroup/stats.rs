//! Reading what a container's groups count.
#![forbid(unsafe_code)]
use super::counters::{Counters, counted};
use super::holder;
use crate::plan::cgroup::Group;
use crate::stats::{
    Blkio, BlkioEntry, Cpu, CpuUsage, Cpuset, Hugetlb, Io, Memory, MemoryEntry, Misc, Pids, Psi, PsiData, Rdma, Stats,
    Throttling,
};
use crate::{Error, Result};
use std::cell::Cell;
use std::collections::BTreeMap;

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
    let mut stats = Stats { unified: groups.iter().all(|group| group.unified), ..Stats::default() };
    match group("cpu", "cpu") {
        Some((group, true)) => stats.cpu = cpu_v2(&group),
        Some((group, false)) => stats.cpu = cpu_v1(&group),
        // cpu.stat of cgroup v2 counts without the controller.
        None => {
            if let Some(group) = unified() {
                stats.cpu = cpu_v2(&group);
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
    if let Some((group, _)) = group("rdma", "rdma") {
        stats.rdma = rdma(&group.text("rdma.current"), &group.text("rdma.max"));
    }
    if let Some((group, _)) = group("misc", "misc") {
        let read = |file: &str| group.text(file);
        stats.misc = misc(&read("misc.current"), &read("misc.max"), &read("misc.events"));
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

/// `unit`: how many nanoseconds are one of `time`.
fn throttling(stat: &BTreeMap<String, u64>, time: &str, unit: u64) -> Throttling {
    let value = |key: &str| stat.get(key).copied().unwrap_or(0);
    Throttling {
        periods: value("nr_periods"),
        throttled_periods: value("nr_throttled"),
        throttled_time: value(time) * unit,
    }
}

fn cpu_v1(group: &Counters<'_>) -> Cpu {
    let raw = keyed(&group.text("cpu.stat"));
    Cpu { throttling: throttling(&raw, "throttled_time", 1), raw, ..Cpu::default() }
}

fn cpu_v2(group: &Counters<'_>) -> Cpu {
    let raw = keyed(&group.text("cpu.stat"));
    let value = |key: &str| raw.get(key).copied().unwrap_or(0) * 1000;
    let usage = CpuUsage {
        total: value("usage_usec"),
        kernel: value("system_usec"),
        user: value("user_usec"),
        ..CpuUsage::default()
    };
    Cpu { usage, throttling: throttling(&raw, "throttled_usec", 1000), raw, psi: None }
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
        events: keyed(&group.text("memory.oom_control")),
        raw,
        ..Memory::default()
    }
}

fn memory_v2(group: &Counters<'_>) -> Memory {
    let entry = |prefix: &str| MemoryEntry {
        limit: limit(&group.text(&format!("{prefix}.max"))),
        usage: group.number(&format!("{prefix}.current")),
        max: group.number(&format!("{prefix}.peak")),
        failcnt: 0,
    };
    let (usage, swap_only) = (entry("memory"), entry("memory.swap"));
    // As on cgroup v1, memory and swap together; without a file, 0, there is no swap.
    let both = if swap_only.limit == 0 && group.read("memory.swap.max").is_none() { 0 } else { usage.limit };
    let swap = MemoryEntry {
        limit: swap_only.limit.saturating_add(both),
        usage: swap_only.usage + usage.usage,
        ..MemoryEntry::default()
    };
    let raw = keyed(&group.text("memory.stat"));
    let cache = raw.get("file").copied().unwrap_or(0);
    let events = keyed(&group.text("memory.events"));
    Memory { cache, usage, swap, raw, swap_only, events, ..Memory::default() }
}

/// `max`, or a number.
fn limit(text: &str) -> u64 {
    match text.trim() {
        "max" => u64::MAX,
        limit => limit.parse().unwrap_or(0),
    }
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
        ..Blkio::default()
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

/// Lines of `8:0 rbytes=1 wbytes=2 rios=3 wios=4 dbytes=5 dios=6`; a device without a figure has none.
fn io_v2(text: &str) -> Blkio {
    let mut blkio = Blkio::default();
    for line in text.lines() {
        let Some((device, figures)) = line.split_once(' ') else { continue };
        let Some((Ok(major), Ok(minor))) = device.split_once(':').map(|(a, b)| (a.parse(), b.parse())) else {
            continue;
        };
        let mut io = Io { major, minor, ..Io::default() };
        for (key, value) in figures.split_whitespace().filter_map(|word| word.split_once('=')) {
            let value = value.parse().unwrap_or(0);
            let entry = |op: &str| BlkioEntry { major, minor, op: op.to_owned(), value };
            let place = match key {
                "rbytes" => {
                    blkio.io_service_bytes_recursive.push(entry("Read"));
                    &mut io.rbytes
                }
                "wbytes" => {
                    blkio.io_service_bytes_recursive.push(entry("Write"));
                    &mut io.wbytes
                }
                "rios" => {
                    blkio.io_serviced_recursive.push(entry("Read"));
                    &mut io.rios
                }
                "wios" => {
                    blkio.io_serviced_recursive.push(entry("Write"));
                    &mut io.wios
                }
                "dbytes" => &mut io.dbytes,
                "dios" => &mut io.dios,
                _ => continue,
            };
            *place = value;
        }
        blkio.devices.push(io);
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
        let limit = limit(&group.text(&format!("{prefix}{}", if unified { ".max" } else { ".limit_in_bytes" })));
        (size.to_owned(), Hugetlb { usage: group.number(&format!("{prefix}{known}")), max, failcnt, limit })
    };
    sizes.filter(|size| !size.contains('.')).map(one).collect()
}

/// Lines of `mlx5_0 hca_handle=2 hca_object=2000`; a limit may be `max`.
fn rdma(current: &str, limits: &str) -> Vec<Rdma> {
    let value = |line: &str, key: &str| {
        let figure = line.split_whitespace().find_map(|word| word.strip_prefix(key)?.strip_prefix('='));
        figure.map(limit).unwrap_or(0)
    };
    let device = |line: &str| line.split_whitespace().next().unwrap_or_default().to_owned();
    let of = |line: &str| {
        let device = device(line);
        let limits =
            limits.lines().find(|limits| limits.split_whitespace().next() == Some(&device)).unwrap_or_default();
        Rdma {
            device,
            hca_handle: value(line, "hca_handle"),
            hca_object: value(line, "hca_object"),
            hca_handle_limit: value(limits, "hca_handle"),
            hca_object_limit: value(limits, "hca_object"),
        }
    };
    current.lines().filter(|line| !line.trim().is_empty()).map(of).collect()
}

/// Lines of `sev 5`; limits may be `max`, events are those of `sev.max`.
fn misc(current: &str, limits: &str, events: &str) -> BTreeMap<String, Misc> {
    let events = keyed(events);
    let of = |text: &str, name: &str| {
        let line = text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' '));
        line.map(limit).unwrap_or(0)
    };
    let one = |(name, current): (String, u64)| {
        let hit = events.get(&format!("{name}.max")).copied().unwrap_or(0);
        let misc = Misc { current, limit: of(limits, &name), events: hit };
        (name, misc)
    };
    keyed(current).into_iter().map(one).collect()
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
        let device = Io { major: 8, minor: 0, rbytes: 1, wbytes: 2, rios: 3, wios: 4, dbytes: 5, dios: 6 };
        assert_eq!(io.devices, [device]);
        let rdma = rdma("mlx5_0 hca_handle=2 hca_object=2000\n", "mlx5_0 hca_handle=3 hca_object=max\n");
        let (hca_handle, hca_object) = (2, 2000);
        let device = "mlx5_0".to_owned();
        assert_eq!(rdma, [Rdma { device, hca_handle, hca_object, hca_handle_limit: 3, hca_object_limit: u64::MAX }]);
        let misc = misc("sev 5\nsev_es 0\n", "sev 7\nsev_es max\n", "sev.max 1\n");
        assert_eq!(misc["sev"], Misc { current: 5, limit: 7, events: 1 });
        assert_eq!(misc["sev_es"], Misc { current: 0, limit: u64::MAX, events: 0 });
    }
}
