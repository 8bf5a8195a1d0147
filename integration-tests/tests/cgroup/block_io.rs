//! linux.resources: <https://github.com/opencontainers/runtime-spec/blob/v1.3.0/config-linux.md#block-io>
use super::{check, disk, numbers, with};
use plimsoll_integration_tests::cgroup::is_v2;
use plimsoll_integration_tests::skip::NEEDS_V2;
use plimsoll_integration_tests::{runtime, skips};
use serde_json::json;
use std::fs;
use std::path::Path;
use std::time::{Duration, Instant};

#[test]
fn block_io_throttles() {
    let disk = disk();
    let (major, minor) = numbers(&disk);
    let device = |rate: u64| json!([{"major": major, "minor": minor, "rate": rate}]);
    let asked = json!({
        "throttleReadBpsDevice": device(1_048_576),
        "throttleWriteBpsDevice": device(2_097_152),
        "throttleReadIOPSDevice": device(300),
        "throttleWriteIOPSDevice": device(400),
    });
    let line = |value: &str| format!("{disk} {value}");
    check(
        "blockIO",
        asked,
        &[
            ("blkio", "blkio.throttle.read_bps_device", &line("1048576")),
            ("blkio", "blkio.throttle.write_bps_device", &line("2097152")),
            ("blkio", "blkio.throttle.read_iops_device", &line("300")),
            ("blkio", "blkio.throttle.write_iops_device", &line("400")),
        ],
        &[("io.max", &line("rbps=1048576 wbps=2097152 riops=300 wiops=400"))],
    );
}

#[test]
fn a_throttle_slows_reading() {
    let disk = disk();
    let name = fs::read_link(format!("/sys/dev/block/{disk}")).expect("sysfs");
    let node = Path::new("/dev").join(name.file_name().expect("a name"));
    if skips(fs::File::open(&node).is_err(), "needs a disk that the host may read") {
        return;
    }
    let (major, minor) = numbers(&disk);
    let rule = json!({"allow": true, "type": "b", "major": major, "minor": minor, "access": "r"});
    let read =
        format!("mknod /dev/disk b {major} {minor} && dd if=/dev/disk of=/dev/null bs=256k count=8 iflag=direct");
    let container =
        with("blockIO", json!({"throttleReadBpsDevice": [{"major": major, "minor": minor, "rate": 1 << 20}]}))
            .set("/linux/resources/devices/-", rule)
            .capabilities(&["CAP_MKNOD"])
            .shell(&read);
    let started = Instant::now();
    container.run().ok();
    // 2 MiB at 1 MiB a second; the first slice is free.
    assert!(started.elapsed() > Duration::from_millis(1200), "{:?}", started.elapsed());
}

#[test]
fn block_io_weight() {
    // v1: gone with CFQ. v2: BFQ's file if it is there.
    let bfq = with("pids", json!({"limit": 9})).created().cgroup_dir("").join("io.bfq.weight").exists();
    let expected = if bfq { ("io.bfq.weight", "default 500") } else { ("io.weight", "default 4950") };
    check("blockIO", json!({"weight": 500}), &[], &[expected]);
}

#[test]
fn a_weight_for_a_device() {
    let disk = disk();
    let (major, minor) = numbers(&disk);
    let group = with("pids", json!({"limit": 9})).created().cgroup_dir("");
    // v1: gone with CFQ. v2: BFQ's file if it is there.
    if !runtime().is("plimsoll") || skips(!is_v2(), NEEDS_V2) || group.join("io.bfq.weight").exists() {
        return;
    }
    let container = with("blockIO", json!({"weightDevice": [{"major": major, "minor": minor, "weight": 500}]}));
    match container.create() {
        // Without a cost model for its queue the kernel takes no weight for it.
        refused if refused.status != 0 => _ = refused.fails("/linux/resources/blockIO/weightDevice/0/weight"),
        _ => assert_eq!(container.cgroup_file("", "io.weight"), format!("default 100\n{disk} 4950")),
    }
    with("blockIO", json!({"leafWeight": 500})).create().fails("/linux/resources/blockIO/leafWeight");
}
