//! What the fuzz targets in `../fuzz` do with what only the plan reads. Each panics if something does not hold. The ordinary tests
//! do the same with the seeds.
use crate::plan::{PlanOptions, laws, mount_options};
use crate::{CgroupManager, Error, Hierarchy, HostFacts, Systemd, seccomp};

/// A config.json: a plan of which the laws hold, on one host or another, or an error that says where it is.
pub fn config(bytes: &[u8]) {
    let hosts = hosts();
    config_on(&hosts[usize::try_from(number(bytes)).unwrap_or(0) % hosts.len()], bytes);
}

fn config_on((facts, options): &(HostFacts, PlanOptions), bytes: &[u8]) {
    if let Err(error) = laws::hold(bytes, facts, options) {
        says_something(&error);
    }
}

/// What is chosen depends on the input alone.
fn number(bytes: &[u8]) -> u64 {
    bytes.iter().fold(0, |number: u64, byte| number.wrapping_mul(31).wrapping_add(u64::from(*byte)))
}

/// Root with cgroup v2; root with cgroup v1 and no pivot; systemd; no cgroups; an ordinary user; root of a user namespace.
pub fn hosts() -> [(HostFacts, PlanOptions); 6] {
    let hierarchy = Hierarchy::example;
    let v2 = vec![hierarchy(&["cpu", "cpuset", "io", "memory", "hugetlb", "pids", "rdma"], "/sys/fs/cgroup", true)];
    let v1 = [
        "cpu",
        "cpuset",
        "devices",
        "memory",
        "pids",
        "blkio",
        "hugetlb",
        "net_cls",
        "net_prio",
        "rdma",
        "name=systemd",
    ];
    let v1 = v1.map(|name| hierarchy(&[name], &format!("/sys/fs/cgroup/{name}"), false)).to_vec();
    let resctrl = Some("/sys/fs/resctrl".into());
    let root = HostFacts { privileged: true, hierarchies: v2.clone(), resctrl, ..HostFacts::default() };
    let with_v1 = HostFacts { hierarchies: v1, ..root.clone() };
    let with_systemd = HostFacts { systemd: Some(Systemd::default()), ..root.clone() };
    let user = HostFacts { euid: 1000, egid: 1000, missing_capabilities: !0, hierarchies: v2, ..HostFacts::default() };
    let nested = HostFacts { in_user_namespace: true, setgroups_denied: true, ..root.clone() };
    let options = PlanOptions { id: "web".into(), ..PlanOptions::default() };
    let without = PlanOptions { cgroup_manager: CgroupManager::Disabled, ..options.clone() };
    let systemd = PlanOptions { cgroup_manager: CgroupManager::Systemd, ..options.clone() };
    let notify = PlanOptions { notify: Some("/run/plimsoll/web/notify".into()), ..options.clone() };
    let no_pivot = PlanOptions { no_pivot: true, no_new_keyring: true, preserve_fds: 3, ..options.clone() };
    [
        (root.clone(), options.clone()),
        (with_v1, no_pivot),
        (with_systemd, systemd),
        (root, without),
        (user, notify),
        (nested, options),
    ]
}

/// A file in JSON that a stranger has written: it means the same however it is read, and however its keys are spelled.
pub fn json(bytes: &[u8]) {
    crate::json::laws::hold(bytes);
}

/// The options of a mount, one a line: what they come to, and a plan with them.
pub fn mount_options(bytes: &[u8]) {
    let Ok(text) = std::str::from_utf8(bytes) else { return };
    let options: Vec<String> = text.split('\n').map(str::to_owned).collect();
    mount_options::laws::hold(&options);
    for kind in ["tmpfs", "proc", "sysfs", "cgroup", "bind", "overlay", ""] {
        let config = serde_json::json!({
            "ociVersion": "1.3.0",
            "root": {"path": "rootfs"},
            "mounts": [{"destination": "/data", "type": kind, "source": "/srv", "options": options}],
            "linux": {"namespaces": [{"type": "mount"}]},
        });
        let [root, .., nested] = hosts();
        for (facts, plan_options) in [root, nested] {
            if let Err(error) = laws::hold(config.to_string().as_bytes(), &facts, &plan_options) {
                let about = error.origin().is_some_and(|origin| origin.starts_with("/mounts/0"));
                assert!(about, "{error}");
                says_something(&error);
            }
        }
    }
}

/// A `linux.seccomp`: a program that does what the profile means, or what is wrong with it and where.
pub fn seccomp(bytes: &[u8]) {
    let Ok(profile) = serde_json::from_slice(bytes) else { return };
    if let Err(problem) = seccomp::check_meaning(&profile, number(bytes)) {
        let tree: serde_json::Value = serde_json::from_slice(bytes).unwrap();
        // What is missing has a place as well.
        let missing = matches!(problem.pointer.as_str(), "/defaultErrnoRet" | "/architectures");
        assert!(missing || tree.pointer(&problem.pointer).is_some(), "{problem}");
        says_something(&Error::config(problem.pointer, problem.message));
    }
}

/// What is quoted of the input stays as it is: whoever shows an error takes care of its control characters.
pub fn says_something(error: &Error) {
    assert!(!error.to_string().trim().is_empty(), "{error:?}");
}

#[cfg(test)]
mod tests {
    /// What `fuzz/run` starts from.
    fn each_seed_of(target: &str, run: fn(&[u8])) {
        let directory = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../fuzz/seeds").join(target);
        let mut seen = 0;
        for seed in std::fs::read_dir(directory).unwrap() {
            run(&std::fs::read(seed.unwrap().path()).unwrap());
            seen += 1;
        }
        assert!(seen >= 3, "{seen} seeds");
    }

    #[test]
    fn what_holds_for_any_configuration_holds_for_the_seeds() {
        each_seed_of("config", |bytes| super::hosts().iter().for_each(|host| super::config_on(host, bytes)));
    }

    #[test]
    fn what_holds_for_any_json_holds_for_the_seeds() {
        each_seed_of("json", super::json);
        each_seed_of("config", super::json);
    }

    #[test]
    fn what_holds_for_any_mount_options_holds_for_the_seeds() {
        each_seed_of("mount-options", super::mount_options);
    }

    #[test]
    fn what_holds_for_any_seccomp_profile_holds_for_the_seeds() {
        each_seed_of("seccomp", super::seccomp);
    }
}
