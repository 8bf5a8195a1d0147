//! Groups of resctrl ([the kernel's documentation](https://docs.kernel.org/filesystems/resctrl.html)): directories in
//! which everything else is there as soon as they are.
use crate::plan::line::HostStep;
use crate::{Error, ErrorKind, Result, sys};
use rustix::fs::{CWD, Mode, OFlags};
use rustix::io::Errno;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

fn call(name: &str, path: &Path) -> String {
    format!("{name}({})", path.display())
}

/// Plays a line that is about these groups, for `pid`; what it makes goes to the front of `made`, the order to undo it in.
pub(crate) fn play(step: &HostStep, pid: i32, made: &mut Vec<PathBuf>) -> Result<()> {
    match step {
        HostStep::MakeRdtClass { directory, schemata, shared } => {
            if make_class(directory, *shared, schemata)? {
                made.insert(0, directory.clone());
                write_schemata(directory, schemata)?;
            }
            Ok(())
        }
        HostStep::MakeRdtMonitor { directory } => {
            make_monitor(directory)?;
            made.insert(0, directory.clone());
            Ok(())
        }
        HostStep::JoinRdtGroup { directory } => join(directory, pid),
        _ => Ok(()),
    }
}

/// True if it was not there: a class that is `shared` may be, if it has these schemata.
pub(crate) fn make_class(directory: &Path, shared: bool, schemata: &[String]) -> Result<bool> {
    let what = "make the class of service";
    match rustix::fs::mkdir(directory, Mode::from_raw_mode(0o755)) {
        Err(Errno::EXIST) if shared => return compare(directory, schemata).map(|()| false),
        made => made.map_err(|errno| failed(what, call("mkdir", directory), errno, directory))?,
    }
    Ok(true)
}

/// Whether the host has what a schema is about, in runc's words if not.
pub(crate) fn check_enabled(mount: Option<&Path>, asked: &[(&str, &str)]) -> Result<()> {
    let has =
        // may fail: resctrl is there; what of it cannot be looked at cannot be used.
        |names: &[&str]| mount.is_some_and(|mount| names.iter().any(|name| mount.join("info").join(name).is_dir()));
    for (key, _) in asked {
        // L3 is two with code and data prioritization (the kernel's `cdp`).
        let (enabled, message) = match *key {
            "l3CacheSchema" => (has(&["L3", "L3CODE"]), "Intel RDT/CAT: l3 cache schema is not enabled"),
            _ => (has(&["MB"]), "Intel RDT/MBA: memory bandwidth schema is not enabled"),
        };
        if !enabled {
            return Err(Error::new(ErrorKind::Unsupported, message));
        }
    }
    Ok(())
}

/// Writes lines of schemata, and gives those that were there for the same resources.
pub(crate) fn replace_schemata(directory: &Path, schemata: &[String]) -> Result<Vec<String>> {
    let path = directory.join("schemata");
    let text = std::fs::read_to_string(&path)
        .map_err(|error| Error::io("look at the class of service", call("open", &path), &error))?;
    let concerns = |line: &&str| schemata.iter().any(|schema| parse(schema).0 == parse(line).0);
    let before = text.lines().filter(concerns).map(|line| line.trim().to_owned()).collect();
    write_schemata(directory, schemata).map(|()| before)
}

/// In one write, so that the kernel sees all of them before it says whether they fit.
pub(crate) fn write_schemata(directory: &Path, schemata: &[String]) -> Result<()> {
    if schemata.is_empty() {
        return Ok(());
    }
    let text: String = schemata.iter().map(|line| format!("{line}\n")).collect();
    write(&directory.join("schemata"), &text, "write the schemata", directory)
}

pub(crate) fn make_monitor(directory: &Path) -> Result<()> {
    rustix::fs::mkdir(directory, Mode::from_raw_mode(0o755))
        .map_err(|errno| failed("make the monitoring group", call("mkdir", directory), errno, directory))
}

pub(crate) fn join(directory: &Path, pid: i32) -> Result<()> {
    write(&directory.join("tasks"), &pid.to_string(), "join the resctrl group", directory)
}

/// What is gone already is no failure.
pub(crate) fn remove(directories: &[PathBuf]) -> Result<()> {
    directories.iter().try_for_each(|directory| match rustix::fs::rmdir(directory) {
        Ok(()) | Err(Errno::NOENT) => Ok(()),
        Err(errno) => Err(Error::system("remove the resctrl group", call("rmdir", directory), errno)),
    })
}

fn write(file: &Path, text: &str, what: &str, directory: &Path) -> Result<()> {
    rustix::fs::openat(CWD, file, OFlags::WRONLY | OFlags::CLOEXEC, Mode::empty())
        .map_err(|errno| failed(what, call("open", file), errno, directory))
        .and_then(|opened| {
            sys::write_all(&opened, text.as_bytes())
                .map_err(|errno| failed(what, call("write", file), errno, directory))
        })
}

/// With the kernel's own words, which are in a file of the root group.
fn failed(what: &str, call: String, errno: Errno, directory: &Path) -> Error {
    // may fail: the kernel's words only add to an error.
    let words =
        directory.ancestors().find_map(|above| std::fs::read_to_string(above.join("info/last_cmd_status")).ok());
    let words = words.map(|words| words.trim_end().to_owned()).filter(|words| words != "ok");
    Error::system(what, call, errno).detail(words.unwrap_or_default())
}

