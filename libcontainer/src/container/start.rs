//! `start`: let init execute the user's program.
use super::{Container, Status, state};
use crate::launch::{Channel, Heard, explain, hooks};
use crate::plan::line::HookKind;
use crate::plan::{self, PlanOptions};
use crate::{Error, ErrorKind, HostFacts, Result, launch};
use rustix::fs::AtFlags;
use rustix::io::Errno;
use rustix::net::SocketType;

impl Container {
    /// Runs the user's program, and then the poststart hooks. Fails with runc's wording if it cannot be executed.
    pub fn start(&self) -> Result<()> {
        match self.status()? {
            Status::Created => {}
            Status::Stopped => return Err(wrong("cannot start a container that has stopped")),
            Status::Running => return Err(wrong("cannot start an already running container")),
            Status::Paused => return Err(wrong("cannot start a container in the paused state")),
            Status::Creating => return Err(wrong("cannot start a container in the creating state")),
        }
        let bundle = self.bundle()?;
        if bundle.spec().process().is_none() {
            return Err(Error::config("/process", "process property must not be empty"));
        }
        let path = self.folder.start_socket();
        let socket = match launch::descriptors::connect(&path, SocketType::SEQPACKET) {
            // Somebody else was faster.
            Err(Errno::CONNREFUSED | Errno::NOENT | Errno::AGAIN) => {
                let _ = rustix::fs::unlinkat(self.folder.fd(), launch::START_SOCKET, AtFlags::empty());
                return Err(wrong("cannot start an already running container"));
            }
            connected => {
                connected.map_err(|errno| Error::system("start the container", "connect(start.sock)", errno))?
            }
        };
        // Gone before the program runs: from here on the status is `running`.
        let _ = rustix::fs::unlinkat(self.folder.fd(), launch::START_SOCKET, AtFlags::empty());
        match Channel::new(socket).receive()? {
            Heard::Failed(words) => {
                // Only now is the plan needed: to say which line it was.
                let options = PlanOptions {
                    id: self.record.id.clone(),
                    cgroup_manager: self.record.cgroup_manager,
                    ..PlanOptions::default()
                };
                let plan = plan::create(bundle.path(), bundle.spec(), &HostFacts::probe()?, &options)?;
                Err(explain(&plan.lines, &words))
            }
            _ => self.run_poststart(&bundle),
        }
    }

    fn run_poststart(&self, bundle: &crate::Bundle) -> Result<()> {
        let Some(all) = bundle.spec().hooks() else { return Ok(()) };
        let pid = self.record.init.map_or(0, |init| init.pid);
        let state = state::for_hooks(&self.record, "running", pid);
        for (index, hook) in hooks::of_kind(all, HookKind::Poststart).iter().enumerate() {
            // runtime-spec 1.3: a failed poststart hook is an error and stops the container.
            if let Err(error) = hooks::run(hook, HookKind::Poststart, index, bundle.path(), &state, None) {
                let _ = self.kill(libc::SIGKILL, true);
                return Err(error);
            }
        }
        Ok(())
    }
}

fn wrong(message: &str) -> Error {
    Error::new(ErrorKind::WrongStatus, message)
}
