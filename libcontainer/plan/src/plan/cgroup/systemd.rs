//! The systemd driver: a transient scope (systemd.scope(5)) instead of directories of our own making.
//!
//! Who divides the cgroup tree on such a host is systemd (<https://systemd.io/CGROUP_DELEGATION>): it makes the scope's groups
//! and moves init there. All that a limit can be told it as is a property, in the one call that makes the scope; the same
//! value is then written to the group, so that what systemd writes again (at a daemon-reload, say) changes nothing. Properties
//! are made of the writes for that reason: there is one place that knows what a limit is.
#![forbid(unsafe_code)]
use super::resources::writes;
use super::{
    CgroupPlan, Group, ScopeLines, Write, clean, device_lines, devices, has_authority, host, mount_view, ownership, v2,
};
use crate::error::escape_key;
use crate::facts::{Hierarchy, Systemd};
use crate::plan::line::{HostStep, Origin};
use crate::{Error, ErrorKind, HostFacts, Result};
use oci_spec::runtime::Spec;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

const PATH: &str = "/linux/cgroupsPath";

/// A unit of one of the two managers. Goes into the store.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Unit {
    /// `plimsoll-web.scope`
    pub name: String,
    /// Of the user's own systemd.
    pub user: bool,
}

/// A property of a unit (org.freedesktop.systemd1(5)).
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Property {
    pub name: &'static str,
    pub value: Value,
}

/// A value by its D-Bus type.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(untagged)]
pub enum Value {
    /// `b`
    Bool(bool),
    /// `i`
    Signed(i32),
    /// `t`; the greatest is infinity.
    Number(u64),
    /// `s`
    Text(String),
    /// `as`
    Texts(Vec<String>),
    /// `ay`: a set of numbers, the lowest in the first byte.
    Set(Vec<u8>),
    /// `a(ss)`
    Pairs(Vec<(String, String)>),
    /// `a(st)`
    Rates(Vec<(String, u64)>),
}

impl std::fmt::Display for Property {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let number = |number: u64| if number == u64::MAX { "infinity".to_owned() } else { number.to_string() };
        let value = match &self.value {
            Value::Bool(value) => if *value { "yes" } else { "no" }.to_owned(),
            Value::Signed(value) => value.to_string(),
            Value::Number(value) => number(*value),
            Value::Text(text) if text.contains(' ') => format!("{text:?}"),
            Value::Text(text) => text.clone(),
            Value::Texts(texts) => texts.join(","),
            Value::Set(bytes) => {
                let bits = (0..bytes.len() * 8).filter(|bit| bytes[bit / 8] & 1 << (bit % 8) != 0);
                bits.map(|bit| bit.to_string()).collect::<Vec<_>>().join(",")
            }
            Value::Pairs(pairs) => pairs.iter().map(|(a, b)| format!("{a}:{b}")).collect::<Vec<_>>().join(","),
            Value::Rates(rates) => {
                rates.iter().map(|(path, rate)| format!("{path}:{}", number(*rate))).collect::<Vec<_>>().join(",")
            }
        };
        write!(f, "{}={value}", self.name)
    }
}

fn text(name: &'static str, value: impl Into<String>) -> Property {
    Property { name, value: Value::Text(value.into()) }
}

fn yes(name: &'static str) -> Property {
    Property { name, value: Value::Bool(true) }
}

