//! What a command line asks for, for the command that it names.
use super::parser::boolean;
use super::{Command, Interface, Misuse, Positionals};
use crate::failure::Failure;
use libcontainer::{CgroupManager, Store};
use std::ffi::{OsStr, OsString};
use std::path::PathBuf;

/// A command with its flags and positionals.
#[derive(Debug)]
pub(crate) struct Invocation {
    pub(crate) interface: &'static Interface,
    pub(crate) command: &'static Command,
    /// In the order given.
    pub(super) flags: Vec<Given>,
    pub(crate) positionals: Vec<OsString>,
}

/// A flag that was given.
#[derive(Debug)]
pub(crate) struct Given {
    pub(super) name: &'static str,
    /// Of a switch `true` or `false`.
    pub(super) value: OsString,
    /// `spec --rootless` is one thing, `--rootless=true spec` another.
    pub(super) global: bool,
}

impl Invocation {
    /// The number of positionals is checked apart from parsing: by then a log file is known to write to.
    pub(crate) fn check_positionals(&self, program: &str) -> Result<(), Misuse> {
        let Positionals { least, most, .. } = self.command.positionals;
        let given = self.positionals.len();
        let wanted = match most {
            Some(most) if most == least && given != least => format!("exactly {least}"),
            _ if given < least => format!("a minimum of {least}"),
            Some(most) if given > most => format!("a maximum of {most}"),
            _ => return Ok(()),
        };
        let message = format!("{program}: \"{}\" requires {wanted} argument(s)", self.command.name);
        Err(Misuse { message, command: Some(self.command), status: 1 })
    }

    /// A switch that was given and not set to false.
    pub(crate) fn is_set(&self, name: &str) -> bool {
        self.value(name).is_some_and(|value| value == "true")
    }

    /// A switch, if it was given at all.
    pub(crate) fn switch(&self, name: &str) -> Option<bool> {
        self.value(name).map(|value| value == "true")
    }

    /// The value of a flag; the last one counts.
    pub(crate) fn value(&self, name: &str) -> Option<&OsStr> {
        self.values(name).next_back()
    }

    /// Every value of a repeatable flag, in order.
    pub(crate) fn values(&self, name: &str) -> impl DoubleEndedIterator<Item = &OsStr> {
        let flag = self.interface.flag(name.as_bytes(), self.command.flags);
        debug_assert!(flag.is_some(), "{} has no flag --{name}", self.command.name);
        let global = flag.is_some_and(|(_, global)| global);
        self.flags.iter().filter(move |given| given.name == name && given.global == global).map(|given| &*given.value)
    }

    /// A path; an empty one counts as not given, as in runc.
    pub(crate) fn path(&self, name: &str) -> Option<PathBuf> {
        self.value(name).filter(|value| !value.is_empty()).map(PathBuf::from)
    }

    /// A value that has to be UTF-8; an empty one counts as not given.
    pub(crate) fn text(&self, name: &str) -> Result<Option<&str>, Failure> {
        self.value(name).filter(|value| !value.is_empty()).map(|value| text(name, value)).transpose()
    }

    /// Every value of a repeatable flag.
    pub(crate) fn texts(&self, name: &str) -> Result<Vec<&str>, Failure> {
        self.values(name).map(|value| text(name, value)).collect()
    }

    /// A number.
    pub(crate) fn number<N: std::str::FromStr>(&self, name: &str) -> Result<Option<N>, Failure> {
        let Some(value) = self.text(name)? else {
            return Ok(None);
        };
        let invalid = |_| Failure::new(format!("invalid value {value:?} for flag -{name}: not a number in range"));
        value.parse().map(Some).map_err(invalid)
    }

    /// A value out of the choices that the table lists; the first one unless given.
    pub(crate) fn choice(&self, name: &str) -> Result<&str, Failure> {
        let flag = self.interface.flag(name.as_bytes(), self.command.flags);
        let choices = flag.and_then(|(flag, _)| flag.argument).unwrap_or_default();
        let default = choices.split('|').next().unwrap_or_default();
        let given = self.text(name)?.unwrap_or(default);
        match choices.split('|').any(|choice| choice == given) {
            true => Ok(given),
            false if name == "format" => Err(Failure::new("invalid format option")),
            false => Err(Failure::new(format!("invalid {name}: {given}"))),
        }
    }

    /// The container's id. The library says whether it is a valid one.
    pub(crate) fn id(&self) -> Result<&str, Failure> {
        match self.positionals.first() {
            Some(id) if id.is_empty() => Err(Failure::new("container id cannot be empty")),
            Some(id) => id.to_str().ok_or_else(|| Failure::new("invalid container ID format")),
            None => Err(Failure::new("container id cannot be empty")),
        }
    }

    /// `--root`, absolute, if it was given.
    pub(crate) fn root(&self) -> Result<Option<PathBuf>, Failure> {
        let Some(root) = self.value("root") else {
            return Ok(None);
        };
        if root.is_empty() {
            return Err(Failure::new("Option --root argument should not be empty"));
        }
        let absolute = std::path::absolute(root).map_err(|error| Failure::io("--root", &error))?;
        let clean = libcontainer::clean_path(&absolute);
        match clean.parent() {
            Some(_) => Ok(Some(clean)),
            None => Err(Failure::new("Option --root argument should not be set to /")),
        }
    }

    /// Where the containers are.
    pub(crate) fn store(&self) -> Result<Store, Failure> {
        let root = self.root()?.unwrap_or_else(Store::default_root);
        Ok(Store::open(root)?)
    }

    /// `--cgroup-manager`, or `--systemd-cgroup`.
    pub(crate) fn cgroup_manager(&self) -> Result<CgroupManager, Failure> {
        if self.value("cgroup-manager").is_none() && self.is_set("systemd-cgroup") {
            return Ok(CgroupManager::Systemd);
        }
        Ok(match self.choice("cgroup-manager")? {
            "systemd" => CgroupManager::Systemd,
            "disabled" => CgroupManager::Disabled,
            _ => CgroupManager::Cgroupfs,
        })
    }

    /// `--rootless`: whether to ignore missing permissions on cgroups; `None` leaves it to the library.
    pub(crate) fn rootless(&self) -> Result<Option<bool>, Failure> {
        let value = self.text("rootless")?.unwrap_or("auto");
        if value.eq_ignore_ascii_case("auto") {
            return Ok(None);
        }
        match boolean(value.as_bytes()) {
            Some(value) => Ok(Some(value)),
            None => Err(Failure::new(format!("invalid rootless: {value}"))),
        }
    }
}

fn text<'a>(name: &str, value: &'a OsStr) -> Result<&'a str, Failure> {
    value.to_str().ok_or_else(|| Failure::new(format!("invalid value {value:?} for flag -{name}: not UTF-8")))
}
