use super::{HostFacts, check, hybrid, v1, v2};
use crate::plan::cgroup::v2::cpu_weight;

#[test]
fn memory_v1() {
    check(
        &v1(),
        r#"{"memory": {"limit": 1000, "swap": 2000, "reservation": 500, "kernel": 600, "kernelTCP": 700,
            "swappiness": 10, "disableOOMKiller": true, "useHierarchy": true}}"#,
        "memory/web/memory.limit_in_bytes = 1000
         memory/web/memory.memsw.limit_in_bytes = 2000
         memory/web/memory.soft_limit_in_bytes = 500
         memory/web/memory.kmem.limit_in_bytes = 600
         memory/web/memory.kmem.tcp.limit_in_bytes = 700
         memory/web/memory.swappiness = 10
         memory/web/memory.oom_control = 1
         memory/web/memory.use_hierarchy = 1 (if there)",
    );
    check(
        &v1(),
        r#"{"memory": {"limit": -1}}"#,
        "memory/web/memory.limit_in_bytes = -1
         memory/web/memory.memsw.limit_in_bytes = -1 (if there)",
    );
    check(
        &v1(),
        r#"{"memory": {"limit": 1000, "swap": -1}}"#,
        "memory/web/memory.limit_in_bytes = 1000
         memory/web/memory.memsw.limit_in_bytes = -1 (if there)",
    );
}

