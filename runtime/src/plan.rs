//! `plan`: what `create` or `exec` would do.
#![forbid(unsafe_code)]
use crate::cli::Invocation;
use crate::failure::Failure;
use crate::{create, pending, print};
use libcontainer::{Bundle, HostFacts};
use std::path::Path;

pub(crate) fn run(invocation: &Invocation) -> Result<u8, Failure> {
    if invocation.is_set("show-facts") {
        let facts = serde_json::to_string_pretty(&pending::facts()?);
        let facts = facts.map_err(|error| Failure::new(error.to_string()))?;
        print(format!("{facts}\n").as_bytes())?;
        return Ok(0);
    }
    let json = invocation.choice("format")? == "json";
    let bundle = create::bundle(invocation)?;
    let exec = invocation.path("exec").map(|path| read(&path)).transpose()?;
    let exec = exec.map(|json| Bundle::process_from_slice(&json)).transpose()?;
    let facts = invocation.path("facts").map(|path| facts(&path)).transpose()?;
    print(pending::plan(&bundle, exec.as_ref(), facts.as_ref(), json)?.as_bytes())?;
    Ok(0)
}

fn facts(path: &Path) -> Result<HostFacts, Failure> {
    serde_json::from_slice(&read(path)?).map_err(|error| Failure::new(format!("{}: {error}", path.display())))
}

fn read(path: &Path) -> Result<Vec<u8>, Failure> {
    std::fs::read(path).map_err(|error| Failure::io(&format!("open {}", path.display()), &error))
}
