//! Help, from the table of commands.
#![forbid(unsafe_code)]
use crate::cli::{Command, Flag, Interface};
use std::fmt::Write;

pub(crate) const SUMMARY: &str = "Open Container Initiative runtime";
pub(crate) const DESCRIPTION: &str = "A low-level runtime for containers as the Open Container Initiative specifies them, called as runc is by Docker, \
     containerd, Podman and others. A container is made from a bundle: a directory with a file config.json and a root \
     filesystem.";
pub(crate) const EXAMPLES: &[&str] =
    &["mkdir -p web/rootfs  # and fill it", "plimsoll spec --bundle web", "plimsoll run --bundle web web"];

/// The help on a command, or on the whole.
pub(crate) fn text(interface: &Interface, program: &str, command: Option<&Command>) -> String {
    match command {
        Some(command) => of_command(program, command),
        None => of_program(interface, program),
    }
}

fn of_program(interface: &Interface, program: &str) -> String {
    let mut text = format!("NAME:\n   {program} - {SUMMARY}\n\n");
    let _ = write!(text, "USAGE:\n   {program} [global options] command [command options] [arguments...]\n\n");
    section(&mut text, "DESCRIPTION", &wrapped(DESCRIPTION));
    let commands = interface.commands.iter().filter(|command| !command.hidden);
    let commands = commands.map(|command| (command.name.to_owned(), command.summary)).collect::<Vec<_>>();
    section(&mut text, "COMMANDS", &columns(&commands));
    section(&mut text, "EXAMPLES", &lines(EXAMPLES));
    let mut flags = flags(interface.global_flags);
    flags.push(("-h, --help".to_owned(), "show help, also on a command"));
    flags.push(("-v, --version".to_owned(), "print the version"));
    section(&mut text, "GLOBAL OPTIONS", &columns(&flags));
    text.pop();
    text
}

fn of_command(program: &str, command: &Command) -> String {
    let mut text = format!("NAME:\n   {program} {} - {}\n\n", command.name, command.summary);
    let _ = write!(text, "USAGE:\n   {}\n\n", synopsis(program, command));
    section(&mut text, "DESCRIPTION", &wrapped(command.description));
    section(&mut text, "EXAMPLES", &lines(command.examples));
    let mut flags = flags(command.flags);
    flags.push(("-h, --help".to_owned(), "show help"));
    section(&mut text, "OPTIONS", &columns(&flags));
    text.pop();
    text
}

/// `plimsoll create [options] <container-id>`
pub(crate) fn synopsis(program: &str, command: &Command) -> String {
    let options = if command.flags.is_empty() { "" } else { " [options]" };
    let space = if command.positionals.usage.is_empty() { "" } else { " " };
    format!("{program} {}{options}{space}{}", command.name, command.positionals.usage)
}

/// `-b, --bundle DIR`
pub(crate) fn spelling(flag: &Flag) -> String {
    let short = flag.short.map(|letter| format!("-{letter}, ")).unwrap_or_default();
    let argument = flag.argument.map(|argument| format!(" {argument}")).unwrap_or_default();
    format!("{short}--{}{argument}", flag.name)
}

fn flags(flags: &'static [Flag]) -> Vec<(String, &'static str)> {
    flags.iter().filter(|flag| !flag.hidden).map(|flag| (spelling(flag), flag.help)).collect()
}

fn section(text: &mut String, title: &str, body: &str) {
    if !body.is_empty() {
        let _ = write!(text, "{title}:\n{body}\n");
    }
}

fn lines(lines: &[&str]) -> String {
    lines.iter().map(|line| format!("   {line}\n")).collect()
}

fn columns(rows: &[(String, &str)]) -> String {
    let width = rows.iter().map(|(left, _)| left.len()).max().unwrap_or(0) + 2;
    rows.iter().map(|(left, right)| format!("   {left:width$}{right}\n")).collect()
}

/// Words in lines that fit a terminal of 80 columns.
fn wrapped(text: &str) -> String {
    let mut out = String::new();
    let mut column = 0;
    for word in text.split_whitespace() {
        if column + word.len() + 1 > 77 {
            out.push('\n');
            column = 0;
        }
        out.push_str(if column == 0 { "   " } else { " " });
        out.push_str(word);
        column += word.len() + 1;
    }
    out + "\n"
}
