//! JSON and the core's types: both ways, nothing lost, nothing ignored.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on fails")]

mod support;

use althing_api::wire;
use althing_types::*;
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};
use support::{amount, certificate, header, service_terms, signed, super_genesis, transfer};

/// Every operation, and within them every claim, outcome, failure, doubt and opinion.
fn operations() -> Vec<Operation> {
    let (service, execution) = (Hash([0x5e; 32]), Hash([0xe0; 32]));
    let vote = |kind, block| SignedVote {
        kind,
        height: Height(9),
        round: Round(1),
        block,
        signature: VoteSignature([4; 64]),
    };
    let mut all = vec![
        transfer(),
        Operation::Bond(Bond {
            amount: amount("100"),
            public_key: PublicKey([2; 33]),
            endpoint: EndpointId([3; 32]),
            beacon_key: BeaconKey([4; 32]),
        }),
        Operation::Unbond(Unbond { amount: amount("0.000001") }),
        Operation::Unjail(Unjail {}),
        Operation::Evidence(Evidence {
            validator: Address([1; 20]),
            first: vote(VoteKind::Prevote, None).into(),
            second: vote(VoteKind::Precommit, Some(Hash([8; 32]))).into(),
        }),
        Operation::Publish(Publish { terms: service_terms().into() }),
        Operation::Publish(Publish {
            terms: ServiceTerms {
                tasks: service_terms()
                    .tasks
                    .into_iter()
                    .map(|task| TaskTerms { verification: Verification::Method, ..task })
                    .collect(),
                ..service_terms()
            }
            .into(),
        }),
        Operation::Offer(Offer {
            service,
            stake: amount("150"),
            term_ms: u64::MAX,
            owner: Address([5; 20]),
            endpoint: EndpointId([6; 32]),
            labels: vec![],
        }),
        Operation::Withdraw(Withdraw { service }),
        Operation::Resume(Resume { service }),
        Operation::Call(Call {
            service,
            task: "parse".parse().unwrap(),
            input: BlobRef::of(b"{}"),
            home: EndpointId([6; 32]),
            checkers: 3,
            quorum: 0,
            nodes: vec![Address([1; 20]), Address([2; 20])],
            price_max: amount("340282366920938463463374607431.768211"),
        }),
        Operation::Seal(Seal { execution, round: 1, commitment: Hash([7; 32]) }),
        Operation::Observe(Observe {
            service,
            event: "received".parse().unwrap(),
            id: Hash([0x1d; 32]),
            keys: vec![Hash([0x4e; 32])],
            data: BlobRef::of(b"{}"),
            measured: vec![i64::MIN, -1, 0, i64::MAX],
        }),
    ];
    all.extend(applications());
    let returned = Outcome::Returned {
        status: "parsed".parse().unwrap(),
        output: BlobRef { hash: Hash([1; 32]), bytes: u32::MAX },
        keys: vec![Hash([2; 32]), Hash([3; 32])],
    };
    let failures = [
        Failure::BadInput,
        Failure::BadOutput,
        Failure::GaveUp,
        Failure::OutOfFuel,
        Failure::OverMemory,
        Failure::Trap,
        Failure::BadExpression,
        Failure::BadAnswer,
    ];
    let doubts =
        [Doubt::InputUnavailable, Doubt::ServiceUnavailable, Doubt::OverTime, Doubt::StackOverflow];
    let opinions = [Opinion::Valid, Opinion::Invalid, Opinion::Unavailable, Opinion::Inconclusive];
    let outcomes: Vec<Outcome> = [returned, Outcome::Declined]
        .into_iter()
        .chain(failures.map(Outcome::Failed))
        .chain(doubts.map(Outcome::Inconclusive))
        .collect();
    for outcome in &outcomes {
        let outcome = outcome.clone();
        all.push(Operation::Answer(Answer { execution, round: 2, outcome }));
    }
    let claims = outcomes.into_iter().map(Claim::Outcome).chain(opinions.map(Claim::Opinion));
    for claim in claims {
        let opening = Opening { claim, salt: Hash([9; 32]) };
        all.push(Operation::Reveal(Reveal { execution, round: 3, opening }));
    }
    all
}

