//! Everything that is wrong with a bundle at once, where `create` stops at the first: what the schema and the plan refuse, what
//! this host lacks, what would be ignored, and what is allowed but unwise.
#![forbid(unsafe_code)]
mod devices;
mod host;
mod ignored;
mod kernel;
mod mounts;
mod rootfs;
mod security;
mod subids;

use crate::plan::json;
use crate::plan::{self, PlanOptions};
use crate::{Bundle, ErrorKind, HostFacts, Result, open_bundle};
use oci_spec::runtime::Spec;
use serde::Serialize;
use serde_json::Value;
use std::path::Path;
#[cfg(any(test, fuzzing))]
pub(crate) use subids::laws as subids_laws;

/// What a finding is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "lowercase")]
#[non_exhaustive]
pub enum Concern {
    /// `create` refuses the configuration, on any host.
    Config,
    /// `create` fails on this host.
    Host,
    /// Nobody reads it.
    Ignored,
    /// It works, though not quite as it is written.
    Notice,
    /// It works, but gives more away than it needs to.
    Security,
}

/// One thing that is wrong.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct Finding {
    /// Whose it is, and how bad.
    pub concern: Concern,
    /// JSON pointer into config.json.
    pub pointer: String,
    /// What is wrong, in one sentence.
    pub message: String,
}

impl Finding {
    fn new(concern: Concern, pointer: impl Into<String>, message: impl Into<String>) -> Finding {
        Finding { concern, pointer: pointer.into(), message: message.into() }
    }

    /// Whether `create` would fail.
    pub fn is_error(&self) -> bool {
        matches!(self.concern, Concern::Config | Concern::Host)
    }
}

impl Bundle {
    /// Every problem of the bundle at `directory` on the host that `facts` describe, errors first.
    ///
    /// # Errors
    /// A config.json that cannot be read or is no JSON; every other problem is a finding.
    pub fn check(directory: impl AsRef<Path>, facts: &HostFacts, options: &PlanOptions) -> Result<Vec<Finding>> {
        let (path, config) = open_bundle::read(directory.as_ref(), "config.json".as_ref())?;
        Ok(check(&path, &config, facts, options))
    }
}

fn check(directory: &Path, config: &[u8], facts: &plan::HostFacts, options: &PlanOptions) -> Vec<Finding> {
    let (mut tree, respelled) = match json::tree::<Spec>(config) {
        Err(json::Problem { pointer, message }) => {
            return vec![Finding::new(Concern::Config, pointer.unwrap_or_else(|| "/".into()), message)];
        }
        Ok(read) => read,
    };
    let mut findings = Vec::new();
    for key in respelled {
        let message = format!("is read as {:?}", key.known);
        findings.push(Finding::new(Concern::Notice, key.pointer, message));
    }
    let mut taken = Taken::default();
    if let Some(bundle) = without_errors(directory, &mut tree, facts, options, &mut taken, &mut findings) {
        let spec = bundle.spec();
        let rest = [
            ignored::find(&tree, spec),
            host::find(&bundle),
            mounts::find(&bundle),
            devices::find(&bundle, facts),
            kernel::find(spec),
            subids::find(spec, facts),
            security::find(spec),
        ];
        for finding in rest.into_iter().flatten() {
            // About what was taken out, or stands in for it, there is an error already.
            let pointer = taken.original(&finding.pointer);
            if !(taken.concerns(&pointer) && tree.pointer(&finding.pointer).is_none() || taken.0.contains(&pointer)) {
                findings.push(Finding { pointer, ..finding });
            }
        }
    }
    findings.sort_by(|one, other| (one.concern, &one.pointer).cmp(&(other.concern, &other.pointer)));
    findings.dedup();
    findings
}

/// Takes out of `tree` what is refused, one entry after another, until a plan can be made of the rest.
fn without_errors(
    directory: &Path,
    tree: &mut Value,
    facts: &plan::HostFacts,
    options: &PlanOptions,
    taken: &mut Taken,
    findings: &mut Vec<Finding>,
) -> Option<Bundle> {
    /// Nobody reads more of them.
    const MOST: usize = 100;
    for _ in 0..MOST {
        let bundle = Bundle::from_parts(directory.to_owned(), tree.to_string().into_bytes());
        let planned = bundle.and_then(|bundle| plan::create(directory, bundle.spec(), facts, options).map(|_| bundle));
        let error = match planned {
            Ok(bundle) => return Some(bundle),
            Err(error) => error,
        };
        let concern = if error.kind() == ErrorKind::Unsupported { Concern::Host } else { Concern::Config };
        let pointer = error.origin().filter(|origin| origin.starts_with('/')).unwrap_or("/").to_owned();
        let original = taken.original(&pointer);
        // What is missing only because it was taken out is no news.
        if !taken.concerns(&original) {
            findings.push(Finding::new(concern, original, error.without_origin()));
        }
        if !taken.take(tree, &pointer) {
            break;
        }
    }
    None
}

fn placeholder(pointer: &str) -> Option<Value> {
    match pointer {
        "/ociVersion" => Some("1.3.0".into()),
        "/process/cwd" | "/root/path" | "/linux/seccomp/listenerPath" => Some("/".into()),
        "/process/args" => Some(["sh"].as_slice().into()),
        "/linux/seccomp/defaultAction" => Some("SCMP_ACT_ERRNO".into()),
        _ => None,
    }
}

/// What was taken out of a tree, by pointers into the whole.
#[derive(Debug, Default)]
struct Taken(Vec<String>);

