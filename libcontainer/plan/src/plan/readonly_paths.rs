//! [Readonly paths](https://github.com/opencontainers/runtime-spec/blob/v1.3.0/config-linux.md#readonly-paths)
#![forbid(unsafe_code)]

use super::masked_paths::from_root;
use super::{InitStep, Line, init, z};
use crate::Result;
use oci_spec::runtime::Spec;

pub(super) fn lines(spec: &Spec) -> Result<Vec<Line>> {
    let paths = spec.linux().as_ref().and_then(|linux| linux.readonly_paths().as_deref());
    (paths.unwrap_or_default().iter().enumerate())
        .map(|(index, path)| (format!("/linux/readonlyPaths/{index}"), path))
        .filter_map(|(origin, path)| Some((from_root(path, &origin)?, origin)))
        .map(|(path, origin)| Ok(init(InitStep::ReadonlyPath { path: z(&*path, &origin)? }, origin)))
        .collect()
}

#[cfg(test)]
mod tests {
    use crate::plan::tests::check;

    #[test]
    fn a_relative_path_is_one_from_the_root() {
        check(
            r#"{"linux": {"readonlyPaths": ["proc/sys", ""]}}"#,
            "/linux/readonlyPaths",
            "init readonly-path /proc/sys",
        );
    }

    #[test]
    fn each_path_becomes_read_only_in_the_order_given() {
        check(
            r#"{"linux": {"readonlyPaths": ["/proc/sys", "/proc/bus"]}}"#,
            "/linux/readonlyPaths",
            "init readonly-path /proc/sys
             init readonly-path /proc/bus",
        );
    }
}
