//! What makes a transaction inadmissible, and what its operations have to do with each other.

use althing_keys::Secp256k1;
use althing_ledger::{Authenticated, Invalid, OperationResult, Rejection, query};
use althing_types::{
    Amount, ChainId, Eip712, Height, Nonce, Operation, RecoverableSignature, SignedTransaction,
    Transaction, Transfer,
};

use crate::common::{CHAIN, World, actor, tokens, units};
use crate::transfers::transfer;

fn verify(signed: &SignedTransaction) -> Result<Authenticated, Invalid> {
    Authenticated::decode(&signed.encode(), &Eip712::new(CHAIN), CHAIN, &Secp256k1)
}

fn good(world: &World) -> Transaction {
    let account = world.caller.address();
    let nonce = world.chain.account(&account).nonce;
    world.chain.transaction(account, nonce, vec![transfer(&actor(50), tokens(1))])
}

/// What the chain says of a transaction of the caller's; it must leave no trace.
fn refused(world: &mut World, transaction: Transaction) -> Invalid {
    let signed = world.caller.sign(transaction);
    let before = world.chain.state.root();
    let mut fates = world.chain.block(|block| block.send_raw(signed));
    assert_eq!(world.chain.state.root(), before, "a refused transaction left a trace");
    fates.pop().unwrap().unwrap_err()
}

#[test]
fn garbled_bytes_are_refused() {
    let world = World::new(0);
    let bytes = world.caller.sign(good(&world)).encode();
    let decode =
        |bytes: &[u8]| Authenticated::decode(bytes, &Eip712::new(CHAIN), CHAIN, &Secp256k1);
    assert!(decode(&bytes).is_ok());
    let longer = [bytes.as_slice(), &[0]].concat();
    for bad in [&bytes[1..], &bytes[..bytes.len() - 1], &longer, &[]] {
        assert_eq!(decode(bad).unwrap_err().code(), "TXN-0001");
    }
}

#[test]
fn a_transaction_above_the_size_limit_is_refused() {
    let world = World::new(0);
    let mut call = world.compute(0);
    call.nodes = vec![actor(1).address(); 20_000];
    let signed =
        world.caller.sign(Transaction { operations: vec![Operation::Call(call)], ..good(&world) });
    assert_eq!(verify(&signed).unwrap_err().code(), "TXN-0001");
    let unencoded = Authenticated::verify(signed, &Eip712::new(CHAIN), CHAIN, &Secp256k1);
    assert_eq!(unencoded.unwrap_err().code(), "TXN-0001");
}

#[test]
fn a_signature_of_somebody_else_is_refused() {
    let world = World::new(0);
    let forged = actor(9).sign(good(&world));
    assert_eq!(verify(&forged).unwrap_err().code(), "TXN-0002");
    let mut altered = world.caller.sign(good(&world));
    altered.transaction.fee_limit = tokens(1);
    assert_eq!(verify(&altered).unwrap_err().code(), "TXN-0002");
}

#[test]
fn the_other_form_of_a_signature_is_refused() {
    let world = World::new(0);
    let mut signed = world.caller.sign(good(&world));
    signed.signature = with_high_s(signed.signature);
    assert_eq!(verify(&signed).unwrap_err().code(), "TXN-0003");
}

/// n − s, with the other v: valid on the curve, and refused.
fn with_high_s(signature: RecoverableSignature) -> RecoverableSignature {
    let mut order = [0xff; 32];
    order[15] = 0xfe;
    let low = 0xbaae_dce6_af48_a03b_bfd2_5e8c_d036_4141_u128;
    order[16..].copy_from_slice(&low.to_be_bytes());
    let mut bytes = signature.r_and_s;
    let mut borrow = 0_i16;
    for place in (0..32).rev() {
        let digit = i16::from(order[place]) - i16::from(bytes[32 + place]) - borrow;
        borrow = i16::from(digit < 0);
        bytes[32 + place] = u8::try_from(digit.rem_euclid(256)).unwrap();
    }
    RecoverableSignature { r_and_s: bytes, v: 55 - signature.v }
}

#[test]
fn a_transaction_for_another_chain_is_refused() {
    let world = World::new(0);
    let foreign = world.caller.sign(Transaction { chain: ChainId(8), ..good(&world) });
    let invalid = verify(&foreign).unwrap_err();
    assert_eq!(invalid, Invalid::WrongChain { expected: CHAIN, found: ChainId(8) });
    assert_eq!(invalid.code(), "TXN-0004");
    let relabelled = SignedTransaction {
        transaction: Transaction { chain: CHAIN, ..foreign.transaction },
        ..foreign
    };
    assert_eq!(verify(&relabelled).unwrap_err().code(), "TXN-0002", "the digest binds the chain");
}

#[test]
fn a_transaction_has_at_least_one_operation_and_at_most_1024() {
    let world = World::new(0);
    let with = |count: usize| {
        let operations = vec![transfer(&actor(50), units(1)); count];
        verify(&world.caller.sign(Transaction { operations, ..good(&world) }))
    };
    assert!(with(1).is_ok());
    assert!(with(1_024).is_ok());
    assert_eq!(with(0).unwrap_err().code(), "TXN-0005");
    assert_eq!(with(1_025).unwrap_err().code(), "TXN-0005");
}

