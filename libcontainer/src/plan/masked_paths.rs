//! [Masked paths](https://github.com/opencontainers/runtime-spec/blob/v1.3.0/config-linux.md#masked-paths)
#![forbid(unsafe_code)]

use super::mounts::clean;
use super::{InitStep, Line, init, z};
use crate::Result;
use oci_spec::runtime::Spec;
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
        // Once is enough.
        .filter(|(_, path)| seen.insert(clean(Path::new(path))))
        .map(|(index, path)| {
            let origin = format!("/linux/maskedPaths/{index}");
            Ok(init(InitStep::MaskPath { path: z(path, &origin)? }, origin))
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use crate::plan::tests::check;

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
