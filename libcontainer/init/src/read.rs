//! Reading what the host has written: postcard's format, without its errors.
//!
//! The host is trusted, and what it writes is whole. So that no field of no step costs a branch for what never happens, there is no
//! error to hand on ([`Never`]): who cannot go on says so and ends. With postcard's own reader, reading the steps is a third of the
//! program, all of which every created container keeps in memory.
use crate::broken;
use core::fmt;
use serde::de::{self, Deserialize, DeserializeSeed, Deserializer, EnumAccess, IntoDeserializer, SeqAccess, Visitor};
use serde::forward_to_deserialize_any;

/// Bytes that are read one value after another.
#[derive(Debug)]
pub struct Reader<'a> {
    rest: &'a [u8],
}

/// The error of a reader that has none.
#[derive(Debug)]
pub enum Never {}

impl de::Error for Never {
    fn custom<T: fmt::Display>(_: T) -> Never {
        broken()
    }
}

impl core::error::Error for Never {}

impl fmt::Display for Never {
    fn fmt(&self, _: &mut fmt::Formatter<'_>) -> fmt::Result {
        match *self {}
    }
}

impl<'a> Reader<'a> {
    pub fn new(bytes: &'a [u8]) -> Reader<'a> {
        Reader { rest: bytes }
    }

    pub fn is_at_the_end(&self) -> bool {
        self.rest.is_empty()
    }

    /// The next value.
    pub fn read<T: Deserialize<'a>>(&mut self) -> T {
        match T::deserialize(self) {
            Ok(value) => value,
        }
    }

    #[inline(never)]
    fn byte(&mut self) -> u8 {
        let Some((byte, rest)) = self.rest.split_first() else { broken() };
        self.rest = rest;
        *byte
    }

    /// Seven bits a byte, the lowest first; the eighth says that there are more.
    #[inline(never)]
    fn number(&mut self) -> u64 {
        let mut number = 0;
        let mut shift = 0;
        loop {
            let byte = self.byte();
            let bits = u64::from(byte & 0x7f);
            if bits << shift >> shift != bits {
                broken()
            }
            number |= bits << shift;
            if byte & 0x80 == 0 {
                return number;
            }
            shift += 7;
            if shift >= u64::BITS {
                broken()
            }
        }
    }

    #[inline(never)]
    fn small_number(&mut self) -> u32 {
        u32::try_from(self.number()).unwrap_or_else(|_| broken())
    }

    #[inline(never)]
    fn bytes(&mut self) -> &'a [u8] {
        let len = usize::try_from(self.number()).unwrap_or_else(|_| broken());
        let Some((bytes, rest)) = self.rest.split_at_checked(len) else { broken() };
        self.rest = rest;
        bytes
    }
}

