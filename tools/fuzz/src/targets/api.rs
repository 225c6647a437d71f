//! What callers send to a node, and what a client reads of a node that it need not trust.

use std::fmt::Debug;

use althing_api::{transaction_in, wire};
use althing_types as core;
use serde::Serialize;
use serde::de::DeserializeOwned;

/// The body of a submission, in either of its forms.
pub(super) fn transaction(bytes: &[u8]) {
    let Some(signed) = transaction_in(bytes) else { return };
    let form = wire::SignedTransaction::from(signed.clone());
    let text = serde_json::to_vec(&form).expect("the form has only JSON in it");
    assert_eq!(transaction_in(&text), Some(signed), "nothing is lost in the form for people");
}

/// What is read and written again is the same.
fn is_stable<T: DeserializeOwned + Serialize + PartialEq + Debug>(bytes: &[u8]) {
    let Ok(value) = serde_json::from_slice::<T>(bytes) else { return };
    let text = serde_json::to_vec(&value).expect("the form has only JSON in it");
    let again: T = serde_json::from_slice(&text).expect("what was written can be read");
    assert_eq!(again, value);
}

/// Every form that something outside may send.
pub(super) fn bodies(bytes: &[u8]) {
    is_stable::<wire::Transaction>(bytes);
    is_stable::<wire::Operation>(bytes);
    is_stable::<wire::Genesis>(bytes);
    is_stable::<wire::Block>(bytes);
    is_stable::<wire::Execution>(bytes);
    is_stable::<wire::Explanation>(bytes);
    is_stable::<wire::Service>(bytes);
    is_stable::<wire::Offer>(bytes);
    is_stable::<wire::Account>(bytes);
    is_stable::<wire::Status>(bytes);
    is_stable::<wire::Validators>(bytes);
    is_stable::<wire::TransactionReceipt>(bytes);
    is_stable::<wire::Event>(bytes);
    is_stable::<wire::CloudEvent>(bytes);
    is_stable::<wire::Connect>(bytes);
    is_stable::<wire::Application>(bytes);
    is_stable::<wire::Run>(bytes);
    is_stable::<wire::Occurrence>(bytes);
    is_stable::<althing_api::Problem>(bytes);
    if let Ok(genesis) = serde_json::from_slice::<wire::Genesis>(bytes) {
        let genesis = core::Genesis::from(genesis);
        assert_eq!(core::Genesis::from(wire::Genesis::from(genesis.clone())), genesis);
    }
}
