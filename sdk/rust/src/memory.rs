//! A service's heap: first the room that its module has from the start, then what the system grows.
//!
//! A module that grows its memory has the node change the protection of its pages, there and back with each
//! call, and each time every processor of the machine has to hear of it: half of what a short call costs.
//! Most calls need less than [`ROOM_BYTES`].
//!
//! ```text
//!   allocate ──► fits behind what was given last? ──yes──► the room
//!                                                 └─no───► the system's allocator, which grows the memory
//! ```
//!
//! - Bounds: [`ROOM_BYTES`]. What is freed in the room is used again only if it was given last; an instance
//!   serves one call, so that no more than the room is ever lost.
//! - Invariant: nothing that is in use is given twice.

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::{Cell, UnsafeCell};
use std::ptr;

/// The room's size. No node wipes more than that in place between two calls.
const ROOM_BYTES: usize = 256 << 10;

/// See the module.
#[repr(C, align(16))]
pub(crate) struct Memory {
    room: UnsafeCell<[u8; ROOM_BYTES]>,
    used: Cell<usize>,
}

// SAFETY: a service has one thread; tests, which have several, do not share one.
unsafe impl Sync for Memory {}

impl Memory {
    pub(crate) const fn new() -> Self {
        Self { room: UnsafeCell::new([0; ROOM_BYTES]), used: Cell::new(0) }
    }

    const fn start(&self) -> *mut u8 {
        self.room.get().cast()
    }

    /// Where an allocation begins in the room; `None` if it is elsewhere.
    fn place(&self, pointer: *mut u8) -> Option<usize> {
        let offset = (pointer as usize).checked_sub(self.start() as usize)?;
        (offset < ROOM_BYTES).then_some(offset)
    }

    /// Whether an allocation is the last of the room, so that it can grow, shrink and go.
    fn is_last(&self, offset: usize, bytes: usize) -> bool {
        offset + bytes == self.used.get()
    }
}

// SAFETY: what is given in the room begins where all that was given before ends, at the alignment that is asked
// for, and ends within the room; `used` falls only to the beginning of what is given back and was last, and is
// held to the new end of what grows or shrinks and is last. Everything else is the system's own.
unsafe impl GlobalAlloc for Memory {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        let begin = (self.start() as usize + self.used.get()).next_multiple_of(layout.align());
        let offset = begin - self.start() as usize;
        match offset.checked_add(layout.size()) {
            // The whole room is never given: a pointer behind its end would belong to nobody.
            Some(end) if end < ROOM_BYTES => {
                self.used.set(end);
                // SAFETY: within the room.
                unsafe { self.start().add(offset) }
            }
            Some(_) | None => {
                // SAFETY: the caller's layout.
                unsafe { System.alloc(layout) }
            }
        }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        match self.place(pointer) {
            Some(offset) if self.is_last(offset, layout.size()) => self.used.set(offset),
            Some(_) => {}
            // SAFETY: what is not in the room came from the system, with this layout.
            None => unsafe { System.dealloc(pointer, layout) },
        }
    }

    unsafe fn realloc(&self, pointer: *mut u8, layout: Layout, bytes: usize) -> *mut u8 {
        let Some(offset) = self.place(pointer) else {
            // SAFETY: what is not in the room came from the system, with this layout.
            return unsafe { System.realloc(pointer, layout, bytes) };
        };
        let end = offset.checked_add(bytes).filter(|end| *end < ROOM_BYTES);
        if let (true, Some(end)) = (self.is_last(offset, layout.size()), end) {
            self.used.set(end);
            return pointer;
        }
        if bytes <= layout.size() {
            return pointer;
        }
        // SAFETY: the caller vouches for the size that it asks for, and the alignment is the old one's.
        let larger = unsafe { Layout::from_size_align_unchecked(bytes, layout.align()) };
        // SAFETY: as above; the new allocation is another one, so the two do not overlap.
        unsafe {
            let new = self.alloc(larger);
            if !new.is_null() {
                ptr::copy_nonoverlapping(pointer, new, layout.size());
                self.dealloc(pointer, layout);
            }
            new
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn layout(bytes: usize, align: usize) -> Layout {
        Layout::from_size_align(bytes, align).expect("a layout")
    }

    /// Allocations that are in use, each with the byte that it is full of.
    struct InUse(Vec<(*mut u8, Layout, u8)>);

    impl InUse {
        fn check(&self) {
            for (pointer, layout, byte) in &self.0 {
                assert_eq!(*pointer as usize % layout.align(), 0);
                // SAFETY: in use, and written from end to end.
                let bytes = unsafe { std::slice::from_raw_parts(*pointer, layout.size()) };
                assert!(bytes.iter().all(|it| it == byte), "somebody else wrote into it");
            }
        }
    }

    fn fill(pointer: *mut u8, bytes: usize, byte: u8) {
        assert!(!pointer.is_null());
        // SAFETY: just allocated with this size.
        unsafe { ptr::write_bytes(pointer, byte, bytes) };
    }

    #[test]
    fn nothing_in_use_is_given_twice_in_the_room_or_beyond_it() {
        let memory = Box::new(Memory::new());
        let mut in_use = InUse(Vec::new());
        let (mut chance, mut beyond) = (1_u64, 0);
        for step in 0..20_000_u32 {
            chance = chance.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
            let draw = (chance >> 33) as usize;
            let byte = (step % 251) as u8;
            let bytes = 1 + draw % 4_000;
            match draw % 4 {
                0 | 1 if in_use.0.len() < 400 => {
                    let layout = layout(bytes, 1 << (draw % 7));
                    // SAFETY: of more than no bytes.
                    let pointer = unsafe { memory.alloc(layout) };
                    beyond += u32::from(memory.place(pointer).is_none());
                    fill(pointer, bytes, byte);
                    in_use.0.push((pointer, layout, byte));
                }
                2 if !in_use.0.is_empty() => {
                    // The last one often, so that the room is used again.
                    let which =
                        if draw % 8 < 6 { in_use.0.len() - 1 } else { draw % in_use.0.len() };
                    let (pointer, old, byte) = in_use.0.swap_remove(which);
                    // SAFETY: in use, with this layout.
                    let pointer = unsafe { memory.realloc(pointer, old, bytes) };
                    // SAFETY: what was there before is still there.
                    let kept =
                        unsafe { std::slice::from_raw_parts(pointer, bytes.min(old.size())) };
                    assert!(kept.iter().all(|it| *it == byte), "what was there is there");
                    fill(pointer, bytes, byte);
                    in_use.0.push((pointer, layout(bytes, old.align()), byte));
                }
                _ => {
                    if let Some((pointer, layout, _)) = in_use.0.pop() {
                        // SAFETY: in use, with this layout.
                        unsafe { memory.dealloc(pointer, layout) };
                    }
                }
            }
            if step % 64 == 0 {
                in_use.check();
            }
        }
        in_use.check();
        assert!(beyond > 0, "the room was full at times");
        for (pointer, layout, _) in in_use.0 {
            // SAFETY: in use, with this layout.
            unsafe { memory.dealloc(pointer, layout) };
        }
    }

    #[test]
    fn what_was_given_last_grows_in_its_place_and_is_used_again() {
        let memory = Box::new(Memory::new());
        // SAFETY: layouts as they were given, each pointer in use.
        unsafe {
            let first = memory.alloc(layout(10, 1));
            let grown = memory.realloc(first, layout(10, 1), 1_000);
            assert_eq!(first, grown);
            memory.dealloc(grown, layout(1_000, 1));
            assert_eq!(memory.alloc(layout(5, 1)), first);
        }
    }
}
