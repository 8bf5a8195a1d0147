//! `checkpoint`: saves a container to disk with CRIU.
#![forbid(unsafe_code)]
use crate::cli::Invocation;
use crate::failure::Failure;
use crate::pending::{self, CriuOptions};
use std::path::PathBuf;

pub(crate) fn run(invocation: &Invocation) -> Result<u8, Failure> {
    let container = invocation.store()?.load(invocation.id()?)?;
    let options = CriuOptions {
        status_fd: invocation.number("status-fd")?,
        page_server: invocation.text("page-server")?.map(page_server).transpose()?,
        ..options(invocation)?
    };
    pending::checkpoint(&container, &options)?;
    Ok(0)
}

/// The flags that `restore` has too.
pub(crate) fn options(invocation: &Invocation) -> Result<CriuOptions, Failure> {
    let owned = |name| invocation.text(name).map(|text| text.map(str::to_owned));
    let parent_path = invocation.path("parent-path");
    if parent_path.as_ref().is_some_and(|path| path.is_absolute()) {
        return Err(Failure::new("--parent-path must be relative"));
    }
    if let Some(other) = invocation.texts("empty-ns")?.iter().find(|name| **name != "network") {
        return Err(Failure::new(format!("namespace {other:?} is not supported")));
    }
    let switches =
        invocation.command.flags.iter().filter(|flag| flag.argument.is_none() && invocation.is_set(flag.name));
    invocation.choice("manage-cgroups-mode")?;
    Ok(CriuOptions {
        image_path: invocation.path("image-path").unwrap_or_else(|| PathBuf::from("checkpoint")),
        work_path: invocation.path("work-path"),
        parent_path,
        status_fd: None,
        page_server: None,
        manage_cgroups_mode: owned("manage-cgroups-mode")?,
        network_lock: owned("network-lock")?,
        lsm_profile: None,
        lsm_mount_context: None,
        switches: switches.map(|flag| flag.name).collect(),
    })
}

/// `ADDRESS:PORT`, the address of IPv6 in brackets.
fn page_server(text: &str) -> Result<(String, u16), Failure> {
    let (address, port) = text
        .rsplit_once(':')
        .filter(|(address, port)| !address.is_empty() && !port.is_empty())
        .ok_or_else(|| Failure::new("Use --page-server ADDRESS:PORT to specify page server"))?;
    let address = address.strip_prefix('[').and_then(|address| address.strip_suffix(']')).unwrap_or(address);
    Ok((address.to_owned(), port.parse().map_err(|_| Failure::new("Invalid port number"))?))
}
