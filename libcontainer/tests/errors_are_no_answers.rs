//! A lint: where the result of a system call is thrown away, or taken for an answer, a comment says why it may be.
//!
//! `// may fail: REASON` stands on the line, or above the statement; `//! may fail: REASON` at the top of a file is for all of it. It
//! reads text and knows no types: what it finds may be harmless, and then there is no harm in saying so.
use std::fmt::Write;
use std::path::{Path, PathBuf};

/// What makes an error into something else.
const SWALLOWS: &[&str] = &[
    ".ok()",
    ".ok()?",
    "is_ok_and(",
    ".is_ok()",
    ".is_err()",
    "unwrap_or_default()",
    ".unwrap_or(",
    ".unwrap_or_else(|_|",
    "let _ =",
    "_ = ",
    "Result::ok",
    ".flatten()",
    "let Ok(",
    "(Ok(",
    ".map_or(",
];

/// Paths that ask the kernel and know no errors.
const ASKS: &[&str] = &[".exists()", ".is_dir()", ".is_file()", ".is_symlink()"];

/// What calls the kernel, itself or through a function of ours.
const CALLS: &[&str] = &[
    "rustix::fs::",
    "rustix::io::",
    "rustix::net::",
    "rustix::event::",
    "rustix::process::waitid",
    "rustix::process::kill",
    "rustix::process::pidfd",
    "rustix::pipe::",
    "rustix::thread::",
    "rustix::mount::",
    "rustix::system::",
    "std::fs::",
    "fs::read",
    "fs::metadata",
    "sys::",
    "libc::syscall",
    "libc::fcntl",
    "is_inheritable(",
    "group.read(",
    "group.write(",
    "group.child(",
    "parent.read(",
    "parent.version(",
    "top.version(",
    "frozen.write(",
    ".read_key(",
    ".open_file(",
    ".pids()",
    ".files()",
    ".children()",
    "Directory::open(",
    "Directory::make(",
    "freeze_group(",
    "thaw_group(",
    "cgroup::",
    "intel_rdt::remove(",
    "poll(",
    "process.wait()",
    "child.wait()",
    ".kill()",
    "tcgetwinsize(",
    "tcsetwinsize(",
    "tcsetattr(",
    "tcgetattr(",
    "write_all(",
    "read_dir(",
    "read_link(",
    "read_to_string(",
    "folder.read(",
    ".life()",
    "find_record(",
];

fn sources() -> Vec<PathBuf> {
    let manifest = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut found = Vec::new();
    let mut directories = vec![manifest.join("src"), manifest.join("plan/src"), manifest.join("../runtime/src")];
    while let Some(directory) = directories.pop() {
        for entry in std::fs::read_dir(directory).unwrap() {
            let path = entry.unwrap().path();
            let name = path.file_name().unwrap().to_str().unwrap();
            match path.is_dir() {
                _ if name.starts_with("tests") => {}
                true => directories.push(path),
                false if name.ends_with(".rs") => found.push(path),
                false => {}
            }
        }
    }
    found.sort();
    found
}

/// The line without its comment, and without what is no system call though it looks so.
fn code(line: &str) -> String {
    let code = line.split("//").next().unwrap_or_default();
    // An error has gone its way where there is a `?`.
    let harmless =
        ["Timespec::try_from(left).ok()", "Timespec::try_from(patience).ok()", "?.unwrap_or_default()", "?.flatten()"];
    harmless.iter().fold(code.to_owned(), |code, harmless| code.replace(harmless, ""))
}

fn has(text: &str, words: &[&str]) -> bool {
    words.iter().any(|word| text.contains(word))
}

/// The statement around a line, as far as the layout tells: from after the last line that ends one, with the calls that hang on it.
fn statement(lines: &[&str], at: usize) -> std::ops::RangeInclusive<usize> {
    let ends = |line: &str| {
        let code = code(line);
        let code = code.trim_end();
        code.is_empty() || code.ends_with([';', '{', '}', ',']) || code.ends_with("=>")
    };
    let first = (0..at).rev().find(|line| ends(lines[*line])).map_or(0, |line| line + 1);
    let hang = |line: &&usize| lines[**line].trim_start().starts_with('.');
    let more: Vec<usize> = (at + 1..lines.len()).collect();
    let last = more.iter().take_while(hang).last().copied().unwrap_or(at);
    first..=last
}

