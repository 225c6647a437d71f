use althing_ledger::Rejection;
use althing_types::{RecoverableSignature, Seal};

use super::*;

struct Signer;

impl TransactionSigner for Signer {
    fn address(&self) -> Address {
        Address([1; 20])
    }
    fn sign(&self, transaction: Transaction) -> SignedTransaction {
        let signature = RecoverableSignature { r_and_s: [0; 64], v: 27 };
        SignedTransaction { transaction, signature }
    }
}

fn seal(n: u8) -> Operation {
    let hash = Hash([n; 32]);
    Operation::Seal(Seal { execution: hash, round: 0, commitment: hash })
}

fn config() -> OutboxConfig {
    OutboxConfig {
        chain: ChainId(1),
        operations_max: 3,
        bytes_max: 32 << 10,
        in_flight_max: 2,
        hurried_max: 4,
        hurried_operations_max: 2,
        queue_max: 8,
        lifetime: 10,
        resend_ms: 1_000,
        gather_ms: 5,
        fee_limit: Amount::from_tokens(1),
    }
}

fn outbox() -> Outbox {
    Outbox::new(config(), Signer.address(), Height(100), Nonce(7))
}

fn receipt(signed: &SignedTransaction, results: Vec<OperationResult>) -> TransactionReceipt {
    TransactionReceipt {
        transaction: signed.hash(),
        account: Signer.address(),
        nonce: signed.transaction.nonce,
        fee: Amount::ZERO,
        results,
    }
}

fn push(outbox: &mut Outbox, from: u8, to: u8) {
    for n in from..=to {
        outbox.push(seal(n), 0).unwrap();
    }
}

#[test]
fn operations_gather_while_others_are_in_flight() {
    let mut outbox = outbox();
    push(&mut outbox, 1, 1);
    let first = outbox.outgoing(0, &Signer);
    assert_eq!(first.len(), 1);
    push(&mut outbox, 2, 3);
    assert_eq!(outbox.outgoing(1, &Signer), [], "two wait for more");
    assert_eq!(outbox.wait_ms(1), Some(4));
    let second = outbox.outgoing(5, &Signer);
    assert_eq!(second[0].transaction.operations, [seal(2), seal(3)]);
    assert_eq!(second[0].transaction.nonce, Nonce(8));
    assert!(!second[0].transaction.atomic);
}

#[test]
fn nothing_gathers_for_a_block_that_is_open_once() {
    let mut outbox = outbox();
    let mut receipts = Vec::new();
    for n in 1..=4 {
        push(&mut outbox, n, n);
        outbox.hurry();
        let sent = outbox.outgoing(0, &Signer);
        assert_eq!(sent.len(), 1, "operation {n}");
        receipts.push(receipt(&sent[0], vec![OperationResult::Done]));
    }
    push(&mut outbox, 5, 5);
    outbox.hurry();
    assert_eq!(outbox.outgoing(0, &Signer), [], "as many are in flight as may be");
    assert_eq!(outbox.committed(Height(101), Some(Nonce(10)), &receipts[..3], 0).len(), 3);
    assert_eq!(outbox.outgoing(1, &Signer), [], "nothing is in a hurry any more");
    assert_eq!(outbox.outgoing(5, &Signer).len(), 1);
}

#[test]
fn a_block_that_is_open_gets_its_answers_in_small_batches() {
    let mut outbox = outbox();
    push(&mut outbox, 1, 5);
    outbox.hurry();
    let sent = outbox.outgoing(0, &Signer);
    let sizes: Vec<usize> = sent.iter().map(|s| s.transaction.operations.len()).collect();
    assert_eq!(sizes, [2, 2, 1]);
}

#[test]
fn batch_flight_and_line_are_bounded() {
    let mut outbox = outbox();
    push(&mut outbox, 1, 8);
    assert_eq!(outbox.push(seal(9), 0), Err(Full(Box::new(seal(9)))));
    let sent = outbox.outgoing(100, &Signer);
    let sizes: Vec<usize> = sent.iter().map(|s| s.transaction.operations.len()).collect();
    assert_eq!(sizes, [3, 3], "two in flight, three in each");
    assert_eq!(outbox.pending(), 8);
}

