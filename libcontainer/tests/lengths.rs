//! What is long is hard to read: limits for files, functions and documents of the whole workspace, and what may exceed
//! them. An exception that is no longer one fails as well.
use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

const LINES_OF_A_FILE: usize = 500;
const LINES_OF_A_FUNCTION: usize = 60;
const CHARACTERS_OF_A_DOCUMENTS_LINE: usize = 120;

/// Source files that may be longer, and why.
const LONG_FILES: &[(&str, &str)] = &[("libcontainer/plan/src/seccomp/table.rs", "a table: a row per system call")];

/// Functions that may be longer, and why.
const LONG_FUNCTIONS: &[(&str, &str)] = &[
    ("libcontainer/plan/src/plan/mod.rs: create", "the order of the plan"),
    ("libcontainer/plan/src/plan/words/host.rs: host_words", "a match: an arm per step"),
    ("libcontainer/plan/src/plan/words/init.rs: init_words", "a match: an arm per step"),
    ("libcontainer/init/src/steps/mod.rs: run", "a match: an arm per step"),
    ("libcontainer/src/launch/host.rs: step", "a match: an arm per step"),
    ("libcontainer/src/launch/failure.rs: explain", "a match: an arm per failure with words of its own"),
    ("libcontainer/src/cgroup/update/model.rs: apply", "a match: an arm per controller"),
];

#[test]
fn no_file_is_longer_than_it_may_be() {
    let mut found = Vec::new();
    for (name, text) in sources(&workspace()) {
        let lines = text.lines().count();
        if lines > LINES_OF_A_FILE {
            found.push((name.clone(), format!("{name}: {lines} lines")));
        }
    }
    check(LONG_FILES, &found);
}

#[test]
fn no_function_is_longer_than_it_may_be() {
    let sources = sources(&workspace());
    let found: Vec<_> = sources
        .iter()
        .filter(|(name, _)| name.ends_with(".rs"))
        .flat_map(|(name, text)| functions(text).into_iter().map(move |function| (name, function)))
        .filter(|(_, function)| function.lines > LINES_OF_A_FUNCTION)
        .map(|(file, Function { name, line, lines })| {
            (format!("{file}: {name}"), format!("{file}:{line}: {name}, {lines} lines"))
        })
        .collect();
    check(LONG_FUNCTIONS, &found);
}

/// A row of a table cannot be broken.
#[test]
fn no_line_of_a_document_is_longer_than_it_may_be() {
    let mut found = Vec::new();
    for path in files(&workspace()).into_iter().filter(|path| path.extension().is_some_and(|end| end == "md")) {
        let text = fs::read_to_string(&path).unwrap();
        for (number, line) in (1..).zip(text.lines()) {
            if line.chars().count() > CHARACTERS_OF_A_DOCUMENTS_LINE && !line.trim_start().starts_with('|') {
                found.push(format!("{}:{number}", path.display()));
            }
        }
    }
    assert!(found.is_empty(), "longer than {CHARACTERS_OF_A_DOCUMENTS_LINE} characters:\n{}", found.join("\n"));
}

/// The test of the test.
#[test]
fn functions_are_measured_from_their_first_line_to_their_brace() {
    let text = "impl A {\n    pub(in a::b) const fn two(\n        self,\n    ) -> B {\n        {\n        }\n    }\n\n    fn one() {}\n}\n\n\
                trait C {\n    fn none(\n        &self,\n    );\n}\n\nunsafe extern \"C\" fn main() {\n    x();\n}\n";
    let found: Vec<_> = functions(text).into_iter().map(|Function { name, line, lines }| (name, line, lines)).collect();
    assert_eq!(found, [("two", 2, 6), ("main", 18, 3)]);
    assert!(sources(&workspace()).len() > 250, "this is not the workspace");
}

fn check(exceptions: &[(&str, &str)], found: &[(String, String)]) {
    let known: BTreeSet<_> = exceptions.iter().map(|(name, _)| *name).collect();
    let names: BTreeSet<_> = found.iter().map(|(name, _)| name.as_str()).collect();
    let long: Vec<_> =
        found.iter().filter(|(name, _)| !known.contains(name.as_str())).map(|(_, words)| words.as_str()).collect();
    assert!(long.is_empty(), "divide them:\n{}", long.join("\n"));
    let short: Vec<_> = known.difference(&names).collect();
    assert!(short.is_empty(), "no exceptions any more: {short:?}");
}

struct Function<'a> {
    name: &'a str,
    line: usize,
    lines: usize,
}

/// Those of more than one line that have a body. Formatted code says by its indentation where a body ends.
fn functions(text: &str) -> Vec<Function<'_>> {
    let lines: Vec<_> = text.lines().collect();
    let mut found = Vec::new();
    for (index, line) in lines.iter().enumerate() {
        let Some(name) = name(line) else { continue };
        if line.ends_with(['}', ';']) {
            continue;
        }
        let indentation = &line[..line.len() - line.trim_start().len()];
        let ends = |line: &&str| {
            let rest = line.strip_prefix(indentation).filter(|rest| !rest.starts_with(' '));
            rest.is_some_and(|rest| rest == "}" || rest.ends_with(';'))
        };
        let Some(end) = lines[index + 1..].iter().position(ends).map(|offset| index + 1 + offset) else { continue };
        if lines[end].ends_with('}') {
            found.push(Function { name, line: index + 1, lines: end - index + 1 });
        }
    }
    found
}

/// The name of the function that this line begins.
fn name(line: &str) -> Option<&str> {
    let (before, rest) = line.split_once("fn ")?;
    let mut words = before.split_whitespace();
    let qualifies =
        |word: &str| matches!(word, "pub" | "const" | "async" | "unsafe" | "extern" | "\"C\"") || is_scope(word);
    let end = rest.find(|letter: char| !letter.is_alphanumeric() && letter != '_')?;
    words.all(qualifies).then(|| &rest[..end]).filter(|name| !name.is_empty())
}

/// A part of `pub(in crate::plan)` or the like.
fn is_scope(word: &str) -> bool {
    word.starts_with("pub(") || word.ends_with(')')
}

fn workspace() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}

/// Rust and scripts, by their paths in the workspace.
fn sources(workspace: &Path) -> Vec<(String, String)> {
    let mut sources = Vec::new();
    for path in files(workspace) {
        let Ok(text) = fs::read_to_string(&path) else { continue };
        if path.extension().is_some_and(|extension| extension == "rs") || text.starts_with("#!") {
            let name = path.strip_prefix(workspace).unwrap().display().to_string();
            sources.push((name, text));
        }
    }
    sources
}

/// All but what is built and what is hidden.
fn files(folder: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in fs::read_dir(folder).unwrap() {
        let entry = entry.unwrap();
        let (path, name) = (entry.path(), entry.file_name());
        let is_ours = name != "target" && (name == ".ci" || !name.as_encoded_bytes().starts_with(b"."));
        if is_ours && entry.file_type().unwrap().is_dir() {
            found.extend(files(&path));
        } else if is_ours && entry.file_type().unwrap().is_file() {
            found.push(path);
        }
    }
    found
}
