//! On the host's own hierarchies, below a parent of our own. Needs root; says so and does nothing otherwise.
use super::directory::Directory;
use super::*;
use crate::container::CgroupManager;
use crate::plan::cgroup::plan;
use crate::plan::line::{Action, HostStep};
use crate::{ErrorKind, HostFacts};
use oci_spec::runtime::{LinuxResources, Spec};
use std::io::Write;
use std::os::fd::AsFd;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::time::Instant;

/// Uncaptured: `integration-tests/test` counts these lines.
fn skipped(name: &str, reason: &str) {
    // Nobody is worse off for a line that cannot be written.
    let _ = writeln!(std::io::stderr(), "SKIPPED: cgroup::{name}: {reason}");
}

/// Groups of a container that does not exist, and what is planned for them.
struct Lab {
    groups: Vec<Group>,
    steps: Vec<HostStep>,
    parents: Vec<PathBuf>,
}

impl Lab {
    /// `linux` is the object in config.json, without its cgroupsPath.
    fn new(name: &str, linux: &str) -> Option<Lab> {
        let facts = HostFacts::probe().unwrap();
        if facts.euid != 0 || facts.in_user_namespace || facts.hierarchies.iter().any(|hierarchy| !hierarchy.writable) {
            skipped(name, "needs root and writable control groups");
            return None;
        }
        if linux != "{}" && facts.hierarchies.iter().all(|hierarchy| hierarchy.unified) {
            skipped(name, "needs cgroup v1");
            return None;
        }
        let parent = format!("plimsoll-unit-{}-{name}", std::process::id());
        let spec = format!(r#"{{"ociVersion": "1.3.0", "linux": {linux}}}"#);
        let mut spec: Spec = serde_json::from_str(&spec).unwrap();
        let mut linux = spec.linux().clone().unwrap();
        linux.set_cgroups_path(Some(format!("/{parent}/{name}").into()));
        spec.set_linux(Some(linux));
        let plan = plan(&spec, &facts, name, CgroupManager::Cgroupfs).unwrap();
        let steps = plan.lines.into_iter().filter_map(|line| match line.action {
            Action::Host(step) => Some(step),
            Action::Init(_) => None,
        });
        let parents = facts.hierarchies.iter().map(|hierarchy| hierarchy.mount.join(&parent)).collect();
        Some(Lab { groups: plan.groups, steps: steps.collect(), parents })
    }

    /// Plays the lines, as `launch` does.
    fn play(self) -> Lab {
        for step in &self.steps {
            match step {
                HostStep::CreateCgroup { groups } => drop(create(groups).unwrap()),
                HostStep::WriteCgroup { file, value, tolerate } => write(file, value, tolerate).unwrap(),
                HostStep::AttachDeviceProgram { directory, program } => {
                    attach_device_program(directory, program).unwrap()
                }
                other => panic!("{other:?}"),
            }
        }
        self
    }

    /// The same lab with only the v2 group of a hybrid host: v2 alone, as far as freezing, killing and devices go.
    fn only_v2(mut self) -> Option<Lab> {
        self.groups.retain(|group| group.unified);
        self.steps.retain(|step| matches!(step, HostStep::CreateCgroup { .. }));
        self.steps = vec![HostStep::CreateCgroup { groups: self.groups.clone() }];
        (!self.groups.is_empty()).then_some(self)
    }

    fn group(&self, controller: &str) -> PathBuf {
        let holds = |group: &&Group| group.controllers.iter().any(|name| name == controller);
        self.groups.iter().find(holds).unwrap().directory.clone()
    }

    fn read(&self, controller: &str, file: &str) -> String {
        std::fs::read_to_string(self.group(controller).join(file)).unwrap().trim().to_owned()
    }

    /// Runs a shell in the groups, or in groups below them.
    fn shell(&self, below: &str, script: &str) -> Child {
        let mut enter = String::new();
        for group in &self.groups {
            let file = if group.unified { "cgroup.procs" } else { "tasks" };
            enter += &format!("echo 0 > {}/{below}/{file} && ", group.directory.display());
        }
        let mut command = Command::new("sh");
        let child = command
            .arg("-c")
            .arg(format!("{enter}{script}"))
            .stdin(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let pid = i32::try_from(child.id()).unwrap();
        wait_until("the shell has entered", || {
            let top = Directory::open(&self.groups.last().unwrap().directory).unwrap();
            top.pids().unwrap().contains(&pid) || ended(pid)
        });
        child
    }

    /// As a container does it: no controllers on v2, which could not then have processes on the way.
    fn nest(&self, below: &str) {
        let mut v1: Vec<Group> = self.groups.iter().filter(|group| !group.unified).cloned().collect();
        v1.iter_mut().for_each(|group| group.directory.push(below));
        create(&v1).unwrap();
        for group in self.groups.iter().filter(|group| group.unified) {
            let made = Command::new("mkdir").arg("-p").arg(group.directory.join(below)).status().unwrap();
            assert!(made.success());
        }
    }
}

impl Drop for Lab {
    fn drop(&mut self) {
        if std::thread::panicking() {
            _ = kill_all(&self.groups, libc::SIGKILL).and_then(|_| remove(&self.groups, &[]));
            self.parents.iter().for_each(|parent| _ = rustix::fs::rmdir(parent));
            return;
        }
        kill_all(&self.groups, libc::SIGKILL).unwrap();
        remove(&self.groups, &[]).unwrap();
        for parent in &self.parents {
            // Some tests do not use every hierarchy.
            assert!(matches!(rustix::fs::rmdir(parent), Ok(()) | Err(Errno::NOENT)));
        }
    }
}

fn ended(pid: i32) -> bool {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    stat.is_empty() || stat.contains(") Z ")
}

#[track_caller]
fn wait_until(what: &str, mut is_so: impl FnMut() -> bool) {
    let deadline = Instant::now() + Duration::from_secs(5);
    while !is_so() {
        assert!(Instant::now() < deadline, "in vain: {what}");
        std::thread::sleep(Duration::from_millis(2));
    }
}

fn pid(child: &Child) -> i32 {
    i32::try_from(child.id()).unwrap()
}

#[track_caller]
fn killed(mut child: Child) {
    use std::os::unix::process::ExitStatusExt;
    assert_eq!(child.wait().unwrap().signal(), Some(libc::SIGKILL));
}

#[test]
fn limits_land_in_the_files() {
    let linux = r#"{"resources": {
        "memory": {"limit": 67108864, "swap": 134217728, "reservation": 33554432, "swappiness": 10, "useHierarchy": true},
        "cpu": {"shares": 512, "quota": 50000, "period": 200000, "burst": 1000, "cpus": "0", "mems": "0"},
        "pids": {"limit": 17}, "blockIO": {"weight": 200}}}"#;
    let Some(lab) = Lab::new("limits", linux) else { return };
    let lab = lab.play();
    assert_eq!(lab.read("memory", "memory.limit_in_bytes"), "67108864");
    assert_eq!(lab.read("memory", "memory.memsw.limit_in_bytes"), "134217728");
    assert_eq!(lab.read("memory", "memory.soft_limit_in_bytes"), "33554432");
    assert_eq!(lab.read("memory", "memory.swappiness"), "10");
    assert_eq!(lab.read("cpu", "cpu.shares"), "512");
    assert_eq!(lab.read("cpu", "cpu.cfs_period_us"), "200000");
    assert_eq!(lab.read("cpu", "cpu.cfs_quota_us"), "50000");
    assert_eq!(lab.read("cpu", "cpu.cfs_burst_us"), "1000");
    assert_eq!(lab.read("cpuset", "cpuset.cpus"), "0");
    assert_eq!(lab.read("pids", "pids.max"), "17");
    assert_eq!(lab.read("blkio", "blkio.bfq.weight"), "200");
    assert!(lab.read("devices", "devices.list").starts_with("b *:* m\nc *:* m\nc 1:3 rwm"));
    // A new cpuset is empty, and nothing could enter it.
    let mut child = lab.shell("", "exec sleep 1000");
    assert_eq!(pids(&lab.groups).unwrap(), [pid(&child)]);
    assert!(kill_all(&lab.groups, libc::SIGTERM).unwrap());
    child.wait().unwrap();
}

