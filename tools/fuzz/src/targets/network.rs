//! What peers send.

use althing_consensus_malachite::wire;
use althing_node::frames;
use althing_types::SignedTransaction;

/// What is understood is understood again, and comes to the same.
fn is_stable<B: AsRef<[u8]>>(bytes: &[u8], read: fn(&[u8]) -> Option<B>) {
    let Some(once) = read(bytes) else { return };
    let twice = read(once.as_ref()).expect("what was encoded can be decoded");
    assert_eq!(once.as_ref(), twice.as_ref());
}

pub(super) fn hello(bytes: &[u8]) {
    if let Some(again) = althing_net_iroh::wire::hello(bytes) {
        assert_eq!(again, bytes, "canonical bytes decode to what they encode");
    }
}

pub(super) fn peers(bytes: &[u8]) {
    if let Some(again) = althing_net_iroh::wire::peers(bytes) {
        assert_eq!(again, bytes, "canonical bytes decode to what they encode");
    }
}

pub(super) fn vote_frame(bytes: &[u8]) {
    is_stable(bytes, wire::vote_frame);
}

pub(super) fn body_frame(bytes: &[u8]) {
    is_stable(bytes, wire::body_frame);
}

pub(super) fn sync_request(bytes: &[u8]) {
    is_stable(bytes, wire::sync_request);
}

pub(super) fn sync_response(bytes: &[u8]) {
    is_stable(bytes, wire::sync_response);
}

/// A batch of transactions: the parts are pieces of the frame, in order.
pub(super) fn transactions_frame(bytes: &[u8]) {
    let mut rest = bytes.get(4..).unwrap_or_default();
    let mut count = 0;
    for transaction in frames::split(bytes) {
        let Ok(transaction) = transaction else { return };
        let (_, behind) = rest.split_at_checked(4).expect("a length comes before each");
        rest = behind.strip_prefix(transaction).expect("it is a piece of the frame");
        count += 1;
        drop(SignedTransaction::decode(transaction));
    }
    assert!(count <= frames::FRAME_TRANSACTIONS_MAX);
}
