//! The command line: one table of commands and flags, and the parser that reads it. Help, manual pages and
//! shell completions are made from the same table.
//!
//! The parser accepts what engines write for runc (urfave/cli): `--flag VALUE`, `--flag=VALUE`, `--switch=false`,
//! any flag with a single dash (`-no-subreaper`), flags before and after the id, global flags also after the command.
//! Commas never split a value; of a flag given twice the last one counts.
#![forbid(unsafe_code)]
use crate::failure::Failure;
use libcontainer::{CgroupManager, Store};
use std::ffi::{OsStr, OsString};
use std::os::unix::ffi::OsStrExt;
use std::path::{Component, Path, PathBuf};

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

const fn switch(name: &'static str, help: &'static str) -> Flag {
    Flag { name, short: None, argument: None, help, repeatable: false, hidden: false }
}

const fn value(name: &'static str, argument: &'static str, help: &'static str) -> Flag {
    Flag { name, short: None, argument: Some(argument), help, repeatable: false, hidden: false }
}

impl Flag {
    const fn short(mut self, letter: char) -> Flag {
        self.short = Some(letter);
        self
    }

    const fn repeatable(mut self) -> Flag {
        self.repeatable = true;
        self
    }

    const fn hidden(mut self) -> Flag {
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
    least: usize,
    most: Option<usize>,
    /// Everything after so many of them is positional too, dashes or not (`exec ID ls -l`).
    flags_until: Option<usize>,
}

const NOTHING: Positionals = Positionals { usage: "", least: 0, most: Some(0), flags_until: None };
const ID: Positionals = Positionals { usage: "<container-id>", least: 1, most: Some(1), flags_until: None };

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

const HELP: Flag = switch("help", "show help").short('h');
const VERSION: Flag = switch("version", "print the version").short('v');

/// Understood before and after the command.
pub(crate) const GLOBAL_FLAGS: &[Flag] = &[
    value("root", "DIR", "where the state of containers is kept (default: /run/plimsoll)"),
    value(
        "log",
        "FILE",
        "append errors and warnings to FILE, or journald:NAME or syslog:NAME (default: standard error)",
    ),
    value("log-format", "text|json", "format of the log (default: text)"),
    value("log-level", "error|warning|info|debug", "how much to log (default: warning)"),
    switch("debug", "log everything, as --log-level debug does"),
    switch("systemd-cgroup", "make cgroups through systemd; cgroupsPath is then slice:prefix:name"),
    value("cgroup-manager", "cgroupfs|systemd|disabled", "who makes the cgroups (default: cgroupfs)"),
    value("rootless", "true|false|auto", "ignore missing permissions on cgroups (default: auto)"),
];

const BUNDLE: Flag = value("bundle", "DIR", "the bundle's directory (default: the current one)").short('b');
const CONFIG: Flag = value("config", "FILE", "read this file instead of the bundle's config.json").short('f');
const CONSOLE_SOCKET: Flag =
    value("console-socket", "PATH", "Unix socket that gets the master of the container's terminal");
const PIDFD_SOCKET: Flag = value("pidfd-socket", "PATH", "Unix socket that gets a pidfd of the process");
const PID_FILE: Flag = value("pid-file", "FILE", "write the process id to FILE");
const NO_PIVOT: Flag = switch("no-pivot", "no pivot_root(2): for a root filesystem on a ramdisk");
const NO_NEW_KEYRING: Flag = switch("no-new-keyring", "keep the caller's session keyring");
const PRESERVE_FDS: Flag = value("preserve-fds", "N", "pass on N descriptors, from 3 on ($LISTEN_FDS come first)");
const TRACE: Flag = value("trace", "FILE", "write a trace of what takes how long, for Perfetto or `plimsoll trace`");
const DETACH: Flag = switch("detach", "return as soon as the process runs").short('d');
const NO_SUBREAPER: Flag = switch("no-subreaper", "do not adopt orphans of the container");
const FORMAT: Flag = value("format", "table|json", "how to print (default: table)").short('f');

const BUNDLE_TEXT: &str = "A bundle is a directory with a file config.json and a root filesystem. The container's name is chosen by \
     the caller and must not be in use under the same --root.";

/// Every command, in the order of the help.
pub(crate) const COMMANDS: &[Command] = &[
    Command {
        name: "check",
        summary: "tell every problem of a bundle at once",
        description: "Tells what is wrong with config.json on any host, what fails on this one, what would be ignored, and what is \
                      unwise. Starts nothing and needs no privileges. The exit status is 1 if `create` would fail.",
        examples: &["plimsoll check --bundle /srv/web", "plimsoll check --json"],
        positionals: NOTHING,
        flags: &[
            BUNDLE,
            switch("json", "print an array of objects with concern, pointer and message"),
            value("facts", "FILE", "check for the host that this file describes (plimsoll plan --show-facts)"),
        ],
        hidden: false,
        run: crate::check::run,
    },
    Command {
        name: "checkpoint",
        summary: "save a running container to disk with CRIU",
        description: "Saves the state of the container's processes, and stops it unless --leave-running is given.",
        examples: &[],
        positionals: ID,
        flags: &[
            value("image-path", "DIR", "where to save the images (default: ./checkpoint)"),
            value("work-path", "DIR", "where CRIU writes its log and work files"),
            value("parent-path", "DIR", "images of an earlier --pre-dump, relative to --image-path"),
            switch("leave-running", "let the container run on"),
            switch("tcp-established", "allow open TCP connections"),
            switch("tcp-skip-in-flight", "skip TCP connections that are being made"),
            switch("link-remap", "link deleted files back where possible"),
            switch("ext-unix-sk", "allow Unix sockets connected to the outside"),
            switch("shell-job", "allow a terminal of the outside"),
            switch("lazy-pages", "leave memory behind, to be fetched while the restored container runs"),
            value("status-fd", "FD", "CRIU writes a zero byte to FD when --lazy-pages is ready"),
            value("page-server", "ADDRESS:PORT", "send the memory to a page server"),
            switch("file-locks", "allow file locks"),
            switch("pre-dump", "save the memory only and let the container run on"),
            value("manage-cgroups-mode", "soft|full|strict|ignore", "how CRIU treats cgroups (default: soft)"),
            value("network-lock", "METHOD", "how CRIU stops the network: iptables, nftables or skip"),
            value("empty-ns", "NAMESPACE", "make the namespace, but do not restore its contents").repeatable(),
            switch("auto-dedup", "drop pages from older images"),
        ],
        hidden: false,
        run: crate::checkpoint::run,
    },
    Command {
        name: "create",
        summary: "create a container",
        description: BUNDLE_TEXT,
        examples: &["plimsoll create --bundle /srv/web --pid-file /run/web.pid web", "plimsoll start web"],
        positionals: ID,
        flags: &[
            BUNDLE,
            CONFIG,
            CONSOLE_SOCKET,
            PIDFD_SOCKET,
            PID_FILE,
            NO_PIVOT,
            NO_NEW_KEYRING,
            PRESERVE_FDS,
            TRACE,
            NO_SUBREAPER.hidden(),
        ],
        hidden: false,
        run: crate::create::run,
    },
    Command {
        name: "delete",
        summary: "delete everything that a stopped container holds",
        description: "A container that has been created but not started is killed first; a running one only with --force.",
        examples: &["plimsoll delete --force web"],
        positionals: ID,
        flags: &[
            switch("force", "kill the container first (SIGKILL); no error if there is none").short('f'),
            switch("regex", "the id is a regular expression (POSIX, extended): delete every container that matches")
                .short('r'),
        ],
        hidden: false,
        run: crate::delete::run,
    },
    Command {
        name: "events",
        summary: "print resource usage and out-of-memory events",
        description: "Prints a line of JSON for each event, and usage at every interval.",
        examples: &["plimsoll events --stats web"],
        positionals: ID,
        flags: &[
            value("interval", "DURATION", "time between two lines of usage (default: 5s)"),
            switch("stats", "print the usage once"),
        ],
        hidden: false,
        run: crate::events::run,
    },
    Command {
        name: "exec",
        summary: "run another process in a container",
        description: "The process is that of the bundle's config.json with what the flags change, or a whole process object \
                      from a file (--process). Everything after the id is the command. The exit status is the command's, or \
                      128 + signal; 255 if it could not be run.",
        examples: &["plimsoll exec web ps", "plimsoll exec --tty --env TERM=xterm web sh"],
        positionals: Positionals {
            usage: "<container-id> <command> [arguments...]",
            least: 1,
            most: None,
            flags_until: Some(1),
        },
        flags: &[
            CONSOLE_SOCKET,
            PIDFD_SOCKET,
            value("cwd", "DIR", "working directory in the container"),
            value("env", "NAME=VALUE", "add to the environment").short('e').repeatable(),
            switch("tty", "give the process a terminal").short('t'),
            value("user", "UID[:GID]", "run as this user").short('u'),
            value("additional-gids", "GID", "add a group").short('g').repeatable(),
            value("process", "FILE", "take the whole process from a JSON file").short('p'),
            DETACH,
            PID_FILE,
            value("process-label", "LABEL", "SELinux label of the process"),
            value("apparmor", "PROFILE", "AppArmor profile of the process"),
            switch("no-new-privs", "set no_new_privs"),
            value("cap", "CAPABILITY", "add a capability to the bounding, permitted and effective sets")
                .short('c')
                .repeatable(),
            PRESERVE_FDS,
            value("cgroup", "[CONTROLLERS:]PATH", "run in a cgroup below the container's own").repeatable(),
            switch("ignore-paused", "also in a paused container"),
            TRACE,
        ],
        hidden: false,
        run: crate::exec::run,
    },
    Command {
        name: "kill",
        summary: "send a signal to a container (default: SIGTERM)",
        description: "The signal is a number or a name, with or without SIG. It goes to the container's first process.",
        examples: &["plimsoll kill web KILL"],
        positionals: Positionals { usage: "<container-id> [signal]", least: 1, most: Some(2), flags_until: Some(1) },
        flags: &[
            switch("all", "to every process of the container; no error if none is left").short('a'),
            switch("regex", "the id is a regular expression (POSIX, extended): to every container that matches")
                .short('r'),
        ],
        hidden: false,
        run: crate::kill::run,
    },
    Command {
        name: "list",
        summary: "list containers",
        description: "Lists the containers under --root.",
        examples: &["plimsoll list --format json"],
        positionals: NOTHING,
        flags: &[FORMAT, switch("quiet", "print ids only").short('q')],
        hidden: false,
        run: crate::list::run,
    },
    Command {
        name: "mounts",
        summary: "add mounts to a running container, or remove them again",
        description: "The file is an array of mounts as config.json has them. Either all of them are added, or none. A source is one \
                      of the host's. To remove one only its destination counts; what config.json has mounted stays.",
        examples: &["plimsoll mounts add web mounts.json", "plimsoll mounts remove web mounts.json"],
        positionals: Positionals {
            usage: "<add|remove> <container-id> <file>",
            least: 3,
            most: Some(3),
            flags_until: None,
        },
        flags: &[],
        hidden: false,
        run: crate::mounts::run,
    },
    Command {
        name: "pause",
        summary: "freeze every process of a container",
        description: "The processes get no processor time until `resume`.",
        examples: &[],
        positionals: ID,
        flags: &[],
        hidden: false,
        run: crate::pause::run,
    },
    Command {
        name: "plan",
        summary: "print what create (or exec) would do, line by line",
        description: "Needs no privileges and starts nothing. A line says who does it (host or init), what, and which entry of \
                      config.json asked for it. What is printed is what `create` executes.",
        examples: &["plimsoll plan --bundle /srv/web", "plimsoll plan --facts facts.json --format json"],
        positionals: NOTHING,
        flags: &[
            BUNDLE,
            value("format", "text|json", "how to print (default: text)").short('f'),
            value("exec", "FILE", "plan `exec --process FILE` instead of `create`"),
            value("facts", "FILE", "plan for the host that this file describes (default: this one)"),
            switch("show-facts", "print the host's facts instead, for --facts"),
            switch("show-env", "print the values of the environment, which may be secrets"),
            value("id", "ID", "the container's id, which names its cgroup (default: ID)"),
            NO_PIVOT,
            NO_NEW_KEYRING,
            PRESERVE_FDS,
        ],
        hidden: false,
        run: crate::plan::run,
    },
    Command {
        name: "ps",
        summary: "list the processes of a container",
        description: "The table is that of ps(1), called with the options given (default: -ef); JSON is an array of process ids.",
        examples: &["plimsoll ps web", "plimsoll ps --format json web", "plimsoll ps web aux"],
        positionals: Positionals { usage: "<container-id> [ps options]", least: 1, most: None, flags_until: Some(1) },
        flags: &[FORMAT],
        hidden: false,
        run: crate::ps::run,
    },
    Command {
        name: "restore",
        summary: "start a container from a checkpoint",
        description: "Restores a container that was saved by `checkpoint`.",
        examples: &[],
        positionals: ID,
        flags: &[
            CONSOLE_SOCKET,
            value("image-path", "DIR", "where the images are (default: ./checkpoint)"),
            value("work-path", "DIR", "where CRIU writes its log and work files"),
            value("parent-path", "DIR", "images of an earlier --pre-dump, relative to --image-path"),
            switch("tcp-established", "allow open TCP connections"),
            switch("tcp-close", "restore TCP connections as closed ones"),
            switch("ext-unix-sk", "allow Unix sockets connected to the outside"),
            switch("shell-job", "allow a terminal of the outside"),
            switch("file-locks", "allow file locks"),
            value("manage-cgroups-mode", "soft|full|strict|ignore", "how CRIU treats cgroups (default: soft)"),
            value("network-lock", "METHOD", "how CRIU stopped the network: iptables, nftables or skip"),
            BUNDLE,
            CONFIG,
            DETACH,
            PID_FILE,
            NO_SUBREAPER,
            NO_PIVOT,
            value("empty-ns", "NAMESPACE", "make the namespace, but do not restore its contents").repeatable(),
            switch("auto-dedup", "drop pages from older images"),
            switch("lazy-pages", "fetch memory while the container runs"),
            value("lsm-profile", "TYPE:NAME", "restore under this profile of the security module"),
            value("lsm-mount-context", "CONTEXT", "restore mounts with this context"),
        ],
        hidden: false,
        run: crate::restore::run,
    },
    Command {
        name: "resume",
        summary: "let a paused container run on",
        description: "Undoes `pause`.",
        examples: &[],
        positionals: ID,
        flags: &[],
        hidden: false,
        run: crate::resume::run,
    },
    Command {
        name: "run",
        summary: "create and start a container, wait for it and delete it",
        description: "A bundle is a directory with a file config.json and a root filesystem. Signals go to the container; the exit \
                      status is the container's, or 128 + signal.",
        examples: &["plimsoll run --bundle /srv/web web"],
        positionals: ID,
        flags: &[
            BUNDLE,
            CONFIG,
            CONSOLE_SOCKET,
            PIDFD_SOCKET,
            DETACH,
            switch("keep", "do not delete the container when it has ended"),
            PID_FILE,
            NO_SUBREAPER,
            NO_PIVOT,
            NO_NEW_KEYRING,
            PRESERVE_FDS,
            TRACE,
        ],
        hidden: false,
        run: crate::run::run,
    },
    Command {
        name: "spec",
        summary: "write a config.json to start from",
        description: "Writes config.json for a container that runs `sh`; its root filesystem is expected in `rootfs`. An existing \
                      file is never overwritten. With --rootless an ordinary user can run it.",
        examples: &["mkdir -p web/rootfs && plimsoll spec --bundle web"],
        positionals: NOTHING,
        flags: &[
            value("bundle", "DIR", "where to write it (default: the current directory)").short('b'),
            value("file", "FILE", "how to call it (default: config.json)").short('f'),
            switch("rootless", "for an ordinary user"),
        ],
        hidden: false,
        run: crate::spec::run,
    },
    Command {
        name: "start",
        summary: "run the program of a created container",
        description: "Fails if the program cannot be executed.",
        examples: &[],
        positionals: ID,
        flags: &[TRACE],
        hidden: false,
        run: crate::start::run,
    },
    Command {
        name: "state",
        summary: "print the state of a container",
        description: "Prints JSON as the runtime specification defines it.",
        examples: &[],
        positionals: ID,
        flags: &[],
        hidden: false,
        run: crate::state::run,
    },
    Command {
        name: "trace",
        summary: "draw what --trace has written",
        description: "The file is a trace of create, run, start or exec: JSON that Perfetto and chrome://tracing show too. Prints a \
                      table of the slowest lines, or draws all of them with --svg.",
        examples: &["plimsoll run --trace web.json web", "plimsoll trace web.json --svg web.svg"],
        positionals: Positionals { usage: "<file>", least: 1, most: Some(1), flags_until: None },
        flags: &[value("svg", "FILE", "draw a timeline instead of printing a table")],
        hidden: false,
        run: crate::trace::run,
    },
    Command {
        name: "update",
        summary: "change the limits of a container",
        description: "Sizes take a suffix (k, m, g); -1 stands for no limit. --resources reads the resources object of the runtime \
                      specification and leaves no room for the other flags.",
        examples: &["plimsoll update --memory 512m --pids-limit 100 web"],
        positionals: ID,
        flags: &[
            value("resources", "FILE", "read them from a JSON file, or from standard input (-)").short('r'),
            value("blkio-weight", "N", "weight of block I/O, 10 to 1000"),
            value("cpu-period", "USEC", "period of the processor quota"),
            value("cpu-quota", "USEC", "processor time in a period"),
            value("cpu-burst", "USEC", "unused processor time that may be saved up"),
            value("cpu-share", "N", "weight of processor time"),
            value("cpu-rt-period", "USEC", "period of realtime processor time"),
            value("cpu-rt-runtime", "USEC", "realtime processor time in a period"),
            value("cpuset-cpus", "LIST", "processors to use"),
            value("cpuset-mems", "LIST", "memory nodes to use"),
            value("kernel-memory", "BYTES", "obsolete, ignored").hidden(),
            value("kernel-memory-tcp", "BYTES", "obsolete, ignored").hidden(),
            value("memory", "BYTES", "memory limit"),
            value("cpu-idle", "0|1", "run only when nothing else wants the processor"),
            value("memory-reservation", "BYTES", "memory that reclaim spares"),
            value("memory-swap", "BYTES", "limit of memory and swap together"),
            value("pids-limit", "N", "number of processes"),
            value("l3-cache-schema", "SCHEMA", "Intel RDT: share of the L3 cache"),
            value("mem-bw-schema", "SCHEMA", "Intel RDT: share of the memory bandwidth"),
        ],
        hidden: false,
        run: crate::update::run,
    },
    Command {
        name: "features",
        summary: "print what this runtime can do, as JSON",
        description: "See features.md of the runtime specification.",
        examples: &[],
        positionals: NOTHING,
        flags: &[],
        hidden: false,
        run: crate::features::run,
    },
    Command {
        name: "completion",
        summary: "print completions for a shell",
        description: "The shell is bash, zsh or fish.",
        examples: &["plimsoll completion bash > /etc/bash_completion.d/plimsoll"],
        positionals: Positionals { usage: "<bash|zsh|fish>", least: 1, most: Some(1), flags_until: None },
        flags: &[],
        hidden: true,
        run: crate::completion::run,
    },
    Command {
        name: "man",
        summary: "print a manual page",
        description: "Without a command that of plimsoll itself.",
        examples: &["plimsoll man create | man -l -"],
        positionals: Positionals { usage: "[command]", least: 0, most: Some(1), flags_until: None },
        flags: &[],
        hidden: true,
        run: crate::man::run,
    },
];

/// The command of this name.
pub(crate) fn command(name: &OsStr) -> Option<&'static Command> {
    COMMANDS.iter().find(|command| name == command.name)
}

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