#[test]
fn hugepage_limits_land_on_the_v2_side() {
    // Not if somebody has mounted the controller as v1.
    let is_v2 =
        |hierarchy: &crate::Hierarchy| hierarchy.unified && hierarchy.controllers.contains(&"hugetlb".to_owned());
    if !HostFacts::probe().unwrap().hierarchies.iter().any(is_v2) {
        return skipped("hugepages", "needs the hugetlb controller on cgroup v2");
    }
    let linux = r#"{"resources": {"hugepageLimits": [{"pageSize": "2MB", "limit": 4194304}]}}"#;
    let Some(lab) = Lab::new("hugepages", linux) else { return };
    let lab = lab.play();
    assert_eq!(lab.read("hugetlb", "hugetlb.2MB.max"), "4194304");
    assert_eq!(lab.read("hugetlb", "hugetlb.2MB.rsvd.max"), "4194304");
}

#[test]
fn a_device_that_is_not_allowed_cannot_be_opened() {
    let Some(lab) = Lab::new("devices", "{}") else { return };
    let lab = lab.play();
    let opens = |path: &str| lab.shell("", &format!("exec 3<{path}")).wait().unwrap().success();
    assert!(opens("/dev/null"));
    assert!(!opens("/dev/kmsg"));
}

#[test]
fn a_frozen_container_stands_still_until_it_is_thawed() {
    for (name, v2) in [("freeze-v1", false), ("freeze-v2", true)] {
        let Some(lab) = Lab::new(name, "{}") else { return };
        let Some(lab) = (if v2 { lab.only_v2() } else { Some(lab) }) else { return };
        let lab = lab.play();
        let child = lab.shell("", "while :; do :; done");
        assert!(!is_frozen(&lab.groups).unwrap());
        freeze(&lab.groups).unwrap();
        assert!(is_frozen(&lab.groups).unwrap());
        let time = || std::fs::read_to_string(format!("/proc/{}/schedstat", pid(&child))).unwrap();
        let before = time();
        std::thread::sleep(Duration::from_millis(20));
        assert_eq!(time(), before, "{name}");
        thaw(&lab.groups).unwrap();
        assert!(!is_frozen(&lab.groups).unwrap());
        wait_until("it runs", || time() != before);
        // A paused container can be killed.
        freeze(&lab.groups).unwrap();
        assert!(kill_all(&lab.groups, libc::SIGKILL).unwrap());
        killed(child);
    }
}

