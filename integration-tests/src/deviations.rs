//! Where runc and crun, in the versions of Debian 12, are known not to do what a test asks for.
use crate::runtime;

/// (start of `--version`, test, reason)
const KNOWN: &[(&str, &str, &str)] = &[];

/// Is the test that calls it known not to hold for this runtime? It then returns at once.
///
/// `DEVIATIONS=run` runs those tests all the same: each must fail, or its row is a lie.
pub fn known_deviation() -> bool {
    let thread = std::thread::current();
    let test = thread.name().unwrap_or_default();
    let row = KNOWN.iter().find(|(version, name, _)| runtime().version.starts_with(version) && *name == test);
    if let Some((version, _, reason)) = row {
        eprintln!("not asked of {version}: {reason}");
    }
    row.is_some() && std::env::var_os("DEVIATIONS").is_none()
}
