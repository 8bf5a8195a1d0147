//! `exec`: another process in a container.
#![forbid(unsafe_code)]
use crate::cli::Invocation;
use crate::failure::Failure;
use crate::foreground::{self, Foreground};
use crate::{inherited, trace};
use libcontainer::oci_spec::runtime::{BoxBuilder, Capability, LinuxCapabilities, Process};
use libcontainer::{Bundle, Child, Container, ErrorKind, ExecOptions, Stdio};

/// A failure of the runtime, told apart from every status of a command.
const FAILED: u8 = 255;

pub(crate) fn run(invocation: &Invocation) -> Result<u8, Failure> {
    exec(invocation).map_err(|failure| failure.with_status(FAILED))
}

fn exec(invocation: &Invocation) -> Result<u8, Failure> {
    let container = invocation.store()?.load(invocation.id()?)?;
    let mut process = process(invocation, &container)?;
    let options = options(invocation)?;
    let has_terminal = process.terminal().unwrap_or(false);
    if invocation.is_set("detach") {
        foreground::check_detached(has_terminal, options.console_socket.as_deref())?;
        return start(invocation, &container, &process, options).map(|_| 0);
    }
    foreground::refuse_socket(options.console_socket.as_deref())?;
    let mut foreground = Foreground::prepare(has_terminal, false)?;
    if let (None, Some((rows, columns))) = (process.console_size(), foreground.size()) {
        // The command runs at once: it must not see a terminal without a size first.
        process.set_console_size(BoxBuilder::default().height(rows).width(columns).build().ok());
    }
    let mut child = start(invocation, &container, &process, options)?;
    let status = foreground.attach(child.console.take()).and_then(|()| foreground.wait(&child));
    if status.is_err() {
        // Nobody would be left to look after it.
        foreground::send(&child, libc::SIGKILL);
    }
    status
}

fn start(
    invocation: &Invocation,
    container: &Container,
    process: &Process,
    options: ExecOptions,
) -> Result<Child, Failure> {
    let trace = options.trace.clone();
    let started = container.exec(process, options);
    trace::save(invocation, trace.as_ref())?;
    started.map_err(|error| match error.kind() {
        ErrorKind::Paused => Failure::new(format!("{error} (use --ignore-paused to override)")),
        _ => error.into(),
    })
}

fn options(invocation: &Invocation) -> Result<ExecOptions, Failure> {
    let inherit = Stdio::inherit;
    let mut options = ExecOptions::new().stdin(inherit()).stdout(inherit()).stderr(inherit());
    options.pid_file = invocation.path("pid-file");
    options.console_socket = invocation.path("console-socket");
    options.pidfd_socket = invocation.path("pidfd-socket");
    [_, options.preserve] = inherited::take(0, invocation.number("preserve-fds")?.unwrap_or(0))?;
    options.cgroups = cgroups(&invocation.texts("cgroup")?)?;
    options.ignore_paused = invocation.is_set("ignore-paused");
    options.trace = trace::wanted(invocation);
    Ok(options)
}

/// `PATH`, or any number of `CONTROLLER[,CONTROLLER]:PATH`.
fn cgroups(given: &[&str]) -> Result<Vec<(Vec<String>, String)>, Failure> {
    let mut seen = Vec::new();
    let mut cgroups = Vec::with_capacity(given.len());
    for argument in given {
        let Some((names, path)) = argument.split_once(':') else {
            if given.len() > 1 {
                let message = format!("invalid --cgroup argument: {argument} (missing <controller>: prefix)");
                return Err(Failure::new(message));
            }
            cgroups.push((Vec::new(), (*argument).to_owned()));
            continue;
        };
        for name in names.split(',') {
            if name.is_empty() {
                let message = format!("invalid --cgroup argument: {argument} (empty <controller> prefix)");
                return Err(Failure::new(message));
            }
            if seen.contains(&name) {
                let message = format!("invalid --cgroup argument(s): controller {name} specified multiple times");
                return Err(Failure::new(message));
            }
            seen.push(name);
        }
        cgroups.push((names.split(',').map(str::to_owned).collect(), path.to_owned()));
    }
    Ok(cgroups)
}

