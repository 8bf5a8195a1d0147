//! [oomScoreAdj](https://github.com/opencontainers/runtime-spec/blob/v1.3.0/config.md#linux-process): absent means
//! unchanged.
#![forbid(unsafe_code)]

use super::init;
use super::line::{InitStep, Line};
use oci_spec::runtime::Process;

pub(super) fn lines(process: Option<&Process>) -> Option<Line> {
    let value = process?.oom_score_adj()?;
    Some(init(InitStep::SetOomScoreAdj { value }, "/process/oomScoreAdj"))
}

#[cfg(test)]
mod tests {
    use crate::plan::tests::check_process;

    #[test]
    fn it_is_set_if_it_is_there() {
        check_process(r#""oomScoreAdj": -500"#, "/process/oomScoreAdj", "init set-oom-score-adj -500");
        check_process("", "/process/oomScoreAdj", "");
    }
}
