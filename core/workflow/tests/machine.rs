//! The machine against an interpreter that is slow and obvious: it knows how every attempt ends
//! beforehand, and says by recursion what each step must come to.
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::collections::{BTreeMap, BTreeSet};

use althing_types::{
    Action, After, BlobRef, End, EventName, Filter, Hash, Join, KeySource, Name, Payload, Plan,
    Retry, ReturnPlan, StepInput, StepOutput, StepPlan, StepStatus, TimeMs, Trigger, Wait,
};
use althing_workflow::{
    Attempt, BranchStatus, Branches, Effect, Input, NotAPlan, NotRepeatable, Occurrence, Origin,
    Run, RunEnd, RunStatus, StepPhase, attempt_id, check, first_run,
};
use proptest::prelude::*;

fn name(text: &str) -> Name {
    text.parse().unwrap()
}

fn event() -> EventName {
    EventName { service: Hash([1; 32]), event: name("came") }
}

fn step(id: usize, after: After) -> StepPlan {
    StepPlan {
        id: name(&format!("s{id}")),
        action: Action::Task { service: Hash([1; 32]), task: name("do") },
        after,
        wait: None,
        checkers: 0,
        quorum: 0,
        nodes: vec![],
        labels: Vec::new(),
        price_max: althing_types::Amount::ZERO,
        retry: Retry { max: 0, backoff_ms: 0 },
        timeout_ms: 0,
        yields: 0,
    }
}

fn status(number: u8) -> StepStatus {
    match number {
        0 => StepStatus::Returned(name("ok")),
        1 => StepStatus::Returned(name("no")),
        2 => StepStatus::Error,
        _ => StepStatus::Timeout,
    }
}

fn end(step: u16, number: u8) -> End {
    End { step, status: status(number) }
}

fn wait(conditional: bool) -> Wait {
    let filter = vec![Filter { key: 0, value: KeySource::Constant(Hash([3; 32])) }];
    Wait { event: event(), filter, conditional, timeout_ms: 1_000 }
}

fn plan(steps: Vec<StepPlan>) -> Plan {
    Plan {
        trigger: Trigger { event: Some(event()), filter: vec![], conditional: false },
        returns: vec![ReturnPlan { name: name("all"), from: end(0, 0) }],
        steps,
    }
}

fn returned(status: &str) -> Attempt {
    Attempt::Returned {
        status: name(status),
        output: Payload::Blob(BlobRef::of(b"1")),
        keys: vec![],
        holders: vec![],
    }
}

/// What the present attempt of a step reads of the steps before it.
fn outputs(plan: &Plan, run: &Run, step: u16) -> Vec<StepOutput> {
    let origin = Origin {
        application: &Hash([8; 32]),
        document: &BlobRef::of(b"document"),
        started_at: TimeMs(1),
        event: &Payload::Blob(BlobRef::of(b"event")),
    };
    run.step_input(plan, &origin, step).outputs
}

/// How a step behaves in a case: it is what the interpreter knows beforehand.
#[derive(Clone, Copy, Debug)]
struct Fate {
    /// How often its attempts fail before the last one.
    failures: u16,
    /// What the last one gives: `ok`, `no`, or one more failure.
    last: u8,
    /// Whether its event comes; if not, it waits until the timeout.
    comes: bool,
    /// How many events are declined before.
    declined: u8,
}

#[derive(Clone, Debug)]
struct Case {
    plan: Plan,
    fates: Vec<Fate>,
    /// Picks what happens next among what can.
    order: Vec<u8>,
}

fn cases() -> impl Strategy<Value = Case> {
    let fate = (0_u16..4, 0_u8..3, any::<bool>(), 0_u8..3)
        .prop_map(|(failures, last, comes, declined)| Fate { failures, last, comes, declined });
    let raw = (
        proptest::collection::vec((any::<u16>(), 0_u8..4), 1..4),
        any::<bool>(),
        0_u8..3,
        0_u16..3,
        fate,
    );
    let steps = proptest::collection::vec(raw, 1..9);
    (steps, proptest::collection::vec(any::<u8>(), 64)).prop_map(|(raw, order)| {
        let mut steps = vec![];
        let mut fates = vec![];
        for (index, (ends, all, waits, retries, fate)) in raw.into_iter().enumerate() {
            let mut known: Vec<End> = vec![];
            for (earlier, number) in ends {
                let earlier = earlier % u16::try_from(index.max(1)).unwrap();
                if known.iter().all(|end| end.step != earlier) {
                    known.push(end(earlier, number));
                }
            }
            let mode = if all { Join::All } else { Join::Any };
            if index == 0 {
                known.clear();
            }
            let mut this = step(index, After { mode, ends: known });
            if index > 0 && waits > 0 {
                this.wait = Some(wait(waits == 2));
            }
            this.retry = Retry { max: retries, backoff_ms: 10 };
            steps.push(this);
            fates.push(fate);
        }
        Case { plan: plan(steps), fates, order }
    })
}

