//! Waiting for something that comes in its own time.

use std::time::{Duration, Instant};

use anyhow::{Result, bail};

/// How long nothing may move; machines are slow, so it ends what hangs and measures nothing.
const PATIENCE: Duration = Duration::from_secs(240);
/// How long it may take in all, however it moves.
const ALTOGETHER: Duration = Duration::from_secs(1_800);
/// Most that counts of the time between two looks: a process that was stopped, on a machine that slept, has
/// not waited meanwhile.
const BETWEEN_MAX: Duration = Duration::from_secs(10);
const LOOK_EVERY: Duration = Duration::from_millis(100);

/// What a look has shown.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Seen<T> {
    /// It is there.
    There(T),
    /// It is not there; how far it is. Another number than before is progress.
    SoFar(usize),
}

/// Waits until something is there.
///
/// # Errors
///
/// If it does not come in time: what the last look said.
pub fn wait<T>(what: &str, mut look: impl FnMut() -> Result<Option<T>>) -> Result<T> {
    wait_while_moving(what, || Ok(look()?.map_or(Seen::SoFar(0), Seen::There)))
}

/// Waits until something is there, for as long as it comes nearer.
///
/// # Errors
///
/// If nothing moves for a while, or it takes too long altogether: what the last look said.
pub fn wait_while_moving<T>(what: &str, mut look: impl FnMut() -> Result<Seen<T>>) -> Result<T> {
    let (mut still, mut waited) = (Duration::ZERO, Duration::ZERO);
    let (mut last, mut far) = (Instant::now(), None);
    loop {
        let seen = look();
        let between = last.elapsed().min(BETWEEN_MAX);
        last = Instant::now();
        (still, waited) = (still + between, waited + between);
        match seen {
            Ok(Seen::There(found)) => return Ok(found),
            Ok(Seen::SoFar(now)) if far.replace(now).is_some_and(|before| before != now) => {
                still = Duration::ZERO;
            }
            Ok(Seen::SoFar(_)) | Err(_) => {}
        }
        if still > PATIENCE || waited > ALTOGETHER {
            seen?;
            let seconds = still.as_secs();
            bail!(
                "{what} did not come: waited {} s, nothing moved for {seconds} s",
                waited.as_secs()
            );
        }
        std::thread::park_timeout(LOOK_EVERY);
    }
}
