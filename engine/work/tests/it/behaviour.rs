//! What honest and dishonest nodes come to.

use althing_faults::{Copier, Liar, Mute};
use althing_ledger::{Conclusion, Offence, Reason};
use althing_types::{Amount, BlobRef, Claim, Doubt, Failure, Operation, Opinion, Outcome};
use althing_work::{Conduct, Finding, Note};

use crate::world::{Conducts, World, honest, manifest, node_address, right};

const INPUTS: [&str; 8] = ["a", "b", "c", "d", "e", "f", "g", "h"];

fn with(
    mut conducts: Conducts,
    index: usize,
    make: impl Fn() -> Box<dyn Conduct> + 'static,
) -> Conducts {
    conducts[index] = Box::new(make);
    conducts
}

#[test]
fn an_honest_network_settles_everything_and_nobody_is_fined() {
    let mut world = World::new(honest(6));
    for checkers in [0, 1, 3] {
        let ids = world.call("total", checkers, &INPUTS);
        world.settle(&ids, 60);
        for (id, input) in ids.iter().zip(INPUTS) {
            assert_eq!(*world.outcome(id), right("total", input));
        }
    }
    for index in 0..6 {
        assert_eq!(world.offences(index), []);
        assert_eq!(world.nodes[index].notes, []);
    }
    world.assert_tidy();
}

#[test]
fn a_failure_that_all_reproduce_is_an_outcome() {
    let mut world = World::new(honest(4));
    let ids = world.call("fails", 2, &["x"]);
    world.settle(&ids, 60);
    assert_eq!(*world.outcome(&ids[0]), Outcome::Failed(Failure::Trap));
}

#[test]
fn work_is_done_once_for_each_assignment_and_outputs_are_kept_for_others() {
    let mut world = World::new(honest(4));
    let ids = world.call("total", 3, &INPUTS);
    world.settle(&ids, 60);
    for node in &world.nodes {
        assert_eq!(node.runtime.tasks_run(), 8, "a committee of four has every node in it");
        for input in INPUTS {
            let Outcome::Returned { output, .. } = right("total", input) else { unreachable!() };
            assert!(node.blobs.contains_key(&output.hash));
        }
    }
}

#[test]
fn many_results_go_out_under_one_signature() {
    let mut world = World::new(honest(4));
    let nonce = |world: &World| {
        let account = althing_ledger::query::account(&world.state, &node_address(0));
        account.expect("memory can be read").nonce.0
    };
    let before = nonce(&world);
    let inputs: Vec<String> = (0..100).map(|n| format!("input {n}")).collect();
    let inputs: Vec<&str> = inputs.iter().map(String::as_str).collect();
    let ids = world.call("total", 3, &inputs);
    world.settle(&ids, 200);
    let operations = world.nodes[0].submitted.len();
    let signatures = nonce(&world) - before;
    assert_eq!(operations, 200);
    assert!(signatures <= 80, "{signatures} signatures for {operations} operations");
}

#[test]
fn a_liar_is_fined_and_the_outcome_is_right() {
    let liar = Liar::new(9, 50);
    let mut world = World::new(with(honest(6), 2, move || Box::new(liar)));
    let ids = world.call("total", 3, &INPUTS);
    world.settle(&ids, 200);
    for (id, input) in ids.iter().zip(INPUTS) {
        assert_eq!(*world.outcome(id), right("total", input));
        let ended = &world.ended[id];
        if let Some(member) = ended.members.iter().find(|m| m.node == node_address(2)) {
            let expected = liar.lies_about(id).then_some(Offence::WrongResult);
            assert_eq!(member.offence, expected);
        }
    }
    assert!(world.offences(2).contains(&Offence::WrongResult));
    assert!(world.fined(2) > Amount::ZERO);
    assert_eq!(world.fined(0), Amount::ZERO);
    world.assert_tidy();
}

#[test]
fn without_checkers_a_liars_result_is_believed() {
    let conducts = (0..3)
        .map(|_| -> Box<dyn Fn() -> Box<dyn Conduct>> { Box::new(|| Box::new(Liar::new(1, 100))) });
    let mut world = World::new(conducts.collect());
    let ids = world.call("total", 0, &["a"]);
    world.settle(&ids, 60);
    let Outcome::Returned { output, .. } = world.outcome(&ids[0]).clone() else {
        panic!("the liar returns something")
    };
    assert_ne!(*world.outcome(&ids[0]), right("total", "a"));
    let executor = world.ended[&ids[0]].members[0].node;
    let liar = world.nodes.iter().find(|node| node.address == executor).expect("it is one of them");
    assert!(liar.blobs.contains_key(&output.hash), "the lie can be fetched");
}

