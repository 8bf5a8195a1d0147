//! `mounts add` and `mounts remove`: mounts of a container that runs.
use super::Container;
use crate::launch::folder::MOUNTS;
use crate::launch::{self, Note};
use crate::plan::{self, ExternalMount};
use crate::{Bundle, Error, ErrorKind, HostFacts, Result};
use oci_spec::runtime::Mount;
use rustix::io::Errno;
use std::path::PathBuf;

const FILE: &str = "mounts";

impl Container {
    /// Mounts all of them, in this order, or none: what has been attached before one fails is taken away again.
    ///
    /// # Errors
    /// [`ErrorKind::NotRunning`]; [`ErrorKind::InvalidConfig`] or [`ErrorKind::Unsupported`], with the mount at fault;
    /// what the kernel says, of a mount that it refuses.
    pub fn add_mounts(&self, mounts: &[Mount]) -> Result<()> {
        self.locked_while_running(|| {
            let (bundle, facts) = (self.bundle()?, HostFacts::probe()?.probe_procfs());
            let plan = plan::add_mounts(bundle.path(), bundle.spec(), mounts.to_vec(), &facts)
                .map_err(|error| error.in_file(FILE))?;
            let before = self.notes()?;
            let added = self.play(&bundle, &plan.lines);
            if added.is_err() {
                self.take_back(&bundle, &facts, before)?;
            }
            added.map_err(|error| error.in_file(FILE))
        })
    }

    /// Takes away what `add_mounts` has put at these destinations, with what is mounted below. Nothing else of a mount counts.
    ///
    /// # Errors
    /// A destination at which `add_mounts` has mounted nothing; a mount that is busy. What has been taken away before
    /// an error is named, and the same call again removes the rest.
    pub fn remove_mounts(&self, mounts: &[Mount]) -> Result<()> {
        self.locked_while_running(|| {
            let (bundle, facts) = (self.bundle()?, HostFacts::probe()?);
            let mut notes = self.notes()?;
            let mut found: Vec<Note> = Vec::new();
            for (index, mount) in mounts.iter().enumerate() {
                let wrong = |message: &str| Err(Error::config(format!("/{index}/destination"), message).in_file(FILE));
                let target = plan::mount_target(bundle.path(), bundle.spec(), &facts, mount.destination());
                // The last one there is the one that is seen.
                match notes.iter().rposition(|note| note.destination == target) {
                    Some(at) => found.push(notes.remove(at)),
                    None if found.iter().any(|note| note.destination == target) => return wrong("is there twice"),
                    None => return wrong("no mount of `mounts add` is there"),
                }
            }
            found.retain(|note| !note.gone);
            let targets: Vec<_> = found.iter().map(Note::target).collect();
            let plan = plan::remove_mounts(bundle.path(), bundle.spec(), &targets, &facts)?;
            let removed = self.play(&bundle, &plan.lines).map_err(|error| error.in_file(FILE));
            match removed.and_then(|()| self.write_notes(&notes)) {
                Err(error) if !is_missing(&error) => self.settle(&bundle, &facts, found, notes, error),
                removed => removed,
            }
        })
    }

    /// Something has failed in the middle of it: writes down which are gone, so that the same command again removes the rest.
    fn settle(
        &self,
        bundle: &Bundle,
        facts: &HostFacts,
        mut found: Vec<Note>,
        mut notes: Vec<Note>,
        error: Error,
    ) -> Result<()> {
        for note in &mut found {
            let plan = plan::find_mounts(bundle.path(), bundle.spec(), &[note.target()], facts)?;
            note.gone = self.play(bundle, &plan.lines).is_err_and(|error| is_missing(&error));
        }
        let gone: Vec<_> =
            found.iter().filter(|note| note.gone).map(|note| note.destination.display().to_string()).collect();
        if gone.is_empty() {
            return Err(error);
        }
        if gone.len() == found.len() {
            // All that was asked for is so.
            return self.write_notes(&notes);
        }
        let said = format!("already removed: {}; the same command again removes the rest", gone.join(", "));
        notes.append(&mut found);
        self.write_notes(&notes)?;
        Err(error.detail(said))
    }

    /// For a checkpoint, which says what the bundle of the restore needs: these are in no config.json yet.
    pub(super) fn added_mounts(&self) -> Result<Vec<ExternalMount>> {
        let there = self.notes()?.into_iter().filter(|note| !note.gone);
        let mounts: Vec<_> = there.map(|note| ExternalMount::added(note.destination)).collect();
        if !mounts.is_empty() {
            let targets: Vec<_> = mounts.iter().map(|mount| mount.target.display().to_string()).collect();
            let targets = targets.join(", ");
            log::warn!("a restore is refused unless config.json has the mounts of `mounts add`: {targets}");
        }
        Ok(mounts)
    }

    fn play(&self, bundle: &Bundle, lines: &[plan::Line]) -> Result<()> {
        launch::play_to_the_end(lines, bundle, self.folder.fd(), self.way_in()?)
    }

    /// Whoever did the work may have been killed in the middle of it: what was noted was about to be attached, or is.
    fn take_back(&self, bundle: &Bundle, facts: &HostFacts, before: Vec<Note>) -> Result<()> {
        let noted = self.notes()?;
        for note in noted.iter().skip(before.len()).rev() {
            let plan = plan::remove_mounts(bundle.path(), bundle.spec(), &[note.target()], facts)?;
            // One that is missing was never attached.
            match self.play(bundle, &plan.lines) {
                Err(error) if !is_missing(&error) => log::warn!("take back a mount: {error}"),
                _ => {}
            }
        }
        self.write_notes(&before)
    }

    fn notes(&self) -> Result<Vec<Note>> {
        let file = self.folder.read(MOUNTS)?;
        Ok(file.map(|file| launch::notes(&file)).unwrap_or_default())
    }

    fn write_notes(&self, notes: &[Note]) -> Result<()> {
        let lines = notes.iter().map(serde_json::to_string).collect::<std::result::Result<Vec<_>, _>>();
        let lines = lines.map_err(|error| Error::new(ErrorKind::System, format!("note the mounts: {error}")))?;
        self.folder.write(MOUNTS, lines.join("\n").as_bytes())
    }
}

impl Note {
    fn target(&self) -> (PathBuf, u64) {
        (self.destination.clone(), self.mount)
    }
}

/// It is not what is seen at its place.
fn is_missing(error: &Error) -> bool {
    [Errno::NOENT, Errno::STALE].iter().any(|errno| error.errno() == Some(errno.raw_os_error()))
}
