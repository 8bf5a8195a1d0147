//! Tests that this machine lacks something for.
use std::io::Write;

/// Whether the test that runs now is not to be done: `lacking`. Says so, uncaptured, with the reason:
/// `integration-tests/test` counts these lines.
pub fn skips(lacking: bool, reason: &str) -> bool {
    if lacking {
        let thread = std::thread::current();
        // Nobody is worse off for a line that cannot be written.
        let _ = writeln!(std::io::stderr(), "SKIPPED: {}: {reason}", thread.name().unwrap_or("?"));
    }
    lacking
}

pub const NEEDS_V2: &str = "needs cgroup v2 alone (`test --vm` has it)";
pub const NEEDS_V1: &str = "needs cgroup v1";
pub const NOT_BY_SYSTEMD: &str = "needs cgroups that are not made by systemd";
/// Elsewhere the kernel ignores the options of cgroup2 (`cgroup2_parse_param` and `apply_cgroup_root_flags`).
pub const NEEDS_FIRST_CGROUP_NAMESPACE: &str = "needs the host's own cgroup namespace (tried once more, outside)";

/// Whether this process is in the cgroup namespace that the kernel made at boot.
pub fn in_first_cgroup_namespace() -> bool {
    use std::os::unix::fs::MetadataExt;
    // PROC_CGROUP_INIT_INO of linux/proc_ns.h.
    std::fs::metadata("/proc/self/ns/cgroup").is_ok_and(|namespace| namespace.ino() == 0xEFFF_FFFB)
}
