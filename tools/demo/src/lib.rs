//! The main job, with the real program: seven nodes, a liar, a copier, a mute, 200 invoices.
//!
//! ```text
//!   Cli (the binary `althing`) ──► Network (`althing dev`) ──► Act: untrusted, verified, killed ──► Claims
//! ```
//!
//! The demo and the end-to-end test run the same [`story::tell`]; the demo prints, the test asserts.
//!
//! - Errors: whatever keeps the story from being told. A claim that does not hold is not an error
//!   but a line in the [`report::Report`].

pub mod anvil;
pub mod bridges;
pub mod cart;
pub mod cli;
pub mod invoices;
pub mod meters;
pub mod network;
pub mod report;
pub mod scene;
pub mod stage;
pub mod story;
pub mod wait;
