//! The files of cgroup v2 (kernel: `Documentation/admin-guide/cgroup-v2.rst`), where they differ from v1's.
#![forbid(unsafe_code)]
use super::resources::{Write, invalid, only_v1, write};
use super::v1::{Memory, lenient, lenient_if, page_size, swappiness, throttles, weight};
use crate::Result;
use crate::plan::line::Tolerate;
use oci_spec::runtime::{LinuxBlockIo, LinuxCpu, LinuxHugepageLimit, LinuxMemory};

/// `memory.*`: memory+swap becomes swap alone.
pub(super) fn memory(memory: &LinuxMemory) -> Result<Vec<Write>> {
    #[allow(deprecated, reason = "refused")]
    let refused = [
        ("/memory/kernel", memory.kernel().is_some_and(|kernel| kernel > 0)),
        ("/memory/kernelTCP", memory.kernel_tcp().is_some_and(|kernel_tcp| kernel_tcp > 0)),
        ("/memory/swappiness", swappiness(memory)?.is_some()),
        ("/memory/disableOOMKiller", memory.disable_oom_killer() == Some(true)),
    ];
    if let Some((origin, _)) = refused.iter().find(|(_, asked)| *asked) {
        return Err(only_v1(origin));
    }
    let asked = Memory::of(memory)?;
    let mut writes = Vec::new();
    let swap = |value: Limit| write("/memory/swap", "memory.swap.max", value);
    match (asked.swap, asked.limit) {
        // Kernels without swap accounting lack the file; "none" and "unlimited" ask nothing of it.
        (None, Some(-1)) => {
            writes.push(lenient(Write { origin: "/linux/resources/memory/limit".into(), ..swap(Limit(-1)) }))
        }
        (None, _) => {}
        (Some(-1), _) => writes.push(lenient(swap(Limit(-1)))),
        (Some(total), Some(-1)) => writes.push(swap(Limit(total))),
        (Some(total), Some(limit)) => writes.push(lenient_if(total == limit, swap(Limit(total - limit)))),
        (Some(_), None) => {
            return Err(invalid("/memory/swap", "unable to set swap limit without memory limit"));
        }
    }
    if let Some(limit) = asked.limit {
        writes.push(write("/memory/limit", "memory.max", Limit(limit)));
    }
    if let Some(reservation) = asked.reservation {
        writes.push(write("/memory/reservation", "memory.low", Limit(reservation)));
    }
    Ok(writes)
}

/// -1 is `max`.
struct Limit(i64);

impl std::fmt::Display for Limit {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        if self.0 < 0 { f.write_str("max") } else { self.0.fmt(f) }
    }
}

/// `cpu.*`. While a group is idle its weight cannot be set (`without_weights_of_idle`).
pub(super) fn cpu(cpu: &LinuxCpu) -> Result<Vec<Write>> {
    let mut writes = Vec::new();
    if let Some(idle) = cpu.idle() {
        writes.push(lenient_if(idle == 0, write("/cpu/idle", "cpu.idle", idle)));
    }
    if let Some(shares) = cpu.shares().filter(|shares| *shares != 0) {
        writes.push(write("/cpu/shares", "cpu.weight", cpu_weight(shares)));
    }
    let quota = cpu.quota().filter(|quota| *quota != 0);
    let period = cpu.period().filter(|period| *period != 0);
    if quota.is_some() || period.is_some() {
        let origin = if quota.is_some() { "/cpu/quota" } else { "/cpu/period" };
        let value = format!("{} {}", Limit(quota.unwrap_or(-1)), period.unwrap_or(100_000));
        writes.push(write(origin, "cpu.max", value));
    }
    if let Some(burst) = cpu.burst() {
        writes.push(lenient_if(burst == 0, write("/cpu/burst", "cpu.max.burst", burst)));
    }
    if cpu.realtime_period().is_some_and(|period| period != 0) {
        return Err(only_v1("/cpu/realtimePeriod"));
    }
    if cpu.realtime_runtime().is_some_and(|runtime| runtime != 0) {
        return Err(only_v1("/cpu/realtimeRuntime"));
    }
    Ok(writes)
}

/// Shares 2…1024…262144 as weight 1…100…10000: a parabola through the three points, in logarithms.
/// (Linear until runc 1.3.1, which gave a container with the default shares far too little beside its siblings.)
pub fn cpu_weight(shares: u64) -> u64 {
    if shares <= 2 {
        return 1;
    }
    if shares >= 262_144 {
        return 10_000;
    }
    #[allow(clippy::cast_precision_loss, reason = "at most 18 bits")]
    let log = (shares as f64).log2();
    let exponent = (log * log + 125.0 * log) / 612.0 - 7.0 / 34.0;
    #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "between 1 and 10000")]
    let weight = 10_f64.powf(exponent).ceil() as u64;
    weight
}

/// `io.*`. BFQ takes the weight as it is; `io.weight` has another range, 1…10000.
pub(super) fn block_io(block_io: &LinuxBlockIo) -> Result<Vec<Write>> {
    let mut writes = Vec::new();
    let mut weigh = |origin: &str, device: &str, weight: u16| {
        let value = format!("{device}{weight}");
        let otherwise = Tolerate::Otherwise { file: "io.weight".into(), value: of_bfq(&value) };
        writes.push(Write { tolerate: otherwise, ..write(origin, "io.bfq.weight", value) });
    };
    if let Some(weight) = weight("/blockIO/weight", block_io.weight())? {
        weigh("/blockIO/weight", "", weight);
    }
    if weight("/blockIO/leafWeight", block_io.leaf_weight())?.is_some() {
        return Err(only_v1("/blockIO/leafWeight"));
    }
    for (i, device) in block_io.weight_device().iter().flatten().enumerate() {
        let origin = format!("/blockIO/weightDevice/{i}");
        if let Some(weight) = weight(&format!("{origin}/weight"), device.weight())? {
            weigh(&format!("{origin}/weight"), &format!("{}:{} ", device.major(), device.minor()), weight);
        }
        if weight(&format!("{origin}/leafWeight"), device.leaf_weight())?.is_some() {
            return Err(only_v1(&format!("{origin}/leafWeight")));
        }
    }
    for (origin, name, device) in throttles(block_io) {
        let rate = if device.rate() == 0 { "max".to_owned() } else { device.rate().to_string() };
        writes.push(write(&origin, "io.max", format!("{}:{} {name}={rate}", device.major(), device.minor())));
    }
    Ok(writes)
}

/// A line of `io.bfq.weight`, whose weights are 1…1000, as one of `io.weight`.
pub(super) fn of_bfq(line: &str) -> String {
    let (device, weight) = line.rsplit_once(' ').map_or(("", line), |(device, weight)| (device, weight));
    let Ok(weight) = weight.parse::<u32>() else { return line.to_owned() };
    let converted = 1 + weight.saturating_sub(10) * 9999 / 990;
    if device.is_empty() { converted.to_string() } else { format!("{device} {converted}") }
}

/// `hugetlb.SIZE.max` and the reservation limit.
pub(super) fn hugepages(index: usize, limit: &LinuxHugepageLimit) -> Result<Vec<Write>> {
    let (origin, size) = page_size(index, limit)?;
    let value = || Limit(limit.limit());
    Ok(vec![
        write(&origin, format!("hugetlb.{size}.max"), value()),
        lenient(write(&origin, format!("hugetlb.{size}.rsvd.max"), value())),
    ])
}
