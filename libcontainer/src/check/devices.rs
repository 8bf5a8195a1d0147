//! Devices that something else stands in the way of, or that cannot be made here.
#![forbid(unsafe_code)]
use super::rootfs::Rootfs;
use super::{Concern, Finding};
use crate::Bundle;
use crate::plan::HostFacts;
use oci_spec::runtime::{LinuxDevice, LinuxDeviceType};
use rustix::fs::{FileType, Stat};
use rustix::thread::CapabilitySet;

pub(super) fn find(bundle: &Bundle, facts: &HostFacts) -> Vec<Finding> {
    let spec = bundle.spec();
    let devices = spec.linux().as_ref().and_then(|linux| linux.devices().as_deref()).unwrap_or_default();
    let mounts = spec.mounts().as_deref().unwrap_or_default();
    let rootfs = Rootfs::open(bundle);
    let mut findings = Vec::new();
    for (index, device) in devices.iter().enumerate() {
        let mut add = |concern, key: &str, message: String| {
            findings.push(Finding::new(concern, format!("/linux/devices/{index}{key}"), message));
        };
        if let Some(mount) = mounts.iter().rposition(|mount| mount.destination() == device.path()) {
            add(Concern::Notice, "/path", format!("/mounts/{mount} is on that path, and stays there"));
            continue;
        }
        let there = rootfs.as_ref().and_then(|rootfs| rootfs.look(device.path(), usize::MAX));
        if there.is_some_and(|there| !is_it(&there, device)) {
            add(Concern::Host, "/path", "the root filesystem has another file there".into());
        } else if there.is_none() && !may_make(facts) {
            match rustix::fs::stat(device.path()) {
                Ok(host) if is_it(&host, device) => {
                    add(Concern::Notice, "", "it cannot be made here: the host's is bound".into());
                }
                _ => add(Concern::Host, "", "it cannot be made here, and the host has none to bind".into()),
            }
        }
    }
    findings
}

/// mknod(2) is for those who hold CAP_MKNOD in the first user namespace. A FIFO is for everybody.
fn may_make(facts: &HostFacts) -> bool {
    let own = rustix::thread::capabilities(None);
    !facts.in_user_namespace && own.is_ok_and(|sets| sets.effective.contains(CapabilitySet::MKNOD))
}

fn is_it(there: &Stat, device: &LinuxDevice) -> bool {
    let kind = match device.typ() {
        LinuxDeviceType::B => FileType::BlockDevice,
        LinuxDeviceType::P => FileType::Fifo,
        LinuxDeviceType::C | LinuxDeviceType::U | LinuxDeviceType::A => FileType::CharacterDevice,
    };
    let number = |device: u64| (i64::from(rustix::fs::major(device)), i64::from(rustix::fs::minor(device)));
    FileType::from_raw_mode(there.st_mode) == kind
        && (kind == FileType::Fifo || number(there.st_rdev) == (device.major(), device.minor()))
}
