//! One block's passage over the state.

use alloc::collections::BTreeMap;
use alloc::sync::Arc;
use alloc::vec;
use alloc::vec::Vec;

use althing_state::{Fault, Overlay, Savepoint, View, merkle};
use althing_types::{
    Address, Amount, ChainId, Eip712, Hash, Height, Operation, Parameters, Round, Signatures,
    TimeMs, ValidatorSet,
};
use borsh::{BorshDeserialize, BorshSerialize};

use crate::books::{Holds, Totals, load, record_bytes};
use crate::receipt::{OperationResult, Receipt, TransactionReceipt};
use crate::record::{Account, Due, OfferRecord, OfferStatus, ServiceRecord, ValidatorRecord};
use crate::{
    Authenticated, Change, EventChange, EventRecord, EventStep, Execution, Happened, Invalid,
    Rejection, Roster, RunChange, RunRecord, RunStep, Stamp, Step, committee, consensus_set,
    emitters, keys, operation, query, run,
};

/// Most deadlines that one block handles; the others wait for the next.
const DUE_PER_BLOCK: usize = 2_000;

/// What a block brings from outside of the state.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BlockContext {
    /// The chain.
    pub chain: ChainId,
    /// The block's height.
    pub height: Height,
    /// The round in which it was first proposed.
    pub round: Round,
    /// Its time.
    pub time: TimeMs,
    /// The time of the block before; the genesis' for the first.
    pub previous: TimeMs,
    /// Its proposer.
    pub proposer: Address,
    /// Its beacon.
    pub beacon: Hash,
}

/// Whether a transaction is part of the block.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Applied {
    /// It is; its receipt is among the block's.
    Included,
    /// It is not: a proposer leaves it out, and a block that has it is invalid.
    Refused(Invalid),
}

/// Everything that a block comes to.
#[derive(Clone, Debug)]
pub struct Executed {
    /// State writes; `None` deletes.
    pub writes: BTreeMap<Vec<u8>, Option<Vec<u8>>>,
    /// The leaves under the receipts root, in order.
    pub receipts: Vec<Receipt>,
    /// Merkle root of the receipts.
    pub receipts_root: Hash,
    /// Who decides the next height.
    pub next_validators: ValidatorSet,
    /// Rosters that were drawn from, for those who replay draws.
    pub rosters: Vec<Roster>,
    /// What happened to executions, for those who watch.
    pub changes: Vec<Change>,
    /// What happened to events, for those who watch.
    pub event_changes: Vec<EventChange>,
    /// What happened to runs, for those who watch.
    pub run_changes: Vec<RunChange>,
}

/// Why an operation stopped.
#[derive(Debug)]
pub(crate) enum Halt {
    /// It is at fault.
    Rejected(Rejection),
    /// The state is.
    Fault(Fault),
}

impl From<Rejection> for Halt {
    fn from(rejection: Rejection) -> Self {
        Self::Rejected(rejection)
    }
}

impl From<Fault> for Halt {
    fn from(fault: Fault) -> Self {
        Self::Fault(fault)
    }
}

/// The state in the middle of a block.
pub struct Ledger<'s, V: View> {
    state: Overlay<V>,
    totals: Totals,
    pub(crate) block: BlockContext,
    pub(crate) parameters: Parameters,
    pub(crate) signatures: &'s dyn Signatures,
    pub(crate) eip712: &'s Eip712,
    receipts: Vec<Receipt>,
    pub(crate) changes: Vec<Change>,
    event_changes: Vec<EventChange>,
    run_changes: Vec<RunChange>,
    /// Events that became valid in this block so far.
    pub(crate) events_in_block: u32,
    /// How many more listeners and waits this block looks at.
    pub(crate) fan_out_left: u32,
    rosters: BTreeMap<Hash, (Hash, Arc<Roster>)>,
    /// The consensus set may have changed.
    set_changed: bool,
}

impl<V: View + core::fmt::Debug> core::fmt::Debug for Ledger<'_, V> {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.debug_struct("Ledger")
            .field("block", &self.block)
            .field("totals", &self.totals)
            .finish_non_exhaustive()
    }
}