/// Lines that want a reason.
fn complaints(text: &str) -> Vec<usize> {
    let product = text.split("#[cfg(test)]\nmod tests {").next().unwrap_or_default();
    let lines: Vec<&str> = product.lines().collect();
    if lines.iter().take_while(|line| line.starts_with("//!")).any(|line| line.contains("may fail: ")) {
        return Vec::new();
    }
    let wants = |at: &usize| {
        let line = code(lines[*at]);
        if !has(&line, SWALLOWS) && !has(&line, ASKS) {
            return false;
        }
        let statement = statement(&lines, *at);
        let whole: String = lines[statement.clone()].iter().map(|line| code(line) + "\n").collect();
        let above = (0..*statement.start()).rev().take_while(|line| lines[*line].trim_start().starts_with("//"));
        let said = above.chain(statement).any(|line| lines[line].contains("may fail: "));
        !said && (has(&whole, CALLS) || has(&line, ASKS))
    };
    (0..lines.len()).filter(wants).collect()
}

#[test]
fn whoever_takes_an_error_for_an_answer_says_why() {
    let mut found = String::new();
    for path in sources() {
        let text = std::fs::read_to_string(&path).unwrap();
        for at in complaints(&text) {
            let line = text.lines().nth(at).unwrap_or_default().trim();
            writeln!(found, "{}:{}: {line}", path.display(), at + 1).unwrap();
        }
    }
    assert!(found.is_empty(), "`// may fail: REASON`, or `?`:\n{found}");
}

/// What std makes of an error of its own that is none of ours: it waits for a program that runs, ends the process, or panics.
const PANICS: &[(&str, &str)] = &[
    ("fs::read_dir(", "panics if close(2) fails: file::names"),
    (
        "thread::spawn(",
        "ends the process without memory for a second stack, and where futex(2) fails: sys::on_a_thread",
    ),
    ("thread::scope(", "as thread::spawn"),
    (".pre_exec(", "waits for the program, and panics, where its pipe cannot be read: sys::start"),
];

#[test]
fn nobody_calls_what_panics_where_a_system_call_fails() {
    let mut found = String::new();
    for path in sources().into_iter().filter(|path| !path.ends_with("fuzz.rs")) {
        let text = std::fs::read_to_string(&path).unwrap();
        let product = text.split("#[cfg(test)]\nmod tests {").next().unwrap_or_default();
        for (line, text) in product.lines().map(code).enumerate() {
            for (_, reason) in PANICS.iter().filter(|(call, _)| text.contains(call)) {
                writeln!(found, "{}:{}: {reason}", path.display(), line + 1).unwrap();
            }
        }
    }
    assert!(found.is_empty(), "{found}");
}

#[test]
fn the_lint_finds_what_it_is_for() {
    for wrong in [
        "let stat = read(path).ok()?;\nrustix::fs::stat(path).is_ok_and(|stat| stat.st_uid == 0)",
        "    let listed = std::fs::read_dir(path).into_iter().flatten();",
        "    let pids = top\n        .pids()\n        .unwrap_or_default();",
        "    _ = rustix::fs::rmdir(directory);",
        "    if path.exists() {",
        "    let Ok(file) = rustix::fs::openat(a, b) else { return };",
    ] {
        assert_eq!(complaints(wrong).len(), 1, "{wrong}");
        let reason = wrong.lines().map(|line| format!("// may fail: so it is.\n{line}\n")).collect::<String>();
        assert!(complaints(&reason).is_empty(), "{reason}");
    }
    for right in
        ["let number = text.parse().ok()?;", "let stat = rustix::fs::stat(path)?;", "// rustix::fs::stat(path).ok()"]
    {
        assert!(complaints(right).is_empty(), "{right}");
    }
}
