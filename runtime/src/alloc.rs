//! An allocator for a process that lives for milliseconds: from a static megabyte, upwards. Only the last block can be
//! given back. When the megabyte is used up (`events`, a long foreground `run`) the system's allocator goes on.
//! musl's own asks the kernel some fifty times in a `run`; this never does.
#![allow(unsafe_code)]
use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::UnsafeCell;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};

const SIZE: usize = 1 << 20;

#[repr(align(4096))]
pub(crate) struct Arena {
    memory: UnsafeCell<[u8; SIZE]>,
    used: AtomicUsize,
}

// SAFETY: every byte of `memory` belongs to at most one allocation: `used` only moves by compare-and-swap.
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
        to <= SIZE && self.used.compare_exchange(from, to, Relaxed, Relaxed).is_ok()
    }
}

// SAFETY: blocks are aligned, disjoint, and inside the arena or the system allocator's.
unsafe impl GlobalAlloc for Arena {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        let mut used = self.used.load(Relaxed);
        loop {
            let place = used.next_multiple_of(layout.align());
            match place.checked_add(layout.size()).filter(|end| *end <= SIZE) {
                // SAFETY: passed on.
                None => return unsafe { System.alloc(layout) },
                // SAFETY: `place` is inside the arena, which is aligned to more than anybody asks for.
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
