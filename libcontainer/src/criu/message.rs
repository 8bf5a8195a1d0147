//! Messages of CRIU's RPC ([rpc.proto](https://github.com/checkpoint-restore/criu/blob/v4.1/images/rpc.proto)), as much of
//! [protobuf's encoding](https://protobuf.dev/programming-guides/encoding/) as they take
//! (why not a crate: docs/decisions/0006-criu-messages.md).
#![forbid(unsafe_code)]

const VARINT: u64 = 0;
const FIXED64: u64 = 1;
const BYTES: u64 = 2;
const FIXED32: u64 = 5;

/// A message that is being written, field by field.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Message(Vec<u8>);

impl Message {
    /// An `int32`, `uint32`, `bool` or enum.
    pub(crate) fn number(mut self, field: u64, value: impl Into<i64>) -> Message {
        self.varint(field << 3 | VARINT);
        // Negative ones are extended to 64 bits, by definition.
        self.varint(value.into() as u64);
        self
    }

    /// A `string`. protobuf wants UTF-8, CRIU's decoder takes a path as it is.
    pub(crate) fn text(mut self, field: u64, value: impl AsRef<[u8]>) -> Message {
        let value = value.as_ref();
        self.varint(field << 3 | BYTES);
        self.varint(value.len() as u64);
        self.0.extend_from_slice(value);
        self
    }

    /// A message in the message.
    pub(crate) fn message(self, field: u64, value: &Message) -> Message {
        self.text(field, &value.0)
    }

    /// And the fields of `other`.
    pub(crate) fn and(mut self, other: &Message) -> Message {
        self.0.extend_from_slice(&other.0);
        self
    }

    pub(crate) fn as_bytes(&self) -> &[u8] {
        &self.0
    }

    fn varint(&mut self, mut value: u64) {
        while value >= 0x80 {
            self.0.push((value & 0x7f) as u8 | 0x80);
            value >>= 7;
        }
        self.0.push((value & 0x7f) as u8);
    }
}

/// What a field holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Value<'a> {
    Number(u64),
    Bytes(&'a [u8]),
}

impl Value<'_> {
    /// An `int32` or an enum.
    pub(crate) fn number(self) -> Option<i32> {
        match self {
            Value::Number(number) => i32::try_from(number as i64).ok(),
            Value::Bytes(_) => None,
        }
    }

    /// A `string`.
    pub(crate) fn text(self) -> Option<String> {
        match self {
            Value::Bytes(bytes) => Some(String::from_utf8_lossy(bytes).into_owned()),
            Value::Number(_) => None,
        }
    }
}

/// The fields of a message: `None` if it is none. Fields of 32 and 64 bits, which rpc.proto has none of, are left out.
pub(crate) fn fields(mut bytes: &[u8]) -> Option<Vec<(u64, Value<'_>)>> {
    let mut fields = Vec::new();
    while !bytes.is_empty() {
        let key = varint(&mut bytes)?;
        let field = key >> 3;
        match key & 7 {
            VARINT => fields.push((field, Value::Number(varint(&mut bytes)?))),
            BYTES => {
                let length = usize::try_from(varint(&mut bytes)?).ok()?;
                fields.push((field, Value::Bytes(take(&mut bytes, length)?)));
            }
            FIXED64 => _ = take(&mut bytes, 8)?,
            FIXED32 => _ = take(&mut bytes, 4)?,
            _ => return None,
        }
    }
    Some(fields)
}

fn take<'a>(bytes: &mut &'a [u8], length: usize) -> Option<&'a [u8]> {
    let (taken, rest) = bytes.split_at_checked(length)?;
    *bytes = rest;
    Some(taken)
}

fn varint(bytes: &mut &[u8]) -> Option<u64> {
    let mut value = 0_u64;
    for shift in (0..64).step_by(7) {
        let byte = take(bytes, 1)?[0];
        value |= u64::from(byte & 0x7f) << shift;
        if byte & 0x80 == 0 {
            return Some(value);
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::{Message, Value, fields};

    #[test]
    fn the_examples_of_the_specification() {
        // "Encoding": Test1 { a: 150 }, Test2 { b: "testing" }, Test3 { c: Test1 }, and -2 in ten bytes.
        let test1 = Message::default().number(1, 150);
        assert_eq!(test1.as_bytes(), b"\x08\x96\x01");
        assert_eq!(Message::default().text(2, "testing").as_bytes(), b"\x12\x07testing");
        assert_eq!(Message::default().message(3, &test1).as_bytes(), b"\x1a\x03\x08\x96\x01");
        let minus_two = Message::default().number(1, -2);
        assert_eq!(minus_two.as_bytes(), b"\x08\xfe\xff\xff\xff\xff\xff\xff\xff\xff\x01");
        assert_eq!(fields(minus_two.as_bytes()).unwrap()[0].1.number(), Some(-2));
    }

    #[test]
    fn what_is_written_is_read() {
        let message = Message::default().number(1, true).text(99, "long".repeat(100)).number(5, i32::MAX);
        let long = "long".repeat(100);
        let expected =
            vec![(1, Value::Number(1)), (99, Value::Bytes(long.as_bytes())), (5, Value::Number(0x7fff_ffff))];
        assert_eq!(fields(message.as_bytes()).unwrap(), expected);
    }

    #[test]
    fn what_is_cut_off_or_endless_is_no_message() {
        for bytes in
            [&b"\x08"[..], b"\x12\x07test", b"\x12\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01", b"\x0b", &[0xff; 12]]
        {
            assert_eq!(fields(bytes), None, "{bytes:x?}");
        }
        // Fields that nobody has asked for.
        assert_eq!(fields(b"\x09\0\0\0\0\0\0\0\0\x0d\0\0\0\0").unwrap(), []);
    }
}
