//! Does everything that a service should not, one task for each: the node must survive all of it.

use std::hint::black_box;

use althing_sdk::{GaveUp, Inputs, Outcome, Service, Verdict};
use serde::{Deserialize, Serialize};

#[cfg(feature = "forbidden_import")]
mod forbidden {
    wit_bindgen::generate!({
        inline: "
            package hostile:wish@0.1.0;
            interface disk { read: func(path: string) -> list<u8>; }
            world wish { import disk; }
        ",
    });
}

/// The service.
pub struct Hostile;

#[derive(Serialize)]
struct Text {
    text: String,
}

#[derive(Deserialize)]
struct Size {
    size: u32,
}

impl Service for Hostile {
    fn task(name: &str, inputs: Inputs<'_>) -> Result<Outcome, GaveUp> {
        match name {
            "behave" => text("ok", "as it should be"),
            "trap" => panic!("a panic in a service"),
            "spin" | "spin_for_long" => spin(),
            "eat_memory" => eat_memory(),
            "overflow_stack" => text("ok", &recurse(black_box(u64::MAX)).to_string()),
            "undeclared_status" => text("surprise", "no such status"),
            "bad_output" => Outcome::new("ok", &7),
            "no_json" => Ok(Outcome { status: "ok".into(), outputs: b"{\"text\":".to_vec() }),
            "large_output" => text("ok", &"x".repeat(inputs.read::<Size>()?.size as usize)),
            "give_up" => Err(GaveUp::new("I would rather not")),
            "nan" => text("ok", &nan()),
            "chatter" => chatter(),
            "chance" | "dice" => text("ok", &format!("{:?}", althing_sdk::chance(8))),
            "greedy_dice" => text("ok", &althing_sdk::chance(u32::MAX).len().to_string()),
            "disk" => text("ok", &disk()),
            "leave_traces" => text("ok", &leave_traces()),
            _ => Err(GaveUp::unknown_task(name)),
        }
    }

    fn verify(name: &str, _inputs: Inputs<'_>, _status: &str, outputs: Inputs<'_>) -> Verdict {
        match name {
            "dice" if outputs.as_bytes() == b"{\"text\":\"trap\"}" => panic!("a panic in verify"),
            "dice" if outputs.as_bytes() == b"{\"text\":\"spin\"}" => match spin() {
                Ok(_) | Err(_) => Verdict::Valid,
            },
            "dice" => Verdict::Valid,
            _ => Verdict::Invalid("not mine".into()),
        }
    }
}

althing_sdk::service!(Hostile);

fn text(status: &str, text: &str) -> Result<Outcome, GaveUp> {
    Outcome::new(status, &Text { text: text.into() })
}

fn spin() -> Result<Outcome, GaveUp> {
    let mut turns: u64 = 0;
    while black_box(true) {
        turns = black_box(turns.wrapping_add(1));
    }
    text("ok", &turns.to_string())
}

fn eat_memory() -> Result<Outcome, GaveUp> {
    let mut eaten: Vec<Vec<u8>> = Vec::new();
    while black_box(true) {
        eaten.push(vec![black_box(1); 1 << 20]);
    }
    text("ok", &eaten.len().to_string())
}

fn recurse(depth: u64) -> u64 {
    if black_box(depth) == 0 {
        return 0;
    }
    // Work after the call keeps the compiler from turning it into a loop.
    black_box(recurse(depth - 1)).wrapping_add(1)
}

/// The bits of floats that are no numbers: processors disagree on sign and payload.
fn nan() -> String {
    let zero = black_box(0.0_f64);
    let infinite = black_box(f64::INFINITY);
    let single = black_box(0.0_f32) / black_box(0.0_f32);
    format!(
        "{:016x} {:016x} {:016x} {:08x}",
        (zero / zero).to_bits(),
        (infinite - infinite).to_bits(),
        black_box(-1.0_f64).sqrt().to_bits(),
        single.to_bits()
    )
}

/// What earlier calls have left behind, wherever a service can write: nothing, or the node has mixed calls up.
#[cfg(target_arch = "wasm32")]
fn leave_traces() -> String {
    use core::arch::wasm32::memory_grow;
    use core::sync::atomic::{AtomicU32, Ordering};

    static CALLS: AtomicU32 = AtomicU32::new(0);
    const PAGES: usize = 64;
    const PAGE_BYTES: usize = 64 << 10;

    let earlier = CALLS.fetch_add(1, Ordering::Relaxed);
    let first = memory_grow(0, PAGES).saturating_mul(PAGE_BYTES);
    let mut dirty = 0;
    // One byte of each KiB: more than what a node keeps of a memory for the next call.
    for offset in (0..PAGES * PAGE_BYTES).step_by(1024) {
        let byte = core::ptr::without_provenance_mut::<u8>(first + offset);
        // SAFETY: these pages were added to the memory just now, and nobody else knows of them.
        unsafe {
            dirty += u32::from(byte.read_volatile() != 0);
            byte.write_volatile(0xa5);
        }
    }
    format!("{earlier} calls, {dirty} bytes")
}

/// A service has no other memory.
#[cfg(not(target_arch = "wasm32"))]
fn leave_traces() -> String {
    String::new()
}

fn chatter() -> Result<Outcome, GaveUp> {
    for _ in 0..10_000 {
        althing_sdk::log(&"chatter ".repeat(1000));
    }
    text("ok", "said it all")
}

#[cfg(feature = "forbidden_import")]
fn disk() -> String {
    format!("{:?}", forbidden::hostile::wish::disk::read("/etc/passwd"))
}

#[cfg(not(feature = "forbidden_import"))]
fn disk() -> String {
    "no disk".into()
}
