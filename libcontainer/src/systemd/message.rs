//! Messages of the [D-Bus protocol](https://dbus.freedesktop.org/doc/dbus-specification.html), as many of them as it takes to
//! talk to systemd. Bytes only: no socket here.
#![forbid(unsafe_code)]
use crate::plan::cgroup::{Property, Value};
use std::fmt;

const METHOD_CALL: u8 = 1;
const METHOD_RETURN: u8 = 2;
const ERROR: u8 = 3;
const SIGNAL: u8 = 4;

/// Fields of a header.
const PATH: u8 = 1;
const INTERFACE: u8 = 2;
const MEMBER: u8 = 3;
const ERROR_NAME: u8 = 4;
const REPLY_SERIAL: u8 = 5;
const DESTINATION: u8 = 6;
const SIGNATURE: u8 = 8;

/// What we are told is short. The limit of the protocol is 128 MiB.
const LONGEST: usize = 1 << 20;

/// Where a call goes.
#[derive(Debug, Clone, Copy)]
pub(super) struct Object {
    pub(super) destination: &'static str,
    pub(super) path: &'static str,
    pub(super) interface: &'static str,
}

/// The arguments of a call.
#[derive(Debug, Default)]
pub(super) struct Body {
    signature: String,
    bytes: Writer,
}

impl Body {
    pub(super) fn text(mut self, text: &str) -> Body {
        self.signature.push('s');
        self.bytes.text(text);
        self
    }

    pub(super) fn bool(mut self, value: bool) -> Body {
        self.signature.push('b');
        self.bytes.number(u32::from(value));
        self
    }

    /// `au`
    pub(super) fn pids(mut self, pid: u32) -> Body {
        self.signature.push_str("au");
        self.bytes.array(4, [pid], |bytes, pid| bytes.number(pid));
        self
    }

    /// `a(sv)`, and with a pid the property `PIDs`.
    pub(super) fn properties(mut self, properties: &[Property], pid: Option<u32>) -> Body {
        self.signature.push_str("a(sv)");
        let properties = properties.iter().map(Some).chain(pid.map(|_| None));
        self.bytes.array(8, properties, |bytes, property| {
            bytes.align(8);
            match property {
                Some(property) => {
                    bytes.text(property.name);
                    bytes.variant(&property.value);
                }
                None => {
                    bytes.text("PIDs");
                    bytes.signature("au");
                    bytes.array(4, pid, |bytes, pid| bytes.number(pid));
                }
            }
        });
        self
    }

    /// `a(sa(sv))`: no further units.
    pub(super) fn no_units(mut self) -> Body {
        self.signature.push_str("a(sa(sv))");
        self.bytes.array(8, [(); 0], |_, ()| {});
        self
    }
}

/// The bytes of a call.
pub(super) fn call(serial: u32, to: Object, member: &str, body: &Body) -> Vec<u8> {
    let mut message = Writer(vec![b'l', METHOD_CALL, 0, 1]);
    message.number(u32::try_from(body.bytes.0.len()).unwrap_or(u32::MAX));
    message.number(serial);
    let fields = [
        (PATH, "o", to.path),
        (DESTINATION, "s", to.destination),
        (INTERFACE, "s", to.interface),
        (MEMBER, "s", member),
        (SIGNATURE, "g", &body.signature),
    ];
    let fields = fields.into_iter().filter(|(_, _, value)| !value.is_empty());
    message.array(8, fields, |bytes, (field, kind, value)| {
        bytes.align(8);
        bytes.0.push(field);
        bytes.signature(kind);
        if kind == "g" { bytes.signature(value) } else { bytes.text(value) }
    });
    message.align(8);
    message.0.extend(&body.bytes.0);
    message.0
}

/// Values, each at a multiple of its alignment.
#[derive(Debug, Default)]
struct Writer(Vec<u8>);

impl Writer {
    fn align(&mut self, to: usize) {
        self.0.resize(self.0.len().next_multiple_of(to), 0);
    }

