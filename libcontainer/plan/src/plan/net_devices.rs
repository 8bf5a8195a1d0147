//! [Network devices](https://github.com/opencontainers/runtime-spec/blob/v1.3.0/config-linux.md#network-devices)
#![forbid(unsafe_code)]

use super::line::{HostStep, Line};
use super::{Context, host};
use crate::Result;
use crate::error::escape_key;
use std::collections::BTreeMap;

/// Sorted, as JSON promises no order.
pub(super) fn lines(context: &Context) -> Result<Vec<Line>> {
    let devices: BTreeMap<_, _> = context.linux().iter().flat_map(|linux| linux.net_devices()).flatten().collect();
    let line = |(name, device): (&String, &oci_spec::runtime::LinuxNetDevice)| {
        let new_name = super::given(device.name()).unwrap_or(name).to_owned();
        host(
            HostStep::MoveNetDevice { name: name.clone(), new_name },
            format!("/linux/netDevices/{}", escape_key(name)),
        )
    };
    Ok(devices.into_iter().map(line).collect())
}

#[cfg(test)]
mod tests {
    use crate::plan::tests::{check, refused};

    #[test]
    fn devices_move_and_may_get_another_name() {
        check(
            r#"{"linux": {"namespaces": [{"type": "network"}, {"type": "mount"}], "netDevices": {"eth1": {"name": "lan"}, "eth0": {}}}}"#,
            "/linux/netDevices",
            "host move-net-device eth0
             host move-net-device eth1 as lan",
        );
    }

    #[test]
    fn there_has_to_be_somewhere_to_move_to() {
        refused(
            r#"{"linux": {"namespaces": [{"type": "mount"}], "netDevices": {"eth0": {}}}}"#,
            "config.json: /linux/netDevices: unable to move network devices without a private NET namespace",
        );
    }
}
