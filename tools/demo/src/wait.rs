//! Waiting for something that comes in its own time.

use std::time::{Duration, Instant};

use anyhow::{Result, bail};

/// How long anything may take; machines are slow, so it ends what hangs and measures nothing.
const PATIENCE: Duration = Duration::from_secs(240);
const LOOK_EVERY: Duration = Duration::from_millis(100);

/// Waits until something is there.
///
/// # Errors
///
/// If it does not come in time: what the last look said.
pub fn wait<T>(what: &str, mut look: impl FnMut() -> Result<Option<T>>) -> Result<T> {
    let deadline = Instant::now() + PATIENCE;
    loop {
        let seen = look();
        if let Ok(Some(found)) = seen {
            return Ok(found);
        }
        if Instant::now() > deadline {
            seen?;
            bail!("{what} did not come within {} s", PATIENCE.as_secs());
        }
        std::thread::park_timeout(LOOK_EVERY);
    }
}
