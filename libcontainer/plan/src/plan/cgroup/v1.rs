//! The files of cgroup v1 (kernel: `Documentation/admin-guide/cgroup-v1/`), and those that v2 calls the same.
#![forbid(unsafe_code)]
use super::resources::{Write, invalid, write};
use crate::Result;
use crate::error::escape_key;
use crate::plan::line::Tolerate;
use oci_spec::runtime::{
    LinuxBlockIo, LinuxCpu, LinuxHugepageLimit, LinuxMemory, LinuxNetwork, LinuxPids, LinuxRdma, LinuxThrottleDevice,
};
use std::collections::{BTreeMap, HashMap};

/// 0 asks for nothing (engines fill in zeros); -1 is unlimited.
pub(super) fn bytes(origin: &str, value: Option<i64>) -> Result<Option<i64>> {
    match value {
        None | Some(0) => Ok(None),
        Some(value) if value < -1 => Err(invalid(origin, format!("{value} is no number of bytes; -1 is unlimited"))),
        value => Ok(value),
    }
}

/// What memory and swap ask for, checked.
pub(super) struct Memory {
    pub limit: Option<i64>,
    pub reservation: Option<i64>,
    /// Memory and swap together.
    pub swap: Option<i64>,
}

impl Memory {
    pub(super) fn of(memory: &LinuxMemory) -> Result<Memory> {
        let limit = bytes("/memory/limit", memory.limit())?;
        let swap = bytes("/memory/swap", memory.swap())?;
        if swap.zip(limit).is_some_and(|(swap, limit)| (0..limit).contains(&swap)) {
            return Err(invalid("/memory/swap", "memory+swap limit should be >= memory limit"));
        }
        Ok(Memory { limit, reservation: bytes("/memory/reservation", memory.reservation())?, swap })
    }
}

/// `memory.*`. The limit goes before memory+swap, which may not be the smaller of the two.
pub(super) fn memory(memory: &LinuxMemory) -> Result<Vec<Write>> {
    let asked = Memory::of(memory)?;
    let mut writes = Vec::new();
    if let Some(limit) = asked.limit {
        writes.push(write("/memory/limit", "memory.limit_in_bytes", limit));
    }
    match (asked.limit, asked.swap) {
        // Kernels without swap accounting lack the file.
        (Some(-1), None) => writes.push(lenient(write("/memory/limit", "memory.memsw.limit_in_bytes", -1))),
        (_, Some(-1)) => writes.push(lenient(write("/memory/swap", "memory.memsw.limit_in_bytes", -1))),
        (_, Some(swap)) => writes.push(write("/memory/swap", "memory.memsw.limit_in_bytes", swap)),
        (_, None) => {}
    }
    if let Some(reservation) = asked.reservation {
        writes.push(write("/memory/reservation", "memory.soft_limit_in_bytes", reservation));
    }
    #[allow(deprecated, reason = "old kernels still have it")]
    if let Some(kernel) = memory.kernel().filter(|kernel| *kernel > 0) {
        writes.push(write("/memory/kernel", "memory.kmem.limit_in_bytes", kernel));
    }
    if let Some(kernel_tcp) = memory.kernel_tcp().filter(|kernel_tcp| *kernel_tcp > 0) {
        writes.push(write("/memory/kernelTCP", "memory.kmem.tcp.limit_in_bytes", kernel_tcp));
    }
    if let Some(swappiness) = swappiness(memory)? {
        writes.push(write("/memory/swappiness", "memory.swappiness", swappiness));
    }
    if memory.disable_oom_killer() == Some(true) {
        writes.push(write("/memory/disableOOMKiller", "memory.oom_control", 1));
    }
    if memory.use_hierarchy() == Some(true) {
        // KERNEL(5.11): always on, and one day the file will be gone.
        writes.push(lenient(write("/memory/useHierarchy", "memory.use_hierarchy", 1)));
    }
    Ok(writes)
}

/// Engines send -1 for "not asked".
pub(super) fn swappiness(memory: &LinuxMemory) -> Result<Option<u64>> {
    match memory.swappiness() {
        None | Some(u64::MAX) => Ok(None),
        Some(value) if value > 100 => {
            let message = format!("invalid memory swappiness value: {value} (valid range is 0-100)");
            Err(invalid("/memory/swappiness", message))
        }
        value => Ok(value),
    }
}

