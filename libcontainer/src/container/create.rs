//! `create`: from a bundle to a container whose init waits for `start`.
use super::{Child, Container, CreateOptions};
use crate::criu::streams;
use crate::launch::{self, Host};
use crate::plan::line::HookKind;
use crate::plan::{self, PlanOptions, asked_namespace, hooks_of};
use crate::store::{Folder, Lock, NOTIFY, ProcessId, Record, Store};
use crate::{Bundle, Error, ErrorKind, HostFacts, OCI_VERSION, Result, Trace, cgroup};
use oci_spec::runtime::{LinuxNamespaceType, Spec};
use rustix::fd::BorrowedFd;
use std::path::Path;
use std::time::SystemTime;

impl Store {
    /// Makes a container from `bundle`, up to the point where `start` runs its program.
    pub fn create(&self, id: &str, bundle: &Bundle, options: &CreateOptions) -> Result<Container> {
        crate::store::check_id(id)?;
        let spec = bundle.spec();
        check_console(spec, options)?;
        launch::descriptors::check_preserved(options.preserve_fds.saturating_add(options.listen_fds))?;
        let trace = options.trace.as_ref();
        let probe = || HostFacts::probe_for(options.cgroup_manager).map(|facts| facts.probe_procfs_for(spec));
        let facts = Trace::time(trace, "(probe the host)", probe)?;
        let planned = PlanOptions {
            id: id.to_owned(),
            no_pivot: options.no_pivot,
            no_new_keyring: options.no_new_keyring,
            preserve_fds: options.preserve_fds,
            listen_fds: options.listen_fds,
            notify: options.notify.then(|| self.root.join(id).join(NOTIFY)),
            cgroup_manager: options.cgroup_manager,
            rootless: options.rootless,
        };
        let plan = Trace::time(trace, "(plan)", || plan::create(bundle.path(), spec, &facts, &planned))?;
        let intend = || self.intend(id, bundle, options, &facts, planned, &plan);
        let (folder, lock, mut record) = Trace::time(trace, "(write the record)", intend)?;
        let made = launch(&plan.lines, bundle, options, &folder, &mut record);
        match made {
            Ok(child) => Ok(Container { folder, record, child: Some(child) }),
            Err(error) => {
                let error = blame_memory(error, &record);
                let container = Container { folder, record, child: None };
                if let Err(remains) = container.end().and_then(|()| container.destroy(&lock, Some(spec))) {
                    log::warn!("clean up after a failed create: {remains}");
                }
                Err(error)
            }
        }
    }
}

impl Store {
    /// Writes down what is about to be made, for whoever has to clean up. From here on the id is taken.
    pub(super) fn intend(
        &self,
        id: &str,
        bundle: &Bundle,
        options: &CreateOptions,
        facts: &HostFacts,
        planned: PlanOptions,
        plan: &plan::Plan,
    ) -> Result<(Folder, Lock, Record)> {
        let (folder, lock, mut record) = self.make_folder(id, |draft| {
            // Before the record names it as ours: `delete --force` would end what is in it.
            refuse_groups(plan)?;
            let record = intent(id, bundle, options, facts, planned, plan)?;
            draft.write(&record, bundle.config_bytes(), options.notify)?;
            Ok(record)
        })?;
        // What was there may have been that of a container of this name, which is gone by now: then it is ours to remove.
        let settled = match record.kept_cgroups.is_empty() {
            true => Ok(()),
            false => cgroup::existing(&plan.cgroups).and_then(|kept| {
                record.kept_cgroups = kept;
                folder.write_record(&record)
            }),
        };
        match settled {
            Ok(()) => Ok((folder, lock, record)),
            Err(error) => folder.remove(&lock).and(Err(error)),
        }
    }
}

