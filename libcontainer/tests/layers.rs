//! A file looks down only: the order of the library's modules, and of the crates below it, held against their `use` lines.
use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

/// From the ground up (ARCHITECTURE.md, "Layers"). Modules on one floor may not see each other either.
const FLOORS: &[&[&str]] = &[
    &["sys", "mountinfo", "file", "stats"],
    // Crates: what has to be decided, and the words for it.
    &["plan"],
    &["trace"],
    &["cgroup"],
    &["systemd"],
    &["criu"],
    &["facts", "open_bundle"],
    &["launch"],
    &["store"],
    &["container"],
    &["check", "features"],
    &["fuzz"],
];

/// The same for the command line: what parses knows no command, and commands do not know the table that they are in.
const FLOORS_OF_THE_BINARY: &[&[&str]] = &[&["failure", "alloc"], &["cli"], &["help"], &["commands"]];

#[test]
fn no_module_of_the_library_looks_up() {
    let found = upward(&source("src"), FLOORS);
    assert!(found.is_empty(), "these look up:\n{}", found.join("\n"));
}

#[test]
fn the_parser_of_the_command_line_knows_no_command() {
    let found = upward(&source("../runtime/src"), FLOORS_OF_THE_BINARY);
    assert!(found.is_empty(), "these look up:\n{}", found.join("\n"));
}

/// The test of the test: a file that looks up is found, with its name and the line.
#[test]
fn a_file_that_looks_up_is_named() {
    let folder = std::env::temp_dir().join(format!("plimsoll-layers-{}", std::process::id()));
    fs::create_dir_all(folder.join("store")).unwrap();
    fs::write(folder.join("store/mod.rs"), "use crate::sys;\nuse crate::{Error, container::State};\n").unwrap();
    fs::write(folder.join("sys.rs"), "fn name() -> &'static str {\n    crate::store::NAME\n}\n").unwrap();
    let found = upward(&folder, FLOORS);
    fs::remove_dir_all(&folder).unwrap();
    assert_eq!(found, ["store/mod.rs:2: container", "sys.rs:2: store"]);
}

/// What a program that only plans is made of can do no I/O, and no unsafe code is in it (`forbid(unsafe_code)`).
#[test]
fn the_plan_depends_on_nothing_that_can_do_io() {
    let tree = Command::new(env!("CARGO"))
        .args([
            "tree",
            "--offline",
            "--package",
            "plimsoll-plan",
            "--edges",
            "normal,no-proc-macro",
            "--prefix",
            "none",
        ])
        .args(["--format", "{p}"])
        .current_dir(env!("CARGO_MANIFEST_DIR"))
        .output()
        .unwrap();
    let tree = String::from_utf8(tree.stdout).unwrap();
    let mut crates: Vec<_> = tree.lines().filter_map(|line| line.split(' ').next()).collect();
    crates.sort_unstable();
    crates.dedup();
    let known = KNOWN_TO_THE_PLAN;
    let strangers: Vec<_> = crates.iter().filter(|name| !known.contains(name)).collect();
    assert!(crates.len() > 3 && strangers.is_empty(), "the plan depends on {strangers:?}");
    let root = fs::read_to_string(source("plan/src/lib.rs")).unwrap();
    assert!(root.contains("#![forbid(unsafe_code)]"));
}

/// Data structures, and readers of text that is there already.
const KNOWN_TO_THE_PLAN: &[&str] = &[
    "aho-corasick",
    "const_format",
    "derive_builder",
    "fnv",
    "getset",
    "itoa",
    "konst",
    "konst_macro_rules",
    "log",
    "memchr",
    "oci-spec",
    "once_cell",
    "plimsoll-plan",
    "plimsoll-step",
    "regex",
    "regex-automata",
    "regex-syntax",
    "serde",
    "serde_core",
    "serde_json",
    "serde_path_to_error",
    "strum",
    "thiserror",
    "zmij",
];

/// The standard library can do I/O as well.
#[test]
fn the_plan_names_nothing_of_std_that_does_io() {
    let mut found = Vec::new();
    for file in files(&source("plan/src")) {
        let text = without_tests(&fs::read_to_string(&file).unwrap());
        for (number, line) in (1..).zip(text.lines()) {
            let does =
                ["std::fs", "std::process", "std::net", "std::thread", "std::time", "std::os::", "std::env::var"];
            if does.iter().any(|name| line.contains(name)) {
                found.push(format!("{}:{number}: {line}", file.display()));
            }
        }
    }
    assert!(found.is_empty(), "{}", found.join("\n"));
}

fn source(path: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(path)
}

/// `FILE:LINE: MODULE` for each mention of a module that is not below the one that mentions it.
fn upward(root: &Path, floors: &[&[&str]]) -> Vec<String> {
    let floor: BTreeMap<&str, usize> =
        floors.iter().enumerate().flat_map(|(floor, names)| names.iter().map(move |name| (*name, floor))).collect();
    let mut found = Vec::new();
    for file in files(root) {
        let inside = file.strip_prefix(root).unwrap();
        let module = inside.iter().next().unwrap().to_str().unwrap().trim_end_matches(".rs");
        let Some(own) = floor.get(module) else { continue };
        let text = without_tests(&fs::read_to_string(&file).unwrap());
        for (number, line) in (1..).zip(text.lines()) {
            for name in mentioned(line) {
                if name != module && floor.get(name).is_some_and(|other| other >= own) {
                    found.push(format!("{}:{number}: {name}", inside.display()));
                }
            }
        }
    }
    found.sort();
    found
}

/// What follows `crate::` in a line, also in braces; not in comments.
fn mentioned(line: &str) -> Vec<&str> {
    let code = line.split("//").next().unwrap_or_default();
    let word = |text: &str| text.chars().take_while(|letter| letter.is_alphanumeric() || *letter == '_').count();
    let mut names = Vec::new();
    for rest in code.split("crate::").skip(1) {
        match rest.strip_prefix('{') {
            None => names.push(&rest[..word(rest)]),
            Some(list) => {
                let list = list.split('}').next().unwrap_or_default();
                names.extend(list.split(',').map(str::trim).map(|entry| &entry[..word(entry)]));
            }
        }
    }
    names
}

/// Tests may look where they like.
fn without_tests(text: &str) -> String {
    text.split("#[cfg(test)]\nmod tests {").next().unwrap_or_default().to_owned()
}

fn files(folder: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() && path.file_name().is_some_and(|name| name != "tests") {
            found.extend(files(&path));
        } else if path.extension().is_some_and(|extension| extension == "rs") && !path.ends_with("tests.rs") {
            found.push(path);
        }
    }
    found
}
