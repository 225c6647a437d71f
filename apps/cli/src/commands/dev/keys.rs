//! Keys that are pressed while a network runs.

use std::io::{IsTerminal as _, Read as _};
use std::process::{Command, Stdio};
use std::sync::mpsc::{Receiver, sync_channel};

/// Most keys that wait.
const KEYS_MAX: usize = 16;

/// What a person wants.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Key {
    /// Show where everything is, in a browser if there is one.
    Open,
    /// Send a sample event.
    Event,
    /// Send the last event again.
    Replay,
    /// Stop.
    Quit,
}

impl Key {
    const fn of(byte: u8) -> Option<Self> {
        match byte {
            b'o' => Some(Self::Open),
            b'e' => Some(Self::Event),
            b'r' => Some(Self::Replay),
            b'q' => Some(Self::Quit),
            _ => None,
        }
    }
}

/// The keyboard; a terminal gives each key at once until this is dropped.
#[derive(Debug)]
pub(super) struct Keyboard {
    keys: Receiver<Key>,
    is_terminal: bool,
}

impl Keyboard {
    pub(super) fn open() -> Self {
        let is_terminal = std::io::stdin().is_terminal() && stty(&["-icanon", "-echo"]);
        let (send, keys) = sync_channel(KEYS_MAX);
        // It ends with this program: nothing else wakes a read of the keyboard.
        std::thread::spawn(move || {
            for byte in std::io::stdin().lock().bytes().map_while(Result::ok) {
                if let Some(key) = Key::of(byte)
                    && send.send(key).is_err()
                {
                    return;
                }
            }
        });
        Self { keys, is_terminal }
    }

    /// The next key, if one was pressed.
    pub(super) fn pressed(&self) -> Option<Key> {
        self.keys.try_recv().ok()
    }
}

impl Drop for Keyboard {
    fn drop(&mut self) {
        if self.is_terminal {
            stty(&["icanon", "echo"]);
        }
    }
}

/// Sets the terminal; false if it cannot be set, and keys then come with the line.
fn stty(settings: &[&str]) -> bool {
    let status = Command::new("stty").args(settings).stdin(Stdio::inherit()).status();
    status.is_ok_and(|status| status.success())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_without_a_meaning_are_nothing() {
        assert_eq!(
            [b'o', b'e', b'r', b'q', b'x', b'\n'].map(Key::of),
            [Some(Key::Open), Some(Key::Event), Some(Key::Replay), Some(Key::Quit), None, None]
        );
    }
}
