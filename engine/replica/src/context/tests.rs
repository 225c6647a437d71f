use althing_types::{
    Address, BeaconKey, BlockId, ChainId, Eip712, EndpointId, Height, PublicKey, Validator,
    ValidatorSet, VoteKind, VoteSignature,
};
use malachite_types::{Context as _, NilOrVal, Round, SignedMessage, ValidatorSet as _, VoteType};

use super::*;

fn set() -> ValidatorSet {
    let powers = [7, 1, 900, 45];
    let validator = |(number, power): (u8, &u64)| Validator {
        address: Address([200 - number; 20]),
        public_key: PublicKey([number; 33]),
        endpoint: EndpointId([number; 32]),
        beacon_key: BeaconKey([number; 32]),
        power: *power,
    };
    ValidatorSet::new((0u8..).zip(&powers).map(validator).collect())
}

fn vote(round: Round, value: NilOrVal<BlockId>) -> Vote {
    Chain.new_precommit(BlockHeight(Height(9)), round, value, Voter(Address([1; 20])))
}

#[test]
fn the_engine_sees_the_proposer_of_the_ledger() {
    let (set, members) = (set(), Members::new(set()));
    for height in 1..200 {
        let expected = set.proposer(Height(height), althing_types::Round(3)).unwrap();
        let found = Chain.select_proposer(&members, BlockHeight(Height(height)), Round::new(3));
        assert_eq!(found.address.0, expected.address);
    }
}

#[test]
fn every_member_is_found_and_nobody_else() {
    let (set, members) = (set(), Members::new(set()));
    assert_eq!(members.count(), set.members().len());
    assert_eq!(members.total_voting_power(), 953);
    for validator in set.members() {
        let member = members.get(&Voter(validator.address)).unwrap();
        assert_eq!((member.public_key, member.power), (validator.public_key, validator.power));
    }
    assert!(members.get(&Voter(Address([1; 20]))).is_none());
    assert!(Members::new(ValidatorSet::default()).proposer(Height(1), Round::ZERO).is_none());
}

#[test]
fn a_vote_signs_the_digest_that_contracts_compute() {
    let eip712 = Eip712::new(ChainId(7));
    let id = BlockId::from([3; 32]);
    let expected = eip712.vote(VoteKind::Precommit, Height(9), althing_types::Round(2), Some(id));
    let digest = vote_digest(&eip712, &vote(Round::new(2), NilOrVal::Val(id)));
    assert_eq!(digest, Some(expected));
    let prevote = Vote { kind: VoteType::Prevote, ..vote(Round::new(2), NilOrVal::Val(id)) };
    assert_ne!(vote_digest(&eip712, &prevote), Some(expected));
}

#[test]
fn rounds_that_cannot_be_have_no_digest() {
    let eip712 = Eip712::new(ChainId(7));
    for round in [Round::Nil, Round::new(ROUND_MAX + 1), Round::new(u32::MAX)] {
        assert_eq!(vote_digest(&eip712, &vote(round, NilOrVal::Nil)), None);
        assert_eq!(seal_digest(&eip712, Height(1), round, &BlockId::ZERO), None);
    }
}

#[test]
fn a_certificate_survives_the_way_through_the_engine() {
    let certificate = althing_types::Certificate {
        height: Height(4),
        round: althing_types::Round(1),
        block: BlockId::from([5; 32]),
        signatures: [1, 2, 3]
            .map(|number| althing_types::CommitSignature {
                validator: Address([number; 20]),
                signature: VoteSignature([number; 64]),
            })
            .to_vec(),
    };
    let mut engine = to_commits(&certificate);
    engine.commit_signatures.reverse();
    assert_eq!(from_commits(&engine), Some(certificate));
}

#[test]
fn evidence_names_nil_first_then_the_smaller_id() {
    let signed =
        |value, byte| SignedMessage::new(vote(Round::new(0), value), VoteSignature([byte; 64]));
    let nil = signed(NilOrVal::Nil, 1);
    let small = signed(NilOrVal::Val(BlockId::from([1; 32])), 2);
    let large = signed(NilOrVal::Val(BlockId::from([2; 32])), 3);
    for (one, other, first) in [(&nil, &small, 1), (&small, &nil, 1), (&large, &small, 2)] {
        let evidence = double_vote(one, other).unwrap();
        assert_eq!(evidence.first.signature, VoteSignature([first; 64]));
        assert!(evidence.first.block < evidence.second.block);
    }
}

#[test]
fn votes_that_do_not_conflict_are_no_evidence() {
    let signed = |vote| SignedMessage::new(vote, VoteSignature([1; 64]));
    let one = vote(Round::new(0), NilOrVal::Nil);
    let later = vote(Round::new(1), NilOrVal::Val(BlockId::from([1; 32])));
    let prevote = Vote { kind: VoteType::Prevote, round: Round::new(0), ..later };
    let other = Vote { validator: Voter(Address([2; 20])), round: Round::new(0), ..later };
    for second in [one.clone(), later, prevote, other] {
        assert_eq!(double_vote(&signed(one.clone()), &signed(second)), None);
    }
}
