use super::*;
use crate::commands::INTERFACE;
use libcontainer::CgroupManager;
use std::ffi::OsString;

fn words(line: &str) -> Vec<OsString> {
    line.split(' ').filter(|word| !word.is_empty()).map(|word| word.replace('\u{b7}', " ").into()).collect()
}

/// What a line asks for, in a few words.
fn read(line: &str) -> String {
    match parse(&INTERFACE, &words(line)) {
        Ok(Request::Run(invocation)) => {
            let mut text = invocation.command.name.to_owned();
            for given in &invocation.flags {
                text += &format!(" {}={}", given.name, given.value.to_string_lossy());
            }
            text += " |";
            for positional in &invocation.positionals {
                text += &format!(" {}", positional.to_string_lossy());
            }
            text
        }
        Ok(Request::Help(command)) => {
            format!("help {}", command.map_or("", |command| command.name))
        }
        Ok(Request::Version) => "version".to_owned(),
        Err(misuse) => format!("{} ({})", misuse.message, misuse.status),
    }
}

fn check(rows: &[(&str, &str)]) {
    for (line, expected) in rows {
        assert_eq!(read(line), *expected, "plimsoll {line}");
    }
}

fn invocation(line: &str) -> Invocation {
    match parse(&INTERFACE, &words(line)) {
        Ok(Request::Run(invocation)) => invocation,
        other => panic!("plimsoll {line}: {other:?}"),
    }
}

#[test]
fn a_value_follows_its_flag_or_an_equals_sign() {
    check(&[
        ("create --bundle /b web", "create bundle=/b | web"),
        ("create --bundle=/b web", "create bundle=/b | web"),
        ("create -b /b web", "create bundle=/b | web"),
        ("create -b=/b web", "create bundle=/b | web"),
        ("create --bundle= web", "create bundle= | web"),
        ("create --bundle --pid-file web", "create bundle=--pid-file | web"),
        ("exec --env A=B=C web ls", "exec env=A=B=C | web ls"),
        ("exec --env=A=B=C web ls", "exec env=A=B=C | web ls"),
    ]);
}

#[test]
fn one_dash_is_as_good_as_two() {
    check(&[
        ("restore -no-subreaper --bundle B web", "restore no-subreaper=true bundle=B | web"),
        ("create -bundle B web", "create bundle=B | web"),
        ("create --b B web", "create bundle=B | web"),
        ("-root /r state web", "state root=/r | web"),
    ]);
}

#[test]
fn a_switch_can_be_set_to_false() {
    check(&[
        ("run --detach=false web", "run detach=false | web"),
        ("run --detach=1 web", "run detach=true | web"),
        ("run -d=F web", "run detach=false | web"),
        ("run --detach= web", "run detach=true | web"),
        ("run --detach false web", "run detach=true | false web"),
        ("run --detach=perhaps web", "invalid value \"perhaps\" for flag -detach: not true or false (1)"),
    ]);
    assert!(!invocation("run --detach --detach=false web").is_set("detach"));
    assert_eq!(invocation("exec --no-new-privs=false web ls").switch("no-new-privs"), Some(false));
}

#[test]
fn flags_may_follow_the_id_where_nothing_else_does() {
    check(&[
        ("create web --bundle B", "create bundle=B | web"),
        ("delete web --force", "delete force=true | web"),
        ("update --resources - web", "update resources=- | web"),
        ("update web --resources=-", "update resources=- | web"),
        ("run web -d --pid-file p", "run detach=true pid-file=p | web"),
    ]);
}

#[test]
fn everything_after_the_id_belongs_to_the_command_in_exec_kill_and_ps() {
    check(&[
        ("exec -d web ls -l --help", "exec detach=true | web ls -l --help"),
        ("exec web -x", "exec | web -x"),
        ("exec web -- ls --", "exec | web ls --"),
        ("exec web ls -- --x", "exec | web ls -- --x"),
        ("kill web -9", "kill | web -9"),
        ("kill --all web 9", "kill all=true | web 9"),
        ("kill -a web 9", "kill all=true | web 9"),
        ("ps web -ef --forest", "ps | web -ef --forest"),
        ("ps --format json web", "ps format=json | web"),
        ("ps -f json web", "ps format=json | web"),
    ]);
}

#[test]
fn two_dashes_end_the_flags() {
    check(&[
        ("create -- --web", "create | --web"),
        ("create --bundle B -- -b", "create bundle=B | -b"),
        ("-- state web", "state | web"),
    ]);
}

#[test]
fn a_dash_and_a_number_are_no_flags() {
    check(&[("state -", "state | -"), ("state -1", "state | -1")]);
}

