//! linux.resources: <https://github.com/opencontainers/runtime-spec/blob/v1.3.0/config-linux.md#huge-page-limits>, and
//! the headings after it: network, RDMA, unified.
use super::{check, with};
use plimsoll_integration_tests::cgroup::is_v2;
use plimsoll_integration_tests::{known_deviation, runtime};
use serde_json::json;
use std::fs;
use std::path::Path;

#[test]
fn hugepages() {
    let asked = json!([{"pageSize": "2MB", "limit": 4 << 20}]);
    let files = [("hugetlb.2MB.max", "4194304"), ("hugetlb.2MB.rsvd.max", "4194304")];
    check("hugepageLimits", asked, &[], &files);
}

/// On a hybrid host the controllers that v1 has left to v2 are there.
#[test]
fn hugepages_on_a_hybrid_host() {
    let unified = Path::new("/sys/fs/cgroup/unified");
    let has = fs::read_to_string(unified.join("cgroup.controllers")).is_ok_and(|list| list.contains("hugetlb"));
    if !has || known_deviation() {
        return;
    }
    let container = with("hugepageLimits", json!([{"pageSize": "2MB", "limit": 4 << 20}])).created();
    for file in ["hugetlb.2MB.max", "hugetlb.2MB.rsvd.max"] {
        let path = unified.join(container.cgroup().trim_start_matches('/')).join(file);
        assert_eq!(fs::read_to_string(&path).expect("a cgroup").trim(), "4194304", "{file}");
    }
}

/// No machine at hand has such a device; what is written where there is one, the tests of the plan say.
#[test]
fn an_rdma_device_that_there_is_not_is_an_error() {
    if !runtime().is("plimsoll") {
        return;
    }
    let container = with("rdma", json!({"mlx5_0": {"hcaHandles": 3, "hcaObjects": 10_000}}));
    container.create().fails("/linux/resources/rdma");
    container.assert_nothing_left();
}

#[test]
fn network_classes_are_of_v1() {
    if is_v2() && runtime().is("plimsoll") {
        with("network", json!({"classID": 1_048_577})).create().fails("/linux/resources/network/classID");
        with("network", json!({"priorities": [{"name": "lo", "priority": 5}]}))
            .create()
            .fails("/linux/resources/network/priorities");
    }
}

#[test]
fn unified() {
    let asked = json!({"memory.high": "50331648", "pids.max": "33", "cgroup.max.descendants": "7"});
    let files = [("memory.high", "50331648"), ("pids.max", "33"), ("cgroup.max.descendants", "7")];
    check("unified", asked, &[], &files);
}

#[test]
fn unified_settings_that_cannot_be_are_errors() {
    if known_deviation() {
        return;
    }
    let refused = |file: &str| {
        let container = with("unified", json!({file: "1"}));
        container.create().fails("unified");
        container.assert_nothing_left();
    };
    refused("nosuch.max");
    refused("memory.max/../x");
    refused("pids.nosuch");
}
