//! Where the tokens are: every record that holds tokens is written through here, so that the totals
//! follow, and the end of every block asserts that none appeared or vanished.

use alloc::vec::Vec;

use althing_state::{Fault, View};
use althing_types::Amount;
use borsh::{BorshDeserialize, BorshSerialize};

use crate::{Account, EventRecord, Execution, OfferRecord, ValidatorRecord, keys};

/// A kind of place that holds tokens.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Pot {
    /// Free tokens of accounts.
    Accounts,
    /// Validators' stakes.
    Bonded,
    /// Stakes of offers.
    Offers,
    /// Fees of open executions, and what runs paid for events.
    Escrow,
}

/// A record that holds tokens.
pub(crate) trait Holds: BorshSerialize + BorshDeserialize {
    /// Where they count.
    const POT: Pot;
    /// How many.
    fn held(&self) -> Amount;
}

/// The sums over all records; their sum is `supply`, always.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub struct Totals {
    /// All balances.
    pub accounts: Amount,
    /// All validators' stakes.
    pub bonded: Amount,
    /// All stakes of offers.
    pub offers: Amount,
    /// All fees in escrow, and what runs paid for events.
    pub escrow: Amount,
    /// The treasury.
    pub treasury: Amount,
    /// What was destroyed.
    pub burned: Amount,
    /// What was created: the genesis, and later what is minted.
    pub supply: Amount,
}

impl Totals {
    /// True if balances + stakes + escrows + treasury + burned = supply.
    #[must_use]
    pub fn are_conserved(&self) -> bool {
        let parts =
            [self.accounts, self.bonded, self.offers, self.escrow, self.treasury, self.burned];
        let sum = parts.iter().try_fold(Amount::ZERO, |sum, part| sum.checked_add(*part));
        sum == Some(self.supply)
    }

    fn pot(&mut self, pot: Pot) -> &mut Amount {
        match pot {
            Pot::Accounts => &mut self.accounts,
            Pot::Bonded => &mut self.bonded,
            Pot::Offers => &mut self.offers,
            Pot::Escrow => &mut self.escrow,
        }
    }

    /// Accounts for a record that held `before` and holds `after`.
    pub(crate) fn moved(&mut self, pot: Pot, before: Amount, after: Amount) -> Result<(), Fault> {
        let total = self.pot(pot);
        let broken = Fault { what: "a record held more than its pot", key: keys::TOTALS.to_vec() };
        *total =
            total.checked_sub(before).and_then(|rest| rest.checked_add(after)).ok_or(broken)?;
        Ok(())
    }
}

/// Reads and decodes a record.
pub(crate) fn load<T: BorshSerialize + BorshDeserialize>(
    view: &impl View,
    key: &[u8],
) -> Result<Option<T>, Fault> {
    let Some(bytes) = view.read(key)? else { return Ok(None) };
    decode(key, &bytes).map(Some)
}

/// Decodes what a key holds.
pub(crate) fn decode<T: BorshDeserialize>(key: &[u8], bytes: &[u8]) -> Result<T, Fault> {
    borsh::from_slice(bytes)
        .map_err(|_| Fault { what: "not a record of its kind", key: key.to_vec() })
}

/// Recomputes the totals from every record of a state: slow, and independent of [`Totals`].
///
/// # Errors
///
/// [`Fault`] if the state cannot be read, or its totals are not those of its records.
pub fn audit(view: &impl View) -> Result<Totals, Fault> {
    let recorded: Totals = load(view, keys::TOTALS)?.unwrap_or_default();
    let mut counted = Totals {
        accounts: Amount::ZERO,
        bonded: Amount::ZERO,
        offers: Amount::ZERO,
        escrow: Amount::ZERO,
        ..recorded
    };
    sum::<Account>(view, b"a", &mut counted)?;
    sum::<ValidatorRecord>(view, b"v", &mut counted)?;
    sum::<OfferRecord>(view, b"o", &mut counted)?;
    sum::<Execution>(view, b"e", &mut counted)?;
    sum::<EventRecord>(view, b"f", &mut counted)?;
    if counted != recorded || !counted.are_conserved() {
        return Err(Fault {
            what: "the totals are not the sums of the records",
            key: keys::TOTALS.to_vec(),
        });
    }
    Ok(counted)
}

fn sum<T: Holds>(view: &impl View, prefix: &[u8], totals: &mut Totals) -> Result<(), Fault> {
    const PAGE: usize = 1000;
    let mut after = None;
    loop {
        let page = view.range(prefix, after.as_deref(), PAGE)?;
        for (key, bytes) in &page {
            totals.moved(T::POT, Amount::ZERO, decode::<T>(key, bytes)?.held())?;
        }
        match page.into_iter().last() {
            Some((key, _)) => after = Some(key),
            None => return Ok(()),
        }
    }
}

/// The canonical bytes of a record, in a buffer that begins with the size of the many small ones:
/// a block keeps one for each key that it writes.
pub(crate) fn record_bytes(record: &impl BorshSerialize) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(64);
    record.serialize(&mut bytes).expect("writing to memory cannot fail");
    bytes
}