struct Checkpoint {
    state: Savepoint,
    totals: Totals,
    receipts: usize,
    changes: usize,
    event_changes: usize,
    run_changes: usize,
    set_changed: bool,
    /// Whose candidates were fixed already.
    rosters: Vec<Hash>,
}

impl<'s, V: View> Ledger<'s, V> {
    /// Opens a block: absent proposers are noted, and what is due is done.
    ///
    /// # Errors
    ///
    /// [`Fault`] if the state cannot be trusted.
    pub fn begin(
        base: V,
        block: BlockContext,
        eip712: &'s Eip712,
        signatures: &'s dyn Signatures,
    ) -> Result<Self, Fault> {
        let missing =
            |key: &[u8]| Fault { what: "a record of the genesis is missing", key: key.to_vec() };
        let parameters: Parameters =
            load(&base, keys::PARAMETERS)?.ok_or_else(|| missing(keys::PARAMETERS))?;
        let fan_out_left = parameters.fan_out_per_block;
        let totals: Totals = load(&base, keys::TOTALS)?.ok_or_else(|| missing(keys::TOTALS))?;
        let mut ledger = Self {
            state: Overlay::new(base),
            totals,
            block,
            parameters,
            signatures,
            eip712,
            receipts: Vec::new(),
            changes: Vec::new(),
            event_changes: Vec::new(),
            run_changes: Vec::new(),
            events_in_block: 0,
            fan_out_left,
            rosters: BTreeMap::new(),
            set_changed: false,
        };
        consensus_set::note_proposers(&mut ledger)?;
        ledger.do_what_is_due()?;
        Ok(ledger)
    }

    fn do_what_is_due(&mut self) -> Result<(), Fault> {
        let now = self.block.time;
        for (key, bytes) in self.state.range(keys::DUE, None, DUE_PER_BLOCK)? {
            if key > keys::due(now, &[0xff; 64]) {
                break;
            }
            self.state.delete(key.clone());
            match crate::books::decode::<Due>(&key, &bytes)? {
                Due::Execution(id) => committee::on_deadline(self, id)?,
                Due::Unbonding(validator) => operation::unbond::pay_out(self, validator)?,
                Due::Offer(service, node) => operation::withdraw::pay_out(self, service, node)?,
                Due::Event(key) => emitters::on_deadline(self, key)?,
                Due::Run(id) => run::on_deadline(self, id)?,
                Due::FanOut(event) => run::on_continuation(self, &event)?,
                Due::Forget(event) => run::forget(self, &event)?,
            }
        }
        Ok(())
    }

    /// Applies one transaction.
    ///
    /// # Errors
    ///
    /// [`Fault`] if the state cannot be trusted.
    pub fn apply(&mut self, authenticated: &Authenticated) -> Result<Applied, Fault> {
        let sender = authenticated.account();
        let key = keys::account(&sender);
        let mut account: Account = self.load(&key)?.unwrap_or_default();
        if let Err(invalid) =
            authenticated.admissible_for(&account, &self.parameters, self.block.height)
        {
            return Ok(Applied::Refused(invalid));
        }
        let fee = authenticated.fee(&self.parameters);
        let before = account.held();
        account.balance = account.balance.saturating_sub(fee);
        account.nonce = account.nonce.next();
        self.replace(key, before, &account)?;
        self.totals.treasury = self.totals.treasury.saturating_add(fee);

        let transaction = authenticated.transaction();
        let operations = &transaction.operations;
        let results = if transaction.atomic {
            self.all_or_none(authenticated, operations)?
        } else {
            self.each_for_itself(authenticated, operations)?
        };
        self.receipts.push(Receipt::Transaction(TransactionReceipt {
            transaction: authenticated.hash(),
            account: sender,
            nonce: transaction.nonce,
            fee,
            results,
        }));
        Ok(Applied::Included)
    }

    fn each_for_itself(
        &mut self,
        authenticated: &Authenticated,
        operations: &[Operation],
    ) -> Result<Vec<OperationResult>, Fault> {
        let mut results = Vec::with_capacity(operations.len());
        for (index, operation) in operations.iter().enumerate() {
            let checkpoint = self.checkpoint();
            match operation::apply(self, authenticated, index, operation) {
                Ok(result) => results.push(result),
                Err(Halt::Rejected(rejection)) => {
                    self.roll_back(checkpoint);
                    results.push(OperationResult::Rejected(rejection));
                }
                Err(Halt::Fault(fault)) => return Err(fault),
            }
        }
        Ok(results)
    }

