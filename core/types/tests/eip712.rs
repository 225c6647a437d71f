//! Digests against an independent implementation of EIP-712, which reads the typed data as a
//! wallet does (`eth_signTypedData_v4`).

#![expect(clippy::unwrap_used, reason = "a test that cannot go on fails")]

use alloy_dyn_abi::TypedData;
use althing_types::{
    Address, Amount, BeaconKey, Bond, ChainId, Decision, Eip712, EndpointId, Hash, Height, Nonce,
    Operation, PublicKey, Resume, Round, Seal, Transaction, Transfer, Unbond, Unjail, VoteKind,
    Withdraw, canonical, keccak,
};
use serde_json::{Value, json};

const CHAIN: u64 = 1_337_000_001;

/// What a wallet signs for a message of type `primary`, whose fields are given in order.
fn wallet(chain: u64, primary: &str, fields: &[(&str, &str)], message: &Value) -> Hash {
    let fields: Vec<Value> =
        fields.iter().map(|(name, kind)| json!({"name": name, "type": kind})).collect();
    let mut types = json!({
        "EIP712Domain": [
            {"name": "name", "type": "string"},
            {"name": "version", "type": "string"},
            {"name": "chainId", "type": "uint256"},
        ],
    });
    types[primary] = Value::Array(fields);
    let data: TypedData = serde_json::from_value(json!({
        "types": types,
        "primaryType": primary,
        "domain": {"name": "Althing", "version": "1", "chainId": chain},
        "message": message,
    }))
    .unwrap();
    Hash(data.eip712_signing_hash().unwrap().0)
}

fn wallet_transaction(transaction: &Transaction) -> Hash {
    let texts: Vec<String> = transaction.operations.iter().map(ToString::to_string).collect();
    let content = keccak(&[&canonical::encode(&transaction.operations)]);
    wallet(
        transaction.chain.0,
        "Transaction",
        &[
            ("account", "address"),
            ("nonce", "uint64"),
            ("expires", "uint64"),
            ("atomic", "bool"),
            ("feeLimit", "uint256"),
            ("operations", "string[]"),
            ("content", "bytes32"),
        ],
        &json!({
            "account": transaction.account.to_string(),
            "nonce": transaction.nonce.to_string(),
            "expires": transaction.expires.to_string(),
            "atomic": transaction.atomic,
            "feeLimit": transaction.fee_limit.base_units().to_string(),
            "operations": texts,
            "content": content.to_string(),
        }),
    )
}

fn transaction(operations: Vec<Operation>) -> Transaction {
    Transaction {
        chain: ChainId(CHAIN),
        account: Address([0xa1; 20]),
        nonce: Nonce(u64::MAX),
        expires: Height(12_345_678_901),
        atomic: true,
        fee_limit: Amount::from_base_units(u128::MAX),
        operations,
    }
}

fn some_operations() -> Vec<Operation> {
    let service = Hash([0x5e; 32]);
    vec![
        Operation::Transfer(Transfer {
            to: Address([0xb2; 20]),
            amount: Amount::from_base_units(12_500_001),
        }),
        Operation::Bond(Bond {
            amount: Amount::from_tokens(100),
            public_key: PublicKey([2; 33]),
            endpoint: EndpointId([3; 32]),
            beacon_key: BeaconKey([4; 32]),
        }),
        Operation::Unbond(Unbond { amount: Amount::from_tokens(1) }),
        Operation::Unjail(Unjail {}),
        Operation::Withdraw(Withdraw { service }),
        Operation::Resume(Resume { service }),
        Operation::Seal(Seal { execution: Hash([6; 32]), round: 1, commitment: Hash([7; 32]) }),
    ]
}

#[test]
fn a_transactions_digest_is_what_a_wallet_signs() {
    let eip712 = Eip712::new(ChainId(CHAIN));
    let operations = some_operations();
    for count in 0..=operations.len() {
        let transaction = transaction(operations.iter().take(count).cloned().collect());
        assert_eq!(transaction.digest(&eip712), wallet_transaction(&transaction), "{count}");
    }
}

#[test]
fn every_field_of_a_transaction_changes_its_digest() {
    let eip712 = Eip712::new(ChainId(CHAIN));
    let original = transaction(some_operations());
    let changes: [fn(&mut Transaction); 7] = [
        |t| t.account = Address([0xa2; 20]),
        |t| t.nonce = Nonce(0),
        |t| t.expires = Height(0),
        |t| t.atomic = false,
        |t| t.fee_limit = Amount::ZERO,
        |t| t.operations.truncate(6),
        |t| t.operations.swap(0, 1),
    ];
    for (place, change) in changes.into_iter().enumerate() {
        let mut changed = original.clone();
        change(&mut changed);
        assert_ne!(changed.digest(&eip712), original.digest(&eip712), "change {place}");
        assert_eq!(changed.digest(&eip712), wallet_transaction(&changed), "change {place}");
    }
}

