//! `plimsoll`: flags in, one library call, exit status out.
mod alloc;
mod check;
mod checkpoint;
mod cli;
mod commands;
mod completion;
mod create;
mod delete;
mod events;
mod exec;
mod failure;
mod features;
mod foreground;
mod help;
mod inherited;
mod kill;
mod list;
mod log;
mod man;
mod mounts;
mod pause;
mod plan;
mod ps;
mod regex;
mod restore;
mod resume;
mod run;
mod spec;
mod start;
mod state;
mod trace;
mod update;

use cli::{Invocation, Misuse, Request};
use failure::Failure;
use std::ffi::OsString;
use std::io::Write;
use std::process::ExitCode;

#[global_allocator]
static ARENA: alloc::Arena = alloc::Arena::new();

fn main() -> ExitCode {
    ExitCode::from(run(&std::env::args_os().collect::<Vec<_>>()))
}

/// Does what the command line says; the exit status.
fn run(arguments: &[OsString]) -> u8 {
    // As engines call it: a link named runc speaks of itself as runc.
    let program = arguments.first().map(std::path::Path::new).and_then(|path| path.file_name());
    let program = program.and_then(|name| name.to_str()).unwrap_or("plimsoll");
    let shown = match cli::parse(&commands::INTERFACE, arguments.get(1..).unwrap_or_default()) {
        Ok(Request::Run(invocation)) => return invoke(program, &invocation),
        Ok(Request::Help(command)) => print(help::text(&commands::INTERFACE, program, command).as_bytes()),
        Ok(Request::Version) => print(version(program).as_bytes()),
        Err(misuse) => return explain(program, &misuse),
    };
    shown.map_or_else(|failure| fail(&failure, program, None), |()| 0)
}

fn invoke(program: &str, invocation: &Invocation) -> u8 {
    if let Err(failure) = log::configure(invocation) {
        return fail(&failure, program, None);
    }
    if let Err(misuse) = invocation.check_positionals(program) {
        return explain(program, &misuse);
    }
    (invocation.command.run)(invocation).unwrap_or_else(|failure| fail(&failure, program, Some(invocation)))
}

fn fail(failure: &Failure, program: &str, invocation: Option<&Invocation>) -> u8 {
    let command = invocation.map(|invocation| invocation.command.name);
    failure.report(program, command, invocation.and_then(|invocation| invocation.id().ok()));
    failure.status
}

/// The error on standard error, and on standard output the help that would have avoided it.
fn explain(program: &str, misuse: &Misuse) -> u8 {
    if misuse.status == 1 {
        let help = format!("Incorrect Usage.\n\n{}", help::text(&commands::INTERFACE, program, misuse.command));
        // The error below is what matters.
        let _ = print(help.as_bytes());
    }
    Failure::new(misuse.message.as_str()).report(program, None, None);
    misuse.status
}

/// What Docker and go-runc parse.
fn version(program: &str) -> String {
    let commit = option_env!("PLIMSOLL_COMMIT").map(|commit| format!("commit: {commit}\n"));
    format!(
        "{program} version {}\n{}spec: {}\n",
        env!("CARGO_PKG_VERSION"),
        commit.unwrap_or_default(),
        libcontainer::OCI_VERSION
    )
}

/// Writes to standard output. A full disk or a closed pipe is a failure, not a panic.
fn print(text: &[u8]) -> Result<(), Failure> {
    let mut stdout = std::io::stdout().lock();
    stdout.write_all(text).and_then(|()| stdout.flush()).map_err(|error| Failure::io("write standard output", &error))
}
