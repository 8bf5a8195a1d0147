//! Reading what a payload printed.

/// The value of `key` in `/proc/self/status`.
///
/// # Panics
/// If there is none.
#[track_caller]
pub fn field<'a>(status: &'a str, key: &str) -> &'a str {
    let line = status.lines().find_map(|line| line.strip_prefix(key)?.strip_prefix(':'));
    line.unwrap_or_else(|| panic!("no `{key}` in:\n{status}")).trim()
}

/// A line of `/proc/self/mountinfo`: proc_pid_mountinfo(5).
#[derive(Debug, Clone)]
pub struct Mount {
    pub root: String,
    pub target: String,
    pub options: Vec<String>,
    /// `shared:1`, `master:2`, `unbindable`; nothing if private.
    pub propagation: Vec<String>,
    pub kind: String,
    pub source: String,
    pub of_filesystem: Vec<String>,
}

impl Mount {
    pub fn has(&self, option: &str) -> bool {
        self.options.iter().chain(&self.of_filesystem).any(|own| own == option)
    }
}

pub fn mounts(mountinfo: &str) -> Vec<Mount> {
    let list = |text: &str| text.split(',').map(str::to_owned).collect();
    let mount = |line: &str| {
        let (mount, filesystem) = line.split_once(" - ")?;
        let mount: Vec<_> = mount.split(' ').collect();
        let filesystem: Vec<_> = filesystem.split(' ').collect();
        Some(Mount {
            root: mount.get(3)?.to_string(),
            target: mount.get(4)?.to_string(),
            options: list(mount.get(5)?),
            propagation: mount.get(6..)?.iter().map(ToString::to_string).collect(),
            kind: filesystem.first()?.to_string(),
            source: filesystem.get(1)?.to_string(),
            of_filesystem: list(filesystem.get(2)?),
        })
    };
    mountinfo.lines().filter_map(mount).collect()
}

/// What is mounted at `target`, on top.
pub fn mount_at(mountinfo: &str, target: &str) -> Option<Mount> {
    mounts(mountinfo).into_iter().rfind(|mount| mount.target == target)
}

/// Of this machine.
///
/// # Panics
/// Without procfs.
#[must_use]
pub fn kernel_is_at_least(major: u32, minor: u32) -> bool {
    let release = std::fs::read_to_string("/proc/sys/kernel/osrelease").expect("procfs");
    let mut numbers = release.split(|each: char| !each.is_ascii_digit()).map(|each| each.parse().unwrap_or(0));
    (numbers.next(), numbers.next()) >= (Some(major), Some(minor))
}
