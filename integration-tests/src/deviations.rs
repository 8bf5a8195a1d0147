//! Where runc and crun, in the versions of Debian 12, are known not to do what a test asks for.
mod crun;
mod runc;

use crate::runtime;

/// A test, and what the runtime does in place of what it asks for.
pub type Row = (&'static str, &'static str);

/// A table per runtime, with the start of what `--version` says.
pub const KNOWN: &[(&str, &[Row])] = &[("runc version 1.1.", runc::KNOWN), ("crun version 1.8.", crun::KNOWN)];

/// Is the test that calls it known not to hold for this runtime? It then returns at once.
///
/// `DEVIATIONS=run` runs those tests all the same: each must fail, or its row is a lie.
#[expect(clippy::print_stderr, reason = "for whoever reads the output of the tests")]
pub fn known_deviation() -> bool {
    let thread = std::thread::current();
    let test = thread.name().unwrap_or_default();
    let tables = KNOWN.iter().filter(|(version, _)| runtime().version.starts_with(version));
    let row = tables.flat_map(|(_, rows)| *rows).find(|(name, _)| *name == test);
    if let Some((_, reason)) = row {
        eprintln!("not asked of {}: {reason}", runtime().version);
    }
    row.is_some() && std::env::var_os("DEVIATIONS").is_none()
}
