//! `features`: what this library recognizes, whatever the host, and which seccomp flags this kernel takes.
//!
//! See [features.md](https://github.com/opencontainers/runtime-spec/blob/v1.3.0/features.md). Engines decide by it: an
//! entry that promises what is then refused is worse than a missing one.
#![forbid(unsafe_code)]

pub use crate::plan::OCI_VERSION;
use crate::plan::{MEMORY_POLICY_FLAGS, MEMORY_POLICY_MODES, mount_options};
use crate::sys::knows_seccomp_flags;
use serde::Serialize;
use std::collections::BTreeMap;

/// What this library recognizes. As JSON it is what `features` prints (field order and names are the specification's).
#[derive(Debug, Clone, Serialize)]
#[serde(rename_all = "camelCase")]
#[non_exhaustive]
pub struct Features {
    /// The oldest version of the specification that is understood.
    pub oci_version_min: &'static str,
    /// The newest.
    pub oci_version_max: &'static str,
    /// Kinds of hooks.
    pub hooks: &'static [&'static str],
    /// Options of mounts, those that filesystems have themselves left out.
    pub mount_options: Vec<String>,
    /// What is Linux's.
    pub linux: Linux,
    /// What has no key of its own: runc's.
    pub annotations: BTreeMap<&'static str, String>,
    /// A name, or with a dot at the end a prefix, of annotations that make the runtime act on the host.
    pub potentially_unsafe_config_annotations: &'static [&'static str],
}

/// Features of Linux.
#[derive(Debug, Clone, Serialize)]
#[serde(rename_all = "camelCase")]
#[non_exhaustive]
pub struct Linux {
    /// Types of namespaces.
    pub namespaces: &'static [&'static str],
    /// Names of capabilities.
    pub capabilities: &'static [&'static str],
    /// Control groups.
    pub cgroup: Cgroup,
    /// Filters of system calls.
    pub seccomp: Seccomp,
    /// AppArmor profiles.
    pub apparmor: Enabled,
    /// SELinux labels.
    pub selinux: Enabled,
    /// Intel RDT.
    pub intel_rdt: IntelRdt,
    /// NUMA policies.
    pub memory_policy: MemoryPolicy,
    /// What mounts can have besides options.
    pub mount_extensions: MountExtensions,
    /// Network devices that move into a container.
    pub net_devices: Enabled,
}

/// Ways to make control groups.
#[derive(Debug, Clone, Copy, Serialize)]
#[serde(rename_all = "camelCase")]
#[non_exhaustive]
pub struct Cgroup {
    /// cgroup v1, and hybrid hosts.
    pub v1: bool,
    /// cgroup v2.
    pub v2: bool,
    /// By the system's systemd.
    pub systemd: bool,
    /// By a user's own systemd.
    pub systemd_user: bool,
    /// The rdma controller.
    pub rdma: bool,
}

/// What filters of system calls can say.
#[derive(Debug, Clone, Serialize)]
#[serde(rename_all = "camelCase")]
#[non_exhaustive]
pub struct Seccomp {
    /// Whether there are any.
    pub enabled: bool,
    /// `SCMP_ACT_*`.
    pub actions: &'static [&'static str],
    /// `SCMP_CMP_*`.
    pub operators: &'static [&'static str],
    /// `SCMP_ARCH_*`.
    pub archs: &'static [&'static str],
    /// `SECCOMP_FILTER_FLAG_*`.
    pub known_flags: Vec<&'static str>,
    /// Those that this kernel takes, found by trying.
    pub supported_flags: Vec<&'static str>,
}

/// Whether a feature is recognized.
#[derive(Debug, Clone, Copy, Serialize)]
#[non_exhaustive]
pub struct Enabled {
    /// It is; the host may lack it all the same.
    pub enabled: bool,
}

/// Intel RDT.
#[derive(Debug, Clone, Copy, Serialize)]
#[non_exhaustive]
pub struct IntelRdt {
    /// `linux.intelRdt` is recognized.
    pub enabled: bool,
    /// Its `schemata` too.
    pub schemata: bool,
    /// Its `enableMonitoring` too.
    pub monitoring: bool,
}

/// What a NUMA policy can say.
#[derive(Debug, Clone, Copy, Serialize)]
#[non_exhaustive]
pub struct MemoryPolicy {
    /// `MPOL_*` modes.
    pub modes: &'static [&'static str],
    /// `MPOL_F_*` flags.
    pub flags: &'static [&'static str],
}

/// What mounts can have besides options.
#[derive(Debug, Clone, Copy, Serialize)]
#[non_exhaustive]
pub struct MountExtensions {
    /// Id maps of their own.
    pub idmap: Enabled,
}

