//! `restore`: a container from a checkpoint's images and a bundle. What the images cannot know, or should not decide, comes from
//! config.json: the cgroup and its limits, what the mounts are of, which namespaces are joined.
use super::create::{check_console, has_terminal, write_pid_file};
use super::restored::Restored;
use super::{Child, Container, CreateOptions, state};
use crate::criu::images::Directory;
use crate::criu::search::{Opened, Searchable};
use crate::criu::{Criu, Event, Kind, Message, Start, external, namespaces, option, streams};
use crate::launch::folder::note_scope;
use crate::launch::{self, Hooks, intel_rdt, net_devices};
use crate::plan::line::{Action, HostStep};
use crate::plan::{self, ExternalMount, Line, Plan, PlanOptions, asked_namespace};
use crate::store::{Folder, ProcessId, Record, Store};
use crate::sys::Helper;
use crate::{Bundle, CriuOptions, Error, ErrorKind, HostFacts, ManageCgroups, Result, cgroup, sys, systemd};
use oci_spec::runtime::{LinuxNamespaceType, Spec};
use rustix::fd::{AsFd, OwnedFd};
use rustix::fs::{CWD, Mode, OFlags};
use std::os::unix::ffi::OsStrExt;

const LOG: &str = "restore.log";

impl Store {
    /// Restores a container from the images of a checkpoint. Its first process is a child of the caller. After a failure nothing
    /// of it is left.
    pub fn restore(&self, id: &str, bundle: &Bundle, options: &CreateOptions, criu: &CriuOptions) -> Result<Container> {
        crate::store::check_id(id)?;
        let spec = bundle.spec();
        check_console(spec, options)?;
        namespaces::check(spec)?;
        let facts = HostFacts::probe_for(options.cgroup_manager)?.probe_procfs_for(spec);
        let planned = PlanOptions {
            id: id.to_owned(),
            no_pivot: options.no_pivot,
            cgroup_manager: options.cgroup_manager,
            rootless: options.rootless,
            ..PlanOptions::default()
        };
        let plan = plan::create(bundle.path(), spec, &facts, &planned)?;
        let targets = plan::mount_targets(bundle.path(), spec, &facts, &planned)?;
        let images = Images::open(criu)?;
        if let Some(searching) = Searchable::for_restore(spec, &images.images)? {
            self.close_left_open(&searching.before())?;
        }
        let without_socket = CreateOptions { notify: false, ..options.clone() };
        let (folder, lock, mut record) = self.intend(id, bundle, &without_socket, &facts, planned, &plan)?;
        let mut restore = Restore {
            bundle,
            options,
            criu,
            images,
            folder: &folder,
            record: &mut record,
            init: None,
            console: None,
            made_cgroups: false,
        };
        let made = restore.play(&plan, &targets);
        let child = restore.init.take();
        if !restore.made_cgroups {
            // Somebody else's.
            record.cgroups.clear();
            record.unit = None;
        }
        match made {
            Ok(child) => Ok(Container { folder, record, child: Some(child) }),
            Err(error) => {
                let container = Container { folder, record, child: None };
                let ended = container.end();
                if let Some(Child { pidfd, .. }) = &child {
                    // may fail: it has ended.
                    let _ = sys::pidfd_send_signal(pidfd.as_fd(), libc::SIGKILL);
                    launch::reap(pidfd.as_fd());
                }
                if let Err(remains) = ended.and_then(|()| container.destroy(&lock, Some(spec))) {
                    log::warn!("clean up after a failed restore: {remains}");
                }
                Err(error)
            }
        }
    }
}

impl Store {
    /// Closes those of the directories that a restore which was killed has left open: what it found is what the next one has to
    /// leave.
    fn close_left_open(&self, directories: &[Opened]) -> Result<()> {
        for (id, _) in self.list()? {
            // may fail: what cannot be read says nothing of directories.
            let Ok(Container { folder, record, .. }) = self.load(&id) else { continue };
            let left = record.opened_images.iter().filter(|opened| directories.iter().any(|each| each.is_same(opened)));
            let left: Vec<_> = left.collect();
            // Whoever is still at it closes them itself.
            if left.is_empty() {
                continue;
            }
            if let Some(_lock) = folder.try_lock()? {
                left.into_iter().try_for_each(Opened::close)?;
            }
        }
        Ok(())
    }
}

/// What is read of a checkpoint.
struct Images {
    images: Directory,
    streams: Vec<String>,
}

