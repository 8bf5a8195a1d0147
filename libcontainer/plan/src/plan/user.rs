//! [User](https://github.com/opencontainers/runtime-spec/blob/v1.3.0/config.md#posix-platform-user)
#![forbid(unsafe_code)]

use super::line::{HostStep, InitStep, Line, Origin};
use super::{has_terminal, host, id_mappings, init, namespaces};
use crate::facts::HostFacts;
use crate::{Error, Result};
use oci_spec::runtime::{Process, Spec};

/// Unset means unchanged.
pub(super) fn umask(process: &Process) -> Option<Line> {
    process.user().umask().map(|mask| init(InitStep::SetUmask { mask }, "/process/user/umask"))
}

/// The program gets no descriptor through which it could change a device of the host's. The terminal takes their place anyway.
pub(super) fn reopen_streams(process: &Process) -> Option<Line> {
    (!has_terminal(Some(process))).then(|| init(InitStep::ReopenStreams, Origin::DEFAULT))
}

/// So that the user can open `/dev/stdout`.
pub(super) fn chown_stdio(spec: &Spec, process: &Process, facts: &HostFacts) -> Option<Line> {
    let by_init = !belongs_to_others(spec, facts);
    by_init.then(|| init(InitStep::ChownStdio { uid: process.user().uid() }, "/process/user"))
}

/// The same where init may not. It is adjacent to other lines of the host's, and so costs no round trip.
pub(super) fn chown_streams(spec: &Spec, process: &Process, facts: &HostFacts) -> Option<Line> {
    let by_host = belongs_to_others(spec, facts) && !has_terminal(Some(process));
    by_host.then(|| host(HostStep::ChownStreams { uid: process.user().uid() }, "/process/user"))
}

/// What the host's root has made is nobody's in a user namespace. Of an ordinary user everything is his there too.
fn belongs_to_others(spec: &Spec, facts: &HostFacts) -> bool {
    namespaces::Namespaces::of(spec).has(namespaces::USER) && facts.privileged
}

/// An annotation of crun's, which Podman sets for `--group-add keep-groups`: what the caller may read through a group that
/// is not mapped, the container may then read too.
const KEEP_GROUPS: &str = "run.oci.keep_original_groups";

/// The caller's groups must not stay, unless nobody may change them (user_namespaces(7), "setgroups"), or the engine asks for it.
pub(super) fn groups(spec: &Spec, process: &Process, facts: &HostFacts) -> Result<Option<Line>> {
    let origin = "/process/user/additionalGids";
    let gids = process.user().additional_gids().as_deref().unwrap_or_default();
    if keeps_groups(spec)? {
        // Podman names the process's own group among them, and those that the image's /etc/group gives the user: root of Alpine
        // Linux is in nine. Who sets them loses the caller's, of which a user namespace has no numbers.
        let others = gids.iter().filter(|gid| **gid != process.user().gid());
        let others = others.map(u32::to_string).collect::<Vec<_>>().join(", ");
        if !others.is_empty() {
            log::warn!("{origin}: the annotation {KEEP_GROUPS} keeps the caller's groups: {others} ignored");
        }
        return Ok(None);
    }
    if id_mappings::denies_setgroups(spec, facts) {
        return if gids.is_empty() {
            Ok(None)
        } else {
            Err(Error::config(origin, "cannot set any additional groups in a rootless container"))
        };
    }
    for (index, gid) in gids.iter().enumerate() {
        mapped(spec, &id_mappings::of(spec).1, *gid, &format!("{origin}/{index}"))?;
    }
    let origin = if gids.is_empty() { "/process/user" } else { origin };
    let gids = gids.iter().flat_map(|gid| gid.to_ne_bytes()).collect();
    Ok(Some(init(InitStep::SetGroups { gids }, origin)))
}

/// To crun all but "0" is a yes. A no that is spelled otherwise is one here too, and what is neither is an error.
fn keeps_groups(spec: &Spec) -> Result<bool> {
    let annotation = spec.annotations().as_ref().and_then(|annotations| annotations.get(KEEP_GROUPS));
    match annotation.map_or("", String::as_str).to_ascii_lowercase().as_str() {
        "1" | "true" | "yes" | "on" => Ok(true),
        "" | "0" | "false" | "no" | "off" => Ok(false),
        other => {
            let message = format!("{other:?} is neither a yes nor a no (1, true, 0, false)");
            Err(Error::config(format!("/annotations/{KEEP_GROUPS}"), message))
        }
    }
}

