//! What this host can do: the plan's facts, found by trying, never by comparing versions.
mod hierarchies;
mod probe;
pub(crate) use probe::{in_user_namespace, read};

use serde::{Deserialize, Serialize};
use std::ops::{Deref, DerefMut};

/// What a plan may know about a host. [`HostFacts::probe`] finds it out about this one; the data itself is the plan's, so that
/// it can be written to JSON and read back.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct HostFacts(crate::plan::HostFacts);

impl Deref for HostFacts {
    type Target = crate::plan::HostFacts;

    fn deref(&self) -> &Self::Target {
        &self.0
    }
}

impl DerefMut for HostFacts {
    fn deref_mut(&mut self) -> &mut Self::Target {
        &mut self.0
    }
}

impl From<crate::plan::HostFacts> for HostFacts {
    fn from(facts: crate::plan::HostFacts) -> HostFacts {
        HostFacts(facts)
    }
}