/// A seal's words leave its round and commitment out: the content hash binds them.
#[test]
fn what_an_operations_words_leave_out_is_bound_by_the_content() {
    let eip712 = Eip712::new(ChainId(CHAIN));
    let seal = |round, commitment| {
        let seal = Seal { execution: Hash([6; 32]), round, commitment: Hash(commitment) };
        transaction(vec![Operation::Seal(seal)])
    };
    let original = seal(1, [7; 32]);
    for changed in [seal(2, [7; 32]), seal(1, [8; 32])] {
        assert_eq!(changed.operations[0].to_string(), original.operations[0].to_string());
        assert_ne!(changed.digest(&eip712), original.digest(&eip712));
    }
}

#[test]
fn a_votes_digest_is_what_a_wallet_signs() {
    let fields = [("height", "uint64"), ("round", "uint32"), ("block", "bytes32")];
    let (height, round) = (Height(u64::MAX - 1), Round(u32::MAX));
    for (kind, primary) in [(VoteKind::Prevote, "Prevote"), (VoteKind::Precommit, "Precommit")] {
        for block in [None, Some(Hash([0xbb; 32]))] {
            let message = json!({
                "height": height.to_string(),
                "round": round.to_string(),
                "block": block.unwrap_or_default().to_string(),
            });
            for chain in [0, 1, u64::MAX >> 11] {
                assert_eq!(
                    Eip712::new(ChainId(chain)).vote(kind, height, round, block),
                    wallet(chain, primary, &fields, &message)
                );
            }
        }
    }
}

#[test]
fn the_digests_of_a_proposal_and_its_body_are_what_a_wallet_signs() {
    let eip712 = Eip712::new(ChainId(CHAIN));
    let (block, proposer) = (Hash([0xbb; 32]), Address([0xcc; 20]));
    for (pol, plus_one) in [(None, "0"), (Some(Round(0)), "1"), (Some(Round(6)), "7")] {
        let message = json!({
            "height": "9", "round": "8", "polRoundPlusOne": plus_one,
            "block": block.to_string(), "proposer": proposer.to_string(),
        });
        let fields = [
            ("height", "uint64"),
            ("round", "uint32"),
            ("polRoundPlusOne", "uint32"),
            ("block", "bytes32"),
            ("proposer", "address"),
        ];
        assert_eq!(
            eip712.proposal(Height(9), Round(8), pol, block, proposer),
            wallet(CHAIN, "Proposal", &fields, &message)
        );
    }
    let message = json!({"height": "9", "round": "8", "block": block.to_string()});
    let fields = [("height", "uint64"), ("round", "uint32"), ("block", "bytes32")];
    assert_eq!(eip712.body(Height(9), Round(8), block), wallet(CHAIN, "Body", &fields, &message));
}

#[test]
fn a_decisions_digest_is_what_a_wallet_signs() {
    let (account, key) = (Address([0xa1; 20]), Hash([0x17; 32]));
    let (question, comment) = ("Pay 120 to ada?", "well earned");
    let fields = [
        ("account", "address"),
        ("key", "bytes32"),
        ("question", "string"),
        ("approved", "bool"),
        ("comment", "string"),
    ];
    for approved in [false, true] {
        let message = json!({
            "account": account.to_string(),
            "key": key.to_string(),
            "question": question,
            "approved": approved,
            "comment": comment,
        });
        let decision = Decision { account, key, question, approved, comment };
        assert_eq!(
            Eip712::new(ChainId(CHAIN)).decision(&decision),
            wallet(CHAIN, "Decision", &fields, &message)
        );
    }
}

#[test]
fn a_hellos_digest_is_what_a_wallet_signs() {
    let message = json!({
        "account": Address([0xa1; 20]).to_string(),
        "endpoint": Hash([0xee; 32]).to_string(),
    });
    let fields = [("account", "address"), ("endpoint", "bytes32")];
    assert_eq!(
        Eip712::new(ChainId(CHAIN)).hello(Address([0xa1; 20]), &[0xee; 32]),
        wallet(CHAIN, "Hello", &fields, &message)
    );
}
