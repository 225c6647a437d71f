//! A node that stops after any of its effects ends where it would have ended without.

use althing_faults::Mute;
use althing_ledger::MemberState;
use althing_types::{Hash, Operation, Outcome};
use althing_work::port::Journal as _;
use althing_work::{Input, Note};

use crate::world::{World, honest, node_address, open_executions};

/// Runs one execution with every node in the committee; node 0 stops after these of its effects.
fn run(task: &str, crash_after: &[usize]) -> (World, Hash) {
    let mut world = World::new(honest(4));
    crash_after.clone_into(&mut world.nodes[0].crash_after);
    let ids = world.call(task, 3, &["input"]);
    world.settle(&ids, 300);
    for _ in 0..5 {
        world.pass();
    }
    (world, ids[0])
}

/// What node 0 sealed, in order, repetitions left out.
fn seals(world: &World) -> Vec<Hash> {
    let mut seals: Vec<Hash> = world.nodes[0]
        .submitted
        .iter()
        .filter_map(|operation| match operation {
            Operation::Seal(seal) => Some(seal.commitment),
            _ => None,
        })
        .collect();
    seals.dedup();
    seals
}

fn answers(world: &World) -> Vec<Outcome> {
    let mut answers: Vec<Outcome> = world.nodes[0]
        .submitted
        .iter()
        .filter_map(|operation| match operation {
            Operation::Answer(answer) => Some(answer.outcome.clone()),
            _ => None,
        })
        .collect();
    answers.dedup();
    answers
}

#[test]
fn a_stop_after_any_effect_changes_neither_the_outcome_nor_the_seal() {
    let (undisturbed, id) = run("total", &[]);
    let (outcome, sealed) = (undisturbed.outcome(&id).clone(), seals(&undisturbed));
    let effects = undisturbed.nodes[0].effects;
    assert!(effects >= 7, "fetch, prepare, run, keep, seal, reveal, forget: {effects}");
    for stop in 1..=effects {
        let (mut world, id) = run("total", &[stop]);
        assert_eq!(*world.outcome(&id), outcome, "stopped after effect {stop}");
        assert_eq!(seals(&world), sealed, "stopped after effect {stop}");
        assert_eq!(world.offences(0), [], "stopped after effect {stop}");
        world.assert_tidy();
    }
}

#[test]
fn a_node_that_stops_again_and_again_still_gets_there() {
    let (undisturbed, _) = run("total", &[]);
    let sealed = seals(&undisturbed);
    let every: Vec<usize> = (1..=40).collect();
    for stride in 2..6 {
        let stops: Vec<usize> = every.iter().copied().filter(|n| n % stride == 0).collect();
        let (world, id) = run("total", &stops);
        assert_eq!(world.outcome(&id), undisturbed.outcome(&id));
        assert!(seals(&world).iter().all(|seal| sealed.contains(seal)), "never another seal");
    }
}

#[test]
fn an_answer_that_chance_is_part_of_is_given_once_whatever_happens() {
    let (undisturbed, _) = run("factor", &[]);
    for stop in 1..=undisturbed.nodes[0].effects {
        let (world, _) = run("factor", &[stop]);
        assert!(answers(&world).len() <= 1, "stopped after effect {stop}: {:?}", answers(&world));
        assert!(seals(&world).len() <= 1, "stopped after effect {stop}");
        assert_eq!(world.offences(0), [], "stopped after effect {stop}");
    }
}

#[test]
fn the_executor_of_a_task_with_chance_survives_a_stop_after_any_effect() {
    // The draw is the same in every run, so the executor is known beforehand.
    let executor = {
        let (world, id) = run("factor", &[]);
        world.ended[&id].members[0].node
    };
    let index = (0..4).find(|index| node_address(*index) == executor).expect("one of the nodes");
    let effects = {
        let (world, _) = run("factor", &[]);
        world.nodes[index].effects
    };
    for stop in 1..=effects {
        let mut world = World::new(honest(4));
        world.nodes[index].crash_after = vec![stop];
        let ids = world.call("factor", 3, &["input"]);
        world.settle(&ids, 300);
        assert_eq!(world.ended[&ids[0]].round, 0, "stopped after effect {stop}");
        let given: Vec<&Operation> = world.nodes[index]
            .submitted
            .iter()
            .filter(|operation| matches!(operation, Operation::Answer(_)))
            .collect();
        assert!(given.windows(2).all(|pair| pair[0] == pair[1]), "stopped after effect {stop}");
        assert_eq!(world.offences(index), [], "stopped after effect {stop}");
    }
}