impl Case {
    /// What the step must come to; `None` if it is not taken.
    fn expected(&self, step: usize) -> Option<StepStatus> {
        let planned = &self.plan.steps[step];
        let reached =
            |end: &End| self.expected(usize::from(end.step)).as_ref() == Some(&end.status);
        let ends = &planned.after.ends;
        let taken = match planned.after.mode {
            Join::All => ends.iter().all(reached),
            Join::Any => ends.is_empty() || ends.iter().any(reached),
        };
        if !taken {
            return None;
        }
        let fate = self.fates[step];
        if planned.wait.is_some() && !fate.comes {
            return Some(StepStatus::Timeout);
        }
        Some(if fate.failures > planned.retry.max { StepStatus::Error } else { self.last(step) })
    }

    /// What the last attempt gives: a failure is one more.
    fn last(&self, step: usize) -> StepStatus {
        let fate = self.fates[step];
        match fate.last {
            2 if fate.failures < self.plan.steps[step].retry.max => {
                StepStatus::Returned(name("ok"))
            }
            number => status(number),
        }
    }
}

/// A run whose effects are carried out by hand.
struct World<'a> {
    case: &'a Case,
    run: Run,
    now: TimeMs,
    /// Attempts under way.
    open: BTreeMap<u16, Hash>,
    listening: BTreeSet<u16>,
    declined: BTreeMap<u16, u8>,
    failed: BTreeMap<u16, u16>,
    /// By step and declined events, what its attempts read.
    read: BTreeMap<(u16, u8), Vec<StepOutput>>,
    events: u8,
    ends: usize,
}

