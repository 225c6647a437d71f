//! Publication of services: content hashes, namespaces and aliases.

use althing_ledger::{OperationResult, query};
use althing_types::{
    Amount, BlobRef, EventTerms, MeasuredTerms, Operation, Publish, ServiceTerms, TaskTerms,
};

use crate::common::world::{name, terms};
use crate::common::{World, actor, tokens};
use crate::transfers::transfer;

fn publish(terms: ServiceTerms) -> Operation {
    Operation::Publish(Publish { terms: terms.into() })
}

#[test]
fn a_published_service_is_found_by_its_id_and_by_its_alias() {
    let mut world = World::new(0);
    let terms = terms("acme/totals@2.1.0");
    let created = world.chain.send(&world.developer, publish(terms.clone()));
    assert_eq!(created, OperationResult::Created(terms.manifest.hash));
    let id = query::alias(&world.chain.state, &terms.alias).unwrap().unwrap();
    let record = query::service(&world.chain.state, &id).unwrap().unwrap();
    assert_eq!(
        (record.terms, record.developer, record.offers),
        (terms, world.developer.address(), 0)
    );
    let listed = query::services(&world.chain.state, None, 10).unwrap();
    assert_eq!(listed.len(), 2);
}

#[test]
fn a_namespace_belongs_to_whoever_publishes_in_it_first() {
    let mut world = World::new(0);
    let intruder = &world.caller;
    assert_eq!(world.chain.rejected(intruder, publish(terms("acme/other@1.0.0"))), "LED-0015");
    world.chain.done(intruder, publish(terms("other/sums@1.0.0")));
    let own = publish(terms("other/more@1.0.0"));
    assert_eq!(world.chain.rejected(&world.developer, own), "LED-0015");
}

#[test]
fn an_alias_never_changes_its_meaning() {
    let mut world = World::new(0);
    let mut other = terms("acme/sums@1.0.0");
    other.manifest = BlobRef::of(b"another manifest");
    assert_eq!(world.chain.rejected(&world.developer, publish(other)), "LED-0016");
    world.chain.done(&world.developer, publish(terms("acme/sums@1.0.1")));
}

#[test]
fn a_manifest_is_published_once() {
    let mut world = World::new(0);
    let again =
        ServiceTerms { alias: "acme/sums@9.0.0".parse().unwrap(), ..terms("acme/sums@1.0.0") };
    assert_eq!(world.chain.rejected(&world.developer, publish(again)), "LED-0017");
}

#[test]
fn terms_that_break_a_limit_are_rejected() {
    let mut world = World::new(0);
    let with = |change: &dyn Fn(&mut ServiceTerms)| {
        let mut terms = terms("acme/bad@1.0.0");
        change(&mut terms);
        publish(terms)
    };
    let statuses = |count: usize| (0..count).map(|n| name(&format!("s{n}"))).collect::<Vec<_>>();
    let named = |terms: &mut ServiceTerms, count: usize| {
        let first = terms.tasks[0].clone();
        let task = |n: usize| TaskTerms { name: name(&format!("t{n}")), ..first.clone() };
        terms.tasks = (0..count).map(task).collect();
    };
    let events = |terms: &mut ServiceTerms, count: usize| {
        let first = terms.events[0].clone();
        let event = |n: usize| EventTerms { name: name(&format!("e{n}")), ..first.clone() };
        terms.events = (0..count).map(event).collect();
    };
    let bad: [&dyn Fn(&mut ServiceTerms); 20] = [
        &|t| (t.tasks, t.events) = (vec![], vec![]),
        &|t| events(t, 65),
        &|t| t.events[1].name = t.events[0].name.clone(),
        &|t| t.events[0].keys = 9,
        &|t| t.events[0].window_ms = 0,
        &|t| t.events[0].window_ms = 86_400_001,
        &|t| t.events[0].measured[0].decimals = 19,
        &|t| t.events[0].measured = vec![t.events[0].measured[0]; 17],
        &|t| named(t, 65),
        &|t| t.tasks[1].name = t.tasks[0].name.clone(),
        &|t| t.tasks[0].statuses.clear(),
        &|t| t.tasks[0].statuses = statuses(33),
        &|t| t.tasks[0].statuses[1] = t.tasks[0].statuses[0].clone(),
        &|t| t.tasks[0].time_limit_ms = 0,
        &|t| t.tasks[0].time_limit_ms = 600_001,
        &|t| t.tasks[0].check_price = tokens(1),
        &|t| t.manifest.bytes = 0,
        &|t| t.manifest.bytes = (256 << 10) + 1,
        &|t| t.module = Some(BlobRef { bytes: 0, ..BlobRef::of(b"component") }),
        &|t| t.module = Some(BlobRef { bytes: (16 << 20) + 1, ..BlobRef::of(b"component") }),
    ];
    for change in bad {
        assert_eq!(world.chain.rejected(&world.developer, with(change)), "LED-0018");
    }
    let largest = with(&|t| {
        named(t, 64);
        for task in &mut t.tasks {
            (task.statuses, task.time_limit_ms) = (statuses(16), 600_000);
        }
        events(t, 64);
        for event in &mut t.events {
            (event.keys, event.window_ms) = (8, 86_400_000);
            event.measured = vec![MeasuredTerms { decimals: 18, tolerance: None }; 16];
        }
        t.manifest.bytes = 256 << 10;
        t.module = Some(BlobRef { bytes: 16 << 20, ..BlobRef::of(b"component") });
    });
    world.chain.done(&world.developer, largest);
}

#[test]
fn publishing_costs_the_fee_of_its_bytes_alone() {
    let mut world = World::new(0);
    let newcomer = actor(70);
    world.chain.done(&world.caller, transfer(&newcomer, tokens(1)));
    world.chain.done(&newcomer, publish(terms("fresh/service@1.0.0")));
    assert!(world.chain.balance(&newcomer) > Amount::ZERO);
}
