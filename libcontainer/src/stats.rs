//! What a container uses, as the kernel counts it ([`Container::stats`](crate::Container::stats)).
//!
//! A figure that this host does not count is 0, or empty. On cgroup v1 and on hybrid hosts each controller has a group of its
//! own, on cgroup v2 all share one: [`Stats::unified`] says which it is.
//!
//! As JSON (`Serialize`) these are the data of `runc events --stats`, key by key; fields that runc does not print are marked.
#![forbid(unsafe_code)]
use serde::Serialize;
use std::collections::BTreeMap;

/// The figures of one moment.
#[derive(Debug, Clone, Default, PartialEq, Serialize)]
#[non_exhaustive]
#[allow(clippy::manual_non_exhaustive, reason = "`network_interfaces` is a key of runc's format, always null")]
pub struct Stats {
    /// Whether all controllers are of cgroup v2. Not in JSON.
    #[serde(skip)]
    pub unified: bool,
    /// Time on processors.
    pub cpu: Cpu,
    /// Which processors and memory nodes the container may use (cgroup v1).
    pub cpuset: Cpuset,
    /// Memory.
    pub memory: Memory,
    /// Processes and threads.
    pub pids: Pids,
    /// Block devices.
    pub blkio: Blkio,
    /// Huge pages, by their size as the kernel spells it (`2MB`).
    pub hugetlb: BTreeMap<String, Hugetlb>,
    /// Intel RDT (resctrl), if config.json has a `linux.intelRdt`.
    pub intel_rdt: IntelRdt,
    /// RDMA devices. Not in JSON.
    #[serde(skip)]
    pub rdma: Vec<Rdma>,
    /// Resources of the misc controller by their name (`sev`, `tdx`). Not in JSON.
    #[serde(skip)]
    pub misc: BTreeMap<String, Misc>,
    /// runc has had none since it stopped making interfaces.
    pub(crate) network_interfaces: (),
}

/// Time on processors.
#[derive(Debug, Clone, Default, PartialEq, Serialize)]
#[non_exhaustive]
pub struct Cpu {
    /// Time used.
    pub usage: CpuUsage,
    /// How often a quota has stopped the container.
    #[serde(skip_serializing_if = "is_default")]
    pub throttling: Throttling,
    /// Pressure (cgroup v2).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub psi: Option<Psi>,
    /// `cpu.stat`, key by key. Not in JSON.
    #[serde(skip)]
    pub raw: BTreeMap<String, u64>,
}

/// Time used, in nanoseconds.
#[derive(Debug, Clone, Default, PartialEq, Serialize)]
#[non_exhaustive]
pub struct CpuUsage {
    /// On all processors together.
    #[serde(skip_serializing_if = "is_zero")]
    pub total: u64,
    /// On each processor (cgroup v1).
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub percpu: Vec<u64>,
    /// Of that in the kernel.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub percpu_kernel: Vec<u64>,
    /// Of that in programs.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub percpu_user: Vec<u64>,
    /// In the kernel, on all processors together; on cgroup v1 in steps of 10 ms.
    pub kernel: u64,
    /// In programs, on all processors together; on cgroup v1 in steps of 10 ms.
    pub user: u64,
}

/// What a quota (`cpu.max`, `cpu.cfs_quota_us`) has done.
#[derive(Debug, Clone, Default, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
#[non_exhaustive]
pub struct Throttling {
    /// Periods in which the container has run.
    #[serde(skip_serializing_if = "is_zero")]
    pub periods: u64,
    /// Periods in which it has used up its quota.
    #[serde(skip_serializing_if = "is_zero")]
    pub throttled_periods: u64,
    /// Nanoseconds for which it was stopped then.
    #[serde(skip_serializing_if = "is_zero")]
    pub throttled_time: u64,
}

