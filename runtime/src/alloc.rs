//! An allocator for a process that lives for milliseconds: from a static megabyte, upwards. Only the last block can be
//! given back. When the megabyte is used up (`events`, a long foreground `run`) the system's allocator goes on.
//! musl's own asks the kernel some fifty times in a `run`; this never does.
#![allow(unsafe_code)]
use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::UnsafeCell;
use std::sync::atomic::AtomicUsize;
use std::sync::atomic::Ordering::{AcqRel, Relaxed};

const SIZE: usize = 1 << 20;
/// That of the arena: whoever asks for more, which nobody here does, is sent to the system's allocator.
const ALIGN: usize = 4096;

#[repr(C, align(4096))]
pub(crate) struct Arena {
    memory: UnsafeCell<[u8; SIZE]>,
    used: AtomicUsize,
}

const _: () = assert!(align_of::<Arena>() == ALIGN);

// SAFETY: every byte of `memory` belongs to at most one allocation: `used` only moves by compare-and-swap, which also lets whoever
// gets a byte see what was done with it by whoever gave it back.
unsafe impl Sync for Arena {}

impl Arena {
    pub(crate) const fn new() -> Arena {
        Arena { memory: UnsafeCell::new([0; SIZE]), used: AtomicUsize::new(0) }
    }

    fn start(&self) -> *mut u8 {
        self.memory.get().cast()
    }

    /// Where `block` is in the arena, if it is there at all.
    fn place(&self, block: *mut u8) -> Option<usize> {
        (block as usize).checked_sub(self.start() as usize).filter(|place| *place < SIZE)
    }

    /// Moves the end, if it still is at `from`.
    fn move_end(&self, from: usize, to: usize) -> bool {
        to <= SIZE && self.used.compare_exchange(from, to, AcqRel, Relaxed).is_ok()
    }
}

// SAFETY: blocks are aligned, disjoint, and inside the arena or the system allocator's. `memory` comes first in the arena, so that
// what is aligned in it is aligned.
unsafe impl GlobalAlloc for Arena {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        if layout.align() > ALIGN {
            // SAFETY: passed on.
            return unsafe { System.alloc(layout) };
        }
        let mut used = self.used.load(Relaxed);
        loop {
            let place = used.next_multiple_of(layout.align());
            match place.checked_add(layout.size()).filter(|end| *end <= SIZE) {
                // SAFETY: passed on.
                None => return unsafe { System.alloc(layout) },
                // SAFETY: `place` is inside the arena; it and the arena's beginning are multiples of the alignment.
                Some(end) if self.move_end(used, end) => return unsafe { self.start().add(place) },
                Some(_) => used = self.used.load(Relaxed),
            }
        }
    }

    unsafe fn dealloc(&self, block: *mut u8, layout: Layout) {
        match self.place(block) {
            Some(place) => _ = self.move_end(place + layout.size(), place),
            // SAFETY: not ours, so the system's.
            None => unsafe { System.dealloc(block, layout) },
        }
    }

    unsafe fn realloc(&self, block: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        let Some(place) = self.place(block) else {
            // SAFETY: not ours, so the system's.
            return unsafe { System.realloc(block, layout, size) };
        };
        if self.move_end(place + layout.size(), place.saturating_add(size)) {
            return block;
        }
        // SAFETY: the caller's layout is valid for the new size; both blocks hold what is copied and do not overlap.
        unsafe {
            let new = self.alloc(Layout::from_size_align_unchecked(size, layout.align()));
            if !new.is_null() {
                new.copy_from_nonoverlapping(block, size.min(layout.size()));
                self.dealloc(block, layout);
            }
            new
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn blocks_are_aligned_as_asked_and_apart() {
        static ARENA: Arena = Arena::new();
        let mut blocks: Vec<(usize, usize)> = Vec::new();
        for shift in (0..17).rev().chain(0..17) {
            let layout = Layout::from_size_align(3, 1 << shift).unwrap();
            // SAFETY: the layout has a size.
            let block = unsafe { ARENA.alloc(layout) };
            assert!(!block.is_null());
            assert_eq!(block as usize % layout.align(), 0, "{shift}");
            blocks.push((block as usize, block as usize + 3));
        }
        blocks.sort_unstable();
        assert!(blocks.windows(2).all(|pair| pair[0].1 <= pair[1].0), "{blocks:?}");
    }

    #[test]
    fn only_the_last_block_grows_in_its_place() {
        static ARENA: Arena = Arena::new();
        let layout = Layout::from_size_align(8, 8).unwrap();
        // SAFETY: each block is used with the layout that it has.
        unsafe {
            let first = ARENA.alloc(layout);
            first.write_bytes(7, 8);
            assert_eq!(ARENA.realloc(first, layout, 16), first);
            let grown = Layout::from_size_align(16, 8).unwrap();
            let second = ARENA.alloc(layout);
            let moved = ARENA.realloc(first, grown, 32);
            assert!(moved != first && moved != second && moved.read() == 7 && moved.add(7).read() == 7);
            ARENA.dealloc(moved, Layout::from_size_align(32, 8).unwrap());
            assert_eq!(ARENA.alloc(layout), moved);
        }
    }
}
