//! The table of where the peers are known to deviate.
use plimsoll_integration_tests::deviations::KNOWN;
use std::collections::HashSet;
use std::process::Command;

/// A row for a test that has got another name would excuse nobody, and nobody would notice.
#[test]
fn every_row_is_the_only_one_for_a_test_that_there_is() {
    let listed =
        Command::new("/proc/self/exe").args(["--list", "--format", "terse"]).output().expect("this program").stdout;
    let listed = String::from_utf8(listed).expect("names");
    let tests: HashSet<_> = listed.lines().filter_map(|line| line.strip_suffix(": test")).collect();
    let rows = KNOWN.iter().flat_map(|(version, rows)| rows.iter().map(move |(test, _)| (*version, *test)));
    let mut seen = HashSet::new();
    let wrong: Vec<_> = rows.filter(|row| !tests.contains(row.1) || !seen.insert(*row)).collect();
    assert!(wrong.is_empty(), "no such test, or named before: {wrong:#?}");
}