impl<'a> Deserializer<'a> for &mut Reader<'a> {
    type Error = Never;

    /// A type that no step has.
    fn deserialize_any<V: Visitor<'a>>(self, _: V) -> Result<V::Value, Never> {
        broken()
    }

    fn deserialize_bool<V: Visitor<'a>>(self, visitor: V) -> Result<V::Value, Never> {
        visitor.visit_bool(self.byte() != 0)
    }

    fn deserialize_u8<V: Visitor<'a>>(self, visitor: V) -> Result<V::Value, Never> {
        visitor.visit_u8(self.byte())
    }

    fn deserialize_u16<V: Visitor<'a>>(self, visitor: V) -> Result<V::Value, Never> {
        visitor.visit_u16(u16::try_from(self.small_number()).unwrap_or_else(|_| broken()))
    }

    fn deserialize_u32<V: Visitor<'a>>(self, visitor: V) -> Result<V::Value, Never> {
        visitor.visit_u32(self.small_number())
    }

    fn deserialize_u64<V: Visitor<'a>>(self, visitor: V) -> Result<V::Value, Never> {
        visitor.visit_u64(self.number())
    }

    /// The sign is the lowest bit.
    fn deserialize_i32<V: Visitor<'a>>(self, visitor: V) -> Result<V::Value, Never> {
        let number = self.small_number();
        visitor.visit_i32((number >> 1) as i32 ^ -((number & 1) as i32))
    }

    fn deserialize_bytes<V: Visitor<'a>>(self, visitor: V) -> Result<V::Value, Never> {
        visitor.visit_borrowed_bytes(self.bytes())
    }

    fn deserialize_option<V: Visitor<'a>>(self, visitor: V) -> Result<V::Value, Never> {
        match self.byte() {
            0 => visitor.visit_none(),
            _ => visitor.visit_some(self),
        }
    }

    fn deserialize_newtype_struct<V: Visitor<'a>>(self, _: &'static str, visitor: V) -> Result<V::Value, Never> {
        visitor.visit_newtype_struct(self)
    }

    fn deserialize_tuple<V: Visitor<'a>>(self, _: usize, visitor: V) -> Result<V::Value, Never> {
        visitor.visit_seq(self)
    }

    fn deserialize_struct<V: Visitor<'a>>(
        self,
        _: &'static str,
        _: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Never> {
        visitor.visit_seq(self)
    }

    fn deserialize_enum<V: Visitor<'a>>(
        self,
        _: &'static str,
        _: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Never> {
        visitor.visit_enum(self)
    }

    forward_to_deserialize_any! {
        <V: Visitor<'a>>
        i8 i16 i64 i128 u128 f32 f64 char str string byte_buf unit unit_struct seq tuple_struct map identifier ignored_any
    }

    fn is_human_readable(&self) -> bool {
        false
    }
}

/// Whoever asks knows how many there are.
impl<'a> SeqAccess<'a> for &mut Reader<'a> {
    type Error = Never;

    fn next_element_seed<T: DeserializeSeed<'a>>(&mut self, seed: T) -> Result<Option<T::Value>, Never> {
        seed.deserialize(&mut **self).map(Some)
    }
}

impl<'a> EnumAccess<'a> for &mut Reader<'a> {
    type Error = Never;
    type Variant = Self;

    fn variant_seed<V: DeserializeSeed<'a>>(self, seed: V) -> Result<(V::Value, Self), Never> {
        let variant = self.small_number().into_deserializer();
        Ok((seed.deserialize::<de::value::U32Deserializer<Never>>(variant)?, self))
    }
}

