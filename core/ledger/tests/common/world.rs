//! A service with nodes that offer it, and a driver that lets the nodes act until an execution ends.

use std::collections::BTreeMap;
use std::rc::Rc;

use althing_ledger::{
    Execution, Member, MemberState, OfferRecord, OperationResult, Phase, Role, Tally,
};
use althing_types::{
    Address, Amount, Answer, BlobRef, Call, Claim, Doubt, Emitters, Endowment, EndpointId,
    EventTerms, Failure, Hash, MeasuredTerms, Name, Offer, Opening, Operation, Opinion, Outcome,
    Parameters, Publish, Reveal, Seal, ServiceTerms, TaskTerms, Verification, commitment, keccak,
};

use super::{Actor, Chain, actor, endpoint, genesis, parameters, tokens, validator};

/// What every account begins with.
pub(crate) const ENDOWMENT: Amount = tokens(100_000);
/// What every node stakes for the service.
pub(crate) const STAKE: Amount = tokens(1_000);
pub(crate) const STAKE_MIN: Amount = tokens(500);
/// Price of one execution.
pub(crate) const PRICE: Amount = tokens(10);
/// Price of one check of the task with a method.
pub(crate) const CHECK_PRICE: Amount = tokens(4);
pub(crate) const TIME_LIMIT_MS: u32 = 500;
/// 0.05, in thousandths.
const WITHIN: MeasuredTerms = MeasuredTerms { decimals: 3, tolerance: Some(50) };
pub(crate) const TERM_MS: u64 = super::DAY_MS;

/// How a member behaves.
#[derive(Clone, Debug)]
pub(crate) enum Act {
    /// Commits itself to the claim, and opens it; or answers with it, where that is asked.
    Say(Claim),
    /// Commits itself and never opens.
    Hide(Claim),
    /// Submits the commitment of somebody else as its own, and later that one's opening.
    Copy,
    /// Does nothing.
    Mute,
}

/// The result that honest nodes reach.
pub(crate) fn truth() -> Outcome {
    returned("done", b"41")
}

/// A wrong result, one for each number.
pub(crate) fn lie(n: u8) -> Outcome {
    returned("done", &[n])
}

pub(crate) fn returned(status: &str, output: &[u8]) -> Outcome {
    Outcome::Returned { status: name(status), output: BlobRef::of(output), keys: vec![] }
}

pub(crate) fn says(outcome: Outcome) -> Act {
    Act::Say(Claim::Outcome(outcome))
}

pub(crate) fn opinion(opinion: Opinion) -> Act {
    Act::Say(Claim::Opinion(opinion))
}

pub(crate) fn doubt() -> Outcome {
    Outcome::Inconclusive(Doubt::OverTime)
}

pub(crate) fn failed() -> Outcome {
    Outcome::Failed(Failure::GaveUp)
}

pub(crate) fn name(text: &str) -> Name {
    text.parse().unwrap()
}

/// A chain with a published service and nodes that offer it.
pub(crate) struct World {
    pub(crate) chain: Chain,
    pub(crate) validator: Actor,
    pub(crate) caller: Actor,
    pub(crate) developer: Actor,
    pub(crate) service: Hash,
    pub(crate) nodes: Vec<Rc<Actor>>,
    by_address: BTreeMap<Address, usize>,
}

/// Three events, each with one key; two tasks: `compute` is deterministic, `find` has a method.
pub(crate) fn terms(alias: &str) -> ServiceTerms {
    let task = |task: &str, verification, check_price| TaskTerms {
        name: name(task),
        statuses: vec![name("done"), name("unreadable")],
        verification,
        price: PRICE,
        check_price,
        time_limit_ms: TIME_LIMIT_MS,
    };
    let event = |event: &str, emitters, measured: &[MeasuredTerms]| EventTerms {
        name: name(event),
        keys: 1,
        window_ms: 1_000,
        emitters,
        measured: measured.to_vec(),
        price: tokens(2),
    };
    ServiceTerms {
        alias: alias.parse().unwrap(),
        manifest: BlobRef::of(alias.as_bytes()),
        module: Some(BlobRef::of(b"component")),
        tasks: vec![
            task("compute", Verification::Deterministic, PRICE),
            task("find", Verification::Method, CHECK_PRICE),
        ],
        events: vec![
            event("charged", Emitters::Majority, &[WITHIN]),
            event("read", Emitters::Majority, &[]),
            event("hooked", Emitters::One, &[]),
        ],
        stake_min: STAKE_MIN,
    }
}

