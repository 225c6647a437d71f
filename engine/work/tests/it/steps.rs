//! Steps of runs: surveyed, evaluated, run and judged by every member for itself.

use althing_faults::Liar;
use althing_ledger::{Conclusion, Offence, Origin};
use althing_types::{Action, BlobRef, Doubt, Hash, Operation, Outcome, Payload, StepStatus};
use althing_work::Note;
use althing_workflow::RunEnd;
use serde_json::{Value as Json, json};

use crate::world::{World, application, honest, name, node_address, right, statuses};

const ONE: &str = "  - { id: one, do: test.total, with: { n: \"${ event.n }\" }, verify: 3 }\n";

fn started(steps: &str, data: &Json) -> (World, Hash) {
    let mut world = World::new(honest(4));
    let id = world.deploy(&application("test.asked", steps), |_| {});
    let run = world.ask(&id, data);
    (world, run)
}

fn done() -> Option<StepStatus> {
    Some(StepStatus::Returned(name("done")))
}

fn error() -> Option<StepStatus> {
    Some(StepStatus::Error)
}

/// What was accepted for the steps of a run, in the order in which they ended.
fn outcomes(world: &World) -> Vec<Outcome> {
    let mut ended: Vec<_> = world.ended.values().collect();
    ended.sort_by_key(|execution| (execution.changed, execution.id));
    let outcome = |conclusion: &Option<Conclusion>| match conclusion {
        Some(Conclusion::Accepted(outcome)) => Some(outcome.clone()),
        _ => None,
    };
    ended.iter().filter_map(|execution| outcome(&execution.conclusion)).collect()
}

fn nobody_is_fined(world: &World) {
    for index in 0..world.nodes.len() {
        assert_eq!(world.offences(index), [], "node {index}");
    }
}

#[test]
fn every_member_evaluates_a_step_for_itself_and_comes_to_the_same() {
    let (mut world, run) = started(ONE, &json!({ "id": "a", "n": 7 }));
    let record = world.finished(&run, 60);
    assert_eq!(statuses(&record), [done()]);
    assert_eq!(outcomes(&world), [right("total", "{\"n\":7}")]);
    for node in &world.nodes {
        assert_eq!(node.runtime.tasks_run(), 1);
    }
    nobody_is_fined(&world);
    world.assert_tidy();
}

#[test]
fn a_step_is_given_what_an_earlier_one_has_returned() {
    let steps = format!(
        "{ONE}  - {{ id: two, do: test.total, with: {{ of: \"${{ one.of }}\" }}, verify: 3 }}\n"
    );
    let (mut world, run) = started(&steps, &json!({ "id": "a", "n": 7 }));
    let record = world.finished(&run, 90);
    assert_eq!(statuses(&record), [done(), done()]);
    let first = right("total", "{\"n\":7}");
    let Outcome::Returned { output, .. } = &first else { unreachable!() };
    let bytes = world.nodes[1].blobs.get(&output.hash).expect("a member has its output").clone();
    let second = right("total", std::str::from_utf8(&bytes).expect("JSON"));
    assert_eq!(outcomes(&world), [first, second]);
    nobody_is_fined(&world);
}

#[test]
fn a_false_condition_is_agreed_upon_and_nothing_is_run() {
    let mut world = World::new(honest(4));
    let when = "{ event: test.asked, if: \"${ event.n > 10 }\" }";
    let id = world.deploy(&application(when, ONE), |_| {});
    let run = world.ask(&id, &json!({ "id": "a", "n": 7 }));
    let record = world.finished(&run, 60);
    assert_eq!(record.run.end, Some(RunEnd::Skipped));
    assert_eq!(outcomes(&world), [Outcome::Declined]);
    assert!(world.nodes.iter().all(|node| node.runtime.tasks_run() == 0));
    nobody_is_fined(&world);
}

