//! [Personality](https://github.com/opencontainers/runtime-spec/blob/v1.3.0/config-linux.md#personality): personality(2)
#![forbid(unsafe_code)]

use super::init;
use super::line::{InitStep, Line};
use crate::{Error, ErrorKind, Result};
use oci_spec::runtime::{LinuxPersonalityDomain, Spec};

pub(super) fn lines(spec: &Spec) -> Result<Option<Line>> {
    let Some(personality) = spec.linux().as_ref().and_then(|linux| linux.personality().as_ref()) else {
        return Ok(None);
    };
    // "No flag values are supported", says the spec.
    if let Some(flag) = personality.flags().iter().flatten().next() {
        let message = format!("personality flag \"{flag}\" is not supported");
        return Err(Error::config("/linux/personality/flags/0", message).with_kind(ErrorKind::Unsupported));
    }
    let domain = match personality.domain() {
        LinuxPersonalityDomain::PerLinux => 0,
        LinuxPersonalityDomain::PerLinux32 => 8,
    };
    Ok(Some(init(InitStep::SetPersonality { domain }, "/linux/personality")))
}

#[cfg(test)]
mod tests {
    use crate::plan::tests::{check, refused};

    #[test]
    fn both_domains() {
        check(
            r#"{"linux": {"personality": {"domain": "LINUX32"}}}"#,
            "/linux/personality",
            "init set-personality LINUX32",
        );
        check(r#"{"linux": {"personality": {"domain": "LINUX"}}}"#, "/linux/personality", "init set-personality LINUX");
        refused(
            r#"{"linux": {"personality": {"domain": "LINUX", "flags": ["ADDR_NO_RANDOMIZE"]}}}"#,
            "config.json: /linux/personality/flags/0: personality flag \"ADDR_NO_RANDOMIZE\" is not supported",
        );
    }
}
