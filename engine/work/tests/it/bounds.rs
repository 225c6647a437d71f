//! The worker's bounds hold, and what did not fit is done later.

use althing_types::{Address, Hash, Operation, Payload, StepInput};
use althing_work::{Effect, Fate, Input, JobId, LaneLimits, Machine, Note, Runs};

use crate::world::{CONFIG, World, honest, node_address, open_executions, right, secret};

fn inputs(count: usize) -> Vec<String> {
    (0..count).map(|n| format!("input {n}")).collect()
}

fn call(world: &mut World, count: usize, task: &str) -> Vec<Hash> {
    let inputs = inputs(count);
    let inputs: Vec<&str> = inputs.iter().map(String::as_str).collect();
    world.call(task, 1, &inputs)
}

#[test]
fn what_does_not_fit_is_taken_up_when_there_is_room() {
    let mut world = World::new(honest(2));
    for index in 0..2 {
        world.nodes[index].config.jobs_max = 4;
        world.start(index);
    }
    let ids = call(&mut world, 20, "total");
    for _ in 0..200 {
        world.pass();
        assert!(world.nodes.iter().all(|node| node.machine.jobs() <= 4));
    }
    world.settle(&ids, 1);
    for (id, input) in ids.iter().zip(inputs(20)) {
        assert_eq!(*world.outcome(id), right("total", &input));
    }
    assert!(world.nodes[0].notes.contains(&Note::Full));
    world.assert_tidy();
}

#[test]
fn short_tasks_have_room_beside_as_many_long_ones_as_fit() {
    let (_, executions) = assigned(12, "total");
    let config = althing_work::Config { jobs_max: 8, short_jobs_max: 2, ..CONFIG };
    let mut machine = Machine::new(config, node_address(0), secret(0));
    let time = althing_types::TimeMs(0);
    let long = |mut execution: althing_ledger::Execution| {
        execution.time_limit_ms = CONFIG.short_ms_max + 1;
        execution
    };
    let (first, rest) = executions.split_at(8);
    let all_long = first.iter().cloned().map(long).collect();
    let effects = step(&mut machine, Input::Committed { time, executions: all_long });
    assert_eq!(machine.jobs(), 6, "two places are kept");
    assert!(effects.contains(&Effect::Note(Note::Full)));
    assert!(machine.keeps_up(), "long tasks are no hurry");
    let effects = step(&mut machine, Input::Committed { time, executions: rest.to_vec() });
    assert_eq!(machine.jobs(), 8);
    assert!(!machine.keeps_up());
    assert!(!effects.contains(&Effect::Rescan), "there is no room yet");
    // One short task has ended: there is room for those that were passed over, of the short ones.
    let mut ended = rest[0].clone();
    ended.phase = althing_ledger::Phase::Settled;
    let effects = step(&mut machine, Input::Committed { time, executions: vec![ended] });
    assert!(effects.contains(&Effect::Rescan));
    assert!(machine.keeps_up());
}

/// Executions in which node 0 is assigned, as a block shows them, without any node working.
pub(crate) fn assigned(count: usize, task: &str) -> (World, Vec<althing_ledger::Execution>) {
    let mut world = World::new(
        (0..2)
            .map(|_| -> Box<dyn Fn() -> Box<dyn althing_work::Conduct>> {
                Box::new(|| Box::new(althing_faults::Mute))
            })
            .collect(),
    );
    call(&mut world, count, task);
    world.pass();
    world.pass();
    let executions = open_executions(&world.state, &node_address(0));
    assert_eq!(executions.len(), count);
    (world, executions)
}

pub(crate) fn job_of(execution: &althing_ledger::Execution) -> JobId {
    JobId { execution: execution.id, round: execution.round }
}

/// Two executions with one input, as node 0 sees them, and the job of each.
fn with_one_input() -> ([althing_ledger::Execution; 2], [JobId; 2]) {
    let (_, executions) = assigned(2, "total");
    let [first, mut second]: [_; 2] = executions.try_into().expect("two");
    second.input = first.input;
    let jobs = [job_of(&first), job_of(&second)];
    ([first, second], jobs)
}

/// For which jobs a blob is asked.
fn asked(effects: &[Effect]) -> Vec<JobId> {
    effects
        .iter()
        .filter_map(|effect| match effect {
            Effect::FetchBlob { job, .. } => Some(*job),
            _ => None,
        })
        .collect()
}

fn kept(effects: &[Effect]) -> Vec<JobId> {
    effects
        .iter()
        .filter_map(|effect| match effect {
            Effect::Keep(finished) => Some(finished.record.job()),
            _ => None,
        })
        .collect()
}