/// Every operation on applications, and within them every kind of step, wait and key.
fn applications() -> Vec<Operation> {
    let (application, run) = (Hash([0xa0; 32]), Hash([0x70; 32]));
    let event = || EventName { service: Hash([0x5e; 32]), event: "received".parse().unwrap() };
    let end = |step, status| End { step, status };
    let returned = |status: &str| StepStatus::Returned(status.parse().unwrap());
    let step = |id: &str, action, after, wait| StepPlan {
        id: id.parse().unwrap(),
        action,
        after,
        wait,
        checkers: 3,
        quorum: 2,
        nodes: vec![Address([1; 20])],
        labels: Vec::new(),
        price_max: amount("2.5"),
        retry: Retry { max: 3, backoff_ms: 10_000 },
        timeout_ms: u64::MAX,
        yields: 1,
    };
    let task = Action::Task { service: Hash([0x5e; 32]), task: "parse".parse().unwrap() };
    let ends = vec![
        end(0, returned("error")),
        end(0, StepStatus::Error),
        end(0, returned("timeout")),
        end(0, StepStatus::Timeout),
    ];
    let constant = Filter { key: 0, value: KeySource::Constant(Hash([0xc0; 32])) };
    let wait = Wait {
        event: event(),
        filter: vec![
            constant.clone(),
            Filter { key: 1, value: KeySource::Trigger(7) },
            Filter { key: 2, value: KeySource::Yielded { step: 0, index: 1 } },
        ],
        conditional: true,
        timeout_ms: 1,
    };
    let plan = Plan {
        trigger: Trigger { event: Some(event()), filter: vec![constant], conditional: true },
        steps: vec![
            step("first", task, After { mode: Join::All, ends: vec![] }, None),
            step(
                "second",
                Action::Application { application },
                After { mode: Join::Any, ends },
                Some(wait),
            ),
        ],
        returns: vec![ReturnPlan { name: "paid".parse().unwrap(), from: end(1, returned("ok")) }],
    };
    let terms = |visibility, plan| ApplicationTerms {
        alias: "acme/cart@1.0.0".parse().unwrap(),
        document: BlobRef::of(b"{}"),
        home: EndpointId([6; 32]),
        visibility,
        plan,
    };
    let used = Trigger { event: None, filter: vec![], conditional: false };
    let only_used = Plan { trigger: used, ..plan.clone() };
    let grantees = Visibility::Private(vec![Address([1; 20]), Address([2; 20])]);
    vec![
        Operation::Deploy(Deploy {
            terms: terms(grantees, plan).into(),
            deposit: amount("100"),
            replaces: Some(Hash([0xa1; 32])),
        }),
        Operation::Deploy(Deploy {
            terms: terms(Visibility::Public, only_used).into(),
            deposit: Amount::ZERO,
            replaces: None,
        }),
        Operation::Pause(Pause { application, paused: true }),
        Operation::Remove(Remove { application }),
        Operation::Collect(Collect { application, amount: amount("0.5") }),
        Operation::Repeat(Repeat { run, step: 4 }),
        Operation::Cancel(Cancel { run }),
        Operation::Grant(Grant { application, account: Address([5; 20]), granted: true }),
        Operation::Restart(Restart { run }),
    ]
}

/// To JSON text and back.
fn through<Wire: Serialize + DeserializeOwned, Core: Into<Wire>>(core: Core) -> Wire {
    serde_json::from_str(&serde_json::to_string(&core.into()).unwrap()).unwrap()
}

#[test]
fn every_operation_comes_back_from_json_as_it_was() {
    let operations = operations();
    for operation in &operations {
        let wire: wire::Operation = through(operation.clone());
        assert_eq!(Operation::from(wire), *operation);
    }
    let transaction = signed(u64::MAX, operations);
    let wire: wire::SignedTransaction = through(transaction.clone());
    assert_eq!(SignedTransaction::from(wire), transaction);
}

