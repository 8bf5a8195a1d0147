//! Mutations of JSON that stay JSON: bytes that are moved at random hardly ever get past a parser.
use libfuzzer_sys::fuzzer_mutate;
use serde_json::{Value, json};

/// Changes the document in `data[..size]`: its new size. What is added comes from the document itself and from `donors`, at
/// the place where it is there or anywhere else.
pub fn json(data: &mut [u8], size: usize, max: usize, seed: u32, donors: &[&str]) -> usize {
    let mut random = Random(u64::from(seed) << 16 | 1);
    let Ok(mut document) = serde_json::from_slice::<Value>(&data[..size]) else {
        return fuzzer_mutate(data, size, max);
    };
    // What is no longer JSON, or is written in another way, has to be tried as well.
    if random.below(8) == 0 {
        return fuzzer_mutate(data, size, max);
    }
    for _ in 0..=random.below(4) {
        change(&mut document, &mut random, donors);
    }
    let text = document.to_string();
    if text.len() > max.min(data.len()) {
        return fuzzer_mutate(data, size, max);
    }
    data[..text.len()].copy_from_slice(text.as_bytes());
    text.len()
}

/// The same, and then keys in another case, or twice: what only text can say.
pub fn keys(data: &mut [u8], size: usize, max: usize, seed: u32, donors: &[&str]) -> usize {
    let size = json(data, size, max, seed, donors);
    let mut random = Random(u64::from(seed) << 16 | 3);
    let Ok(mut text) = String::from_utf8(data[..size].to_vec()) else { return size };
    for _ in 0..random.below(3) {
        let keys = keys_of(&text);
        if keys.is_empty() {
            break;
        }
        let (from, at) = (random.choose(&keys).clone(), random.choose(&keys).clone());
        let key = match random.below(3) {
            // One that is there already, perhaps.
            0 => text[from].to_owned(),
            1 => another_case(&text[at.clone()], &mut random),
            _ => another_case(&text[from], &mut random),
        };
        text.replace_range(at, &key);
    }
    if text.len() > max.min(data.len()) {
        return size;
    }
    data[..text.len()].copy_from_slice(text.as_bytes());
    text.len()
}

/// Where the texts before a colon are, without their quotes.
fn keys_of(text: &str) -> Vec<std::ops::Range<usize>> {
    let mut keys = Vec::new();
    for (colon, _) in text.match_indices("\":") {
        if let Some(quote) = text[..colon].rfind('"') {
            keys.push(quote + 1..colon);
        }
    }
    keys
}

fn another_case(key: &str, random: &mut Random) -> String {
    let letter = |letter: char| match (random.below(4), letter) {
        (0, 's' | 'S') => "\u{17f}".to_owned(),
        (0, 'k' | 'K') => "\u{212a}".to_owned(),
        (0, letter) => letter.to_ascii_uppercase().to_string(),
        (1, letter) if random.below(8) == 0 => format!("\\u{:04x}", u32::from(letter)),
        (_, letter) => letter.to_string(),
    };
    key.chars().map(letter).collect()
}

fn change(document: &mut Value, random: &mut Random, donors: &[&str]) {
    let at = random.choose(&places(document)).clone();
    match random.below(6) {
        // Something of a donor's at its own place.
        0 => {
            let donor: Value = serde_json::from_str(random.choose(donors)).expect("donors are JSON");
            let place = random.choose(&places(&donor)).clone();
            if let Some(value) = donor.pointer(&place) {
                put(document, &place, value.clone());
            }
        }
        // Something of the document's elsewhere in it.
        1 => {
            let from = random.choose(&places(document)).clone();
            if let Some(value) = document.pointer(&from).cloned() {
                put(document, &at, value);
            }
        }
        2 => remove(document, &at),
        // Once more.
        3 => {
            if let Some((parent, _)) = at.rsplit_once('/')
                && let Some(value) = document.pointer(&at).cloned()
                && let Some(Value::Array(items)) = document.pointer_mut(parent)
            {
                let index = random.below(items.len() + 1);
                items.insert(index, value);
            }
        }
        4 => put(document, &at, unusual(random)),
        _ => match document.pointer_mut(&at) {
            Some(Value::String(text)) => *text = letters(text, random),
            Some(Value::Number(number)) => {
                let by = random.below(9) as i64 - 4;
                *number = number.as_i64().unwrap_or(0).wrapping_add(by).into();
            }
            Some(Value::Bool(yes)) => *yes = !*yes,
            Some(Value::Object(members)) => {
                // Another name for a member.
                let names: Vec<String> = members.keys().cloned().collect();
                if !names.is_empty() {
                    let name = random.choose(&names).clone();
                    let value = members.remove(&name).unwrap_or_default();
                    members.insert(letters(&name, random), value);
                }
            }
            Some(place) => *place = unusual(random),
            None => {}
        },
    }
}

