//! Descriptors that a plan hands to init, by number.
#![forbid(unsafe_code)]

use crate::{Error, ErrorKind, Result};
use std::path::PathBuf;
use step::Slot;

/// The order in which descriptors reach init: those of the clone line, then one for each line that fills a slot.
pub(super) struct Slots {
    next: usize,
}

impl Slots {
    pub(super) fn after(tasks: &[PathBuf]) -> Result<Slots> {
        let slots = Slots { next: tasks.len() };
        Slot::try_from(slots.next).map_err(|_| Slots::too_many())?;
        Ok(slots)
    }

    pub(super) fn take(&mut self) -> Result<Slot> {
        let slot = Slot::try_from(self.next).map_err(|_| Slots::too_many())?;
        self.next += 1;
        Ok(slot)
    }

    pub(super) fn too_many() -> Error {
        Error::new(ErrorKind::InvalidConfig, "the configuration needs more descriptors than a plan can number")
    }
}
