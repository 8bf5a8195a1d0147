//! [Seccomp](https://github.com/opencontainers/runtime-spec/blob/v1.3.0/config-linux.md#seccomp)
#![forbid(unsafe_code)]

use super::line::{HostStep, InitStep, Line};
use super::{host, init};
use crate::seccomp::{Problem, compile};
use crate::{Error, Result};
use oci_spec::runtime::Spec;

const ORIGIN: &str = "/linux/seccomp";

pub(super) fn lines(spec: &Spec) -> Result<Vec<Line>> {
    let Some(profile) = spec.linux().as_ref().and_then(|linux| linux.seccomp().as_ref()) else { return Ok(Vec::new()) };
    let wrong = |problem: Problem| Error::config(format!("{ORIGIN}{}", problem.pointer), problem.message);
    let program = compile(profile).map_err(wrong)?;
    let mut lines = vec![init(InitStep::LoadSeccomp { flags: program.flags, filter: program.filter }, ORIGIN)];
    if program.listener {
        // At once: from the next call on somebody has to answer.
        let path = profile.listener_path().clone().filter(|path| !path.as_os_str().is_empty());
        let missing = || Error::config(format!("{ORIGIN}/listenerPath"), "seccomp listenerPath is not set");
        let metadata = profile.listener_metadata().clone().unwrap_or_default();
        let step = HostStep::ForwardSeccompListener { path: path.ok_or_else(missing)?, metadata };
        lines.push(host(step, format!("{ORIGIN}/listenerPath")));
    }
    Ok(lines)
}