impl World {
    /// With the tests' parameters.
    pub(crate) fn new(nodes: u64) -> Self {
        Self::with(parameters(), nodes)
    }

    /// Each node is its own owner.
    pub(crate) fn with(parameters: Parameters, nodes: u64) -> Self {
        let (root, caller, developer) = (actor(1), actor(2), actor(3));
        let nodes: Vec<Rc<Actor>> = (0..nodes).map(|n| Rc::new(actor(1_000 + n))).collect();
        let accounts = nodes.iter().map(Rc::as_ref).chain([&root, &caller, &developer]);
        let accounts = accounts
            .map(|actor| Endowment { address: actor.address(), balance: ENDOWMENT })
            .collect();
        let start = genesis(parameters, accounts, vec![validator(&root, tokens(1_000))]);
        let mut chain = Chain::new(&start);
        let terms = terms("acme/sums@1.0.0");
        let service = terms.id();
        chain.done(&developer, Operation::Publish(Publish { terms: terms.into() }));
        let mut world = Self {
            chain,
            validator: root,
            caller,
            developer,
            service,
            by_address: nodes.iter().enumerate().map(|(n, node)| (node.address(), n)).collect(),
            nodes,
        };
        let receipts = world.chain.block(|block| {
            for node in &world.nodes {
                block.send(node, vec![offer_of(service, node, node.address())]);
            }
        });
        for receipt in receipts {
            assert_eq!(receipt.unwrap().results, [OperationResult::Done]);
        }
        world
    }

    /// Counts somebody who offers the service among the nodes.
    pub(crate) fn adopt(&mut self, node: Actor) {
        self.by_address.insert(node.address(), self.nodes.len());
        self.nodes.push(Rc::new(node));
    }

    pub(crate) fn node(&self, address: &Address) -> Rc<Actor> {
        Rc::clone(&self.nodes[self.by_address[address]])
    }

    pub(crate) fn record(&self, node: &Address) -> OfferRecord {
        self.chain.offer(&self.service, node)
    }

    /// A call of the deterministic task.
    pub(crate) fn compute(&self, checkers: u16) -> Call {
        Call {
            service: self.service,
            task: name("compute"),
            input: BlobRef::of(b"[1, 40]"),
            home: EndpointId::ZERO,
            checkers,
            quorum: 0,
            nodes: vec![],
            price_max: tokens(1_000),
        }
    }

    /// A call of the task with a method.
    pub(crate) fn find(&self, checkers: u16) -> Call {
        Call { task: name("find"), ..self.compute(checkers) }
    }

    /// Makes the call in a block of its own.
    pub(crate) fn call(&mut self, call: Call) -> Hash {
        match self.chain.send(&self.caller, Operation::Call(call)) {
            OperationResult::Created(id) => id,
            other => panic!("not carried out: {other:?}"),
        }
    }

    /// Calls, and makes the block that draws the committee.
    pub(crate) fn call_and_draw(&mut self, call: Call) -> Execution {
        let id = self.call(call);
        self.chain.wait(1);
        self.chain.execution(&id).expect("open")
    }

    /// Lets every member act until the execution is settled; idle time passes up to the deadline.
    pub(crate) fn run(&mut self, id: Hash, act: impl Fn(&Execution, &Member) -> Act) -> Execution {
        for _ in 0..1_000 {
            let Some(execution) = self.chain.execution(&id) else {
                return self.chain.settled(&id).expect("settled").clone();
            };
            self.step(&execution, &act);
        }
        panic!("the execution does not end");
    }

