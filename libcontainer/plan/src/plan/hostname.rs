//! [Hostname and domainname](https://github.com/opencontainers/runtime-spec/blob/v1.3.0/config.md#hostname)
#![forbid(unsafe_code)]

use super::{InitStep, Line, given, init, z};
use crate::Result;
use oci_spec::runtime::Spec;

pub(super) fn lines(spec: &Spec) -> Result<Vec<Line>> {
    let mut lines = Vec::new();
    if let Some(name) = given(spec.hostname()) {
        lines.push(init(InitStep::SetHostname { name: z(name, "/hostname")? }, "/hostname"));
    }
    if let Some(name) = given(spec.domainname()) {
        lines.push(init(InitStep::SetDomainname { name: z(name, "/domainname")? }, "/domainname"));
    }
    Ok(lines)
}

#[cfg(test)]
mod tests {
    use crate::plan::tests::{check, refused};

    #[test]
    fn both_names_are_set() {
        check(r#"{"hostname": "web", "domainname": "example"}"#, "/hostname", "init set-hostname web");
        check(r#"{"hostname": "web", "domainname": "example"}"#, "/domainname", "init set-domainname example");
        check(r#"{"hostname": ""}"#, "/hostname", "");
    }

    #[test]
    fn the_hosts_name_is_left_alone() {
        refused(
            r#"{"hostname": "web", "linux": {"namespaces": [{"type": "mount"}]}}"#,
            "config.json: /hostname: unable to set hostname without a private UTS namespace",
        );
    }
}
