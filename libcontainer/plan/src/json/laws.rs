//! What holds for whatever bytes are read: tried by the fuzzer, and on its seeds by the tests.
use super::schema::Schema;
use super::tree::folded;
use super::{parse, tree};
use oci_spec::runtime::{LinuxResources, Mount, Process, Spec};
use serde::de::DeserializeOwned;
use serde_json::{Map, Value};
use std::fmt::Debug;

/// All of them, for each kind of file that a stranger may have written.
pub fn hold(bytes: &[u8]) {
    hold_for::<Spec>(bytes);
    hold_for::<Process>(bytes);
    hold_for::<LinuxResources>(bytes);
    hold_for::<Vec<Mount>>(bytes);
}

fn hold_for<T: DeserializeOwned + PartialEq + Debug>(bytes: &[u8]) {
    let (tree, respelled) = match tree::<T>(bytes) {
        Ok(read) => read,
        Err(problem) => {
            assert!(problem.pointer.as_ref().is_none_or(|pointer| pointer.starts_with('/')), "{problem:?}");
            assert!(!problem.message.trim().is_empty(), "{problem:?}");
            // What is wrong as a tree is never read straight from the bytes.
            assert!(parse::<T>(bytes, |_| Ok(())).is_err(), "{problem:?}");
            return;
        }
    };
    let Some((value, rewritten)) = read::<T>(bytes) else {
        assert!(
            read::<T>(tree.to_string().as_bytes()).is_none(),
            "{tree}: wrong, and right once it is spelled otherwise"
        );
        return;
    };
    assert_eq!(rewritten, respelled.len(), "{respelled:?}");
    let (again, respelled_again) = read::<T>(tree.to_string().as_bytes()).expect("the same, spelled as it should be");
    assert_eq!((&again, respelled_again), (&value, 0), "read straight from the bytes it is not what its tree is");
    let (other, changed) = in_another_case(&tree, &Schema::of::<T>());
    assert_eq!(read::<T>(other.to_string().as_bytes()), Some((value, changed)), "in another case: {other}");
}

/// What it means, and how many of its keys are spelled otherwise.
fn read<T: DeserializeOwned>(bytes: &[u8]) -> Option<(T, usize)> {
    let parsed = parse::<T>(bytes, |_| Ok(())).ok()?;
    Some((parsed.value, parsed.rewritten.map_or(0, |(_, respelled)| respelled.len())))
}

/// The same with every second key of the specification's in capitals, and how many those are.
fn in_another_case(tree: &Value, schema: &Schema) -> (Value, usize) {
    let mut changed = 0;
    let tree = respell(tree, schema, &mut changed);
    (tree, changed)
}

fn respell(tree: &Value, schema: &Schema, changed: &mut usize) -> Value {
    match (tree, schema) {
        (Value::Array(items), Schema::List(schema)) => {
            items.iter().map(|item| respell(item, schema, changed)).collect()
        }
        (Value::Object(members), Schema::Map(schema)) => {
            members.iter().map(|(key, member)| (key.clone(), respell(member, schema, changed))).collect()
        }
        (Value::Object(members), Schema::Object(fields)) => {
            let mut respelled = Map::new();
            for (index, (key, member)) in members.iter().enumerate() {
                let field = fields.iter().find(|(name, _)| name == key);
                let member = field.map_or_else(|| member.clone(), |(_, schema)| respell(member, schema, changed));
                let capitals = capitals(key);
                let changes = field.is_some() && index % 2 == 0 && capitals != *key;
                *changed += usize::from(changes);
                respelled.insert(if changes { capitals } else { key.clone() }, member);
            }
            Value::Object(respelled)
        }
        _ => tree.clone(),
    }
}

/// With the letters of other alphabets that Go takes for two of ours.
fn capitals(key: &str) -> String {
    let capitals = key.to_ascii_uppercase().replacen('S', "\u{17f}", 1).replacen('K', "\u{212a}", 1);
    assert_eq!(folded(&capitals), folded(key));
    capitals
}
