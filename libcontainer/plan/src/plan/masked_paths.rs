//! [Masked paths](https://github.com/opencontainers/runtime-spec/blob/v1.3.0/config-linux.md#masked-paths)
#![forbid(unsafe_code)]

use super::mounts::clean;
use super::{InitStep, Line, init, z};
use crate::Result;
use oci_spec::runtime::Spec;
use std::borrow::Cow;
use std::collections::HashSet;
use std::path::Path;

/// What files are masked with.
pub(super) fn open_null(spec: &Spec) -> Option<Line> {
    let paths = spec.linux().as_ref()?.masked_paths().as_deref()?;
    (!paths.is_empty()).then(|| init(InitStep::OpenNull, "/linux/maskedPaths"))
}

pub(super) fn lines(spec: &Spec) -> Result<Vec<Line>> {
    let paths = spec.linux().as_ref().and_then(|linux| linux.masked_paths().as_deref());
    let mut seen = HashSet::new();
    (paths.unwrap_or_default().iter().enumerate())
        .map(|(index, path)| (format!("/linux/maskedPaths/{index}"), path))
        .filter_map(|(origin, path)| Some((from_root(path, &origin)?, origin)))
        // Once is enough.
        .filter(|(path, _)| seen.insert(clean(path)))
        .map(|(path, origin)| Ok(init(InitStep::MaskPath { path: z(&*path, &origin)? }, origin)))
        .collect()
}

/// The path from the root: a relative one is taken as one from there, as every runtime does. One of nothing is none.
pub(super) fn from_root<'a>(path: &'a str, origin: &str) -> Option<Cow<'a, Path>> {
    let path = Path::new(path);
    if path.is_absolute() {
        return Some(path.into());
    }
    let absolute = clean(path);
    if absolute == Path::new("/") {
        log::warn!("{origin}: {path:?} is no path below the root: ignored");
        return None;
    }
    log::warn!("{origin}: the path {path:?} is not absolute: taken for {absolute:?}");
    Some(absolute.into())
}

#[cfg(test)]
mod tests {
    use crate::plan::tests::check;

    #[test]
    fn a_relative_path_is_one_from_the_root() {
        check(
            r#"{"linux": {"maskedPaths": ["proc/kcore", "", ".", "./proc/../proc/kcore", "sys"]}}"#,
            "/linux/maskedPaths",
            "init open-null
             init mask-path /proc/kcore
             init mask-path /sys",
        );
    }

    #[test]
    fn each_path_is_masked_in_the_order_given() {
        check(
            r#"{"linux": {"maskedPaths": ["/proc/kcore", "/sys/firmware", "/proc/../proc/kcore"]}}"#,
            "/linux/maskedPaths",
            "init open-null
             init mask-path /proc/kcore
             init mask-path /sys/firmware",
        );
    }
}