    fn all_or_none(
        &mut self,
        authenticated: &Authenticated,
        operations: &[Operation],
    ) -> Result<Vec<OperationResult>, Fault> {
        let checkpoint = self.checkpoint();
        let mut results = Vec::with_capacity(operations.len());
        for (index, operation) in operations.iter().enumerate() {
            match operation::apply(self, authenticated, index, operation) {
                Ok(result) => results.push(result),
                Err(Halt::Rejected(rejection)) => {
                    self.roll_back(checkpoint);
                    let mut results =
                        vec![OperationResult::Rejected(Rejection::Undone); operations.len()];
                    if let Some(result) = results.get_mut(index) {
                        *result = OperationResult::Rejected(rejection);
                    }
                    return Ok(results);
                }
                Err(Halt::Fault(fault)) => return Err(fault),
            }
        }
        Ok(results)
    }

    /// Closes the block.
    ///
    /// # Errors
    ///
    /// [`Fault`] if the state cannot be trusted.
    ///
    /// # Panics
    ///
    /// If tokens appeared or vanished: a node with such a bug must not go on.
    pub fn finish(mut self) -> Result<Executed, Fault> {
        let next_validators = consensus_set::next(&mut self)?;
        assert!(self.totals.are_conserved(), "tokens appeared or vanished: {:?}", self.totals);
        let totals = self.totals;
        self.write(keys::TOTALS.to_vec(), &totals);
        let leaves: Vec<Vec<u8>> = self.receipts.iter().map(Receipt::encode).collect();
        Ok(Executed {
            writes: self.state.into_writes(),
            receipts_root: merkle::list_root(&leaves),
            receipts: self.receipts,
            next_validators,
            rosters: self
                .rosters
                .into_values()
                .map(|(_, roster)| Arc::unwrap_or_clone(roster))
                .collect(),
            changes: self.changes,
            event_changes: self.event_changes,
            run_changes: self.run_changes,
        })
    }

    fn checkpoint(&mut self) -> Checkpoint {
        Checkpoint {
            state: self.state.savepoint(),
            totals: self.totals,
            receipts: self.receipts.len(),
            changes: self.changes.len(),
            event_changes: self.event_changes.len(),
            run_changes: self.run_changes.len(),
            set_changed: self.set_changed,
            rosters: self.rosters.keys().copied().collect(),
        }
    }

    fn roll_back(&mut self, checkpoint: Checkpoint) {
        self.state.rollback(checkpoint.state);
        self.totals = checkpoint.totals;
        self.receipts.truncate(checkpoint.receipts);
        self.changes.truncate(checkpoint.changes);
        self.event_changes.truncate(checkpoint.event_changes);
        self.run_changes.truncate(checkpoint.run_changes);
        self.set_changed = checkpoint.set_changed;
        // Those that were fixed since may have had offers that are undone.
        self.rosters.retain(|service, _| checkpoint.rosters.contains(service));
    }

    // Records.

    pub(crate) fn load<T: BorshSerialize + BorshDeserialize>(
        &self,
        key: &[u8],
    ) -> Result<Option<T>, Fault> {
        load(&self.state, key)
    }

    pub(crate) fn write(&mut self, key: Vec<u8>, record: &impl BorshSerialize) {
        self.state.write(key, record_bytes(record));
    }

    pub(crate) fn delete(&mut self, key: Vec<u8>) {
        self.state.delete(key);
    }

    pub(crate) fn state(&self) -> &Overlay<V> {
        &self.state
    }

    /// Writes a record that holds tokens; what it held before comes from the state itself.
    fn put<T: Holds>(&mut self, key: Vec<u8>, record: &T) -> Result<(), Fault> {
        let before = self.load::<T>(&key)?.map_or(Amount::ZERO, |old| old.held());
        self.replace(key, before, record)
    }

