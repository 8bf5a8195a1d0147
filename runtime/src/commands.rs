//! The table of commands and flags, from which the parser, help, manual pages and shell completions are made.
#![forbid(unsafe_code)]
use crate::cli::{Command, Flag, Interface, Positionals, switch, value};

/// What `plimsoll` understands.
pub(crate) static INTERFACE: Interface = Interface { commands: COMMANDS, global_flags: GLOBAL_FLAGS };

const NOTHING: Positionals = Positionals { usage: "", least: 0, most: Some(0), flags_until: None };
const ID: Positionals = Positionals { usage: "<container-id>", least: 1, most: Some(1), flags_until: None };

/// Understood before and after the command.
const GLOBAL_FLAGS: &[Flag] = &[
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
const PARENT_PATH: Flag = value("parent-path", "DIR", "images of an earlier --pre-dump, relative to --image-path");
const WORK_PATH: Flag = value("work-path", "DIR", "where CRIU writes its log and work files");
const EXT_UNIX_SK: Flag = switch("ext-unix-sk", "allow Unix sockets connected to the outside");
const SHELL_JOB: Flag = switch("shell-job", "allow a terminal of the outside");
const FILE_LOCKS: Flag = switch("file-locks", "allow file locks");
const MANAGE_CGROUPS_MODE: Flag =
    value("manage-cgroups-mode", "soft|full|strict|ignore", "how CRIU treats cgroups (default: soft)");
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
const COMMANDS: &[Command] = &[
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
            WORK_PATH,
            PARENT_PATH,
            switch("leave-running", "let the container run on"),
            switch("tcp-established", "allow open TCP connections"),
            switch("tcp-skip-in-flight", "skip TCP connections that are being made"),
            switch("link-remap", "link deleted files back where possible"),
            EXT_UNIX_SK,
            SHELL_JOB,
            switch("lazy-pages", "leave memory behind, to be fetched while the restored container runs"),
            value("status-fd", "FD", "CRIU writes a zero byte to FD when --lazy-pages is ready"),
            value("page-server", "ADDRESS:PORT", "send the memory to a page server"),
            FILE_LOCKS,
            switch("pre-dump", "save the memory only and let the container run on"),
            MANAGE_CGROUPS_MODE,
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
            switch("ignore-paused", "run the process in a paused container too; it waits for `resume`"),
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
            switch("all", "signal every process of the container; no error if none is left").short('a'),
            switch("regex", "the id is a regular expression (POSIX, extended): signal every container that matches")
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
                      of the host's. Only the destination says which mount is removed; those of config.json stay.",
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
            WORK_PATH,
            PARENT_PATH,
            switch("tcp-established", "allow open TCP connections"),
            switch("tcp-close", "restore TCP connections as closed ones"),
            EXT_UNIX_SK,
            SHELL_JOB,
            FILE_LOCKS,
            MANAGE_CGROUPS_MODE,
            value("network-lock", "METHOD", "how CRIU stopped the network: iptables, nftables or skip"),
            BUNDLE,
            CONFIG,
            DETACH,
            PID_FILE,
            PIDFD_SOCKET,
            NO_SUBREAPER,
            NO_PIVOT,
            NO_NEW_KEYRING,
            TRACE,
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
            value("file", "FILE", "the file's name (default: config.json)").short('f'),
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
                      specification; it cannot be combined with the other flags.",
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
        description: "Without a command: the page of plimsoll itself.",
        examples: &["plimsoll man create | man -l -"],
        positionals: Positionals { usage: "[command]", least: 0, most: Some(1), flags_until: None },
        flags: &[],
        hidden: true,
        run: crate::man::run,
    },
];
