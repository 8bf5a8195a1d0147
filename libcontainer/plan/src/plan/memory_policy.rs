//! [Memory policy](https://github.com/opencontainers/runtime-spec/blob/v1.3.0/config-linux.md#memory-policy): set_mempolicy(2)
#![forbid(unsafe_code)]

use super::line::{InitStep, Line};
use super::{cpu_affinity, given, init};
use crate::{Error, Result};
use oci_spec::runtime::{MemoryPolicyFlagType, MemoryPolicyModeType, Spec};

/// Names that `linux.memoryPolicy.mode` may have, sorted.
pub const MEMORY_POLICY_MODES: &[&str] = &[
    "MPOL_BIND",
    "MPOL_DEFAULT",
    "MPOL_INTERLEAVE",
    "MPOL_LOCAL",
    "MPOL_PREFERRED",
    "MPOL_PREFERRED_MANY",
    "MPOL_WEIGHTED_INTERLEAVE",
];

/// Names that `linux.memoryPolicy.flags` may hold, sorted.
pub const MEMORY_POLICY_FLAGS: &[&str] = &["MPOL_F_NUMA_BALANCING", "MPOL_F_RELATIVE_NODES", "MPOL_F_STATIC_NODES"];

/// What the kernel takes: a page of bits.
const MOST: usize = 1 << 15;

pub(super) fn lines(spec: &Spec) -> Result<Option<Line>> {
    let Some(policy) = spec.linux().as_ref().and_then(|linux| linux.memory_policy().as_ref()) else { return Ok(None) };
    // mempolicy.h
    let mode = match policy.mode() {
        MemoryPolicyModeType::MpolDefault => 0,
        MemoryPolicyModeType::MpolPreferred => 1,
        MemoryPolicyModeType::MpolBind => 2,
        MemoryPolicyModeType::MpolInterleave => 3,
        MemoryPolicyModeType::MpolLocal => 4,
        MemoryPolicyModeType::MpolPreferredMany => 5,
        MemoryPolicyModeType::MpolWeightedInterleave => 6,
    };
    let flag = |flag: &MemoryPolicyFlagType| match flag {
        MemoryPolicyFlagType::MpolFNumaBalancing => 1 << 13,
        MemoryPolicyFlagType::MpolFRelativeNodes => 1 << 14,
        MemoryPolicyFlagType::MpolFStaticNodes => 1 << 15,
    };
    let flags = policy.flags().iter().flatten().map(flag).fold(0, |flags, flag| flags | flag);
    let wrong = |key: &str, message: String| Error::config(format!("/linux/memoryPolicy/{key}"), message);
    if flags & (1 << 14 | 1 << 15) == (1 << 14 | 1 << 15) {
        let message = "unable to apply both MPOL_F_STATIC_NODES and MPOL_F_RELATIVE_NODES";
        return Err(wrong("flags", message.to_owned()));
    }
    let nodes = match given(policy.nodes()) {
        Some(list) => cpu_affinity::mask(list, MOST)
            .map_err(|message| wrong("nodes", format!("invalid memory policy node: {message}")))?,
        None => Vec::new(),
    };
    let count: u32 = nodes.iter().map(|byte| byte.count_ones()).sum();
    match policy.mode() {
        MemoryPolicyModeType::MpolDefault | MemoryPolicyModeType::MpolLocal if count > 0 => {
            return Err(wrong("nodes", format!("memory policy mode requires 0 nodes but got {count}")));
        }
        MemoryPolicyModeType::MpolBind
        | MemoryPolicyModeType::MpolInterleave
        | MemoryPolicyModeType::MpolPreferredMany
        | MemoryPolicyModeType::MpolWeightedInterleave
            if count == 0 =>
        {
            return Err(wrong("nodes", "memory policy mode requires at least one node but got 0".to_owned()));
        }
        _ => {}
    }
    Ok(Some(init(InitStep::SetMemoryPolicy { mode: mode | flags, nodes }, "/linux/memoryPolicy")))
}

#[cfg(test)]
mod tests {
    use crate::plan::tests::{check, refused};

    fn policy(text: &str) -> String {
        format!(r#"{{"linux": {{"memoryPolicy": {{{text}}}}}}}"#)
    }

    #[test]
    fn mode_flags_and_nodes() {
        check(
            &policy(r#""mode": "MPOL_BIND", "flags": ["MPOL_F_STATIC_NODES"], "nodes": "0,2-3""#),
            "/linux/memoryPolicy",
            "init set-memory-policy MPOL_BIND|MPOL_F_STATIC_NODES 0,2-3",
        );
        check(
            &policy(r#""mode": "MPOL_LOCAL", "nodes": """#),
            "/linux/memoryPolicy",
            "init set-memory-policy MPOL_LOCAL",
        );
    }

    #[test]
    fn what_the_kernel_would_refuse() {
        refused(
            &policy(r#""mode": "MPOL_BIND""#),
            "config.json: /linux/memoryPolicy/nodes: memory policy mode requires at least one node but got 0",
        );
        refused(
            &policy(r#""mode": "MPOL_DEFAULT", "nodes": "0-1""#),
            "config.json: /linux/memoryPolicy/nodes: memory policy mode requires 0 nodes but got 2",
        );
        refused(
            &policy(r#""mode": "MPOL_BIND", "nodes": "0", "flags": ["MPOL_F_STATIC_NODES", "MPOL_F_RELATIVE_NODES"]"#),
            "config.json: /linux/memoryPolicy/flags: unable to apply both MPOL_F_STATIC_NODES and MPOL_F_RELATIVE_NODES",
        );
    }
}