impl<'a> de::VariantAccess<'a> for &mut Reader<'a> {
    type Error = Never;

    fn unit_variant(self) -> Result<(), Never> {
        Ok(())
    }

    fn newtype_variant_seed<T: DeserializeSeed<'a>>(self, seed: T) -> Result<T::Value, Never> {
        seed.deserialize(self)
    }

    fn tuple_variant<V: Visitor<'a>>(self, _: usize, visitor: V) -> Result<V::Value, Never> {
        visitor.visit_seq(self)
    }

    fn struct_variant<V: Visitor<'a>>(self, _: &'static [&'static str], visitor: V) -> Result<V::Value, Never> {
        visitor.visit_seq(self)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Line;
    use step::{
        Attributes, Device, Failure, FromInit, Link, Mounted, Options, Present, Source, Step, Target, ToInit, ZStr,
    };

    const ATTRIBUTES: Attributes = Attributes { set: u64::MAX, clear: 1 << 40 };

    fn mounts() -> [Line<'static>; 3] {
        let z = ZStr;
        [
            Step::Mount {
                fstype: z(c"tmpfs"),
                source: z(c""),
                target: z(c"/dev"),
                kind: Target::OrdinaryDirectory,
                options: Options::Whole { flags: u32::MAX, data: b"size=1\0" },
                attributes: ATTRIBUTES,
                propagation: 1 << 19,
                copy_up: true,
                or_bind: Some(z(c"/sys")),
                keep: false,
            },
            Step::BindMount {
                source: Source::Inside(z(c"/a")),
                target: z(c"/b"),
                kind: Target::Link,
                recursive: false,
                attributes: Attributes::default(),
                recursive_attributes: ATTRIBUTES,
                propagation: 0,
                link: Link::Bind,
                keep: true,
            },
            Step::Remount {
                mount: Mounted::Held(200),
                attributes: ATTRIBUTES,
                recursive_attributes: ATTRIBUTES,
                propagation: 0,
                options: Options::Each(&[b'x'; 300]),
                keep: true,
            },
        ]
    }

    /// Steps with every kind of field that there is.
    fn lines() -> Vec<(u16, Line<'static>)> {
        let steps: Vec<Line<'static>> = vec![
            Step::Host { fills: true },
            Step::SetOomScoreAdj { value: -1000 },
            Step::SetOomScoreAdj { value: i32::MIN },
            Step::SetOomScoreAdj { value: i32::MAX },
            Step::SetCpuAffinity { mask: &[] },
            Step::JoinCgroup { first: 3, count: u16::MAX },
            Step::BecomeRoot,
            Step::MakeDevice {
                path: ZStr(c"/dev/null"),
                device: Device { kind: 0x2000, major: 1, minor: 3 },
                mode: 0o666,
                uid: u32::MAX,
                gid: 0,
                present: Present::IsTheDevice,
            },
            Step::SetScheduler {
                policy: 6,
                flags: 0,
                nice: -20,
                priority: 0,
                runtime: 1,
                deadline: u64::MAX,
                period: 3,
            },
            Step::AwaitStart { start: 1, said: 2, door: Some(3) },
            Step::AwaitStart { start: 1, said: 2, door: None },
            Step::Exec { program: None, argv: b"sh\0-c\0", env: b"" },
        ];
        steps
            .into_iter()
            .chain(mounts())
            .enumerate()
            .map(|(line, step)| (u16::try_from(line * 9999).unwrap_or(9), step))
            .collect()
    }

    #[test]
    fn what_the_host_writes_is_read() {
        let mut buffer = [0; 4096];
        let mut len = 0;
        for line in lines() {
            len += postcard::to_slice(&line, &mut buffer[len..]).unwrap().len();
        }
        let mut reader = Reader::new(&buffer[..len]);
        for line in lines() {
            assert_eq!(reader.read::<(u16, Line<'_>)>(), line);
        }
        assert!(reader.is_at_the_end());
    }

    #[test]
    fn messages_are_read() {
        let mut buffer = [0; 64];
        for message in [ToInit::Plan { len: 1 << 30, trace: 7 }, ToInit::Go] {
            assert_eq!(Reader::new(postcard::to_slice(&message, &mut buffer).unwrap()).read::<ToInit>(), message);
        }
        let failure = Failure { line: 4, call: step::Call::Openat2, errno: 13, detail: b"no" };
        let message = FromInit::Failed(failure);
        assert_eq!(Reader::new(postcard::to_slice(&message, &mut buffer).unwrap()).read::<FromInit<'_>>(), message);
    }

    #[test]
    fn whatever_is_cut_off_or_unknown_is_broken() {
        let mut buffer = [0; 4096];
        let mut broken = 0;
        for line in lines() {
            let bytes = postcard::to_slice(&line, &mut buffer).unwrap();
            for len in 0..bytes.len() {
                let cut = &bytes[..len];
                broken +=
                    u32::from(std::panic::catch_unwind(|| _ = Reader::new(cut).read::<(u16, Line<'_>)>()).is_ok());
            }
        }
        assert_eq!(broken, 0);
        for bytes in
            [&[0xff; 11][..], &[0, 0xff, 0xff, 3], &[0x80, 0x80, 0x04, 1], &[0, 3, 0xff, 0xff, 0xff, 0xff, 0xff, 1]]
        {
            assert!(
                std::panic::catch_unwind(|| _ = Reader::new(bytes).read::<(u16, Line<'_>)>()).is_err(),
                "{bytes:?}"
            );
        }
    }
}
