//! Init's lines in the form in which it reads them.
#![forbid(unsafe_code)]
use crate::plan::line::{Action, InitStep, Line};
use crate::{Error, ErrorKind, Result};
use step::Step;

/// Init's lines from `first` on, in the form in which it reads them. Adjacent lines of the host's are one to it.
pub(crate) fn encode(lines: &[Line], first: usize) -> Result<Vec<u8>> {
    let fail = |error: postcard::Error| Error::new(ErrorKind::System, format!("write the plan: {error}"));
    let mut bytes = Vec::with_capacity(16 * 1024);
    let mut after_host = false;
    for (number, line) in lines.iter().enumerate().skip(first) {
        let number = u16::try_from(number)
            .map_err(|_| Error::new(ErrorKind::InvalidConfig, "a plan has at most 65,535 lines"))?;
        bytes = match &line.action {
            Action::Init(step) => postcard::to_extend(&(number, step), bytes).map_err(fail)?,
            Action::Host(_) if after_host => bytes,
            Action::Host(_) => {
                let ours =
                    lines[usize::from(number)..].iter().take_while(|line| matches!(line.action, Action::Host(_)));
                let meet: InitStep = Step::Host { fills: ours.into_iter().any(Line::fills_slot) };
                postcard::to_extend(&(number, meet), bytes).map_err(fail)?
            }
        };
        after_host = matches!(line.action, Action::Host(_));
    }
    Ok(bytes)
}
