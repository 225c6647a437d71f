//! Asks for one execution, and puts its fee in escrow.

use althing_state::View;
use althing_types::{Address, Call, Hash, Transaction, tagged};

use crate::execution::Origin;
use crate::ledger::Halt;
use crate::order::{self, Order, Work};
use crate::{Ledger, Rejection, Restriction};

/// Largest input in bytes.
const INPUT_BYTES_MAX: u32 = 4 << 20;

/// The id of the execution that the operation at `index` asks for.
///
/// It hashes what caused the execution and nothing else: no executor, no beacon.
pub(super) fn execution_id(transaction: &Transaction, index: usize) -> Hash {
    let index = u32::try_from(index).unwrap_or(u32::MAX);
    tagged(
        "althing execution",
        &[
            &transaction.chain.0.to_be_bytes(),
            &transaction.account.0,
            &transaction.nonce.0.to_be_bytes(),
            &index.to_be_bytes(),
        ],
    )
}

pub(super) fn apply<V: View>(
    ledger: &mut Ledger<'_, V>,
    sender: Address,
    id: Hash,
    call: &Call,
) -> Result<Hash, Halt> {
    let work = Work {
        service: &call.service,
        task: &call.task,
        checkers: call.checkers,
        quorum: call.quorum,
        restriction: Restriction { nodes: &call.nodes, labels: &[] },
        price_max: call.price_max,
    };
    if call.input.bytes > INPUT_BYTES_MAX {
        return Err(Rejection::InputTooLarge.into());
    }
    let order = Order {
        id,
        payer: sender,
        input: call.input,
        origin: Origin::Call,
        homes: alloc::vec![call.home],
    };
    order::place(ledger, &work, order)
}