#[test]
fn nested_groups_die_and_go_with_their_container() {
    for (name, v2) in [("nested-v1", false), ("nested-v2", true)] {
        let Some(lab) = Lab::new(name, "{}") else { return };
        let Some(lab) = (if v2 { lab.only_v2() } else { Some(lab) }) else { return };
        let lab = lab.play();
        for below in ["a/b/c", "a/d", "e"] {
            lab.nest(below);
        }
        let children = ["", "a/b/c", "a/d", "e"].map(|below| lab.shell(below, "exec sleep 1000"));
        let mut expected: Vec<i32> = children.iter().map(pid).collect();
        expected.sort_unstable();
        assert_eq!(pids(&lab.groups).unwrap(), expected, "{name}");
        // The container has frozen one of its own groups.
        let below: Vec<Group> =
            lab.groups.iter().map(|group| Group { directory: group.directory.join("a"), ..group.clone() }).collect();
        freeze(&below).unwrap();
        assert!(kill_all(&lab.groups, libc::SIGKILL).unwrap());
        // Removal waits for them; nobody has reaped them.
        remove(&lab.groups, &[]).unwrap();
        assert!(!lab.groups[0].directory.exists());
        children.into_iter().for_each(killed);
        assert!(!kill_all(&lab.groups, libc::SIGKILL).unwrap(), "there is no group any more");
        assert!(pids(&lab.groups).unwrap().is_empty());
    }
}

