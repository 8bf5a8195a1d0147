//! Deciding what limits a container has after an `update`, as runc does: what is not named stays as it was.
#![forbid(unsafe_code)]
use crate::{Error, ErrorKind, Result};
use oci_spec::runtime::LinuxResources;
use serde_json::{Map, Value};

/// Sections of an `update`. Device rules are not among them: they stay as they are, like what only runtimes before cgroups had.
const SECTIONS: &[&str] = &["memory", "cpu", "pids", "blockIO", "hugepageLimits", "network", "rdma", "unified"];

/// Lists in which an entry takes the place of the one for the same device or page size.
const LISTS: &[&str] = &[
    "weightDevice",
    "throttleReadBpsDevice",
    "throttleWriteBpsDevice",
    "throttleReadIOPSDevice",
    "throttleWriteIOPSDevice",
    "hugepageLimits",
];

/// Numbers whose 0 asks for nothing: engines written in Go send it for "not given".
const ZERO_IS_NONE: &[&str] = &[
    "limit",
    "reservation",
    "swap",
    "kernel",
    "kernelTCP",
    "shares",
    "quota",
    "period",
    "realtimePeriod",
    "realtimeRuntime",
    "weight",
    "leafWeight",
    "classID",
];

/// Fields and the files of cgroup v2 that `unified` may have said something else of: what is asked for later holds.
const FILES: &[(&str, &str, &[&str])] = &[
    ("memory", "limit", &["memory.max"]),
    ("memory", "swap", &["memory.swap.max"]),
    ("memory", "reservation", &["memory.low"]),
    ("cpu", "shares", &["cpu.weight", "cpu.weight.nice"]),
    ("cpu", "quota", &["cpu.max"]),
    ("cpu", "period", &["cpu.max"]),
    ("cpu", "burst", &["cpu.max.burst"]),
    ("cpu", "idle", &["cpu.idle"]),
    ("cpu", "cpus", &["cpuset.cpus"]),
    ("cpu", "mems", &["cpuset.mems"]),
    ("pids", "limit", &["pids.max"]),
];

/// What `linux.resources` of the stored config.json becomes under `change`.
pub fn merge(stored: &Value, change: &LinuxResources) -> Result<Value> {
    let broken = |error: serde_json::Error| Error::new(ErrorKind::InvalidConfig, format!("resources: {error}"));
    let mut change = serde_json::to_value(change).map_err(broken)?;
    let mut merged = match stored {
        Value::Object(stored) => stored.clone(),
        _ => Map::new(),
    };
    settle_idle(&change, &mut merged);
    for section in SECTIONS {
        let Some(mut asked) = change.get_mut(section).map(Value::take) else { continue };
        drop_zeros(section, &mut asked);
        // Without a limit on memory there is none on memory and swap either.
        if *section == "memory" && asked["limit"] == -1 && asked["swap"].is_null() {
            asked["swap"] = (-1).into();
        }
        if let Some(Value::Object(unified)) = merged.get_mut("unified") {
            let fields = FILES
                .iter()
                .filter(|(of, key, _)| of == section && asked.get(key).is_some_and(|value| !value.is_null()));
            fields.flat_map(|(_, _, files)| *files).for_each(|file| _ = unified.remove(*file));
        }
        let old = merged.entry(*section).or_insert(Value::Null);
        put(section, old, asked);
        if is_empty(old) {
            merged.remove(*section);
        }
    }
    Ok(Value::Object(merged))
}

/// An idle group takes no shares and no weight, and one with such is not idle: of the two what is asked for last holds.
fn settle_idle(change: &Value, merged: &mut Map<String, Value>) {
    let asks = |section: &str, key: &str| change[section].get(key).filter(|value| !value.is_null() && **value != 0);
    let says_idle = |resources: &dyn Fn(&str, &str) -> Value| {
        resources("cpu", "idle").as_i64().is_some_and(|idle| idle != 0) || resources("unified", "cpu.idle") == "1"
    };
    let stored = |section: &str, key: &str| {
        merged.get(section).and_then(|section| section.get(key)).cloned().unwrap_or_default()
    };
    let was_idle = says_idle(&stored);
    let weights = [("cpu", "shares"), ("unified", "cpu.weight"), ("unified", "cpu.weight.nice")];
    let mut forget = |section: &str, key: &str| {
        if let Some(Value::Object(section)) = merged.get_mut(section) {
            section.remove(key);
        }
    };
    if says_idle(&|section, key| change[section][key].clone()) {
        weights.iter().for_each(|(section, key)| forget(section, key));
    } else if was_idle && weights.iter().any(|(section, key)| asks(section, key).is_some()) {
        forget("unified", "cpu.idle");
        merged.entry("cpu").or_insert(Value::Null)["idle"] = 0.into();
    }
}

fn put(key: &str, old: &mut Value, new: Value) {
    match new {
        Value::Null => {}
        Value::Array(new) if LISTS.contains(&key) => {
            let mut entries = match old.take() {
                Value::Array(old) => old,
                _ => Vec::new(),
            };
            for entry in new {
                entries.retain(|other| !same_device(other, &entry));
                entries.push(entry);
            }
            *old = Value::Array(entries);
        }
        Value::Object(new) => {
            if !old.is_object() {
                *old = Value::Object(Map::new());
            }
            for (key, value) in new {
                put(&key, &mut old[&key], value);
            }
        }
        new => *old = new,
    }
}