/// Everything that a member may say once: what it sealed, answered and opened in its rounds.
fn said(world: &World, index: usize) -> Vec<&Operation> {
    let is_word = |operation: &&Operation| {
        matches!(operation, Operation::Seal(_) | Operation::Answer(_) | Operation::Reveal(_))
    };
    let mut said: Vec<&Operation> = world.nodes[index].submitted.iter().filter(is_word).collect();
    said.sort_by_key(|operation| format!("{operation:?}"));
    said.dedup();
    said
}

#[test]
fn two_stops_after_any_two_effects_never_make_a_member_say_two_things() {
    for task in ["total", "factor"] {
        let (undisturbed, id) = run(task, &[]);
        for index in 0..4 {
            let words = said(&undisturbed, index).len();
            let effects = undisturbed.nodes[index].effects;
            for first in 1..=effects {
                // What comes after a restart are other effects, some of them again.
                for second in first + 1..=effects + 8 {
                    let mut world = World::new(honest(4));
                    world.nodes[index].crash_after = vec![first, second];
                    let ids = world.call(task, 3, &["input"]);
                    world.settle(&ids, 300);
                    let said = said(&world, index);
                    assert!(said.len() <= words, "{task}, {index}, {first}, {second}: {said:?}");
                    assert_eq!(world.offences(index), [], "{task}, {index}, {first}, {second}");
                    assert_eq!(world.ended[&ids[0]].round, undisturbed.ended[&id].round);
                }
            }
        }
    }
}

/// Four nodes of which the last is mute: the others' seals stay closed until the deadline.
fn slow() -> World {
    let mut conducts = honest(4);
    conducts[3] = Box::new(|| Box::new(Mute));
    World::new(conducts)
}

/// Passes time until node 0 has sealed on the ledger, and has not opened.
fn until_sealed(world: &mut World, id: &Hash) {
    for _ in 0..100 {
        let sealed = world.open(id).is_some_and(|execution| {
            let member = execution.member(&node_address(0));
            member.is_some_and(|m| matches!(m.state, MemberState::Sealed(_)))
        });
        if sealed {
            return;
        }
        world.pass();
    }
    panic!("node 0 never sealed");
}

#[test]
fn a_lost_journal_is_no_harm_where_the_work_can_be_repeated() {
    let mut world = slow();
    let id = world.call("total", 3, &["input"])[0];
    until_sealed(&mut world, &id);
    world.nodes[0].journal.forget(&[id]).expect("memory can be written");
    world.start(0);
    world.settle(&[id], 200);
    assert_eq!(world.offences(0), []);
}

#[test]
fn a_seal_that_the_node_cannot_open_stays_closed() {
    let mut world = slow();
    let id = world.call("total", 3, &["input"])[0];
    until_sealed(&mut world, &id);
    // Journal and secret are gone: the work comes to the same, and the salt does not.
    world.nodes[0].journal.forget(&[id]).expect("memory can be written");
    let secret = althing_work::Secret::new([99; 32]);
    world.nodes[0].machine =
        althing_work::Machine::new(crate::world::CONFIG, node_address(0), secret);
    let executions = open_executions(&world.state, &node_address(0));
    let time = althing_types::TimeMs(0);
    world.step(0, Input::Restarted { time, executions, records: Vec::new() });
    world.settle(&[id], 200);
    let reveals = |operation: &&Operation| matches!(operation, Operation::Reveal(_));
    assert_eq!(world.nodes[0].submitted.iter().filter(reveals).count(), 0);
    assert_eq!(world.offences(0), [althing_ledger::Offence::Withheld], "not a forged seal");
    assert!(world.nodes[0].notes.iter().any(|note| matches!(note, Note::ForeignSeal(_))));
}

#[test]
fn what_ended_while_the_node_was_down_is_forgotten() {
    let mut world = slow();
    let id = world.call("total", 3, &["input"])[0];
    until_sealed(&mut world, &id);
    let records = world.nodes[0].journal.recall().expect("memory can be read");
    assert_eq!(records.len(), 1);
    world.settle(&[id], 200);
    world.nodes[0].journal.remember(&records).expect("memory can be written");
    world.start(0);
    assert_eq!(world.nodes[0].journal.recall().expect("memory can be read"), []);
}
