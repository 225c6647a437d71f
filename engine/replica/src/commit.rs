//! What a block leaves in the archive, beside the state.

use althing_ledger::Receipt;
use althing_types::{BlockId, Hash, Header, canonical};

use crate::execute::Outcome;
use crate::reader::Head;
use crate::rules::{Archived, ChainRecord, Rules, SetChange, Subject};
use crate::store::Archive;

/// A block's records.
#[derive(Debug)]
pub(crate) struct Commitment {
    pub(crate) archive: Vec<(Archive, Hash, Vec<u8>)>,
    /// What its receipts are about, in order.
    pub(crate) subjects: Vec<Subject>,
    /// How often the validator set has changed, this block included.
    pub(crate) set_changes: u32,
}

/// The records of a block that follows `head`.
pub(crate) fn commitment(
    head: &Head,
    rules: &Rules,
    header: &Header,
    id: BlockId,
    outcome: &Outcome,
) -> Commitment {
    let receipts = &outcome.executed.receipts;
    let mut archive = Vec::with_capacity(receipts.len().saturating_add(8));
    let mut subjects = Vec::with_capacity(receipts.len());
    for (index, receipt) in receipts.iter().enumerate() {
        let (kind, about, subject) = match receipt {
            Receipt::Transaction(receipt) => {
                let hash = receipt.transaction;
                (Archive::Transaction, hash, Subject::Transaction(hash))
            }
            Receipt::Execution(execution) => {
                (Archive::Execution, execution.id, Subject::Execution(execution.id))
            }
            Receipt::Event(event) => (Archive::Event, event.key, Subject::Event(event.key)),
            Receipt::Run(run) => (Archive::Run, run.id, Subject::Run(run.id)),
        };
        let index = u32::try_from(index).expect("a block of 4 MiB has fewer receipts than 2^32");
        let archived = Archived { height: header.height, index, leaf: receipt.encode() };
        archive.push((kind, about, canonical::encode(&archived)));
        subjects.push(subject);
    }
    for roster in &outcome.executed.rosters {
        archive.push((Archive::Roster, roster.hash(), canonical::encode(roster)));
    }
    if !subjects.is_empty() {
        archive.push((Archive::Receipts, id, canonical::encode(&subjects)));
    }
    let mut set_changes = head.set_changes;
    if header.next_validator_set != header.validator_set {
        let set = outcome.executed.next_validators.clone();
        let change = SetChange { height: header.height, set };
        let key = SetChange::key(set_changes);
        archive.push((Archive::SetChange, key, canonical::encode(&change)));
        set_changes = set_changes.saturating_add(1);
    }
    let record =
        ChainRecord { genesis: rules.genesis_hash, before_tip: head.headers.clone(), set_changes };
    archive.push((Archive::Chain, Hash::ZERO, canonical::encode(&record)));
    Commitment { archive, subjects, set_changes }
}
