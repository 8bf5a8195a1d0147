//! What config.json names on this host and is not there. The plan cannot tell: it does not look.
//!
//! may fail: what cannot be looked at is not foreseen; `create` says what is wrong with it.
#![forbid(unsafe_code)]
use super::{Concern, Finding};
use crate::Bundle;
use crate::plan::line::HookKind;
use crate::plan::{hooks_of, is_bind};
use oci_spec::runtime::{PosixRlimit, PosixRlimitType, Spec};
use rustix::fs::{Access, Mode, OFlags, ResolveFlags};
use std::path::Path;

pub(super) fn find(bundle: &Bundle) -> Vec<Finding> {
    let spec = bundle.spec();
    let mut findings = Vec::new();
    let mut wrong = |pointer: String, message: String| findings.push(Finding::new(Concern::Host, pointer, message));
    let missing = |path: &Path| {
        std::fs::metadata(path).err().map(|error| format!("{}: {}", path.display(), crate::describe_io(&error)))
    };

    if let Some(root) = spec.root() {
        let path = bundle.path().join(root.path());
        match missing(&path) {
            Some(message) => wrong("/root/path".into(), message),
            None if !path.is_dir() => wrong("/root/path".into(), format!("{} is not a directory", path.display())),
            None => {
                let program = spec.process().as_ref().and_then(|process| process.args().as_ref()?.first());
                if let Some(message) = program.and_then(|program| not_executable(&path, program)) {
                    wrong("/process/args/0".into(), message);
                }
            }
        }
    }
    for (index, mount) in spec.mounts().iter().flatten().enumerate() {
        let source = mount.source().as_deref().filter(|_| is_bind(mount));
        if let Some(message) = source.and_then(|source| missing(&bundle.path().join(source))) {
            wrong(format!("/mounts/{index}/source"), message);
        }
    }
    for kind in [
        HookKind::Prestart,
        HookKind::CreateRuntime,
        HookKind::CreateContainer,
        HookKind::Poststart,
        HookKind::Poststop,
    ] {
        for (index, hook) in hooks_of(spec, kind).iter().enumerate() {
            if rustix::fs::access(hook.path(), Access::EXEC_OK).is_err() {
                let message = format!("{} cannot be executed", hook.path().display());
                wrong(format!("/hooks/{}/{index}/path", kind.key()), message);
            }
        }
    }
    if let Some((index, limit)) = few_descriptors(spec) {
        let message =
            format!("{limit} open files: a program that is linked dynamically, or a hook, may not even begin");
        findings.push(Finding::new(Concern::Notice, format!("/process/rlimits/{index}/soft"), message));
    }
    let mut wrong = |pointer: String, message: String| findings.push(Finding::new(Concern::Host, pointer, message));
    let linux = spec.linux().as_ref();
    for (index, namespace) in linux.and_then(|linux| linux.namespaces().as_ref()).into_iter().flatten().enumerate() {
        if let Some(message) = namespace.path().as_deref().and_then(missing) {
            wrong(format!("/linux/namespaces/{index}/path"), message);
        }
    }
    findings
}

/// The standard streams, and what execve(2) and a dynamic linker open besides.
fn few_descriptors(spec: &Spec) -> Option<(usize, u64)> {
    const FEW: u64 = 8;
    let limits = spec.process().as_ref()?.rlimits().as_deref()?;
    let limit = |limit: &PosixRlimit| limit.typ() == PosixRlimitType::RlimitNofile && limit.soft() < FEW;
    let index = limits.iter().position(limit)?;
    Some((index, limits[index].soft()))
}

/// A program with a slash in its name, looked for inside the root filesystem. One that is mounted there later is not our concern,
/// so that only what is there and no program counts.
fn not_executable(root: &Path, program: &str) -> Option<String> {
    if !program.starts_with('/') {
        return None;
    }
    let root = rustix::fs::open(root, OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC, Mode::empty()).ok()?;
    let flags = OFlags::PATH | OFlags::CLOEXEC;
    let resolve = ResolveFlags::IN_ROOT | ResolveFlags::NO_MAGICLINKS;
    let found = rustix::fs::openat2(&root, program, flags, Mode::empty(), resolve).ok()?;
    let stat = rustix::fs::fstat(&found).ok()?;
    let is_file = rustix::fs::FileType::from_raw_mode(stat.st_mode).is_file();
    (!is_file || stat.st_mode & 0o111 == 0).then(|| format!("{program} is no program"))
}
