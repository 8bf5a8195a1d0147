//! What config.json asks of this kernel and it does not have, as far as it says so without being tried.
//!
//! may fail: what cannot be looked at is not foreseen; `create` says what is wrong with it.
#![forbid(unsafe_code)]
use super::{Concern, Finding};
use crate::launch::deadline_range;
use crate::plan::error::escape_key;
use crate::plan::{is_bind, namespace_file, sysctl_path};
use oci_spec::runtime::{Linux, LinuxResources, LinuxSeccomp, LinuxSeccompAction, Mount, Process, Spec};
use std::fs;
use std::path::Path;

pub(super) fn find(spec: &Spec) -> Vec<Finding> {
    let mut findings = Vec::new();
    let mut wrong = |pointer: String, message: String| findings.push(Finding::new(Concern::Host, pointer, message));
    for (index, mount) in spec.mounts().iter().flatten().enumerate() {
        if let Some(kind) = unknown_filesystem(mount) {
            wrong(format!("/mounts/{index}/type"), format!("this kernel has no filesystem {kind}"));
        }
    }
    if let Some(process) = spec.process() {
        about_labels(process, &mut wrong);
        about_scheduler(process, &mut wrong);
    }
    let Some(linux) = spec.linux() else { return findings };
    about_namespaces(linux, &mut wrong);
    for key in linux.sysctl().iter().flatten().map(|(key, _)| key) {
        // Those of a network namespace are the same in all of them.
        if !Path::new("/proc/sys").join(sysctl_path(key)).exists() {
            wrong(format!("/linux/sysctl/{}", escape_key(key)), "this kernel has no such setting".into());
        }
    }
    for name in linux.net_devices().iter().flatten().map(|(name, _)| name) {
        if !Path::new("/sys/class/net").join(name).exists() {
            wrong(format!("/linux/netDevices/{}", escape_key(name)), "there is no such device".into());
        }
    }
    if let Some(resources) = linux.resources() {
        about_resources(resources, &mut wrong);
    }
    if let Some(seccomp) = linux.seccomp() {
        about_seccomp(seccomp, &mut wrong);
    }
    findings
}

fn about_namespaces(linux: &Linux, wrong: &mut impl FnMut(String, String)) {
    for (index, namespace) in linux.namespaces().iter().flatten().enumerate() {
        let file = namespace_file(namespace.typ());
        if !Path::new("/proc/self/ns").join(file).exists() {
            wrong(format!("/linux/namespaces/{index}"), format!("this kernel has no {} namespaces", namespace.typ()));
        } else if namespace.path().is_none() && reads(&format!("/proc/sys/user/max_{file}_namespaces"), "0") {
            wrong(format!("/linux/namespaces/{index}"), format!("/proc/sys/user/max_{file}_namespaces is 0"));
        }
    }
}

fn about_resources(resources: &LinuxResources, wrong: &mut impl FnMut(String, String)) {
    for (index, limit) in resources.hugepage_limits().iter().flatten().enumerate() {
        if kilobytes(limit.page_size()).is_some_and(|size| !has_page_size(size)) {
            let message = format!("this machine has no pages of {}", limit.page_size());
            wrong(format!("/linux/resources/hugepageLimits/{index}/pageSize"), message);
        }
    }
    if let Some(cpu) = resources.cpu() {
        let mut wrong = |key: &str, message: String| wrong(format!("/linux/resources/cpu/{key}"), message);
        for (key, list, what) in [("cpus", cpu.cpus(), "cpu"), ("mems", cpu.mems(), "node")] {
            let online = fs::read_to_string(format!("/sys/devices/system/{what}/online")).unwrap_or_default();
            if let Some(message) = list.as_deref().and_then(|list| not_among(list, online.trim())) {
                wrong(key, message);
            }
        }
        // tg_set_cfs_bandwidth() of the kernel.
        let microseconds = 1_000..=1_000_000;
        if let Some(period) = cpu.period().filter(|period| !microseconds.contains(period) && *period != 0) {
            wrong("period", format!("{period} is not between 1000 and 1000000 microseconds"));
        }
        if let Some(quota) = cpu.quota().filter(|quota| (1..1_000).contains(quota)) {
            wrong("quota", format!("{quota} is less than 1000 microseconds"));
        }
        if let Some(idle) = cpu.idle().filter(|idle| !(0..=1).contains(idle)) {
            wrong("idle", format!("{idle} is neither 0 nor 1"));
        }
    }
}

