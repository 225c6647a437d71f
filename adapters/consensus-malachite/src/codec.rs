//! The wire and disk format of the engine's messages: borsh, bounded before it is parsed.
//!
//! The engine's `borsh` features cover everything but sync responses, which are written by hand
//! below: start height, then (body, certificate) of each height.

use std::io;

use althing_replica::context::{
    BlockHeight, Chain, Part, Vote, defined_round, from_commits, to_extended_commits,
};
use althing_types::{BLOCK_BYTES_MAX, Certificate};
use borsh::{BorshDeserialize, BorshSerialize};
use bytes::Bytes;
use malachite_app::app::types::codec::{Codec, HasEncodedLen};
use malachite_app::app::types::{ProposedValue, SignedConsensusMsg};
use malachite_core::LivenessMsg;
use malachite_sync::{RawDecidedValue, Request, Response, Status, ValueResponse};
use malachite_types::{PolkaCertificate, Round};

/// Most members of a consensus set that a message may speak of.
const SIGNATURES_MAX: usize = 1024;

/// Most heights in one sync response.
pub(crate) const SYNC_HEIGHTS_MAX: usize = 256;

/// Bytes in one sync response before the last height is added.
pub(crate) const SYNC_BYTES_MAX: usize = 8 << 20;

/// The codec that the engine's actors are given.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Borsh;

fn malformed(what: &'static str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, what)
}

macro_rules! borsh_codec {
    ($($type:ty),* $(,)?) => { $(
        impl Codec<$type> for Borsh {
            type Error = io::Error;

            fn decode(&self, bytes: Bytes) -> io::Result<$type> {
                borsh::from_slice(&bytes)
            }

            fn encode(&self, message: &$type) -> io::Result<Bytes> {
                borsh::to_vec(message).map(Bytes::from)
            }
        }
    )* };
}

borsh_codec!(
    SignedConsensusMsg<Chain>,
    ProposedValue<Chain>,
    PolkaCertificate<Chain>,
    Status<Chain>,
    Request<Chain>,
);

/// What travels on the lane of votes.
///
/// Decoding refuses what the engine must never see: nil or absurd rounds, and certificates of more
/// signatures than there can be validators.
pub(crate) enum Message {
    /// A vote or proposal that was just signed.
    Consensus(SignedConsensusMsg<Chain>),
    /// What helps others out of an earlier round.
    Liveness(LivenessMsg<Chain>),
    /// How far a node is: its tip, and the first height that it still has.
    Status { tip: BlockHeight, history_min: BlockHeight },
}

const CONSENSUS: u8 = 0;
const LIVENESS: u8 = 1;
const STATUS: u8 = 2;

impl Message {
    pub(crate) fn encode(&self) -> io::Result<Bytes> {
        let mut bytes = Vec::with_capacity(256);
        match self {
            Self::Consensus(message) => {
                bytes.push(CONSENSUS);
                message.serialize(&mut bytes)?;
            }
            Self::Liveness(message) => {
                bytes.push(LIVENESS);
                message.serialize(&mut bytes)?;
            }
            Self::Status { tip, history_min } => {
                bytes.push(STATUS);
                (tip, history_min).serialize(&mut bytes)?;
            }
        }
        Ok(bytes.into())
    }

    pub(crate) fn decode(bytes: &[u8]) -> io::Result<Self> {
        let (tag, rest) = bytes.split_first().ok_or_else(|| malformed("an empty frame"))?;
        let message = match *tag {
            CONSENSUS => Self::Consensus(borsh::from_slice(rest)?),
            LIVENESS => Self::Liveness(borsh::from_slice(rest)?),
            STATUS => {
                let (tip, history_min) = borsh::from_slice(rest)?;
                Self::Status { tip, history_min }
            }
            _ => return Err(malformed("a message of an unknown kind")),
        };
        if message.is_plausible() { Ok(message) } else { Err(malformed("an absurd round")) }
    }

    fn is_plausible(&self) -> bool {
        let vote = |vote: &Vote| defined_round(vote.round).is_some();
        let certificate = |round: Round, signatures: usize| {
            defined_round(round).is_some() && signatures <= SIGNATURES_MAX
        };
        match self {
            Self::Consensus(SignedConsensusMsg::Vote(v)) | Self::Liveness(LivenessMsg::Vote(v)) => {
                vote(&v.message)
            }
            Self::Consensus(SignedConsensusMsg::Proposal(p)) => {
                let pol_round = p.message.pol_round;
                defined_round(p.message.round).is_some()
                    && (pol_round == Round::Nil || defined_round(pol_round).is_some())
            }
            Self::Liveness(LivenessMsg::PolkaCertificate(c)) => {
                certificate(c.round, c.polka_signatures.len())
            }
            Self::Liveness(LivenessMsg::SkipRoundCertificate(c)) => {
                certificate(c.round, c.round_signatures.len())
            }
            Self::Status { .. } => true,
        }
    }
}

/// Encodes a part of a body.
pub(crate) fn encode_part(part: &Part) -> Bytes {
    althing_types::canonical::encode(part).into()
}

/// Decodes a part of a body; its size is bounded by its lane.
pub(crate) fn decode_part(bytes: &[u8]) -> io::Result<Part> {
    borsh::from_slice(bytes)
}

impl Codec<Response<Chain>> for Borsh {
    type Error = io::Error;