/// `cpu.*`. On a fresh group, which has no quota yet, any period is accepted before the quota; a burst may not
/// exceed the quota; and while a group is idle its shares cannot be set (`without_weights_of_idle`).
pub(super) fn cpu(cpu: &LinuxCpu) -> Result<Vec<Write>> {
    let mut writes = Vec::new();
    if let Some(idle) = cpu.idle() {
        writes.push(lenient_if(idle == 0, write("/cpu/idle", "cpu.idle", idle)));
    }
    if let Some(shares) = cpu.shares().filter(|shares| *shares != 0) {
        match shares {
            // The kernel would silently take another value.
            0..2 => {
                return Err(invalid("/cpu/shares", "the minimum allowed cpu-shares is 2"));
            }
            262_145.. => {
                return Err(invalid("/cpu/shares", "the maximum allowed cpu-shares is 262144"));
            }
            _ => writes.push(write("/cpu/shares", "cpu.shares", shares)),
        }
    }
    if let Some(period) = cpu.period().filter(|period| *period != 0) {
        writes.push(write("/cpu/period", "cpu.cfs_period_us", period));
    }
    if let Some(quota) = cpu.quota().filter(|quota| *quota != 0) {
        writes.push(write("/cpu/quota", "cpu.cfs_quota_us", quota.max(-1)));
    }
    if let Some(burst) = cpu.burst() {
        writes.push(lenient_if(burst == 0, write("/cpu/burst", "cpu.cfs_burst_us", burst)));
    }
    if let Some(period) = cpu.realtime_period().filter(|period| *period != 0) {
        writes.push(write("/cpu/realtimePeriod", "cpu.rt_period_us", period));
    }
    if let Some(runtime) = cpu.realtime_runtime().filter(|runtime| *runtime != 0) {
        writes.push(write("/cpu/realtimeRuntime", "cpu.rt_runtime_us", runtime));
    }
    Ok(writes)
}

/// `cpuset.*`: the same on v2.
pub(super) fn cpuset(cpu: &LinuxCpu) -> Vec<Write> {
    let mut writes = Vec::new();
    if let Some(cpus) = cpu.cpus().as_deref().filter(|cpus| !cpus.is_empty()) {
        writes.push(write("/cpu/cpus", "cpuset.cpus", cpus));
    }
    if let Some(mems) = cpu.mems().as_deref().filter(|mems| !mems.is_empty()) {
        writes.push(write("/cpu/mems", "cpuset.mems", mems));
    }
    writes
}

/// `pids.max`: the same on v2. A limit of 0 leaves room for the container's one process, as in runc.
pub(super) fn pids(pids: &LinuxPids) -> Vec<Write> {
    let value = match pids.limit() {
        ..0 => "max".to_owned(),
        limit => limit.max(1).to_string(),
    };
    vec![lenient_if(value == "max", write("/pids/limit", "pids.max", value))]
}

/// A weight as docker and the spec know it, 0 asking for nothing.
pub(super) fn weight(origin: &str, weight: Option<u16>) -> Result<Option<u16>> {
    match weight {
        None | Some(0) => Ok(None),
        Some(10..=1000) => Ok(weight),
        Some(weight) => Err(invalid(origin, format!("weight {weight} is not between 10 and 1000"))),
    }
}

/// `blkio.*`.
pub(super) fn block_io(block_io: &LinuxBlockIo) -> Result<Vec<Write>> {
    let mut writes = Vec::new();
    // KERNEL(5.0): the weights went with CFQ; BFQ has its own files.
    let mut weigh = |origin: &str, file: &str, value: String| {
        let bfq = format!("blkio.bfq.{file}").into();
        let otherwise = Tolerate::Otherwise { file: bfq, value: value.clone() };
        writes.push(Write { tolerate: otherwise, ..write(origin, format!("blkio.{file}"), value) });
    };
    if let Some(weight) = weight("/blockIO/weight", block_io.weight())? {
        weigh("/blockIO/weight", "weight", weight.to_string());
    }
    for (i, device) in block_io.weight_device().iter().flatten().enumerate() {
        let origin = format!("/blockIO/weightDevice/{i}/weight");
        if let Some(weight) = weight(&origin, device.weight())? {
            weigh(&origin, "weight_device", format!("{}:{} {weight}", device.major(), device.minor()));
        }
    }
    if let Some(weight) = weight("/blockIO/leafWeight", block_io.leaf_weight())? {
        writes.push(write("/blockIO/leafWeight", "blkio.leaf_weight", weight));
    }
    for (i, device) in block_io.weight_device().iter().flatten().enumerate() {
        let origin = format!("/blockIO/weightDevice/{i}/leafWeight");
        if let Some(weight) = weight(&origin, device.leaf_weight())? {
            let value = format!("{}:{} {weight}", device.major(), device.minor());
            writes.push(write(&origin, "blkio.leaf_weight_device", value));
        }
    }
    for (origin, name, device) in throttles(block_io) {
        let file = match name {
            "rbps" => "blkio.throttle.read_bps_device",
            "wbps" => "blkio.throttle.write_bps_device",
            "riops" => "blkio.throttle.read_iops_device",
            _ => "blkio.throttle.write_iops_device",
        };
        writes.push(write(&origin, file, format!("{}:{} {}", device.major(), device.minor(), device.rate())));
    }
    Ok(writes)
}