impl Taken {
    /// Removes what `pointer` leads to, or what holds it if there is no such thing; `false` if that is everything. What has to be there
    /// gets a stand-in, or all that is with it would be lost.
    fn take(&mut self, tree: &mut Value, pointer: &str) -> bool {
        let is_there = !self.0.iter().any(|taken| taken == pointer);
        let holder = pointer.rsplit_once('/').and_then(|(parent, key)| Some((tree.pointer_mut(parent)?, key)));
        if let (Some(value), true, Some((Value::Object(members), key))) = (placeholder(pointer), is_there, holder) {
            members.insert(key.to_owned(), value);
            self.0.push(pointer.to_owned());
            return true;
        }
        let mut pointer = pointer;
        while let Some((parent, key)) = pointer.rsplit_once('/') {
            let removed = match tree.pointer_mut(parent) {
                Some(Value::Object(members)) => members.remove(&key.replace("~1", "/").replace("~0", "~")).is_some(),
                Some(Value::Array(items)) => match key.parse::<usize>() {
                    Ok(index) if index < items.len() => {
                        let original = self.original(pointer);
                        items.remove(index);
                        self.0.push(original);
                        return true;
                    }
                    _ => false,
                },
                _ => false,
            };
            if removed {
                self.0.push(self.original(pointer));
                return true;
            }
            pointer = parent;
        }
        false
    }

    /// Where an entry of what is left was in the whole: entries before it in an array may be gone.
    fn original(&self, pointer: &str) -> String {
        let mut whole = String::new();
        for key in pointer.split('/').skip(1) {
            let mut key = key.to_owned();
            if let Ok(mut index) = key.parse::<usize>() {
                let prefix = format!("{whole}/");
                let in_array = |taken: &String| taken.strip_prefix(&prefix)?.parse::<usize>().ok();
                let mut gone: Vec<_> = self.0.iter().filter_map(in_array).collect();
                gone.sort_unstable();
                gone.iter().for_each(|gone| index += usize::from(*gone <= index));
                key = index.to_string();
            }
            whole = format!("{whole}/{key}");
        }
        whole
    }

    fn concerns(&self, pointer: &str) -> bool {
        self.0.iter().any(|taken| taken == pointer || taken.starts_with(&format!("{pointer}/")))
    }
}

#[cfg(test)]
mod tests {
    use super::{Concern, check};
    use crate::plan::{HostFacts, PlanOptions};

    #[track_caller]
    fn errors(config: &str, expected: &[(Concern, &str)]) {
        let facts = HostFacts { privileged: true, ..HostFacts::default() };
        let options = PlanOptions { cgroup_manager: crate::CgroupManager::Disabled, ..PlanOptions::default() };
        let findings = check("/nowhere".as_ref(), config.as_bytes(), &facts, &options);
        let found: Vec<_> = findings
            .iter()
            .filter(|finding| finding.concern != Concern::Security && finding.concern != Concern::Host)
            .map(|finding| (finding.concern, finding.pointer.as_str()))
            .collect();
        assert_eq!(found, expected, "{findings:#?}");
    }

    #[test]
    fn what_is_no_json_is_one_error() {
        errors("{", &[(Concern::Config, "/")]);
    }

    #[test]
    fn all_errors_are_told_each_by_its_own_place() {
        errors(
            r#"{"ociVersion": "1.0.0", "root": {"path": "rootfs"}, "process": {"user": {"uid": "zero", "gid": 0}, "args": ["sh"], "cwd": "etc"},
                "mounts": [{"destination": 3}, {"destination": "/ok", "type": "tmpfs"}, {"destination": 4}],
                "linux": {"devices": [{"path": "null", "type": "c", "major": 1, "minor": 3}], "namespaces": [{"type": "mount"}]}, "hostname": 5}"#,
            &[
                (Concern::Config, "/hostname"),
                (Concern::Config, "/linux/devices/0/path"),
                (Concern::Config, "/mounts/0/destination"),
                (Concern::Config, "/mounts/2/destination"),
                (Concern::Config, "/process/cwd"),
                (Concern::Config, "/process/user/uid"),
            ],
        );
    }

    #[test]
    fn what_has_to_be_there_does_not_hide_what_else_is_wrong() {
        errors(
            r#"{"root": {"path": ""}, "process": {"user": {}, "args": [], "cwd": "etc", "env": ["A"]},
                "linux": {"namespaces": [{"type": "mount"}], "seccomp": {"defaultAction": "BOGUS", "listenerMetadata": "x",
                    "syscalls": [{"names": ["a"], "action": "SCMP_ACT_NOTIFY"},
                        {"names": ["read"], "action": "SCMP_ACT_ALLOW", "args": [{"index": 9, "value": 1, "op": "SCMP_CMP_EQ"}]}]}}}"#,
            &[
                (Concern::Config, "/linux/seccomp/defaultAction"),
                (Concern::Config, "/linux/seccomp/listenerMetadata"),
                (Concern::Config, "/linux/seccomp/listenerPath"),
                (Concern::Config, "/linux/seccomp/syscalls/1/args/0/index"),
                (Concern::Config, "/ociVersion"),
                (Concern::Config, "/process/args"),
                (Concern::Config, "/process/cwd"),
                (Concern::Config, "/process/env/0"),
                (Concern::Config, "/root/path"),
            ],
        );
    }

    #[test]
    fn a_field_that_nobody_reads_is_told() {
        errors(
            r#"{"ociVersion": "1.0.0", "root": {"path": "rootfs", "readOnly": true}, "windows": {},
                "process": {"user": {"uid": 0, "gid": 0}, "args": ["sh"], "cwd": "/", "noNewPrivs": true}}"#,
            &[
                (Concern::Ignored, "/process/noNewPrivs"),
                (Concern::Ignored, "/windows"),
                (Concern::Notice, "/root/readOnly"),
            ],
        );
    }
}