#[test]
fn a_nonce_is_used_once_and_in_order() {
    let mut world = World::new(0);
    let transaction = good(&world);
    let next = Transaction { nonce: transaction.nonce.next(), ..transaction.clone() };
    assert_eq!(refused(&mut world, next).code(), "TXN-0006", "early");
    let signed = world.caller.sign(transaction.clone());
    world.chain.block(|block| block.send_raw(signed));
    let invalid = refused(&mut world, transaction);
    assert_eq!(invalid, Invalid::WrongNonce { expected: Nonce(1), found: Nonce(0) }, "replayed");
}

#[test]
fn a_transaction_is_good_at_its_last_height_and_not_after_it() {
    let mut world = World::new(0);
    let height = world.chain.height;
    let late = Transaction { expires: height, ..good(&world) };
    assert_eq!(refused(&mut world, late).code(), "TXN-0007");
    let last = Transaction { expires: world.chain.height.next(), ..good(&world) };
    let signed = world.caller.sign(last);
    assert!(world.chain.block(|block| block.send_raw(signed))[0].is_ok());
}

#[test]
fn a_fee_above_the_accounts_own_limit_is_not_taken() {
    let mut world = World::new(0);
    let limit = units(1_166);
    let tight = Transaction { fee_limit: limit, ..good(&world) };
    let invalid = refused(&mut world, tight);
    assert_eq!(invalid, Invalid::FeeAboveLimit { fee: units(1_167), limit });
    assert_eq!(invalid.code(), "TXN-0008");
}

#[test]
fn an_account_that_cannot_pay_the_fee_is_refused() {
    let mut world = World::new(0);
    let poor = actor(60);
    world.chain.done(&world.caller, transfer(&poor, units(1_166)));
    let transaction = Transaction { account: poor.address(), nonce: Nonce(0), ..good(&world) };
    let signed = poor.sign(transaction);
    let admissible = verify(&signed).unwrap().admissible(
        &world.chain.state,
        &query::parameters(&world.chain.state).unwrap(),
        Height(9),
    );
    let refused = Invalid::CannotPay { fee: units(1_167), balance: units(1_166) };
    assert_eq!(admissible.unwrap().unwrap_err(), refused);
    let fates = world.chain.block(|block| block.send_raw(signed));
    assert_eq!(fates[0].as_ref().unwrap_err().code(), "TXN-0009");
}

#[test]
fn operations_of_an_atomic_transaction_are_carried_out_together_or_not_at_all() {
    let mut world = World::new(0);
    let (to, nothing) = (actor(50), Amount::ZERO);
    let operations =
        vec![transfer(&to, tokens(1)), transfer(&to, nothing), transfer(&to, tokens(2))];
    let receipts = world.chain.block(|block| block.send_atomic(&world.caller, operations));
    let results = &receipts[0].as_ref().unwrap().results;
    let codes: Vec<&str> = results
        .iter()
        .map(|result| match result {
            OperationResult::Rejected(rejection) => rejection.code(),
            OperationResult::Done | OperationResult::Created(_) => "done",
        })
        .collect();
    assert_eq!(codes, ["LED-0037", "LED-0002", "LED-0037"]);
    assert_eq!(world.chain.balance(&to), Amount::ZERO);

    let operations = vec![transfer(&to, tokens(1)), transfer(&to, tokens(2))];
    let receipts = world.chain.block(|block| block.send_atomic(&world.caller, operations));
    assert_eq!(receipts[0].as_ref().unwrap().results, vec![OperationResult::Done; 2]);
    assert_eq!(world.chain.balance(&to), tokens(3));
}

#[test]
fn operations_of_other_transactions_stand_for_themselves() {
    let mut world = World::new(0);
    let to = actor(50);
    let operations =
        vec![transfer(&to, tokens(1)), transfer(&to, Amount::ZERO), transfer(&to, tokens(2))];
    let receipts = world.chain.block(|block| block.send(&world.caller, operations));
    let rejected = OperationResult::Rejected(Rejection::ZeroAmount);
    let expected = [OperationResult::Done, rejected, OperationResult::Done];
    assert_eq!(receipts[0].as_ref().unwrap().results, expected);
    assert_eq!(world.chain.balance(&to), tokens(3));
}

#[test]
fn a_failed_atomic_transaction_takes_back_calls_and_what_was_told_of_them() {
    let mut world = World::new(4);
    let call = Operation::Call(world.compute(1));
    let nothing = Operation::Transfer(Transfer { to: actor(50).address(), amount: Amount::ZERO });
    world.chain.block(|block| block.send_atomic(&world.caller, vec![call, nothing]));
    assert!(world.chain.changes.is_empty());
    assert_eq!(world.chain.totals().escrow, Amount::ZERO);
    world.chain.wait(10_000);
    assert!(query::executions(&world.chain.state, None, 1).unwrap().is_empty());
}
