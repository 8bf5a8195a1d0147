//! [IntelRdt](https://github.com/opencontainers/runtime-spec/blob/v1.3.0/config-linux.md#intelrdt): the container's class of
//! service in resctrl, and a group to monitor it.
#![forbid(unsafe_code)]

use super::line::{HostStep, Line};
use super::{Context, given, host};
use crate::{Error, ErrorKind, Result};
use oci_spec::runtime::LinuxIntelRdt;
use std::path::{Path, PathBuf};

/// The lines, and what goes with the container: of a class that has a name (`closID`) nothing does.
#[derive(Default)]
pub(super) struct IntelRdt {
    pub(super) lines: Vec<Line>,
    pub(super) own: Vec<PathBuf>,
}

pub(super) fn plan(context: &Context) -> Result<IntelRdt> {
    const ORIGIN: &str = "/linux/intelRdt";
    let Some(rdt) = context.linux().and_then(|linux| linux.intel_rdt().as_ref()) else {
        return Ok(IntelRdt::default());
    };
    let mount = context.facts.resctrl.as_ref().ok_or_else(|| {
        Error::config(ORIGIN, "no resctrl filesystem is mounted at /sys/fs/resctrl").with_kind(ErrorKind::Unsupported)
    })?;
    let named = given(rdt.clos_id());
    let class = class(rdt, mount, &context.options.id);
    // "`l3CacheSchema` first and `memBwSchema` last", and `schemata` after both.
    let own = [given(rdt.l3_cache_schema()), given(rdt.mem_bw_schema())].into_iter().flatten();
    let more = rdt.schemata().iter().flatten().map(String::as_str);
    let schemata: Vec<_> = own.chain(more).map(str::to_owned).collect();

    let mut plan = IntelRdt::default();
    let mut line = |step| plan.lines.push(host(step, ORIGIN));
    // A named class without schemata has been made by somebody else.
    if named.is_none() || !schemata.is_empty() {
        line(HostStep::MakeRdtClass { directory: class.clone(), schemata, shared: named.is_some() });
    }
    line(HostStep::JoinRdtGroup { directory: class.clone() });
    if rdt.enable_monitoring().unwrap_or(false) {
        let directory = class.join("mon_groups").join(&context.options.id);
        line(HostStep::MakeRdtMonitor { directory: directory.clone() });
        line(HostStep::JoinRdtGroup { directory: directory.clone() });
        plan.own.push(directory);
    }
    if named.is_none() {
        plan.own.push(class);
    }
    Ok(plan)
}

/// The directory of the container's class of service.
pub fn class(rdt: &LinuxIntelRdt, mount: &Path, id: &str) -> PathBuf {
    match given(rdt.clos_id()) {
        Some("/") => mount.to_owned(),
        name => mount.join(name.unwrap_or(id)),
    }
}

#[cfg(test)]
mod tests {
    use crate::facts::HostFacts;
    use crate::plan::tests::{check_on, facts, options, refused, spec_of};
    use std::path::PathBuf;

    fn resctrl() -> HostFacts {
        HostFacts { resctrl: Some("/sys/fs/resctrl".into()), ..facts() }
    }

    #[track_caller]
    fn check(rdt: &str, lines: &str, own: &[&str]) {
        let config = format!(r#"{{"linux": {{"namespaces": [{{"type": "mount"}}], "intelRdt": {{{rdt}}}}}}}"#);
        check_on(&resctrl(), &config, "/linux/intelRdt", lines);
        let plan = crate::plan::create("/bundle".as_ref(), &spec_of(&config), &resctrl(), &options()).unwrap();
        assert_eq!(plan.intel_rdt, own.iter().map(PathBuf::from).collect::<Vec<_>>());
    }

    #[test]
    fn a_container_has_a_class_of_its_own() {
        check(
            r#""memBwSchema": "MB:0=20", "l3CacheSchema": "L3:0=f", "schemata": ["L2:0=3"]"#,
            "host make-rdt-class /sys/fs/resctrl/web L3:0=f, MB:0=20, L2:0=3
             host join-rdt-group /sys/fs/resctrl/web",
            &["/sys/fs/resctrl/web"],
        );
    }

    #[test]
    fn a_named_class_may_be_there_and_stays() {
        check(
            r#""closID": "gold", "schemata": ["L3:0=f"]"#,
            "host make-rdt-class /sys/fs/resctrl/gold L3:0=f unless it is there
             host join-rdt-group /sys/fs/resctrl/gold",
            &[],
        );
        check(r#""closID": "gold""#, "host join-rdt-group /sys/fs/resctrl/gold", &[]);
        check(r#""closID": "/""#, "host join-rdt-group /sys/fs/resctrl", &[]);
    }

    #[test]
    fn a_monitor_goes_with_the_container() {
        check(
            r#""closID": "gold", "enableMonitoring": true"#,
            "host join-rdt-group /sys/fs/resctrl/gold
             host make-rdt-monitor /sys/fs/resctrl/gold/mon_groups/web
             host join-rdt-group /sys/fs/resctrl/gold/mon_groups/web",
            &["/sys/fs/resctrl/gold/mon_groups/web"],
        );
    }

    #[test]
    fn what_is_wrong_is_refused() {
        let config = |rdt: &str| format!(r#"{{"linux": {{"intelRdt": {{{rdt}}}}}}}"#);
        refused(
            &config(r#""closID": "a""#),
            "config.json: /linux/intelRdt: no resctrl filesystem is mounted at /sys/fs/resctrl",
        );
        refused(&config(r#""closID": "a/b""#), r#"config.json: /linux/intelRdt/closID: invalid intelRdt.ClosID "a/b""#);
        refused(
            &config(r#""memBwSchema": "L3:0=f""#),
            "config.json: /linux/intelRdt/memBwSchema: it has to begin with MB:",
        );
        refused(
            &config(r#""schemata": ["L3:0=f\nMB:0=1"]"#),
            "config.json: /linux/intelRdt/schemata/0: it must not contain a newline",
        );
    }
}