impl World<'_> {
    fn apply(&mut self, input: Input) {
        for effect in self.run.apply(&self.case.plan, self.now, input) {
            match effect {
                Effect::Begin { step, attempt, id } => {
                    assert_eq!(id, attempt_id(&self.run.id, step, attempt));
                    assert_eq!(self.open.insert(step, id), None, "one attempt at a time");
                    let declined = self.declined.get(&step).copied().unwrap_or_default();
                    let outputs = outputs(&self.case.plan, &self.run, step);
                    let first =
                        self.read.entry((step, declined)).or_insert_with(|| outputs.clone());
                    assert_eq!(*first, outputs, "all attempts read what the first one read");
                }
                Effect::Listen { step, filter } => {
                    assert_eq!(filter, [(0, Hash([3; 32]))]);
                    assert!(self.listening.insert(step));
                }
                Effect::StopListening { step, .. } => assert!(self.listening.remove(&step)),
                Effect::Ended(_) => self.ends += 1,
                Effect::StepEnded { .. }
                | Effect::Failed
                | Effect::Short { .. }
                | Effect::Abandon { .. } => {}
            }
        }
    }

    /// Lets one of the attempts end as its fate is.
    fn finish(&mut self, step: u16) {
        let id = self.open.remove(&step).unwrap();
        let fate = self.case.fates[usize::from(step)];
        let conditional =
            self.case.plan.steps[usize::from(step)].wait.as_ref().is_some_and(|w| w.conditional);
        let declined = self.declined.entry(step).or_default();
        if conditional && *declined < fate.declined {
            *declined += 1;
            return self.apply(Input::Attempted { id, attempt: Attempt::Declined });
        }
        let failed = self.failed.entry(step).or_default();
        let attempt = if *failed < fate.failures {
            *failed += 1;
            Attempt::Failed
        } else {
            match self.case.last(usize::from(step)) {
                StepStatus::Returned(status) => returned(status.as_str()),
                StepStatus::Error | StepStatus::Timeout => Attempt::Failed,
            }
        };
        self.apply(Input::Attempted { id, attempt });
    }

    fn come(&mut self, step: u16) {
        self.events += 1;
        let payload = Payload::Blob(BlobRef::of(&[self.events]));
        let occurrence = Occurrence { key: Hash([self.events; 32]), payload, holders: vec![] };
        self.apply(Input::Event { step, occurrence });
    }

    /// One thing of those that can happen; time passes only if nothing else can.
    fn happen(&mut self, pick: u8) -> bool {
        let waiting: Vec<u16> = self
            .listening
            .iter()
            .copied()
            .filter(|step| self.case.fates[usize::from(*step)].comes)
            .filter(|step| !self.open.contains_key(step))
            .filter(|step| self.run.step(*step).unwrap().phase == StepPhase::Waiting)
            .collect();
        let open: Vec<u16> = self.open.keys().copied().collect();
        let all = open.len() + waiting.len();
        if all > 0 {
            let pick = usize::from(pick) % all;
            match open.get(pick) {
                Some(step) => self.finish(*step),
                None => self.come(waiting[pick - open.len()]),
            }
            return true;
        }
        let Some(due) = self.run.deadline(&self.case.plan) else { return false };
        if self.run.kept_until == Some(due) {
            return false;
        }
        self.now = due;
        self.apply(Input::Deadline);
        true
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 512, ..ProptestConfig::default() })]

    #[test]
    fn every_step_comes_to_what_a_naive_interpreter_says(case in cases()) {
        prop_assert_eq!(check(&case.plan), Ok(()));
        let run = Run::new(Hash([7; 32]), &case.plan, vec![], false);
        let mut world = World {
            case: &case,
            run,
            now: TimeMs(1),
            open: BTreeMap::new(),
            listening: BTreeSet::new(),
            declined: BTreeMap::new(),
            failed: BTreeMap::new(),
            read: BTreeMap::new(),
            events: 0,
            ends: 0,
        };
        world.apply(Input::Started);
        let mut picks = case.order.iter().cycle();
        let mut moves = 0;
        while world.happen(*picks.next().unwrap()) {
            moves += 1;
            prop_assert!(moves < 1_000, "the run does not come to rest");
        }
        for (index, known) in world.run.steps.iter().enumerate() {
            let status = match &known.phase {
                StepPhase::Ended(ending) => Some(ending.status.clone()),
                StepPhase::NotTaken => None,
                other => return Err(TestCaseError::fail(format!("step {index} is {other:?}"))),
            };
            prop_assert_eq!(status, case.expected(index), "step {}", index);
        }
        prop_assert!(world.open.is_empty() && world.listening.is_empty());
        if world.run.end.is_none() {
            let branches = Branches::of(&case.plan, &world.run);
            prop_assert_eq!(branches.status(&world.run), RunStatus::Failed);
            world.now = world.run.deadline(&case.plan).unwrap();
            world.apply(Input::Deadline);
        }
        prop_assert_eq!(world.ends, 1);
        let good = case.expected(0) == Some(status(0));
        let returned = good.then_some(0);
        prop_assert_eq!(world.run.end, Some(RunEnd::Completed { returned }));
    }
}

fn chain() -> Plan {
    let after = |ends: &[End]| After { mode: Join::All, ends: ends.to_vec() };
    plan(vec![
        step(0, after(&[])),
        step(1, after(&[end(0, 0)])),
        step(2, after(&[end(0, 1)])),
        step(3, after(&[end(1, 0)])),
    ])
}

