//! What holds for whatever CRIU answers and a stranger's images hold, for tests and the fuzzer.
use super::message::{Value, fields};
use super::{Answer, Kind, Message, images, log_file, number_in, streams};

pub(crate) fn hold(bytes: &[u8]) {
    answer(bytes);
    descriptors(bytes);
    let excerpt = log_file::excerpt(&String::from_utf8_lossy(bytes));
    assert!(!excerpt.chars().any(char::is_control), "{excerpt:?}");
}

/// A message that is read, written and read again is the same, and an answer says something.
fn answer(bytes: &[u8]) {
    let Some(all) = fields(bytes) else { return };
    let again = all.iter().fold(Message::default(), |message, (field, value)| match value {
        Value::Number(number) => message.number(*field, *number as i64),
        Value::Bytes(bytes) => message.text(*field, bytes),
    });
    assert_eq!(fields(again.as_bytes()).as_ref(), Some(&all));
    let answer = Answer::of(&all);
    assert!(!answer.failure(Kind::RESTORE).to_string().is_empty());
    for part in [answer.version.as_deref(), answer.features.as_deref()] {
        let _ = number_in(part, 1);
    }
}

/// Only what has the shape of a stream's name is asked of CRIU: a stranger chooses none of our descriptors.
fn descriptors(bytes: &[u8]) {
    let Ok(names) = images::parse_descriptors(bytes) else { return };
    assert!(names.len() <= 3);
    let asked = streams::for_restore(Message::default(), &names);
    let asked = fields(asked.as_bytes()).unwrap();
    assert!(asked.len() <= names.len());
    for (_, value) in asked {
        let Value::Bytes(inherited) = value else { panic!("{value:?}") };
        let Some([(1, key), (2, number)]) = fields(inherited).map(|all| [all[0], all[1]]) else {
            panic!("{inherited:?}")
        };
        let key = key.text().unwrap();
        assert!((0..3).contains(&number.number().unwrap()) && names.contains(&key), "{key:?}");
        let rest =
            key.strip_prefix("pipe:[").or_else(|| key.strip_prefix("file[")).and_then(|rest| rest.strip_suffix(']'));
        assert!(rest.is_some_and(|rest| rest.bytes().all(|byte| byte.is_ascii_hexdigit() || byte == b':')), "{key:?}");
    }
}