#[test]
fn a_batch_stays_within_its_bytes_and_a_single_operation_always_fits() {
    let one = canonical::encode(&seal(1)).len();
    let config = OutboxConfig { bytes_max: ENVELOPE_BYTES + 2 * one, ..config() };
    let mut outbox = Outbox::new(config, Signer.address(), Height(1), Nonce(0));
    push(&mut outbox, 1, 3);
    let sent = outbox.outgoing(100, &Signer);
    assert_eq!(sent[0].transaction.operations.len(), 2);
    assert!(sent[0].encode().len() <= ENVELOPE_BYTES + 2 * one);
    let config = OutboxConfig { bytes_max: 1, ..self::config() };
    let mut narrow = Outbox::new(config, Signer.address(), Height(1), Nonce(0));
    push(&mut narrow, 1, 2);
    assert_eq!(narrow.outgoing(100, &Signer)[0].transaction.operations.len(), 1);
}

#[test]
fn results_are_reported_and_a_rejected_operation_is_not_sent_again() {
    let mut outbox = outbox();
    push(&mut outbox, 1, 2);
    let sent = outbox.outgoing(0, &Signer);
    let results = vec![OperationResult::Done, OperationResult::Rejected(Rejection::WrongPhase)];
    let receipts = [receipt(&sent[0], results)];
    let fates = outbox.committed(Height(101), Some(Nonce(8)), &receipts, 10);
    assert_eq!(fates, [(seal(1), Fate::Done), (seal(2), Fate::Rejected(Rejection::WrongPhase))]);
    assert_eq!(outbox.pending(), 0);
    assert_eq!(outbox.outgoing(10_000, &Signer), []);
}

#[test]
fn an_expired_transaction_is_signed_again_under_its_nonce() {
    let mut outbox = outbox();
    push(&mut outbox, 1, 1);
    let first = outbox.outgoing(0, &Signer).remove(0);
    assert_eq!(first.transaction.expires, Height(110));
    assert_eq!(outbox.committed(Height(109), None, &[], 1), []);
    assert_eq!(outbox.outgoing(1, &Signer), [], "block 110 may still have it");
    outbox.committed(Height(110), None, &[], 2);
    let second = outbox.outgoing(2, &Signer).remove(0);
    assert_eq!(second.transaction.nonce, first.transaction.nonce);
    assert_eq!(second.transaction.operations, first.transaction.operations);
    assert_eq!(second.transaction.expires, Height(120));
    let receipts = [receipt(&second, vec![OperationResult::Done])];
    let fates = outbox.committed(Height(111), Some(Nonce(8)), &receipts, 3);
    assert_eq!(fates, [(seal(1), Fate::Done)]);
}

#[test]
fn a_transaction_without_an_echo_is_sent_again_as_it_is() {
    let mut outbox = outbox();
    push(&mut outbox, 1, 1);
    let first = outbox.outgoing(0, &Signer);
    assert_eq!(outbox.outgoing(999, &Signer), []);
    assert_eq!(outbox.outgoing(1_000, &Signer), first);
}

#[test]
fn operations_whose_nonce_went_to_a_foreign_transaction_go_out_under_the_next() {
    let mut outbox = outbox();
    push(&mut outbox, 1, 4);
    let sent = outbox.outgoing(100, &Signer);
    assert_eq!(sent.len(), 2);
    // The account's owner sent something of its own under nonce 7; the second one is still good.
    assert_eq!(outbox.committed(Height(101), Some(Nonce(8)), &[], 101), []);
    let again = outbox.outgoing(200, &Signer);
    assert_eq!(again[0].transaction.nonce, Nonce(9));
    assert_eq!(again[0].transaction.operations, [seal(1), seal(2), seal(3)]);
}

#[test]
fn after_missed_blocks_what_was_in_flight_is_lost_or_still_in_flight() {
    let mut outbox = outbox();
    push(&mut outbox, 1, 4);
    outbox.outgoing(100, &Signer);
    let fates = outbox.caught_up(Height(105), Nonce(8));
    assert_eq!(fates, [seal(1), seal(2), seal(3)].map(|operation| (operation, Fate::Lost)));
    assert_eq!(outbox.pending(), 1);
}

#[test]
fn an_ended_execution_leaves_the_line() {
    let mut outbox = outbox();
    push(&mut outbox, 1, 3);
    outbox.forget(&Hash([2; 32]));
    let sent = outbox.outgoing(0, &Signer);
    assert_eq!(sent[0].transaction.operations, [seal(1), seal(3)]);
}