    fn number(&mut self, number: u32) {
        self.align(4);
        self.0.extend(number.to_le_bytes());
    }

    fn text(&mut self, text: &str) {
        self.number(u32::try_from(text.len()).unwrap_or(u32::MAX));
        self.0.extend(text.as_bytes());
        self.0.push(0);
    }

    fn signature(&mut self, signature: &str) {
        self.0.push(u8::try_from(signature.len()).unwrap_or(u8::MAX));
        self.0.extend(signature.as_bytes());
        self.0.push(0);
    }

    /// The length does not count the padding before the first element.
    fn array<T>(&mut self, align: usize, items: impl IntoIterator<Item = T>, mut write: impl FnMut(&mut Writer, T)) {
        self.number(0);
        let length = self.0.len() - 4;
        self.align(align);
        let first = self.0.len();
        for item in items {
            write(self, item);
        }
        let bytes = u32::try_from(self.0.len() - first).unwrap_or(u32::MAX);
        self.0[length..length + 4].copy_from_slice(&bytes.to_le_bytes());
    }

    fn long(&mut self, number: u64) {
        self.align(8);
        self.0.extend(number.to_le_bytes());
    }

    fn variant(&mut self, value: &Value) {
        match value {
            Value::Bool(value) => {
                self.signature("b");
                self.number(u32::from(*value));
            }
            Value::Signed(value) => {
                self.signature("i");
                self.number(u32::from_le_bytes(value.to_le_bytes()));
            }
            Value::Number(value) => {
                self.signature("t");
                self.long(*value);
            }
            Value::Text(text) => {
                self.signature("s");
                self.text(text);
            }
            Value::Texts(texts) => {
                self.signature("as");
                self.array(4, texts, |bytes, text| bytes.text(text));
            }
            Value::Set(set) => {
                self.signature("ay");
                self.array(1, set, |bytes, byte| bytes.0.push(*byte));
            }
            Value::Pairs(pairs) => {
                self.signature("a(ss)");
                self.array(8, pairs, |bytes, (one, other)| {
                    bytes.align(8);
                    bytes.text(one);
                    bytes.text(other);
                });
            }
            Value::Rates(rates) => {
                self.signature("a(st)");
                self.array(8, rates, |bytes, (path, rate)| {
                    bytes.align(8);
                    bytes.text(path);
                    bytes.long(*rate);
                });
            }
        }
    }
}

/// What somebody has told us.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Message {
    /// To the call with this serial; what it returns, if that is a string or a path.
    Reply {
        to: u32,
        value: String,
    },
    Failure {
        to: u32,
        refusal: Refusal,
    },
    /// `JobRemoved` of `org.freedesktop.systemd1.Manager`.
    JobRemoved {
        job: String,
        result: String,
    },
    /// A signal that we have not asked for.
    Other,
}

/// Why a call has failed: the name of a D-Bus error, and what people read.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Refusal {
    pub(super) name: String,
    pub(super) words: String,
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} ({})", self.words, self.name)
    }
}

/// Bytes that are no message.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Broken;

/// How long the message that begins so is; `None` if that cannot be said yet.
pub(super) fn length(bytes: &[u8]) -> Result<Option<usize>, Broken> {
    let Some(start) = bytes.get(..16) else { return Ok(None) };
    if start[0] != b'l' || start[3] != 1 {
        return Err(Broken);
    }
    let mut reader = Reader { bytes: start, at: 4 };
    let body = usize::try_from(reader.number()?).map_err(|_| Broken)?;
    reader.number()?;
    let fields = usize::try_from(reader.number()?).map_err(|_| Broken)?;
    if body > LONGEST || fields > LONGEST {
        return Err(Broken);
    }
    Ok(Some((16 + fields).next_multiple_of(8) + body))
}