/// A command with its flags and positionals.
#[derive(Debug)]
pub(crate) struct Invocation {
    pub(crate) command: &'static Command,
    /// In the order given.
    flags: Vec<Given>,
    pub(crate) positionals: Vec<OsString>,
}

/// A flag that was given.
#[derive(Debug)]
struct Given {
    name: &'static str,
    /// Of a switch `true` or `false`.
    value: OsString,
    /// `spec --rootless` is one thing, `--rootless=true spec` another.
    global: bool,
}

/// Reads the arguments that follow the program's name.
pub(crate) fn parse(arguments: &[OsString]) -> Result<Request, Misuse> {
    let mut words = arguments.iter();
    let mut flags = Vec::with_capacity(8);
    let command = loop {
        let Some(word) = words.next() else {
            return Ok(Request::Help(None));
        };
        match Word::of(word) {
            Word::Flag { name, .. } if HELP.is_called(name) => {
                return Ok(Request::Help(words.find_map(|word| command(word))));
            }
            Word::Flag { name, .. } if VERSION.is_called(name) => return Ok(Request::Version),
            Word::Flag { name, inline } => {
                let flag = read_flag(&[], word, name, inline, &mut words);
                flags.push(flag.map_err(|message| Misuse { message, command: None, status: 1 })?);
            }
            Word::End => {}
            Word::Positional if word == "help" || word == "h" => match words.next() {
                Some(topic) => return Ok(Request::Help(Some(topic_of(topic)?))),
                None => return Ok(Request::Help(None)),
            },
            Word::Positional => break topic_of(word)?,
        }
    };
    parse_command(command, flags, words.as_slice())
}

