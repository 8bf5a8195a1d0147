//! What is decided before anything is made: a plan, and all that it takes to play it.
#![forbid(unsafe_code)]
use super::CreateOptions;
use crate::plan::{self, Plan, PlanOptions};
use crate::store::{NOTIFY, Store, check_id};
use crate::{Bundle, Error, ErrorKind, HostFacts, Result, Trace};
use std::os::fd::OwnedFd;

/// A container that has been decided on: what [`Store::create_planned`] plays. It cannot be changed, so that what was looked at is
/// what is played; whoever wants another plan asks for another bundle.
#[derive(Debug)]
pub struct Planned {
    pub(super) store: Store,
    pub(super) bundle: Bundle,
    pub(super) options: CreateOptions,
    /// What the container has open from 3 on.
    pub(super) preserve: Vec<OwnedFd>,
    pub(super) facts: HostFacts,
    pub(super) asked: PlanOptions,
    pub(super) plan: Plan,
}

impl Planned {
    /// The container's name in the store.
    pub fn id(&self) -> &str {
        &self.asked.id
    }

    /// The bundle that it was made from.
    pub fn bundle(&self) -> &Bundle {
        &self.bundle
    }

    /// What will happen, line by line.
    pub fn plan(&self) -> &Plan {
        &self.plan
    }
}

impl Store {
    /// Decides what [`Store::create`] would do with these: looks at the host, and makes nothing. The id is not taken by it.
    ///
    /// # Errors
    /// [`ErrorKind::InvalidId`](crate::ErrorKind::InvalidId); [`ErrorKind::InvalidConfig`](crate::ErrorKind::InvalidConfig) and
    /// [`ErrorKind::Unsupported`](crate::ErrorKind::Unsupported), with the entry of config.json at fault.
    pub fn plan(&self, id: &str, bundle: &Bundle, mut options: CreateOptions) -> Result<Planned> {
        check_id(id)?;
        let (spec, trace) = (bundle.spec(), options.trace.clone());
        super::check_console(plan::has_terminal(spec.process().as_ref()), options.console_socket.as_deref())?;
        let probe = || HostFacts::probe_for_bundle(options.cgroup_manager, bundle);
        let facts = Trace::time(trace.as_ref(), "(probe the host)", probe)?;
        let asked = PlanOptions {
            id: id.to_owned(),
            no_pivot: options.no_pivot,
            no_new_keyring: options.no_new_keyring,
            preserve_fds: count(&options.preserve)?,
            listen_fds: count(&options.listen)?,
            program: options.program.is_some(),
            notify: options.notify.then(|| self.root.join(id).join(NOTIFY)),
            cgroup_manager: options.cgroup_manager,
            rootless: options.rootless,
        };
        let plan = Trace::time(trace.as_ref(), "(plan)", || plan::create(bundle.path(), spec, &facts, &asked))?;
        let mut preserve = std::mem::take(&mut options.listen);
        preserve.append(&mut options.preserve);
        Ok(Planned { store: self.clone(), bundle: bundle.clone(), options, preserve, facts, asked, plan })
    }
}

/// As many as a plan can count, which is more than a process can have.
pub(super) fn count(descriptors: &[OwnedFd]) -> Result<u32> {
    u32::try_from(descriptors.len()).map_err(|_| Error::new(ErrorKind::InvalidConfig, "too many descriptors"))
}
