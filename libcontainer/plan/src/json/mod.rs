//! Reading JSON as strictly as a container's security asks for and as leniently as runc does: keys of the specification in any case,
//! each once, objects where there must be objects, and whatever is wrong by its JSON pointer.
#![forbid(unsafe_code)]
mod keys;
#[cfg(any(test, fuzzing, feature = "laws"))]
pub mod laws;
mod plain;
mod schema;
mod tree;

use plain::is_plain;
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
    if is_plain(bytes) {
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
