//! Who makes the container's control groups.

/// Which part of the system makes the control groups. Chosen at create, kept in the store.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum CgroupManager {
    /// Directories in the cgroup filesystem.
    #[default]
    Cgroupfs,
    /// A transient unit of systemd.
    Systemd,
    /// None.
    Disabled,
}