#[test]
fn graphs_that_break_a_rule_are_told_which() {
    let broken = |change: &dyn Fn(&mut Plan)| {
        let mut plan = chain();
        change(&mut plan);
        check(&plan).unwrap_err()
    };
    assert_eq!(check(&chain()), Ok(()));
    let filter = |key, value| Filter { key, value };
    let cases = [
        (broken(&|p| p.steps.clear()), NotAPlan::StepCount),
        (
            broken(&|p| {
                p.steps =
                    (0..65).map(|n| step(n, After { mode: Join::All, ends: vec![] })).collect();
            }),
            NotAPlan::StepCount,
        ),
        (broken(&|p| p.steps[0].after.ends = vec![end(0, 0)]), NotAPlan::FirstStep),
        (broken(&|p| p.steps[0].wait = Some(wait(false))), NotAPlan::FirstStep),
        (broken(&|p| p.steps[1].after.ends.clear()), NotAPlan::Loose { step: 1 }),
        (broken(&|p| p.steps[1].after.ends = vec![end(1, 0)]), NotAPlan::NotEarlier { step: 1 }),
        (broken(&|p| p.steps[1].after.ends = vec![end(9, 0)]), NotAPlan::NotEarlier { step: 1 }),
        (
            broken(&|p| p.steps[2].after.ends = vec![end(0, 1), end(0, 1)]),
            NotAPlan::Ends { step: 2 },
        ),
        (
            broken(&|p| p.steps[2].after.ends = vec![end(0, 1), end(0, 0)]),
            NotAPlan::Impossible { step: 2 },
        ),
        (broken(&|p| p.steps[3].id = name("s1")), NotAPlan::SameName { step: 3 }),
        (broken(&|p| p.steps[1].yields = 17), NotAPlan::Bound { step: 1 }),
        (broken(&|p| p.steps[1].retry.max = 101), NotAPlan::Bound { step: 1 }),
        (broken(&|p| p.steps[1].timeout_ms = u64::MAX), NotAPlan::Bound { step: 1 }),
        (
            broken(&|p| {
                p.steps[1].action = Action::Application { application: Hash([2; 32]) };
                p.steps[1].checkers = 1;
            }),
            NotAPlan::TaskOnly { step: 1 },
        ),
        (
            broken(&|p| {
                p.trigger.conditional = true;
                p.steps[0].action = Action::Application { application: Hash([2; 32]) };
            }),
            NotAPlan::TaskOnly { step: 0 },
        ),
        (
            broken(&|p| p.trigger.filter = vec![filter(0, KeySource::Trigger(0))]),
            NotAPlan::Filter { step: 0 },
        ),
        (
            broken(&|p| p.trigger.filter = vec![filter(8, KeySource::Constant(Hash([0; 32])))]),
            NotAPlan::Filter { step: 0 },
        ),
        (
            // Step 2 is not among those that step 3 hangs on.
            broken(&|p| {
                p.steps[2].yields = 1;
                let yielded = KeySource::Yielded { step: 2, index: 0 };
                p.steps[3].wait = Some(Wait { filter: vec![filter(0, yielded)], ..wait(false) });
            }),
            NotAPlan::Filter { step: 3 },
        ),
        (
            broken(&|p| {
                let yielded = KeySource::Yielded { step: 1, index: 0 };
                p.steps[3].wait = Some(Wait { filter: vec![filter(0, yielded)], ..wait(false) });
            }),
            NotAPlan::Filter { step: 3 },
        ),
        (broken(&|p| p.returns[0].from.step = 9), NotAPlan::Returns),
        (broken(&|p| p.returns[0].name = name("error")), NotAPlan::Returns),
    ];
    for (found, expected) in cases {
        assert_eq!(found, expected);
    }
}

/// Begins a run of the chain, and tells it how its first step ended.
fn begun(plan: &Plan, first: Attempt) -> Run {
    let mut run = Run::new(Hash([7; 32]), plan, vec![], false);
    run.apply(plan, TimeMs(1), Input::Started);
    let id = attempt_id(&run.id, 0, 0);
    run.apply(plan, TimeMs(2), Input::Attempted { id, attempt: first });
    run
}

#[test]
fn branches_say_what_ran_what_did_not_and_what_died() {
    let plan = chain();
    let of = |run: &Run| -> Vec<(Vec<u16>, BranchStatus)> {
        let branches = Branches::of(&plan, run).branches;
        branches.into_iter().map(|branch| (branch.steps, branch.status)).collect()
    };
    let paths = [vec![0, 1, 3], vec![0, 2]];
    let with = |statuses: [BranchStatus; 2]| -> Vec<_> {
        paths.clone().into_iter().zip(statuses).collect()
    };
    let run = begun(&plan, returned("ok"));
    assert_eq!(of(&run), with([BranchStatus::Running, BranchStatus::NotTaken]));
    let run = begun(&plan, returned("other"));
    let dead = BranchStatus::Dead { step: 0, status: StepStatus::Returned(name("other")) };
    assert_eq!(of(&run), with([dead.clone(), dead]));
    assert_eq!(Branches::of(&plan, &run).status(&run), RunStatus::Dead);
    let run = begun(&plan, returned("no"));
    assert_eq!(of(&run), with([BranchStatus::NotTaken, BranchStatus::Running]));
}