/// The process object of `--process`, or that of config.json with what the flags change.
fn process(invocation: &Invocation, container: &Container) -> Result<Process, Failure> {
    if let Some(path) = invocation.path("process") {
        let attempt = || format!("open {}", path.display());
        let json = libcontainer::read_file(&path).map_err(|error| Failure::io(&attempt(), &error))?;
        return Ok(Bundle::process_from_slice(&json)?);
    }
    let bundle = container.bundle()?;
    let process = bundle.spec().process().clone();
    change(process.ok_or_else(|| Failure::new("process property must not be empty"))?, invocation)
}

fn change(mut process: Process, invocation: &Invocation) -> Result<Process, Failure> {
    let arguments = &invocation.positionals[1..];
    if arguments.is_empty() {
        return Err(Failure::new("exec args cannot be empty"));
    }
    let utf8 = |argument: &std::ffi::OsString| {
        argument.to_str().map(str::to_owned).ok_or_else(|| Failure::new(format!("argument {argument:?} is not UTF-8")))
    };
    process.set_args(Some(arguments.iter().map(utf8).collect::<Result<_, _>>()?));
    if let Some(cwd) = invocation.path("cwd") {
        process.set_cwd(cwd);
    }
    if let Some(profile) = invocation.text("apparmor")? {
        process.set_apparmor_profile(Some(profile.to_owned()));
    }
    if let Some(label) = invocation.text("process-label")? {
        process.set_selinux_label(Some(label.to_owned()));
    }
    let more = invocation.texts("cap")?;
    if !more.is_empty() {
        let mut capabilities = process.capabilities().clone().unwrap_or_else(no_capabilities);
        add_capabilities(&mut capabilities, &more)?;
        process.set_capabilities(Some(capabilities));
    }
    let mut environment = process.env().clone().unwrap_or_default();
    environment.extend(invocation.texts("env")?.into_iter().map(str::to_owned));
    process.set_env(Some(environment));
    // Whatever config.json says: that is about the container's first process.
    process.set_terminal(Some(invocation.is_set("tty")));
    if let Some(value) = invocation.switch("no-new-privs") {
        process.set_no_new_privileges(Some(value));
    }
    let mut user = process.user().clone();
    if let Some(given) = invocation.text("user")? {
        let (uid, gid) = identity(given)?;
        user.set_uid(uid);
        user.set_gid(gid.unwrap_or(user.gid()));
    }
    let groups = invocation.texts("additional-gids")?;
    if !groups.is_empty() {
        let mut all = user.additional_gids().clone().unwrap_or_default();
        for group in groups {
            let invalid = |_| Failure::new(format!("additional-gids must be a positive number {group}"));
            all.push(group.parse::<u32>().map_err(invalid)?);
        }
        user.set_additional_gids(Some(all));
    }
    process.set_user(user);
    Ok(process)
}

/// `UID` or `UID:GID`. Nothing is guessed: what is no number in range is an error (CVE-2026-30892 of crun).
fn identity(given: &str) -> Result<(u32, Option<u32>), Failure> {
    let (uid, gid) = given.split_once(':').map_or((given, None), |(uid, gid)| (uid, Some(gid)));
    let number = |what: &str, text: &str| {
        // `parse` would take `+5`.
        let number = text.parse::<u32>().ok().filter(|_| text.bytes().all(|byte| byte.is_ascii_digit()));
        number.ok_or_else(|| Failure::new(format!("bad {what}: {text:?} is not a number in range")))
    };
    Ok((number("uid", uid)?, gid.map(|gid| number("gid", gid)).transpose()?))
}

fn no_capabilities() -> LinuxCapabilities {
    let mut none = LinuxCapabilities::default();
    none.set_bounding(None).set_effective(None).set_inheritable(None).set_permitted(None).set_ambient(None);
    none
}

