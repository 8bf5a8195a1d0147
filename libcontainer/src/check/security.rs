//! What works, but gives more away than most containers need.
#![forbid(unsafe_code)]
use super::{Concern, Finding};
use crate::plan::is_bind;
use oci_spec::runtime::{Capability, LinuxNamespaceType, Mount, Process, Spec};
use std::path::Path;

pub(super) fn find(spec: &Spec) -> Vec<Finding> {
    let mut findings = Vec::new();
    let mut add = |pointer: String, message: String| findings.push(Finding::new(Concern::Security, pointer, message));
    if let Some(process) = spec.process() {
        about_process(process, &mut add);
    }
    let linux = spec.linux().as_ref();
    let namespaces = linux.and_then(|linux| linux.namespaces().as_deref()).unwrap_or_default();
    let has = |kind| namespaces.iter().any(|namespace| namespace.typ() == kind);
    for (kind, what) in [
        (LinuxNamespaceType::Mount, "the host's mounts"),
        (LinuxNamespaceType::Pid, "the host's processes"),
        (LinuxNamespaceType::Network, "the host's network, abstract Unix sockets included"),
        (LinuxNamespaceType::Ipc, "the host's shared memory"),
    ] {
        if !has(kind) {
            add("/linux/namespaces".into(), format!("no {kind} namespace: the container shares {what}"));
        }
    }
    if !has(LinuxNamespaceType::User) && spec.process().as_ref().is_some_and(|process| process.user().uid() == 0) {
        add("/linux/namespaces".into(), "no user namespace: root of the container is root of the host".into());
    }
    if linux.is_none_or(|linux| linux.seccomp().is_none()) {
        add("/linux/seccomp".into(), "no filter: the container may make every system call".into());
    }
    let masked = linux.and_then(|linux| linux.masked_paths().as_deref()).unwrap_or_default();
    for path in ["/proc/kcore", "/proc/keys", "/sys/firmware"] {
        if !masked.iter().any(|masked| masked == path) {
            add("/linux/maskedPaths".into(), format!("{path} can be read"));
        }
    }
    let readonly = linux.and_then(|linux| linux.readonly_paths().as_deref()).unwrap_or_default();
    for path in ["/proc/sys", "/proc/sysrq-trigger"] {
        if ![masked, readonly].concat().iter().any(|covered| covered == path) {
            add("/linux/readonlyPaths".into(), format!("{path} can be written"));
        }
    }
    let resources = linux.and_then(|linux| linux.resources().as_ref());
    if resources.and_then(|resources| resources.pids().as_ref()).is_none_or(|pids| pids.limit() <= 0) {
        add("/linux/resources/pids".into(), "no limit on processes: a fork bomb takes the host along".into());
    }
    if resources.and_then(|resources| resources.memory().as_ref()?.limit()).is_none_or(|limit| limit <= 0) {
        add("/linux/resources/memory".into(), "no limit on memory".into());
    }
    for (index, rule) in resources.and_then(|resources| resources.devices().as_ref()).into_iter().flatten().enumerate()
    {
        if rule.allow() && rule.major().is_none() && rule.minor().is_none() && rule.access().as_deref() != Some("m") {
            add(format!("/linux/resources/devices/{index}"), "allows every device, the host's disks among them".into());
        }
    }
    if spec.root().as_ref().is_some_and(|root| root.readonly() != Some(true)) {
        add("/root/readonly".into(), "the root filesystem can be written".into());
    }
    for (index, mount) in spec.mounts().iter().flatten().enumerate() {
        if let Some(message) = about_mount(mount) {
            add(format!("/mounts/{index}"), message);
        }
    }
    findings
}

fn about_process(process: &Process, add: &mut impl FnMut(String, String)) {
    if process.no_new_privileges() != Some(true) {
        add("/process/noNewPrivileges".into(), "a set-user-id program can give new privileges".into());
    }
    let bounding = process.capabilities().as_ref().and_then(|capabilities| capabilities.bounding().clone());
    let bounding = bounding.unwrap_or_default();
    for (capability, what) in [
        (Capability::SysAdmin, "mount, and most of what root may do"),
        (Capability::SysModule, "load kernel modules"),
        (Capability::SysRawio, "write to the host's memory and ports"),
        (Capability::SysPtrace, "take over processes that it can see"),
        (Capability::SysBoot, "reboot the host"),
        (Capability::SysTime, "set the host's clock"),
        (Capability::DacReadSearch, "open files of the host by their handles (CVE-2014-3519)"),
        (Capability::Bpf, "load programs into the kernel"),
        (Capability::Perfmon, "watch the kernel"),
        (Capability::MacAdmin, "change the host's security policy"),
        (Capability::NetAdmin, "configure the network"),
        (Capability::Mknod, "make device nodes"),
    ] {
        if bounding.contains(&capability) {
            add("/process/capabilities/bounding".into(), format!("{capability}: the container can {what}"));
        }
    }
}

/// Places of the host that a container should not write to, or not even see.
fn about_mount(mount: &Mount) -> Option<String> {
    const SECRET: &[&str] = &["/", "/boot", "/dev", "/etc", "/proc", "/root", "/sys", "/var/lib/kubelet"];
    const SOCKETS: &[&str] = &["docker.sock", "containerd.sock", "podman.sock", "crio.sock"];
    let options = mount.options().as_deref().unwrap_or_default();
    let set = |name: &str| options.iter().any(|option| option == name);
    let source = mount.source().as_deref().filter(|_| is_bind(mount))?;
    let name = source.file_name().and_then(|name| name.to_str()).unwrap_or_default();
    if SOCKETS.contains(&name) {
        return Some(format!("{}: whoever may speak to an engine is root on the host", source.display()));
    }
    let writable = if set("ro") || set("rro") { "" } else { ", to be written" };
    SECRET
        .iter()
        .any(|secret| Path::new(secret) == source)
        .then(|| format!("{} of the host{writable}", source.display()))
}