/// A whole message.
pub(super) fn parse(bytes: &[u8]) -> Result<Message, Broken> {
    let kind = *bytes.get(1).ok_or(Broken)?;
    let mut reader = Reader { bytes, at: 12 };
    let end = usize::try_from(reader.number()?).map_err(|_| Broken)? + 16;
    let mut to = None;
    let (mut name, mut member, mut interface, mut signature) =
        (String::new(), String::new(), String::new(), String::new());
    while reader.at < end {
        reader.align(8);
        let field = reader.byte()?;
        let value = match reader.signature()?.as_str() {
            "u" => {
                let number = reader.number()?;
                if field == REPLY_SERIAL {
                    to = Some(number);
                }
                continue;
            }
            "s" | "o" => reader.text()?,
            "g" => reader.signature()?,
            // A field that the protocol has not had so far.
            _ => return Err(Broken),
        };
        match field {
            ERROR_NAME => name = value,
            MEMBER => member = value,
            INTERFACE => interface = value,
            SIGNATURE => signature = value,
            _ => {}
        }
    }
    reader.at = end.next_multiple_of(8);
    let mut first_text = || if signature.starts_with(['s', 'o']) { reader.text() } else { Ok(String::new()) };
    match kind {
        METHOD_RETURN => Ok(Message::Reply { to: to.ok_or(Broken)?, value: first_text()? }),
        ERROR => Ok(Message::Failure { to: to.ok_or(Broken)?, refusal: Refusal { name, words: first_text()? } }),
        SIGNAL if interface == "org.freedesktop.systemd1.Manager" && member == "JobRemoved" && signature == "uoss" => {
            reader.number()?;
            let (job, _unit, result) = (reader.text()?, reader.text()?, reader.text()?);
            Ok(Message::JobRemoved { job, result })
        }
        _ => Ok(Message::Other),
    }
}

struct Reader<'a> {
    bytes: &'a [u8],
    at: usize,
}

impl<'a> Reader<'a> {
    fn align(&mut self, to: usize) {
        self.at = self.at.next_multiple_of(to);
    }

    fn take(&mut self, count: usize) -> Result<&'a [u8], Broken> {
        let end = self.at.checked_add(count).ok_or(Broken)?;
        let taken = self.bytes.get(self.at..end).ok_or(Broken)?;
        self.at = end;
        Ok(taken)
    }

    fn byte(&mut self) -> Result<u8, Broken> {
        Ok(self.take(1)?[0])
    }

    fn number(&mut self) -> Result<u32, Broken> {
        self.align(4);
        self.take(4)?.try_into().map(u32::from_le_bytes).map_err(|_| Broken)
    }

    fn text(&mut self) -> Result<String, Broken> {
        let length = usize::try_from(self.number()?).map_err(|_| Broken)?;
        self.string(length)
    }

    fn signature(&mut self) -> Result<String, Broken> {
        let length = usize::from(self.byte()?);
        self.string(length)
    }

    fn string(&mut self, length: usize) -> Result<String, Broken> {
        let text = self.take(length)?.to_vec();
        self.take(1)?;
        String::from_utf8(text).map_err(|_| Broken)
    }
}

