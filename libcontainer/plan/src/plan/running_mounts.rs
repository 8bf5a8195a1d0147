//! `mounts add` and `mounts remove`: the plans that change the mounts of a running container.
#![forbid(unsafe_code)]

use super::line::{HostStep, InitStep, Line, Origin};
use super::{Context, Namespaces, Plan, PlanOptions, Slots, host, init, mounts, namespaces, z};
use crate::{Error, ErrorKind, HostFacts, Result, validate};
use oci_spec::runtime::{Mount, Spec};
use std::path::{Path, PathBuf};

/// The plan of `mounts add`: into the container's namespaces, and there the lines that its own mounts have. Of the pid namespace
/// only where a procfs cannot be made from outside: nobody in the container sees this init otherwise. It is in no group of the
/// container's either.
pub fn add_mounts(bundle: &Path, spec: &Spec, mounts: Vec<Mount>, facts: &HostFacts) -> Result<Plan> {
    let needs_pid = mounts.iter().any(mounts::is_procfs);
    validate::mounts(&mounts, "")?;
    let mut with = spec.clone();
    with.set_mounts(Some(mounts));
    let options = &PlanOptions::default();
    let context = Context { bundle, spec: &with, facts, options, namespaces: Namespaces::of(&with) };
    let not = if needs_pid && !facts.procfs_of_another { 0 } else { namespaces::PID };
    let mut slots = Slots::after(&[])?;
    let mut lines = enter_to_mount(&context, not, needs_pid, &mut slots)?;
    lines.extend(mounts::add(&context, &mut slots)?);
    lines.push(host(HostStep::Meet, Origin::LIFECYCLE));
    Ok(Plan { lines, ..Plan::default() })
}

/// The plan of `mounts remove`: first all of them are looked for, so that a mistake costs nothing.
pub fn remove_mounts(bundle: &Path, spec: &Spec, mounts: &[(PathBuf, u64)], facts: &HostFacts) -> Result<Plan> {
    let mut plan = find_mounts(bundle, spec, mounts, facts)?;
    // The last first: it may lie below another.
    for (index, (target, mount)) in mounts.iter().enumerate().rev() {
        let origin = format!("/{index}/destination");
        let line = init(InitStep::Unmount { target: z(target, &origin)?, mount: *mount }, origin);
        plan.lines.insert(plan.lines.len() - 1, line);
    }
    Ok(plan)
}

/// The plan that finds out whether they are all there.
pub fn find_mounts(bundle: &Path, spec: &Spec, mounts: &[(PathBuf, u64)], facts: &HostFacts) -> Result<Plan> {
    let options = &PlanOptions::default();
    let context = Context { bundle, spec, facts, options, namespaces: Namespaces::of(spec) };
    let mut lines = enter_to_mount(&context, namespaces::PID, false, &mut Slots::after(&[])?)?;
    for (index, (target, mount)) in mounts.iter().enumerate() {
        let origin = format!("/{index}/destination");
        lines.push(init(InitStep::FindMount { target: z(target, &origin)?, mount: *mount }, origin));
    }
    lines.push(host(HostStep::Meet, Origin::LIFECYCLE));
    Ok(Plan { lines, ..Plan::default() })
}

/// Where in the container a mount goes.
pub fn mount_target(bundle: &Path, spec: &Spec, facts: &HostFacts, destination: &Path) -> PathBuf {
    let options = &PlanOptions::default();
    let context = Context { bundle, spec, facts, options, namespaces: Namespaces::of(spec) };
    mounts::target(&context, destination)
}

fn enter_to_mount(context: &Context, not: u32, keep_pid: bool, slots: &mut Slots) -> Result<Vec<Line>> {
    if !context.namespaces.has(namespaces::MOUNT) {
        let message = "the container has no mount namespace of its own";
        return Err(Error::new(ErrorKind::Unsupported, message));
    }
    let mut lines =
        vec![host(HostStep::Clone { namespaces: 0, into_cgroup: None, tasks: Vec::new() }, Origin::LIFECYCLE)];
    let entry = context.namespaces.enter_container_but(not, keep_pid, context.spec, slots)?;
    lines.extend(entry.opened);
    lines.extend(entry.lines);
    lines.extend(entry.fork);
    Ok(lines)
}

