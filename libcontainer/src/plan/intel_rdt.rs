//! [Intel RDT](https://github.com/opencontainers/runtime-spec/blob/v1.3.0/config-linux.md#intelrdt): not yet.
#![forbid(unsafe_code)]

use super::{Context, Line};
use crate::{Error, ErrorKind, Result};

pub(super) fn lines(context: &Context) -> Result<Vec<Line>> {
    match context.linux().and_then(|linux| linux.intel_rdt().as_ref()) {
        Some(_) => {
            Err(Error::config("/linux/intelRdt", "Intel RDT is not supported yet").kind_of(ErrorKind::Unsupported))
        }
        None => Ok(Vec::new()),
    }
}

#[cfg(test)]
mod tests {
    use crate::plan::tests::refused;

    #[test]
    fn it_is_refused() {
        refused(
            r#"{"linux": {"intelRdt": {"closID": "a"}}}"#,
            "config.json: /linux/intelRdt: Intel RDT is not supported yet",
        );
    }
}