/// Every throttle with its origin and what cgroup v2 calls it.
pub(super) fn throttles(block_io: &LinuxBlockIo) -> Vec<(String, &'static str, LinuxThrottleDevice)> {
    let lists = [
        ("throttleReadBpsDevice", "rbps", block_io.throttle_read_bps_device()),
        ("throttleWriteBpsDevice", "wbps", block_io.throttle_write_bps_device()),
        ("throttleReadIOPSDevice", "riops", block_io.throttle_read_iops_device()),
        ("throttleWriteIOPSDevice", "wiops", block_io.throttle_write_iops_device()),
    ];
    let mut all = Vec::new();
    for (key, name, list) in lists {
        for (i, device) in list.iter().flatten().enumerate() {
            all.push((format!("/blockIO/{key}/{i}"), name, *device));
        }
    }
    all
}

/// `hugetlb.SIZE.limit_in_bytes`, and the reservation limit where the kernel has one: without it a container
/// could reserve what it may not touch, and die of SIGBUS.
pub(super) fn hugepages(index: usize, limit: &LinuxHugepageLimit) -> Result<Vec<Write>> {
    let (origin, size) = page_size(index, limit)?;
    let value = limit.limit().max(-1);
    Ok(vec![
        write(&origin, format!("hugetlb.{size}.limit_in_bytes"), value),
        lenient(write(&origin, format!("hugetlb.{size}.rsvd.limit_in_bytes"), value)),
    ])
}

/// The size becomes part of a file's name, so it has to be one.
pub(super) fn page_size(index: usize, limit: &LinuxHugepageLimit) -> Result<(String, &str)> {
    let origin = format!("/hugepageLimits/{index}");
    let size = limit.page_size();
    let digits = ["KB", "MB", "GB"].iter().find_map(|unit| size.strip_suffix(unit)).unwrap_or_default();
    if digits.is_empty() || digits.starts_with('0') || !digits.bytes().all(|byte| byte.is_ascii_digit()) {
        let message = format!("{size:?} is no page size such as 2MB or 1GB");
        return Err(invalid(&format!("{origin}/pageSize"), message));
    }
    Ok((format!("{origin}/limit"), size))
}

/// `net_cls.classid`.
pub(super) fn net_cls(network: &LinuxNetwork) -> Vec<Write> {
    let class = network.class_id().filter(|class| *class != 0);
    class.map(|class| write("/network/classID", "net_cls.classid", class)).into_iter().collect()
}

/// `net_prio.ifpriomap`.
pub(super) fn net_prio(network: &LinuxNetwork) -> Vec<Write> {
    let priorities = network.priorities().iter().flatten().enumerate();
    let value = |(i, priority): (usize, &oci_spec::runtime::LinuxInterfacePriority)| {
        let value = format!("{} {}", priority.name(), priority.priority());
        write(&format!("/network/priorities/{i}"), "net_prio.ifpriomap", value)
    };
    priorities.map(value).collect()
}

/// `rdma.max`: the same on v2.
pub(super) fn rdma(devices: &HashMap<String, LinuxRdma>) -> Result<Vec<Write>> {
    let mut writes = Vec::new();
    for (device, limits) in devices.iter().collect::<BTreeMap<_, _>>() {
        let origin = format!("/rdma/{}", escape_key(device));
        let handles = limits.hca_handles().map(|handles| format!(" hca_handle={handles}"));
        let objects = limits.hca_objects().map(|objects| format!(" hca_object={objects}"));
        if handles.is_none() && objects.is_none() {
            return Err(invalid(&origin, "needs hcaHandles or hcaObjects"));
        }
        let value = format!("{device}{}{}", handles.unwrap_or_default(), objects.unwrap_or_default());
        writes.push(write(&origin, "rdma.max", value));
    }
    Ok(writes)
}

/// A write that asks for nothing, should the kernel lack the file.
pub(super) fn lenient(write: Write) -> Write {
    Write { tolerate: Tolerate::Missing, ..write }
}

pub(super) fn lenient_if(is_lenient: bool, write: Write) -> Write {
    if is_lenient { lenient(write) } else { write }
}