#[cfg(test)]
mod tests {
    use super::{add_mounts, remove_mounts};
    use crate::plan::tests::{facts, spec_of, text_of};
    use crate::{Bundle, ErrorKind, HostFacts, Result};

    #[track_caller]
    fn added(spec: &str, mounts: &str) -> Result<String> {
        let mounts = Bundle::mounts_from_slice(mounts.as_bytes()).unwrap();
        add_mounts("/bundle".as_ref(), &spec_of(spec), mounts, &facts()).map(|plan| text_of(&plan, ""))
    }

    #[track_caller]
    fn check_added(spec: &str, mounts: &str, lines: &str) {
        let expected = lines.lines().map(str::trim).collect::<Vec<_>>().join("\n");
        assert_eq!(added(spec, mounts).unwrap(), expected);
    }

    #[test]
    fn what_is_added_to_a_running_container_is_noted_before_it_is_attached() {
        check_added(
            r#"{"linux": {"namespaces": [{"type": "mount"}, {"type": "pid"}, {"type": "ipc"}]}}"#,
            r#"[{"destination": "/data", "source": "/srv", "options": ["rbind", "ro"]},
                {"destination": "/t", "type": "tmpfs", "options": ["ro", "size=1m"]},
                {"destination": "/in", "source": "rootfs/etc", "options": ["bind"]}]"#,
            "host clone
             host open-process → fd:0
             init set-undumpable
             init join-process fd:0 ipc,mount
             host open-mount /srv recursive → fd:1
             init show-mount fd:1
             host note-mount /data → fd:2
             init bind-mount fd:2 on /data ro,suid,dev,exec,symfollow
             init make-mount tmpfs for /t size=1m
             host note-mount /t → fd:3
             init bind-mount fd:3 on /t ro
             init open-source /etc
             host note-mount /in → fd:4
             init bind-mount fd:4 on /in
             host meet",
        );
    }

    #[test]
    fn only_a_procfs_takes_the_pid_namespace() {
        let spec = r#"{"linux": {"namespaces": [{"type": "mount"}, {"type": "pid"}]}}"#;
        let lines = added(spec, r#"[{"destination": "/p", "type": "proc"}]"#).unwrap();
        assert!(lines.contains("join-process fd:0 pid,mount\ninit fork"), "{lines}");
        let lines = added(spec, r#"[{"destination": "/p", "type": "tmpfs"}]"#).unwrap();
        assert!(lines.contains("join-process fd:0 mount\n") && !lines.contains("fork"), "{lines}");
    }

    #[test]
    fn they_are_looked_for_before_any_is_taken_away_the_last_first() {
        let spec = spec_of(r#"{"linux": {"namespaces": [{"type": "mount"}]}}"#);
        let mounts = [("/a".into(), 1), ("/a/b".into(), 2)];
        let plan = remove_mounts("/bundle".as_ref(), &spec, &mounts, &facts()).unwrap();
        let lines = text_of(&plan, "/");
        let all = "init find-mount /a 0x1\ninit find-mount /a/b 0x2\ninit unmount /a/b 0x2\ninit unmount /a 0x1";
        assert!(lines.ends_with(all), "{lines}");
    }

    #[test]
    fn without_privilege_no_source_of_the_hosts_reaches_a_running_container() {
        let user = HostFacts { euid: 1000, ..HostFacts::default() };
        let spec = spec_of("{}");
        let mounts = Bundle::mounts_from_slice(br#"[{"destination": "/a", "source": "/b", "options": ["bind"]}]"#);
        let error = add_mounts("/bundle".as_ref(), &spec, mounts.unwrap(), &user).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Unsupported);
        assert!(error.to_string().contains("/0/source: to bring it into a container"), "{error}");
    }
}
