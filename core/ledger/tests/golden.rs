//! Bytes that are part of the protocol: a difference is a fork, and needs a version.
//!
//! To accept one, run the tests with `ALTHING_BLESS=1` and explain the new files in the commit.

use std::fmt::Write as _;
use std::path::Path;

use althing_ledger::Role;
use althing_types::{Claim, Operation, Opinion, Withdraw};

use crate::common::world::lie;
use crate::common::{Act, World, doubt, opinion, says, tokens, truth};
use crate::transfers::transfer;
use crate::validators::{bond, unbond};

pub(crate) fn assert_golden(file: &str, found: &str) {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden").join(file);
    if std::env::var_os("ALTHING_BLESS").is_some() {
        std::fs::write(&path, found).unwrap();
    }
    let expected = std::fs::read_to_string(&path).unwrap();
    let mut lines = (1..).zip(found.lines().zip(expected.lines()));
    if let Some((number, (found, expected))) =
        lines.find(|(_, (found, expected))| found != expected)
    {
        panic!("{file}:{number}: a fork\n  found {found}\nexpected {expected}");
    }
    assert_eq!(found.lines().count(), expected.lines().count(), "{file}");
}

/// Everything once: transfers, a validator, verdicts of all kinds, absences, leaving.
#[test]
fn roots_are_these() {
    let mut world = World::new(12);
    world.chain.done(&world.caller, transfer(&world.developer, tokens(5)));
    world.chain.done(&world.caller, bond(&world.caller, tokens(300)));
    world.called(world.compute(0), |_, _| says(truth()));
    world.called(world.compute(3), |_, m| {
        says(if m.role == Role::Executor { lie(1) } else { truth() })
    });
    world.called(world.compute(3), |e, m| {
        let index = e.committee().position(|other| other.node == m.node);
        match index {
            Some(1) => Act::Copy,
            Some(2) => Act::Hide(Claim::Outcome(truth())),
            _ => says(truth()),
        }
    });
    world.called(world.compute(2), |e, _| says(if e.round == 0 { doubt() } else { truth() }));
    world.called(world.find(3), |e, m| match m.role {
        Role::Executor if e.round == 0 => says(lie(2)),
        Role::Executor => says(truth()),
        Role::Checker if e.round == 0 => opinion(Opinion::Invalid),
        Role::Checker => opinion(Opinion::Valid),
    });
    world.called(world.compute(1), |_, _| Act::Mute);
    let withdraw = Operation::Withdraw(Withdraw { service: world.service });
    world.chain.done(&world.nodes[3], withdraw);
    world.chain.done(&world.caller, unbond(tokens(300)));
    world.chain.wait(60_000);

    let mut text = String::from("# height | state root | receipts root | validator set\n");
    for (height, state, receipts, set) in &world.chain.roots {
        writeln!(text, "{height} | {state} | {receipts} | {set}").unwrap();
    }
    assert_golden("roots.txt", &text);
}
