//! What `create` and `restore` share: what is decided first, the folder, the refusal of groups that are somebody's, the intent, the
//! record, and the undoing. Only what is played differs.
use super::stdio::Streams;
use super::{Child, Container, Planned, state};
use crate::criu::streams::names;
use crate::launch::{self, Host, Launched, Process};
use crate::plan::line::HookKind;
use crate::plan::{self, asked_namespace, hooks_of};
use crate::store::{Folder, Lock, ProcessId, Record, Store};
use crate::{Error, ErrorKind, OCI_VERSION, Result, Trace, cgroup};
use oci_spec::runtime::LinuxNamespaceType;
use rustix::fd::AsFd;
use std::cell::RefCell;
use std::path::Path;
use std::sync::Arc;
use std::time::SystemTime;

impl Store {
    /// Makes the container that was decided on: `play` brings up its first process. After a failure nothing of it is left.
    pub(super) fn make(
        &self,
        decided: &Planned,
        play: impl FnOnce(&Unfinished<'_>, &mut Host<'_>) -> Result<Launched>,
    ) -> Result<(Container, Child)> {
        let Planned { bundle, options, .. } = decided;
        let trace = options.trace.as_ref();
        let on_a_terminal = plan::has_terminal(bundle.spec().process().as_ref());
        let streams = Streams::open([&options.stdin, &options.stdout, &options.stderr], on_a_terminal)?;
        let (folder, lock, record) = Trace::time(trace, "(write the record)", || self.intend(decided, &streams))?;
        let unfinished = Unfinished { decided, folder, record: RefCell::new(record) };
        let describe = |status: &str, pid: i32| state::for_hooks(&unfinished.record.borrow(), status, pid);
        let mut save = |init: &Process| {
            unfinished.note_init(init)?;
            unfinished.tell(init)
        };
        let mut host = Host::new(bundle, unfinished.folder.fd(), &describe, &mut save);
        host.stdio = streams.numbers;
        host.preserve = &decided.preserve;
        host.program = options.program.as_ref().map(AsFd::as_fd);
        host.console_socket = options.console_socket.as_deref();
        host.trace = trace;
        let hold = |launched: Launched| {
            let init = launched.pidfd.try_clone();
            Ok((init.map_err(|error| Error::io("hold on to init", "fcntl(F_DUPFD)", &error))?, launched))
        };
        let played = play(&unfinished, &mut host).and_then(hold);
        let made_cgroups = host.made_cgroups;
        let Unfinished { folder, record, .. } = unfinished;
        let mut record = record.into_inner();
        if !made_cgroups {
            // Somebody else's.
            record.cgroups.clear();
            record.unit = None;
        }
        match played {
            Ok((init, launched)) => {
                let container = Container { init: Some(Arc::new(init)), ..Container::found(folder, record) };
                Ok((container, Child::new(launched, streams.ours)))
            }
            Err(error) => {
                // Undone already, as far as they were made; one that was there before is somebody else's.
                record.intel_rdt.clear();
                let error = blame_memory(error, &record);
                let container = Container::found(folder, record);
                if let Err(remains) = container.end().and_then(|()| container.destroy(&lock, Some(bundle.spec()))) {
                    log::warn!("clean up after a failure: {remains}");
                }
                Err(error)
            }
        }
    }

    /// Writes down what is about to be made, for whoever has to clean up. From here on the id is taken.
    fn intend(&self, decided: &Planned, streams: &Streams) -> Result<(Folder, Lock, Record)> {
        let Planned { bundle, options, asked, plan, .. } = decided;
        let (folder, lock, mut record) = self.make_folder(&asked.id, |draft| {
            // Before the record names it as ours: `delete --force` would end what is in it.
            refuse_groups(plan)?;
            let record = intent(decided, streams)?;
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

/// A container that has a folder and a record, but no first process that anybody has heard of.
pub(super) struct Unfinished<'a> {
    pub(super) decided: &'a Planned,
    pub(super) folder: Folder,
    record: RefCell<Record>,
}

impl Unfinished<'_> {
    /// Writes the record with what `change` does to it.
    pub(super) fn change_record(&self, change: impl FnOnce(&mut Record)) -> Result<()> {
        let mut record = self.record.borrow_mut();
        change(&mut record);
        self.folder.write_record(&record)
    }

    /// Writes down who init is.
    pub(super) fn note_init(&self, init: &Process) -> Result<()> {
        let init = ProcessId::of(init.pid, init.pidfd.as_fd(), self.folder.fd())?;
        self.folder.note_init(&init)?;
        self.record.borrow_mut().init = Some(init);
        Ok(())
    }

    /// Tells the caller who init is, where the caller has asked for it.
    pub(super) fn tell(&self, init: &Process) -> Result<()> {
        let options = &self.decided.options;
        if let Some(path) = &options.pidfd_socket {
            launch::descriptors::send(path, init.pidfd.as_fd(), b"standard", "send the pidfd")?;
        }
        options.pid_file.as_deref().map_or(Ok(()), |path| write_pid_file(path, init.pid))
    }
}

fn intent(decided: &Planned, streams: &Streams) -> Result<Record> {
    let Planned { bundle, options, facts, asked, plan, .. } = decided;
    let spec = bundle.spec();
    let has_hooks = |kind| !hooks_of(spec, kind).is_empty();
    Ok(Record {
        id: asked.id.clone(),
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
        planned: asked.clone(),
        plan_lines: plan.lines.len(),
        streams: if plan::has_terminal(spec.process().as_ref()) { Vec::new() } else { names(streams.numbers) },
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

/// Who was killed for want of memory says nothing itself: init, or CRIU.
pub(super) fn blame_memory(error: Error, record: &Record) -> Error {
    // What says what is wrong with a configuration or a hook needs no other explanation.
    if matches!(error.kind(), ErrorKind::InvalidConfig | ErrorKind::Unsupported | ErrorKind::Hook) {
        return error;
    }
    let who = if error.is_of_init() { "container init" } else { "a process in the container's cgroup" };
    match cgroup::oom_report(&record.cgroups) {
        Some(report) => error
            .detail(format!("{who} was OOM-killed (limit {}, peak {})", report.limit, report.peak))
            .with_kind(ErrorKind::OutOfMemory),
        None => error,
    }
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