/// What holds for all that comes from the bus, for tests and the fuzzer: messages one after another as `Bus` takes them, and what is
/// told of one stands in it.
#[cfg(any(test, fuzzing))]
pub(crate) fn laws(mut bytes: &[u8]) {
    while let Ok(Some(length)) = self::length(bytes) {
        assert!((16..=16 + 8 + 2 * LONGEST).contains(&length), "{length}");
        let Some((message, rest)) = bytes.split_at_checked(length) else { break };
        // Known from its first 16 bytes on, and no sooner.
        assert_eq!(self::length(&message[..16]), Ok(Some(length)));
        assert_eq!(self::length(&message[..15]), Ok(None));
        let told = match parse(message) {
            Ok(Message::Reply { value, .. }) => vec![value],
            Ok(Message::Failure { refusal, .. }) => {
                assert!(!refusal.to_string().is_empty());
                vec![refusal.name, refusal.words]
            }
            Ok(Message::JobRemoved { job, result }) => vec![job, result],
            Ok(Message::Other) | Err(Broken) => Vec::new(),
        };
        for text in told {
            assert!(text.is_empty() || message.windows(text.len()).any(|part| part == text.as_bytes()), "{text:?}");
        }
        bytes = rest;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The body of a call with one property.
    fn bytes(value: Value) -> Vec<u8> {
        Body::default().properties(&[Property { name: "Abc", value }], None).bytes.0
    }

    #[test]
    fn every_type_of_value_is_written_as_the_protocol_says() {
        // The length of the array, to a multiple of 8; name; signature; value.
        let start = |length: u8, rest: &[u8]| [&[length, 0, 0, 0, 0, 0, 0, 0, 3, 0, 0, 0][..], b"Abc\0", rest].concat();
        assert_eq!(bytes(Value::Bool(true)), start(16, b"\x01b\0\0\x01\0\0\0"));
        assert_eq!(bytes(Value::Signed(-2)), start(16, b"\x01i\0\0\xfe\xff\xff\xff"));
        assert_eq!(bytes(Value::Number(u64::MAX)), start(24, b"\x01t\0\0\0\0\0\0\xff\xff\xff\xff\xff\xff\xff\xff"));
        assert_eq!(bytes(Value::Text("xy".into())), start(19, b"\x01s\0\0\x02\0\0\0xy\0"));
        assert_eq!(bytes(Value::Texts(vec!["x".into()])), start(22, b"\x02as\0\x06\0\0\0\x01\0\0\0x\0"));
        assert_eq!(bytes(Value::Set(vec![5, 6])), start(18, b"\x02ay\0\x02\0\0\0\x05\x06"));
        assert_eq!(
            bytes(Value::Pairs(vec![("x".into(), "y".into())])),
            start(38, b"\x05a(ss)\0\0\x0e\0\0\0\0\0\0\0\x01\0\0\0x\0\0\0\x01\0\0\0y\0")
        );
        assert_eq!(
            bytes(Value::Rates(vec![("x".into(), 9)])),
            start(40, b"\x05a(st)\0\0\x10\0\0\0\0\0\0\0\x01\0\0\0x\0\0\0\x09\0\0\0\0\0\0\0")
        );
    }

    #[test]
    fn the_pid_is_the_last_property() {
        let body = Body::default().properties(&[], Some(258));
        assert_eq!(body.bytes.0, b"\x18\0\0\0\0\0\0\0\x04\0\0\0PIDs\0\x02au\0\0\0\0\x04\0\0\0\x02\x01\0\0");
        assert_eq!(body.signature, "a(sv)");
    }

    #[test]
    fn a_call_is_laid_out_as_the_protocol_says() {
        let to = Object { destination: "d.e", path: "/p", interface: "i.f" };
        let expected = [
            &b"l\x01\0\x01\x06\0\0\0\x07\0\0\0"[..],
            b"\x47\0\0\0",
            b"\x01\x01o\0\x02\0\0\0/p\0\0\0\0\0\0",
            b"\x06\x01s\0\x03\0\0\0d.e\0\0\0\0\0",
            b"\x02\x01s\0\x03\0\0\0i.f\0\0\0\0\0",
            b"\x03\x01s\0\x01\0\0\0M\0\0\0\0\0\0\0",
            b"\x08\x01g\0\x01s\0\0",
            b"\x01\0\0\0u\0",
        ];
        assert_eq!(call(7, to, "M", &Body::default().text("u")), expected.concat());
    }

    #[test]
    fn no_bytes_make_the_reader_panic() {
        let to = Object { destination: "d.e", path: "/p", interface: "i.f" };
        let whole = call(7, to, "M", &Body::default().text("u"));
        assert_eq!(parse(&whole), Ok(Message::Other));
        for end in 0..whole.len() {
            let _ = (length(&whole[..end]), parse(&whole[..end]));
            for byte in [0, 1, 0x7f, 0xff] {
                let mut changed = whole.clone();
                changed[end] = byte;
                let _ = (length(&changed), parse(&changed));
            }
        }
    }
}
