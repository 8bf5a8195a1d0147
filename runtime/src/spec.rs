//! `spec`: a config.json to start from, with the keys in the order in which runc writes them.
#![forbid(unsafe_code)]
use crate::cli::Invocation;
use crate::failure::Failure;
use std::fs::File;
use std::io::{ErrorKind, Write};

/// runc's default, with the masked paths that have been found wanting since (`/proc/interrupts`,
/// `/sys/devices/virtual/powercap`: side channels).
const ROOT: &str = include_str!("spec/root.json");
/// For an ordinary user: no network namespace, no limits, the host's /sys, one id mapped.
const ROOTLESS: &str = include_str!("spec/rootless.json");

pub(crate) fn run(invocation: &Invocation) -> Result<u8, Failure> {
    let ids = invocation
        .is_set("rootless")
        .then(|| (rustix::process::geteuid().as_raw(), rustix::process::getegid().as_raw()));
    // As runc decides it: on cgroup v1 its own cgroup is hidden from a container anyway.
    // may fail: it is a template.
    let unified = std::path::Path::new("/sys/fs/cgroup/cgroup.controllers").exists();
    let name = invocation.path("file").unwrap_or_else(|| "config.json".into());
    let path = invocation.path("bundle").unwrap_or_default().join(&name);
    let failed = |error: std::io::Error| match error.kind() {
        ErrorKind::AlreadyExists => Failure::new(format!("File {} exists. Remove it first", name.display())),
        _ => Failure::io(&format!("open {}", path.display()), &error),
    };
    let mut file = File::options().write(true).create_new(true).open(&path).map_err(failed)?;
    file.write_all(document(ids, unified).as_bytes()).map_err(failed)?;
    Ok(0)
}

/// The document; for an ordinary user with these ids, or for root.
fn document(rootless: Option<(u32, u32)>, cgroup_namespace: bool) -> String {
    let document = match rootless {
        None => ROOT.to_owned(),
        Some((uid, gid)) => ROOTLESS.replace("\"UID\"", &uid.to_string()).replace("\"GID\"", &gid.to_string()),
    };
    let document = document.trim_end();
    match cgroup_namespace {
        true => document.to_owned(),
        false => document.replace(",\n\t\t\t{\n\t\t\t\t\"type\": \"cgroup\"\n\t\t\t}", ""),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use libcontainer::oci_spec::runtime::Spec;

    fn spec(rootless: Option<(u32, u32)>, cgroup_namespace: bool) -> Spec {
        serde_json::from_str(&document(rootless, cgroup_namespace)).unwrap()
    }

    #[test]
    fn every_variant_is_a_valid_specification() {
        for (ids, unified, namespaces) in
            [(None, true, 6), (None, false, 5), (Some((7, 8)), true, 6), (Some((7, 8)), false, 5)]
        {
            let spec = spec(ids, unified);
            assert_eq!(spec.version(), libcontainer::OCI_VERSION);
            let linux = spec.linux().as_ref().unwrap();
            assert_eq!(linux.namespaces().as_ref().unwrap().len(), namespaces, "{ids:?} {unified}");
        }
    }

    #[test]
    fn an_ordinary_user_maps_itself_to_root_and_asks_for_nothing_it_may_not_have() {
        let spec = spec(Some((1000, 100)), true);
        let linux = spec.linux().as_ref().unwrap();
        assert_eq!(linux.uid_mappings().as_ref().unwrap()[0].host_id(), 1000);
        assert_eq!(linux.gid_mappings().as_ref().unwrap()[0].host_id(), 100);
        assert!(linux.resources().is_none());
        let options = spec.mounts().iter().flatten().filter_map(|mount| mount.options().as_ref()).flatten();
        assert!(options.into_iter().all(|option| !option.starts_with("gid=") && !option.starts_with("uid=")));
    }
}
