//! [Offset for time namespace](https://github.com/opencontainers/runtime-spec/blob/v1.3.0/config-linux.md#offset-for-time-namespace)
#![forbid(unsafe_code)]

use super::{InitStep, Line, init};
use oci_spec::runtime::Spec;
use std::collections::BTreeMap;
use std::fmt::Write as _;

/// As time_namespaces(7) wants it: a line for each clock.
pub(super) fn line(spec: &Spec) -> Option<Line> {
    let offsets: BTreeMap<_, _> = spec.linux().iter().flat_map(|linux| linux.time_offsets()).flatten().collect();
    let mut text = String::new();
    for (clock, offset) in offsets {
        // Writing to a String cannot fail.
        let _ = writeln!(text, "{clock} {} {}", offset.secs().unwrap_or(0), offset.nanosecs().unwrap_or(0));
    }
    (!text.is_empty()).then(|| init(InitStep::SetTimeOffsets { offsets: text.into_bytes() }, "/linux/timeOffsets"))
}

#[cfg(test)]
mod tests {
    use crate::plan::tests::{check, refused};

    #[test]
    fn offsets_are_written_clock_by_clock() {
        check(
            r#"{"linux": {"namespaces": [{"type": "mount"}, {"type": "time"}],
                "timeOffsets": {"monotonic": {"secs": 172800, "nanosecs": 5}, "boottime": {"secs": -1}}}}"#,
            "/linux/timeOffsets",
            "init set-time-offsets boottime -1 0, monotonic 172800 5",
        );
    }

    #[test]
    fn offsets_need_a_time_namespace_of_the_containers_own() {
        refused(
            r#"{"linux": {"timeOffsets": {"monotonic": {"secs": 1}}}}"#,
            "config.json: /linux/timeOffsets: time namespace offsets specified, but time namespace isn't enabled in the config",
        );
    }
}