/// A value at which somebody may stumble.
fn unusual(random: &mut Random) -> Value {
    let values = [
        json!(null),
        json!(true),
        json!(0),
        json!(1),
        json!(-1),
        json!(65_535),
        json!(65_536),
        json!(1_u64 << 31),
        json!(u32::MAX),
        json!(u64::from(u32::MAX) + 1),
        json!(i64::MIN),
        json!(i64::MAX),
        json!(u64::MAX),
        json!(0.5),
        json!(1e300),
        json!([]),
        json!({}),
        json!(""),
        json!("/"),
        json!("."),
        json!(".."),
        json!("../../etc"),
        json!("/a/../b"),
        json!("a\nb"),
        json!("a\u{1b}[31mb"),
        json!("a\u{0}b"),
        json!("a=b"),
        json!("=,:%\\\""),
        json!("0-99999999"),
        json!("1,2-3"),
        json!("\u{202e}ü\u{1f600}"),
        json!("x".repeat(5000)),
    ];
    random.choose(&values).clone()
}

/// The text with some of its bytes changed.
fn letters(text: &str, random: &mut Random) -> String {
    let mut bytes = text.as_bytes().to_vec();
    let size = bytes.len();
    bytes.resize(size + 16, 0);
    let size = if random.below(2) == 0 { fuzzer_mutate(&mut bytes, size, size + 16) } else { size };
    let mut text = String::from_utf8_lossy(&bytes[..size]).into_owned();
    if random.below(2) == 0 {
        let specials = ["\n", "/", "..", "\u{7f}", "\0", ",", "=", "%", " ", "é"];
        let at = (0..=text.len()).filter(|at| text.is_char_boundary(*at)).collect::<Vec<_>>();
        text.insert_str(*random.choose(&at), random.choose(&specials));
    }
    text
}

/// JSON pointers to everything in it.
fn places(value: &Value) -> Vec<String> {
    let mut all = vec![String::new()];
    let mut next = 0;
    while let Some(at) = all.get(next).cloned() {
        match value.pointer(&at) {
            Some(Value::Array(items)) => all.extend((0..items.len()).map(|index| format!("{at}/{index}"))),
            Some(Value::Object(members)) => {
                all.extend(members.keys().map(|key| format!("{at}/{}", key.replace('~', "~0").replace('/', "~1"))));
            }
            _ => {}
        }
        next += 1;
    }
    all
}

/// Puts it there, with what has to be above it.
fn put(document: &mut Value, at: &str, value: Value) {
    let mut place = document;
    for part in at.split('/').skip(1) {
        let key = part.replace("~1", "/").replace("~0", "~");
        if let Value::Array(items) = place {
            let Ok(index) = key.parse::<usize>() else { return };
            let index = index.min(items.len());
            if index == items.len() {
                items.push(Value::Null);
            }
            place = &mut items[index];
        } else {
            if !place.is_object() {
                *place = json!({});
            }
            let Value::Object(members) = place else { return };
            place = members.entry(key).or_insert(Value::Null);
        }
    }
    *place = value;
}

fn remove(document: &mut Value, at: &str) {
    let Some((parent, key)) = at.rsplit_once('/') else { return };
    match document.pointer_mut(parent) {
        Some(Value::Array(items)) => {
            if let Ok(index) = key.parse::<usize>() {
                items.remove(index);
            }
        }
        Some(Value::Object(members)) => {
            members.remove(&key.replace("~1", "/").replace("~0", "~"));
        }
        _ => {}
    }
}

struct Random(u64);

impl Random {
    fn below(&mut self, count: usize) -> usize {
        self.0 = self.0.wrapping_mul(0x5851_f42d_4c95_7f2d).wrapping_add(0x1405_7b7e_f767_814f);
        usize::try_from(self.0 >> 33).unwrap_or(0) % count
    }

    fn choose<'a, T>(&mut self, of: &'a [T]) -> &'a T {
        &of[self.below(of.len())]
    }
}
