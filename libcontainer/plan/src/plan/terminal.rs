//! [terminal and consoleSize](https://github.com/opencontainers/runtime-spec/blob/v1.3.0/config.md#process)
#![forbid(unsafe_code)]

use super::line::{HostStep, InitStep, Line, Origin};
use super::{host, init};
use crate::{Error, Result};
use oci_spec::runtime::Process;

/// Whether the process gets a terminal.
pub fn has_terminal(process: Option<&Process>) -> bool {
    process.and_then(Process::terminal).unwrap_or(false)
}

/// `on_dev_console`: for the container's own process, whose terminal is the container's console unless config.json mounts one.
pub(super) fn lines(process: Option<&Process>, on_dev_console: bool) -> Result<Vec<Line>> {
    let Some(process) = process.filter(|process| has_terminal(Some(process))) else { return Ok(Vec::new()) };
    // Without a terminal it means nothing and is ignored, says the spec.
    let size = process.console_size().unwrap_or_default();
    let extent = |key: &str, value: u64| {
        let wrong = || {
            Error::config(format!("/process/consoleSize/{key}"), format!("{value} is more than a terminal can have"))
        };
        u16::try_from(value).map_err(|_| wrong())
    };
    let (height, width) = (extent("height", size.height())?, extent("width", size.width())?);
    Ok(vec![
        init(InitStep::OpenConsole { height, width, uid: process.user().uid(), on_dev_console }, "/process/terminal"),
        host(HostStep::ForwardConsole, "/process/terminal"),
    ])
}

/// A session of its own, not the caller's: whoever holds its terminal could be fed with TIOCSTI. Of the process that stays: neither
/// session nor terminal outlives a fork.
pub(super) fn session(process: Option<&Process>) -> Vec<Line> {
    let controlled = has_terminal(process).then(|| init(InitStep::SetControllingTerminal, "/process/terminal"));
    [init(InitStep::NewSession, Origin::DEFAULT)].into_iter().chain(controlled).collect()
}

#[cfg(test)]
mod tests {
    use crate::plan::tests::{check, check_process, exec_of, text_of};

    #[test]
    fn a_terminal_is_opened_and_passed_on() {
        check_process(
            r#""terminal": true, "consoleSize": {"height": 24, "width": 80}, "user": {"uid": 5, "gid": 0}"#,
            "/process/terminal",
            "init open-console 80x24 for 5, on /dev/console
             host forward-console
             init set-controlling-terminal",
        );
        check_process(r#""consoleSize": {"height": 24, "width": 80}"#, "/process/terminal", "");
    }

    #[test]
    fn a_console_that_is_mounted_stays() {
        let config = r#"{"process": {"terminal": true, "args": ["a"], "cwd": "/", "user": {}},
            "mounts": [{"destination": "/dev/console", "source": "/dev/pts/5", "options": ["bind"]}]}"#;
        check(
            config,
            "/process/terminal",
            "init open-console for 0\n host forward-console\n init set-controlling-terminal",
        );
    }

    #[test]
    fn that_of_exec_is_not_the_containers_console() {
        let plan = exec_of(r#""terminal": true"#);
        assert_eq!(
            text_of(&plan, "/process/terminal"),
            "init open-console for 0\ninit set-controlling-terminal\nhost forward-console"
        );
    }
}
