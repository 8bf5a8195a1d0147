//! Cheap process starts and medians, for the two programs in `src/bin`.
