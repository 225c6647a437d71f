//! The mempool: admission, bounds, fairness, order.
#![expect(clippy::unwrap_used, reason = "a test that cannot go on fails")]
mod common;

use std::sync::Arc;

use althing_keys::{AccountKey, Secp256k1};
use althing_ledger::{Account, Authenticated, Invalid};
use althing_replica::application::Application as _;
use althing_replica::{Limits, Mempool, NotAdmitted, Refusal, SubmitError};
use althing_types::{Amount, Eip712, Height, Nonce, Round, Transaction};
use common::{CHAIN, World, account, draft, parameters, transaction, transfer};
use proptest::prelude::*;

const LIMITS: Limits =
    Limits { transactions_max: 6, bytes_max: 4_000, per_account_max: 4, gap_max: 5 };

fn authentic(key: &AccountKey, transaction: Transaction) -> Arc<Authenticated> {
    let bytes = key.sign_transaction(transaction).encode();
    Arc::new(Authenticated::decode(&bytes, &Eip712::new(CHAIN), CHAIN, &Secp256k1).unwrap())
}

fn plain(key: &AccountKey, nonce: u64) -> Arc<Authenticated> {
    authentic(key, draft(key.address(), Nonce(nonce), vec![transfer(&account(9), 1)]))
}

fn rich(nonce: u64) -> Account {
    Account { balance: Amount::from_tokens(10), nonce: Nonce(nonce) }
}

fn pool() -> Mempool {
    Mempool::new(LIMITS, parameters())
}

fn put(pool: &mut Mempool, key: &AccountKey, nonce: u64) -> Result<(), NotAdmitted> {
    pool.insert(plain(key, nonce), &rich(0), Height(1))
}

fn refusal(result: Result<(), NotAdmitted>) -> Refusal {
    match result {
        Err(NotAdmitted::Refused(refusal)) => refusal,
        other => panic!("{other:?}"),
    }
}

fn nonces(pool: &Mempool) -> Vec<(usize, u64)> {
    let accounts: Vec<_> = (0..10).map(|n| account(n).address()).collect();
    let number = |t: &Authenticated| accounts.iter().position(|address| *address == t.account());
    pool.reap(Height(1), 100_000)
        .iter()
        .map(|t| (number(t).unwrap(), t.transaction().nonce.0))
        .collect()
}

#[test]
fn a_transaction_is_taken_once() {
    let mut pool = pool();
    put(&mut pool, &account(0), 0).unwrap();
    let refusal = refusal(put(&mut pool, &account(0), 0));
    assert_eq!((refusal, refusal.code()), (Refusal::Duplicate, "POL-0002"));
    assert_eq!(pool.len(), 1);
}

#[test]
fn the_first_transaction_with_a_nonce_stays() {
    let (mut pool, key) = (pool(), account(0));
    put(&mut pool, &key, 0).unwrap();
    let other = authentic(&key, draft(key.address(), Nonce(0), vec![transfer(&account(8), 2)]));
    let refusal = refusal(pool.insert(other, &rich(0), Height(1)));
    assert_eq!((refusal, refusal.code()), (Refusal::NonceTaken { nonce: Nonce(0) }, "POL-0005"));
}

#[test]
fn used_nonces_and_distant_ones_are_refused() {
    let mut pool = pool();
    let stale = refusal(pool.insert(plain(&account(0), 2), &rich(3), Height(1)));
    assert_eq!(stale, Refusal::Stale { next: Nonce(3), found: Nonce(2) });
    assert_eq!(stale.code(), "POL-0004");
    put(&mut pool, &account(0), 5).unwrap();
    let far = refusal(put(&mut pool, &account(0), 6));
    assert_eq!(far, Refusal::TooFarAhead { next: Nonce(0), found: Nonce(6), most: 5 });
    assert_eq!(far.code(), "POL-0003");
}

#[test]
fn an_account_has_a_bound() {
    let mut pool = pool();
    for nonce in 0..4 {
        put(&mut pool, &account(0), nonce).unwrap();
    }
    let refusal = refusal(put(&mut pool, &account(0), 4));
    assert_eq!((refusal, refusal.code()), (Refusal::AccountFull { most: 4 }, "POL-0006"));
}

#[test]
fn a_full_pool_takes_from_the_largest_account_or_refuses() {
    let mut pool = pool();
    for nonce in 0..4 {
        put(&mut pool, &account(0), nonce).unwrap();
    }
    put(&mut pool, &account(1), 0).unwrap();
    put(&mut pool, &account(2), 0).unwrap();
    put(&mut pool, &account(3), 0).unwrap();
    assert_eq!(pool.len(), 6);
    assert_eq!(nonces(&pool).iter().filter(|(n, _)| *n == 0).count(), 3, "its last one went");
    put(&mut pool, &account(4), 0).unwrap();
    let full = refusal(put(&mut pool, &account(0), 2));
    assert_eq!((full, full.code()), (Refusal::Full { transactions: 6 }, "POL-0001"));
    put(&mut pool, &account(5), 0).unwrap();
    let full = refusal(put(&mut pool, &account(6), 0));
    assert_eq!(full, Refusal::Full { transactions: 6 }, "everybody has one");
    assert_eq!(pool.len(), 6);
}