#[test]
fn a_step_that_did_its_work_is_done_although_another_waits_for_its_failure() {
    let first = step(0, After { mode: Join::All, ends: vec![] });
    let mends = |ends| step(1, After { mode: Join::Any, ends });
    let ended = |plan: &Plan, how: &str| {
        let run = begun(plan, returned(how));
        let branches = Branches::of(plan, &run);
        (branches.branches[0].status.clone(), branches.status(&run))
    };
    let done = |how| (BranchStatus::Done(StepStatus::Returned(name(how))), RunStatus::Done);
    let mut mended = plan(vec![first.clone(), mends(vec![end(0, 2), end(0, 3)])]);
    mended.returns.clear();
    assert_eq!(ended(&mended, "ok"), done("ok"));
    assert_eq!(ended(&mended, "other"), done("other"));
    // `ok` is what the application returns; whether `other` is well the plan does not say.
    let told = plan(vec![first, mends(vec![end(0, 1), end(0, 2)])]);
    assert_eq!(ended(&told, "ok"), done("ok"));
    assert_eq!(ended(&told, "other").1, RunStatus::Dead);
    let run = begun(&told, returned("other"));
    let with = |main: &str| Branches::with(&told, &run, &[Some(name(main))]).status(&run);
    assert_eq!((with("other"), with("ok")), (RunStatus::Done, RunStatus::Dead));
}

#[test]
fn a_join_of_many_paths_lists_a_bounded_number_of_branches() {
    let both = |a: u16, b: u16| After { mode: Join::Any, ends: vec![end(a, 0), end(b, 0)] };
    let mut steps = vec![step(0, After { mode: Join::All, ends: vec![] })];
    for layer in 0..20_u16 {
        let (a, b) = if layer == 0 { (0, 0) } else { (2 * layer - 1, 2 * layer) };
        for _ in 0..2 {
            let after =
                if a == b { After { mode: Join::All, ends: vec![end(0, 0)] } } else { both(a, b) };
            steps.push(step(steps.len(), after));
        }
    }
    let plan = plan(steps);
    assert_eq!(check(&plan), Ok(()));
    let branches = Branches::of(&plan, &Run::new(Hash([7; 32]), &plan, vec![], false));
    assert!(branches.truncated);
    assert_eq!(branches.branches.len(), althing_workflow::BRANCHES_MAX);
}

#[test]
fn a_repeated_step_begins_again_and_revives_what_hung_on_it() {
    let plan = chain();
    let mut run = begun(&plan, Attempt::Failed);
    assert_eq!(run.steps[1].phase, StepPhase::NotTaken);
    assert_eq!(run.can_repeat(&plan, 1), Err(NotRepeatable::NotFailed));
    assert_eq!(run.can_repeat(&plan, 9), Err(NotRepeatable::NoSuchStep));
    run.apply(&plan, TimeMs(9), Input::Repeat { step: 0 });
    let id = attempt_id(&run.id, 0, 1);
    assert_eq!(run.steps[0].phase, StepPhase::Working { execution: id });
    run.apply(&plan, TimeMs(10), Input::Attempted { id, attempt: returned("ok") });
    assert!(matches!(run.steps[1].phase, StepPhase::Working { .. }));
    assert_eq!(run.deadline(&plan), None, "it is not kept for repetition any more");
}

#[test]
fn an_error_that_was_handled_cannot_be_repeated() {
    let mut plan = chain();
    plan.steps[2].after.ends = vec![end(0, 2)];
    let run = begun(&plan, Attempt::Failed);
    assert_eq!(run.can_repeat(&plan, 0), Err(NotRepeatable::Handled));
}

#[test]
fn an_answer_to_an_earlier_attempt_changes_nothing() {
    let mut plan = chain();
    plan.steps[0].retry = Retry { max: 1, backoff_ms: 5 };
    let mut run = begun(&plan, Attempt::Failed);
    run.apply(&plan, TimeMs(7), Input::Deadline);
    let before = run.clone();
    let id = attempt_id(&run.id, 0, 0);
    assert!(
        run.apply(&plan, TimeMs(8), Input::Attempted { id, attempt: returned("ok") }).is_empty()
    );
    assert_eq!(run, before);
}

