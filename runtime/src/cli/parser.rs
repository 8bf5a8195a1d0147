//! Reading a command line.
//!
//! The parser accepts what engines write for runc (urfave/cli): `--flag VALUE`, `--flag=VALUE`, `--switch=false`,
//! any flag with a single dash (`-no-subreaper`), flags before and after the id, global flags also after the command.
//! Commas never split a value; of a flag given twice the last one counts.
use super::{Command, Flag, Given, Interface, Invocation, switch};
use std::ffi::{OsStr, OsString};
use std::os::unix::ffi::OsStrExt;

const HELP: Flag = switch("help", "show help").short('h');
const VERSION: Flag = switch("version", "print the version").short('v');

/// What a command line asks for.
#[derive(Debug)]
pub(crate) enum Request {
    Run(Invocation),
    /// Help on a command, or on the whole.
    Help(Option<&'static Command>),
    Version,
}

/// A command line that cannot be understood.
#[derive(Debug)]
pub(crate) struct Misuse {
    pub(crate) message: String,
    /// Whose help will help.
    pub(crate) command: Option<&'static Command>,
    /// runc exits with 3 for an unknown command.
    pub(crate) status: u8,
}

/// Reads the arguments that follow the program's name.
pub(crate) fn parse(interface: &'static Interface, arguments: &[OsString]) -> Result<Request, Misuse> {
    let mut words = arguments.iter();
    let mut flags = Vec::with_capacity(8);
    let command = loop {
        let Some(word) = words.next() else {
            return Ok(Request::Help(None));
        };
        match Word::of(word) {
            Word::Flag { name, .. } if HELP.is_called(name) => {
                return Ok(Request::Help(words.find_map(|word| interface.command(word))));
            }
            Word::Flag { name, .. } if VERSION.is_called(name) => return Ok(Request::Version),
            Word::Flag { name, inline } => {
                let flag = read_flag(interface, &[], word, name, inline, &mut words);
                flags.push(flag.map_err(|message| Misuse { message, command: None, status: 1 })?);
            }
            Word::End => {}
            Word::Positional if word == "help" || word == "h" => match words.next() {
                Some(topic) => return Ok(Request::Help(Some(topic_of(interface, topic)?))),
                None => return Ok(Request::Help(None)),
            },
            Word::Positional => break topic_of(interface, word)?,
        }
    };
    parse_command(interface, command, flags, words.as_slice())
}

fn parse_command(
    interface: &'static Interface,
    command: &'static Command,
    mut flags: Vec<Given>,
    arguments: &[OsString],
) -> Result<Request, Misuse> {
    let mut words = arguments.iter();
    let mut positionals = Vec::with_capacity(4);
    while let Some(word) = words.next() {
        match Word::of(word) {
            // `exec ID -- ls` runs ls, as in runc.
            Word::End => positionals.extend(words.by_ref().cloned()),
            _ if command.positionals.flags_until == Some(positionals.len()) => {
                positionals.push(word.clone());
                positionals.extend(words.by_ref().cloned());
            }
            Word::Flag { name, .. } if HELP.is_called(name) => {
                return Ok(Request::Help(Some(command)));
            }
            Word::Flag { name, inline } => {
                match read_flag(interface, command.flags, word, name, inline, &mut words) {
                    Ok(flag) => flags.push(flag),
                    // `create --bogus --help` shows help rather than an error.
                    Err(_) if words.any(|word| word == "--help" || word == "-h") => {
                        return Ok(Request::Help(Some(command)));
                    }
                    Err(message) => {
                        return Err(Misuse { message, command: Some(command), status: 1 });
                    }
                }
            }
            Word::Positional => positionals.push(word.clone()),
        }
    }
    Ok(Request::Run(Invocation { interface, command, flags, positionals }))
}

fn topic_of(interface: &Interface, word: &OsStr) -> Result<&'static Command, Misuse> {
    let message = || format!("No help topic for '{}'", word.to_string_lossy());
    interface.command(word).ok_or_else(|| Misuse { message: message(), command: None, status: 3 })
}

/// One argument, looked at by itself.
enum Word<'a> {
    Flag {
        name: &'a [u8],
        inline: Option<&'a [u8]>,
    },
    /// `--`
    End,
    Positional,
}

impl Word<'_> {
    fn of(word: &OsString) -> Word<'_> {
        let bytes = word.as_bytes();
        let name = match bytes {
            b"--" => return Word::End,
            [b'-', b'-', name @ ..] => name,
            // `-` is a file name, `-9` a signal.
            [b'-', name @ ..] if name.first().is_some_and(u8::is_ascii_alphabetic) => name,
            _ => return Word::Positional,
        };
        match name.iter().position(|&byte| byte == b'=') {
            Some(at) => Word::Flag { name: &name[..at], inline: Some(&name[at + 1..]) },
            None => Word::Flag { name, inline: None },
        }
    }
}

/// A flag of the command or a global one, with its value.
fn read_flag<'a>(
    interface: &Interface,
    of_command: &'static [Flag],
    word: &OsStr,
    name: &[u8],
    inline: Option<&[u8]>,
    words: &mut impl Iterator<Item = &'a OsString>,
) -> Result<Given, String> {
    let Some((flag, global)) = interface.flag(name, of_command) else {
        return Err(format!("flag provided but not defined: -{}", String::from_utf8_lossy(name)));
    };
    let value = match (flag.argument, inline) {
        (Some(_), Some(value)) => OsStr::from_bytes(value).to_owned(),
        // podman looks for these words.
        (Some(_), None) => {
            words.next().cloned().ok_or_else(|| format!("flag needs an argument: {}", word.to_string_lossy()))?
        }
        (None, None | Some(b"")) => "true".into(),
        (None, Some(value)) => match boolean(value) {
            Some(value) => value.to_string().into(),
            None => {
                let value = String::from_utf8_lossy(value);
                return Err(format!("invalid value {value:?} for flag -{}: not true or false", flag.name));
            }
        },
    };
    Ok(Given { name: flag.name, value, global })
}

/// What Go's strconv.ParseBool takes.
pub(super) fn boolean(text: &[u8]) -> Option<bool> {
    match text {
        b"1" | b"t" | b"T" | b"true" | b"TRUE" | b"True" => Some(true),
        b"0" | b"f" | b"F" | b"false" | b"FALSE" | b"False" => Some(false),
        _ => None,
    }
}