/// The cpuset controller of cgroup v1: its files, by their names.
#[derive(Debug, Clone, Default, PartialEq, Serialize)]
#[non_exhaustive]
#[allow(missing_docs, reason = "cpusets.rst of the kernel describes each file")]
pub struct Cpuset {
    /// Processors.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub cpus: Vec<u16>,
    pub cpu_exclusive: u64,
    /// Memory nodes.
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

/// Memory, in bytes.
#[derive(Debug, Clone, Default, PartialEq, Serialize)]
#[non_exhaustive]
pub struct Memory {
    /// The page cache.
    #[serde(skip_serializing_if = "is_zero")]
    pub cache: u64,
    /// Memory.
    pub usage: MemoryEntry,
    /// Memory and swap together.
    pub swap: MemoryEntry,
    /// The kernel's memory (cgroup v1).
    pub kernel: MemoryEntry,
    /// Buffers of TCP (cgroup v1).
    #[serde(rename = "kernelTCP")]
    pub kernel_tcp: MemoryEntry,
    /// `memory.stat`, key by key.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub raw: BTreeMap<String, u64>,
    /// Pressure (cgroup v2).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub psi: Option<Psi>,
    /// Swap alone (cgroup v2). Not in JSON.
    #[serde(skip)]
    pub swap_only: MemoryEntry,
    /// `memory.events` of cgroup v2, `memory.oom_control` of v1, key by key; both count `oom_kill`. Not in JSON.
    #[serde(skip)]
    pub events: BTreeMap<String, u64>,
}

/// One kind of memory, in bytes.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct MemoryEntry {
    /// Without a limit the largest number: `u64::MAX` on cgroup v2, on v1 what the kernel says.
    pub limit: u64,
    /// Now.
    #[serde(skip_serializing_if = "is_zero")]
    pub usage: u64,
    /// The most there ever was.
    #[serde(skip_serializing_if = "is_zero")]
    pub max: u64,
    /// How often the limit was hit (cgroup v1).
    pub failcnt: u64,
}

/// Processes and threads.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct Pids {
    /// Now.
    #[serde(skip_serializing_if = "is_zero")]
    pub current: u64,
    /// 0 for none.
    #[serde(skip_serializing_if = "is_zero")]
    pub limit: u64,
}

/// Block devices.
#[derive(Debug, Clone, Default, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
#[non_exhaustive]
pub struct Blkio {
    /// Bytes transferred.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub io_service_bytes_recursive: Vec<BlkioEntry>,
    /// Operations done.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub io_serviced_recursive: Vec<BlkioEntry>,
    /// Operations that wait (cgroup v1).
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub io_queue_recursive: Vec<BlkioEntry>,
    /// Nanoseconds from dispatch to completion (cgroup v1).
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub io_service_time_recursive: Vec<BlkioEntry>,
    /// Nanoseconds in queues (cgroup v1).
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub io_wait_time_recursive: Vec<BlkioEntry>,
    /// Operations merged into others (cgroup v1).
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub io_merged_recursive: Vec<BlkioEntry>,
    /// Milliseconds of disk time (cgroup v1).
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub io_time_recursive: Vec<BlkioEntry>,
    /// Sectors transferred (cgroup v1).
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub sectors_recursive: Vec<BlkioEntry>,
    /// Pressure (cgroup v2).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub psi: Option<Psi>,
    /// `io.stat` of cgroup v2, device by device. Not in JSON.
    #[serde(skip)]
    pub devices: Vec<Io>,
}

/// One figure of one device.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct BlkioEntry {
    /// Major number of the device.
    #[serde(skip_serializing_if = "is_zero")]
    pub major: u64,
    /// Its minor number.
    #[serde(skip_serializing_if = "is_zero")]
    pub minor: u64,
    /// `Read`, `Write`, `Sync`, …; empty if all are counted together.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub op: String,
    /// The figure.
    #[serde(skip_serializing_if = "is_zero")]
    pub value: u64,
}

/// What a device has done for the container.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct Io {
    /// Major number of the device.
    pub major: u64,
    /// Its minor number.
    pub minor: u64,
    /// Bytes read.
    pub rbytes: u64,
    /// Bytes written.
    pub wbytes: u64,
    /// Read operations.
    pub rios: u64,
    /// Write operations.
    pub wios: u64,
    /// Bytes discarded.
    pub dbytes: u64,
    /// Discard operations.
    pub dios: u64,
}

