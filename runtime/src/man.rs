//! `man`: manual pages, from the table of commands.
#![forbid(unsafe_code)]
use crate::cli::{Command, Flag, Interface, Invocation};
use crate::failure::Failure;
use crate::{help, print};
use std::fmt::Write;

pub(crate) fn run(invocation: &Invocation) -> Result<u8, Failure> {
    let page = match invocation.positionals.first() {
        None => of_program(invocation.interface),
        Some(name) => {
            let unknown = || Failure::new(format!("No help topic for '{}'", name.to_string_lossy()));
            of_command(invocation.interface.command(name).ok_or_else(unknown)?)
        }
    };
    print(page.as_bytes())?;
    Ok(0)
}

fn of_program(interface: &Interface) -> String {
    let mut page = heading("plimsoll");
    let _ = writeln!(page, ".SH NAME\nplimsoll \\- {}", roff(help::SUMMARY));
    page.push_str(".SH SYNOPSIS\n\\fBplimsoll\\fR [\\fIglobal options\\fR] \\fIcommand\\fR [\\fIoptions\\fR] [\\fIarguments\\fR]\n");
    let _ = writeln!(page, ".SH DESCRIPTION\n{}", roff(help::DESCRIPTION));
    page.push_str(".SH COMMANDS\n");
    for command in interface.commands.iter().filter(|command| !command.hidden) {
        let _ = writeln!(page, ".TP\n\\fBplimsoll\\-{}\\fR(8)\n{}", command.name, roff(command.summary));
    }
    options(&mut page, "GLOBAL OPTIONS", interface.global_flags);
    examples(&mut page, help::EXAMPLES);
    page.push_str(".SH EXIT STATUS\n0, or 1 after a failure. \\fBrun\\fR and \\fBexec\\fR exit with the status of the process, or 128 + signal; a failure of \\fBexec\\fR itself is 255.\n");
    page
}

fn of_command(command: &Command) -> String {
    let mut page = heading(&format!("plimsoll-{}", command.name));
    let _ = writeln!(page, ".SH NAME\nplimsoll\\-{} \\- {}", command.name, roff(command.summary));
    let _ = writeln!(page, ".SH SYNOPSIS\n{}", roff(&help::synopsis("plimsoll", command)));
    let _ = writeln!(page, ".SH DESCRIPTION\n{}", roff(command.description));
    options(&mut page, "OPTIONS", command.flags);
    examples(&mut page, command.examples);
    page.push_str(".SH SEE ALSO\n\\fBplimsoll\\fR(8)\n");
    page
}

fn heading(name: &str) -> String {
    format!(".TH {} 8 \"\" \"plimsoll {}\"\n", name.to_uppercase(), env!("CARGO_PKG_VERSION"))
}

fn options(page: &mut String, title: &str, flags: &[Flag]) {
    if flags.is_empty() {
        return;
    }
    let _ = writeln!(page, ".SH {title}");
    for flag in flags.iter().filter(|flag| !flag.hidden) {
        let _ = writeln!(page, ".TP\n\\fB{}\\fR\n{}", roff(&help::spelling(flag)), roff(flag.help));
    }
}

fn examples(page: &mut String, examples: &[&str]) {
    if !examples.is_empty() {
        page.push_str(".SH EXAMPLES\n.nf\n");
        for example in examples {
            let _ = writeln!(page, "{}", roff(example));
        }
        page.push_str(".fi\n");
    }
}

/// Text with roff's own characters escaped.
fn roff(text: &str) -> String {
    let text = text.replace('\\', "\\e").replace('-', "\\-");
    match text.starts_with(['.', '\'']) {
        true => format!("\\&{text}"),
        false => text,
    }
}
