//! Applications, runs, events and programs, as their users meet them.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on fails")]

mod support;

use std::io::{Read as _, Write as _};
use std::time::Duration;

use althing_api::client::Client;
use althing_api::{ApplicationKey, Cut, EventFilter, RunFilter, ServiceKey, Viewing, wire};
use althing_types::{Address, Hash, RecoverableSignature, TimeMs, keccak};
use serde_json::{Value, json};
use support::work::{OWNER, TOKEN, application_id, event_record, private_terms, run};
use support::{Server, agent, service_terms};

const ALL: Cut = Cut { after: None, limit: 10 };

fn signed_by(client: &Client, account: Address) -> Client {
    let signature = RecoverableSignature { r_and_s: [1; 64], v: 27 };
    client.viewing(&Viewing { account, until: TimeMs(9), signature })
}

fn service() -> ServiceKey {
    ServiceKey::Id(service_terms().id())
}

fn event(id: &str) -> wire::CloudEvent {
    wire::CloudEvent {
        specversion: "1.0".to_owned(),
        id: id.to_owned(),
        source: "shop".to_owned(),
        kind: "received".parse().unwrap(),
        data: json!({ "amount": "12.5" }),
    }
}

#[test]
fn a_private_application_and_its_runs_are_there_for_owner_and_grantees_only() {
    let server = Server::start();
    let by_id = ApplicationKey::Id(application_id());
    for (viewer, shown) in [(OWNER, true), (Address([0x67; 20]), true), (Address([9; 20]), false)] {
        let client = signed_by(&server.client, viewer);
        assert_eq!(client.applications(None, ALL).unwrap().items.len(), usize::from(shown));
        assert_eq!(client.application(&by_id).is_ok(), shown);
        assert_eq!(client.runs(RunFilter::default(), ALL).unwrap().items.len(), usize::from(shown));
        assert_eq!(client.run(&keccak(&[b"run"]), Duration::ZERO).is_ok(), shown);
    }
    assert!(server.client.application(&by_id).unwrap_err().is_not_found());
    let by_alias = ApplicationKey::Alias(private_terms().alias);
    assert_eq!(
        signed_by(&server.client, OWNER).application(&by_alias).unwrap().id.0,
        application_id()
    );
}

#[test]
fn a_header_that_is_not_good_is_refused_and_not_taken_for_nobodys() {
    let server = Server::start();
    let url = format!("{}/v1/applications", server.url);
    let forged = format!("{OWNER} 9 {}", RecoverableSignature { r_and_s: [1; 64], v: 28 });
    for header in ["", "me", &format!("{OWNER} 9"), &forged] {
        let response = agent().get(&url).header("althing-viewer", header).call().unwrap();
        assert_eq!(response.status(), 401, "{header}");
    }
}

#[test]
fn a_run_shows_its_steps_and_branches() {
    let server = Server::start();
    let shown = signed_by(&server.client, OWNER).run(&keccak(&[b"run"]), Duration::ZERO).unwrap();
    assert_eq!(shown, run());
    let value = serde_json::to_value(&shown).unwrap();
    assert_eq!(value["status"], "waiting");
    assert_eq!(value["steps"][0]["phase"], "ended");
    assert_eq!(value["steps"][0]["status"], json!({ "returned": "parsed" }));
    assert_eq!(value["steps"][1]["phase"], "waiting");
    assert_eq!(value["branches"][0]["steps"], json!(["address", "paid"]));
    assert_eq!(value["branches"][0]["status"], "waiting");
    assert_eq!(value["branches"][0]["step"], "paid");
    assert_eq!(value["branches"][1]["status"], "done");
    assert_eq!(value["branches"][1]["with"], json!({ "returned": "parsed" }));
    let filtered = |status| {
        let filter = RunFilter { status: Some(status), ..RunFilter::default() };
        signed_by(&server.client, OWNER).runs(filter, ALL).unwrap().items.len()
    };
    assert_eq!((filtered(wire::RunStatus::Waiting), filtered(wire::RunStatus::Done)), (1, 0));
}

#[test]
fn an_event_names_who_agreed_who_contradicted_and_who_was_silent() {
    let server = Server::start();
    let shown = server.client.occurrence(&event_record().key, Duration::ZERO).unwrap();
    assert_eq!(shown, event_record().into());
    let value = serde_json::to_value(&shown).unwrap();
    assert_eq!((&value["state"], &value["event"]), (&json!("valid"), &json!("received")));
    assert_eq!(value["observations"][2]["standing"], "contradicts");
    assert_eq!(value["observations"][2]["offence"], "wrong_observation");
    assert_eq!(value["absent"].as_array().unwrap().len(), 1);
    let filter = EventFilter { state: Some(wire::EventState::Open), ..EventFilter::default() };
    assert!(server.client.occurrences(&filter, ALL).unwrap().items.is_empty());
    assert_eq!(server.client.occurrences(&EventFilter::default(), ALL).unwrap().items, [shown]);
}

