//! No window ends while the chain stands still.

use althing_ledger::{
    Conclusion, Execution, MemberState, Offence, OperationResult, Phase, Step, query,
};
use althing_types::{Claim, Hash, Operation, Opinion};

use crate::common::{Act, World, opinion, says, truth};

/// Windows are 1,000 ms, and a task takes 500 ms at most.
const HALT_MS: u64 = 20_000;

fn honest(execution: &Execution) -> Act {
    match execution.verification {
        althing_types::Verification::Method if execution.answer().is_some() => {
            opinion(Opinion::Valid)
        }
        _ => says(truth()),
    }
}

/// Everybody acts until the execution is in this phase.
fn until(world: &mut World, id: &Hash, phase: Phase) -> Execution {
    for _ in 0..20 {
        let execution = world.chain.execution(id).expect("open");
        if execution.phase == phase {
            return execution;
        }
        world.step(&execution, &|execution, _| honest(execution));
    }
    panic!("it does not come to {phase:?}");
}

fn prolonged(world: &World) -> usize {
    world.chain.changes.iter().filter(|(_, change)| change.step == Step::Prolonged).count()
}

#[test]
fn a_halt_longer_than_a_window_fines_nobody_who_speaks_once_the_chain_goes_on() {
    for phase in [Phase::Working, Phase::Checking, Phase::Revealing] {
        let mut world = World::new(6);
        let id = world.call(world.find(3));
        until(&mut world, &id, phase);
        world.chain.stand_still(HALT_MS);
        let halted = world.chain.execution(&id).expect("open");
        assert_eq!((halted.phase, halted.due), (phase, world.chain.time.after(500)));
        // Not in the first block, and not at once: what was said has to come around again.
        world.chain.wait(400);
        let execution = world.run(id, |execution, _| honest(execution));
        assert_eq!(execution.conclusion, Some(Conclusion::Accepted(truth())), "{phase:?}");
        let spared = |m: &althing_ledger::Member| m.offence.is_none() && m.fine.is_zero();
        assert!(execution.members.iter().all(spared), "{phase:?}: {:?}", execution.members);
        assert_eq!(prolonged(&world), 1, "{phase:?}");
    }
}

#[test]
fn what_is_opened_in_the_first_block_after_a_halt_counts() {
    let mut world = World::new(6);
    let id = world.call(world.compute(3));
    let execution = until(&mut world, &id, Phase::Revealing);
    let openings: Vec<_> = execution
        .committee()
        .map(|member| {
            let claim = Claim::Outcome(truth());
            let node = world.node(&member.node);
            (node, crate::common::world::reveal(&execution, &member.node, claim))
        })
        .collect();
    world.chain.block(|block| {
        (block.elapsed_ms, block.stood_still) = (HALT_MS, true);
        for (node, opening) in openings {
            block.send(&node, vec![opening]);
        }
    });
    let settled = world.chain.settled(&id).expect("all have opened");
    assert_eq!(settled.conclusion, Some(Conclusion::Accepted(truth())));
}

#[test]
fn who_hides_is_fined_half_a_window_after_the_halt_and_a_second_halt_spares_nobody() {
    for again in [false, true] {
        let mut world = World::new(6);
        let id = world.call(world.compute(3));
        until(&mut world, &id, Phase::Revealing);
        world.chain.stand_still(HALT_MS);
        world.chain.wait(499);
        assert!(world.chain.execution(&id).is_some());
        if again {
            world.chain.stand_still(HALT_MS);
        } else {
            world.chain.wait(1);
        }
        let execution = world.chain.execution(&id).expect("another round begins");
        assert_eq!(execution.round, 1);
        assert!(execution.members.iter().all(|m| m.offence == Some(Offence::Withheld)));
        assert!(execution.members.iter().all(|m| matches!(m.state, MemberState::Withheld(_))));
    }
}

#[test]
fn a_window_that_had_its_blocks_ends_behind_a_halt() {
    let mut world = World::new(6);
    let id = world.call(world.compute(3));
    until(&mut world, &id, Phase::Revealing);
    world.chain.wait(500);
    world.chain.stand_still(HALT_MS);
    assert_eq!(prolonged(&world), 0);
    assert_eq!(world.chain.execution(&id).expect("another round").round, 1);
}

#[test]
fn an_emitter_is_not_late_because_the_chain_stood_still() {
    let mut world = World::new(3);
    let event = crate::events::key(&world, crate::events::READ, 1);
    let seen = crate::events::read(&world, 1, b"seen by all");
    let tell = |world: &mut World, n: usize| {
        let node = world.nodes[n].clone();
        world.chain.send(&node, seen.clone())
    };
    assert_eq!(tell(&mut world, 0), OperationResult::Created(event));
    world.chain.stand_still(HALT_MS);
    let open = query::event(&world.chain.state, &event).unwrap().expect("its window goes on");
    assert_eq!(open.until, world.chain.time.after(500));
    world.chain.wait(400);
    assert_eq!(tell(&mut world, 1), OperationResult::Done);
    assert_eq!(tell(&mut world, 2), OperationResult::Done);
    let record = crate::events::the_only(&world, &event);
    assert_eq!((record.observations.len(), record.absent.len()), (3, 0));
    // Half a window is not a new one.
    let other = crate::events::key(&world, crate::events::READ, 2);
    let seen = crate::events::read(&world, 2, b"seen by one");
    let node = world.nodes[0].clone();
    world.chain.done(&node, seen);
    world.chain.stand_still(HALT_MS);
    world.chain.wait(500);
    let record = crate::events::the_only(&world, &other);
    assert_eq!(record.state, althing_ledger::EventState::Expired);
}

#[test]
fn time_that_a_proposer_leaps_over_closes_no_window() {
    // A block's time may be ten seconds ahead of everybody's clock: as long as a window.
    let mut world = World::new(6);
    let id = world.call(world.compute(3));
    until(&mut world, &id, Phase::Revealing);
    world.chain.stand_still(10_000);
    let execution = world.run(id, |execution, _| honest(execution));
    assert_eq!(execution.conclusion, Some(Conclusion::Accepted(truth())));
}

#[test]
fn what_is_due_without_a_window_is_not_put_off() {
    let mut world = World::new(2);
    let id = world.call(world.compute(0));
    world.chain.stand_still(HALT_MS);
    assert_eq!(world.chain.execution(&id).expect("open").phase, Phase::Working, "it was drawn");
    let withdraw = Operation::Withdraw(althing_types::Withdraw { service: world.service });
    let node = world.nodes[0].clone();
    world.chain.done(&node, withdraw);
    let before = world.chain.balance(&node);
    world.chain.stand_still(10 * crate::common::DAY_MS);
    assert!(world.chain.balance(&node) > before, "stake comes back when it is due");
}
