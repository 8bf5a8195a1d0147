//! `restore`: a container from a checkpoint's images and a bundle. What the images cannot know, or should not decide, comes from
//! config.json: the cgroup and its limits, what the mounts are of, which namespaces are joined.
#![forbid(unsafe_code)]
use super::make::Unfinished;
use super::restored::Restored;
use super::{Child, Container, CreateOptions};
use crate::criu::images::Directory;
use crate::criu::search::{Opened, Searchable};
use crate::criu::{Criu, Event, Kind, Message, Start, external, namespaces, option, streams};
use crate::launch::{self, Host, Process};
use crate::plan::cgroup::{Group, Property, Unit};
use crate::plan::line::{Action, HostStep, InitStep, Line};
use crate::plan::{self, ExternalMount, Plan, asked_namespace};
use crate::store::Store;
use crate::sys::{self, Helper};
use crate::{Bundle, CriuOptions, Error, ErrorKind, ManageCgroups, Result, Trace, cgroup, systemd};
use oci_spec::runtime::LinuxNamespaceType;
use rustix::fd::{AsFd, OwnedFd};
use rustix::fs::{CWD, Mode, OFlags};
use std::os::unix::ffi::OsStrExt;
use std::path::PathBuf;

const LOG: &str = "restore.log";

impl Store {
    /// Restores a container from the images of a checkpoint. Its first process is a child of the caller. After a failure nothing
    /// of it is left.
    ///
    /// # Errors
    /// As [`Store::create`]; [`ErrorKind::Unsupported`] if this CRIU, or any, cannot do it, or for descriptors that are to be preserved.
    pub fn restore(
        &self,
        id: &str,
        bundle: &Bundle,
        options: CreateOptions,
        criu: &CriuOptions,
    ) -> Result<(Container, Child)> {
        let spec = bundle.spec();
        check_descriptors(&options)?;
        let decided = self.plan(id, bundle, options)?;
        namespaces::check(spec)?;
        let targets = plan::mount_targets(bundle.path(), spec, &decided.facts, &decided.asked)?;
        let images = Images::open(criu)?;
        if let Some(searching) = Searchable::for_restore(spec, &images.images)? {
            self.close_left_open(&searching.before())?;
        }
        self.make(&decided, |unfinished, host| {
            let place = unfinished.folder.make_root();
            let played = place.and_then(|root| Restore { unfinished, root, host, criu, images }.play(&targets));
            if played.is_err() {
                host.undo();
            }
            played.and_then(|()| host.launched())
        })
    }

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

/// A restored process has the program and the descriptors that the images name, and its standard streams.
fn check_descriptors(options: &CreateOptions) -> Result<()> {
    let message = match options {
        options if options.program.is_some() => "a restored container has the program that the images hold",
        options if options.preserve.is_empty() && options.listen.is_empty() => return Ok(()),
        _ => "CRIU cannot give a restored container descriptors of the caller's",
    };
    Err(Error::new(ErrorKind::Unsupported, message))
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
struct Restore<'a, 'h> {
    unfinished: &'a Unfinished<'a>,
    /// Where the root filesystem is to CRIU.
    root: PathBuf,
    /// Its process is CRIU until there is init.
    host: &'a mut Host<'h>,
    criu: &'a CriuOptions,
    images: Images,
}

impl<'a> Restore<'a, '_> {
    fn play(mut self, targets: &Plan) -> Result<()> {
        let (unfinished, trace) = (self.unfinished, self.host.trace);
        let plan = &unfinished.decided.plan;
        let mounts = plan.external_mounts()?;
        // A limit of few processes would leave CRIU no room.
        let (late, early): (Vec<_>, Vec<_>) =
            lines(plan, is_about_groups).into_iter().partition(|(_, line)| is_limit_of_processes(line));
        // systemd wants somebody to put into a scope: then it is CRIU that is there first.
        if plan.unit.is_none() {
            self.play_lines(&early)?;
        }
        let mut helper = self.helper()?;
        let joined = namespaces::for_restore(self.host.spec, &mut helper)?;
        let mut criu = Trace::time(trace, "(start CRIU)", || self.start_criu(helper))?;
        let criu_pid = criu.pid();
        self.host.process = Some(Process::hold(criu_pid)?);
        let late_limit = self.enter_scope()?;
        if plan.unit.is_some() {
            self.play_lines(&early)?;
        }
        // As `create` does it, in a process that is gone afterwards with the mounts it has made; the container's groups are one of them.
        let bundle = &unfinished.decided.bundle;
        let make_targets = || launch::play_to_the_end(&targets.lines, bundle, self.host.state, None);
        Trace::time(trace, "(make the mounts' targets)", make_targets)?;
        // Whoever CRIU starts is in its groups.
        self.play_lines(&lines(plan, is_about_rdt))?;
        self.host.process = None;
        let message = self.message(&criu, &mounts, &joined)?;
        criu.check_version()?;
        let searchable = self.open_images()?;
        let act = &mut |event| self.act(event, &mounts, criu_pid);
        Trace::time(trace, "(CRIU restores)", || criu.finish(Kind::RESTORE, &message, act))?;
        if let Some(searchable) = searchable {
            drop(searchable);
            unfinished.change_record(|record| record.opened_images.clear())?;
        }
        self.play_lines(&late)?;
        match late_limit {
            Some((unit, limit)) => systemd::Manager::of(unit.user).set_properties(unit, &[limit]),
            None => Ok(()),
        }
    }

    fn play_lines(&mut self, lines: &[(usize, &Line)]) -> Result<()> {
        lines.iter().try_for_each(|(number, line)| self.host.play(*number, line, &mut None).map(drop))
    }

    /// How CRIU begins, and with it whoever it restores: in the container's groups, and with what init would have changed that no
    /// image holds.
    fn helper(&self) -> Result<Helper> {
        let plan = &self.unfinished.decided.plan;
        let join = if plan.unit.is_none() { open_groups(&plan.cgroups)? } else { Vec::new() };
        let keyring = plan.lines.iter().find_map(|line| match &line.action {
            Action::Init(InitStep::JoinSessionKeyring { name }) => Some(name.0.clone()),
            _ => None,
        });
        Ok(Helper { join, keyring, on_all_processors: true, ..Helper::default() })
    }

    fn start_criu(&self, helper: Helper) -> Result<Criu> {
        // A terminal of the container's own comes from elsewhere.
        let has_streams = !plan::has_terminal(self.host.spec.process().as_ref()) || self.criu.shell_job;
        let streams = has_streams.then(|| self.streams()).transpose()?;
        // CRIU wants the root to be a mount point that nothing above is mounted over: in its own mount namespace our folder has a
        // place for it.
        let root = self.host.spec.root().as_ref().map(|root| self.host.bundle.join(root.path())).unwrap_or_default();
        let mount = Some((&*root, &*self.root));
        Criu::start(Start { helper, streams, work: self.criu.work(), log: LOG, mount })
    }

    /// Until it is dropped. Written down before, for who finds us killed.
    fn open_images(&self) -> Result<Option<Searchable>> {
        let Some(searching) = Searchable::for_restore(self.host.spec, &self.images.images)? else { return Ok(None) };
        self.unfinished.change_record(|record| record.opened_images = searching.before())?;
        searching.open().map(Some)
    }

    /// What CRIU is asked for. It is in its groups by now.
    fn message(&self, criu: &Criu, mounts: &[ExternalMount], joined: &Message) -> Result<Message> {
        let mut message = self
            .criu
            .message(&self.images.images, criu, self.host.spec)
            .text(option::ROOT, self.root.as_os_str().as_bytes())
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

    /// Every process, and with them CRIU.
    fn kill(&self) {
        if let Some(init) = &self.host.process {
            // may fail: what is reported is why; the cleaning up does it again.
            let _ = sys::pidfd_send_signal(init.pidfd.as_fd(), libc::SIGKILL);
        }
        // may fail: as above.
        let _ = cgroup::kill_all(&self.unfinished.decided.plan.cgroups, libc::SIGKILL);
    }

    fn streams(&self) -> Result<[OwnedFd; 3]> {
        let [stdin, stdout, stderr] = self.host.stdio.unwrap_or([0, 1, 2]);
        let sealed = launch::streams::seal_for_restore;
        Ok([sealed(stdin)?, sealed(stdout)?, sealed(stderr)?])
    }

    /// CRIU stands at a point where it is our turn.
    fn act(&mut self, event: Event, mounts: &[ExternalMount], criu: i32) -> Result<()> {
        match (&*event.script, event.pid) {
            ("setup-namespaces", Some(pid)) => {
                self.adopt(pid)?;
                // A network namespace that is joined still has its devices.
                let new_network = asked_namespace(self.host.spec, LinuxNamespaceType::Network) == Some(None);
                let unfinished = self.unfinished;
                self.play_lines(&lines(&unfinished.decided.plan, |step| match step {
                    HostStep::MoveNetDevice { .. } => new_network,
                    step => matches!(step, HostStep::RunHook { .. }),
                }))
            }
            ("post-restore", Some(pid)) => {
                self.adopt(pid)?;
                self.note(pid)
            }
            // From here on processes go on, whatever we say (they have had other capabilities until now).
            ("pre-resume", _) => self.let_go(mounts, criu).inspect_err(|_| self.kill()),
            ("orphan-pts-master", _) => {
                let lost = || Error::new(ErrorKind::System, "criu sent no console");
                self.host.forward_console(event.rider.ok_or_else(lost)?)
            }
            _ => Ok(()),
        }
    }

    fn adopt(&mut self, pid: i32) -> Result<()> {
        if self.host.process.is_none() {
            self.host.process = Some(Process::hold(pid)?);
        }
        Ok(())
    }

    /// Writes down who init is, and what config.json does not say of it.
    fn note(&self, pid: i32) -> Result<()> {
        let asked = asked_namespace(self.host.spec, LinuxNamespaceType::Time);
        let in_time_namespace = asked.is_none() && time_namespace(&pid.to_string())? != time_namespace("self")?;
        self.unfinished.note_init(self.host.process()?)?;
        self.unfinished.change_record(|record| record.time_namespace = in_time_namespace)
    }

    /// Looks at what CRIU has restored, and hands it over to the caller.
    fn let_go(&mut self, mounts: &[ExternalMount], criu: i32) -> Result<()> {
        let unfinished = self.unfinished;
        let plan = &unfinished.decided.plan;
        let restored = Restored {
            spec: self.host.spec,
            plan,
            external: mounts,
            groups: &plan.cgroups,
            init: self.host.process()?.pid,
            criu,
            ignores_cgroups: self.criu.manage_cgroups == ManageCgroups::Ignore,
            lsm_profile: self.criu.lsm_profile.as_deref(),
        };
        restored.protect()?;
        restored.check()?;
        self.play_lines(&lines(plan, |step| matches!(step, HostStep::ChownStreams { .. })))?;
        self.host.settle_console()?;
        unfinished.tell(self.host.process()?)
    }

    /// Makes the container's scope, if systemd is to make one, with CRIU in it. Of the limits one is left for later: its unit and that.
    fn enter_scope(&mut self) -> Result<Option<(&'a Unit, Property)>> {
        let unfinished = self.unfinished;
        let mut late = None;
        for (number, line) in lines(&unfinished.decided.plan, is_about_scope) {
            let mut line = line.clone();
            if let (Action::Host(HostStep::StartScope { properties, .. }), Some(unit)) =
                (&mut line.action, &unfinished.decided.plan.unit)
            {
                let limit = properties.iter().position(|property| property.name == "TasksMax");
                late = limit.map(|at| (unit, properties.remove(at)));
            }
            self.host.play(number, &line, &mut None)?;
        }
        Ok(late)
    }
}

/// `None` on a kernel without them.
fn time_namespace(pid: &str) -> Result<Option<PathBuf>> {
    let path = format!("/proc/{pid}/ns/time");
    match std::fs::read_link(&path) {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(None),
        read => {
            read.map(Some).map_err(|error| Error::io("look at the time namespace", format!("readlink({path})"), &error))
        }
    }
}

/// Those lines of the host's that are `wanted`, with their numbers.
fn lines(plan: &Plan, wanted: impl Fn(&HostStep) -> bool) -> Vec<(usize, &Line)> {
    let numbered = plan.lines.iter().enumerate();
    numbered.filter(|(_, line)| matches!(&line.action, Action::Host(step) if wanted(step))).collect()
}

fn is_about_groups(step: &HostStep) -> bool {
    matches!(
        step,
        HostStep::CreateCgroup { .. }
            | HostStep::WriteCgroup { .. }
            | HostStep::AttachDeviceProgram { .. }
            | HostStep::ChownCgroup { .. }
    )
}

fn is_about_scope(step: &HostStep) -> bool {
    matches!(step, HostStep::StartScope { .. } | HostStep::AwaitScope { .. })
}

fn is_about_rdt(step: &HostStep) -> bool {
    matches!(step, HostStep::MakeRdtClass { .. } | HostStep::MakeRdtMonitor { .. } | HostStep::JoinRdtGroup { .. })
}

fn is_limit_of_processes(line: &Line) -> bool {
    matches!(&line.action, Action::Host(HostStep::WriteCgroup { file, .. }) if file.ends_with("pids.max"))
}

/// The files that CRIU joins the container's groups by.
fn open_groups(groups: &[Group]) -> Result<Vec<OwnedFd>> {
    let (unified, tasks) = plan::cgroup::entry(groups);
    let files = unified.map(|directory| directory.join("cgroup.procs")).into_iter().chain(tasks);
    let open = |file: PathBuf| {
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn descriptors_of_the_callers_are_refused() {
        let bundle = Bundle::from_parts("/".into(), br#"{"ociVersion": "1.3.0"}"#.to_vec()).unwrap();
        let store = Store::open("/nonexistent/store").unwrap();
        let criu = CriuOptions::default();
        let some = || vec![OwnedFd::from(std::fs::File::open("/").unwrap())];
        for options in [CreateOptions::new().preserve(some()), CreateOptions::new().listen(some())] {
            let error = store.restore("web", &bundle, options, &criu).unwrap_err();
            assert_eq!(error.kind(), ErrorKind::Unsupported, "{error}");
        }
    }
}
