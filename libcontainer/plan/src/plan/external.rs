//! What of the container's mounts is not its own: where it comes from is config.json's business, at checkpoint as at restore.
#![forbid(unsafe_code)]
use super::Plan;
use super::line::{Action, HostStep, InitStep, ZString};
use crate::{Error, ErrorKind, Result};
use std::path::{Path, PathBuf};
use step::Source;

/// A mount of something of the host's.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ExternalMount {
    pub origin: String,
    /// Where, as config.json says it: the image may lead elsewhere.
    pub target: PathBuf,
    /// A path of the host's.
    pub source: PathBuf,
    pub read_only: bool,
    /// Only if a file is hidden there: a directory is covered with an empty tmpfs, which is the container's own.
    pub is_mask: bool,
}

impl ExternalMount {
    /// One of `mounts add`. A checkpoint only names it: what it is of does not count.
    pub fn added(target: PathBuf) -> ExternalMount {
        let origin = "/mounts".to_owned();
        ExternalMount { origin, target, source: PathBuf::new(), read_only: false, is_mask: false }
    }
}

const NULL: &str = "/dev/null";

impl Plan {
    /// In the order in which they are mounted.
    pub fn external_mounts(&self) -> Result<Vec<ExternalMount>> {
        let mut mounts = Vec::new();
        let mut opened = None;
        for line in &self.lines {
            let origin = line.origin();
            let mut external = |target: &ZString, source: PathBuf, read_only, is_mask| {
                mounts.push(ExternalMount {
                    origin: origin.to_owned(),
                    target: path(target),
                    source,
                    read_only,
                    is_mask,
                });
            };
            match &line.action {
                Action::Host(HostStep::OpenMount { id_map: Some(_), .. } | HostStep::IdMapMount { .. }) => {
                    let message = "CRIU cannot restore an id-mapped mount";
                    return Err(Error::new(ErrorKind::Unsupported, message).at(origin));
                }
                Action::Host(HostStep::OpenMount { source, .. }) => opened = Some(source.clone()),
                Action::Init(InitStep::BindMount { source, target, attributes, recursive_attributes, .. }) => {
                    let read_only = (attributes.set | recursive_attributes.set) & super::mount_options::RDONLY != 0;
                    match source {
                        Source::Path(source) => external(target, path(source), read_only, false),
                        Source::Slot(_) => external(target, opened.take().unwrap_or_default(), read_only, false),
                        // Of the container's own tree: CRIU sees for itself.
                        Source::Inside(_) => {}
                    }
                }
                // What was made for it is nowhere else; but at restore there is a node again.
                Action::Host(HostStep::MakeNode { .. }) => {
                    let message = "CRIU cannot restore a device that was made for a user namespace";
                    return Err(Error::new(ErrorKind::Unsupported, message).at(origin));
                }
                Action::Init(InitStep::BindDevice { source: Source::Path(source), path: target, .. }) => {
                    external(target, path(source), false, false);
                }
                Action::Init(InitStep::MaskPath { path }) => external(path, NULL.into(), false, true),
                _ => {}
            }
        }
        Ok(mounts)
    }

    /// Where mounts are, and whether others may be below them.
    pub fn mount_points(&self) -> Vec<(PathBuf, bool)> {
        let point = |line: &super::Line| match &line.action {
            Action::Init(InitStep::BindMount { target, recursive, .. }) => Some((path(target), *recursive)),
            Action::Init(
                InitStep::Mount { target, .. }
                | InitStep::MountCgroup2 { target, .. }
                | InitStep::BindDevice { path: target, .. }
                | InitStep::MaskPath { path: target }
                | InitStep::ReadonlyPath { path: target },
            ) => Some((path(target), false)),
            Action::Init(InitStep::OpenConsole { on_dev_console: true, .. }) => Some(("/dev/console".into(), false)),
            _ => None,
        };
        self.lines.iter().filter_map(point).collect()
    }
}

impl ExternalMount {
    /// What stands for it in the images: the path in config.json, without anything that CRIU could take for its own syntax
    /// (CVE-2026-115520, CVE-2026-119101: a name made from where the image leads chooses what is mounted at restore).
    pub fn name(&self) -> String {
        let target = if self.is_mask { Path::new(NULL) } else { &self.target };
        let mut name = String::new();
        for byte in target.as_os_str().as_encoded_bytes() {
            match byte {
                b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' => name.push(char::from(*byte)),
                _ if b"/._-+@=~,:".contains(byte) => name.push(char::from(*byte)),
                _ => name.push_str(&format!("%{byte:02x}")),
            }
        }
        name
    }
}

fn path(text: &ZString) -> PathBuf {
    text.to_path()
}

#[cfg(test)]
mod tests {
    use crate::plan::tests::{plan_of, spec_of};

    /// `name source`, with `ro` and `mask`.
    fn external(config: &str) -> String {
        let mounts = plan_of(&spec_of(config)).external_mounts().unwrap();
        let words = mounts.iter().map(|mount| {
            let read_only = if mount.read_only { " ro" } else { "" };
            let mask = if mount.is_mask { format!(" mask {}", mount.target.display()) } else { String::new() };
            format!("{} {}{read_only}{mask}", mount.name(), mount.source.display())
        });
        words.collect::<Vec<_>>().join("\n")
    }

    #[test]
    fn bind_mounts_and_hidden_files_are_the_hosts() {
        let config = r#"{"mounts": [
            {"destination": "/proc", "type": "proc", "source": "proc"},
            {"destination": "/data", "source": "/srv/data", "options": ["rbind", "ro"]},
            {"destination": "/inside", "source": "rootfs/etc", "options": ["bind"]},
            {"destination": "relative/../conf", "source": "conf", "options": ["bind", "rro"]}],
            "linux": {"maskedPaths": ["/proc/kcore"], "namespaces": [{"type": "mount"}]}}"#;
        assert_eq!(external(config), "/data /srv/data ro\n/conf /bundle/conf ro\n/dev/null /dev/null mask /proc/kcore");
    }

    #[test]
    fn a_name_holds_nothing_that_criu_reads_as_syntax() {
        let config = r#"{"mounts": [{"destination": "/a]:/etc/%[x\n", "source": "/s", "options": ["bind"]}]}"#;
        assert_eq!(external(config), "/a%5d:/etc/%25%5bx%0a /s");
    }

    #[test]
    fn an_id_mapped_mount_is_refused() {
        let config = r#"{"mounts": [{"destination": "/d", "source": "/s", "options": ["bind", "idmap"],
            "uidMappings": [{"containerID": 0, "hostID": 5, "size": 1}], "gidMappings": [{"containerID": 0, "hostID": 6, "size": 1}]}]}"#;
        let error = plan_of(&spec_of(config)).external_mounts().unwrap_err();
        assert_eq!(error.to_string(), "config.json: /mounts/0: CRIU cannot restore an id-mapped mount");
    }
}