/// Huge pages of one size.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct Hugetlb {
    /// Bytes in use, or reserved, where the kernel counts that.
    #[serde(skip_serializing_if = "is_zero")]
    pub usage: u64,
    /// The most there ever was, in bytes (cgroup v1).
    #[serde(skip_serializing_if = "is_zero")]
    pub max: u64,
    /// How often the limit was hit.
    pub failcnt: u64,
    /// In bytes; without one the largest number. Not in JSON.
    #[serde(skip)]
    pub limit: u64,
}

/// Handles and objects of one RDMA device.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct Rdma {
    /// Name of the device.
    pub device: String,
    /// Handles in use.
    pub hca_handle: u64,
    /// Objects in use.
    pub hca_object: u64,
    /// Most handles; without a limit `u64::MAX`.
    pub hca_handle_limit: u64,
    /// Most objects; without a limit `u64::MAX`.
    pub hca_object_limit: u64,
}

/// One resource of the misc controller.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct Misc {
    /// In use.
    pub current: u64,
    /// Without a limit `u64::MAX`.
    pub limit: u64,
    /// How often the limit was hit.
    pub events: u64,
}

/// Pressure stall information ([psi.rst](https://docs.kernel.org/accounting/psi.html)).
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize)]
#[non_exhaustive]
pub struct Psi {
    /// Some tasks had to wait.
    pub some: PsiData,
    /// All of them had to.
    pub full: PsiData,
}

/// How long tasks had to wait.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize)]
#[non_exhaustive]
pub struct PsiData {
    /// Percent of the last ten seconds.
    pub avg10: f64,
    /// Percent of the last minute.
    pub avg60: f64,
    /// Percent of the last five minutes.
    pub avg300: f64,
    /// In all, in microseconds.
    pub total: u64,
}

/// Intel RDT ([resctrl.rst](https://docs.kernel.org/filesystems/resctrl.html)).
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct IntelRdt {
    /// What the host's L3 cache can be divided into.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub l3_cache_info: Option<L3CacheInfo>,
    /// The L3 line of the root group's schemata.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub l3_cache_schema_root: String,
    /// The L3 line of the container's class.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub l3_cache_schema: String,
    /// What the host's memory bandwidth can be divided into.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub mem_bw_info: Option<MemBwInfo>,
    /// The MB line of the root group's schemata.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub mem_bw_schema_root: String,
    /// The MB line of the container's class.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub mem_bw_schema: String,
    /// Memory bandwidth, by domain; with `enableMonitoring`.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub mbm_stats: Vec<MbmStats>,
    /// Occupancy of the cache, by domain; with `enableMonitoring`.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub cmt_stats: Vec<CmtStats>,
}

/// `info/L3`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct L3CacheInfo {
    /// All bits of a mask, in hexadecimal digits.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub cbm_mask: String,
    /// The fewest bits that a mask may have.
    #[serde(skip_serializing_if = "is_zero")]
    pub min_cbm_bits: u64,
    /// How many classes there can be.
    #[serde(skip_serializing_if = "is_zero")]
    pub num_closids: u64,
}

/// `info/MB`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct MemBwInfo {
    /// The step, in percent.
    #[serde(skip_serializing_if = "is_zero")]
    pub bandwidth_gran: u64,
    /// Whether delays grow linearly with percents.
    #[serde(skip_serializing_if = "is_zero")]
    pub delay_linear: u64,
    /// The least, in percent.
    #[serde(skip_serializing_if = "is_zero")]
    pub min_bandwidth: u64,
    /// How many classes there can be.
    #[serde(skip_serializing_if = "is_zero")]
    pub num_closids: u64,
}

/// Bytes of memory traffic through one L3 cache.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct MbmStats {
    /// All of it.
    #[serde(skip_serializing_if = "is_zero")]
    pub mbm_total_bytes: u64,
    /// To memory of the same node.
    #[serde(skip_serializing_if = "is_zero")]
    pub mbm_local_bytes: u64,
}

/// What of one L3 cache the container occupies.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct CmtStats {
    /// In bytes.
    #[serde(skip_serializing_if = "is_zero")]
    pub llc_occupancy: u64,
}

#[allow(clippy::trivially_copy_pass_by_ref, reason = "serde calls it so")]
fn is_zero(number: &u64) -> bool {
    *number == 0
}

fn is_default<T: Default + PartialEq>(value: &T) -> bool {
    *value == T::default()
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
}
