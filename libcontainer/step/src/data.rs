//! Blocks of bytes: as they are for init; where people or their programs read a plan (JSON), what they mean.
use core::fmt;
use serde::ser::{Serialize, Serializer};

/// Something that holds bytes.
pub trait Bytes: AsRef<[u8]> + Serialize {}

impl<T: AsRef<[u8]> + Serialize> Bytes for T {}

fn seen<B: Bytes, S: Serializer>(
    block: &B,
    serializer: S,
    meaning: impl FnOnce(S, &[u8]) -> Result<S::Ok, S::Error>,
) -> Result<S::Ok, S::Error> {
    if serializer.is_human_readable() { meaning(serializer, block.as_ref()) } else { block.serialize(serializer) }
}

/// A list of strings, of which each ends with a NUL.
pub fn strings<B: Bytes, S: Serializer>(block: &B, serializer: S) -> Result<S::Ok, S::Error> {
    seen(block, serializer, |serializer, block| {
        serializer.collect_seq(block.split_inclusive(|byte| *byte == 0).map(Text))
    })
}

/// One string; the NUL at its end is no part of it.
pub fn text<B: Bytes, S: Serializer>(block: &B, serializer: S) -> Result<S::Ok, S::Error> {
    seen(block, serializer, |serializer, block| Text(block).serialize(serializer))
}

/// A list of native u32s.
pub fn numbers<B: Bytes, S: Serializer>(block: &B, serializer: S) -> Result<S::Ok, S::Error> {
    let number = |bytes: &[u8]| u32::from_ne_bytes(bytes.try_into().unwrap_or_default());
    seen(block, serializer, |serializer, block| serializer.collect_seq(block.chunks_exact(4).map(number)))
}

/// A list of the bits that are set in native words.
pub fn bits<B: Bytes, S: Serializer>(block: &B, serializer: S) -> Result<S::Ok, S::Error> {
    const WIDTH: usize = usize::BITS as usize;
    let word = |bytes: &[u8]| usize::from_ne_bytes(bytes.try_into().unwrap_or_default());
    seen(block, serializer, |serializer, block| {
        let words = block.chunks_exact(WIDTH / 8).map(word).enumerate();
        let set = words
            .flat_map(|(at, word)| (0..WIDTH).filter(move |bit| word >> bit & 1 != 0).map(move |bit| at * WIDTH + bit));
        serializer.collect_seq(set)
    })
}

/// Two hexadecimal digits for each byte.
pub fn hex<B: Bytes, S: Serializer>(block: &B, serializer: S) -> Result<S::Ok, S::Error> {
    struct Hex<'a>(&'a [u8]);
    impl fmt::Display for Hex<'_> {
        fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
        }
    }
    seen(block, serializer, |serializer, block| serializer.collect_str(&Hex(block)))
}

/// What is no UTF-8 is seen as `U+FFFD`.
struct Text<'a>(&'a [u8]);

impl fmt::Display for Text<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for chunk in self.0.strip_suffix(&[0]).unwrap_or(self.0).utf8_chunks() {
            f.write_str(chunk.valid())?;
            f.write_str(if chunk.invalid().is_empty() { "" } else { "\u{fffd}" })?;
        }
        Ok(())
    }
}

impl Serialize for Text<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}