#[test]
fn bytes_are_bounded_too() {
    let limits = Limits { bytes_max: 500, ..LIMITS };
    let mut pool = Mempool::new(limits, parameters());
    let bytes = plain(&account(0), 0).bytes();
    for n in 0..(500 / bytes) as u64 {
        put(&mut pool, &account(n), 0).unwrap();
    }
    refusal(put(&mut pool, &account(8), 0));
    assert!(pool.bytes() <= 500);
    let first = pool.reap(Height(1), 1_000)[0].hash();
    pool.remove(&first);
    put(&mut pool, &account(8), 0).unwrap();
}

#[test]
fn what_no_block_could_have_is_refused_with_the_ledgers_words() {
    let (mut pool, key) = (pool(), account(0));
    let mut expired = draft(key.address(), Nonce(0), vec![transfer(&account(9), 1)]);
    expired.expires = Height(4);
    let result = pool.insert(authentic(&key, expired), &rich(0), Height(5));
    let invalid = Invalid::Expired { expires: Height(4) };
    assert_eq!(result, Err(NotAdmitted::Invalid(invalid)));

    let mut mean = draft(key.address(), Nonce(0), vec![transfer(&account(9), 1)]);
    mean.fee_limit = Amount::from_base_units(1);
    let result = pool.insert(authentic(&key, mean), &rich(0), Height(1));
    assert!(matches!(result, Err(NotAdmitted::Invalid(Invalid::FeeAboveLimit { .. }))));
    assert!(pool.is_empty());
}

#[test]
fn an_account_must_be_able_to_pay_all_its_fees() {
    let (mut pool, key) = (pool(), account(0));
    let fee = plain(&key, 0).fee(&parameters());
    let purse = Account { balance: fee.checked_mul(2).unwrap(), nonce: Nonce(0) };
    pool.insert(plain(&key, 0), &purse, Height(1)).unwrap();
    pool.insert(plain(&key, 1), &purse, Height(1)).unwrap();
    let result = pool.insert(plain(&key, 2), &purse, Height(1));
    assert!(matches!(result, Err(NotAdmitted::Invalid(Invalid::CannotPay { .. }))), "{result:?}");
}

#[test]
fn reaping_follows_arrival_and_each_accounts_nonces() {
    let mut pool = pool();
    for (n, nonce) in [(0, 1), (1, 0), (0, 0), (2, 2), (1, 1)] {
        put(&mut pool, &account(n), nonce).unwrap();
    }
    // 2 waits for a gap; 0's first came after 1's first, its second before 1's second.
    assert_eq!(nonces(&pool), [(1, 0), (0, 0), (0, 1), (1, 1)]);
    let two = plain(&account(0), 0).bytes() * 2;
    assert_eq!(pool.reap(Height(1), two).len(), 2);
    assert!(pool.reap(Height(1), 10).is_empty());
    assert!(pool.reap(Height(1_001), 10_000).is_empty(), "all expired");
}

#[test]
fn a_commit_removes_what_it_settles_makes_stale_or_lets_expire() {
    let mut pool = pool();
    for nonce in 0..3 {
        put(&mut pool, &account(0), nonce).unwrap();
    }
    let key = account(1);
    let mut brief = draft(key.address(), Nonce(0), vec![transfer(&account(9), 1)]);
    brief.expires = Height(3);
    pool.insert(authentic(&key, brief), &rich(0), Height(1)).unwrap();
    // Another transaction with nonce 1 was in the block.
    let rival = draft(account(0).address(), Nonce(1), vec![transfer(&account(8), 3)]);
    pool.committed(Height(2), [&*authentic(&account(0), rival)]);
    assert_eq!(pool.len(), 2);
    assert_eq!(nonces(&pool), [(0, 2), (1, 0)]);
    pool.committed(Height(3), []);
    assert_eq!(nonces(&pool), [(0, 2)]);
    let last = pool.reap(Height(4), 1_000)[0].hash();
    pool.remove(&last);
    assert_eq!((pool.len(), pool.bytes()), (0, 0));
    assert!(pool.reap(Height(4), 1_000).is_empty());
}

