//! The library.
pub mod error;
pub mod facts;
pub mod plan { pub mod line; }
pub use error::{Error, ErrorKind, Result};
