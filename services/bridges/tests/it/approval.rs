//! Decisions of people, signed with their keys.

use althing_keys::AccountKey;
use althing_types::{ChainId, Decision, Eip712};
use serde_json::{Value, json};

use crate::node::{Bridge, Inbox};

const CHAIN: u64 = 7;

fn key(seed: u8) -> AccountKey {
    AccountKey::from_bytes(&[seed; 32]).unwrap()
}

/// A question that a run asks of the account of this key.
fn asked(bridge: &Bridge, step: &str, of: &AccountKey) -> Value {
    let input = json!({ "question": "Pay 120 to ada?", "to": [of.address().to_string()] });
    let (code, answer) = bridge.task("ask", step, input);
    assert_eq!((code, &answer["status"]), (200, &json!("asked")), "{answer}");
    answer["output"].clone()
}

/// What the holder of a key posts to decide this question.
fn signed(by: &AccountKey, chain: u64, question: &Value, approved: bool) -> Value {
    let decision = Decision {
        account: by.address(),
        key: question["key"].as_str().unwrap().parse().unwrap(),
        question: "Pay 120 to ada?",
        approved,
        comment: "well earned",
    };
    let signature = by.sign_recoverable(&Eip712::new(ChainId(chain)).decision(&decision));
    json!({ "by": by.address().to_string(), "approved": approved, "comment": "well earned",
        "signature": signature.to_string() })
}

/// Code and body of the answer to a decision.
fn post(bridge: &Bridge, question: &Value, body: &Value) -> (u16, Value) {
    let agent: ureq::Agent =
        ureq::Agent::config_builder().http_status_as_error(false).build().into();
    let url = format!("{}/questions/{}", bridge.url, question["key"].as_str().unwrap());
    let mut reply = agent.post(&url).send(body.to_string()).unwrap();
    (reply.status().as_u16(), reply.body_mut().read_json().unwrap_or(Value::Null))
}

fn refused(bridge: &Bridge, question: &Value, body: &Value) -> (u16, String) {
    let (status, answer) = post(bridge, question, body);
    (status, answer["code"].as_str().unwrap_or_default().to_owned())
}

#[test]
fn a_decision_counts_once_with_the_signature_of_who_was_asked_and_no_other() {
    let folder = tempfile::tempdir().unwrap();
    let inbox = Inbox::open(0);
    let config = json!({ "chain": CHAIN });
    let bridge = Bridge::start("approval", folder.path(), &config, &inbox, true);
    let (boss, other) = (key(1), key(2));
    let (first, second) = (asked(&bridge, "k1", &boss), asked(&bridge, "k2", &boss));
    assert_eq!(asked(&bridge, "k1", &boss), first, "a repeated task asks the same question");
    assert_ne!(first["key"], second["key"]);
    assert_eq!(bridge.get("/questions").as_array().unwrap().len(), 2);

    let good = signed(&boss, CHAIN, &first, true);
    let with = |name: &str, value: Value| {
        let mut changed = good.clone();
        changed[name] = value;
        changed
    };
    // Forged: by another's key, of another answer, comment, question or chain.
    let forged = (403, "ASK-0004".to_owned());
    let stolen = json!({ "signature": signed(&other, CHAIN, &first, true)["signature"] });
    assert_eq!(refused(&bridge, &first, &with("signature", stolen["signature"].clone())), forged);
    assert_eq!(refused(&bridge, &first, &with("approved", json!(false))), forged);
    assert_eq!(refused(&bridge, &first, &with("comment", json!("hardly earned"))), forged);
    assert_eq!(refused(&bridge, &second, &good), forged, "of another question");
    assert_eq!(refused(&bridge, &first, &signed(&boss, CHAIN + 1, &first, true)), forged);
    // Foreign: a good signature of somebody who was not asked.
    let foreign = signed(&other, CHAIN, &first, true);
    assert_eq!(refused(&bridge, &first, &foreign), (403, "ASK-0003".to_owned()));
    assert_eq!(refused(&bridge, &first, &json!({})), (422, "ASK-0002".to_owned()));
    let nowhere = json!({ "key": format!("0x{}", "00".repeat(32)) });
    assert_eq!(refused(&bridge, &nowhere, &good), (404, "ASK-0001".to_owned()));

    assert_eq!(post(&bridge, &first, &good).0, 202);
    // Repeated, or decided otherwise afterwards.
    let again = (409, "ASK-0005".to_owned());
    assert_eq!(refused(&bridge, &first, &good), again);
    assert_eq!(refused(&bridge, &first, &signed(&boss, CHAIN, &first, false)), again);
    let events = inbox.wait(1);
    let data = &events[0]["data"];
    assert_eq!((&events[0]["id"], &data["approved"]), (&first["key"], &json!(true)));
    assert_eq!(bridge.get("/questions").as_array().unwrap().len(), 1, "the other is open");

    // Whoever has the event can tell it from a forged one.
    let read = |decision: &Value| {
        let to = json!([boss.address().to_string()]);
        let input = json!({ "question": "Pay 120 to ada?", "to": to, "decision": decision });
        let name = format!("read {}", decision["approved"]);
        bridge.task("read", &name, input).1["status"].clone()
    };
    assert_eq!(read(data), "approved");
    let mut lie = data.clone();
    lie["approved"] = json!(false);
    assert_eq!(read(&lie), "forged");
}

#[test]
fn a_question_outlives_a_crash_and_its_decision_reaches_the_node_once_it_is_back() {
    let folder = tempfile::tempdir().unwrap();
    let away = Inbox::open(usize::MAX);
    let config = json!({ "chain": CHAIN });
    let bridge = Bridge::start("approval", folder.path(), &config, &away, true);
    let boss = key(1);
    let question = asked(&bridge, "k1", &boss);
    bridge.kill();
    let bridge = Bridge::start("approval", folder.path(), &config, &away, true);
    let decision = signed(&boss, CHAIN, &question, false);
    assert_eq!(post(&bridge, &question, &decision).0, 202);
    bridge.kill();
    let back = Inbox::open(0);
    let bridge = Bridge::start("approval", folder.path(), &config, &back, true);
    assert_eq!(back.wait(1)[0]["data"]["approved"], json!(false));
    assert_eq!(refused(&bridge, &question, &decision), (409, "ASK-0005".to_owned()));
}

#[test]
fn a_question_that_nobody_can_answer_is_refused_when_it_is_asked() {
    let folder = tempfile::tempdir().unwrap();
    let inbox = Inbox::open(0);
    let bridge = Bridge::start("approval", folder.path(), &json!({ "chain": CHAIN }), &inbox, true);
    let boss = key(1).address().to_string();
    let many: Vec<&String> = vec![&boss; 65];
    for (place, input) in [
        json!({ "question": "Pay?", "to": [] }),
        json!({ "question": "Pay?", "to": ["ada"] }),
        json!({ "question": "Pay?", "to": many }),
        json!({ "question": "", "to": [boss] }),
        json!({ "question": "?".repeat(5_000), "to": [boss] }),
        json!({ "question": "Pay?", "to": [boss], "days": 0 }),
    ]
    .into_iter()
    .enumerate()
    {
        let (_, answer) = bridge.task("ask", &format!("k{place}"), input.clone());
        assert_eq!(answer["status"], "refused", "{input}");
    }
    assert_eq!(bridge.get("/questions"), json!([]));
}