#[test]
fn keys_for_a_later_wait_are_part_of_the_sealed_result_and_find_the_event() {
    let steps = format!(
        "{ONE}  - {{ id: two, await: {{ event: test.asked, where: {{ id: \"${{ one.of }}\" }} }}, do: test.total, with: {{ n: \"${{ awaited.n }}\" }}, verify: 3 }}\n"
    );
    let mut world = World::new(honest(4));
    let id = world.deploy(&application("test.asked", &steps), |_| {});
    let run = world.ask(&id, &json!({ "id": "a", "n": 7 }));
    for _ in 0..40 {
        world.pass();
    }
    let Outcome::Returned { output, keys, .. } = outcomes(&world).remove(0) else {
        panic!("the first step has returned")
    };
    assert_eq!(keys.len(), 1);
    let bytes = &world.nodes[1].blobs[&output.hash];
    let of = serde_json::from_slice::<Json>(bytes).expect("JSON")["of"].clone();
    world.ask(&id, &json!({ "id": "another", "n": 1 }));
    world.ask(&id, &json!({ "id": of, "n": 8 }));
    let record = world.finished(&run, 60);
    assert_eq!(statuses(&record), [done(), done()]);
    let second = record.run.ending(1).and_then(|ending| ending.output.clone());
    let Outcome::Returned { output, .. } = right("total", "{\"n\":8}") else { unreachable!() };
    assert_eq!(second, Some(Payload::Blob(output)));
    nobody_is_fined(&world);
}

#[test]
fn an_answer_to_a_step_is_judged_with_the_method_and_a_false_condition_too() {
    let steps = "  - { id: one, do: test.factor, with: { n: \"${ event.n }\" }, verify: 3 }\n";
    let mut world = World::new(honest(4));
    let when = "{ event: test.asked, if: \"${ event.n > 10 }\" }";
    let id = world.deploy(&application(when, steps), |_| {});
    let good = world.ask(&id, &json!({ "id": "a", "n": 11 }));
    let skipped = world.ask(&id, &json!({ "id": "b", "n": 10 }));
    assert_eq!(statuses(&world.finished(&good, 90)), [done()]);
    assert_eq!(world.finished(&skipped, 90).run.end, Some(RunEnd::Skipped));
    let judged: u64 = world.nodes.iter().map(|node| node.runtime.verifications_run()).sum();
    assert_eq!(judged, 3, "a declined step is judged without the service");
    nobody_is_fined(&world);
}

#[test]
fn a_step_without_a_value_fails_on_every_node_alike() {
    let steps = "  - { id: one, do: test.total, with: { n: \"${ 1 / (event.n - 7) }\" }, verify: 3 }\n  - { id: two, after: one.error, do: test.total, verify: 3 }\n";
    let (mut world, run) = started(steps, &json!({ "id": "a", "n": 7 }));
    let record = world.finished(&run, 90);
    assert_eq!(statuses(&record), [error(), done()]);
    nobody_is_fined(&world);
}

#[test]
fn a_plan_that_does_not_follow_from_its_document_is_not_worked_for() {
    let mut world = World::new(honest(4));
    let compiled = application("test.asked", ONE);
    let id = world.deploy(&compiled, |terms| {
        let Action::Task { task, .. } = &mut terms.plan.steps[0].action else { unreachable!() };
        *task = name("fails");
    });
    let run = world.ask(&id, &json!({ "id": "a", "n": 7 }));
    for _ in 0..200 {
        world.pass();
    }
    let record = world.run(&run).expect("it has failed and can be taken up");
    assert_eq!(statuses(&record), [error()]);
    assert!(world.nodes.iter().all(|node| node.runtime.tasks_run() == 0));
    nobody_is_fined(&world);
}

