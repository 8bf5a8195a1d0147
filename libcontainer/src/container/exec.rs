//! `exec`: another process in a container.
use super::make::write_pid_file;
use super::stdio::Streams;
use super::{Child, Container, ExecOptions, Status, not_running, state};
use crate::launch::{self, Host, Process};
use crate::plan::{self, ExecPlanOptions};
use crate::{Error, ErrorKind, HostFacts, Result, cgroup};
use oci_spec::runtime;
use rustix::fd::AsFd;
use rustix::io::Errno;

impl Container {
    /// Starts another process in the container's namespaces and cgroup: a child of the caller.
    ///
    /// # Errors
    /// [`ErrorKind::NotRunning`]; [`ErrorKind::Paused`], unless [`ExecOptions::ignore_paused`] is set;
    /// [`ErrorKind::ProgramNotFound`], [`ErrorKind::ProgramNotExecutable`]; [`ErrorKind::InvalidConfig`], with the
    /// entry of the process at fault.
    pub fn exec(&self, process: &runtime::Process, options: ExecOptions) -> Result<Child> {
        match self.status()? {
            Status::Running | Status::Created => {}
            Status::Paused if options.ignore_paused => {}
            Status::Paused => {
                return Err(Error::new(ErrorKind::Paused, "cannot exec in a paused container"));
            }
            Status::Stopped => return Err(Error::new(ErrorKind::NotRunning, "cannot exec in a stopped container")),
            Status::Creating => return Err(not_running()),
        }
        let on_a_terminal = plan::has_terminal(Some(process));
        super::check_console(on_a_terminal, options.console_socket.as_deref())?;
        let bundle = self.bundle()?;
        let mut planned = ExecPlanOptions {
            preserve_fds: super::planned::count(&options.preserve)?,
            program: options.program.is_some(),
            time_namespace: self.record.time_namespace,
            ..ExecPlanOptions::default()
        };
        self.exec_cgroup(&options.cgroups, &mut planned)?;
        // The groups are in the record; whether systemd has to be asked is a question of the host's.
        let facts = match &self.record.unit {
            Some(unit) if unit.user => HostFacts::probe_for(self.record.cgroup_manager)?,
            _ => HostFacts::probe_caller()?,
        };
        planned.through_systemd(self.record.unit.as_ref(), &self.record.cgroups, &facts);
        let plan = plan::exec(bundle.spec(), process, &facts, &planned).map_err(Error::in_process)?;
        let mut save = |made: &Process| {
            if let Some(path) = &options.pidfd_socket {
                launch::descriptors::send(path, made.pidfd.as_fd(), b"setns", "send the pidfd")?;
            }
            options.pid_file.as_deref().map_or(Ok(()), |path| write_pid_file(path, made.pid))
        };
        // That of the container, whose pid is init's.
        let describe = |_: &str, _: i32| state::for_hooks(&self.record, "running", self.record.pid());
        let init = self.way_in()?.ok_or_else(not_running)?;
        let streams = Streams::open([&options.stdin, &options.stdout, &options.stderr], on_a_terminal)?;
        let mut host = Host::new(&bundle, self.folder.fd(), &describe, &mut save);
        host.init = Some(init);
        host.stdio = streams.numbers;
        host.preserve = &options.preserve;
        host.program = options.program.as_ref().map(AsFd::as_fd);
        host.console_socket = options.console_socket.as_deref();
        host.trace = options.trace.as_ref();
        let mut launched = launch::play(&plan.lines, &mut host);
        if launched.as_ref().is_err_and(is_full) && planned.join_though_full(bundle.spec()) {
            let plan = plan::exec(bundle.spec(), process, &facts, &planned).map_err(Error::in_process)?;
            host.init = self.way_in()?;
            launched = launch::play(&plan.lines, &mut host);
        }
        let launched = launched.map_err(Error::in_process)?;
        Ok(Child::new(launched, streams.ours))
    }

    /// Where the process goes: the container's groups, or those below them that were asked for.
    fn exec_cgroup(&self, below: &[(Vec<String>, String)], planned: &mut ExecPlanOptions) -> Result<()> {
        let known = |name: &String| self.record.cgroups.iter().any(|group| group.has(name));
        if let Some(name) = below.iter().flat_map(|(controllers, _)| controllers).find(|name| !known(name)) {
            return Err(Error::new(ErrorKind::InvalidConfig, format!("unknown controller {name} in --cgroup")));
        }
        for group in &self.record.cgroups {
            let asked = below
                .iter()
                .find(|(controllers, _)| controllers.is_empty() || controllers.iter().any(|name| group.has(name)));
            let directory = match asked {
                None => cgroup::place_for_another(group, self.record.pid()),
                Some((_, path)) => {
                    if path.split('/').any(|part| part == "..") {
                        return Err(Error::new(ErrorKind::InvalidConfig, format!("bad sub cgroup path: {path}")));
                    }
                    group.directory.join(path.trim_start_matches('/'))
                }
            };
            planned.join(group, directory);
        }
        Ok(())
    }
}

/// A limit on processes (clone(2), EAGAIN). Nobody has heard of the one that could not be made.
fn is_full(error: &Error) -> bool {
    // Of another call, that of the host's when the program runs already above all, it says nothing of the kind.
    let makes_processes = error.call().is_some_and(|call| call.starts_with("clone") || call.starts_with("fork"));
    makes_processes && error.errno() == Some(Errno::AGAIN.raw_os_error())
}
