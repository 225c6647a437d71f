//! What a block means to one node's worker.

use std::collections::BTreeSet;

use althing_ledger::{Account, Executed, Execution, Receipt, TransactionReceipt, keys};
use althing_state::Fault;
use althing_types::{Address, Hash, Height, Nonce, TimeMs, canonical};

/// Longest record of an execution that is decoded; the ledger makes far shorter ones.
const RECORD_BYTES_MAX: usize = 16 << 20;

/// What a block changed for one node.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct News {
    /// The block.
    pub height: Height,
    /// Its time.
    pub time: TimeMs,
    /// Executions that changed and of which the node is or was a member: open as they are after the
    /// block, or final.
    pub executions: Vec<Execution>,
    /// What became of the node's own transactions.
    pub receipts: Vec<TransactionReceipt>,
    /// The node's next nonce, if the block changed it.
    pub nonce: Option<Nonce>,
}

/// Whether a node is or was a member of an execution.
#[must_use]
pub fn concerns(execution: &Execution, node: &Address) -> bool {
    execution.members.iter().any(|member| member.node == *node)
}

impl News {
    /// Picks out of a block with this height and time what concerns `node`, without reading the store: what changed is among
    /// the block's own writes.
    ///
    /// # Errors
    ///
    /// [`Fault`] if a written record is no record.
    pub fn of(
        node: &Address,
        (height, time): (Height, TimeMs),
        executed: &Executed,
    ) -> Result<Self, Fault> {
        let changed: BTreeSet<Hash> =
            executed.changes.iter().map(|change| change.execution).collect();
        let mut executions = Vec::new();
        for id in changed {
            let key = keys::execution(&id);
            if let Some(Some(bytes)) = executed.writes.get(&key) {
                let execution: Execution = decode(key, bytes)?;
                executions.extend(concerns(&execution, node).then_some(execution));
            }
        }
        let mut receipts = Vec::new();
        for receipt in &executed.receipts {
            match receipt {
                Receipt::Transaction(receipt) if receipt.account == *node => {
                    receipts.push(receipt.clone());
                }
                Receipt::Execution(execution) if concerns(execution, node) => {
                    executions.push(execution.clone());
                }
                Receipt::Transaction(_)
                | Receipt::Execution(_)
                | Receipt::Event(_)
                | Receipt::Run(_) => {}
            }
        }
        let key = keys::account(node);
        let nonce = match executed.writes.get(&key) {
            Some(Some(bytes)) => Some(decode::<Account>(key, bytes)?.nonce),
            Some(None) | None => None,
        };
        Ok(Self { height, time, executions, receipts, nonce })
    }
}

fn decode<T: borsh::BorshSerialize + borsh::BorshDeserialize>(
    key: Vec<u8>,
    bytes: &[u8],
) -> Result<T, Fault> {
    canonical::decode(bytes, RECORD_BYTES_MAX, "record")
        .map_err(|_| Fault { what: "a block wrote something that is no record", key })
}