impl Images {
    fn open(options: &CriuOptions) -> Result<Images> {
        let images = Directory::open(&options.image_path)?;
        images.check(options.lazy_pages)?;
        if let Some(parent) = &options.parent_path {
            images.check_parent(parent)?;
        }
        let streams = images.read_descriptors()?;
        if let Some(work) = &options.work_path {
            Directory::make(work)?;
        }
        Ok(Images { images, streams })
    }
}

/// A restore that is under way.
struct Restore<'a> {
    bundle: &'a Bundle,
    options: &'a CreateOptions,
    criu: &'a CriuOptions,
    images: Images,
    folder: &'a Folder,
    record: &'a mut Record,
    /// The first process, as soon as there is one: our child.
    init: Option<Child>,
    console: Option<OwnedFd>,
    /// Whether the groups of the record are ours by now (see `Host`).
    made_cgroups: bool,
}

impl Restore<'_> {
    fn play(&mut self, plan: &Plan, targets: &Plan) -> Result<Child> {
        let spec = self.bundle.spec();
        let mounts = plan.external_mounts()?;
        // A limit of few processes would leave CRIU no room.
        let (late, early): (Vec<_>, Vec<_>) = cgroup_lines(plan).partition(|line| is_limit_of_processes(line));
        // systemd wants somebody to put into a scope: then it is CRIU that is there first.
        let (by_us, in_scope) = if plan.unit.is_none() { (early, Vec::new()) } else { (Vec::new(), early) };
        self.make_cgroups(by_us)?;
        let join = if plan.unit.is_none() { open_groups(&self.record.cgroups)? } else { Vec::new() };
        let mut helper = Helper { join, ..Helper::default() };
        let joined = namespaces::for_restore(spec, &mut helper)?;
        // A terminal of the container's own comes from elsewhere.
        let streams = if has_terminal(spec) && !self.criu.shell_job { None } else { Some(self.streams()?) };
        // CRIU wants the root to be a mount point that nothing above is mounted over: in its own mount namespace our folder is a
        // place for it.
        let mount = Some((&*self.record.rootfs, self.folder.path()));
        let mut criu = Criu::start(Start { helper, streams, work: self.criu.work(), log: LOG, mount })?;
        let late_limit = enter_scope(plan, self.folder, criu.pid())?;
        self.made_cgroups |= plan.unit.is_some();
        play_lines(in_scope)?;
        // As `create` does it, in a process that is gone afterwards with the mounts it has made; the container's groups are one of them.
        launch::play_to_the_end(&targets.lines, self.bundle, self.folder.fd(), None)?;
        self.join_rdt(plan, criu.pid())?;
        let message = self.message(&criu, &mounts, &joined)?;
        criu.check_version()?;
        let criu_pid = criu.pid();
        let searchable = self.open_images(spec)?;
        criu.finish(Kind::RESTORE, &message, &mut |event| {
            // From here on processes go on, whatever we say (they have had other capabilities until now).
            if event.script == "pre-resume" {
                let restored = self.restored(plan, &mounts, criu_pid);
                return restored.protect().and_then(|()| restored.check()).inspect_err(|_| self.kill());
            }
            self.act(plan, event)
        })?;
        if let Some(searchable) = searchable {
            drop(searchable);
            self.record.opened_images.clear();
            self.folder.write_record(self.record)?;
        }
        play_lines(late)?;
        if let Some((unit, limit)) = late_limit {
            systemd::Manager::of(unit.user).set_properties(unit, &[limit])?;
        }
        let Child { pid, pidfd, .. } =
            self.init.take().ok_or_else(|| Error::new(ErrorKind::System, "criu has not said what it restored"))?;
        let child = Child { pid, pidfd, console: self.console.take() };
        let written = self.options.pid_file.as_deref().map_or(Ok(()), |path| write_pid_file(path, pid));
        if let Err(error) = written {
            self.init = Some(child);
            return Err(error);
        }
        Ok(child)
    }

    /// Until it is dropped. Written down before, for who finds us killed.
    fn open_images(&mut self, spec: &Spec) -> Result<Option<Searchable>> {
        let Some(searching) = Searchable::for_restore(spec, &self.images.images)? else { return Ok(None) };
        self.record.opened_images = searching.before();
        self.folder.write_record(self.record)?;
        searching.open().map(Some)
    }

    /// What CRIU is asked for. It is in its groups by now.
    fn message(&self, criu: &Criu, mounts: &[ExternalMount], joined: &Message) -> Result<Message> {
        let mut message = self
            .criu
            .message(&self.images.images, criu, self.bundle.spec())
            .text(option::ROOT, self.folder.path().as_os_str().as_bytes())
            .number(option::EVASIVE_DEVICES, true)
            .number(option::RST_SIBLING, true)
            .number(option::TCP_CLOSE, self.criu.tcp_close)
            .and(joined);
        for (field, text) in
            [(option::LSM_PROFILE, &self.criu.lsm_profile), (option::LSM_MOUNT_CONTEXT, &self.criu.lsm_mount_context)]
        {
            if let Some(text) = text {
                message = message.text(field, text);
            }
        }
        message = external::for_restore(message, mounts)?;
        message = streams::for_restore(message, &self.images.streams);
        for (controller, path) in groups_of(criu.pid())? {
            message = message.message(option::CG_ROOT, &Message::default().text(1, controller).text(2, path));
        }
        Ok(message)
    }

    fn make_cgroups(&mut self, lines: Vec<&Line>) -> Result<()> {
        lines.into_iter().try_for_each(|line| {
            play_lines(vec![line])?;
            self.made_cgroups |= matches!(line.action, Action::Host(HostStep::CreateCgroup { .. }));
            Ok(())
        })
    }

    fn restored<'a>(&'a self, plan: &'a Plan, external: &'a [ExternalMount], criu: i32) -> Restored<'a> {
        Restored {
            spec: self.bundle.spec(),
            plan,
            external,
            groups: &self.record.cgroups,
            init: self.init.as_ref().map_or(0, |init| init.pid),
            criu,
            ignores_cgroups: self.criu.manage_cgroups == ManageCgroups::Ignore,
            lsm_profile: self.criu.lsm_profile.as_deref(),
        }
    }

    /// Every process, and with them CRIU.
    fn kill(&self) {
        if let Some(init) = &self.init {
            // may fail: what is reported is why; the cleaning up does it again.
            let _ = sys::pidfd_send_signal(init.pidfd.as_fd(), libc::SIGKILL);
        }
        // may fail: as above.
        let _ = cgroup::kill_all(&self.record.cgroups, libc::SIGKILL);
    }

    fn streams(&self) -> Result<[OwnedFd; 3]> {
        let [stdin, stdout, stderr] = self.options.stdio.unwrap_or([0, 1, 2]);
        let sealed = launch::streams::seal_for_restore;
        Ok([sealed(stdin)?, sealed(stdout)?, sealed(stderr)?])
    }

    /// CRIU stands at a point where it is our turn.
    fn act(&mut self, plan: &Plan, event: Event) -> Result<()> {
        match (&*event.script, event.pid) {
            ("setup-namespaces", Some(pid)) => {
                self.adopt(pid)?;
                self.set_up(plan, pid)
            }
            ("post-restore", Some(pid)) => {
                self.adopt(pid)?;
                let init =
                    self.init.as_ref().ok_or_else(|| Error::new(ErrorKind::System, "criu has restored nobody"))?;
                let id = ProcessId::of(pid, init.pidfd.as_fd(), self.folder.fd())?;
                self.folder.note_init(&id)?;
                self.record.init = Some(id);
                let asked = asked_namespace(self.bundle.spec(), LinuxNamespaceType::Time);
                self.record.time_namespace =
                    asked.is_none() && time_namespace(&pid.to_string())? != time_namespace("self")?;
                self.folder.write_record(self.record)
            }
            ("orphan-pts-master", _) => {
                let lost = || Error::new(ErrorKind::System, "criu sent no console");
                let master = event.rider.ok_or_else(lost)?;
                match &self.options.console_socket {
                    Some(path) => launch::descriptors::send(path, master.as_fd(), b"/dev/ptmx", "send the console"),
                    None => {
                        self.console = Some(master);
                        Ok(())
                    }
                }
            }
            _ => Ok(()),
        }
    }

    fn adopt(&mut self, pid: i32) -> Result<()> {
        if self.init.is_none() {
            self.init = Some(Child { pid, pidfd: launch::hold(pid)?, console: None });
        }
        Ok(())
    }

    /// Plays the host's lines that need the namespaces. A network namespace that is joined still has its devices.
    fn set_up(&self, plan: &Plan, pid: i32) -> Result<()> {
        let spec = self.bundle.spec();
        let new_network = asked_namespace(spec, LinuxNamespaceType::Network) == Some(None);
        let state = &state::for_hooks(self.record, "creating", pid);
        let init = self.init.as_ref().map(|init| init.pidfd.as_fd());
        let hooks = Hooks { spec, bundle: self.bundle.path(), state, init };
        plan.lines.iter().try_for_each(|line| {
            let played = match &line.action {
                Action::Host(HostStep::MoveNetDevice { name, new_name }) if new_network => {
                    net_devices::move_into(pid, name, new_name)
                }
                Action::Host(HostStep::RunHook { kind, index }) => hooks.run(*kind, *index),
                _ => Ok(()),
            };
            played.map_err(|error| error.at(line.origin()))
        })
    }

    /// Whoever CRIU starts is in its groups.
    fn join_rdt(&mut self, plan: &Plan, pid: i32) -> Result<()> {
        let mut made = Vec::new();
        let joined = plan.lines.iter().try_for_each(|line| {
            let Action::Host(step) = &line.action else { return Ok(()) };
            intel_rdt::play(step, pid, &mut made).map_err(|error| error.at(line.origin()))
        });
        if joined.is_err() {
            // may fail: what is reported is why.
            let _ = intel_rdt::remove(&made);
            // What was there before is somebody else's.
            self.record.intel_rdt.clear();
        }
        joined
    }
}

