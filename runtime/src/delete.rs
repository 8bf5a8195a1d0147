//! `delete`: removes what a container holds.
#![forbid(unsafe_code)]
use crate::cli::Invocation;
use crate::failure::Failure;
use crate::regex::Regex;

pub(crate) fn run(invocation: &Invocation) -> Result<u8, Failure> {
    let force = invocation.is_set("force");
    let (store, id) = (invocation.store()?, invocation.id()?);
    if !invocation.is_set("regex") {
        store.delete(id, force)?;
        return Ok(0);
    }
    let pattern = Regex::new(id)?;
    let mut outcome = Ok(0);
    for (id, _) in store.list()?.iter().filter(|(id, _)| pattern.matches(id)) {
        // One that cannot be deleted is no reason to leave the others.
        outcome = store.delete(id, force).map(|()| 0).and(outcome);
    }
    Ok(outcome?)
}