/// However deep: with a few descriptors, not one per level.
#[test]
fn very_deep_groups_are_removed() {
    let Some(lab) = Lab::new("deep", "{}") else { return };
    let Some(lab) = lab.only_v2() else { return };
    let lab = lab.play();
    let mut at = Directory::open(&lab.groups[0].directory).unwrap();
    for _ in 0..1500 {
        rustix::fs::mkdirat(&at, "deeper", rustix::fs::Mode::from_raw_mode(0o755)).unwrap();
        at = at.child("deeper").unwrap();
    }
    remove(&lab.groups, &[]).unwrap();
}

#[test]
fn a_process_that_stays_is_named() {
    let Some(lab) = Lab::new("stays", "{}") else { return };
    let lab = lab.play();
    let mut child = lab.shell("", "exec sleep 1000");
    let error = super::remove::remove_within(&lab.groups, &[], Duration::from_millis(30)).unwrap_err().to_string();
    assert!(error.contains("resource busy"), "{error}");
    assert!(error.contains(&format!("process {} (sleep, ", pid(&child))), "{error}");
    kill_all(&lab.groups, libc::SIGKILL).unwrap();
    child.wait().unwrap();
}

#[test]
fn a_fork_bomb_is_killed() {
    let Some(lab) = Lab::new("bomb", r#"{"resources": {"pids": {"limit": 150}}}"#) else { return };
    // Without cgroup.kill, the freezer has to do.
    let mut lab = lab.play();
    let (unified, groups): (Vec<_>, _) = lab.groups.drain(..).partition(|group| group.unified);
    lab.groups = groups;
    // A shell that cannot fork ends: the first forks once, while there is a place.
    let child = lab.shell("", "bomb() { bomb & bomb & exec sleep 1000; }; bomb & exec sleep 1000");
    wait_until("it is a crowd", || pids(&lab.groups).unwrap().len() > 50);
    assert!(kill_all(&lab.groups, libc::SIGKILL).unwrap());
    remove(&lab.groups, &[]).unwrap();
    killed(child);
    lab.groups.extend(unified);
}

#[test]
fn an_existing_group_is_taken_if_it_is_empty() {
    let Some(lab) = Lab::new("existing", "{}") else { return };
    let lab = lab.play();
    create(&lab.groups).unwrap().undo();
    assert!(lab.groups.iter().all(|group| group.directory.exists()), "they were there before");
    let mut child = lab.shell("", "exec sleep 1000");
    let error = create(&lab.groups).unwrap_err();
    assert!(error.to_string().starts_with("container's cgroup is not empty: 1 process(es) found"), "{error}");
    assert_eq!(error.kind(), ErrorKind::Busy);
    kill_all(&lab.groups, libc::SIGKILL).unwrap();
    child.wait().unwrap();
    freeze(&lab.groups).unwrap();
    let error = create(&lab.groups).unwrap_err();
    assert!(error.to_string().starts_with("container's cgroup unexpectedly frozen"), "{error}");
    // Below a frozen group neither.
    let mut below = lab.groups.clone();
    below.iter_mut().for_each(|group| group.directory.push("below"));
    assert!(create(&below).is_err());
    assert!(below.iter().all(|group| !group.directory.exists()), "what was made is gone");
    thaw(&lab.groups).unwrap();
}

#[test]
fn nothing_is_made_outside_of_a_cgroup_filesystem() {
    let directory = std::env::temp_dir().join(format!("plimsoll-no-cgroup-{}", std::process::id())).join("web");
    let group = Group { controllers: Vec::new(), directory: directory.clone(), unified: true };
    let error = create(&[group]).unwrap_err();
    assert!(error.to_string().contains("is not in a cgroup filesystem"), "{error}");
    assert!(!directory.parent().unwrap().exists());
}

#[test]
fn a_failed_write_says_what_and_why() {
    let Some(lab) = Lab::new("write", r#"{"resources": {"pids": {"limit": 5}}}"#) else { return };
    let lab = lab.play();
    let file = lab.group("memory").join("memory.nothing");
    let error = write(&file, "1", &Tolerate::Nothing).unwrap_err().to_string();
    let (group, name) = super::split(&file);
    // Short, and the place last.
    assert!(error.starts_with(&format!("write \"1\" to {name}: openat: no such file")), "{error}");
    assert!(error.ends_with(&format!("this kernel has no such setting: in {}", group.display())), "{error}");
    write(&file, "1", &Tolerate::Missing).unwrap();
    let other = lab.group("pids").join("pids.max");
    write(&file, "1", &Tolerate::Otherwise { file: other, value: "33".to_owned() }).unwrap();
    assert_eq!(lab.read("pids", "pids.max"), "33");
    let error = write(&lab.group("pids").join("pids.max"), "x", &Tolerate::Missing).unwrap_err();
    assert_eq!(error.errno(), Some(libc::EINVAL));
}

#[test]
fn a_device_program_takes_the_place_of_the_one_before() {
    let rules = |json: &str| {
        let spec = format!(r#"{{"ociVersion": "1.3.0", "linux": {{"resources": {{"devices": {json}}}}}}}"#);
        let hierarchy =
            crate::Hierarchy { mount: "/x".into(), own: "/".to_owned(), unified: true, ..Default::default() };
        let facts = crate::plan::HostFacts { privileged: true, hierarchies: vec![hierarchy], ..Default::default() };
        let plan = plan(&serde_json::from_str(&spec).unwrap(), &facts, "x", CgroupManager::Cgroupfs).unwrap();
        match plan.lines.into_iter().next_back().unwrap().action {
            Action::Host(HostStep::AttachDeviceProgram { program, .. }) => program,
            other => panic!("{other:?}"),
        }
    };
    let Some(lab) = Lab::new("program", "{}") else { return };
    let Some(lab) = lab.only_v2() else { return };
    let lab = lab.play();
    let directory = &lab.groups[0].directory;
    let opens = |path: &str| lab.shell("", &format!("exec 3<{path}")).wait().unwrap().success();
    let attached = || super::bpf::device_programs(std::fs::File::open(directory).unwrap().as_fd()).unwrap();
    assert!(opens("/dev/kmsg"));
    attach_device_program(directory, &rules("[]")).unwrap();
    let first = attached();
    assert!(opens("/dev/null") && opens("/dev/zero") && !opens("/dev/kmsg"));
    attach_device_program(
        directory,
        &rules(r#"[{"allow": true, "type": "c", "major": 1, "minor": 11, "access": "r"}]"#),
    )
    .unwrap();
    assert!(opens("/dev/null") && opens("/dev/kmsg"));
    assert_eq!(attached().len(), 1);
    assert_ne!(attached(), first);
    attach_device_program(
        directory,
        &rules(r#"[{"allow": true}, {"allow": false, "type": "c", "major": 1, "minor": 11}]"#),
    )
    .unwrap();
    assert!(opens("/dev/null") && !opens("/dev/kmsg"));
    // The verifier's words.
    let error = attach_device_program(directory, &[0x95, 0, 0, 0, 0, 0, 0, 0]).unwrap_err().to_string();
    assert!(error.contains("R0 !read_ok"), "{error}");
}

#[test]
fn an_update_is_whole_or_nothing() {
    let linux = r#"{"resources": {"memory": {"limit": 33554432, "swap": 67108864}, "pids": {"limit": 20},
        "cpu": {"shares": 512, "quota": 50000, "period": 100000, "burst": 50000}}}"#;
    let Some(lab) = Lab::new("update", linux) else { return };
    let lab = lab.play();
    let resources = |json: &str| serde_json::from_str::<LinuxResources>(json).unwrap();
    let state = || {
        let files = ["memory.limit_in_bytes", "memory.memsw.limit_in_bytes"].map(|file| lab.read("memory", file));
        let cpu = ["cpu.shares", "cpu.cfs_quota_us", "cpu.cfs_period_us", "cpu.cfs_burst_us", "cpu.idle"];
        format!(
            "{} {} {}",
            files.join(" "),
            cpu.map(|file| lab.read("cpu", file)).join(" "),
            lab.read("pids", "pids.max")
        )
    };
    // Up: memory may not pass memory+swap, which has to go first.
    update(&lab.groups, &resources(r#"{"memory": {"limit": 134217728, "swap": 268435456}}"#), |_| Ok(()), || Ok(()))
        .unwrap();
    assert_eq!(state(), "134217728 268435456 512 50000 100000 50000 0 20");
    // Down: the other way round. A quota below the burst needs the burst lowered first.
    let down = r#"{"memory": {"limit": 16777216, "swap": 16777216}, "cpu": {"quota": 20000, "burst": 0}, "pids": {"limit": -1}}"#;
    update(&lab.groups, &resources(down), |_| Ok(()), || Ok(())).unwrap();
    assert_eq!(state(), "16777216 16777216 512 20000 100000 0 0 max");
    // Out of range only for the kernel: nothing changes.
    let before = state();
    let half = r#"{"memory": {"limit": 33554432, "swap": 33554432}, "cpu": {"shares": 100, "period": 50000, "quota": 5}, "pids": {"limit": 3}}"#;
    let error = update(&lab.groups, &resources(half), |_| Ok(()), || Ok(())).unwrap_err().to_string();
    assert!(error.contains("cpu.cfs_quota_us"), "{error}");
    assert_eq!(state(), before);
    // An idle group has no shares to set.
    update(&lab.groups, &resources(r#"{"cpu": {"idle": 1}}"#), |_| Ok(()), || Ok(())).unwrap();
    update(&lab.groups, &resources(r#"{"cpu": {"shares": 300, "idle": 0}}"#), |_| Ok(()), || Ok(())).unwrap();
    assert_eq!(state(), "16777216 16777216 300 20000 100000 0 0 max");
    update(&lab.groups, &resources(r#"{"memory": {"limit": -1}}"#), |_| Ok(()), || Ok(())).unwrap();
    assert!(state().starts_with("9223372036854771712 9223372036854771712 "));
}

#[test]
fn running_out_of_memory_is_noticed_and_counted() {
    let linux =
        r#"{"resources": {"memory": {"limit": 8388608, "swap": 8388608}, "cpu": {"quota": 5000, "period": 10000}}}"#;
    let Some(lab) = Lab::new("oom", linux) else { return };
    let lab = lab.play();
    let mut watch = OomWatch::new(&lab.groups).unwrap().unwrap();
    assert_eq!(watch.next().unwrap(), OomEvent::Nothing);
    assert_eq!(oom_report(&lab.groups), None);
    killed(
        lab.shell(
            "",
            "i=0; while [ $i -lt 50000 ]; do i=$((i+1)); done; a=$(head -c 200000000 /dev/zero | tr '\\0' x)",
        ),
    );
    wait_until("the notification", || watch.next().unwrap() == OomEvent::OutOfMemory);
    let report = oom_report(&lab.groups).unwrap();
    assert_eq!((report.kills > 0, report.limit.as_str()), (true, "8388608"));
    assert_eq!(report.peak, "8388608");

    let stats = stats(&lab.groups).unwrap();
    assert_eq!((stats.memory.usage.limit, stats.memory.usage.max), (8_388_608, 8_388_608));
    assert!(stats.memory.raw.contains_key("rss") && stats.memory.cache == stats.memory.raw["cache"]);
    assert!(stats.cpu.usage.total > 0 && stats.cpu.usage.percpu.len() == stats.cpu.usage.percpu_user.len());
    assert!(stats.cpu.throttling.periods > 0);
    assert!(!stats.cpuset.cpus.is_empty() && stats.cpu.psi.is_some());
    remove(&lab.groups, &[]).unwrap();
    assert_eq!(watch.next().unwrap(), OomEvent::Gone);
}
