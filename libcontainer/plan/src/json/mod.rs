//! Reading JSON as strictly as a container's security asks for and as leniently as runc does: keys of the specification in any case,
//! each once, objects where there must be objects, and whatever is wrong by its JSON pointer.
#![forbid(unsafe_code)]
mod keys;
#[cfg(any(test, fuzzing, feature = "laws"))]
pub mod laws;
mod schema;
mod tree;

use keys::may_be_respelled;
pub use schema::FOREIGN;
use schema::Schema;
use serde::de::DeserializeOwned;
use serde_json::Value;
pub use tree::Respelled;
use tree::{Reader, Tree};

use crate::error::escape_key;
use crate::{Error, ErrorKind};

/// What is wrong, and where.
#[derive(Debug)]
pub struct Problem {
    pub pointer: Option<String>,
    pub message: String,
}

impl Problem {
    pub fn new(pointer: impl Into<String>, message: impl Into<String>) -> Problem {
        Problem { pointer: Some(pointer.into()), message: message.into() }
    }

    pub fn in_config(self) -> Error {
        match self.pointer {
            Some(pointer) => Error::config(pointer, self.message),
            None => self.in_file("config.json"),
        }
    }

    /// In another file, of which no plan has lines.
    pub fn in_file(self, file: &str) -> Error {
        let place = self.pointer.map(|pointer| format!("{pointer}: ")).unwrap_or_default();
        Error::new(ErrorKind::InvalidConfig, format!("{file}: {place}{}", self.message))
    }
}

/// What was read.
#[derive(Debug)]
pub struct Parsed<T> {
    pub value: T,
    /// The file as the specification spells it, if it does not do so itself.
    pub rewritten: Option<(Value, Vec<Respelled>)>,
}

/// Changes what a type does not take and the specification allows.
pub type Mend = fn(&mut Value) -> Result<(), Problem>;

/// Straight from the bytes; only if that fails, or could mean something else, as a tree.
pub fn parse<T: DeserializeOwned>(bytes: &[u8], mend: Mend) -> Result<Parsed<T>, Problem> {
    let may_hold_nul = starts_of(bytes, b'\\').any(|rest| rest.starts_with(br"\u0000"));
    if !may_hold_nul && !may_misplace_arrays(bytes) && !may_be_respelled(bytes) {
        if let Ok(value) = serde_json::from_slice(bytes) {
            return Ok(Parsed { value, rewritten: None });
        }
    }
    let (mut tree, respelled) = tree::<T>(bytes)?;
    let rewritten = (!respelled.is_empty()).then(|| (tree.clone(), respelled));
    mend(&mut tree)?;
    let value = serde_path_to_error::deserialize(&tree).map_err(|error| Problem {
        pointer: Some(json_pointer(error.path()).unwrap_or_else(|| "/".to_owned())),
        message: error.inner().to_string(),
    })?;
    Ok(Parsed { value, rewritten })
}

/// The file as a tree, with the keys of `T` as the specification spells them, and those that it spells otherwise.
pub fn tree<T: DeserializeOwned>(bytes: &[u8]) -> Result<(Value, Vec<Respelled>), Problem> {
    let wrong = |pointer: Option<String>, error: &serde_json::Error| Problem {
        // Where there is no end to it, there is no place.
        pointer: pointer.filter(|_| !error.is_eof() && !error.to_string().starts_with("recursion limit")),
        message: error.to_string(),
    };
    let mut text = serde_json::Deserializer::from_slice(bytes);
    let tree: Tree = serde_path_to_error::deserialize(&mut text)
        .map_err(|error| wrong(json_pointer(error.path()), error.inner()))?;
    text.end().map_err(|error| wrong(None, &error))?;
    let mut reader = Reader::default();
    let tree = reader.read(tree, &Schema::of::<T>())?;
    Ok((tree, reader.respelled))
}

/// serde takes an array for an object whose members are given in order. Whether there may be one; strings are not told apart.
fn may_misplace_arrays(bytes: &[u8]) -> bool {
    const OBJECTS: &[&[u8]] = &[
        b"process",
        b"root",
        b"hooks",
        b"linux",
        b"user",
        b"consoleSize",
        b"capabilities",
        b"scheduler",
        b"ioPriority",
        b"execCPUAffinity",
        b"resources",
        b"memory",
        b"cpu",
        b"pids",
        b"blockIO",
        b"network",
        b"seccomp",
        b"intelRdt",
        b"personality",
        b"memoryPolicy",
        b"monotonic",
        b"boottime",
    ];
    // Their objects have names of the user's.
    const OF_OBJECTS: [&[u8]; 2] = [br#""netDevices""#, br#""rdma""#];
    if starts_of(bytes, b'"').any(|rest| OF_OBJECTS.iter().any(|key| rest.starts_with(key))) {
        return true;
    }
    let trimmed = |end: usize| bytes[..end].trim_ascii_end();
    starts_of(bytes, b'[').any(|rest| match trimmed(bytes.len() - rest.len()) {
        // One in another is nowhere in these files, nor is the whole one (but for `mounts add`).
        [] | [.., b'[' | b','] => true,
        [key @ .., b':'] => {
            let key = key.trim_ascii_end();
            OBJECTS.iter().any(|name| key.strip_suffix(b"\"").is_some_and(|key| key.ends_with(name)))
        }
        _ => false,
    })
}

/// What begins with each of these bytes.
fn starts_of(bytes: &[u8], first: u8) -> impl Iterator<Item = &[u8]> {
    (0..).zip(bytes).filter(move |(_, byte)| **byte == first).map(|(at, _)| &bytes[at..])
}

/// None for the whole.
fn json_pointer(path: &serde_path_to_error::Path) -> Option<String> {
    use serde_path_to_error::Segment;
    let mut pointer = String::new();
    for segment in path {
        match segment {
            Segment::Seq { index } => pointer.push_str(&format!("/{index}")),
            Segment::Map { key } => pointer.push_str(&format!("/{}", escape_key(key))),
            Segment::Enum { .. } | Segment::Unknown => {}
        }
    }
    (!pointer.is_empty()).then_some(pointer)
}