#[test]
fn a_blob_that_the_holders_of_one_job_do_not_have_is_asked_of_those_of_another() {
    let ([first, mut second], jobs) = with_one_input();
    second.homes = vec![althing_types::EndpointId([77; 32])];
    let (service, hash) = (first.service, first.input.hash);
    let mut machine = machine(CONFIG.short);
    let time = althing_types::TimeMs(0);
    let effects = step(&mut machine, Input::Committed { time, executions: vec![first, second] });
    assert_eq!(asked(&effects), jobs, "each asks its own holders");
    step(&mut machine, Input::Prepared { service, result: Ok(Runs::Inside) });
    let effects = step(&mut machine, Input::Blob { job: jobs[0], hash, available: false });
    assert_eq!(kept(&effects), [jobs[0]], "one concludes that the input is not to be had");
    let effects = step(&mut machine, Input::Blob { job: jobs[1], hash, available: true });
    assert_eq!(ran(&effects), [jobs[1]]);
}

#[test]
fn what_is_brought_for_one_application_is_not_there_for_another() {
    let ([first, mut second], jobs) = with_one_input();
    second.homes.clone_from(&first.homes);
    second.members.clone_from(&first.members);
    // A step of an application whose document has the same bytes as the first one's input.
    second.origin = althing_ledger::Origin::Step(StepInput {
        application: Hash([7; 32]),
        document: first.input,
        run: Hash([8; 32]),
        started_at: althing_types::TimeMs(0),
        step: 0,
        attempt: 0,
        event: Payload::Blob(first.input),
        awaited: None,
        outputs: Vec::new(),
    });
    let (service, hash) = (first.service, first.input.hash);
    let mut machine = machine(CONFIG.short);
    let time = althing_types::TimeMs(0);
    let effects = step(&mut machine, Input::Committed { time, executions: vec![first, second] });
    assert_eq!(asked(&effects), jobs, "the same holders are asked for each");
    step(&mut machine, Input::Prepared { service, result: Ok(Runs::Inside) });
    let effects = step(&mut machine, Input::Blob { job: jobs[0], hash, available: true });
    assert_eq!(ran(&effects), [jobs[0]]);
    let surveys = |effects: &[Effect]| effects.iter().any(|e| matches!(e, Effect::Survey { .. }));
    assert!(!surveys(&effects), "the step still waits for its document");
    let effects = step(&mut machine, Input::Blob { job: jobs[1], hash, available: true });
    assert!(surveys(&effects));
}

#[test]
fn a_job_with_more_time_asks_on_when_that_of_another_is_over() {
    let ([first, mut second], jobs) = with_one_input();
    second.due = second.due.after(60_000);
    second.homes.clone_from(&first.homes);
    second.members.clone_from(&first.members);
    let (service, hash) = (first.service, first.input.hash);
    let mut machine = machine(CONFIG.short);
    let time = althing_types::TimeMs(0);
    let effects = step(&mut machine, Input::Committed { time, executions: vec![first, second] });
    assert_eq!(asked(&effects), [jobs[0]], "the same holders are asked once");
    step(&mut machine, Input::Prepared { service, result: Ok(Runs::Inside) });
    let effects = step(&mut machine, Input::Blob { job: jobs[0], hash, available: false });
    assert_eq!((kept(&effects), asked(&effects)), (vec![jobs[0]], vec![jobs[1]]));
    let effects = step(&mut machine, Input::Blob { job: jobs[1], hash, available: true });
    assert_eq!(ran(&effects), [jobs[1]]);
}

pub(crate) fn machine(limits: LaneLimits) -> Machine {
    let config = althing_work::Config { short: limits, long: limits, ..CONFIG };
    Machine::new(config, node_address(0), secret(0))
}

pub(crate) fn step(machine: &mut Machine, input: Input) -> Vec<Effect> {
    let mut effects = Vec::new();
    machine.step(input, &mut effects);
    effects
}

pub(crate) fn ran(effects: &[Effect]) -> Vec<JobId> {
    effects
        .iter()
        .filter_map(|effect| match effect {
            Effect::RunTask { job, .. } => Some(*job),
            _ => None,
        })
        .collect()
}

#[test]
fn fetching_and_running_are_bounded_by_the_lane() {
    let (_, executions) = assigned(30, "total");
    let service = executions[0].service;
    let mut machine = machine(LaneLimits { fetching_max: 5, running_max: 2 });
    let time = althing_types::TimeMs(0);
    let effects = step(&mut machine, Input::Committed { time, executions });
    let fetched: Vec<_> = effects
        .iter()
        .filter_map(|effect| match effect {
            Effect::FetchBlob { job, blob, .. } => Some((*job, blob.hash)),
            _ => None,
        })
        .collect();
    let prepared = effects.iter().filter(|e| matches!(e, Effect::Prepare { .. })).count();
    assert_eq!((fetched.len(), prepared), (5, 1));
    assert_eq!(ran(&step(&mut machine, Input::Prepared { service, result: Ok(Runs::Inside) })), []);
    let mut running = Vec::new();
    for (job, hash) in fetched {
        running.extend(ran(&step(&mut machine, Input::Blob { job, hash, available: true })));
    }
    assert_eq!(running.len(), 2);
}