/// Ambient capabilities must be inheritable too, so that they only grow where config.json has inheritable ones.
fn add_capabilities(capabilities: &mut LinuxCapabilities, names: &[&str]) -> Result<(), Failure> {
    for name in names {
        // As with those of config.json: it may be one of a newer kernel.
        let Ok(capability) = serde_json::from_value::<Capability>((*name).into()) else {
            log::warn!("ignoring unknown or unavailable capabilities: [{name}]");
            continue;
        };
        let with = |set: &Option<_>| {
            let mut set: std::collections::HashSet<Capability> = set.clone().unwrap_or_default();
            set.insert(capability);
            Some(set)
        };
        let (bounding, effective) = (with(capabilities.bounding()), with(capabilities.effective()));
        let (permitted, ambient) = (with(capabilities.permitted()), with(capabilities.ambient()));
        capabilities.set_bounding(bounding).set_effective(effective).set_permitted(permitted);
        if capabilities.inheritable().is_some() {
            capabilities.set_ambient(ambient);
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::{Request, parse};

    fn invocation(line: &str) -> Invocation {
        let words = line.split(' ').map(Into::into).collect::<Vec<_>>();
        match parse(&crate::commands::INTERFACE, &words) {
            Ok(Request::Run(invocation)) => invocation,
            other => panic!("{line}: {other:?}"),
        }
    }

    fn changed(line: &str) -> Process {
        let process = serde_json::json!({
            "terminal": true, "cwd": "/srv", "args": ["old"], "env": ["A=1"], "noNewPrivileges": true,
            "user": {"uid": 1, "gid": 2, "additionalGids": [3]},
            "capabilities": {"bounding": ["CAP_KILL"], "effective": [], "permitted": [], "ambient": []},
        });
        change(serde_json::from_value(process).unwrap(), &invocation(line)).unwrap()
    }

    #[test]
    fn flags_change_the_process_of_config_json() {
        let process =
            changed("exec -e B=2,3 --env C= -u 5:6 -g 7 -g 8 --cwd /tmp --tty --no-new-privs=false web ls -l --tty");
        assert_eq!(process.args().as_deref(), Some(&["ls", "-l", "--tty"].map(str::to_owned)[..]));
        assert_eq!(process.env().as_deref(), Some(&["A=1", "B=2,3", "C="].map(str::to_owned)[..]));
        assert_eq!((process.user().uid(), process.user().gid()), (5, 6));
        assert_eq!(process.user().additional_gids().as_deref(), Some(&[3, 7, 8][..]));
        assert_eq!(process.cwd(), std::path::Path::new("/tmp"));
        assert_eq!((process.terminal(), process.no_new_privileges()), (Some(true), Some(false)));
    }

    #[test]
    fn without_flags_everything_but_the_terminal_is_that_of_config_json() {
        let process = changed("exec web ls");
        assert_eq!((process.user().uid(), process.user().gid()), (1, 2));
        assert_eq!(process.cwd(), std::path::Path::new("/srv"));
        assert_eq!((process.terminal(), process.no_new_privileges()), (Some(false), Some(true)));
    }

    #[test]
    fn a_uid_alone_keeps_the_group() {
        let process = changed("exec -u 5 web ls");
        assert_eq!((process.user().uid(), process.user().gid()), (5, 2));
    }

    #[test]
    fn an_added_capability_is_bounding_permitted_and_effective_but_not_ambient() {
        let capabilities = changed("exec --cap CAP_NET_ADMIN web ls").capabilities().clone().unwrap();
        let has = |set: &Option<std::collections::HashSet<Capability>>| {
            set.as_ref().is_some_and(|set| set.contains(&Capability::NetAdmin))
        };
        assert!(has(capabilities.bounding()) && has(capabilities.permitted()) && has(capabilities.effective()));
        assert!(!has(capabilities.ambient()) && !has(capabilities.inheritable()));
    }

    #[test]
    fn a_user_that_is_no_number_in_range_is_refused() {
        for given in ["root", "-1", "+1", "4294967296", "", ":1", "1:", "1:2:3", "1 ", "0x1"] {
            assert!(identity(given).is_err(), "{given:?}");
        }
        assert_eq!(identity("4294967294:0").ok(), Some((4_294_967_294, Some(0))));
    }

    #[test]
    fn a_cgroup_is_a_path_or_paths_by_controller() {
        let all = |path: &str| (Vec::new(), path.to_owned());
        assert_eq!(cgroups(&["sub"]).unwrap(), [all("sub")]);
        assert_eq!(
            cgroups(&["cpu,cpuacct:a", "memory:b"]).unwrap(),
            [(vec!["cpu".into(), "cpuacct".into()], "a".into()), (vec!["memory".into()], "b".into())]
        );
        for wrong in [&["a", "b"][..], &[":a"], &["cpu,:a"], &["cpu:a", "cpu:b"]] {
            assert!(cgroups(wrong).is_err(), "{wrong:?}");
        }
    }
}
