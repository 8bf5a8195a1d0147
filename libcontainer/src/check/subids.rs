//! The ids that an ordinary user's mappings need: newuidmap(1) and newgidmap(1) hand out those of subuid(5) and subgid(5).
//!
//! may fail: what cannot be looked at is not foreseen; newuidmap(1) says what is wrong with it.
#![forbid(unsafe_code)]
use super::{Concern, Finding};
use crate::launch::id_map_helper;
use crate::plan::HostFacts;
use crate::plan::id_mappings_of;
use crate::plan::line::IdMap;
use crate::store::user_name;
use oci_spec::runtime::{LinuxNamespaceType, Spec};

pub(super) fn find(spec: &Spec, facts: &HostFacts) -> Vec<Finding> {
    let namespaces = spec.linux().as_ref().and_then(|linux| linux.namespaces().as_deref()).unwrap_or_default();
    let new =
        namespaces.iter().any(|namespace| namespace.typ() == LinuxNamespaceType::User && namespace.path().is_none());
    // Who may write the maps needs nobody's ranges.
    if !new || facts.privileged {
        return Vec::new();
    }
    // The lookup may be somebody else's (nsswitch.conf(5), `subid: sss`): then only that can tell.
    let nsswitch = std::fs::read_to_string("/etc/nsswitch.conf").unwrap_or_default();
    let elsewhere = nsswitch.lines().any(|line| line.strip_prefix("subid:").is_some_and(|how| how.trim() != "files"));
    // may fail: ranges may be given to a number as well.
    let name = user_name(facts.euid).ok().flatten();
    let (uid, gid) = id_mappings_of(spec);
    let mut findings = Vec::new();
    for (key, helper, file, maps, own) in [
        ("/linux/uidMappings", "newuidmap", "/etc/subuid", uid, facts.euid),
        ("/linux/gidMappings", "newgidmap", "/etc/subgid", gid, facts.egid),
    ] {
        // The kernel takes this one from anybody (user_namespaces(7)).
        if matches!(maps[..], [IdMap { host_id, size: 1, .. }] if host_id == own) {
            continue;
        }
        let mut wrong = |pointer: String, message: String| findings.push(Finding::new(Concern::Host, pointer, message));
        if id_map_helper(helper).is_none() {
            wrong(
                key.into(),
                format!("{helper} is not installed (Debian's package uidmap), which maps more than one's own id"),
            );
        }
        if elsewhere {
            continue;
        }
        let text = std::fs::read_to_string(file).unwrap_or_default();
        let ranges = ranges(&text, name.as_deref(), facts.euid);
        for (index, map) in maps.iter().enumerate().filter(|(_, map)| !(map.size == 1 && map.host_id == own)) {
            if !covers(&ranges, map) {
                let (first, last) = (map.host_id, u64::from(map.host_id) + u64::from(map.size) - 1);
                let who = name.clone().unwrap_or_else(|| facts.euid.to_string());
                let has = match &ranges[..] {
                    [] => format!("{who} has none in {file}"),
                    ranges => {
                        let list: Vec<_> = ranges.iter().map(|(first, count)| format!("{first}:{count}")).collect();
                        format!("in {file} {who} has {}", list.join(", "))
                    }
                };
                wrong(format!("{key}/{index}"), format!("{helper} does not map the ids {first} to {last}: {has}"));
            }
        }
    }
    findings
}

/// `name:first:count`, by name or number; the ranges of one user.
fn ranges(text: &str, name: Option<&str>, uid: u32) -> Vec<(u64, u64)> {
    let number = uid.to_string();
    let range = |line: &str| {
        let mut fields = line.split(':');
        fields.next().filter(|owner| Some(*owner) == name || *owner == number)?;
        Some((fields.next()?.trim().parse().ok()?, fields.next()?.trim().parse().ok()?))
    };
    text.lines().filter_map(range).collect()
}