    fn decode(&self, bytes: Bytes) -> io::Result<Response<Chain>> {
        let mut rest: &[u8] = &bytes;
        let start = BlockHeight::deserialize(&mut rest)?;
        let count = u32::deserialize(&mut rest)?;
        let mut values = Vec::new();
        for _ in 0..count {
            if values.len() >= SYNC_HEIGHTS_MAX {
                return Err(malformed("too many heights in a sync response"));
            }
            let length = usize::try_from(u32::deserialize(&mut rest)?).unwrap_or(usize::MAX);
            if length > BLOCK_BYTES_MAX || length > rest.len() {
                return Err(malformed("a body that is too long"));
            }
            let (body, after) = rest.split_at(length);
            rest = after;
            let certificate = Certificate::deserialize(&mut rest)?;
            if certificate.signatures.len() > SIGNATURES_MAX
                || defined_round(Round::new(certificate.round.0)).is_none()
            {
                return Err(malformed("an absurd certificate"));
            }
            let body = bytes.slice_ref(body);
            values.push(RawDecidedValue::new(body, to_extended_commits(&certificate)));
        }
        if !rest.is_empty() {
            return Err(malformed("bytes after a sync response"));
        }
        Ok(Response::ValueResponse(ValueResponse::new(start, values)))
    }

    fn encode(&self, response: &Response<Chain>) -> io::Result<Bytes> {
        let Response::ValueResponse(response) = response;
        let mut bytes = Vec::with_capacity(response_bytes(response));
        response.start_height.serialize(&mut bytes)?;
        let count = u32::try_from(response.values.len());
        count.map_err(|_| malformed("too many heights"))?.serialize(&mut bytes)?;
        for value in &response.values {
            let length = u32::try_from(value.value_bytes.len());
            length.map_err(|_| malformed("a body that is too long"))?.serialize(&mut bytes)?;
            bytes.extend_from_slice(&value.value_bytes);
            let certificate = from_commits(&value.certificate.trim_vote_extensions());
            certificate.ok_or_else(|| malformed("a nil round"))?.serialize(&mut bytes)?;
        }
        Ok(bytes.into())
    }
}

/// The exact length of a response's encoding: no need to make it.
fn response_bytes(response: &ValueResponse<Chain>) -> usize {
    const HEIGHT: usize = 8;
    const COUNT: usize = 4;
    const CERTIFICATE: usize = 8 + 4 + 32 + COUNT;
    const SIGNATURE: usize = 20 + 64;
    let values = response.values.iter().map(|value| {
        let signatures = value.certificate.commit_signatures.len() * SIGNATURE;
        COUNT + value.value_bytes.len() + CERTIFICATE + signatures
    });
    HEIGHT + COUNT + values.sum::<usize>()
}

/// The engine asks once for every value while it fills a response up to its size limit.
impl HasEncodedLen<Response<Chain>> for Borsh {
    fn encoded_len(&self, response: &Response<Chain>) -> io::Result<usize> {
        let Response::ValueResponse(response) = response;
        Ok(response_bytes(response))
    }
}

#[cfg(test)]
mod tests {
    use althing_replica::context::Voter;
    use althing_types::{Address, BlockId, CommitSignature, Height, VoteSignature};
    use malachite_types::{NilOrVal, SignedMessage, VoteType};

    use super::*;

    fn response() -> Response<Chain> {
        let value = |height: u64| {
            let signatures = (0..3)
                .map(|n| CommitSignature {
                    validator: Address([n; 20]),
                    signature: VoteSignature([n; 64]),
                })
                .collect();
            let certificate = Certificate {
                height: Height(height),
                round: althing_types::Round(1),
                block: BlockId::from([9; 32]),
                signatures,
            };
            RawDecidedValue::new(vec![7; 100].into(), to_extended_commits(&certificate))
        };
        let values = (5..9).map(value).collect();
        Response::ValueResponse(ValueResponse::new(BlockHeight(Height(5)), values))
    }

    #[test]
    fn a_sync_response_reads_back_and_its_length_is_known_without_encoding() {
        let bytes = Borsh.encode(&response()).unwrap();
        assert_eq!(Borsh.encoded_len(&response()).unwrap(), bytes.len());
        let decoded: Response<Chain> = Borsh.decode(bytes).unwrap();
        assert_eq!(decoded, response());
    }

    #[test]
    fn a_sync_response_that_is_cut_or_prolonged_is_refused() {
        let bytes = Borsh.encode(&response()).unwrap();
        for length in 0..bytes.len() {
            let cut: io::Result<Response<Chain>> = Borsh.decode(bytes.slice(..length));
            assert!(cut.is_err(), "{length}");
        }
        let longer: io::Result<Response<Chain>> = Borsh.decode([&bytes[..], &[0]].concat().into());
        assert!(longer.is_err());
    }

    #[test]
    fn votes_in_absurd_rounds_are_refused() {
        for (round, fine) in
            [(Round::new(3), true), (Round::Nil, false), (Round::new(u32::MAX), false)]
        {
            let vote = Vote {
                kind: VoteType::Prevote,
                height: BlockHeight(Height(1)),
                round,
                value: NilOrVal::Nil,
                validator: Voter(Address([1; 20])),
            };
            let signed = SignedMessage::new(vote, VoteSignature([1; 64]));
            let bytes = Message::Consensus(SignedConsensusMsg::Vote(signed)).encode().unwrap();
            assert_eq!(Message::decode(&bytes).is_ok(), fine);
        }
        assert!(Message::decode(&[]).is_err());
        assert!(Message::decode(&[9, 1]).is_err());
    }
}
