//! What peers send, read as the driver reads it, for tools that ask whether bytes are understood.
//!
//! Each function gives the encoding of what was decoded, `None` if the bytes are refused. Nothing is
//! verified here but form: signatures, heights and members come after.

use althing_replica::context::Chain;
use bytes::Bytes;
use malachite_app::app::types::codec::Codec as _;
use malachite_sync::{Request, Response};

use crate::codec::{Borsh, Message, decode_part, encode_part};

/// A frame of the lane of votes.
#[must_use]
pub fn vote_frame(bytes: &[u8]) -> Option<Bytes> {
    Message::decode(bytes).ok()?.encode().ok()
}

/// A frame of the lane of bodies: a part of a proposed block.
#[must_use]
pub fn body_frame(bytes: &[u8]) -> Option<Bytes> {
    Some(encode_part(&decode_part(bytes).ok()?))
}

/// What a node that is behind asks for.
#[must_use]
pub fn sync_request(bytes: &[u8]) -> Option<Bytes> {
    let request: Request<Chain> = Borsh.decode(Bytes::copy_from_slice(bytes)).ok()?;
    Borsh.encode(&request).ok()
}

/// What it gets.
#[must_use]
pub fn sync_response(bytes: &[u8]) -> Option<Bytes> {
    let response: Response<Chain> = Borsh.decode(Bytes::copy_from_slice(bytes)).ok()?;
    Borsh.encode(&response).ok()
}
