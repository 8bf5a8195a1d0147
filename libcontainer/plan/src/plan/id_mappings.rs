//! [User namespace mappings](https://github.com/opencontainers/runtime-spec/blob/v1.3.0/config-linux.md#user-namespace-mappings)
#![forbid(unsafe_code)]

use super::line::{HostStep, IdMap, Line};
use super::{host, namespaces};
use crate::facts::HostFacts;
use oci_spec::runtime::{LinuxIdMapping, Spec};

/// `(uid, gid)` mappings of a container with a user namespace: without one there is nothing to map.
pub fn of(spec: &Spec) -> (Vec<IdMap>, Vec<IdMap>) {
    let linux = spec.linux().as_ref().filter(|_| namespaces::Namespaces::of(spec).has(namespaces::USER));
    (
        maps(linux.and_then(|linux| linux.uid_mappings().as_deref())),
        maps(linux.and_then(|linux| linux.gid_mappings().as_deref())),
    )
}

pub(super) fn maps(mappings: Option<&[LinuxIdMapping]>) -> Vec<IdMap> {
    (mappings.unwrap_or_default().iter())
        .map(|map| IdMap { container_id: map.container_id(), host_id: map.host_id(), size: map.size() })
        .collect()
}

/// Whether `id` of the container means anything outside.
pub(super) fn is_mapped(maps: &[IdMap], id: u32) -> bool {
    maps.iter().any(|map| id.checked_sub(map.container_id).is_some_and(|offset| offset < map.size))
}

/// An ordinary user may map his own group only after setgroups(2) has been given up (user_namespaces(7)); more
/// groups are newgidmap(1)'s business, which decides for itself.
pub(super) fn denies_setgroups(spec: &Spec, facts: &HostFacts) -> bool {
    if facts.setgroups_denied {
        return true;
    }
    let (_, gid) = of(spec);
    let new = namespaces::Namespaces::of(spec).is_new(namespaces::USER);
    new && !facts.privileged && matches!(gid[..], [IdMap { host_id, size: 1, .. }] if host_id == facts.egid)
}

pub(super) fn line(spec: &Spec, facts: &HostFacts) -> Line {
    let (uid, gid) = of(spec);
    let deny_setgroups = !facts.setgroups_denied && denies_setgroups(spec, facts);
    host(HostStep::WriteIdMaps { uid, gid, deny_setgroups }, "/linux/uidMappings")
}

#[cfg(test)]
mod tests {
    use crate::facts::HostFacts;
    use crate::plan::tests::{check, check_on, refused};

    const MAPPED: &str = r#"{"linux": {"namespaces": [{"type": "user"}, {"type": "mount"}],
        "uidMappings": [{"containerID": 0, "hostID": 1000, "size": 1}],
        "gidMappings": [{"containerID": 0, "hostID": 1000, "size": 1}]}}"#;

    #[test]
    fn a_privileged_runtime_keeps_setgroups() {
        check(MAPPED, "/linux/uidMappings", "host write-id-maps uid 0:1000:1 gid 0:1000:1\n init become-root");
    }

    #[test]
    fn an_ordinary_user_gives_up_setgroups_for_his_own_group() {
        let facts = HostFacts { euid: 1000, egid: 1000, ..Default::default() };
        check_on(
            &facts,
            MAPPED,
            "/linux/uidMappings",
            "host write-id-maps uid 0:1000:1 gid 0:1000:1 setgroups denied\n init become-root",
        );
    }

    #[test]
    fn what_is_denied_already_is_left_alone() {
        let facts =
            HostFacts { privileged: true, in_user_namespace: true, setgroups_denied: true, ..Default::default() };
        let maps = "host write-id-maps uid 0:1000:1 gid 0:1000:1\n init become-root";
        check_on(&facts, MAPPED, "/linux/uidMappings", maps);
        check_on(&facts, MAPPED, "/process/user", "init set-ids 0:0\n host chown-streams 0");
    }

    #[test]
    fn without_a_user_namespace_mappings_mean_nothing() {
        let config = MAPPED.replace(r#"{"type": "user"}, "#, "");
        check(&config, "/linux/uidMappings", "");
        check(&config, "/process/user", "init chown-stdio 0\n init set-groups none\n init set-ids 0:0");
    }

    #[test]
    fn a_new_namespace_needs_mappings() {
        refused(
            r#"{"linux": {"namespaces": [{"type": "user"}, {"type": "mount"}]}}"#,
            "config.json: /linux/uidMappings: user namespaces enabled, but no namespace path nor user mappings specified",
        );
    }
}