/// Two branches after the first step, and a step after any of them.
fn race() -> Plan {
    let all = |ends| After { mode: Join::All, ends };
    let mut steps = vec![
        step(0, all(vec![])),
        step(1, all(vec![end(0, 0)])),
        step(2, all(vec![end(0, 0)])),
        step(3, After { mode: Join::Any, ends: vec![end(1, 0), end(2, 0)] }),
        step(4, all(vec![end(3, 0)])),
    ];
    steps[3].retry = Retry { max: 3, backoff_ms: 5 };
    steps[4].retry = Retry { max: 3, backoff_ms: 5 };
    plan(steps)
}

fn read(plan: &Plan, run: &Run, step: u16) -> Vec<u16> {
    outputs(plan, run, step).iter().map(|output| output.step).collect()
}

#[test]
fn what_ends_between_two_attempts_of_a_step_is_not_read_by_the_second() {
    let plan = race();
    let mut run = begun(&plan, returned("ok"));
    let tell = |run: &mut Run, step, number, attempt| {
        let id = attempt_id(&run.id, step, number);
        run.apply(&plan, TimeMs(10), Input::Attempted { id, attempt })
    };
    tell(&mut run, 1, 0, returned("ok"));
    assert_eq!(read(&plan, &run, 3), [0, 1]);
    tell(&mut run, 3, 0, Attempt::Failed);
    tell(&mut run, 2, 0, returned("ok"));
    run.apply(&plan, TimeMs(100), Input::Deadline);
    assert!(matches!(run.steps[3].phase, StepPhase::Working { .. }), "the second attempt");
    assert_eq!(read(&plan, &run, 3), [0, 1], "its key is that of the first");
    assert_eq!(run.holders(&plan, 3).len(), 0);
    // A step that begins only now reads both, and nothing can be added to that.
    tell(&mut run, 3, 1, returned("ok"));
    assert_eq!(read(&plan, &run, 4), [0, 1, 2, 3]);
    assert_eq!(run.steps[4].reads, None);
}

#[test]
fn a_step_that_is_repeated_by_its_owner_reads_what_its_first_attempt_read() {
    let mut plan = race();
    plan.steps[3].retry.max = 0;
    let mut run = begun(&plan, returned("ok"));
    let attempt = |run: &mut Run, step, attempt| {
        let id = attempt_id(&run.id, step, 0);
        run.apply(&plan, TimeMs(10), Input::Attempted { id, attempt })
    };
    attempt(&mut run, 2, returned("ok"));
    attempt(&mut run, 3, Attempt::Failed);
    attempt(&mut run, 1, returned("ok"));
    run.apply(&plan, TimeMs(20), Input::Repeat { step: 3 });
    assert_eq!(read(&plan, &run, 3), [0, 2]);
}

#[test]
fn all_attempts_at_every_depth_have_one_first_run_and_no_two_steps_do() {
    let plan = race();
    let (application, document) = (Hash([8; 32]), BlobRef::of(b"document"));
    let input = |run: &Run, event: &Payload, step| {
        let (application, document) = (&application, &document);
        let origin = Origin { application, document, started_at: TimeMs(1), event };
        run.step_input(&plan, &origin, step)
    };
    let event = Payload::Blob(BlobRef::of(b"event"));
    let outermost = |step| input(&run_of(7), &event, step);
    let used = |user: &StepInput, attempt: u16, step: u16| {
        let user = StepInput { attempt, ..user.clone() };
        let run = Run { id: attempt_id(&user.run, user.step, attempt), ..run_of(0) };
        input(&run, &Payload::Given(Box::new(user)), step)
    };
    assert_eq!(first_run(&outermost(3)), Hash([7; 32]));
    let first = used(&used(&outermost(3), 0, 1), 0, 2);
    assert_eq!(first_run(&first), first.run);
    for (outer, inner) in [(0, 1), (1, 0), (1, 1), (2, 5)] {
        let later = used(&used(&outermost(3), outer, 1), inner, 2);
        assert_ne!(later.run, first.run);
        assert_eq!(first_run(&later), first.run, "attempts {outer} and {inner}");
    }
    for other in [used(&used(&outermost(4), 0, 1), 0, 2), used(&used(&outermost(3), 0, 2), 0, 2)] {
        assert_ne!(first_run(&other), first.run, "another step uses the application");
    }
}

fn run_of(id: u8) -> Run {
    Run::new(Hash([id; 32]), &race(), vec![], false)
}