/// Plans the container's scope.
pub(super) fn plan(spec: &Spec, facts: &HostFacts, id: &str) -> Result<CgroupPlan> {
    let linux = spec.linux().as_ref();
    let path = linux.and_then(|linux| linux.cgroups_path().as_deref()).filter(|path| !path.as_os_str().is_empty());
    let resources = linux.and_then(|linux| linux.resources().as_ref());
    let Some(systemd) = &facts.systemd else {
        // As with directories: who may make none, and was asked for none, goes without.
        let limits = |resources| writes(resources, &[]).map_or(true, |writes| !writes.is_empty());
        if path.is_none() && !resources.is_some_and(limits) && !has_authority(facts) {
            log::warn!("no cgroup: there is no systemd of the user's own, and no limit is asked for");
            return Ok(CgroupPlan { mount_view: mount_view(facts, &[]), ..CgroupPlan::default() });
        }
        let whose = match has_authority(facts) {
            true => "systemd here",
            false => "systemd of the user's own (where XDG_RUNTIME_DIR or DBUS_SESSION_BUS_ADDRESS say)",
        };
        return Err(Error::new(ErrorKind::Unsupported, format!("the systemd cgroup driver: there is no {whose}")));
    };
    let scope = Scope::of(path, id, systemd)?;
    let groups = groups(&scope, systemd, facts);
    let writes = match resources {
        Some(resources) => writes(resources, &groups).map_err(|error| not_delegated(error, systemd))?,
        None => Vec::new(),
    };
    let rules = resources.and_then(|resources| resources.devices().as_deref());

    let mut properties = annotations(spec)?;
    let asked: Vec<_> = properties.iter().map(|property| property.name).collect();
    let usual = [
        text("Description", format!("plimsoll container {id}")),
        text("Slice", &scope.slice),
        // The groups below are the container's affair, and all controllers are there.
        yes("Delegate"),
        // Else the scope would be stopped at shutdown before the engine that looks after it.
        Property { name: "DefaultDependencies", value: Value::Bool(false) },
        // A scope that has failed (killed for want of memory, say) is forgotten like any other.
        text("CollectMode", "inactive-or-failed"),
        yes("CPUAccounting"),
        yes("MemoryAccounting"),
        yes("IOAccounting"),
        yes("TasksAccounting"),
    ];
    properties.splice(0..0, usual.into_iter().filter(|property| !asked.contains(&property.name)));
    properties.extend(limits(&writes, &groups));
    if has_authority(facts) {
        let unified = groups.iter().all(|group| group.unified);
        properties.extend(devices::rules(rules.unwrap_or_default())?.systemd(unified));
    }

    let origin = if path.is_some() { PATH } else { Origin::DEFAULT };
    let unit = Unit { name: scope.name, user: systemd.user };
    let start = host(HostStep::StartScope { unit: unit.clone(), properties }, origin);
    let mut settled = vec![host(HostStep::AwaitScope { groups: groups.clone() }, origin)];
    settled.extend(writes.into_iter().map(Write::line));
    settled.extend(device_lines(rules, &groups, facts)?);
    settled.extend(ownership(spec, &groups));
    let mount_view = mount_view(facts, &groups);
    let scope = Some(ScopeLines { unit, start, settled });
    Ok(CgroupPlan { scope, groups, mount_view, ..CgroupPlan::default() })
}

/// Says who has to give what is missing.
fn not_delegated(error: Error, systemd: &Systemd) -> Error {
    match &systemd.delegated {
        Some(delegated) if error.kind() == ErrorKind::Unsupported => {
            let names = if delegated.is_empty() { "none".to_owned() } else { delegated.join(", ") };
            error.detail(format!("to the user's systemd are delegated {names} (Delegate= of user@.service)"))
        }
        _ => error,
    }
}

/// What `cgroupsPath` names: `slice:prefix:name`.
struct Scope {
    slice: String,
    name: String,
}

impl Scope {
    fn of(path: Option<&Path>, id: &str, systemd: &Systemd) -> Result<Scope> {
        let default = if systemd.user { "user.slice" } else { "system.slice" };
        let Some(path) = path else {
            return Scope::checked(default, format!("plimsoll-{}.scope", escape_name(id)));
        };
        let wrong = |message: String| Err(Error::config(PATH, message));
        let path = path.to_string_lossy();
        let [slice, prefix, name] = path.split(':').collect::<Vec<_>>()[..] else {
            return wrong(format!(
                "expected cgroupsPath to be of format \"slice:prefix:name\" for systemd cgroups, got \"{path}\" instead"
            ));
        };
        let slice = if slice.is_empty() { default } else { slice };
        if slice_path(slice).is_none() {
            return wrong(format!("{slice:?} is no name of a slice, as a-b.slice is"));
        }
        if name.ends_with(".slice") {
            return wrong(format!("{name:?} is a slice, which holds no processes but in a scope"));
        }
        let name = if prefix.is_empty() { format!("{name}.scope") } else { format!("{prefix}-{name}.scope") };
        Scope::checked(slice, name)
    }

