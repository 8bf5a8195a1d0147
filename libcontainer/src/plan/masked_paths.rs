//! [Masked paths](https://github.com/opencontainers/runtime-spec/blob/v1.3.0/config-linux.md#masked-paths)
#![forbid(unsafe_code)]

use super::{InitStep, Line, init, z};
use crate::Result;
use oci_spec::runtime::Spec;

pub(super) fn lines(spec: &Spec) -> Result<Vec<Line>> {
    let paths = spec.linux().as_ref().and_then(|linux| linux.masked_paths().as_deref());
    (paths.unwrap_or_default().iter().enumerate())
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
            r#"{"linux": {"maskedPaths": ["/proc/kcore", "/sys/firmware"]}}"#,
            "/linux/maskedPaths",
            "init mask-path /proc/kcore
             init mask-path /sys/firmware",
        );
    }
}