fn parse_command(command: &'static Command, mut flags: Vec<Given>, arguments: &[OsString]) -> Result<Request, Misuse> {
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
                match read_flag(command.flags, word, name, inline, &mut words) {
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
    Ok(Request::Run(Invocation { command, flags, positionals }))
}

fn topic_of(word: &OsStr) -> Result<&'static Command, Misuse> {
    let message = || format!("No help topic for '{}'", word.display());
    command(word).ok_or_else(|| Misuse { message: message(), command: None, status: 3 })
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

/// The flag of this name, and whether it is a global one: a command's own come first.
fn find(name: &[u8], of_command: &'static [Flag]) -> Option<(&'static Flag, bool)> {
    let own = of_command.iter().find(|flag| flag.is_called(name)).map(|flag| (flag, false));
    own.or_else(|| GLOBAL_FLAGS.iter().find(|flag| flag.is_called(name)).map(|flag| (flag, true)))
}

/// A flag of the command or a global one, with its value.
fn read_flag<'a>(
    of_command: &'static [Flag],
    word: &OsStr,
    name: &[u8],
    inline: Option<&[u8]>,
    words: &mut impl Iterator<Item = &'a OsString>,
) -> Result<Given, String> {
    let Some((flag, global)) = find(name, of_command) else {
        return Err(format!("flag provided but not defined: -{}", String::from_utf8_lossy(name)));
    };
    let value = match (flag.argument, inline) {
        (Some(_), Some(value)) => OsStr::from_bytes(value).to_owned(),
        // podman looks for these words.
        (Some(_), None) => {
            words.next().cloned().ok_or_else(|| format!("flag needs an argument: {}", word.display()))?
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
fn boolean(text: &[u8]) -> Option<bool> {
    match text {
        b"1" | b"t" | b"T" | b"true" | b"TRUE" | b"True" => Some(true),
        b"0" | b"f" | b"F" | b"false" | b"FALSE" | b"False" => Some(false),
        _ => None,
    }
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
        let flag = find(name.as_bytes(), self.command.flags);
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
        let flag = find(name.as_bytes(), self.command.flags);
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
        let clean = without_dots(&absolute);
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

/// `/a/../b` is `/b`, without looking: what runc does to `--root`.
fn without_dots(path: &Path) -> PathBuf {
    let mut clean = PathBuf::from("/");
    for component in path.components() {
        match component {
            Component::ParentDir => {
                clean.pop();
            }
            Component::Normal(name) => clean.push(name),
            Component::RootDir | Component::CurDir | Component::Prefix(_) => {}
        }
    }
    clean
}

#[cfg(test)]
mod tests;