#[test]
fn the_same_assignment_seen_twice_is_one_job() {
    let (_, executions) = assigned(1, "total");
    let mut machine = machine(CONFIG.short);
    let time = althing_types::TimeMs(0);
    let input = Input::Committed { time, executions };
    assert!(!step(&mut machine, input.clone()).is_empty());
    assert_eq!(step(&mut machine, input), []);
    assert_eq!(machine.jobs(), 1);
}

#[test]
fn a_job_whose_deadline_has_passed_is_not_begun() {
    let (_, executions) = assigned(1, "total");
    let (id, round, due) = (executions[0].id, executions[0].round, executions[0].due);
    let mut machine = machine(CONFIG.short);
    let effects = step(&mut machine, Input::Committed { time: due, executions });
    let job = JobId { execution: id, round };
    assert_eq!(effects, [Effect::Note(Note::TooLate(job, althing_work::Work::Task))]);
}

#[test]
fn a_job_that_ended_while_it_ran_keeps_its_place_until_it_is_done() {
    let (_, executions) = assigned(2, "total");
    let service = executions[0].service;
    let mut machine = machine(LaneLimits { fetching_max: 2, running_max: 1 });
    let time = althing_types::TimeMs(0);
    step(&mut machine, Input::Committed { time, executions: executions.clone() });
    step(&mut machine, Input::Prepared { service, result: Ok(Runs::Inside) });
    let mut running = Vec::new();
    for execution in &executions {
        let (job, hash) = (job_of(execution), execution.input.hash);
        running.extend(ran(&step(&mut machine, Input::Blob { job, hash, available: true })));
    }
    let [first] = running[..] else { panic!("one place, {} at work", running.len()) };
    let open = executions.into_iter().filter(|e| e.id != first.execution).collect();
    let effects = step(&mut machine, Input::Rescanned { time, executions: open });
    assert_eq!(effects, [Effect::Forget(first.execution)]);
    let run = althing_work::TaskRun {
        result: Err(althing_work::Unfinished::Failed(althing_types::Failure::Trap)),
        fuel_used: 0,
        duration_us: 0,
        log: Vec::new(),
    };
    let effects = step(&mut machine, Input::TaskDone { job: first, run });
    assert_eq!(ran(&effects).len(), 1, "the place went to the other one: {effects:?}");
    assert_eq!(effects.len(), 1, "nothing is claimed for what has ended");
}

#[test]
fn a_claim_that_could_not_be_stored_is_not_made() {
    let (_, executions) = assigned(1, "total");
    let (service, hash) = (executions[0].service, executions[0].input.hash);
    let job = JobId { execution: executions[0].id, round: executions[0].round };
    let mut machine = machine(CONFIG.short);
    let time = althing_types::TimeMs(0);
    step(&mut machine, Input::Committed { time, executions });
    step(&mut machine, Input::Prepared { service, result: Ok(Runs::Inside) });
    step(&mut machine, Input::Blob { job, hash, available: false });
    let effects = step(&mut machine, Input::Kept { job, kept: false });
    assert_eq!(effects, [Effect::Note(Note::NotKept(job))]);
    assert_eq!(step(&mut machine, Input::Tick), []);
}

#[test]
fn a_lost_operation_is_said_again_at_the_next_tick() {
    let (_, executions) = assigned(1, "total");
    let (service, hash) = (executions[0].service, executions[0].input.hash);
    let job = JobId { execution: executions[0].id, round: executions[0].round };
    let mut machine = machine(CONFIG.short);
    let time = althing_types::TimeMs(0);
    step(&mut machine, Input::Committed { time, executions });
    step(&mut machine, Input::Prepared { service, result: Ok(Runs::Inside) });
    step(&mut machine, Input::Blob { job, hash, available: false });
    let effects = step(&mut machine, Input::Kept { job, kept: true });
    let [Effect::Submit(operation @ Operation::Seal(_))] = &effects[..] else {
        panic!("a seal is due: {effects:?}")
    };
    assert_eq!(step(&mut machine, Input::Tick), [], "once is enough");
    let fates = vec![(operation.clone(), Fate::Lost)];
    assert_eq!(step(&mut machine, Input::Fates(fates)), []);
    assert_eq!(step(&mut machine, Input::Tick), effects);
}

#[test]
fn a_strangers_execution_is_no_job() {
    let (_, executions) = assigned(3, "total");
    let mut machine = Machine::new(CONFIG, Address([77; 20]), secret(0));
    let time = althing_types::TimeMs(0);
    assert_eq!(step(&mut machine, Input::Committed { time, executions }), []);
    assert_eq!(machine.jobs(), 0);
}
