//! JSON as callers and clients exchange it.

use althing_api::wire;
use althing_ledger::{Receipt as Leaf, query};
use althing_types::canonical;
use serde::Serialize;
use serde_json::json;

use super::{Chain, Seed, named, operations, transactions};
use crate::common::service;

fn text(value: &impl Serialize) -> Vec<u8> {
    serde_json::to_vec(value).unwrap()
}

pub(super) fn all(chain: &Chain) -> Vec<Vec<Seed>> {
    let signed = transactions(chain);
    let submissions =
        signed.iter().map(|signed| text(&wire::SignedTransaction::from(signed.clone())));
    let encoded = signed.iter().take(3).map(|signed| {
        let digits: String = signed.encode().iter().map(|byte| format!("{byte:02x}")).collect();
        text(&json!({ "bytes": format!("0x{digits}") }))
    });
    let mut bodies: Vec<Vec<u8>> = operations(chain)
        .into_iter()
        .map(|operation| text(&wire::Operation::from(operation)))
        .collect();
    bodies.push(text(&wire::Transaction::from(signed[0].transaction.clone())));
    bodies.push(text(&wire::Genesis::from(chain.world.genesis.clone())));
    let reader = chain.world.nodes[0].replica.reader();
    let record = query::service(&reader.view(), &service().id()).unwrap().unwrap();
    bodies.push(text(&wire::Service::from(record)));
    let subject = althing_replica::Subject::Execution(chain.execution);
    let leaf = reader.archived(&subject).unwrap().unwrap().leaf;
    if let Leaf::Execution(execution) = canonical::decode(&leaf, 1 << 20, "receipt").unwrap() {
        bodies.push(text(&wire::Execution::from(execution)));
    }
    vec![
        named("api_transaction", "parts", submissions.collect()),
        named("api_transaction", "bytes", encoded.collect()),
        named("api_bodies", "body", bodies),
    ]
}