    fn checked(slice: &str, name: String) -> Result<Scope> {
        match is_unit_name(&name) {
            true => Ok(Scope { slice: slice.to_owned(), name }),
            false => Err(Error::config(PATH, format!("{name:?} is no name of a unit"))),
        }
    }
}

/// systemd.unit(5): at most 255 of these, and a name before the suffix.
fn is_unit_name(name: &str) -> bool {
    name.len() < 256 && !name.starts_with('.') && name.bytes().all(is_unit_byte)
}

fn is_unit_byte(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b":-_.\\@".contains(&byte)
}

/// As systemd-escape(1) does: an id may hold a `+`.
fn escape_name(id: &str) -> String {
    let escaped = |byte: u8| if is_unit_byte(byte) { char::from(byte).to_string() } else { format!("\\x{byte:02x}") };
    id.bytes().map(escaped).collect()
}

/// `a-b.slice` is in `a.slice` (systemd.slice(5)): `a.slice/a-b.slice`. `-.slice` is the root.
fn slice_path(slice: &str) -> Option<PathBuf> {
    let name = slice.strip_suffix(".slice")?;
    if name == "-" {
        return Some(PathBuf::new());
    }
    if !is_unit_name(slice) || name.split('-').any(str::is_empty) || name.contains('@') {
        return None;
    }
    let ends = name.match_indices('-').map(|(at, _)| at).chain([name.len()]);
    Some(ends.map(|end| format!("{}.slice", &name[..end])).collect())
}

/// The scope's group in every hierarchy. Of those of cgroup v1 systemd has some and we make the rest; an ordinary user's has
/// only the one that it keeps track of processes in.
fn groups(scope: &Scope, systemd: &Systemd, facts: &HostFacts) -> Vec<Group> {
    let slice = slice_path(&scope.slice).unwrap_or_default();
    let below = clean(Path::new(&systemd.root)).join(slice).join(&scope.name);
    let has = |hierarchy: &&Hierarchy| {
        !systemd.user || hierarchy.unified || hierarchy.controllers.iter().any(|name| name == "name=systemd")
    };
    let group = |hierarchy: &Hierarchy| {
        let delegated = systemd.delegated.as_ref().filter(|_| hierarchy.unified);
        let has = |name: &&String| delegated.is_none_or(|delegated| delegated.contains(name));
        Group {
            controllers: hierarchy.controllers.iter().filter(has).cloned().collect(),
            directory: hierarchy.mount.join(&below),
            unified: hierarchy.unified,
        }
    };
    facts.hierarchies.iter().filter(has).map(group).collect()
}