#[test]
fn a_copier_is_caught_with_a_forged_seal() {
    let copier = || -> Box<dyn Conduct> { Box::new(Copier::new(5, node_address(1))) };
    let mut world = World::new(with(honest(6), 1, copier));
    let ids = world.call("total", 3, &INPUTS);
    world.settle(&ids, 300);
    for (id, input) in ids.iter().zip(INPUTS) {
        assert_eq!(*world.outcome(id), right("total", input));
    }
    assert!(world.took_part(1) > 0);
    assert_eq!(world.nodes[1].runtime.tasks_run(), 0);
    let offences = world.offences(1);
    assert_eq!(offences.len(), world.took_part(1));
    assert!(offences.iter().all(|offence| *offence == Offence::ForgedSeal), "{offences:?}");
    world.assert_tidy();
}

#[test]
fn without_checkers_a_copier_answers_with_what_it_saw_last() {
    let mut world = World::new(vec![Box::new(|| Box::new(Copier::new(5, node_address(0))))]);
    let first = world.call("total", 0, &["a"]);
    world.settle(&first, 60);
    assert_eq!(*world.outcome(&first[0]), Outcome::Failed(Failure::GaveUp), "an empty guess");
    assert_eq!(world.nodes[0].runtime.tasks_run(), 0);
    let second = world.call("total", 0, &["b"]);
    world.settle(&second, 60);
    assert_eq!(world.outcome(&second[0]), world.outcome(&first[0]));
}

#[test]
fn a_mute_node_is_absent_and_its_work_goes_to_a_substitute() {
    let mut world = World::new(with(honest(6), 3, || Box::new(Mute)));
    let ids = world.call("total", 3, &INPUTS);
    world.settle(&ids, 300);
    for (id, input) in ids.iter().zip(INPUTS) {
        assert_eq!(*world.outcome(id), right("total", input));
        let ended = &world.ended[id];
        if ended.members.iter().any(|member| member.node == node_address(3)) {
            assert_eq!(ended.members.len(), 5, "a substitute took the seat");
        }
    }
    assert!(world.nodes[3].submitted.is_empty());
    assert!(world.took_part(3) > 0);
    assert!(world.offences(3).iter().all(|offence| *offence == Offence::Absence));
    assert_eq!(world.offences(3).len(), world.took_part(3));
    world.assert_tidy();
}

#[test]
fn a_task_with_a_method_is_answered_judged_and_accepted() {
    let mut world = World::new(honest(6));
    let ids = world.call("factor", 3, &INPUTS);
    world.settle(&ids, 100);
    for id in &ids {
        let Outcome::Returned { output, .. } = world.outcome(id).clone() else {
            panic!("it returns something")
        };
        let ended = &world.ended[id];
        for member in &ended.members {
            assert_eq!(member.offence, None);
            let node = world.nodes.iter().find(|node| node.address == member.node);
            assert!(node.expect("a node").blobs.contains_key(&output.hash), "checkers fetched it");
        }
    }
    let runs: u64 = world.nodes.iter().map(|node| node.runtime.tasks_run()).sum();
    let judged: u64 = world.nodes.iter().map(|node| node.runtime.verifications_run()).sum();
    assert_eq!((runs, judged), (8, 24));
    world.assert_tidy();
}

/// Lies about results, not about opinions.
struct WrongAnswers;

impl Conduct for WrongAnswers {
    fn on_result(&mut self, execution: &althing_ledger::Execution, honest: Finding) -> Finding {
        match honest.claim {
            Claim::Outcome(_) => Liar::new(1, 100).on_result(execution, honest),
            Claim::Opinion(_) => honest,
        }
    }
}

#[test]
fn a_wrong_answer_to_a_task_with_a_method_costs_its_executor() {
    let mut world = World::new(with(honest(6), 0, || Box::new(WrongAnswers)));
    let mut executed = 0;
    for round in 0..12 {
        let ids = world.call("factor", 3, &[INPUTS[round % 8]]);
        world.settle(&ids, 100);
        let ended = &world.ended[&ids[0]];
        assert!(matches!(ended.conclusion, Some(Conclusion::Accepted(_))));
        executed += usize::from(ended.members[0].node == node_address(0));
    }
    assert!(executed > 0, "the seed of the draw never chose it");
    assert_eq!(world.offences(0), vec![Offence::WrongResult; executed]);
    assert!((1..6).all(|index| world.offences(index).is_empty()));
}

#[test]
fn checkers_say_so_when_the_executor_withholds_its_output() {
    let mut world = World::new(honest(6));
    for node in &mut world.nodes {
        node.serves = false;
    }
    let ids = world.call("factor", 3, &["a"]);
    world.settle(&ids, 100);
    let ended = &world.ended[&ids[0]];
    assert_eq!(ended.conclusion, Some(Conclusion::Failed(Reason::NoValidAnswer)));
    let said = world.nodes.iter().flat_map(|node| &node.submitted).filter(|operation| {
        matches!(operation, Operation::Reveal(reveal)
            if reveal.opening.claim == Claim::Opinion(Opinion::Unavailable))
    });
    assert_eq!(said.count(), 9, "three checkers in each of three rounds");
    assert_eq!(ended.members[0].offence, Some(Offence::Withheld));
}

