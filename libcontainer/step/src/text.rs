//! The one string type of both sides: bytes with a NUL at the end and none before it.
use core::ffi::CStr;
use core::fmt;
use serde::de::{Deserialize, Deserializer, Error, Visitor};
use serde::ser::{Serialize, Serializer};

/// A borrowed string that the kernel can take as it is.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct ZStr<'a>(pub &'a CStr);

impl fmt::Debug for ZStr<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl Serialize for ZStr<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_bytes(self.0.to_bytes_with_nul())
    }
}

impl<'de: 'a, 'a> Deserialize<'de> for ZStr<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Borrowed;
        impl<'de> Visitor<'de> for Borrowed {
            type Value = ZStr<'de>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("bytes that end with their only NUL")
            }

            fn visit_borrowed_bytes<E: Error>(self, bytes: &'de [u8]) -> Result<Self::Value, E> {
                CStr::from_bytes_with_nul(bytes).map(ZStr).map_err(|_| E::custom("no string"))
            }
        }
        deserializer.deserialize_bytes(Borrowed)
    }
}

/// The owned form, which the plan is written in.
#[cfg(feature = "std")]
#[derive(Clone, PartialEq, Eq, Default)]
pub struct ZString(pub std::ffi::CString);

#[cfg(feature = "std")]
mod owned {
    use super::*;
    use std::ffi::CString;

    impl fmt::Debug for ZString {
        fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            self.0.fmt(f)
        }
    }

    /// As text for people; not for opening anything.
    impl fmt::Display for ZString {
        fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.write_str(&self.0.to_string_lossy())
        }
    }

    impl Serialize for ZString {
        fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
            if serializer.is_human_readable() {
                return serializer.collect_str(self);
            }
            ZStr(&self.0).serialize(serializer)
        }
    }

    impl<'de> Deserialize<'de> for ZString {
        fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
            ZStr::deserialize(deserializer).map(|text| ZString(text.0.to_owned()))
        }
    }

    impl ZString {
        /// The string with its NUL; an error if `text` holds one already (which `validate` has ruled out for
        /// everything that comes from config.json).
        pub fn new(text: impl Into<Vec<u8>>) -> Result<ZString, std::ffi::NulError> {
            CString::new(text).map(ZString)
        }

        /// The path that it is, byte for byte; where paths are no bytes, as near as can be.
        pub fn to_path(&self) -> std::path::PathBuf {
            #[cfg(unix)]
            return <std::ffi::OsStr as std::os::unix::ffi::OsStrExt>::from_bytes(self.0.to_bytes()).into();
            #[cfg(not(unix))]
            return self.0.to_string_lossy().into_owned().into();
        }
    }
}
