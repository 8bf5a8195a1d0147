//! `checkpoint`: saves a container to disk with CRIU.
#![forbid(unsafe_code)]
use crate::cli::Invocation;
use crate::failure::Failure;
use libcontainer::{CriuOptions, ManageCgroups, NetworkLock};
use std::path::PathBuf;

pub(crate) fn run(invocation: &Invocation) -> Result<u8, Failure> {
    let container = invocation.store()?.load(invocation.id()?)?;
    let mut options = options(invocation)?;
    options.leave_running = invocation.is_set("leave-running");
    options.pre_dump = invocation.is_set("pre-dump");
    options.tcp_skip_in_flight = invocation.is_set("tcp-skip-in-flight");
    options.link_remap = invocation.is_set("link-remap");
    // -1 is runc's default.
    options.status_fd = invocation.number("status-fd")?.filter(|descriptor: &i32| *descriptor != -1);
    options.page_server = invocation.text("page-server")?.map(page_server).transpose()?;
    container.checkpoint(&options)?;
    Ok(0)
}

/// The flags that `restore` has too.
pub(crate) fn options(invocation: &Invocation) -> Result<CriuOptions, Failure> {
    if let Some(other) = invocation.texts("empty-ns")?.iter().find(|name| **name != "network") {
        return Err(Failure::new(format!("namespace {other:?} is not supported")));
    }
    let mut options = CriuOptions::default();
    options.image_path = invocation.path("image-path").unwrap_or_else(|| PathBuf::from("checkpoint"));
    options.work_path = invocation.path("work-path");
    options.parent_path = invocation.path("parent-path");
    options.tcp_established = invocation.is_set("tcp-established");
    options.ext_unix_sk = invocation.is_set("ext-unix-sk");
    options.shell_job = invocation.is_set("shell-job");
    options.file_locks = invocation.is_set("file-locks");
    options.auto_dedup = invocation.is_set("auto-dedup");
    options.lazy_pages = invocation.is_set("lazy-pages");
    options.manage_cgroups = match invocation.choice("manage-cgroups-mode")? {
        "full" => ManageCgroups::Full,
        "strict" => ManageCgroups::Strict,
        "ignore" => ManageCgroups::Ignore,
        _ => ManageCgroups::Soft,
    };
    options.network_lock = match invocation.text("network-lock")? {
        None => None,
        Some("iptables") => Some(NetworkLock::Iptables),
        Some("nftables") => Some(NetworkLock::Nftables),
        Some("skip") => Some(NetworkLock::Skip),
        Some(other) => return Err(Failure::new(format!("invalid network-lock method {other:?}"))),
    };
    Ok(options)
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
