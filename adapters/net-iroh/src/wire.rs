//! What peers send before anything else, read as the network reads it, for tools that ask whether
//! bytes are understood.
//!
//! Each function gives the encoding of what was decoded, `None` if the bytes are refused.

use althing_network::Kind;
use althing_types::canonical;

use crate::hello::{Hello, Record};

/// The first message on a connection.
#[must_use]
pub fn hello(bytes: &[u8]) -> Option<Vec<u8>> {
    let hello = Hello::decode(bytes).ok()?;
    // Where it says that it is, however absurd, must have an answer.
    std::hint::black_box(hello.record.dialled_at(None));
    Some(hello.encode())
}

/// A peer's list of peers.
#[must_use]
pub fn peers(bytes: &[u8]) -> Option<Vec<u8>> {
    let bytes_max = Kind::Peers.response_bytes_max();
    let records: Vec<Record> = canonical::decode(bytes, bytes_max, "peers").ok()?;
    for record in &records {
        std::hint::black_box(record.dialled_at(None));
    }
    Some(canonical::encode(&records))
}