    /// As [`put`](Self::put), for whoever has just read what the record held `before`.
    fn replace<T: Holds>(&mut self, key: Vec<u8>, before: Amount, record: &T) -> Result<(), Fault> {
        self.totals.moved(T::POT, before, record.held())?;
        self.write(key, record);
        Ok(())
    }

    /// Reads an account once, changes it, and writes it back.
    fn change_account<E: From<Fault>>(
        &mut self,
        address: &Address,
        change: impl FnOnce(&mut Account) -> Result<(), E>,
    ) -> Result<(), E> {
        let key = keys::account(address);
        let mut account: Account = self.load(&key)?.unwrap_or_default();
        let before = account.held();
        change(&mut account)?;
        Ok(self.replace(key, before, &account)?)
    }

    pub(crate) fn validator(&self, address: &Address) -> Result<Option<ValidatorRecord>, Fault> {
        self.load(&keys::validator(address))
    }

    pub(crate) fn put_validator(
        &mut self,
        address: &Address,
        record: &ValidatorRecord,
    ) -> Result<(), Fault> {
        self.set_changed = true;
        self.put(keys::validator(address), record)
    }

    /// As [`put_validator`](Self::put_validator), where the set stays as it is.
    pub(crate) fn put_validator_quietly(
        &mut self,
        address: &Address,
        record: &ValidatorRecord,
    ) -> Result<(), Fault> {
        self.put(keys::validator(address), record)
    }

    pub(crate) fn set_changed(&self) -> bool {
        self.set_changed
    }

    pub(crate) fn service(&self, id: &Hash) -> Result<Option<ServiceRecord>, Fault> {
        self.load(&keys::service(id))
    }

    pub(crate) fn offer(
        &self,
        service: &Hash,
        node: &Address,
    ) -> Result<Option<OfferRecord>, Fault> {
        query::offer(&self.state, service, node)
    }

    pub(crate) fn put_offer(
        &mut self,
        service: &Hash,
        node: &Address,
        record: &OfferRecord,
    ) -> Result<(), Fault> {
        let key = keys::offer(service, node);
        let before = self.load::<OfferRecord>(&key)?;
        let seat = |offer: &OfferRecord| {
            let active = offer.status == OfferStatus::Active;
            active.then(|| keys::seat(service, offer.stake, node))
        };
        let (left, taken) = (before.as_ref().and_then(seat), seat(record));
        if left != taken {
            left.into_iter().for_each(|seat| self.delete(seat));
            taken.into_iter().for_each(|seat| self.write(seat, &()));
        }
        let held = before.map_or(Amount::ZERO, |before| before.held());
        self.replace(key.clone(), held, record)?;
        if record.status == OfferStatus::Gone {
            // It holds nothing any more: counted out where it was, it moves into the history.
            self.delete(key);
            self.write(keys::former_offer(service, node), record);
        }
        Ok(())
    }

    /// Takes an offer back into office, out of the history.
    pub(crate) fn reinstate_offer(
        &mut self,
        service: &Hash,
        node: &Address,
        record: &OfferRecord,
    ) -> Result<(), Fault> {
        self.delete(keys::former_offer(service, node));
        self.put_offer(service, node, record)
    }

    pub(crate) fn execution(&self, id: &Hash) -> Result<Option<Execution>, Fault> {
        self.load(&keys::execution(id))
    }

    /// Keeps an execution that is still open.
    pub(crate) fn keep(&mut self, mut execution: Execution) -> Result<(), Fault> {
        execution.changed = self.block.height;
        self.put(keys::execution(&execution.id), &execution)
    }

    /// Removes an execution that holds nothing any more from the state, into the receipts.
    pub(crate) fn archive(&mut self, mut execution: Execution) -> Result<(), Fault> {
        execution.changed = self.block.height;
        self.put(keys::execution(&execution.id), &execution)?;
        self.delete(keys::execution(&execution.id));
        self.note(execution.id, Step::Settled);
        self.receipts.push(Receipt::Execution(execution));
        Ok(())
    }

    pub(crate) fn event(&self, key: &Hash) -> Result<Option<EventRecord>, Fault> {
        query::event(&self.state, key)
    }

    pub(crate) fn happened(&self, key: &Hash) -> Result<Option<Happened>, Fault> {
        query::happened(&self.state, key)
    }

