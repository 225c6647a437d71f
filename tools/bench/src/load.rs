//! Signed transfers between many accounts, made before anything is measured.
//!
//! A file of them is, for each, its length in four bytes, little-endian, and its canonical bytes.

use std::collections::VecDeque;
use std::ops::Range;
use std::path::Path;
use std::{fs, thread};

use althing_keys::AccountKey;
use althing_types::{
    Amount, ChainId, Endowment, Height, Nonce, Operation, Transaction, Transfer, keccak,
};
use anyhow::{Context as _, Result};

/// What each of the accounts owns.
const BALANCE: Amount = Amount::from_tokens(10_000);

/// The key of the `n`-th account.
pub(crate) fn key(n: u64) -> AccountKey {
    AccountKey::from_bytes(&keccak(&[b"bench account", &n.to_be_bytes()]).0)
        .expect("a hash below the order of the curve, but for one in 2^128")
}

/// The first `count` accounts, as a genesis endows them.
pub(crate) fn endowments(count: u64) -> Vec<Endowment> {
    (0..count).map(|n| Endowment { address: key(n).address(), balance: BALANCE }).collect()
}

/// Which transfers are to be made.
#[derive(Clone, Debug)]
pub(crate) struct Plan<'a> {
    pub(crate) chain: ChainId,
    /// Whose transactions they are.
    pub(crate) accounts: Range<u64>,
    /// All accounts; each transfer goes to another of them.
    pub(crate) all: &'a [Endowment],
    /// Transactions of each account.
    pub(crate) each: u64,
    /// Transfers in a transaction; more than one are atomic.
    pub(crate) transfers: u64,
}

impl Plan<'_> {
    fn transaction(&self, key: &AccountKey, account: u64, nonce: u64) -> Vec<u8> {
        let all = self.all.len() as u64;
        let transfer = |place: u64| {
            // Spread over all, and never to itself.
            let step = 1 + (nonce * 7_919 + place * 104_729) % (all - 1);
            let receiver = usize::try_from((account + step) % all).expect("a place in a list");
            let amount = Amount::from_base_units(1 + u128::from(place));
            Operation::Transfer(Transfer { to: self.all[receiver].address, amount })
        };
        let transaction = Transaction {
            chain: self.chain,
            account: key.address(),
            nonce: Nonce(nonce),
            expires: Height(u64::MAX),
            atomic: self.transfers > 1,
            fee_limit: Amount::from_tokens(1),
            operations: (0..self.transfers).map(transfer).collect(),
        };
        key.sign_transaction(transaction).encode()
    }

    /// Signs everything on all cores, and writes it to a file; gives the mean size of a transaction.
    pub(crate) fn write(&self, file: &Path) -> Result<usize> {
        let threads = thread::available_parallelism().map_or(1, |count| count.get() as u64);
        let accounts: Vec<u64> = self.accounts.clone().collect();
        // Of each account in turn, so that all of them have something in every block.
        let share = |first: u64| -> Vec<Vec<Vec<u8>>> {
            let own = accounts.iter().enumerate();
            let own = own.filter(|(place, _)| *place as u64 % threads == first);
            own.map(|(_, account)| {
                let key = key(*account);
                (0..self.each).map(|nonce| self.transaction(&key, *account, nonce)).collect()
            })
            .collect()
        };
        let signed: Vec<Vec<Vec<u8>>> = thread::scope(|scope| {
            let threads: Vec<_> =
                (0..threads).map(|first| scope.spawn(move || share(first))).collect();
            threads
                .into_iter()
                .flat_map(|thread| thread.join().expect("signing does not panic"))
                .collect()
        });
        let in_turn = (0..usize::try_from(self.each)?)
            .flat_map(|nonce| signed.iter().filter_map(move |account| account.get(nonce)));
        write(file, in_turn)
    }
}

/// Writes encoded transactions to a file; gives their mean size.
pub(crate) fn write<'a>(
    file: &Path,
    transactions: impl IntoIterator<Item = &'a Vec<u8>>,
) -> Result<usize> {
    let (mut bytes, mut count) = (Vec::new(), 0_usize);
    for transaction in transactions {
        bytes.extend(u32::try_from(transaction.len())?.to_le_bytes());
        bytes.extend(transaction);
        count += 1;
    }
    fs::write(file, &bytes).context("writing transactions")?;
    Ok((bytes.len() / count.max(1)).saturating_sub(4))
}

/// The transactions of a file's bytes.
pub(crate) fn read(mut bytes: &[u8]) -> Result<VecDeque<Vec<u8>>> {
    let mut transactions = VecDeque::new();
    while let Some((length, rest)) = bytes.split_first_chunk::<4>() {
        let length = usize::try_from(u32::from_le_bytes(*length))?;
        let (transaction, rest) = rest.split_at_checked(length).context("the file is cut off")?;
        transactions.push_back(transaction.to_vec());
        bytes = rest;
    }
    Ok(transactions)
}