#[test]
fn a_member_that_cannot_get_what_a_step_reads_says_so_and_is_not_fined() {
    let mut world = World::new(honest(4));
    let id = world.deploy(&application("test.asked", ONE), |_| {});
    let run = world.ask(&id, &json!({ "id": "a", "n": 7 }));
    world.pass();
    // Whoever observed the event has lost its data.
    let lost = BlobRef::of(b"{\"id\":\"a\",\"n\":7}").hash;
    assert!(world.nodes[0].blobs.remove(&lost).is_some());
    for _ in 0..300 {
        world.pass();
    }
    let record = world.run(&run).expect("it has failed and can be taken up");
    assert_eq!(statuses(&record), [error()]);
    let opened: Vec<&Outcome> = world
        .nodes
        .iter()
        .flat_map(|node| &node.submitted)
        .filter_map(|operation| match operation {
            Operation::Reveal(reveal) => match &reveal.opening.claim {
                althing_types::Claim::Outcome(outcome) => Some(outcome),
                althing_types::Claim::Opinion(_) => None,
            },
            _ => None,
        })
        .collect();
    assert!(!opened.is_empty());
    let doubt = Outcome::Inconclusive(Doubt::InputUnavailable);
    assert!(opened.iter().all(|outcome| **outcome == doubt), "{opened:?}");
    nobody_is_fined(&world);
}

#[test]
fn who_lies_about_a_step_is_fined_and_the_run_goes_on_with_the_truth() {
    let mut conducts = honest(5);
    conducts[4] = Box::new(|| Box::new(Liar::new(1, 100)));
    let mut world = World::new(conducts);
    let steps = ONE.replace("verify: 3", "verify: 4");
    let id = world.deploy(&application("test.asked", &steps), |_| {});
    let run = world.ask(&id, &json!({ "id": "a", "n": 7 }));
    assert_eq!(statuses(&world.finished(&run, 60)), [done()]);
    assert_eq!(outcomes(&world), [right("total", "{\"n\":7}")]);
    assert_eq!(world.offences(4), [Offence::WrongResult]);
    for index in 0..4 {
        assert_eq!(world.offences(index), [], "node {index}");
    }
}

#[test]
fn a_stop_after_any_effect_of_a_step_changes_neither_the_outcome_nor_the_fines() {
    let data = json!({ "id": "a", "n": 7 });
    let with_stops = |stops: Vec<usize>| {
        let mut world = World::new(honest(4));
        let id = world.deploy(&application("test.asked", ONE), |_| {});
        // The observation itself is another node's, so that this one may stop whenever it likes.
        let run = world.ask(&id, &data);
        world.nodes[1].crash_after = stops;
        let record = world.finished(&run, 300);
        (world, record)
    };
    let (undisturbed, record) = with_stops(Vec::new());
    let effects = undisturbed.nodes[1].effects;
    assert!(effects >= 8, "fetch, prepare, survey, fetch, run, keep, seal, reveal: {effects}");
    for stop in 1..=effects {
        let (mut world, again) = with_stops(vec![stop]);
        assert_eq!(statuses(&again), statuses(&record), "stopped after effect {stop}");
        assert_eq!(outcomes(&world), outcomes(&undisturbed), "stopped after effect {stop}");
        nobody_is_fined(&world);
        assert!(!world.nodes[1].notes.iter().any(|n| matches!(n, Note::ForeignSeal(_))));
        world.assert_tidy();
    }
}

#[test]
fn attempts_and_nodes_have_one_key_for_what_a_step_does_outside() {
    let steps = "  - { id: one, do: test.fails, with: { n: \"${ event.n }\" }, verify: 1, retry: { max: 2, backoff: PT0.05S } }\n";
    let (mut world, run) = started(steps, &json!({ "id": "a", "n": 7 }));
    for _ in 0..300 {
        world.pass();
    }
    let record = world.run(&run).expect("it has failed and can be taken up");
    assert_eq!(statuses(&record), [error()]);
    let attempts: Vec<u16> = world
        .ended
        .values()
        .filter_map(|execution| match &execution.origin {
            Origin::Step(input) => Some(input.attempt),
            Origin::Call => None,
        })
        .collect();
    assert_eq!(attempts.len(), 3, "{attempts:?}");
    let mut keys: Vec<Hash> = Vec::new();
    for execution in world.ended.values() {
        for index in 0..4 {
            if execution.member(&node_address(index)).is_some()
                || execution.members.iter().any(|m| m.node == node_address(index))
            {
                keys.extend(world.key_of_step(index, execution));
            }
        }
    }
    assert!(keys.len() >= 6);
    keys.dedup();
    assert_eq!(keys.len(), 1, "{keys:?}");
}