/// The properties that say the same as these writes. What systemd has no property for, it does not touch.
pub fn limits(writes: &[Write], groups: &[Group]) -> Vec<Property> {
    let mut properties = Vec::new();
    let mut quota = None;
    let mut period = None;
    let mut weight = None;
    let mut idle = None;
    let mut rates: BTreeMap<&'static str, Vec<(String, u64)>> = BTreeMap::new();
    for write in writes {
        let name = write.file.file_name().and_then(|name| name.to_str()).unwrap_or_default();
        let unified = groups.iter().any(|group| group.unified && write.file.starts_with(&group.directory));
        let value = write.value.as_str();
        let mut number = |property| {
            properties.extend(amount(value).map(|value| Property { name: property, value: Value::Number(value) }));
        };
        match name {
            "memory.max" => number("MemoryMax"),
            "memory.high" => number("MemoryHigh"),
            "memory.low" => number("MemoryLow"),
            "memory.min" => number("MemoryMin"),
            "memory.swap.max" => number("MemorySwapMax"),
            "memory.zswap.max" => number("MemoryZSwapMax"),
            "memory.limit_in_bytes" => number("MemoryLimit"),
            "memory.zswap.writeback" => {
                properties.push(Property { name: "MemoryZSwapWriteback", value: Value::Bool(value == "1") });
            }
            "memory.oom.group" => properties.push(text("OOMPolicy", if value == "1" { "kill" } else { "continue" })),
            "pids.max" => number("TasksMax"),
            "cpu.shares" => number("CPUShares"),
            "cpu.weight" => weight = amount(value),
            // To systemd idle is a weight.
            "cpu.idle" if unified => idle = amount(value),
            "cpu.max" => {
                let mut words = value.split_ascii_whitespace();
                quota = words.next().and_then(amount);
                period = words.next().and_then(amount).or(period).or(Some(100_000));
            }
            "cpu.cfs_quota_us" => quota = amount(value),
            "cpu.cfs_period_us" => period = amount(value),
            "cpuset.cpus" if unified => properties.extend(set("AllowedCPUs", value)),
            "cpuset.mems" if unified => properties.extend(set("AllowedMemoryNodes", value)),
            "io.weight" => io_weight(value, &mut properties, &mut rates),
            // Should BFQ be the one that keeps the weights, systemd converts it back, though roughly.
            "io.bfq.weight" => io_weight(&v2::of_bfq(value), &mut properties, &mut rates),
            "blkio.weight" => number("BlockIOWeight"),
            "io.max" => io_max(value, &mut rates),
            _ => {}
        }
    }
    if quota.is_some() || period.is_some() {
        let period = period.unwrap_or(100_000);
        let value = quota.filter(|quota| *quota != u64::MAX).map_or(u64::MAX, |quota| per_second(quota, period));
        properties.push(Property { name: "CPUQuotaPerSecUSec", value: Value::Number(value) });
        properties.push(Property { name: "CPUQuotaPeriodUSec", value: Value::Number(period) });
    }
    let weight = if idle == Some(1) { Some(0) } else { weight.or(idle.map(|_| 100)) };
    properties.extend(weight.map(|weight| Property { name: "CPUWeight", value: Value::Number(weight) }));
    properties.extend(rates.into_iter().map(|(name, rates)| Property { name, value: Value::Rates(rates) }));
    properties
}

/// A number of the kernel's; none is `max`, or -1.
fn amount(value: &str) -> Option<u64> {
    match value {
        "max" | "-1" => Some(u64::MAX),
        value => value.parse().ok(),
    }
}

/// Microseconds in a second, in whole percents: systemd keeps no more of it, and rounded down it would be less than asked for.
fn per_second(quota: u64, period: u64) -> u64 {
    const PERCENT: u128 = 10_000;
    let exact = (u128::from(quota) * 1_000_000).div_ceil(u128::from(period.max(1)));
    u64::try_from(exact.div_ceil(PERCENT) * PERCENT).unwrap_or(u64::MAX)
}

/// `0-3,7` as a set of bits; none is all that the groups above have. What is no such list the kernel refuses when it is written.
fn set(name: &'static str, list: &str) -> Option<Property> {
    // A kernel can be built for 8192. systemd refuses more without a word which property it means; the kernel's file says so.
    const LAST: usize = 8191;
    let mut bytes = Vec::new();
    for range in list.split(',').map(str::trim).filter(|range| !range.is_empty()) {
        let (first, last) = range.split_once('-').unwrap_or((range, range));
        let (first, last): (usize, usize) = (first.parse().ok()?, last.parse().ok()?);
        for number in first..=last.min(LAST) {
            if bytes.len() <= number / 8 {
                bytes.resize(number / 8 + 1, 0);
            }
            bytes[number / 8] |= 1 << (number % 8);
        }
    }
    (!bytes.is_empty() || list.trim().is_empty()).then_some(Property { name, value: Value::Set(bytes) })
}

/// `100`, `default 100` or `8:0 100`.
fn io_weight(value: &str, properties: &mut Vec<Property>, rates: &mut BTreeMap<&'static str, Vec<(String, u64)>>) {
    let (device, weight) = value.rsplit_once(' ').unwrap_or(("default", value));
    // For a device of its own there is no other way to say so.
    let Ok(weight) = (if weight == "default" { "100" } else { weight }).parse() else { return };
    match device {
        "default" => properties.push(Property { name: "IOWeight", value: Value::Number(weight) }),
        device => rates.entry("IODeviceWeight").or_default().push((block(device), weight)),
    }
}