/// What sched_setattr(2) takes is partly a setting.
fn about_scheduler(process: &Process, wrong: &mut impl FnMut(String, String)) {
    let Some(scheduler) = process.scheduler() else { return };
    let of = |value: &Option<u64>| value.filter(|value| *value != 0);
    if let Some(message) = of(scheduler.period()).or(of(scheduler.deadline())).and_then(deadline_range) {
        let key = if of(scheduler.period()).is_some() { "period" } else { "deadline" };
        wrong(format!("/process/scheduler/{key}"), message);
    }
}

/// Labels, of which the modules know nothing before they are asked for.
fn about_labels(process: &Process, wrong: &mut impl FnMut(String, String)) {
    let profile = process.apparmor_profile().as_deref().unwrap_or_default();
    let enabled = fs::read_to_string("/sys/module/apparmor/parameters/enabled").is_ok_and(|text| text.starts_with('Y'));
    if !profile.is_empty() && !enabled {
        wrong("/process/apparmorProfile".into(), "AppArmor is not enabled on this host".into());
    }
    // Only root may read it.
    let loaded = fs::read_to_string("/sys/kernel/security/apparmor/profiles");
    let has_profile =
        |loaded: String| loaded.lines().any(|line| line.rsplit_once(" (").is_some_and(|(name, _)| name == profile));
    if !matches!(profile, "" | "unconfined") && loaded.is_ok_and(|loaded| !has_profile(loaded)) {
        wrong("/process/apparmorProfile".into(), format!("the profile {profile} is not loaded"));
    }
    let has_label = process.selinux_label().as_deref().is_some_and(|label| !label.is_empty());
    if has_label && !Path::new("/sys/fs/selinux/enforce").exists() {
        wrong("/process/selinuxLabel".into(), "SELinux is not enabled on this host".into());
    }
}

fn about_seccomp(seccomp: &LinuxSeccomp, wrong: &mut impl FnMut(String, String)) {
    let available = fs::read_to_string("/proc/sys/kernel/seccomp/actions_avail").unwrap_or_default();
    let mut check = |action: LinuxSeccompAction, pointer: String| {
        if !available.split_whitespace().any(|name| name == kernel_name(action)) {
            wrong(pointer, format!("this kernel has no {action}"));
        }
    };
    check(seccomp.default_action(), "/linux/seccomp/defaultAction".into());
    for (index, rule) in seccomp.syscalls().iter().flatten().enumerate() {
        check(rule.action(), format!("/linux/seccomp/syscalls/{index}/action"));
    }
    if let Some(path) = seccomp.listener_path().as_ref().filter(|path| !path.as_os_str().is_empty() && !path.exists()) {
        wrong("/linux/seccomp/listenerPath".into(), format!("{}: nobody listens there", path.display()));
    }
}

/// A type that the kernel neither has nor could load a module for.
fn unknown_filesystem(mount: &Mount) -> Option<&str> {
    let kind = mount.typ().as_deref().filter(|kind| !matches!(*kind, "" | "none" | "cgroup"))?;
    if is_bind(mount) || mount.options().iter().flatten().any(|option| option == "remount") {
        return None;
    }
    let known = fs::read_to_string("/proc/filesystems").ok()?;
    if known.lines().any(|line| line.split_whitespace().next_back() == Some(kind)) {
        return None;
    }
    let release = rustix::system::uname().release().to_string_lossy().into_owned();
    let modules = fs::read_to_string(format!("/lib/modules/{release}/modules.alias")).unwrap_or_default();
    let alias = format!("alias fs-{kind} ");
    (!modules.lines().any(|line| line.starts_with(&alias))).then_some(kind)
}

