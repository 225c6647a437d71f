//! Applications over the world's service, and a driver that lets executors answer.

use althing_ledger::{
    Execution, MemberState, OperationResult, Origin, Phase, Receipt, RunRecord, query,
};
use althing_types::{
    Action, After, Amount, Answer, ApplicationTerms, BlobRef, Deploy, End, EndpointId, EventName,
    Filter, Hash, Join, KeySource, Observe, Operation, Outcome, Plan, Repeat, Retry, ReturnPlan,
    StepInput, StepPlan, StepStatus, Trigger, Visibility, Wait, key_hash,
};
use althing_workflow::{Branches, RunStatus};

use super::world::name;
use super::{World, tokens};

/// What applications in these tests are deployed with.
pub(crate) const DEPOSIT: Amount = tokens(1_000);
/// The event that one emitter is believed in.
pub(crate) const HOOKED: &str = "hooked";

/// As the tests' executors answer: by step and attempt.
pub(crate) fn done() -> Outcome {
    yields(&[])
}

pub(crate) fn yields(keys: &[&str]) -> Outcome {
    let keys = keys.iter().map(|key| key_hash(key.as_bytes())).collect();
    Outcome::Returned { status: name("done"), output: BlobRef::of(b"41"), keys }
}

pub(crate) fn unreadable() -> Outcome {
    Outcome::Returned { status: name("unreadable"), output: BlobRef::of(b"?"), keys: vec![] }
}

pub(crate) fn returned(step: u16, status: &str) -> End {
    End { step, status: StepStatus::Returned(name(status)) }
}

pub(crate) fn all(ends: &[End]) -> After {
    After { mode: Join::All, ends: ends.to_vec() }
}

pub(crate) fn any(ends: &[End]) -> After {
    After { mode: Join::Any, ends: ends.to_vec() }
}

/// After the main status of a step.
pub(crate) fn after(step: u16) -> After {
    all(&[returned(step, "done")])
}

impl World {
    pub(crate) fn hooked(&self) -> EventName {
        EventName { service: self.service, event: name(HOOKED) }
    }

    /// A step without a check.
    pub(crate) fn step_plan(&self, id: &str, after: After) -> StepPlan {
        StepPlan {
            id: name(id),
            action: Action::Task { service: self.service, task: name("compute") },
            after,
            wait: None,
            checkers: 0,
            quorum: 0,
            nodes: vec![],
            labels: Vec::new(),
            price_max: tokens(100),
            retry: Retry { max: 0, backoff_ms: 0 },
            timeout_ms: 0,
            yields: 0,
        }
    }

    /// Waits for an event whose key has this value.
    pub(crate) fn wait_for(&self, value: KeySource) -> Wait {
        Wait {
            event: self.hooked(),
            filter: vec![Filter { key: 0, value }],
            conditional: false,
            timeout_ms: 0,
        }
    }

    pub(crate) fn plan(&self, steps: Vec<StepPlan>) -> Plan {
        Plan {
            trigger: Trigger {
                event: Some(self.hooked()),
                filter: vec![Filter { key: 0, value: KeySource::Constant(key_hash(b"\"start\"")) }],
                conditional: false,
            },
            steps,
            returns: vec![ReturnPlan { name: name("good"), from: returned(0, "done") }],
        }
    }

    pub(crate) fn deploy_of(&self, alias: &str, plan: Plan) -> Deploy {
        Deploy {
            terms: ApplicationTerms {
                alias: alias.parse().unwrap(),
                document: BlobRef::of(alias.as_bytes()),
                home: EndpointId([9; 32]),
                visibility: Visibility::Public,
                plan,
            }
            .into(),
            deposit: DEPOSIT,
            replaces: None,
        }
    }

    /// Deploys for the caller.
    pub(crate) fn deployed(&mut self, alias: &str, plan: Plan) -> Hash {
        let deploy = Operation::Deploy(self.deploy_of(alias, plan));
        match self.chain.send(&self.caller, deploy) {
            OperationResult::Created(id) => id,
            other => panic!("not deployed: {other:?}"),
        }
    }