    /// One block: every member of the execution makes the move that is its turn.
    pub(crate) fn step(
        &mut self,
        execution: &Execution,
        act: &impl Fn(&Execution, &Member) -> Act,
    ) {
        let moves: Vec<(Address, Operation)> = execution
            .committee()
            .filter_map(|m| Some((m.node, operation(execution, m, &act(execution, m))?)))
            .collect();
        let idle_ms = self.chain.time.until(execution.due).max(1);
        let Self { chain, nodes, by_address, .. } = self;
        let receipts = chain.block(|block| {
            if moves.is_empty() {
                block.elapsed_ms = idle_ms;
            }
            for (node, operation) in moves {
                block.send(&nodes[by_address[&node]], vec![operation]);
            }
        });
        for receipt in receipts {
            assert_eq!(receipt.unwrap().results, [OperationResult::Done]);
        }
    }

    /// Calls, and lets everybody act until the end.
    pub(crate) fn called(
        &mut self,
        call: Call,
        act: impl Fn(&Execution, &Member) -> Act,
    ) -> Execution {
        let id = self.call(call);
        self.run(id, act)
    }
}

pub(crate) fn offer_of(service: Hash, node: &Actor, owner: Address) -> Operation {
    Operation::Offer(Offer {
        service,
        stake: STAKE,
        term_ms: TERM_MS,
        owner,
        endpoint: endpoint(node),
        labels: vec![],
    })
}

pub(crate) fn salt(execution: &Hash, node: &Address) -> Hash {
    keccak(&[b"salt", &execution.0, &node.0])
}

pub(crate) fn opening(execution: &Hash, node: &Address, claim: Claim) -> Opening {
    Opening { claim, salt: salt(execution, node) }
}

pub(crate) fn seal(execution: &Execution, node: &Address, claim: Claim) -> Operation {
    let opening = opening(&execution.id, node, claim);
    let commitment = commitment(&execution.id, execution.round, node, &opening);
    Operation::Seal(Seal { execution: execution.id, round: execution.round, commitment })
}

pub(crate) fn reveal(execution: &Execution, node: &Address, claim: Claim) -> Operation {
    let opening = opening(&execution.id, node, claim);
    Operation::Reveal(Reveal { execution: execution.id, round: execution.round, opening })
}

pub(crate) fn answer(execution: &Execution, outcome: Outcome) -> Operation {
    Operation::Answer(Answer { execution: execution.id, round: execution.round, outcome })
}

/// The move that an act comes to, if it is the member's turn.
pub(crate) fn operation(execution: &Execution, member: &Member, act: &Act) -> Option<Operation> {
    let open_answer = execution.checkers == 0 || execution.verification == Verification::Method;
    match (execution.phase, &member.state, act) {
        (Phase::Working, MemberState::Assigned, Act::Say(Claim::Outcome(outcome)))
            if open_answer && member.role == Role::Executor =>
        {
            Some(answer(execution, outcome.clone()))
        }
        (
            Phase::Working | Phase::Checking,
            MemberState::Assigned,
            Act::Say(claim) | Act::Hide(claim),
        ) => Some(seal(execution, &member.node, claim.clone())),
        (Phase::Working | Phase::Checking, MemberState::Assigned, Act::Copy) => {
            execution.committee().find_map(|other| match other.state {
                MemberState::Sealed(commitment) => {
                    let (execution, round) = (execution.id, execution.round);
                    Some(Operation::Seal(Seal { execution, round, commitment }))
                }
                _ => None,
            })
        }
        (Phase::Revealing, MemberState::Sealed(_), Act::Say(claim)) => {
            Some(reveal(execution, &member.node, claim.clone()))
        }
        (Phase::Revealing, MemberState::Sealed(_), Act::Copy) => {
            execution.committee().find_map(|other| match &other.state {
                MemberState::Opened(claim) => Some(reveal(execution, &other.node, claim.clone())),
                _ => None,
            })
        }
        _ => None,
    }
}

/// A tally without history.
pub(crate) fn tally(right: u64, wrong: u64, absent: u64) -> Tally {
    let million = |count: u64| count * 1_000_000;
    Tally {
        right: million(right),
        wrong: million(wrong),
        absent: million(absent),
        done: u32::try_from(right).unwrap(),
        updated: super::START,
    }
}
