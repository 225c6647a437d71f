//! An allocator that counts, so that a decoder's appetite can be compared with its input.
//!
//! - Units: bytes in use on this thread, and the most since [`begin`].
//! - Invariant: counts what is asked for and given back, and passes everything on to the system.

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;

thread_local! {
    // Const and without a destructor: usable whenever an allocator is.
    static IN_USE: Cell<isize> = const { Cell::new(0) };
    static PEAK: Cell<isize> = const { Cell::new(0) };
}

/// The system's allocator, counted. Make it the program's `#[global_allocator]`.
#[derive(Clone, Copy, Debug, Default)]
pub struct Counting;

fn count(bytes: isize) {
    let in_use = IN_USE.get().wrapping_add(bytes);
    IN_USE.set(in_use);
    if in_use > PEAK.get() {
        PEAK.set(in_use);
    }
}

fn signed(bytes: usize) -> isize {
    isize::try_from(bytes).unwrap_or(isize::MAX)
}

#[expect(unsafe_code, reason = "the trait of allocators is unsafe; this one only counts")]
// SAFETY: every call goes to the system's allocator as it came.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        count(signed(layout.size()));
        // SAFETY: the caller's promises are those that the system asks for.
        unsafe { System.alloc(layout) }
    }

    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        count(signed(layout.size()));
        // SAFETY: as above.
        unsafe { System.alloc_zeroed(layout) }
    }

    unsafe fn dealloc(&self, place: *mut u8, layout: Layout) {
        count(-signed(layout.size()));
        // SAFETY: as above.
        unsafe { System.dealloc(place, layout) }
    }

    unsafe fn realloc(&self, place: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        count(signed(size) - signed(layout.size()));
        // SAFETY: as above.
        unsafe { System.realloc(place, layout, size) }
    }
}

/// From here on, on this thread, the peak is that of what follows.
pub fn begin() -> Begun {
    let in_use = IN_USE.get();
    PEAK.set(in_use);
    Begun { in_use }
}

/// A moment since which memory is counted.
#[derive(Clone, Copy, Debug)]
pub struct Begun {
    in_use: isize,
}

impl Begun {
    /// The most that was in use since then, above what was in use then.
    #[must_use]
    pub fn peak(self) -> usize {
        usize::try_from(PEAK.get() - self.in_use).unwrap_or(0)
    }
}