/// `None` on a kernel without them.
fn time_namespace(pid: &str) -> Result<Option<std::path::PathBuf>> {
    let path = format!("/proc/{pid}/ns/time");
    match std::fs::read_link(&path) {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(None),
        read => {
            read.map(Some).map_err(|error| Error::io("look at the time namespace", format!("readlink({path})"), &error))
        }
    }
}

fn cgroup_lines(plan: &Plan) -> impl Iterator<Item = &Line> {
    plan.lines.iter().filter(|line| {
        matches!(
            line.action,
            Action::Host(
                HostStep::CreateCgroup { .. }
                    | HostStep::WriteCgroup { .. }
                    | HostStep::AttachDeviceProgram { .. }
                    | HostStep::ChownCgroup { .. }
            )
        )
    })
}

fn is_limit_of_processes(line: &Line) -> bool {
    matches!(&line.action, Action::Host(HostStep::WriteCgroup { file, .. }) if file.ends_with("pids.max"))
}

fn play_lines(lines: Vec<&Line>) -> Result<()> {
    let mut files = cgroup::Writer::default();
    lines.into_iter().try_for_each(|line| {
        log::debug!("host {line}");
        launch::before_clone(line, &mut files).map_err(|error| error.at(line.origin()))
    })
}

/// Makes the container's scope, if systemd is to make one, with `pid` in it. Of the limits one is left for later: its unit and that.
fn enter_scope<'p>(
    plan: &'p Plan,
    folder: &Folder,
    pid: i32,
) -> Result<Option<(&'p plan::cgroup::Unit, plan::cgroup::Property)>> {
    let mut starting = None;
    let mut late = None;
    for line in &plan.lines {
        let played = match &line.action {
            Action::Host(HostStep::StartScope { unit, properties }) => {
                note_scope(folder.fd())?;
                let mut properties = properties.clone();
                let limit = properties.iter().position(|property| property.name == "TasksMax");
                late = limit.map(|at| (unit, properties.remove(at)));
                systemd::Manager::of(unit.user).start(unit, &properties, pid).map(|asked| starting = Some(asked))
            }
            Action::Host(HostStep::AwaitScope { groups }) => {
                let started = starting.take().map_or(Ok(()), systemd::Starting::wait);
                started.and_then(|()| cgroup::settle_in_scope(groups, pid))
            }
            _ => Ok(()),
        };
        played.map_err(|error| error.at(line.origin()))?;
    }
    Ok(late)
}

/// The files that CRIU joins the container's groups by.
fn open_groups(groups: &[plan::cgroup::Group]) -> Result<Vec<OwnedFd>> {
    let (unified, tasks) = plan::cgroup::entry(groups);
    let files = unified.map(|directory| directory.join("cgroup.procs")).into_iter().chain(tasks);
    let open = |file: std::path::PathBuf| {
        rustix::fs::openat(CWD, &file, OFlags::WRONLY | OFlags::CLOEXEC, Mode::empty())
            .map_err(|errno| Error::system("join the cgroup", format!("open({})", file.display()), errno))
    };
    files.map(open).collect()
}

/// The groups of a process: controller and path, one by one, as CRIU wants them.
fn groups_of(pid: i32) -> Result<Vec<(String, String)>> {
    let path = format!("/proc/{pid}/cgroup");
    let text = std::fs::read_to_string(&path)
        .map_err(|error| Error::io("look at the container's cgroups", format!("open({path})"), &error))?;
    let each = |(controllers, path): (&str, &str)| {
        controllers.split(',').map(|controller| (controller.to_owned(), path.to_owned())).collect::<Vec<_>>()
    };
    Ok(cgroup::memberships(&text).flat_map(each).collect())
}