fn intent(
    id: &str,
    bundle: &Bundle,
    options: &CreateOptions,
    facts: &HostFacts,
    planned: PlanOptions,
    plan: &plan::Plan,
) -> Result<Record> {
    let spec = bundle.spec();
    let has_hooks = |kind| !hooks_of(spec, kind).is_empty();
    Ok(Record {
        id: id.to_owned(),
        oci_version: OCI_VERSION.to_owned(),
        bundle: bundle.path().to_owned(),
        rootfs: spec.root().as_ref().map(|root| bundle.path().join(root.path())).unwrap_or_default(),
        created: humantime::format_rfc3339_nanos(SystemTime::now()).to_string(),
        owner: facts.euid,
        annotations: spec.annotations().iter().flatten().map(|(key, value)| (key.clone(), value.clone())).collect(),
        cgroup_manager: options.cgroup_manager,
        cgroups: plan.cgroups.clone(),
        kept_cgroups: cgroup::existing(&plan.cgroups)?,
        unit: plan.unit.clone(),
        intel_rdt: plan.intel_rdt.clone(),
        private_pid_namespace: asked_namespace(spec, LinuxNamespaceType::Pid) == Some(None),
        has_process: spec.process().is_some(),
        has_poststart: has_hooks(HookKind::Poststart),
        has_poststop: has_hooks(HookKind::Poststop),
        planned,
        plan_lines: plan.lines.len(),
        streams: if has_terminal(spec) { Vec::new() } else { streams::names(options.stdio) },
        time_namespace: false,
        opened_images: Vec::new(),
        init: None,
    })
}

/// An error if the container's groups are somebody's, or no place to start in.
fn refuse_groups(plan: &plan::Plan) -> Result<()> {
    // Those that we make are looked at when they are made.
    if plan.unit.is_some() {
        cgroup::refuse_frozen(&plan.cgroups)?;
    }
    cgroup::refuse_busy(&plan.cgroups)
}

fn launch(
    lines: &[plan::Line],
    bundle: &Bundle,
    options: &CreateOptions,
    folder: &Folder,
    record: &mut Record,
) -> Result<Child> {
    let described = record.clone();
    let describe = |status: &str, pid: i32| super::state::for_hooks(&described, status, pid);
    let preserve = options.preserve_fds + options.listen_fds;
    let mut save = |pid: i32, pidfd: BorrowedFd<'_>| {
        let init = ProcessId::of(pid, pidfd, folder.fd())?;
        folder.note_init(&init)?;
        record.init = Some(init);
        if let Some(path) = &options.pidfd_socket {
            launch::descriptors::send(path, pidfd, b"standard", "send the pidfd")?;
        }
        folder.write_record(record)?;
        options.pid_file.as_deref().map_or(Ok(()), |path| write_pid_file(path, pid))
    };
    let mut host = Host {
        spec: bundle.spec(),
        bundle: bundle.path(),
        state: folder.fd(),
        init: None,
        stdio: options.stdio,
        preserve,
        made_cgroups: false,
        console_socket: options.console_socket.as_deref(),
        describe: &describe,
        trace: options.trace.as_ref(),
        save: &mut save,
    };
    let launched = launch::play(lines, &mut host);
    if !host.made_cgroups {
        record.cgroups.clear();
        record.unit = None;
    }
    if launched.is_err() {
        // Undone already, as far as they were made; one that was there before is somebody else's.
        record.intel_rdt.clear();
    }
    let launched = launched?;
    Ok(Child { pid: launched.pid, pidfd: launched.pidfd, console: launched.console })
}

/// An init that the kernel has killed for want of memory says nothing itself.
pub(super) fn blame_memory(error: Error, record: &Record) -> Error {
    match cgroup::oom_report(&record.cgroups) {
        Some(report) if error.kind() == ErrorKind::Init => {
            error.detail(format!("container init was OOM-killed (limit {}, peak {})", report.limit, report.peak))
        }
        _ => error,
    }
}

/// A terminal needs somebody who takes it, and only a terminal does.
pub(super) fn check_console(spec: &Spec, options: &CreateOptions) -> Result<()> {
    super::check_console(has_terminal(spec), options.console_socket.is_some(), options.own_console)
}

pub(super) fn has_terminal(spec: &Spec) -> bool {
    spec.process().as_ref().and_then(|process| process.terminal()).unwrap_or(false)
}

/// Decimal, no newline, whole or not at all: engines read it as soon as it is there.
pub(super) fn write_pid_file(path: &Path, pid: i32) -> Result<()> {
    let fail = |call: &str, error: &std::io::Error| {
        Error::io("write the pid file", format!("{call}({})", path.display()), error)
    };
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    // Of this thread only: several containers may be told the same place.
    let new = path.with_file_name(format!(".{name}.{}", rustix::thread::gettid()));
    match std::fs::remove_file(&new) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => return Err(fail("unlink", &error)),
        _ => {}
    }
    let mut file =
        std::fs::OpenOptions::new().write(true).create_new(true).open(&new).map_err(|error| fail("open", &error))?;
    std::io::Write::write_all(&mut file, pid.to_string().as_bytes()).map_err(|error| fail("write", &error))?;
    std::fs::rename(&new, path).map_err(|error| fail("rename", &error))
}
