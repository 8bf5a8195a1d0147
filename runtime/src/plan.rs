//! `plan`: what `create` or `exec` would do.
#![forbid(unsafe_code)]
use crate::cli::Invocation;
use crate::failure::Failure;
use crate::print;
use libcontainer::{Bundle, EnvValues, HostFacts, Plan, PlanOptions};
use std::path::Path;

pub(crate) fn run(invocation: &Invocation) -> Result<u8, Failure> {
    let manager = invocation.cgroup_manager()?;
    let given = invocation.path("facts").map(|path| facts(&path)).transpose()?;
    if invocation.is_set("show-facts") {
        let facts = given.map_or_else(|| HostFacts::probe_for(manager).map(HostFacts::probe_procfs), Ok)?;
        let facts = serde_json::to_string_pretty(&facts).map_err(|error| Failure::new(error.to_string()))?;
        print(format!("{facts}\n").as_bytes())?;
        return Ok(0);
    }
    let json = invocation.choice("format")? == "json";
    let bundle = Bundle::open(invocation.path("bundle").unwrap_or_else(|| ".".into()))?;
    let facts = given.map_or_else(|| HostFacts::probe_for_bundle(manager, &bundle), Ok)?;
    let exec = invocation.path("exec").map(|path| read(&path)).transpose()?;
    let exec = exec.map(|json| Bundle::process_from_slice(&json)).transpose()?;
    let options = PlanOptions {
        id: invocation.text("id")?.unwrap_or("ID").to_owned(),
        no_pivot: invocation.is_set("no-pivot"),
        no_new_keyring: invocation.is_set("no-new-keyring"),
        preserve_fds: invocation.number("preserve-fds")?.unwrap_or(0),
        rootless: invocation.rootless()?,
        cgroup_manager: manager,
        ..PlanOptions::default()
    };
    let env = if invocation.is_set("show-env") { EnvValues::Shown } else { EnvValues::Hidden };
    let plan = match exec {
        Some(process) => Plan::exec(&bundle, &process, &facts, &options)?,
        None => Plan::new(&bundle, &facts, &options)?,
    };
    let text = if json { format!("{:#}\n", plan.to_json(env)) } else { plan.to_text(env) };
    print(text.as_bytes())?;
    Ok(0)
}

pub(crate) fn facts(path: &Path) -> Result<HostFacts, Failure> {
    serde_json::from_slice(&read(path)?).map_err(|error| Failure::new(format!("{}: {error}", path.display())))
}

fn read(path: &Path) -> Result<Vec<u8>, Failure> {
    libcontainer::read_file(path).map_err(|error| Failure::io(&format!("open {}", path.display()), &error))
}
