//! What a file says, before its keys mean anything: in its order, and with what it says twice.
use super::Problem;
use super::schema::Schema;
use crate::error::escape_key;
use serde::de::{Deserialize, Deserializer, MapAccess, SeqAccess, Visitor};
use serde_json::{Map, Value};
use std::fmt;

#[derive(Debug)]
pub(super) enum Tree {
    Leaf(Value),
    List(Vec<Tree>),
    Object(Vec<(String, Tree)>),
}

impl<'de> Deserialize<'de> for Tree {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Tree, D::Error> {
        deserializer.deserialize_any(Whatever)
    }
}

struct Whatever;

impl<'de> Visitor<'de> for Whatever {
    type Value = Tree;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("any JSON value")
    }

    fn visit_bool<E>(self, value: bool) -> Result<Tree, E> {
        Ok(Tree::Leaf(value.into()))
    }

    fn visit_i64<E>(self, value: i64) -> Result<Tree, E> {
        Ok(Tree::Leaf(value.into()))
    }

    fn visit_u64<E>(self, value: u64) -> Result<Tree, E> {
        Ok(Tree::Leaf(value.into()))
    }

    fn visit_f64<E>(self, value: f64) -> Result<Tree, E> {
        Ok(Tree::Leaf(value.into()))
    }

    fn visit_str<E>(self, value: &str) -> Result<Tree, E> {
        Ok(Tree::Leaf(value.into()))
    }

    fn visit_unit<E>(self) -> Result<Tree, E> {
        Ok(Tree::Leaf(Value::Null))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Tree, A::Error> {
        let mut list = Vec::new();
        while let Some(item) = items.next_element()? {
            list.push(item);
        }
        Ok(Tree::List(list))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut members: A) -> Result<Tree, A::Error> {
        let mut object = Vec::new();
        while let Some(member) = members.next_entry()? {
            object.push(member);
        }
        Ok(Tree::Object(object))
    }
}

/// A key that differs from one of the specification's in the case of its letters only.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Respelled {
    /// As the file spells it.
    pub pointer: String,
    pub known: &'static str,
}

impl fmt::Display for Respelled {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} is read as {:?}", self.pointer, self.known)
    }
}

/// The key as runc compares it: Go's encoding/json takes a name in any case, and two letters of other alphabets for `s` and `k`.
pub(super) fn folded(key: &str) -> String {
    let fold = |letter: char| match letter {
        '\u{17f}' => 's',
        '\u{212a}' => 'k',
        letter => letter.to_ascii_lowercase(),
    };
    key.chars().map(fold).collect()
}

/// Turns a tree into what it means: keys as the specification spells them, each once.
#[derive(Debug, Default)]
pub(super) struct Reader {
    /// Where it is.
    at: String,
    pub(super) respelled: Vec<Respelled>,
}

impl Reader {
    pub(super) fn read(&mut self, tree: Tree, schema: &Schema) -> Result<Value, Problem> {
        match (tree, schema) {
            // The kernel's strings end at a NUL, ours would not: `/etc\u0000/x` means two different things.
            (Tree::Leaf(Value::String(text)), _) if text.contains('\0') => {
                Err(self.problem("a string must not contain a NUL"))
            }
            (Tree::Leaf(value), _) => Ok(value),
            // serde takes it for the members in their order: `"linux": []` would be a container without namespaces.
            (Tree::List(_), Schema::Object(_)) => Err(self.problem("an array where there must be an object")),
            (Tree::List(items), schema) => {
                let schema = if let Schema::List(item) = schema { item } else { &Schema::Any };
                let items = items.into_iter().enumerate();
                items.map(|(index, item)| self.inside(&index.to_string(), item, schema)).collect()
            }
            (Tree::Object(members), Schema::Object(fields)) => self.object(members, fields),
            (Tree::Object(members), schema) => {
                let schema = if let Schema::Map(value) = schema { value } else { &Schema::Any };
                let members = members.into_iter();
                members.map(|(key, member)| Ok((key.clone(), self.inside(&key, member, schema)?))).collect()
            }
        }
    }

    fn object(&mut self, members: Vec<(String, Tree)>, fields: &[(&'static str, Schema)]) -> Result<Value, Problem> {
        let mut object = Map::new();
        let mut seen: Vec<(&str, String)> = Vec::new();
        for (key, member) in members {
            let exact = fields.iter().find(|(name, _)| *name == key);
            let Some((name, schema)) = exact.or_else(|| {
                let key = folded(&key);
                fields.iter().find(|(name, _)| folded(name) == key)
            }) else {
                let value = self.inside(&key, member, &Schema::Any)?;
                object.insert(key, value);
                continue;
            };
            let pointer = format!("{}/{}", self.at, escape_key(&key));
            // runc takes the last, or both where they are objects; crun takes the first.
            if let Some((_, first)) = seen.iter().find(|(seen, _)| seen == name) {
                let message = format!("{first:?} and {key:?} are the same entry, which must be there once");
                return Err(Problem::new(pointer, message));
            }
            if *name != key {
                self.respelled.push(Respelled { pointer, known: name });
            }
            let value = self.inside(&key, member, schema)?;
            seen.push((name, key));
            // Go takes it for an entry that is not there.
            if !value.is_null() {
                object.insert((*name).to_owned(), value);
            }
        }
        Ok(Value::Object(object))
    }

    fn inside(&mut self, key: &str, tree: Tree, schema: &Schema) -> Result<Value, Problem> {
        let length = self.at.len();
        self.at.push('/');
        self.at.push_str(&escape_key(&key.replace('\0', "\u{2400}")));
        let read = if key.contains('\0') {
            Err(self.problem("a string must not contain a NUL"))
        } else {
            self.read(tree, schema)
        };
        self.at.truncate(length);
        read
    }

    fn problem(&self, message: &str) -> Problem {
        Problem::new(if self.at.is_empty() { "/" } else { &self.at }, message)
    }
}