/// `8:0 rbps=1048576 wiops=max`
fn io_max(value: &str, rates: &mut BTreeMap<&'static str, Vec<(String, u64)>>) {
    let mut words = value.split_ascii_whitespace();
    let Some(device) = words.next() else { return };
    for (key, rate) in words.filter_map(|word| word.split_once('=')) {
        let name = match key {
            "rbps" => "IOReadBandwidthMax",
            "wbps" => "IOWriteBandwidthMax",
            "riops" => "IOReadIOPSMax",
            "wiops" => "IOWriteIOPSMax",
            _ => continue,
        };
        rates.entry(name).or_default().extend(amount(rate).map(|rate| (block(device), rate)));
    }
}

/// systemd takes a path.
fn block(device: &str) -> String {
    format!("/dev/block/{device}")
}

/// What an annotation `org.systemd.property.NAME` may set, and its D-Bus type. These only tell how and when the scope is
/// stopped; others run programs, pull in units or reboot the host (`SuccessAction`), and annotations are often a tenant's
/// (CVE-2024-3154).
const ANNOTATIONS: [(&str, char); 6] = [
    ("After", 'a'),
    ("Before", 'a'),
    ("CollectMode", 's'),
    ("DefaultDependencies", 'b'),
    ("KillSignal", 'i'),
    ("TimeoutStopUSec", 't'),
];

fn annotations(spec: &Spec) -> Result<Vec<Property>> {
    let all: BTreeMap<_, _> = spec.annotations().iter().flatten().collect();
    let mut properties = Vec::new();
    for (key, value) in all {
        let Some(name) = key.strip_prefix("org.systemd.property.") else { continue };
        let origin = format!("/annotations/{}", escape_key(key));
        // A span of seconds is one of microseconds on the bus.
        let seconds = name == "TimeoutStopSec";
        let name = if seconds { "TimeoutStopUSec" } else { name };
        let Some((name, kind)) = ANNOTATIONS.iter().find(|(known, _)| *known == name) else {
            let known = ANNOTATIONS.map(|(name, _)| name).join(", ");
            let message = format!("systemd's property {name:?} cannot be set by an annotation; these can: {known}");
            return Err(Error::new(ErrorKind::Unsupported, message).at(origin));
        };
        let Some(value) = annotation(value.trim(), *kind, seconds) else {
            return Err(Error::config(origin, format!("{value:?} is no value of systemd's property {name}")));
        };
        properties.push(Property { name, value });
    }
    Ok(properties)
}

/// A value in the text form of a GVariant, as far as these properties have any.
fn annotation(text: &str, kind: char, seconds: bool) -> Option<Value> {
    let quoted = |text: &str| {
        let inner = ['\'', '"'].iter().find_map(|quote| text.strip_prefix(*quote)?.strip_suffix(*quote))?;
        let plain = |letter: char| !letter.is_control() && !"'\"\\".contains(letter);
        inner.chars().all(plain).then(|| inner.to_owned())
    };
    match kind {
        'b' => text.parse().ok().map(Value::Bool),
        'i' => text.strip_prefix("int32 ").unwrap_or(text).parse().ok().map(Value::Signed),
        't' => {
            let number: u64 = text.strip_prefix("uint64 ").unwrap_or(text).trim().parse().ok()?;
            number.checked_mul(if seconds { 1_000_000 } else { 1 }).map(Value::Number)
        }
        's' => quoted(text).map(Value::Text),
        _ => {
            let inner = text.strip_prefix("@as ").unwrap_or(text).trim();
            let inner = inner.strip_prefix('[')?.strip_suffix(']')?.trim();
            let entries = inner.split(',').map(str::trim).filter(|_| !inner.is_empty());
            entries.map(quoted).collect::<Option<Vec<_>>>().map(Value::Texts)
        }
    }
}

#[cfg(test)]
mod tests;
