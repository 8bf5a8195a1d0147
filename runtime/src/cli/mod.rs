//! The command line: what a flag and a command are, the parser that reads them, and what a parsed command line answers.
//!
//! Nothing here knows a command: they are in one table, `commands.rs`, from which help, manual pages and shell completions are made.
#![forbid(unsafe_code)]
mod invocation;
mod parser;
#[cfg(test)]
mod tests;

pub(crate) use invocation::{Given, Invocation};
pub(crate) use parser::{Misuse, Request, parse};

use crate::failure::Failure;
use std::ffi::OsStr;

/// A flag as users write it.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Flag {
    pub(crate) name: &'static str,
    pub(crate) short: Option<char>,
    /// What its value is called; `None` for a switch. `a|b` lists the only choices.
    pub(crate) argument: Option<&'static str>,
    pub(crate) help: &'static str,
    /// May be given several times; otherwise the last one counts.
    pub(crate) repeatable: bool,
    /// Understood, but not shown.
    pub(crate) hidden: bool,
}

pub(crate) const fn switch(name: &'static str, help: &'static str) -> Flag {
    Flag { name, short: None, argument: None, help, repeatable: false, hidden: false }
}

pub(crate) const fn value(name: &'static str, argument: &'static str, help: &'static str) -> Flag {
    Flag { name, short: None, argument: Some(argument), help, repeatable: false, hidden: false }
}

impl Flag {
    pub(crate) const fn short(mut self, letter: char) -> Flag {
        self.short = Some(letter);
        self
    }

    pub(crate) const fn repeatable(mut self) -> Flag {
        self.repeatable = true;
        self
    }

    pub(crate) const fn hidden(mut self) -> Flag {
        self.hidden = true;
        self
    }

    fn is_called(&self, name: &[u8]) -> bool {
        self.name.as_bytes() == name || self.short.is_some_and(|short| name == [short as u8])
    }
}

/// What follows the flags.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Positionals {
    /// As the usage line shows them.
    pub(crate) usage: &'static str,
    pub(crate) least: usize,
    pub(crate) most: Option<usize>,
    /// Everything after so many of them is positional too, dashes or not (`exec ID ls -l`).
    pub(crate) flags_until: Option<usize>,
}

/// One command.
#[derive(Debug)]
pub(crate) struct Command {
    pub(crate) name: &'static str,
    /// One line, without a capital and a full stop.
    pub(crate) summary: &'static str,
    /// Whole sentences for the help and the manual page.
    pub(crate) description: &'static str,
    /// Lines that a user can copy.
    pub(crate) examples: &'static [&'static str],
    pub(crate) positionals: Positionals,
    pub(crate) flags: &'static [Flag],
    /// Understood, but not listed.
    pub(crate) hidden: bool,
    pub(crate) run: fn(&Invocation) -> Result<u8, Failure>,
}

/// Every command, and the flags that are understood before and after each.
#[derive(Debug)]
pub(crate) struct Interface {
    /// In the order of the help.
    pub(crate) commands: &'static [Command],
    pub(crate) global_flags: &'static [Flag],
}

impl Interface {
    /// The command of this name.
    pub(crate) fn command(&self, name: &OsStr) -> Option<&'static Command> {
        self.commands.iter().find(|command| command.name == name)
    }

    /// The flag of this name, and whether it is a global one: a command's own come first.
    pub(crate) fn flag(&self, name: &[u8], of_command: &'static [Flag]) -> Option<(&'static Flag, bool)> {
        let own = of_command.iter().find(|flag| flag.is_called(name)).map(|flag| (flag, false));
        own.or_else(|| self.global_flags.iter().find(|flag| flag.is_called(name)).map(|flag| (flag, true)))
    }
}
