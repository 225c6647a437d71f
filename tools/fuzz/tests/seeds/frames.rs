//! What nodes say to each other, and proofs.

use althing_node::frames::join;
use althing_replica::context::{
    BlockHeight, BlockValue, BodyInit, BodyPiece, Chain as Context, Part, Proposal, Vote, Voter,
};
use althing_state::merkle::{Range, list_proof};
use althing_state::{MemoryState, Proof};
use althing_types::{
    Address, ChainId, EndpointId, Hash, Height, RecoverableSignature, VoteSignature, canonical,
    keccak,
};
use borsh::BorshSerialize;
use malachite_app::app::types::SignedConsensusMsg;
use malachite_core::LivenessMsg;
use malachite_sync::{Request, ValueRequest};
use malachite_types::{NilOrVal, PolkaCertificate, PolkaSignature, Round, SignedMessage, VoteType};

use super::{Chain, Seed, named, transactions};
use crate::common::{CHAIN, account, validator_key};

fn borsh(value: &impl BorshSerialize) -> Vec<u8> {
    borsh::to_vec(value).unwrap()
}

pub(super) fn merkle_proofs() -> Vec<Seed> {
    let entry = |n: u32| (n.to_be_bytes().to_vec(), Some(n.to_le_bytes().to_vec()));
    let mut state = MemoryState::default();
    state.apply(&(0..60).map(entry).collect());
    let keys = (0..64_u32).step_by(7).map(u32::to_be_bytes);
    let proofs = keys.map(|key| -> Proof { state.tree().prove(&key) });
    named("merkle_proof", "of-sixty", proofs.map(|proof| canonical::encode(&proof)).collect())
}

pub(super) fn list_proofs() -> Vec<Seed> {
    let leaves: Vec<Hash> = (0..13_u64).map(|n| keccak(&[&n.to_be_bytes()])).collect();
    let proofs = (0..leaves.len()).map(|index| list_proof(&leaves, index).unwrap());
    named("list_proof", "of-thirteen", proofs.map(|proof| canonical::encode(&proof)).collect())
}

pub(super) fn ranges() -> Vec<Seed> {
    let mut range = Range::default();
    let mut encoded = vec![canonical::encode(&range)];
    for n in 0..20_u64 {
        range.append(keccak(&[&n.to_be_bytes()]));
        encoded.push(canonical::encode(&range));
    }
    named("header_range", "growing", encoded)
}

/// The messages of consensus: proposals, votes for something and for nothing, certificates, status.
fn votes() -> Vec<Vec<u8>> {
    const CONSENSUS: u8 = 0;
    const LIVENESS: u8 = 1;
    const STATUS: u8 = 2;
    let (height, voter) = (BlockHeight(Height(7)), Voter(validator_key(1).address()));
    let signature = VoteSignature([5; 64]);
    let vote = |kind, value| {
        let vote = Vote { kind, height, round: Round::new(2), value, validator: voter };
        SignedMessage::new(vote, signature)
    };
    let value = BlockValue(Hash([6; 32]));
    let some = || vote(VoteType::Prevote, NilOrVal::Val(Hash([6; 32])));
    let nil = || vote(VoteType::Precommit, NilOrVal::Nil);
    let proposal =
        Proposal { height, round: Round::new(2), value, pol_round: Round::Nil, proposer: voter };
    let proposal = SignedMessage::new(proposal, signature);
    let polka = PolkaCertificate::<Context> {
        height,
        round: Round::new(2),
        value_id: Hash([6; 32]),
        polka_signatures: vec![PolkaSignature::new(voter, signature); 3],
    };
    let consensus =
        |message: SignedConsensusMsg<Context>| [&[CONSENSUS][..], &borsh(&message)].concat();
    let liveness = |message: LivenessMsg<Context>| [&[LIVENESS][..], &borsh(&message)].concat();
    vec![
        consensus(SignedConsensusMsg::Vote(some())),
        consensus(SignedConsensusMsg::Vote(nil())),
        consensus(SignedConsensusMsg::Proposal(proposal)),
        liveness(LivenessMsg::Vote(some())),
        liveness(LivenessMsg::PolkaCertificate(polka)),
        [&[STATUS][..], &borsh(&(height, BlockHeight(Height(1))))].concat(),
    ]
}

fn bodies(chain: &Chain) -> Vec<Vec<u8>> {
    let (block, certificate) = &chain.blocks[1];
    let bytes = block.encode();
    let (height, round) = (BlockHeight(certificate.height), Round::new(0));
    let init = BodyInit {
        height,
        round,
        pol_round: Round::Nil,
        proposer: Voter(block.header.proposer),
        block: certificate.block,
        bytes: u32::try_from(bytes.len()).unwrap(),
        seal: VoteSignature([8; 64]),
    };
    let piece = BodyPiece { height, round, block: certificate.block, index: 0, bytes };
    [Part::Init(init), Part::Data(piece)].iter().map(canonical::encode).collect()
}

fn sync(chain: &Chain) -> Vec<Seed> {
    let range = BlockHeight(Height(3))..=BlockHeight(Height(9));
    let request = Request::<Context>::ValueRequest(ValueRequest::new(range));
    let response = |heights: usize| {
        let mut bytes = borsh(&1_u64);
        bytes.extend(borsh(&u32::try_from(heights).unwrap()));
        for (block, certificate) in &chain.blocks[..heights] {
            bytes.extend(borsh(&block.encode()));
            bytes.extend(canonical::encode(certificate));
        }
        bytes
    };
    let responses = (0..=chain.blocks.len()).map(response).collect();
    let mut seeds = named("sync_request", "values", vec![borsh(&request)]);
    seeds.extend(named("sync_response", "heights", responses));
    seeds
}

/// What a node says of itself: endpoint, account, IP, port, signature.
type Record = (EndpointId, Address, [u8; 16], u16, RecoverableSignature);

fn record(n: u64) -> Record {
    let (key, endpoint) = (account(n), EndpointId(keccak(&[&n.to_be_bytes()]).0));
    let signature = key.sign_hello(&althing_types::Eip712::new(CHAIN), &endpoint.0);
    let mut ip = [0; 16];
    ip[10..].copy_from_slice(&[0xff, 0xff, 10, 0, 0, 7]);
    (endpoint, key.address(), ip, 4001, signature)
}

fn greetings(chain: &Chain) -> Vec<Seed> {
    let hello: (u16, ChainId, Hash, Record) =
        (althing_net_iroh::PROTOCOL, CHAIN, chain.world.genesis.hash(), record(1));
    let peers = |count: u64| canonical::encode(&(0..count).map(record).collect::<Vec<Record>>());
    let mut seeds = named("hello", "version-one", vec![canonical::encode(&hello)]);
    seeds.extend(named("peers", "list", vec![peers(0), peers(1), peers(7)]));
    seeds
}

pub(super) fn all(chain: &Chain) -> Vec<Vec<Seed>> {
    let encoded: Vec<Vec<u8>> = transactions(chain).iter().map(|signed| signed.encode()).collect();
    let batches = [0, 1, 4].map(|count| join(&encoded[..count])).to_vec();
    vec![
        named("vote_frame", "message", votes()),
        named("body_frame", "part", bodies(chain)),
        named("transactions_frame", "batch", batches),
        sync(chain),
        greetings(chain),
    ]
}
