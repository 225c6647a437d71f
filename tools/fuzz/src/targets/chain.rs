//! What the chain is made of: transactions, blocks, certificates, receipts, the genesis.

use std::hint::black_box;

use althing_keys::Secp256k1;
use althing_ledger::{Authenticated, Receipt, genesis_writes};
use althing_types::{
    BLOCK_BYTES_MAX, Block, Certificate, Eip712, Genesis, SignedTransaction, canonical,
};

/// A transaction as a peer or a caller hands it over; its signature is checked too.
pub(super) fn transaction(bytes: &[u8]) {
    let Ok(signed) = SignedTransaction::decode(bytes) else { return };
    assert_eq!(signed.encode(), bytes, "canonical bytes decode to what they encode");
    for operation in &signed.transaction.operations {
        black_box(operation.to_string());
    }
    let chain = signed.transaction.chain;
    let eip712 = Eip712::new(chain);
    if let Ok(authenticated) = Authenticated::decode(bytes, &eip712, chain, &Secp256k1) {
        assert_eq!(authenticated.hash(), signed.hash());
        assert_eq!(*authenticated.signed(), signed);
    }
}

/// A proposed block, or one out of a sync response.
pub(super) fn block(bytes: &[u8]) {
    let Ok(block) = Block::decode(bytes) else { return };
    assert_eq!(block.encode(), bytes, "canonical bytes decode to what they encode");
    black_box(block.header.id());
}

/// A commit certificate.
pub(super) fn certificate(bytes: &[u8]) {
    let decoded = canonical::decode::<Certificate>(bytes, BLOCK_BYTES_MAX, "certificate");
    let Ok(certificate) = decoded else { return };
    assert_eq!(canonical::encode(&certificate), bytes);
}

/// A receipt of the ledger, the leaf of a receipt that proves itself.
pub(super) fn ledger_receipt(bytes: &[u8]) {
    let decoded = canonical::decode::<Receipt>(bytes, BLOCK_BYTES_MAX, "receipt");
    let Ok(receipt) = decoded else { return };
    assert_eq!(receipt.encode(), bytes);
    if let Receipt::Execution(execution) = &receipt {
        black_box((execution.answer(), execution.participants()));
    }
}

/// The genesis that a receipt brings along.
pub(super) fn genesis(bytes: &[u8]) {
    let decoded = canonical::decode::<Genesis>(bytes, BLOCK_BYTES_MAX, "genesis");
    let Ok(genesis) = decoded else { return };
    assert_eq!(canonical::encode(&genesis), bytes);
    black_box(genesis.hash());
    drop(black_box(genesis_writes(&genesis, &Secp256k1)));
}