    /// Keeps an event whose window lasts.
    pub(crate) fn keep_event(&mut self, event: &EventRecord) -> Result<(), Fault> {
        self.put(keys::event(&event.key), event)
    }

    /// Removes an event that holds nothing any more from the state, into the receipts.
    pub(crate) fn archive_event(&mut self, event: EventRecord) -> Result<(), Fault> {
        let key = keys::event(&event.key);
        self.put(key.clone(), &event)?;
        self.delete(key);
        self.note_event(event.key, EventStep::Settled(event.state));
        self.receipts.push(Receipt::Event(event));
        Ok(())
    }

    /// Plans something for the first block after `time`.
    pub(crate) fn plan(&mut self, time: TimeMs, due: &Due) {
        let item = record_bytes(due);
        self.write(keys::due(time, &item), due);
    }

    /// Takes a plan back.
    pub(crate) fn unplan(&mut self, time: TimeMs, due: &Due) {
        self.delete(keys::due(time, &record_bytes(due)));
    }

    /// Tells those who watch.
    pub(crate) fn note(&mut self, execution: Hash, step: Step) {
        self.changes.push(Change { execution, step });
    }

    /// As [`note`](Self::note), of an event.
    pub(crate) fn note_event(&mut self, event: Hash, step: EventStep) {
        self.event_changes.push(EventChange { event, step });
    }

    /// As [`note`](Self::note), of a run.
    pub(crate) fn note_run(&mut self, run: Hash, application: Hash, step: RunStep) {
        self.run_changes.push(RunChange { run, application, step });
    }

    /// This moment.
    pub(crate) const fn stamp(&self) -> Stamp {
        Stamp { height: self.block.height, events: self.events_in_block }
    }

    pub(crate) fn run(&self, id: &Hash) -> Result<Option<RunRecord>, Fault> {
        self.load(&keys::run(id))
    }

    /// Leaves something that holds no tokens in the block's receipts.
    pub(crate) fn leave(&mut self, receipt: Receipt) {
        self.receipts.push(receipt);
    }

    /// The candidates for a service in this block; the first use fixes them.
    pub(crate) fn roster(&mut self, service: &Hash) -> Result<(Hash, Arc<Roster>), Fault> {
        if let Some(known) = self.rosters.get(service) {
            return Ok(known.clone());
        }
        let roster = committee::roster(self, service)?;
        let entry = (roster.hash(), Arc::new(roster));
        self.rosters.insert(*service, entry.clone());
        Ok(entry)
    }

    // Tokens.

    /// Takes from a balance.
    pub(crate) fn debit(&mut self, address: &Address, amount: Amount) -> Result<(), Halt> {
        self.change_account(address, |account| {
            let available = account.balance;
            let needed = amount;
            account.balance = available
                .checked_sub(needed)
                .ok_or(Rejection::InsufficientBalance { needed, available })?;
            Ok(())
        })
    }

    /// What an account has.
    pub(crate) fn balance(&self, address: &Address) -> Result<Amount, Fault> {
        Ok(query::account(&self.state, address)?.balance)
    }

    /// Takes from a balance that is known to reach.
    pub(crate) fn take(&mut self, address: &Address, amount: Amount) -> Result<(), Fault> {
        let key = keys::account(address);
        self.change_account(address, |account| {
            let short = Fault { what: "a balance does not reach", key };
            account.balance = account.balance.checked_sub(amount).ok_or(short)?;
            Ok(())
        })
    }

    /// Adds to a balance.
    pub(crate) fn credit(&mut self, address: &Address, amount: Amount) -> Result<(), Fault> {
        if amount.is_zero() {
            return Ok(());
        }
        self.change_account(address, |account| {
            account.balance = account.balance.saturating_add(amount);
            Ok(())
        })
    }

    /// Adds to the treasury.
    pub(crate) fn pay_treasury(&mut self, amount: Amount) {
        self.totals.treasury = self.totals.treasury.saturating_add(amount);
    }

    /// Destroys tokens.
    pub(crate) fn burn(&mut self, amount: Amount) {
        self.totals.burned = self.totals.burned.saturating_add(amount);
    }
}
