//! The whole story of fixed executions.

use std::collections::BTreeMap;

use althing_api::wire::{
    BlobRef, Candidate, Draw, Failure, Opening, Origin, Phase, Reason, Text, Verification,
};
use althing_types::{Address, EndpointId, Hash};
use serde_json::json;

use super::super::divergence::Kept;
use super::*;

const fn node(number: u8) -> Address {
    Address([number; 20])
}

fn tokens(text: &str) -> Text<Amount> {
    text.parse().unwrap()
}

fn output(number: u8) -> BlobRef {
    BlobRef { hash: Text(Hash([number; 32])), bytes: 20 }
}

fn answered(number: u8) -> MemberState {
    let outcome = Outcome::Returned {
        status: "ok".parse().unwrap(),
        output: output(number),
        keys: Vec::new(),
    };
    MemberState::Opened { claim: Claim::Outcome(outcome) }
}

fn member(number: u8, role: Role, state: MemberState) -> Member {
    Member {
        node: Text(node(number)),
        role,
        round: 0,
        state,
        offence: None,
        fine: tokens("0"),
        earned: tokens("0"),
    }
}

fn draw(drawn: &[u8]) -> Draw {
    Draw {
        round: 0,
        refill: 0,
        height: 13,
        beacon: Text(Hash([0xbe; 32])),
        roster: Text(Hash([0xaa; 32])),
        seats: 5,
        excluded: Vec::new(),
        drawn: drawn.iter().map(|number| Text(node(*number))).collect(),
    }
}

fn execution(members: Vec<Member>, conclusion: Option<Conclusion>) -> Execution {
    Execution {
        id: Text(Hash([0xee; 32])),
        payer: Text(node(0xcc)),
        service: Text(Hash([0x55; 32])),
        task: "total".parse().unwrap(),
        verification: Verification::Deterministic,
        input: output(9),
        origin: Origin::Call,
        homes: vec![Text(EndpointId([1; 32]))],
        checkers: 3,
        quorum: 3,
        nodes: Vec::new(),
        labels: Vec::new(),
        price: tokens("0.01"),
        check_price: tokens("0.01"),
        time_limit_ms: 5_000,
        escrow: tokens("0"),
        paid_in: tokens("0.04"),
        refunded: tokens("0.01"),
        created: 12,
        created_at: 0,
        changed: 20,
        phase: if conclusion.is_some() { Phase::Settled } else { Phase::Working },
        due: 0,
        round: 0,
        members,
        substitutes: Vec::new(),
        draws: vec![draw(&[3, 1, 2, 5, 4])],
        conclusion,
    }
}

fn explanation(execution: Execution, replayed: Option<&[u8]>) -> Explanation {
    let candidate = |number: u8| Candidate {
        node: Text(node(number)),
        owner: Text(node(number)),
        weight: (u32::from(number) * 100).to_string(),
        newcomer: number == 4,
        labels: Vec::new(),
    };
    let explained = ExplainedDraw {
        draw: execution.draws[0].clone(),
        seed: Text(Hash([0x5e; 32])),
        newcomers_share: replayed.map(|_| 1_000),
        candidates: replayed.map(|_| (1..=5).map(candidate).collect()),
        replayed: replayed.map(|nodes| nodes.iter().map(|number| Text(node(*number))).collect()),
    };
    Explanation { execution, draws: vec![explained], route: Vec::new() }
}

fn names() -> Names {
    Names::given(&[
        (node(1), "node 1"),
        (node(2), "node 2"),
        (node(3), "node 3"),
        (node(5), "node 5"),
    ])
}

fn parameters() -> Parameters {
    althing_node::parameters::open_network().into()
}

/// Node 3 lied as the executor, node 5 copied, node 4 took its place.
fn caught() -> Execution {
    let forged = MemberState::Forged {
        commitment: Text(Hash([1; 32])),
        opening: Opening {
            claim: Claim::Outcome(Outcome::Failed { failure: Failure::Trap }),
            salt: Text(Hash([2; 32])),
        },
    };
    let mut liar = member(3, Role::Executor, answered(41));
    liar.offence = Some(Offence::WrongResult);
    liar.fine = tokens("40");
    let mut copier = member(5, Role::Checker, forged);
    copier.offence = Some(Offence::ForgedSeal);
    copier.fine = tokens("40");
    let mut honest = member(1, Role::Checker, answered(42));
    honest.earned = tokens("0.0085");
    let accepted =
        Outcome::Returned { status: "ok".parse().unwrap(), output: output(42), keys: Vec::new() };
    execution(
        vec![
            liar,
            honest,
            member(2, Role::Checker, answered(42)),
            copier,
            member(4, Role::Checker, answered(42)),
        ],
        Some(Conclusion::Accepted { outcome: accepted }),
    )
}