#[test]
fn memory_v2() {
    check(
        &v2(),
        r#"{"memory": {"limit": 1000, "swap": 3000, "reservation": 500}}"#,
        "web/memory.swap.max = 2000
         web/memory.max = 1000
         web/memory.low = 500",
    );
    // As much swap as memory is no swap.
    check(
        &v2(),
        r#"{"memory": {"limit": 1000, "swap": 1000}}"#,
        "web/memory.swap.max = 0 (if there)
         web/memory.max = 1000",
    );
    check(
        &v2(),
        r#"{"memory": {"limit": -1}}"#,
        "web/memory.swap.max = max (if there)
         web/memory.max = max",
    );
    check(
        &v2(),
        r#"{"memory": {"limit": -1, "swap": 3000, "reservation": -1}}"#,
        "web/memory.swap.max = 3000
         web/memory.max = max
         web/memory.low = max",
    );
    check(&v2(), r#"{"memory": {"swap": -1}}"#, "web/memory.swap.max = max (if there)");
    check(
        &v2(),
        r#"{"memory": {"swap": 3000}}"#,
        "config.json: /linux/resources/memory/swap: unable to set swap limit without memory limit",
    );
}

#[test]
fn memory_that_makes_no_sense_is_refused() {
    for facts in [v1(), v2()] {
        check(
            &facts,
            r#"{"memory": {"limit": 1000, "swap": 999}}"#,
            "config.json: /linux/resources/memory/swap: memory+swap limit should be >= memory limit",
        );
        check(
            &facts,
            r#"{"memory": {"limit": -2}}"#,
            "config.json: /linux/resources/memory/limit: -2 is no number of bytes; -1 is unlimited",
        );
        check(
            &facts,
            r#"{"memory": {"swappiness": 101}}"#,
            "config.json: /linux/resources/memory/swappiness: invalid memory swappiness value: 101 (valid range is 0-100)",
        );
    }
}

#[test]
fn what_only_v1_has_is_refused_on_v2() {
    for (resources, origin) in [
        (r#"{"memory": {"kernel": 1}}"#, "memory/kernel"),
        (r#"{"memory": {"kernelTCP": 1}}"#, "memory/kernelTCP"),
        (r#"{"memory": {"swappiness": 60}}"#, "memory/swappiness"),
        (r#"{"memory": {"disableOOMKiller": true}}"#, "memory/disableOOMKiller"),
        (r#"{"cpu": {"realtimePeriod": 1}}"#, "cpu/realtimePeriod"),
        (r#"{"cpu": {"realtimeRuntime": 1}}"#, "cpu/realtimeRuntime"),
        (r#"{"blockIO": {"leafWeight": 10}}"#, "blockIO/leafWeight"),
        (
            r#"{"blockIO": {"weightDevice": [{"major": 8, "minor": 0, "leafWeight": 10}]}}"#,
            "blockIO/weightDevice/0/leafWeight",
        ),
        (r#"{"network": {"classID": 1}}"#, "network/classID"),
        (r#"{"network": {"priorities": [{"name": "eth0", "priority": 1}]}}"#, "network/priorities"),
    ] {
        let words = "cgroup v2 has nothing like it; it can only be set on cgroup v1";
        check(&v2(), resources, &format!("config.json: /linux/resources/{origin}: {words}"));
    }
}

/// Docker and containerd send every key.
#[test]
fn zeros_ask_for_nothing() {
    let zeros = r#"{
        "memory": {"limit": 0, "reservation": 0, "swap": 0, "kernel": 0, "kernelTCP": -1, "swappiness": 18446744073709551615,
                   "disableOOMKiller": false, "useHierarchy": false, "checkBeforeUpdate": false},
        "cpu": {"shares": 0, "quota": 0, "period": 0, "realtimeRuntime": 0, "realtimePeriod": 0, "cpus": "", "mems": ""},
        "blockIO": {"weight": 0, "leafWeight": 0, "weightDevice": [], "throttleReadBpsDevice": null},
        "network": {"classID": 0, "priorities": []}, "hugepageLimits": [], "rdma": {}, "unified": {}}"#;
    for mut facts in [v1(), v2(), hybrid()] {
        check(&facts, zeros, "");
        facts
            .hierarchies
            .retain(|hierarchy| hierarchy.controllers.contains(&"devices".to_owned()) || hierarchy.unified);
        facts
            .hierarchies
            .iter_mut()
            .filter(|hierarchy| hierarchy.unified)
            .for_each(|unified| unified.controllers.clear());
        check(&facts, zeros, "");
    }
}

#[test]
fn cpu_v1() {
    check(
        &v1(),
        r#"{"cpu": {"shares": 512, "quota": 50000, "period": 100000, "burst": 1000, "idle": 1, "realtimePeriod": 1000,
            "realtimeRuntime": 500, "cpus": "0-1", "mems": "0"}}"#,
        "cpu,cpuacct/web/cpu.idle = 1
         cpu,cpuacct/web/cpu.cfs_period_us = 100000
         cpu,cpuacct/web/cpu.cfs_quota_us = 50000
         cpu,cpuacct/web/cpu.cfs_burst_us = 1000
         cpu,cpuacct/web/cpu.rt_period_us = 1000
         cpu,cpuacct/web/cpu.rt_runtime_us = 500
         cpuset/web/cpuset.cpus = 0-1
         cpuset/web/cpuset.mems = 0",
    );
    check(
        &v1(),
        r#"{"cpu": {"shares": 1}}"#,
        "config.json: /linux/resources/cpu/shares: the minimum allowed cpu-shares is 2",
    );
    check(
        &v1(),
        r#"{"cpu": {"shares": 262145}}"#,
        "config.json: /linux/resources/cpu/shares: the maximum allowed cpu-shares is 262144",
    );
}

#[test]
fn cpu_v2() {
    check(
        &v2(),
        r#"{"cpu": {"shares": 1024, "quota": 50000, "period": 200000, "burst": 1000, "idle": 0, "cpus": "0-1", "mems": "0"}}"#,
        "web/cpu.idle = 0 (if there)
         web/cpu.weight = 100
         web/cpu.max = 50000 200000
         web/cpu.max.burst = 1000
         web/cpuset.cpus = 0-1
         web/cpuset.mems = 0",
    );
    check(&v2(), r#"{"cpu": {"quota": 50000}}"#, "web/cpu.max = 50000 100000");
    check(&v2(), r#"{"cpu": {"quota": -1}}"#, "web/cpu.max = max 100000");
    check(&v2(), r#"{"cpu": {"period": 10000}}"#, "web/cpu.max = max 10000");
}

#[test]
fn shares_become_weight_so_that_the_defaults_meet() {
    let expected =
        [(1, 1), (2, 1), (10, 4), (100, 17), (512, 59), (1024, 100), (2048, 174), (4096, 303), (262_144, 10_000)];
    for (shares, weight) in expected {
        assert_eq!(cpu_weight(shares), weight, "{shares}");
    }
}

#[test]
fn pids_limit() {
    for (facts, group) in [(v1(), "pids/web"), (v2(), "web")] {
        check(&facts, r#"{"pids": {"limit": 10}}"#, &format!("{group}/pids.max = 10"));
        check(&facts, r#"{"pids": {"limit": 0}}"#, &format!("{group}/pids.max = 1"));
        check(&facts, r#"{"pids": {"limit": -1}}"#, &format!("{group}/pids.max = max (if there)"));
    }
}

const BLOCK_IO: &str = r#"
    "weightDevice": [{"major": 8, "minor": 0, "weight": 500}, {"major": 8, "minor": 16}],
    "throttleReadBpsDevice": [{"major": 8, "minor": 0, "rate": 1}, {"major": 8, "minor": 16, "rate": 0}],
    "throttleWriteBpsDevice": [{"major": 8, "minor": 0, "rate": 2}],
    "throttleReadIOPSDevice": [{"major": 8, "minor": 0, "rate": 3}],
    "throttleWriteIOPSDevice": [{"major": 8, "minor": 0, "rate": 4}]"#;

#[test]
fn block_io_v1() {
    check(
        &v1(),
        &format!(r#"{{"blockIO": {{"weight": 10, "leafWeight": 20, {BLOCK_IO}}}}}"#),
        "blkio/web/blkio.weight = 10 (else blkio/web/blkio.bfq.weight = 10)
         blkio/web/blkio.weight_device = 8:0 500 (else blkio/web/blkio.bfq.weight_device = 8:0 500)
         blkio/web/blkio.leaf_weight = 20
         blkio/web/blkio.throttle.read_bps_device = 8:0 1
         blkio/web/blkio.throttle.read_bps_device = 8:16 0
         blkio/web/blkio.throttle.write_bps_device = 8:0 2
         blkio/web/blkio.throttle.read_iops_device = 8:0 3
         blkio/web/blkio.throttle.write_iops_device = 8:0 4",
    );
    check(
        &v1(),
        r#"{"blockIO": {"weight": 9}}"#,
        "config.json: /linux/resources/blockIO/weight: weight 9 is not between 10 and 1000",
    );
}

#[test]
fn block_io_v2() {
    check(
        &v2(),
        &format!(r#"{{"blockIO": {{"weight": 1000, {BLOCK_IO}}}}}"#),
        "web/io.bfq.weight = 1000 (else web/io.weight = 10000)
         web/io.bfq.weight = 8:0 500 (else web/io.weight = 8:0 4950)
         web/io.max = 8:0 rbps=1
         web/io.max = 8:16 rbps=max
         web/io.max = 8:0 wbps=2
         web/io.max = 8:0 riops=3
         web/io.max = 8:0 wiops=4",
    );
}

#[test]
fn hugepage_limits() {
    let limits = r#"{"hugepageLimits": [{"pageSize": "2MB", "limit": 4194304}, {"pageSize": "1GB", "limit": -1}]}"#;
    check(
        &v1(),
        limits,
        "hugetlb/web/hugetlb.2MB.limit_in_bytes = 4194304
         hugetlb/web/hugetlb.2MB.rsvd.limit_in_bytes = 4194304 (if there)
         hugetlb/web/hugetlb.1GB.limit_in_bytes = -1
         hugetlb/web/hugetlb.1GB.rsvd.limit_in_bytes = -1 (if there)",
    );
    check(
        &v2(),
        limits,
        "web/hugetlb.2MB.max = 4194304
         web/hugetlb.2MB.rsvd.max = 4194304 (if there)
         web/hugetlb.1GB.max = max
         web/hugetlb.1GB.rsvd.max = max (if there)",
    );
    for size in ["", "2", "MB", "../2MB", "02MB", "2 MB", "2TB"] {
        let limits = format!(r#"{{"hugepageLimits": [{{"pageSize": "{size}", "limit": 1}}]}}"#);
        let message =
            format!("/linux/resources/hugepageLimits/0/pageSize: {size:?} is no page size such as 2MB or 1GB");
        check(&v1(), &limits, &format!("config.json: {message}"));
    }
}

#[test]
fn network() {
    check(
        &v1(),
        r#"{"network": {"classID": 1048577, "priorities": [{"name": "lo", "priority": 5}, {"name": "eth0", "priority": 6}]}}"#,
        "net_cls,net_prio/web/net_cls.classid = 1048577
         net_cls,net_prio/web/net_prio.ifpriomap = lo 5
         net_cls,net_prio/web/net_prio.ifpriomap = eth0 6",
    );
}

#[test]
fn rdma() {
    for (facts, group) in [(v1(), "rdma/web"), (v2(), "web")] {
        check(
            &facts,
            r#"{"rdma": {"mlx5_1": {"hcaHandles": 3, "hcaObjects": 10000}, "mlx4_0": {"hcaObjects": 0}}}"#,
            &format!("{group}/rdma.max = mlx4_0 hca_object=0\n{group}/rdma.max = mlx5_1 hca_handle=3 hca_object=10000"),
        );
        check(
            &facts,
            r#"{"rdma": {"a/b": {}}}"#,
            "config.json: /linux/resources/rdma/a~1b: needs hcaHandles or hcaObjects",
        );
    }
}

#[test]
fn unified() {
    check(
        &v2(),
        r#"{"unified": {"memory.high": "1000", "io.max": "8:0 rbps=1\n8:16 rbps=2\n", "cgroup.max.depth": "5"}}"#,
        "web/cgroup.max.depth = 5
         web/io.max = 8:0 rbps=1
         web/io.max = 8:16 rbps=2
         web/memory.high = 1000",
    );
    let prefix = "config.json: /linux/resources/unified/";
    for (entries, message) in [
        (r#"{"a/b.c": ""}"#, r#"a~1b.c: unified resource "a/b.c" must be a file name (no slashes)"#),
        (r#"{"memory": "1"}"#, r#"memory: unified resource "memory" must be in the form CONTROLLER.PARAMETER"#),
        (
            r#"{"dmem.max": "1"}"#,
            r#"dmem.max: unified resource "dmem.max" can't be set: controller "dmem" not available"#,
        ),
    ] {
        check(&v2(), &format!(r#"{{"unified": {entries}}}"#), &format!("{prefix}{message}"));
    }
    for facts in [v1(), hybrid()] {
        let message = "memory.max: invalid configuration: unified resources cannot be used on cgroup v1";
        check(&facts, r#"{"unified": {"memory.max": "1"}}"#, &format!("{prefix}{message}"));
    }
}

#[test]
fn a_missing_controller_is_an_error_that_names_who_wants_it() {
    let without = |mut facts: HostFacts, names: &[&str]| {
        for hierarchy in &mut facts.hierarchies {
            hierarchy.controllers.retain(|controller| !names.contains(&controller.as_str()));
        }
        facts
    };
    for (resources, origin, v1_name, v2_name) in [
        (r#"{"memory": {"limit": 1}}"#, "memory/limit", "memory", "memory"),
        (r#"{"cpu": {"quota": 1}}"#, "cpu/quota", "cpu", "cpu"),
        (r#"{"cpu": {"mems": "0"}}"#, "cpu/mems", "cpuset", "cpuset"),
        (r#"{"pids": {"limit": 1}}"#, "pids/limit", "pids", "pids"),
        (r#"{"blockIO": {"weight": 10}}"#, "blockIO/weight", "blkio", "io"),
        (r#"{"hugepageLimits": [{"pageSize": "2MB", "limit": 1}]}"#, "hugepageLimits/0/limit", "hugetlb", "hugetlb"),
        (r#"{"rdma": {"x": {"hcaObjects": 1}}}"#, "rdma/x", "rdma", "rdma"),
    ] {
        let message = |name| {
            format!("config.json: /linux/resources/{origin}: the {name} controller is not available on this host")
        };
        check(&without(v1(), &[v1_name]), resources, &message(v1_name));
        check(&without(v2(), &[v2_name]), resources, &message(v2_name));
    }
}
