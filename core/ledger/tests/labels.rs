//! Labels: what nodes say of themselves narrows who is drawn, executor and checkers alike.

use althing_ledger::{Execution, Member, OfferStatus, Origin, draw, draw_seed, query};
use althing_types::{
    Address, Amount, Deploy, LABEL_VALUES_MAX, LABELS_MAX, Label, LabelCondition, Offer, Operation,
};
use althing_workflow::RunStatus;

use crate::common::flows::{all, done};
use crate::common::world::{TERM_MS, name, offer_of};
use crate::common::{World, says};

fn label(of: &str, value: &str) -> Label {
    Label { name: name(of), value: name(value) }
}

fn one_of(of: &str, values: &[&str]) -> LabelCondition {
    LabelCondition { name: name(of), values: values.iter().map(|value| name(value)).collect() }
}

/// The offer of a node that says this of itself.
fn labelled(world: &World, node: usize, labels: Vec<Label>) -> Operation {
    let node = &world.nodes[node];
    let Operation::Offer(offer) = offer_of(world.service, node, node.address()) else { panic!() };
    let term_ms = 2 * TERM_MS;
    Operation::Offer(Offer { stake: Amount::ZERO, term_ms, labels, ..offer })
}

fn says_of_itself(world: &mut World, node: usize, labels: Vec<Label>) {
    let offer = labelled(world, node, labels);
    let node = world.nodes[node].clone();
    world.chain.done(&node, offer);
}

/// An application of one step for nodes of which these conditions hold.
fn deploy(world: &World, alias: &str, checkers: u16, labels: Vec<LabelCondition>) -> Deploy {
    let mut step = world.step_plan("one", all(&[]));
    (step.checkers, step.labels) = (checkers, labels);
    world.deploy_of(alias, world.plan(vec![step]))
}

fn deployed(world: &mut World, alias: &str, checkers: u16, labels: Vec<LabelCondition>) {
    let deploy = deploy(world, alias, checkers, labels);
    world.chain.send(&world.caller, Operation::Deploy(deploy));
}

/// The one execution of a run that has just started, once its committee is drawn.
fn drawn(world: &mut World, event: u64) -> Execution {
    let run = world.started(event);
    world.chain.wait(1);
    let open = query::executions(&world.chain.state, None, usize::MAX).unwrap();
    let of_run = |one: &Execution| matches!(&one.origin, Origin::Step(input) if input.run == run);
    open.into_iter().find(of_run).expect("its only step is under way")
}

fn addresses(world: &World, nodes: &[usize]) -> Vec<Address> {
    nodes.iter().map(|node| world.nodes[*node].address()).collect()
}

#[test]
fn executor_checkers_and_substitutes_all_have_the_labels_that_a_step_asks_for() {
    let mut world = World::new(12);
    for node in 0..7 {
        let region = if node < 4 { "eu" } else { "us" };
        says_of_itself(&mut world, node, vec![label("gpu", "yes"), label("region", region)]);
    }
    says_of_itself(&mut world, 7, vec![label("region", "eu")]);
    deployed(&mut world, "a/a@1", 2, vec![one_of("gpu", &["yes"]), one_of("region", &["eu"])]);
    let eu = addresses(&world, &[0, 1, 2, 3]);
    let mut seen = vec![];
    for event in 1..=10 {
        let execution = drawn(&mut world, event);
        let chosen: Vec<Address> = execution.members.iter().map(|m| m.node).collect();
        assert_eq!(chosen.len(), 3);
        assert!(chosen.iter().chain(&execution.substitutes).all(|node| eu.contains(node)));
        let ended = world.run(execution.id, |_, _: &Member| says(done()));
        // Whoever has the roster draws the same nodes from it.
        for record in &ended.draws {
            let seed = draw_seed(&record.beacon, &ended.id, record.round, record.refill);
            let roster = &world.chain.rosters[&record.roster];
            let seats = usize::try_from(record.seats).unwrap();
            let again = draw(&seed, roster, &record.excluded, ended.restriction(), seats);
            assert_eq!(again, record.drawn);
        }
        seen.extend(chosen);
    }
    assert!(eu.iter().all(|node| seen.contains(node)), "each of them, sooner or later");
}

