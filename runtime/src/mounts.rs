//! `mounts`: adds mounts to a running container, or takes them away again.
#![forbid(unsafe_code)]
use crate::cli::Invocation;
use crate::failure::Failure;
use libcontainer::Bundle;

pub(crate) fn run(invocation: &Invocation) -> Result<u8, Failure> {
    let [what, id, file] = &invocation.positionals[..] else { unreachable!("the table says three") };
    let add = match what.to_str() {
        Some("add") => true,
        Some("remove") => false,
        _ => return Err(Failure::new(format!("unknown command {:?}: add or remove", what.to_string_lossy()))),
    };
    let id = id.to_str().ok_or_else(|| Failure::new("invalid container ID format"))?;
    let container = invocation.store()?.load(id)?;
    let attempt = format!("open {}", file.to_string_lossy());
    let json = libcontainer::read_file(file).map_err(|error| Failure::io(&attempt, &error))?;
    let mounts = Bundle::mounts_from_slice(&json)?;
    if add {
        container.add_mounts(&mounts)?
    } else {
        container.remove_mounts(&mounts)?
    }
    Ok(0)
}