impl Features {
    /// Asks the kernel about seccomp flags; everything else is known without looking.
    pub fn of_this_host() -> Features {
        let takes = SECCOMP_FLAGS.iter().filter(|(_, bits)| knows_seccomp_flags(*bits)).map(|(name, _)| *name);
        Features {
            oci_version_min: "1.0.0",
            oci_version_max: OCI_VERSION,
            hooks: &["prestart", "createRuntime", "createContainer", "startContainer", "poststart", "poststop"],
            mount_options: mount_options::names(),
            linux: Linux {
                namespaces: &["cgroup", "ipc", "mount", "network", "pid", "time", "user", "uts"],
                capabilities: &crate::plan::CAPABILITY_NAMES,
                cgroup: Cgroup { v1: true, v2: true, systemd: true, systemd_user: true, rdma: true },
                seccomp: Seccomp {
                    enabled: true,
                    actions: SECCOMP_ACTIONS,
                    operators: SECCOMP_OPERATORS,
                    archs: SECCOMP_ARCHS,
                    known_flags: SECCOMP_FLAGS.iter().map(|(name, _)| *name).collect(),
                    supported_flags: takes.collect(),
                },
                apparmor: Enabled { enabled: true },
                selinux: Enabled { enabled: true },
                intel_rdt: IntelRdt { enabled: true, schemata: true, monitoring: true },
                memory_policy: MemoryPolicy { modes: MEMORY_POLICY_MODES, flags: MEMORY_POLICY_FLAGS },
                mount_extensions: MountExtensions { idmap: Enabled { enabled: true } },
                net_devices: Enabled { enabled: true },
            },
            annotations: BTreeMap::from([
                // The runc whose command line and behaviour this follows.
                ("org.opencontainers.runc.version", "1.5.0".to_owned()),
                ("org.opencontainers.runc.checkpoint.enabled", "true".to_owned()),
            ]),
            potentially_unsafe_config_annotations: &[
                "bundle",
                "org.systemd.property.",
                "org.criu.config",
                "run.oci.keep_original_groups",
            ],
        }
    }
}

/// `WAIT_KILLABLE_RECV` is only valid together with a listener.
const SECCOMP_FLAGS: &[(&str, libc::c_ulong)] = &[
    ("SECCOMP_FILTER_FLAG_TSYNC", libc::SECCOMP_FILTER_FLAG_TSYNC),
    ("SECCOMP_FILTER_FLAG_SPEC_ALLOW", libc::SECCOMP_FILTER_FLAG_SPEC_ALLOW),
    ("SECCOMP_FILTER_FLAG_LOG", libc::SECCOMP_FILTER_FLAG_LOG),
    (
        "SECCOMP_FILTER_FLAG_WAIT_KILLABLE_RECV",
        libc::SECCOMP_FILTER_FLAG_WAIT_KILLABLE_RECV | libc::SECCOMP_FILTER_FLAG_NEW_LISTENER,
    ),
];

const SECCOMP_ACTIONS: &[&str] = &[
    "SCMP_ACT_ALLOW",
    "SCMP_ACT_ERRNO",
    "SCMP_ACT_KILL",
    "SCMP_ACT_KILL_PROCESS",
    "SCMP_ACT_KILL_THREAD",
    "SCMP_ACT_LOG",
    "SCMP_ACT_NOTIFY",
    "SCMP_ACT_TRACE",
    "SCMP_ACT_TRAP",
];

const SECCOMP_OPERATORS: &[&str] =
    &["SCMP_CMP_EQ", "SCMP_CMP_GE", "SCMP_CMP_GT", "SCMP_CMP_LE", "SCMP_CMP_LT", "SCMP_CMP_MASKED_EQ", "SCMP_CMP_NE"];

const SECCOMP_ARCHS: &[&str] = &[
    "SCMP_ARCH_AARCH64",
    "SCMP_ARCH_ARM",
    "SCMP_ARCH_LOONGARCH64",
    "SCMP_ARCH_MIPS",
    "SCMP_ARCH_MIPS64",
    "SCMP_ARCH_MIPS64N32",
    "SCMP_ARCH_MIPSEL",
    "SCMP_ARCH_MIPSEL64",
    "SCMP_ARCH_MIPSEL64N32",
    "SCMP_ARCH_PPC",
    "SCMP_ARCH_PPC64",
    "SCMP_ARCH_PPC64LE",
    "SCMP_ARCH_RISCV64",
    "SCMP_ARCH_S390",
    "SCMP_ARCH_S390X",
    "SCMP_ARCH_X32",
    "SCMP_ARCH_X86",
    "SCMP_ARCH_X86_64",
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_specification_s_own_model_reads_the_features() {
        let json = serde_json::to_string(&Features::of_this_host()).unwrap();
        let read: oci_spec::runtime::Features = serde_json::from_str(&json).unwrap();
        assert_eq!(read.oci_version_max(), OCI_VERSION);
        assert!(read.mount_options().as_ref().unwrap().contains(&"rro".to_owned()));
    }

    #[test]
    fn lists_are_sorted_and_free_of_duplicates() {
        for list in [SECCOMP_ACTIONS, SECCOMP_OPERATORS, SECCOMP_ARCHS, MEMORY_POLICY_MODES, MEMORY_POLICY_FLAGS] {
            assert!(list.is_sorted_by(|a, b| a < b), "{list:?}");
        }
    }

    #[test]
    fn the_kernel_is_asked_and_a_flag_that_nobody_has_is_not_there() {
        assert!(knows_seccomp_flags(libc::SECCOMP_FILTER_FLAG_LOG));
        assert!(!knows_seccomp_flags(1 << 30));
    }
}