    pub(crate) fn observation(&self, id: u64, key: &str) -> Operation {
        let mut hash = [0; 32];
        hash[..8].copy_from_slice(&id.to_be_bytes());
        Operation::Observe(Observe {
            service: self.service,
            event: name(HOOKED),
            id: Hash(hash),
            keys: vec![key_hash(key.as_bytes())],
            data: BlobRef::of(&id.to_be_bytes()),
            measured: vec![],
        })
    }

    /// The first node observes an event with this key.
    pub(crate) fn event(&mut self, id: u64, key: &str) {
        let operation = self.observation(id, key);
        let node = self.nodes[0].clone();
        self.chain.done(&node, operation);
    }

    /// An event that starts runs; gives the run of the only application.
    pub(crate) fn started(&mut self, id: u64) -> Hash {
        let before: Vec<Hash> = self.open_runs().iter().map(|run| run.id).collect();
        self.event(id, "\"start\"");
        let new: Vec<Hash> =
            self.open_runs().iter().map(|run| run.id).filter(|id| !before.contains(id)).collect();
        let [run] = new.as_slice() else { panic!("one run started: {new:?}") };
        *run
    }

    pub(crate) fn open_runs(&self) -> Vec<RunRecord> {
        query::runs(&self.chain.state, None, None, usize::MAX).unwrap()
    }

    /// A run, open or ended.
    pub(crate) fn run_record(&self, id: &Hash) -> RunRecord {
        if let Some(open) = query::run(&self.chain.state, id).unwrap() {
            return open;
        }
        let ended = |receipt: &Receipt| match receipt {
            Receipt::Run(run) if run.id == *id => Some(run.clone()),
            Receipt::Run(_)
            | Receipt::Event(_)
            | Receipt::Execution(_)
            | Receipt::Transaction(_) => None,
        };
        let found: Vec<_> =
            self.chain.receipts.iter().filter_map(|(_, receipt)| ended(receipt)).collect();
        let [run] = found.as_slice() else { panic!("a run ends once: {found:?}") };
        run.clone()
    }

    pub(crate) fn run_status(&self, id: &Hash) -> RunStatus {
        let record = self.run_record(id);
        let application =
            query::application(&self.chain.state, &record.application).unwrap().unwrap();
        Branches::of(&application.terms.plan, &record.run).status(&record.run)
    }

    /// Lets every executor answer until nothing is under way; gives the steps in the order in which
    /// their executions ended.
    pub(crate) fn work(&mut self, answer: impl Fn(&StepInput) -> Outcome) -> Vec<u16> {
        let mut order = vec![];
        for _ in 0..1_000 {
            let open = query::executions(&self.chain.state, None, usize::MAX).unwrap();
            if open.is_empty() {
                return order;
            }
            let mut moves = vec![];
            for execution in &open {
                let Origin::Step(input) = &execution.origin else {
                    panic!("a step: {execution:?}")
                };
                if let Some(node) = to_answer(execution) {
                    let (execution, round) = (execution.id, execution.round);
                    let outcome = answer(input);
                    order.push(input.step);
                    moves.push((node, Operation::Answer(Answer { execution, round, outcome })));
                }
            }
            let nodes = self.nodes.clone();
            let receipts = self.chain.block(|block| {
                for node in &nodes {
                    let own = moves.iter().filter(|(by, _)| *by == node.address());
                    let own: Vec<Operation> = own.map(|(_, operation)| operation.clone()).collect();
                    for part in own.chunks(500) {
                        block.send(node, part.to_vec());
                    }
                }
            });
            for result in receipts.into_iter().flat_map(|receipt| receipt.unwrap().results) {
                assert_eq!(result, OperationResult::Done);
            }
        }
        panic!("the work does not end");
    }

    pub(crate) fn repeat(&mut self, run: Hash, step: u16) {
        self.chain.done(&self.caller, Operation::Repeat(Repeat { run, step }));
    }
}

/// The executor whose answer is asked for.
fn to_answer(execution: &Execution) -> Option<althing_types::Address> {
    if execution.phase != Phase::Working {
        return None;
    }
    execution.committee().find(|m| m.state == MemberState::Assigned).map(|m| m.node)
}