pub(super) fn ids(spec: &Spec, process: &Process) -> Result<Line> {
    let user = process.user();
    let (uids, gids) = id_mappings::of(spec);
    mapped(spec, &uids, user.uid(), "/process/user/uid")?;
    mapped(spec, &gids, user.gid(), "/process/user/gid")?;
    Ok(init(InitStep::SetIds { uid: user.uid(), gid: user.gid() }, "/process/user"))
}

pub(super) fn mapped(spec: &Spec, maps: &[super::line::IdMap], id: u32, origin: &str) -> Result<()> {
    let known = namespaces::Namespaces::of(spec).is_new(namespaces::USER);
    if !known || id_mappings::is_mapped(maps, id) {
        return Ok(());
    }
    Err(Error::config(origin, format!("{id} is not mapped in the container's user namespace")))
}

#[cfg(test)]
mod tests {
    use crate::facts::HostFacts;
    use crate::plan::tests::{check, check_on, check_process, refused};

    #[test]
    fn the_process_becomes_its_user() {
        check_process(
            r#""user": {"uid": 5, "gid": 6, "umask": 18, "additionalGids": [7, 8]}"#,
            "/process/user",
            "init set-umask 0022
             init chown-stdio 5
             init set-groups 7,8
             init set-ids 5:6",
        );
    }

    #[test]
    fn the_callers_groups_and_umask() {
        check_process("", "/process/user", "init chown-stdio 0\n init set-groups none\n init set-ids 0:0");
    }

    fn annotated(value: &str, gids: &str) -> String {
        format!(
            r#"{{"process": {{"args": ["a"], "cwd": "/", "user": {{"gid": 5, "additionalGids": {gids}}}}},
                "annotations": {{"run.oci.keep_original_groups": "{value}"}}}}"#
        )
    }

    #[test]
    fn the_callers_groups_stay_where_an_annotation_says_so() {
        for yes in ["1", "true", "TRUE"] {
            check(&annotated(yes, "[]"), "/process/user", "init chown-stdio 0\n init set-ids 0:5");
            check(&annotated(yes, "[5]"), "/process/user", "init chown-stdio 0\n init set-ids 0:5");
        }
    }

    #[test]
    fn they_go_where_it_says_no_or_nothing() {
        for no in ["0", "false", ""] {
            check(
                &annotated(no, "[]"),
                "/process/user",
                "init chown-stdio 0\n init set-groups none\n init set-ids 0:5",
            );
        }
        refused(
            &annotated("2", "[]"),
            "config.json: /annotations/run.oci.keep_original_groups: \"2\" is neither a yes nor a no (1, true, 0, false)",
        );
    }

    #[test]
    fn the_callers_groups_are_kept_instead_of_others() {
        check(&annotated("1", "[5, 7]"), "/process/user", "init chown-stdio 0\n init set-ids 0:5");
    }

    #[test]
    fn in_a_user_namespace_the_host_gives_the_streams_away() {
        let config = |terminal: bool| {
            format!(
                r#"{{"process": {{"terminal": {terminal}, "args": ["a"], "cwd": "/", "user": {{"uid": 1}}}}, "linux": {{"namespaces": [{{"type": "user"}}, {{"type": "mount"}}],
                "uidMappings": [{{"containerID": 0, "hostID": 1000, "size": 5}}], "gidMappings": [{{"containerID": 0, "hostID": 1000, "size": 5}}]}}}}"#
            )
        };
        check(&config(false), "/process/user", "init set-groups none\n init set-ids 1:0\n host chown-streams 1");
        check(&config(true), "/process/user", "init set-groups none\n init set-ids 1:0");
        let user = HostFacts { euid: 1000, egid: 1000, ..HostFacts::default() };
        check_on(
            &user,
            &config(false),
            "/process/user",
            "init chown-stdio 1\n init set-groups none\n init set-ids 1:0",
        );
    }

    #[test]
    fn a_user_has_to_be_mapped() {
        refused(
            r#"{"process": {"args": ["a"], "cwd": "/", "user": {"uid": 1, "gid": 0}}, "linux": {"namespaces": [{"type": "user"}, {"type": "mount"}],
                "uidMappings": [{"containerID": 0, "hostID": 1000, "size": 1}], "gidMappings": [{"containerID": 0, "hostID": 1000, "size": 1}]}}"#,
            "config.json: /process/user/uid: 1 is not mapped in the container's user namespace",
        );
    }
}