/// What of `list` is no number or range of numbers, or is not in the other list. Of what else cpuset(7) takes nothing is said.
fn not_among(list: &str, online: &str) -> Option<String> {
    let range = |text: &str| {
        let (first, last) = text.split_once('-').unwrap_or((text, text));
        Some(first.trim().parse::<u32>().ok()?..=last.trim().parse::<u32>().ok()?)
    };
    let there: Vec<_> = online.split(',').filter_map(range).collect();
    let known = |part: &str| part.is_empty() || part == "all" || part.contains(['N', ':']);
    list.split(',').map(str::trim).filter(|part| !known(part)).find_map(|part| match range(part) {
        None => Some(format!("{part:?} is neither a number nor a range of numbers")),
        Some(wanted)
            if [wanted.start(), wanted.end()].iter().all(|end| there.iter().any(|there| there.contains(end))) =>
        {
            None
        }
        Some(_) => Some(format!("{part} is not online here: {online} is")),
    })
}

fn reads(path: &str, value: &str) -> bool {
    fs::read_to_string(path).is_ok_and(|text| text.trim() == value)
}

/// `2MB`, as the specification spells it.
fn kilobytes(size: &str) -> Option<u64> {
    let unit =
        |name, factor| size.strip_suffix(name).and_then(|digits| digits.parse::<u64>().ok()?.checked_mul(factor));
    unit("KB", 1).or_else(|| unit("MB", 1 << 10)).or_else(|| unit("GB", 1 << 20))
}

fn has_page_size(kilobytes: u64) -> bool {
    Path::new(&format!("/sys/kernel/mm/hugepages/hugepages-{kilobytes}kB")).exists()
}

/// As `actions_avail` spells it (seccomp(2)).
fn kernel_name(action: LinuxSeccompAction) -> &'static str {
    match action {
        LinuxSeccompAction::ScmpActKill | LinuxSeccompAction::ScmpActKillThread => "kill_thread",
        LinuxSeccompAction::ScmpActKillProcess => "kill_process",
        LinuxSeccompAction::ScmpActTrap => "trap",
        LinuxSeccompAction::ScmpActErrno => "errno",
        LinuxSeccompAction::ScmpActNotify => "user_notif",
        LinuxSeccompAction::ScmpActTrace => "trace",
        LinuxSeccompAction::ScmpActLog => "log",
        LinuxSeccompAction::ScmpActAllow => "allow",
    }
}

#[cfg(test)]
mod tests {
    use super::{find, not_among};

    #[test]
    fn a_list_of_processors_is_held_against_those_that_are_online() {
        for fine in ["0-1", "3", "", "all", "0-N", "0-3:1/2", "0, 1"] {
            assert_eq!(not_among(fine, "0-1,3"), None, "{fine}");
        }
        assert_eq!(not_among("0,2", "0-1,3").unwrap(), "2 is not online here: 0-1,3 is");
        assert_eq!(not_among("1-9", "0-1,3").unwrap(), "1-9 is not online here: 0-1,3 is");
        assert!(not_among("0,x", "0-1,3").unwrap().contains("neither a number"));
    }

    #[test]
    fn what_no_kernel_has_is_told_by_its_place() {
        let config = r#"{"ociVersion": "1.3.0", "root": {"path": "r"},
            "mounts": [{"destination": "/a", "type": "tmpfs"}, {"destination": "/b", "type": "nosuchfs"},
                {"destination": "/c", "type": "nosuchfs", "source": "/", "options": ["bind"]}],
            "linux": {"namespaces": [{"type": "mount"}, {"type": "network"}, {"type": "ipc"}],
                "sysctl": {"kernel.no.such": "1", "kernel.shmmax": "1"}, "netDevices": {"lo": {}, "nosuch0": {}},
                "resources": {"hugepageLimits": [{"pageSize": "3MB", "limit": 1}]},
                "seccomp": {"defaultAction": "SCMP_ACT_ALLOW", "listenerPath": "/no/such/socket"}}}"#;
        let bundle = crate::Bundle::from_parts("/bundle".into(), config.into()).unwrap();
        let mut told: Vec<_> = find(bundle.spec()).into_iter().map(|finding| finding.pointer).collect();
        told.sort();
        assert_eq!(
            told,
            [
                "/linux/netDevices/nosuch0",
                "/linux/resources/hugepageLimits/0/pageSize",
                "/linux/seccomp/listenerPath",
                "/linux/sysctl/kernel.no.such",
                "/mounts/1/type"
            ]
        );
    }
}
