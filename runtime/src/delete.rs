//! `delete`: removes what a container holds.
#![forbid(unsafe_code)]
use crate::cli::Invocation;
use crate::failure::Failure;
use crate::regex::Regex;
use libcontainer::Store;

pub(crate) fn run(invocation: &Invocation) -> Result<u8, Failure> {
    let force = invocation.is_set("force");
    let (store, id) = (invocation.store()?, invocation.id()?);
    if !invocation.is_set("regex") {
        return delete(&store, id, force);
    }
    let pattern = Regex::new(id)?;
    let mut outcome = Ok(0);
    for (id, _) in store.list()?.iter().filter(|(id, _)| pattern.matches(id)) {
        // One that cannot be deleted is no reason to leave the others.
        outcome = delete(&store, id, force).and(outcome);
    }
    outcome
}

fn delete(store: &Store, id: &str, force: bool) -> Result<u8, Failure> {
    if !force {
        store.delete(id)?;
    } else if !store.force_delete(id)? {
        // Whoever calls for what is gone already is cleaning up. containerd's shim waits for its runtime in two places then, of which
        // one loses the status, and logs it as 255, if the runtime has ended before the other begins to wait
        // (docs/runc-behaviour.md). Nobody else asks, and nobody waits.
        std::thread::sleep(std::time::Duration::from_millis(20));
    }
    Ok(0)
}
