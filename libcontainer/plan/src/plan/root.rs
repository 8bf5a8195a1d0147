//! [Root](https://github.com/opencontainers/runtime-spec/blob/v1.3.0/config.md#root) and
//! [rootfsPropagation](https://github.com/opencontainers/runtime-spec/blob/v1.3.0/config-linux.md#rootfs-mount-propagation)
#![forbid(unsafe_code)]

use super::line::{InitStep, Line, Origin};
use super::mount_options::{PRIVATE, REC, SHARED, SLAVE, UNBINDABLE, propagation};
use super::{Context, given, init, masked_paths, namespaces, z};
use crate::{Error, Result};
use std::path::PathBuf;

const PROPAGATION: &str = "/linux/rootfsPropagation";

/// The root filesystem becomes a mount of its own, in a mount tree that tells the host nothing.
pub(super) fn prepare(context: &Context) -> Result<Vec<Line>> {
    let path = || z(path(context)?, "/root/path");
    let open = init(InitStep::OpenRootfs { path: path()? }, "/root/path");
    let null = masked_paths::open_null(context.spec);
    if !context.namespaces.has(namespaces::MOUNT) {
        return Ok(null.into_iter().chain([open]).collect());
    }
    let (propagation, origin) = match asked(context)? {
        // pivot_root(2) refuses where the old or the new root is shared; the new one gets what was asked for afterwards.
        Some(asked) if asked & (SHARED | UNBINDABLE) != 0 => (SLAVE | REC, PROPAGATION),
        Some(asked) => (asked | REC, PROPAGATION),
        // New mounts of the host still arrive, ours do not leave.
        None => (SLAVE | REC, Origin::DEFAULT),
    };
    let propagate = init(InitStep::SetRootPropagation { propagation }, origin);
    let attach = init(InitStep::AttachRootfs { path: path()? }, "/root/path");
    Ok([propagate].into_iter().chain(null).chain([open, attach]).collect())
}

/// Whether mounts in the container are to reach the host, where a bind mount asks for it.
pub(super) fn is_shared(context: &Context) -> Result<bool> {
    Ok(asked(context)?.is_some_and(|asked| asked & SHARED != 0))
}

/// Absolute, or relative to the bundle.
pub(super) fn path(context: &Context) -> Result<PathBuf> {
    let root = context.spec.root().as_ref().ok_or_else(|| Error::config("/root", "root is missing"))?;
    Ok(context.bundle.join(root.path()))
}

pub(super) fn pivot(context: &Context) -> Result<Vec<Line>> {
    let step = if !context.namespaces.has(namespaces::MOUNT) {
        InitStep::ChangeRoot
    } else if context.options.no_pivot {
        // The old root stays below the new one; if nothing may propagate, nothing of it can ever be let go.
        if asked(context)?.is_some_and(|asked| asked & PRIVATE != 0) {
            return Err(Error::config(PROPAGATION, "a private root is not supported with --no-pivot"));
        }
        InitStep::MoveRoot
    } else {
        InitStep::PivotRoot
    };
    Ok(vec![init(step, "/root/path")])
}

pub(super) fn finish(context: &Context) -> Result<Vec<Line>> {
    let mut lines = Vec::new();
    // `/` was somebody else's until now; private and slave is what it has been all the time.
    if let Some(asked) = asked(context)?.filter(|asked| asked & (SHARED | UNBINDABLE) != 0) {
        lines.push(init(InitStep::SetPropagation { propagation: asked }, PROPAGATION));
    }
    if context.spec.root().as_ref().and_then(|root| root.readonly()) == Some(true) {
        lines.push(init(InitStep::SetRootReadonly, "/root/readonly"));
    }
    Ok(lines)
}

fn asked(context: &Context) -> Result<Option<u32>> {
    let Some(name) = context.linux().and_then(|linux| given(linux.rootfs_propagation())) else { return Ok(None) };
    propagation(name)
        .map(Some)
        .ok_or_else(|| Error::config(PROPAGATION, format!("invalid rootfsPropagation \"{name}\"")))
}

#[cfg(test)]
mod tests {
    use crate::plan::PlanOptions;
    use crate::plan::tests::{check, plan_with, refused, spec_of, text_of};

    #[test]
    fn the_root_is_relative_to_the_bundle() {
        check(
            r#"{"root": {"path": "rootfs", "readonly": true}}"#,
            "/root",
            "init open-rootfs /bundle/rootfs\n init attach-rootfs /bundle/rootfs\n init pivot-root\n init set-root-readonly",
        );
        check(
            r#"{"root": {"path": "/srv/root"}}"#,
            "/root",
            "init open-rootfs /srv/root\n init attach-rootfs /srv/root\n init pivot-root",
        );
    }

    #[test]
    fn propagation_is_set_before_and_where_it_matters_after_the_pivot() {
        check(
            r#"{"linux": {"rootfsPropagation": "rprivate"}}"#,
            "/linux/rootfsP",
            "init set-root-propagation rprivate",
        );
        check(
            r#"{"linux": {"rootfsPropagation": "shared"}}"#,
            "/linux/rootfsP",
            "init set-root-propagation rslave\n init set-propagation shared",
        );
        check(
            r#"{"linux": {"rootfsPropagation": "runbindable"}}"#,
            "/linux/rootfsP",
            "init set-root-propagation rslave\n init set-propagation runbindable",
        );
        refused(
            r#"{"linux": {"rootfsPropagation": "public"}}"#,
            "config.json: /linux/rootfsPropagation: invalid rootfsPropagation \"public\"",
        );
    }

    #[test]
    fn without_a_mount_namespace_the_hosts_tree_is_left_alone() {
        check(
            r#"{"linux": {"namespaces": [{"type": "pid"}]}}"#,
            "/root",
            "init open-rootfs /bundle/rootfs\n init change-root",
        );
        let plan =
            plan_with(&spec_of(r#"{"linux": {"namespaces": [{"type": "pid"}]}}"#), &crate::plan::tests::options())
                .unwrap();
        assert!(!text_of(&plan, "").contains("propagation"));
    }

    #[test]
    fn no_pivot_moves_the_root() {
        let options = PlanOptions { no_pivot: true, ..crate::plan::tests::options() };
        let plan = plan_with(&spec_of("{}"), &options).unwrap();
        assert!(text_of(&plan, "/root").contains("init move-root"));
        let private = spec_of(r#"{"linux": {"rootfsPropagation": "private"}}"#);
        assert!(plan_with(&private, &options).unwrap_err().to_string().contains("not supported with --no-pivot"));
    }
}