fn kept(value: &Value) -> Kept {
    Kept::from(value.to_string().into_bytes())
}

#[test]
fn a_liar_and_a_copier_are_named_with_what_they_said_and_paid() {
    let outputs = BTreeMap::from([
        (Hash([41; 32]), kept(&json!({ "currency": "EUR", "total": "41.00" }))),
        (Hash([42; 32]), kept(&json!({ "currency": "EUR", "total": "42.00" }))),
    ]);
    let text = tell(&Sources {
        explanation: &explanation(caught(), Some(&[3, 1, 2, 5, 4])),
        alias: Some("acme/invoice@1.0.0"),
        names: &names(),
        outputs: &outputs,
        parameters: Some(&parameters()),
    });
    assert_eq!(text, include_str!("story_caught.txt"));
}

#[test]
fn what_the_node_no_longer_has_is_told_by_its_hash() {
    let text = tell(&Sources {
        explanation: &explanation(caught(), None),
        alias: None,
        names: &Names::default(),
        outputs: &BTreeMap::new(),
        parameters: None,
    });
    assert!(text.contains(&format!("answered ok with the output 0x{}", "2a".repeat(32))), "{text}");
    assert!(text.contains("no longer has the list of candidates"), "{text}");
    assert!(text.contains(&format!("called total of 0x{}", "55".repeat(32))), "{text}");
}

#[test]
fn a_draw_that_gives_others_when_it_is_repeated_is_cried_out() {
    let text = tell(&Sources {
        explanation: &explanation(caught(), Some(&[1, 2, 3, 4, 5])),
        alias: None,
        names: &names(),
        outputs: &BTreeMap::new(),
        parameters: None,
    });
    assert!(
        text.contains("REPLAYED DIFFERENTLY: beacon and weights give node 1, node 2, node 3,"),
        "{text}"
    );
}

#[test]
fn a_failed_execution_says_why_and_what_came_back() {
    let mut absent = member(1, Role::Executor, MemberState::Absent);
    absent.offence = Some(Offence::Absence);
    absent.fine = tokens("2");
    let failed = Conclusion::Failed { reason: Reason::TooFewMembers };
    let text = tell(&Sources {
        explanation: &explanation(execution(vec![absent], Some(failed)), None),
        alias: None,
        names: &names(),
        outputs: &BTreeMap::new(),
        parameters: Some(&parameters()),
    });
    assert!(text.contains("node 1 said nothing in time"), "{text}");
    assert!(
        text.contains("paid 2 for absence = its stake × 0.50 % × 2/(n+1) × (1 + 1/n)"),
        "{text}"
    );
    assert!(text.ends_with("End: failed: too few members took part in block 20. The caller paid 0.04 and got 0.01 back.\n"));
}

#[test]
fn the_way_of_a_call_is_told_also_where_nobody_knows_a_name() {
    let hop = |number: u8, part: Option<Role>, runs_service: bool| Hop {
        node: Some(Text(node(number))),
        endpoint: Some(Text(EndpointId([number; 32]))),
        part,
        runs_service,
    };
    let unknown = Hop { node: None, ..hop(9, None, false) };
    let route = vec![
        hop(5, None, false),
        hop(2, None, true),
        unknown,
        hop(3, Some(Role::Executor), true),
        hop(1, Some(Role::Checker), true),
    ];
    let explanation = Explanation { route, ..explanation(caught(), None) };
    let text = tell(&Sources {
        explanation: &explanation,
        alias: None,
        names: &names(),
        outputs: &BTreeMap::new(),
        parameters: None,
    });
    let nobody = format!("the node at {} (does not run the service)", EndpointId([9; 32]));
    let told = format!(
        "Route: node 5 (does not run the service), node 2, {nobody} → ledger → node 3, node 1 (checks).\n"
    );
    assert!(text.contains(&told), "{told} is not in\n{text}");
}

#[test]
fn an_open_execution_is_told_as_far_as_it_is() {
    let open = execution(vec![member(1, Role::Executor, MemberState::Assigned)], None);
    let text = tell(&Sources {
        explanation: &explanation(open, None),
        alias: None,
        names: &names(),
        outputs: &BTreeMap::new(),
        parameters: None,
    });
    assert!(text.contains("node 1 is at work"), "{text}");
    assert!(text.ends_with("It is not settled yet: working, round 0.\n"), "{text}");
}

#[test]
fn somebody_elses_output_cannot_write_on_the_terminal() {
    assert_eq!(brief(&json!("a\u{1b}[2Jb")), "a [2Jb");
    assert_eq!(brief(&json!("x".repeat(61))), format!("{}…", "x".repeat(60)));
}
