//! Bodies in parts: put together, sealed, and bounded whatever peers send.

use std::sync::Arc;

use althing_replica::context::{BlockHeight, PART_BYTES, Voter};
use althing_types::{
    Address, BeaconKey, BeaconProof, ChainId, Eip712, Hash, PublicKey, RecoverableSignature,
    Signatures, Validator, ValidatorSet, VoteSignature, keccak,
};

use super::*;

/// A signature is the hash of key and digest: enough to tell whose it is.
struct Toy;

fn toy_signature(key: &PublicKey, digest: &Hash) -> VoteSignature {
    let half = keccak(&[&key.0, &digest.0]).0;
    VoteSignature([half, half].concat().try_into().unwrap())
}

impl Signatures for Toy {
    fn recover(&self, _: &Hash, _: &RecoverableSignature) -> Option<Address> {
        None
    }
    fn verifies(&self, digest: &Hash, signature: &VoteSignature, key: &PublicKey) -> bool {
        toy_signature(key, digest) == *signature
    }
    fn address_of(&self, _: &PublicKey) -> Option<Address> {
        None
    }
    fn beacon(&self, _: &BeaconKey, _: &Hash, _: &BeaconProof) -> Option<Hash> {
        None
    }
}

const NEXT: Height = Height(5);
const PEER: EndpointId = EndpointId([1; 32]);

fn eip712() -> Eip712 {
    Eip712::new(ChainId(7))
}

fn assembly() -> Assembly {
    Assembly::new(Checker::new(eip712(), Arc::new(Toy)), PART_BYTES)
}

fn expectation() -> Expectation {
    let validators = (1..=4).map(|number| Validator {
        address: Address([number; 20]),
        public_key: PublicKey([number; 33]),
        endpoint: EndpointId([number; 32]),
        beacon_key: BeaconKey([number; 32]),
        power: 10,
    });
    Expectation { next: NEXT, members: Members::new(ValidatorSet::new(validators.collect())) }
}

/// An opening as its rightful proposer would make it.
fn init(height: Height, round: u32, block: u8, bytes: usize) -> BodyInit {
    let (round, block) = (Round::new(round), BlockId::from([block; 32]));
    let members = expectation().members;
    let proposer = members.proposer(height, round).unwrap();
    let digest = seal_digest(&eip712(), height, round, &block).unwrap();
    BodyInit {
        height: BlockHeight(height),
        round,
        pol_round: Round::Nil,
        proposer: proposer.address,
        block,
        bytes: u32::try_from(bytes).unwrap(),
        seal: toy_signature(&proposer.public_key, &digest),
    }
}

fn body_of(bytes: usize) -> Vec<u8> {
    (0..=250).cycle().take(bytes).collect()
}

#[test]
fn a_body_is_put_together_in_any_order() {
    let (mut assembly, body) = (assembly(), body_of(3 * PART_BYTES + 17));
    let mut parts: Vec<Part> = parts_of(init(NEXT, 0, 9, body.len()), &body, PART_BYTES).collect();
    parts[1..].reverse();
    let mut taken: Vec<Option<Body>> =
        parts.into_iter().map(|part| assembly.take(PEER, part, &expectation()).unwrap()).collect();
    assert_eq!(taken.pop().unwrap().unwrap().bytes, body);
    assert!(taken.iter().all(Option::is_none));
    assert_eq!((assembly.streams.len(), assembly.buffered_bytes), (0, 0));
}

#[test]
fn what_no_proposer_has_sealed_is_not_buffered() {
    let good = init(NEXT, 0, 9, 1000);
    let members = expectation().members;
    let mut voters = members.set().members().iter().map(|validator| Voter(validator.address));
    let other = voters.find(|voter| *voter != good.proposer).unwrap();
    let cases = [
        (BodyInit { seal: VoteSignature([0; 64]), ..good.clone() }, Refusal::Seal),
        (BodyInit { block: BlockId::from([8; 32]), ..good.clone() }, Refusal::Seal),
        (BodyInit { round: Round::Nil, ..good.clone() }, Refusal::Proposer),
        (BodyInit { proposer: other, ..good.clone() }, Refusal::Proposer),
        (BodyInit { proposer: Voter(Address([99; 20])), ..good.clone() }, Refusal::Proposer),
        (BodyInit { bytes: 0, ..good.clone() }, Refusal::Size),
        (BodyInit { bytes: u32::MAX, ..good }, Refusal::Size),
        (init(Height(4), 0, 9, 1000), Refusal::Height),
        (init(Height(8), 0, 9, 1000), Refusal::Height),
    ];
    let mut assembly = assembly();
    for (init, refusal) in cases {
        assert_eq!(assembly.take(PEER, Part::Init(init), &expectation()), Err(refusal));
    }
    assert_eq!((assembly.streams.len(), assembly.buffered_bytes), (0, 0));
}

#[test]
fn pieces_without_a_place_are_refused() {
    let mut assembly = assembly();
    let body = body_of(PART_BYTES + 1);
    let mut parts = parts_of(init(NEXT, 0, 9, body.len()), &body, PART_BYTES);
    assembly.take(PEER, parts.next().unwrap(), &expectation()).unwrap();
    let Some(Part::Data(piece)) = parts.next() else { panic!("a piece") };
    for wrong in [
        BodyPiece { index: 2, ..piece.clone() },
        BodyPiece { index: u32::MAX, ..piece.clone() },
        BodyPiece { index: 1, ..piece.clone() },
        BodyPiece { bytes: vec![], ..piece.clone() },
        BodyPiece { block: BlockId::from([8; 32]), ..piece.clone() },
    ] {
        let taken = assembly.take(PEER, Part::Data(wrong), &expectation());
        assert_eq!(taken, Err(Refusal::Piece));
    }
    // A stream is its peer's own: another one cannot add to it.
    let stranger = assembly.take(EndpointId([2; 32]), Part::Data(piece), &expectation());
    assert_eq!(stranger, Err(Refusal::Piece));
}

#[test]
fn a_flood_stays_within_its_bounds() {
    let mut assembly = assembly();
    // Even a dishonest proposer, heard from many peers, with blocks of the largest size.
    for peer in 0..50 {
        for round in 0..20 {
            let init = init(NEXT, round, 9, BLOCK_BYTES_MAX);
            let taken = assembly.take(EndpointId([peer; 32]), Part::Init(init), &expectation());
            assert!(matches!(taken, Ok(None) | Err(Refusal::Full)));
            assert!(assembly.buffered_bytes <= BUFFER_BYTES_MAX);
            assert!(assembly.of_peer(EndpointId([peer; 32])).len() <= STREAMS_PER_PEER_MAX);
        }
    }
    let held: usize = assembly.streams.values().map(|stream| stream.bytes.len()).sum();
    assert_eq!(held, assembly.buffered_bytes);
}

#[test]
fn what_is_decided_or_gone_is_forgotten() {
    let mut assembly = assembly();
    for (peer, height) in [(1, NEXT), (1, NEXT.next()), (2, NEXT)] {
        let init = init(height, 0, 9, 1000);
        assembly.take(EndpointId([peer; 32]), Part::Init(init), &expectation()).unwrap();
    }
    assembly.forget_peer(EndpointId([2; 32]));
    assert_eq!((assembly.streams.len(), assembly.buffered_bytes), (2, 2000));
    assembly.forget_below(NEXT.next());
    assert_eq!((assembly.streams.len(), assembly.buffered_bytes), (1, 1000));
}