#[test]
fn one_of_several_values_is_enough_and_a_node_without_the_label_is_not() {
    let mut world = World::new(6);
    says_of_itself(&mut world, 0, vec![label("region", "eu")]);
    says_of_itself(&mut world, 1, vec![label("region", "us")]);
    says_of_itself(&mut world, 2, vec![label("region", "ap")]);
    deployed(&mut world, "a/a@1", 1, vec![one_of("region", &["eu", "us"])]);
    let execution = drawn(&mut world, 1);
    let mut chosen: Vec<Address> = execution.members.iter().map(|m| m.node).collect();
    chosen.extend(&execution.substitutes);
    chosen.sort_unstable();
    let mut both = addresses(&world, &[0, 1]);
    both.sort_unstable();
    assert_eq!(chosen, both);
}

#[test]
fn too_few_labelled_nodes_end_a_step_as_too_few_named_ones_do() {
    let mut world = World::new(6);
    says_of_itself(&mut world, 0, vec![label("region", "eu")]);
    deployed(&mut world, "a/a@1", 1, vec![one_of("region", &["eu"])]);
    let run = world.started(1);
    for _ in 0..20 {
        world.chain.wait(10_000);
    }
    assert_eq!(world.run_status(&run), RunStatus::Failed, "one node cannot check itself");
    let again = world.run_record(&run).run;
    assert_eq!(again.step(0).unwrap().attempts, 1);
}

#[test]
fn a_node_says_something_else_with_its_next_offer_and_the_next_draw_heeds_it() {
    let mut world = World::new(5);
    let first = world.nodes[0].address();
    says_of_itself(&mut world, 0, vec![label("region", "eu")]);
    deployed(&mut world, "a/a@1", 0, vec![one_of("region", &["eu"])]);
    // The only one that can be drawn is seated with the event: chance decides nothing.
    let execution = drawn(&mut world, 1);
    assert_eq!(execution.members[0].node, first);
    assert_eq!(execution.draws[0].height, execution.created);
    says_of_itself(&mut world, 1, vec![label("region", "eu")]);
    let moved = labelled(&world, 0, vec![label("region", "us")]);
    let node = world.nodes[0].clone();
    world.chain.done(&node, moved);
    let execution = drawn(&mut world, 2);
    assert_eq!(execution.members[0].node, world.nodes[1].address());
    let record = world.chain.offer(&world.service, &first);
    assert_eq!((record.status, record.labels), (OfferStatus::Active, vec![label("region", "us")]));
}

#[test]
fn labels_beyond_their_bounds_are_rejected_in_offers_and_in_steps() {
    let mut world = World::new(1);
    let node = world.nodes[0].clone();
    let many: Vec<Label> = (0..=LABELS_MAX).map(|n| label(&format!("l{n}"), "x")).collect();
    for bad in [
        many,
        vec![label("region", "eu"), label("gpu", "yes")],
        vec![label("region", "eu"), label("region", "us")],
        (0..3)
            .map(|n| label(&format!("l{n}"), &"v".repeat(64)))
            .chain([label("m", &"v".repeat(64))])
            .collect(),
    ] {
        let offer = labelled(&world, 0, bad.clone());
        assert_eq!(world.chain.rejected(&node, offer), "LED-0065", "{bad:?}");
    }
    let values: Vec<String> = (10..=10 + LABEL_VALUES_MAX).map(|n| n.to_string()).collect();
    let values: Vec<&str> = values.iter().map(String::as_str).collect();
    for bad in [
        vec![one_of("region", &[])],
        vec![one_of("region", &["us", "eu"])],
        vec![one_of("region", &values)],
        vec![one_of("region", &["eu"]), one_of("gpu", &["yes"])],
        (0..=LABELS_MAX).map(|n| one_of(&format!("l{n}"), &["x"])).collect(),
    ] {
        let deploy = Operation::Deploy(deploy(&world, "a/a@1", 0, bad.clone()));
        assert_eq!(world.chain.rejected(&world.caller, deploy), "LED-0065", "{bad:?}");
    }
}

#[test]
fn a_wallet_shows_the_labels_that_it_signs() {
    let world = World::new(1);
    let offer = labelled(&world, 0, vec![label("gpu", "yes"), label("region", "eu")]);
    let shown = offer.to_string();
    assert!(shown.ends_with(", labelled gpu=yes, region=eu"), "{shown}");
    let plain = labelled(&world, 0, vec![]).to_string();
    assert!(!plain.contains("labelled"), "{plain}");
}