fn told(world: &World) -> Vec<Claim> {
    let operations = world.nodes.iter().flat_map(|node| &node.submitted);
    operations
        .filter_map(|operation| match operation {
            Operation::Reveal(reveal) => Some(reveal.opening.claim.clone()),
            Operation::Answer(answer) => Some(Claim::Outcome(answer.outcome.clone())),
            _ => None,
        })
        .collect()
}

#[test]
fn without_the_input_nobody_can_tell_and_nobody_is_fined() {
    let mut world = World::new(honest(10));
    let nowhere = BlobRef::of(b"nobody has this");
    let ids = world.call_blobs("total", 1, &[nowhere]);
    world.settle(&ids, 100);
    let ended = &world.ended[&ids[0]];
    assert_eq!(ended.conclusion, Some(Conclusion::Failed(Reason::Inconclusive)));
    let doubt = Claim::Outcome(Outcome::Inconclusive(Doubt::InputUnavailable));
    assert!(!told(&world).is_empty() && told(&world).iter().all(|claim| *claim == doubt));
    assert!((0..10).all(|index| world.offences(index).is_empty()));
    world.assert_tidy();
}

#[test]
fn an_input_of_another_length_than_the_call_says_is_not_the_input() {
    let mut world = World::new(honest(4));
    let first = world.call("total", 0, &["abc"]);
    world.settle(&first, 60);
    let lie = BlobRef { bytes: 4, ..BlobRef::of(b"abc") };
    let ids = world.call_blobs("total", 0, &[lie]);
    world.settle(&ids, 100);
    assert_eq!(world.ended[&ids[0]].conclusion, Some(Conclusion::Failed(Reason::Inconclusive)));
}

#[test]
fn a_service_whose_manifest_promises_other_terms_is_not_run() {
    let manifest = manifest("acme/test@1.0.0");
    let mut world = World::with_manifest(honest(4), &manifest, |mut terms| {
        terms.tasks[0].time_limit_ms += 1;
        terms
    });
    let ids = world.call("total", 2, &["a", "b"]);
    world.settle(&ids, 100);
    let doubt = Claim::Outcome(Outcome::Inconclusive(Doubt::ServiceUnavailable));
    assert!(!told(&world).is_empty() && told(&world).iter().all(|claim| *claim == doubt));
    assert!(world.nodes.iter().all(|node| node.runtime.tasks_run() == 0));
}

#[test]
fn a_service_whose_files_come_back_is_run_again() {
    let mut world = World::new(honest(4));
    world.home_loses(&BlobRef::of(crate::world::MODULE).hash);
    let ids = world.call("total", 1, &["a"]);
    world.settle(&ids, 100);
    let doubt = Claim::Outcome(Outcome::Inconclusive(Doubt::ServiceUnavailable));
    assert!(told(&world).iter().all(|claim| *claim == doubt));
    let module = std::str::from_utf8(crate::world::MODULE).expect("it is text");
    let ids = world.call("total", 1, &[module]);
    world.settle(&ids, 100);
    assert_eq!(*world.outcome(&ids[0]), right("total", module));
}

#[test]
fn a_long_task_never_delays_short_ones() {
    let mut world = World::new(honest(4));
    let inputs: Vec<String> = (0..20).map(|n| format!("long {n}")).collect();
    let inputs: Vec<&str> = inputs.iter().map(String::as_str).collect();
    let long = world.call("long", 3, &inputs);
    world.pass();
    world.pass();
    world.pass();
    let start = world.now_ms();
    let short = world.call("total", 3, &INPUTS);
    world.settle(&short, 60);
    let took = world.now_ms() - start;
    assert!(took <= 150, "short tasks took {took} ms of virtual time");
    assert!(long.iter().all(|id| !world.ended.contains_key(id)), "the long ones are at it");
    world.settle(&long, 600);
    assert!((0..4).all(|index| world.offences(index).is_empty()));
}

#[test]
fn transactions_that_get_lost_are_sent_again() {
    let mut world = World::new(honest(4));
    *world.lose.borrow_mut() = 6;
    let ids = world.call("total", 3, &INPUTS);
    world.settle(&ids, 100);
    assert_eq!(*world.lose.borrow(), 0);
    assert!((0..4).all(|index| world.offences(index).is_empty()));
    assert!(world.nodes.iter().all(|n| !n.notes.iter().any(|n| matches!(n, Note::Rejected(..)))));
}