#[test]
fn commas_do_not_split_a_value() {
    let invocation = invocation("exec -e A=1,2 --cgroup cpu,cpuacct:x --env B=3 web ls");
    assert_eq!(invocation.texts("env").unwrap(), ["A=1,2", "B=3"]);
    assert_eq!(invocation.texts("cgroup").unwrap(), ["cpu,cpuacct:x"]);
}

#[test]
fn of_a_flag_given_twice_the_last_one_counts() {
    assert_eq!(invocation("create -b A --bundle B web").path("bundle"), Some("B".into()));
    assert_eq!(invocation("--root /a state web --root /b").root().unwrap(), Some("/b".into()));
}

#[test]
fn global_flags_stand_before_or_after_the_command() {
    let expected = "create root=/r log=/l log-format=json systemd-cgroup=true bundle=B | web";
    check(&[
        ("--root /r --log /l --log-format json --systemd-cgroup create --bundle B web", expected),
        ("create --root=/r --log=/l --log-format=json --systemd-cgroup --bundle B web", expected),
        ("--rootless=true list", "list rootless=true |"),
    ]);
}

#[test]
fn what_is_not_in_the_table_is_refused() {
    check(&[
        ("create --bogus web", "flag provided but not defined: -bogus (1)"),
        ("create -bogus=1 web", "flag provided but not defined: -bogus (1)"),
        ("--bogus state web", "flag provided but not defined: -bogus (1)"),
        ("create -x web", "flag provided but not defined: -x (1)"),
        ("frob -h", "No help topic for 'frob' (3)"),
        ("help frob", "No help topic for 'frob' (3)"),
    ]);
}

#[test]
fn a_missing_value_is_reported_in_the_words_that_podman_looks_for() {
    check(&[
        ("restore --lsm-mount-context", "flag needs an argument: --lsm-mount-context (1)"),
        ("create web -bundle", "flag needs an argument: -bundle (1)"),
        ("--root", "flag needs an argument: --root (1)"),
    ]);
}

#[test]
fn help_is_given_wherever_it_is_asked_for() {
    check(&[
        ("", "help "),
        ("--help", "help "),
        ("-h", "help "),
        ("help", "help "),
        ("h create", "help create"),
        ("help create", "help create"),
        ("--help create", "help create"),
        ("create --help", "help create"),
        ("create web -h", "help create"),
        ("create --bogus --help", "help create"),
        ("checkpoint --help", "help checkpoint"),
        ("exec --help", "help exec"),
        ("--root /r exec -h web ls", "help exec"),
    ]);
}

#[test]
fn the_version_is_a_global_matter() {
    check(&[("--version", "version"), ("-v", "version"), ("create -v web", "flag provided but not defined: -v (1)")]);
}

#[test]
fn positionals_are_counted() {
    for (line, expected) in [
        ("state", "p: \"state\" requires exactly 1 argument(s)"),
        ("state a b", "p: \"state\" requires exactly 1 argument(s)"),
        ("list a", "p: \"list\" requires exactly 0 argument(s)"),
        ("exec", "p: \"exec\" requires a minimum of 1 argument(s)"),
        ("kill", "p: \"kill\" requires a minimum of 1 argument(s)"),
        ("kill a 9 9", "p: \"kill\" requires a maximum of 2 argument(s)"),
    ] {
        assert_eq!(invocation(line).check_positionals("p").unwrap_err().message, expected);
    }
    for line in ["state a", "list", "exec a", "exec a b c", "kill a", "kill a 9", "ps a aux"] {
        assert!(invocation(line).check_positionals("p").is_ok(), "{line}");
    }
}

#[test]
fn the_root_is_absolute_and_never_the_whole_machine() {
    let root = |line| invocation(line).root();
    assert_eq!(root("--root /run/x/../y/ list").unwrap(), Some("/run/y".into()));
    assert_eq!(root("list").unwrap(), None);
    let here = std::env::current_dir().unwrap();
    assert_eq!(root("--root here list").unwrap(), Some(here.join("here")));
    for wrong in ["--root / list", "--root=/.. list", "--root=/a/.. list", "--root= list"] {
        assert!(root(wrong).is_err(), "{wrong}");
    }
}

#[test]
fn the_cgroup_manager_is_chosen_by_either_flag() {
    let manager = |line| invocation(line).cgroup_manager().ok();
    assert_eq!(manager("list"), Some(CgroupManager::Cgroupfs));
    assert_eq!(manager("--systemd-cgroup list"), Some(CgroupManager::Systemd));
    assert_eq!(manager("--systemd-cgroup=false list"), Some(CgroupManager::Cgroupfs));
    assert_eq!(manager("--cgroup-manager disabled list"), Some(CgroupManager::Disabled));
    assert_eq!(manager("--cgroup-manager=systemd list"), Some(CgroupManager::Systemd));
    assert_eq!(manager("--cgroup-manager=runit list"), None);
}