#[test]
fn the_next_nonce_counts_what_waits() {
    let mut pool = pool();
    let address = account(0).address();
    assert_eq!(pool.next_nonce(&address, &rich(0)), Nonce(0));
    for nonce in [0, 1, 3] {
        put(&mut pool, &account(0), nonce).unwrap();
    }
    assert_eq!(pool.next_nonce(&address, &rich(0)), Nonce(2), "up to the gap");
}

#[test]
fn a_submission_tells_new_known_and_bad_apart() {
    let mut world = World::new(1);
    let good = transaction(&account(0), Nonce(0), vec![transfer(&account(1), 1)]);
    let replica = &mut world.nodes[0].replica;
    assert_eq!(replica.submit(&good.encode()).unwrap(), good.hash());
    let again = replica.submit(&good.encode()).unwrap_err();
    assert_eq!(again.code(), Some("POL-0002"));
    let authenticated = replica.reader().authenticate(&good.encode()).unwrap();
    let again = replica.admit(authenticated).unwrap_err();
    assert!(matches!(again, SubmitError::NotAdmitted(NotAdmitted::Refused(Refusal::Duplicate))));
    assert_eq!(replica.submit(b"rubbish").unwrap_err().code(), Some("TXN-0001"));
    let mut forged = transaction(&account(2), Nonce(0), vec![transfer(&account(1), 1)]);
    forged.signature.v = 99;
    assert_eq!(replica.submit(&forged.encode()).unwrap_err().code(), Some("TXN-0002"));
    world.round();
    let late = world.nodes[0].replica.submit(&good.encode()).unwrap_err();
    assert_eq!(late.code(), Some("POL-0004"));
}

#[test]
fn what_can_no_longer_be_paid_leaves_the_pool_when_a_block_is_built() {
    let mut world = World::new(1);
    let key = account(0);
    let all = Amount::from_tokens(999);
    world.ask(&key, transfer(&account(1), all.base_units()));
    world.ask(&key, transfer(&account(1), 1));
    world.round();
    // The rest pays a few fees only, the pool knew of more.
    for _ in 0..3 {
        world.ask(&key, transfer(&account(1), 900_000));
    }
    world.round();
    world.round();
    assert!(world.nodes[0].replica.mempool().is_empty());
    let (id, _) = world.nodes[0].replica.propose(Height(4), Round(0)).unwrap();
    assert!(world.nodes[0].replica.body(&id).unwrap().is_some());
}

/// What happens to a pool.
#[derive(Clone, Debug)]
enum Event {
    Insert { account: u64, nonce: u64 },
    Remove { account: u64, nonce: u64 },
    Commit,
}

fn events() -> impl Strategy<Value = Vec<Event>> {
    let event = prop_oneof![
        6 => (0..5_u64, 0..9_u64).prop_map(|(account, nonce)| Event::Insert { account, nonce }),
        1 => (0..5_u64, 0..9_u64).prop_map(|(account, nonce)| Event::Remove { account, nonce }),
        1 => Just(Event::Commit),
    ];
    prop::collection::vec(event, 0..60)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn the_pool_keeps_its_bounds_and_reaps_what_a_ledger_takes(events in events()) {
        let mut pool = pool();
        let (mut next, mut height) = ([0_u64; 5], Height(1));
        for event in events {
            match event {
                Event::Insert { account: n, nonce } => {
                    let state = rich(next[usize::try_from(n).unwrap()]);
                    let transaction = plain(&account(n), nonce);
                    let (hash, before) = (transaction.hash(), pool.len());
                    match pool.insert(transaction, &state, height) {
                        Ok(()) => prop_assert!(pool.find(&hash).is_some()),
                        Err(NotAdmitted::Refused(Refusal::Duplicate | Refusal::NonceTaken { .. })) => {
                            prop_assert_eq!(pool.len(), before);
                        }
                        Err(_) => {
                            prop_assert_eq!(pool.len(), before);
                            prop_assert!(pool.find(&hash).is_none());
                        }
                    }
                }
                Event::Remove { account: n, nonce } => {
                    let hash = plain(&account(n), nonce).hash();
                    pool.remove(&hash);
                    prop_assert!(pool.find(&hash).is_none());
                }
                Event::Commit => {
                    let block = pool.reap(height, 600);
                    for transaction in &block {
                        let of = |n: &usize| account(*n as u64).address() == transaction.account();
                        let n = (0..5).find(of).unwrap();
                        prop_assert_eq!(transaction.transaction().nonce, Nonce(next[n]));
                        next[n] += 1;
                    }
                    prop_assert!(block.iter().map(|t| t.bytes()).sum::<usize>() <= 600);
                    pool.committed(height, block.iter().map(|t| &**t));
                    height = height.next();
                }
            }
            prop_assert!(pool.len() <= LIMITS.transactions_max);
            prop_assert!(pool.bytes() <= LIMITS.bytes_max);
        }
    }
}
