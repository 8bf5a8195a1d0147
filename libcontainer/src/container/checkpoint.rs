//! `checkpoint`: a container's processes become files, with CRIU.
use super::{Container, Status};
use crate::criu::images::Directory;
use crate::criu::{Criu, Event, Feature, Kind, Message, Start, external, namespaces, option, streams};
use crate::plan::{self, ExternalMount, asked_namespace};
use crate::sys::Helper;
use crate::{CriuOptions, Error, ErrorKind, HostFacts, Result, cgroup, sys};
use oci_spec::runtime::{LinuxNamespaceType, Spec};
use rustix::fd::OwnedFd;
use rustix::fs::OFlags;

const LOG: &str = "dump.log";

impl Container {
    /// Saves the processes of a running or paused container, and removes it: what is left of it is the images. With
    /// `leave_running` or `pre_dump` it goes on. After a failure it is as it was.
    ///
    /// # Errors
    /// [`ErrorKind::NotRunning`] if it neither runs nor is paused; [`ErrorKind::Unsupported`] for what CRIU, or this
    /// CRIU, cannot save; else what CRIU says, with the end of its log.
    pub fn checkpoint(&self, options: &CriuOptions) -> Result<()> {
        let status = self.status()?;
        if !matches!(status, Status::Running | Status::Paused) {
            let message = format!("Container cannot be checkpointed in {status} state");
            return Err(Error::new(status.in_the_way(), message));
        }
        // Nobody deletes it meanwhile but by force.
        let lock = self.folder.lock()?;
        let bundle = self.bundle()?;
        let dumped = self.dump(bundle.spec(), options);
        if let Err(error) = dumped {
            // CRIU has died at it. If this process does, the container is a paused one.
            if status == Status::Running {
                cgroup::thaw(&self.record.cgroups).unwrap_or_else(|frozen| log::warn!("{frozen}"));
            }
            return Err(error);
        }
        if options.leave_running || options.pre_dump {
            return Ok(());
        }
        self.end()?;
        self.destroy(&lock, Some(bundle.spec()))
    }

    fn dump(&self, spec: &Spec, options: &CriuOptions) -> Result<()> {
        if asked_namespace(spec, LinuxNamespaceType::Mount).is_none() {
            let message = "CRIU needs a container with a mount namespace of its own";
            return Err(Error::new(ErrorKind::Unsupported, message).at("/linux/namespaces"));
        }
        let facts = HostFacts::probe_for(self.record.cgroup_manager)?;
        let plan = plan::create(&self.record.bundle, spec, &facts, &self.record.planned)?;
        let mounts = plan.external_mounts()?;
        let images = Directory::make(&options.image_path)?;
        // They are about to be written to, if they are there already.
        images.check(options.lazy_pages)?;
        if let Some(work) = &options.work_path {
            Directory::make(work)?;
        }
        if let Some(parent) = &options.parent_path {
            images.check_parent(parent)?;
        }
        let status = options.status_fd.map(status_descriptor).transpose()?;
        let start = Start { helper: Helper::default(), streams: None, work: options.work(), log: LOG, mount: None };
        let mut criu = Criu::start(start)?;
        let message = self.dump_message(spec, options, &images, &mounts, &criu)?;
        if !options.pre_dump {
            images.write_descriptors(&self.record.streams)?;
        }
        criu.check_version()?;
        if options.pre_dump {
            criu.check_feature(Feature::MemTrack)?;
        }
        if options.lazy_pages {
            criu.check_feature(Feature::LazyPages)?;
        }
        let mut act = |event: Event| match (&*event.script, &status) {
            ("status-ready", Some(status)) => rustix::io::write(status, &[0])
                .map(drop)
                .map_err(|errno| Error::system("write to --status-fd", "write", errno)),
            _ => Ok(()),
        };
        let kind = if options.pre_dump { Kind::SINGLE_PRE_DUMP } else { Kind::DUMP };
        criu.finish(kind, &message, &mut act)
    }

    /// What CRIU is asked for.
    fn dump_message(
        &self,
        spec: &Spec,
        options: &CriuOptions,
        images: &Directory,
        mounts: &[ExternalMount],
        criu: &Criu,
    ) -> Result<Message> {
        let mut message = options
            .message(images, criu, spec)
            .number(option::PID, self.record.pid())
            .text(option::ROOT, self.record.rootfs.as_os_str().as_encoded_bytes())
            .number(option::LEAVE_RUNNING, options.leave_running)
            .number(option::TCP_SKIP_IN_FLIGHT, options.tcp_skip_in_flight)
            .number(option::LINK_REMAP, options.link_remap);
        if let Some(parent) = &options.parent_path {
            message = message.text(option::PARENT_IMG, parent.as_os_str().as_encoded_bytes());
        }
        if options.pre_dump || options.parent_path.is_some() {
            message = message.number(option::TRACK_MEM, true);
        }
        if let Some((address, port)) = &options.page_server {
            let server = Message::default().text(1, address).number(2, *port);
            message = message.message(option::PAGE_SERVER, &server);
        }
        // All processes stop at once, rather than one after the other.
        if let Some(freezer) = cgroup::freezer_directory(&self.record.cgroups) {
            message = message.text(option::FREEZE_CGROUP, freezer.as_os_str().as_encoded_bytes());
        }
        message = namespaces::for_dump(message, spec)?;
        if !options.pre_dump {
            message = external::for_dump(message, mounts, &self.added_mounts()?, self.record.pid())?;
            message = streams::for_dump(message, &self.record.streams);
        }
        Ok(message)
    }
}

/// The descriptor that the caller has opened for writing under this number.
fn status_descriptor(number: i32) -> Result<OwnedFd> {
    let invalid = |errno| {
        Error::system(format!("invalid --status-fd argument {number}"), format!("fcntl({number})"), errno)
            .with_kind(ErrorKind::InvalidConfig)
    };
    let descriptor = sys::duplicate(number).map_err(invalid)?;
    let mode = rustix::fs::fcntl_getfl(&descriptor).map_err(invalid)? & OFlags::RWMODE;
    if mode == OFlags::RDONLY {
        let message = format!("invalid --status-fd argument {number}: not writable");
        return Err(Error::new(ErrorKind::InvalidConfig, message));
    }
    Ok(descriptor)
}