fn same_device(one: &Value, other: &Value) -> bool {
    ["major", "minor", "pageSize"].iter().all(|key| one.get(key) == other.get(key))
}

/// `pids.limit` and page limits are real at 0; a device's weight is found by its section.
fn drop_zeros(section: &str, value: &mut Value) {
    if matches!(section, "pids" | "hugepageLimits" | "rdma" | "unified") {
        return;
    }
    if let Value::Object(object) = value {
        object.retain(|key, value| !(value.is_null() || ZERO_IS_NONE.contains(&key.as_str()) && *value == 0));
        object.retain(|_, value| value.as_str() != Some(""));
    }
}

fn is_empty(value: &Value) -> bool {
    match value {
        Value::Null => true,
        Value::Object(object) => object.values().all(Value::is_null),
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::merge;
    use serde_json::{Value, json};

    #[track_caller]
    fn check(stored: Value, change: Value, expected: Value) {
        let change = serde_json::from_value(change).expect("resources");
        assert_eq!(merge(&stored, &change).expect("merged"), expected);
    }

    #[test]
    fn what_is_not_named_stays() {
        let stored =
            json!({"memory": {"limit": 10, "swappiness": 5}, "pids": {"limit": 3}, "devices": [{"allow": false}]});
        let expected =
            json!({"memory": {"limit": 20, "swappiness": 5}, "pids": {"limit": 3}, "devices": [{"allow": false}]});
        check(stored, json!({"memory": {"limit": 20}}), expected);
        check(json!(null), json!({"pids": {"limit": 0}}), json!({"pids": {"limit": 0}}));
    }

    #[test]
    fn zeros_and_empty_strings_of_engines_ask_for_nothing() {
        let engines = json!({
            "memory": {"limit": 0, "reservation": 0, "swap": 0},
            "cpu": {"shares": 0, "quota": 0, "period": 0, "cpus": "", "mems": "", "realtimePeriod": 0},
            "blockIO": {"weight": 0},
        });
        check(json!({"cpu": {"shares": 5, "cpus": "0"}}), engines, json!({"cpu": {"shares": 5, "cpus": "0"}}));
    }

    #[test]
    fn quota_and_period_are_a_pair_of_which_one_may_change() {
        let stored = json!({"cpu": {"quota": 5000, "period": 10_000}});
        check(stored.clone(), json!({"cpu": {"quota": 7000}}), json!({"cpu": {"quota": 7000, "period": 10_000}}));
        check(stored, json!({"cpu": {"period": 20_000}}), json!({"cpu": {"quota": 5000, "period": 20_000}}));
    }

    #[test]
    fn unlimited_memory_is_unlimited_swap_too() {
        let stored = json!({"memory": {"limit": 10, "swap": 20}});
        check(stored.clone(), json!({"memory": {"limit": -1}}), json!({"memory": {"limit": -1, "swap": -1}}));
        check(stored, json!({"memory": {"limit": -1, "swap": 30}}), json!({"memory": {"limit": -1, "swap": 30}}));
    }

    #[test]
    fn an_idle_group_has_no_shares() {
        check(json!({"cpu": {"shares": 100}}), json!({"cpu": {"idle": 1}}), json!({"cpu": {"idle": 1}}));
        let both = json!({"cpu": {"idle": 0, "shares": 7}});
        check(json!({"cpu": {"shares": 100, "idle": 1}}), both.clone(), both);
        check(json!({"cpu": {"idle": 1}}), json!({"cpu": {"shares": 7}}), json!({"cpu": {"idle": 0, "shares": 7}}));
        check(json!({"cpu": {"shares": 7}}), json!({"cpu": {"idle": 0}}), json!({"cpu": {"idle": 0, "shares": 7}}));
        let weight = json!({"unified": {"cpu.weight": "8"}});
        check(weight.clone(), json!({"cpu": {"idle": 1}}), json!({"unified": {}, "cpu": {"idle": 1}}));
        let awake = json!({"unified": {"cpu.weight": "8"}, "cpu": {"idle": 0}});
        check(json!({"unified": {"cpu.idle": "1"}}), weight, awake);
    }

    #[test]
    fn of_a_field_and_a_file_the_later_holds() {
        let stored = json!({"cpu": {"shares": 5}, "unified": {"cpu.weight": "42", "pids.max": "7"}});
        let later = json!({"cpu": {"shares": 9}, "unified": {"pids.max": "7"}});
        check(stored.clone(), json!({"cpu": {"shares": 9}}), later);
        // At once, the explicit one.
        let both = json!({"cpu": {"shares": 9}, "unified": {"cpu.weight": "43"}});
        check(stored, both, json!({"cpu": {"shares": 9}, "unified": {"cpu.weight": "43", "pids.max": "7"}}));
    }

    #[test]
    fn an_entry_takes_the_place_of_the_one_for_its_device() {
        let throttle = |minor: i32, rate: i32| json!({"major": 8, "minor": minor, "rate": rate});
        let list = |entries: &[Value]| json!({"blockIO": {"throttleReadBpsDevice": entries}});
        check(
            list(&[throttle(0, 1), throttle(16, 2)]),
            list(&[throttle(0, 5), throttle(32, 6)]),
            list(&[throttle(16, 2), throttle(0, 5), throttle(32, 6)]),
        );
    }

    #[test]
    fn device_rules_are_left_alone() {
        check(json!({}), json!({"devices": [{"allow": true, "access": "rwm"}]}), json!({}));
    }
}