#[test]
fn only_the_nodes_own_account_connects_programs() {
    let server = Server::start();
    let url = "http://127.0.0.1:7101/";
    for client in [server.client.clone(), signed_by(&server.client, OWNER)] {
        assert_eq!(client.connect(&service(), url).unwrap_err().code(), "API-0014");
        assert_eq!(client.disconnect(&service()).unwrap_err().code(), "API-0014");
        assert_eq!(client.connections().unwrap_err().code(), "API-0014");
    }
    let node = signed_by(&server.client, Address([9; 20]));
    let refused = node.connect(&service(), "ftp://x/").unwrap_err();
    assert_eq!(refused.code(), "PRG-0001", "{refused}");
    assert!(refused.to_string().contains("program not connected"), "{refused}");
    let connection = node.connect(&service(), url).unwrap();
    assert_eq!((connection.url.as_str(), connection.token.as_str()), (url, TOKEN));
    assert!(!format!("{connection:?}").contains("whsec"), "secrets stay out of logs");
    assert_eq!(node.connections().unwrap().len(), 1);
    node.disconnect(&service()).unwrap();
}

#[test]
fn an_event_is_taken_with_the_programs_token_under_id_and_alias() {
    let server = Server::start();
    let observed = server.client.observe(&service(), TOKEN, &event("cart-17")).unwrap();
    assert!(!observed.duplicate);
    let alias = ServiceKey::Alias(service_terms().alias);
    assert_eq!(server.client.observe(&alias, TOKEN, &event("cart-17")).unwrap(), observed);
    let url = format!("{}/v1/aliases/acme/invoice@1.0.0/events", server.url);
    let body = serde_json::to_string(&event("cart-17")).unwrap();
    let response =
        agent().post(&url).header("authorization", format!("bearer {TOKEN}")).send(&body).unwrap();
    assert_eq!(response.status(), 202);
}

#[test]
fn what_is_not_an_event_is_told_apart() {
    let server = Server::start();
    let url = format!("{}/v1/services/{}/events", server.url, service_terms().id());
    let post = |token: &str, body: &str| {
        let request = agent().post(&url).header("authorization", format!("Bearer {token}"));
        let response = request.send(body).unwrap();
        let status = response.status().as_u16();
        let problem: Value = response.into_body().read_json().unwrap();
        (status, problem["code"].as_str().unwrap().to_owned())
    };
    let with = |key: &str, value: Value| {
        let mut event = serde_json::to_value(event("cart-17")).unwrap();
        event[key] = value;
        event.to_string()
    };
    for (token, body, status, code) in [
        ("another", with("id", json!("1")), 401, "API-0014"),
        (TOKEN, "{".to_owned(), 400, "API-0001"),
        (TOKEN, "{}".to_owned(), 422, "API-0015"),
        (TOKEN, with("specversion", json!("0.3")), 422, "API-0015"),
        (TOKEN, with("data", json!(7)), 422, "API-0015"),
        (TOKEN, with("type", json!("other")), 404, "API-0004"),
    ] {
        assert_eq!(post(token, &body), (status, code.to_owned()), "{body}");
    }
    // A client that writes everything before it reads sees the refusal too, and no broken pipe.
    for mib in [2, 10] {
        let large = with("data", json!({ "cart": "x".repeat(mib << 20) }));
        assert_eq!(post(TOKEN, &large), (413, "API-0002".to_owned()));
    }
    // Refused by its announced length, before it has come.
    let address = server.url.strip_prefix("http://").unwrap();
    let mut stream = std::net::TcpStream::connect(address).unwrap();
    let path = url.strip_prefix(&server.url).unwrap();
    let head = format!(
        "POST {path} HTTP/1.1\r\nhost: {address}\r\nauthorization: Bearer {TOKEN}\r\n\
         content-length: {}\r\nconnection: close\r\n\r\n",
        (1 << 20) + 1
    );
    stream.write_all(head.as_bytes()).unwrap();
    stream.shutdown(std::net::Shutdown::Write).unwrap();
    let mut reply = String::new();
    stream.read_to_string(&mut reply).unwrap();
    assert!(reply.starts_with("HTTP/1.1 413") && reply.contains("API-0002"), "{reply}");
    let unsigned = agent().post(&url).send(&with("id", json!("1"))).unwrap();
    assert_eq!(unsigned.status(), 401);
}

#[test]
fn changes_of_a_private_run_are_told_to_those_who_may_know_it() {
    let server = Server::start();
    let run = keccak(&[b"run"]);
    let change = |readers: Option<Vec<Address>>| wire::Event::Run {
        height: 5,
        run: run.into(),
        application: application_id().into(),
        step: wire::RunStep::Started,
        readers: readers.map(|readers| readers.into_iter().map(Into::into).collect()),
    };
    let mut owners = signed_by(&server.client, OWNER).run_events(&run).unwrap();
    let mut anybodys = server.client.run_events(&run).unwrap();
    server.node.events.send(change(Some(vec![OWNER]))).unwrap();
    server.node.events.send(change(None)).unwrap();
    assert_eq!(owners.next().unwrap().unwrap(), change(None));
    assert_eq!(owners.next().unwrap().unwrap(), change(None));
    assert_eq!(anybodys.next().unwrap().unwrap(), change(None));
    let lagged = wire::Event::Lagged { missed: 1 };
    server.node.events.send(lagged.clone()).unwrap();
    assert_eq!(anybodys.next().unwrap().unwrap(), lagged, "nothing came in between");
    let other = Hash([0; 32]);
    assert!(server.client.run_events(&other).is_ok());
}