/// As shadow's `have_range`: what one range does not hold, the next one may, where they meet.
fn covers(ranges: &[(u64, u64)], map: &IdMap) -> bool {
    let end = u64::from(map.host_id) + u64::from(map.size);
    let mut at = u64::from(map.host_id);
    while at < end {
        match ranges.iter().find(|(first, count)| (*first..first.saturating_add(*count)).contains(&at)) {
            Some((first, count)) => at = first.saturating_add(*count),
            None => return false,
        }
    }
    true
}

/// What holds for every subuid(5): said once more, id by id, for tests and the fuzzer.
#[cfg(any(test, fuzzing))]
pub(crate) fn laws(text: &str) {
    let ranges = ranges(text, Some("mariner"), 1000);
    assert!(ranges.len() <= text.lines().count());
    let ends = ranges.iter().flat_map(|(first, count)| [*first, first.saturating_add(*count)]);
    let ids = ends.flat_map(|id| [id.saturating_sub(1), id]).filter_map(|id| u32::try_from(id).ok());
    for host_id in ids.take(64) {
        for size in [1, 2, 65_536, u32::MAX] {
            let all = covers(&ranges, &IdMap { container_id: 0, host_id, size });
            let has = |id: u64| ranges.iter().any(|(first, count)| id >= *first && id - first < *count);
            let [first, last] = [0, u64::from(size) - 1].map(|offset| has(u64::from(host_id) + offset));
            // A law in one direction: between the ends there may be a gap.
            assert!(!all || first && last, "{host_id} {size} {ranges:?}");
            assert!(size > 2 || all == (first && last), "{host_id} {size} {ranges:?}");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_mapping_has_to_lie_in_the_callers_ranges() {
        let text = "root:1:2\nmariner:100000:65536\n1000:165536:10\nother:200000:65536\nbroken\n";
        let ranges = ranges(text, Some("mariner"), 1000);
        assert_eq!(ranges, [(100_000, 65_536), (165_536, 10)]);
        let map = |host_id, size| IdMap { container_id: 0, host_id, size };
        assert!(covers(&ranges, &map(100_000, 65_536)) && covers(&ranges, &map(165_000, 546)));
        assert!(!covers(&ranges, &map(165_000, 547)) && !covers(&ranges, &map(99_999, 2)));
        assert!(!covers(&ranges, &map(200_000, 1)) && !covers(&[], &map(0, 1)));
        assert!(!covers(&[(u64::from(u32::MAX), u64::MAX)], &map(0, u32::MAX)));
        // Neither a panic nor a loop without an end.
        assert!(covers(&[(0, 100), (100, u64::MAX - 50)], &map(50, 100)));
    }

    #[test]
    fn who_may_not_write_maps_is_told_what_is_missing() {
        let config = r#"{"ociVersion": "1.0.0", "root": {"path": "r"}, "linux": {"namespaces": [{"type": "user"}],
            "uidMappings": [{"containerID": 0, "hostID": 4294900000, "size": 1}, {"containerID": 1, "hostID": 4294901000, "size": 5}],
            "gidMappings": [{"containerID": 0, "hostID": 77, "size": 1}]}}"#;
        let bundle = crate::Bundle::from_parts("/bundle".into(), config.into()).unwrap();
        let facts = HostFacts { euid: 4_294_900_000, egid: 77, ..HostFacts::default() };
        let findings = find(bundle.spec(), &facts);
        let told = |pointer: &str| findings.iter().filter(|finding| finding.pointer == pointer).count();
        assert_eq!((told("/linux/uidMappings/0"), told("/linux/uidMappings/1")), (0, 1), "{findings:?}");
        assert!(findings.iter().all(|finding| !finding.pointer.starts_with("/linux/gid")), "{findings:?}");
        let last = findings.last().unwrap();
        assert!(
            last.message.contains("the ids 4294901000 to 4294901004: 4294900000 has none in /etc/subuid"),
            "{last:?}"
        );
        assert_eq!(find(bundle.spec(), &HostFacts { privileged: true, ..facts }), []);
    }
}
