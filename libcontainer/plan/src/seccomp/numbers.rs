//! From the name of a system call to its numbers.
#![forbid(unsafe_code)]
use super::table::TABLE;

/// All that a name stands for: a cell for each ABI.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Call(u16);

impl Call {
    pub(super) const COUNT: usize = TABLE.len();

    /// `None` if no ABI has such a call.
    pub(super) fn named(name: &str) -> Option<Call> {
        let mut slot = hash(name.as_bytes());
        loop {
            match INDEX[slot % SLOTS] {
                EMPTY => return None,
                row if TABLE[usize::from(row)].0 == name => return Some(Call(row)),
                _ => slot += 1,
            }
        }
    }

    pub(super) fn cell(self, column: usize) -> Option<u16> {
        u16::try_from(TABLE[self.row()].1[column]).ok()
    }

    /// Less than `COUNT`, each call another.
    pub(super) fn row(self) -> usize {
        usize::from(self.0)
    }
}

/// A hash table rather than binary search: a profile has some four hundred names, and looking
/// them up is the greater part of compiling it.
static INDEX: [u16; SLOTS] = index();
const SLOTS: usize = 2048;
const EMPTY: u16 = u16::MAX;

#[expect(clippy::cast_possible_truncation, reason = "checked here, when this is compiled")]
const fn index() -> [u16; SLOTS] {
    assert!(TABLE.len() < SLOTS / 2);
    let mut index = [EMPTY; SLOTS];
    let mut row = 0;
    while row < TABLE.len() {
        let mut slot = hash(TABLE[row].0.as_bytes());
        while index[slot % SLOTS] != EMPTY {
            slot += 1;
        }
        index[slot % SLOTS] = row as u16;
        row += 1;
    }
    index
}

/// FNV-1a. Names come from a configuration that may choose a seccomp profile, so nothing is
/// gained by making them collide.
const fn hash(name: &[u8]) -> usize {
    let mut hash: u32 = 0x811c_9dc5;
    let mut i = 0;
    while i < name.len() {
        hash = (hash ^ name[i] as u32).wrapping_mul(0x0100_0193);
        i += 1;
    }
    (hash ^ (hash >> 15)) as usize
}