#[test]
fn rootless_is_true_false_or_found_out() {
    let rootless = |line| invocation(line).rootless().ok();
    assert_eq!(rootless("list"), Some(None));
    assert_eq!(rootless("--rootless auto list"), Some(None));
    assert_eq!(rootless("--rootless true list"), Some(Some(true)));
    assert_eq!(rootless("--rootless=false list"), Some(Some(false)));
    assert_eq!(rootless("--rootless=maybe list"), None);
}

#[test]
fn the_rootless_switch_of_spec_is_not_the_global_flag() {
    assert!(invocation("spec --rootless").is_set("rootless"));
    assert!(!invocation("--rootless true spec").is_set("rootless"));
}

#[test]
fn a_choice_is_one_of_the_table_and_the_first_by_default() {
    assert_eq!(invocation("list").choice("format").unwrap(), "table");
    assert_eq!(invocation("list -f json").choice("format").unwrap(), "json");
    assert!(invocation("list --format yaml").choice("format").is_err());
}

#[test]
fn a_number_out_of_range_is_refused() {
    let number = |line: &str| invocation(line).number::<u32>("preserve-fds");
    assert_eq!(number("create --preserve-fds 3 web").unwrap(), Some(3));
    assert_eq!(number("create web").unwrap(), None);
    for wrong in ["-1", "x", "4294967296", "1.5"] {
        assert!(number(&format!("create --preserve-fds={wrong} web")).is_err(), "{wrong}");
    }
}

#[test]
fn the_command_lines_of_engines_are_understood() {
    check(&[
        // containerd's shim
        (
            "--root /run/containerd/runc/k8s.io --log /b/log.json --log-format json --systemd-cgroup create --bundle /b --pid-file /b/init.pid --console-socket /s web",
            "create root=/run/containerd/runc/k8s.io log=/b/log.json log-format=json systemd-cgroup=true bundle=/b pid-file=/b/init.pid console-socket=/s | web",
        ),
        (
            "exec --process /tmp/runc-process1 --console-socket /s --detach --pid-file /b/x.pid web",
            "exec process=/tmp/runc-process1 console-socket=/s detach=true pid-file=/b/x.pid | web",
        ),
        (
            "restore --image-path I --work-path W --detach --pid-file F --no-pivot -no-subreaper --bundle B web",
            "restore image-path=I work-path=W detach=true pid-file=F no-pivot=true no-subreaper=true bundle=B | web",
        ),
        (
            "checkpoint --status-fd 3 --empty-ns network --leave-running web",
            "checkpoint status-fd=3 empty-ns=network leave-running=true | web",
        ),
        ("events --interval=5s web", "events interval=5s | web"),
        // BuildKit
        ("--log /l --log-format json run --bundle B --keep web", "run log=/l log-format=json bundle=B keep=true | web"),
        // CRI-O, conmon, podman, buildah
        ("--root=/run/runc --systemd-cgroup kill -a web 9", "kill root=/run/runc systemd-cgroup=true all=true | web 9"),
        ("exec --pid-file P --process F --detach web", "exec pid-file=P process=F detach=true | web"),
        (
            "--cgroup-manager disabled create --bundle B --pid-file P --no-new-keyring web",
            "create cgroup-manager=disabled bundle=B pid-file=P no-new-keyring=true | web",
        ),
        ("update --resources=/tmp/podman1 web", "update resources=/tmp/podman1 | web"),
        ("kill web", "kill | web"),
    ]);
}

#[test]
fn the_table_is_consistent() {
    let mut names =
        INTERFACE.commands.iter().filter(|command| !command.hidden).map(|command| command.name).collect::<Vec<_>>();
    names.dedup();
    assert_eq!(names.len(), INTERFACE.commands.iter().filter(|command| !command.hidden).count());
    for command in INTERFACE.commands {
        let global = INTERFACE.global_flags.iter().filter(|flag| (command.name, flag.name) != ("spec", "rootless"));
        let flags = command.flags.iter().chain(global);
        let mut spellings = flags
            .flat_map(|flag| [Some(flag.name.to_owned()), flag.short.map(String::from)])
            .flatten()
            .chain(["help".to_owned(), "h".to_owned()])
            .collect::<Vec<_>>();
        spellings.sort();
        for pair in spellings.windows(2) {
            assert_ne!(pair[0], pair[1], "{}: a flag is in the table twice", command.name);
        }
        assert!(!command.description.is_empty() && command.description.ends_with('.'), "{}", command.name);
        assert!(!command.summary.ends_with('.'), "{}", command.name);
    }
}