/// Somebody else may be in the class: it is taken as it is, or not at all.
fn compare(directory: &Path, schemata: &[String]) -> Result<()> {
    let path = directory.join("schemata");
    let text = std::fs::read_to_string(&path)
        .map_err(|error| Error::io("look at the class of service", call("open", &path), &error))?;
    match schemata.iter().find(|line| !holds(&text, line)) {
        None => Ok(()),
        Some(line) => {
            let message = format!("the class {} exists and has not the schema {line}", directory.display());
            Err(Error::new(ErrorKind::InvalidConfig, message))
        }
    }
}

/// Whether a schemata file says what `line` asks for, in whichever spelling: `    MB:0= 20;1=100`.
fn holds(file: &str, line: &str) -> bool {
    let (resource, asked) = parse(line);
    file.lines()
        .map(parse)
        .any(|(name, found)| name == resource && asked.iter().all(|(domain, value)| found.get(domain) == Some(value)))
}

fn parse(line: &str) -> (&str, BTreeMap<&str, String>) {
    let (resource, domains) = line.split_once(':').unwrap_or((line, ""));
    let value = |text: &str| {
        let digits = text.trim().trim_start_matches("0x").to_ascii_lowercase();
        digits.trim_start_matches('0').to_owned()
    };
    let domain = |part| str::split_once(part, '=').map(|(domain, text)| (domain.trim(), value(text)));
    (resource.trim(), domains.split(';').filter_map(domain).collect())
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;

    const KERNELS: &str = "    L3:0=7ff;1=01f\n    MB:0= 20;1=100\n";

    #[test]
    fn schemata_are_the_same_in_another_spelling() {
        for line in ["L3:0=7ff;1=1f", "L3:1=0x1F", "MB:0=20", "  MB:1= 100;0=20"] {
            assert!(holds(KERNELS, line), "{line}");
        }
        for line in ["L3:0=7f0", "L3:2=7ff", "MB:0=30", "L2:0=f"] {
            assert!(!holds(KERNELS, line), "{line}");
        }
    }

    /// A directory that is as the kernel would have made it.
    fn class() -> PathBuf {
        use std::sync::atomic::{AtomicU32, Ordering};
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let name = format!("plimsoll-resctrl-{}-{}", std::process::id(), COUNT.fetch_add(1, Ordering::Relaxed));
        let directory = std::env::temp_dir().join(name);
        fs::create_dir(&directory).unwrap();
        fs::write(directory.join("schemata"), KERNELS).unwrap();
        fs::write(directory.join("tasks"), "").unwrap();
        directory
    }

    #[test]
    fn a_class_that_is_there_is_taken_if_it_is_shared_and_fits() {
        let class = class();
        assert!(!make_class(&class, true, &["L3:0=7ff".to_owned()]).unwrap());
        let other = make_class(&class, true, &["L3:0=f".to_owned()]).unwrap_err().to_string();
        assert!(other.ends_with("exists and has not the schema L3:0=f"), "{other}");
        assert_eq!(make_class(&class, false, &[]).unwrap_err().errno(), Some(libc::EEXIST));
        join(&class, 4711).unwrap();
        assert_eq!(fs::read_to_string(class.join("tasks")).unwrap(), "4711");
        fs::remove_dir_all(class).unwrap();
    }

    #[test]
    fn the_kernels_words_are_passed_on() {
        let root = class();
        fs::create_dir(root.join("info")).unwrap();
        fs::write(root.join("info/last_cmd_status"), "out of CLOSIDs\n").unwrap();
        let error = join(&root.join("nowhere"), 1).unwrap_err().to_string();
        assert!(error.ends_with("(ENOENT): out of CLOSIDs"), "{error}");
        fs::remove_dir_all(root).unwrap();
    }

    #[test]
    fn what_is_gone_needs_no_removal() {
        let made = std::env::temp_dir().join(format!("plimsoll-resctrl-{}-made", std::process::id()));
        make_monitor(&made).unwrap();
        remove(&[made.clone(), made.clone()]).unwrap();
        assert!(!made.exists());
    }

    #[test]
    fn an_update_writes_its_lines_and_knows_what_was_there() {
        let class = class();
        let before = replace_schemata(&class, &["MB:0=50;1=60".to_owned()]).unwrap();
        assert_eq!(before, ["MB:0= 20;1=100"]);
        assert!(fs::read_to_string(class.join("schemata")).unwrap().starts_with("MB:0=50;1=60\n"));
        fs::remove_dir_all(class).unwrap();
    }

    #[test]
    fn what_the_host_does_not_share_out_is_an_error() {
        let root = class();
        fs::create_dir_all(root.join("info/L3")).unwrap();
        let check = |key: &str| check_enabled(Some(&root), &[(key, "")]).map_err(|error| error.to_string());
        assert_eq!(check("l3CacheSchema"), Ok(()));
        assert_eq!(check("memBwSchema"), Err("Intel RDT/MBA: memory bandwidth schema is not enabled".to_owned()));
        assert!(check_enabled(None, &[("l3CacheSchema", "")]).is_err());
        fs::remove_dir_all(root).unwrap();
    }
}
