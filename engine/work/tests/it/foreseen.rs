//! What a block asks for that the node is still building.

use althing_ledger::{Execution, Rejection};
use althing_types::{Failure, Height, Operation, TimeMs};
use althing_work::{Effect, Fate, Input, JobId, Machine, Note, Runs, TaskRun, Unfinished};

use crate::bounds::{assigned, job_of, machine, ran, step};
use crate::world::{CONFIG, node_address};

const TIME: TimeMs = TimeMs(0);
/// The height of the block that is being built.
const NEXT: Height = Height(1_000);

/// A machine whose service runs where it says, and an execution that it alone owes.
fn ready(runs: Runs) -> (Machine, Execution) {
    let (_, executions) = assigned(2, "total");
    let [known, mut owed]: [_; 2] = executions.try_into().expect("two");
    let mut machine = machine(CONFIG.short);
    let service = known.service;
    step(&mut machine, Input::Committed { time: TIME, executions: vec![known] });
    step(&mut machine, Input::Prepared { service, result: Ok(runs) });
    owed.checkers = 0;
    owed.members.retain(|member| member.node == node_address(0));
    owed.changed = NEXT;
    assert!(owed.is_owed_by(&node_address(0)));
    (machine, owed)
}

fn foreseen(executions: Vec<Execution>) -> Input {
    Input::Foreseen { height: NEXT, executions, alone: true }
}

fn trapped() -> TaskRun {
    let result = Err(Unfinished::Failed(Failure::Trap));
    TaskRun { result, fuel_used: 0, duration_us: 0, log: Vec::new() }
}

/// Lets the machine do the task of an execution that is under way, and gives what it submits.
fn done(machine: &mut Machine, execution: &Execution) -> (Operation, bool) {
    let (job, hash) = (job_of(execution), execution.input.hash);
    assert_eq!(ran(&step(machine, Input::Blob { job, hash, available: true })), [job]);
    assert!(machine.is_answering());
    let effects = step(machine, Input::TaskDone { job, run: trapped() });
    let [Effect::Keep(finished)] = &effects[..] else { panic!("it is kept: {effects:?}") };
    assert!(machine.is_answering(), "it is not said before it is kept");
    let said = step(machine, Input::Kept { job, kept: true });
    let [Effect::Submit(operation @ Operation::Answer(_))] = &said[..] else {
        panic!("an answer is due: {said:?}")
    };
    assert!(!machine.is_answering());
    (operation.clone(), finished.remember)
}

#[test]
fn what_an_open_block_asks_for_is_answered_and_needs_no_record() {
    let (mut machine, owed) = ready(Runs::Inside);
    assert!(!machine.is_answering());
    step(&mut machine, foreseen(vec![owed.clone()]));
    let (_, remember) = done(&mut machine, &owed);
    assert!(!remember, "the sandbox gives the same again");
    let effects = step(&mut machine, Input::Committed { time: TIME, executions: vec![owed] });
    assert_eq!(effects, [], "what was said is not said again");
    assert_eq!(step(&mut machine, Input::Decided(NEXT)), [], "it came");
}

#[test]
fn what_did_not_come_is_forgotten() {
    let (mut machine, owed) = ready(Runs::Inside);
    step(&mut machine, foreseen(vec![owed.clone()]));
    done(&mut machine, &owed);
    let jobs = machine.jobs();
    assert_eq!(step(&mut machine, Input::Decided(Height(NEXT.0 - 1))), [], "not decided yet");
    assert_eq!(step(&mut machine, Input::Decided(NEXT)), [Effect::Forget(owed.id)]);
    assert_eq!(machine.jobs(), jobs - 1);
    assert_eq!(step(&mut machine, Input::Tick), []);
}

#[test]
fn an_answer_that_came_before_its_question_is_said_once_more() {
    let (mut machine, owed) = ready(Runs::Inside);
    step(&mut machine, foreseen(vec![owed.clone()]));
    let (answer, _) = done(&mut machine, &owed);
    // Another's block has both, in the other order.
    let answered = owed.id;
    step(&mut machine, Input::Committed { time: TIME, executions: vec![owed] });
    let refused = || {
        let fate = Fate::Rejected(Rejection::UnknownExecution { execution: answered });
        Input::Fates(vec![(answer.clone(), fate)])
    };
    let told = step(&mut machine, refused());
    assert!(matches!(told[..], [Effect::Note(Note::Rejected(..))]), "{told:?}");
    assert_eq!(step(&mut machine, Input::Tick), [Effect::Submit(answer.clone())]);
    step(&mut machine, refused());
    assert_eq!(step(&mut machine, Input::Tick), [], "a second refusal has another reason");
}

#[test]
fn nothing_is_begun_for_an_open_block_that_is_long_outside_of_the_sandbox_or_may_need_secrets() {
    let (mut machine, mut owed) = ready(Runs::Inside);
    owed.time_limit_ms = CONFIG.short_ms_max + 1;
    assert_eq!(step(&mut machine, foreseen(vec![owed])), []);
    let (mut machine, mut owed) = ready(Runs::Inside);
    owed.nodes = vec![node_address(0)];
    assert_eq!(step(&mut machine, foreseen(vec![owed])), []);
    let (mut machine, owed) = ready(Runs::Outside);
    assert_eq!(step(&mut machine, foreseen(vec![owed])), []);
    assert!(!machine.is_answering());
}

#[test]
fn a_block_does_not_wait_for_what_an_earlier_one_has_not_waited_for() {
    let (mut machine, owed) = ready(Runs::Inside);
    step(&mut machine, foreseen(vec![owed.clone()]));
    assert!(machine.is_answering());
    step(
        &mut machine,
        Input::Foreseen { height: NEXT.next(), executions: Vec::new(), alone: true },
    );
    assert!(!machine.is_answering());
    let job: JobId = job_of(&owed);
    let hash = owed.input.hash;
    assert_eq!(ran(&step(&mut machine, Input::Blob { job, hash, available: true })), [job]);
}