/// A new operation without an example here fails to compile.
#[test]
fn the_examples_cover_every_operation() {
    let place = |operation: &Operation| match operation {
        Operation::Transfer(_) => 0,
        Operation::Bond(_) => 1,
        Operation::Unbond(_) => 2,
        Operation::Unjail(_) => 3,
        Operation::Evidence(_) => 4,
        Operation::Publish(_) => 5,
        Operation::Offer(_) => 6,
        Operation::Withdraw(_) => 7,
        Operation::Resume(_) => 8,
        Operation::Call(_) => 9,
        Operation::Seal(_) => 10,
        Operation::Reveal(_) => 11,
        Operation::Answer(_) => 12,
        Operation::Observe(_) => 13,
        Operation::Deploy(_) => 14,
        Operation::Pause(_) => 15,
        Operation::Remove(_) => 16,
        Operation::Collect(_) => 17,
        Operation::Repeat(_) => 18,
        Operation::Cancel(_) => 19,
        Operation::Grant(_) => 20,
        Operation::Restart(_) => 21,
    };
    let places: std::collections::BTreeSet<_> = operations().iter().map(place).collect();
    assert_eq!(places, (0..22).collect());
}

#[test]
fn an_operation_reads_as_people_write_it() {
    let wire = serde_json::to_value(wire::Operation::from(transfer())).unwrap();
    let expected = json!({
        "type": "transfer",
        "to": "0x0808080808080808080808080808080808080808",
        "amount": "12.5",
    });
    assert_eq!(wire, expected);
    let unjail: wire::Operation = serde_json::from_value(json!({ "type": "unjail" })).unwrap();
    assert_eq!(Operation::from(unjail), Operation::Unjail(Unjail {}));
}

fn refused(change: impl FnOnce(&mut Value)) -> String {
    let mut value =
        serde_json::to_value(wire::SignedTransaction::from(signed(0, vec![transfer()]))).unwrap();
    change(&mut value);
    serde_json::from_value::<wire::SignedTransaction>(value).unwrap_err().to_string()
}

#[test]
fn what_would_be_ignored_is_refused_instead() {
    for (expected, message) in [
        ("unknown field `memo`", refused(|t| t["transaction"]["memo"] = json!("hello"))),
        ("unknown field `note`", refused(|t| t["note"] = json!(1))),
        ("unknown field", refused(|t| t["transaction"]["operations"][0]["memo"] = json!(1))),
        (
            "unknown variant `send`",
            refused(|t| {
                t["transaction"]["operations"][0]["type"] = json!("send");
            }),
        ),
        (
            "missing field `amount`",
            refused(|t| {
                t["transaction"]["operations"][0].as_object_mut().unwrap().remove("amount");
            }),
        ),
        (
            "expected tokens as text",
            refused(|t| {
                t["transaction"]["operations"][0]["amount"] = json!(12.5);
            }),
        ),
        (
            "expected tokens as text",
            refused(|t| {
                t["transaction"]["fee_limit"] = json!("1.0000001");
            }),
        ),
        ("expected an address", refused(|t| t["transaction"]["account"] = json!("0x12"))),
        ("invalid type", refused(|t| t["transaction"]["nonce"] = json!("7"))),
        ("invalid value", refused(|t| t["transaction"]["chain"] = json!(-1))),
    ] {
        assert!(message.contains(expected), "{message}");
    }
}

#[test]
fn a_genesis_file_keeps_its_hash() {
    let genesis = super_genesis();
    let wire: wire::Genesis = through(genesis.clone());
    assert_eq!(Genesis::from(wire.clone()).hash(), genesis.hash());
    let mut value = serde_json::to_value(wire).unwrap();
    value["parameters"]["bond_minimum"] = json!("1");
    let error = serde_json::from_value::<wire::Genesis>(value).unwrap_err();
    assert!(error.to_string().contains("bond_minimum"), "{error}");
}

#[test]
fn headers_and_certificates_keep_what_is_signed() {
    let wire: wire::Header = through(header(3));
    assert_eq!(Header::from(wire).id(), header(3).id());
    let wire: wire::Certificate = through(certificate(3));
    assert_eq!(Certificate::from(wire), certificate(3));
}

#[test]
fn an_execution_reads_back_what_it_wrote() {
    let original = wire::Execution::from(support::execution());
    let text = serde_json::to_string(&original).unwrap();
    assert_eq!(serde_json::from_str::<wire::Execution>(&text).unwrap(), original);
    let value: Value = serde_json::from_str(&text).unwrap();
    assert_eq!(value["conclusion"]["verdict"], "accepted");
    assert_eq!(value["members"][0]["state"], "opened");
    assert_eq!(value["members"][0]["claim"]["outcome"]["status"], "parsed");
}
