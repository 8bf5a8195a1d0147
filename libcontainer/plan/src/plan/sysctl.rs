//! [Sysctl](https://github.com/opencontainers/runtime-spec/blob/v1.3.0/config-linux.md#sysctl)
#![forbid(unsafe_code)]

use super::{Context, InitStep, Line, init, z};
use crate::Result;
use crate::error::escape_key;
use std::collections::BTreeMap;

/// Sorted, as JSON promises no order: the same configuration gives the same plan.
pub(super) fn lines(context: &Context) -> Result<Vec<Line>> {
    let sysctl: BTreeMap<_, _> = context.linux().iter().flat_map(|linux| linux.sysctl()).flatten().collect();
    (sysctl.into_iter())
        .map(|(key, value)| {
            let origin = format!("/linux/sysctl/{}", escape_key(key));
            Ok(init(InitStep::WriteSysctl { key: z(path_of(key), &origin)?, value: z(value, &origin)? }, origin))
        })
        .collect()
}

/// `net.ipv4.conf.all` and `net/ipv4/conf/all` are the same file. As in sysctl(8) the first separator decides which
/// of the two is meant: in `net/ipv4/conf/eth0.1` and in `net.ipv4.conf.eth0/1` the interface is `eth0.1`.
pub fn path_of(key: &str) -> String {
    match key.find(['.', '/']).map(|at| key.as_bytes()[at]) {
        Some(b'.') => {
            let swapped = |letter| match letter {
                '.' => '/',
                '/' => '.',
                letter => letter,
            };
            key.chars().map(swapped).collect()
        }
        _ => key.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use crate::plan::tests::check;

    #[test]
    fn keys_are_sorted_and_become_paths() {
        check(
            r#"{"linux": {"sysctl": {"net.ipv4.ip_forward": "1", "net/ipv4/conf/eth0.1/forwarding": "1", "kernel.shmmax": "4096"}}}"#,
            "/linux/sysctl",
            "init write-sysctl kernel/shmmax 4096
             init write-sysctl net/ipv4/ip_forward 1
             init write-sysctl net/ipv4/conf/eth0.1/forwarding 1",
        );
    }
}
