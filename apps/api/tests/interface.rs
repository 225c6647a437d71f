//! The interface as its users meet it: the typed client, curl's JSON, streams, garbage.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on fails")]

mod support;

use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::sync::OnceLock;
use std::time::Duration;

use althing_api::{Config, Cut, ExecutionFilter, ServiceKey, wire};
use althing_types::{Address, Eip712, Hash, Height, keccak};
use proptest::prelude::*;
use support::{CHAIN, Server, agent, certificate, header, service_terms, signed, transfer};

const ALL: Cut = Cut { after: None, limit: 10 };

#[test]
fn both_forms_of_a_transaction_are_the_same_transaction() {
    let server = Server::start();
    let transaction = signed(0, vec![transfer()]);
    let hash = server.client.submit(&transaction).unwrap();
    assert_eq!(hash, transaction.hash());

    let parts = serde_json::to_string(&wire::SignedTransaction::from(transaction.clone())).unwrap();
    let url = format!("{}/v1/transactions", server.url);
    let response = agent().post(&url).send(&parts).unwrap();
    assert_eq!(response.status(), 202);
    let submitted: wire::Submitted = response.into_body().read_json().unwrap();
    assert_eq!(submitted.hash.0, hash);
    assert_eq!(server.node.submitted.lock().unwrap().get(&hash), Some(&transaction));

    let receipt = server.client.transaction(&hash, Duration::from_millis(10)).unwrap();
    assert_eq!(receipt.transaction.0, hash);
    assert_eq!(
        receipt.results,
        [
            wire::OperationResult::Created { id: keccak(&[b"execution"]).into() },
            wire::OperationResult::Rejected {
                code: "LED-0020".to_owned(),
                detail: "the service has no such task".to_owned(),
            },
        ]
    );
}

#[test]
fn typed_data_shows_the_operations_and_gives_the_digest_that_is_signed() {
    let server = Server::start();
    let transaction = signed(0, vec![transfer()]).transaction;
    let typed = server.client.typed_data(&transaction).unwrap();
    assert_eq!(typed.digest.0, transaction.digest(&Eip712::new(CHAIN)));
    let message = &typed.typed_data["message"];
    assert_eq!(message["operations"][0], transfer().to_string());
    assert_eq!(typed.typed_data["domain"]["chainId"], CHAIN.0);
}

#[test]
fn a_client_reads_everything_that_a_node_tells() {
    let server = Server::start();
    let client = &server.client;
    let id = keccak(&[b"execution"]);

    assert_eq!(client.status().unwrap().height, 4);
    assert_eq!(client.genesis().unwrap(), support::super_genesis().into());
    assert_eq!(client.totals().unwrap().supply.to_string(), "100");
    let validators = client.validators().unwrap();
    assert_eq!(validators.validators[0].seat.as_ref().unwrap().power, 100);
    assert_eq!(client.account(&Address([7; 20])).unwrap().balance.to_string(), "12.5");

    let block = client.block(Some(Height(2))).unwrap();
    assert_eq!(althing_types::Header::from(block.header), header(2));
    assert_eq!(althing_types::Certificate::from(block.certificate), certificate(2));
    assert_eq!(client.block(None).unwrap().id.0, header(4).id());
    let headers = client.headers(Height(2), 2).unwrap();
    assert_eq!(headers.iter().map(|h| h.header.height).collect::<Vec<_>>(), [2, 3]);

    let page = client.services(ALL).unwrap();
    assert_eq!(page.items[0].terms, service_terms().into());
    assert!(
        client.services(Cut { after: page.next.map(|id| id.0), ..ALL }).unwrap().items.is_empty()
    );
    for key in [ServiceKey::Id(service_terms().id()), ServiceKey::Alias(service_terms().alias)] {
        assert_eq!(client.service(&key).unwrap().id.0, service_terms().id());
        let offers = client.offers(&key).unwrap();
        assert_eq!(offers[0].weight, u128::MAX.to_string());
    }

    let execution = client.execution(&id, Duration::ZERO).unwrap();
    assert_eq!(execution, support::execution().into());
    let settled = ExecutionFilter { phase: Some(wire::Phase::Settled), ..Default::default() };
    assert_eq!(client.executions(settled, ALL).unwrap().items, [execution]);
    for other in [
        ExecutionFilter { phase: Some(wire::Phase::Working), ..Default::default() },
        ExecutionFilter { payer: Some(Address([1; 20])), ..Default::default() },
        ExecutionFilter { node: Some(Address([99; 20])), ..Default::default() },
        ExecutionFilter { service: Some(Hash::ZERO), ..Default::default() },
    ] {
        assert!(client.executions(other, ALL).unwrap().items.is_empty());
    }
    assert_eq!(client.receipt(&id).unwrap(), b"{\"receipt\": 1}");
}

#[test]
fn an_alias_with_an_escaped_slash_names_its_service() {
    let server = Server::start();
    let url = format!("{}/v1/services/acme%2Finvoice@1.0.0", server.url);
    let service: wire::Service = agent().get(&url).call().unwrap().into_body().read_json().unwrap();
    assert_eq!(service.id.0, service_terms().id());
}

#[test]
fn an_explanation_replays_the_draw() {
    let server = Server::start();
    let explained = server.client.explain(&keccak(&[b"execution"])).unwrap();
    let draw = &explained.draws[0];
    assert_eq!(draw.candidates.as_ref().unwrap().len(), 6);
    assert_eq!(draw.replayed.as_ref(), Some(&draw.draw.drawn));
    assert_eq!(draw.draw.drawn.len(), 3);
}

#[test]
fn an_explanation_without_the_recorded_roster_replays_nothing() {
    let mut other = support::roster();
    other.candidates.pop();
    for roster in [None, Some(other)] {
        let explained = wire::Explanation::of(support::execution(), |_| roster.clone());
        assert_eq!(explained.draws[0].replayed, None);
        assert_eq!(explained.draws[0].candidates, None);
    }
}

#[test]
fn a_blob_comes_back_as_it_was_and_never_as_a_page() {
    let server = Server::start();
    let bytes = b"<script>alert(1)</script>\x00\xff";
    let blob = server.client.put_blob(bytes).unwrap();
    assert_eq!(althing_types::BlobRef::from(blob.clone()), althing_types::BlobRef::of(bytes));
    assert_eq!(server.client.blob(&blob.hash).unwrap(), bytes);
    let url = format!("{}/v1/blobs/{}", server.url, blob.hash);
    let response = agent().get(&url).call().unwrap();
    assert_eq!(response.headers().get("content-type").unwrap(), "application/octet-stream");
    assert_eq!(response.headers().get("x-content-type-options").unwrap(), "nosniff");
}

fn block_event(height: u64) -> wire::Event {
    wire::Event::Block { height, id: Hash::ZERO.into(), time: 0, transactions: 0 }
}

fn change_event(execution: Hash) -> wire::Event {
    let step = althing_ledger::Step::Fined {
        node: Address([3; 20]),
        offence: althing_ledger::Offence::WrongResult,
        fine: support::amount("12.5"),
    };
    wire::Event::of_change(Height(5), althing_ledger::Change { execution, step })
}

#[test]
fn events_arrive_in_order_and_filtered() {
    let server = Server::start();
    let wanted = keccak(&[b"wanted"]);
    let mut all = server.client.events(None).unwrap();
    let mut one = server.client.events(Some(&wanted)).unwrap();
    let sent = [block_event(5), change_event(Hash::ZERO), change_event(wanted)];
    for event in &sent {
        server.node.events.send(event.clone()).unwrap();
    }
    for event in &sent {
        assert_eq!(all.next().unwrap().unwrap(), *event);
    }
    assert_eq!(one.next().unwrap().unwrap(), change_event(wanted));
}

#[test]
fn a_reader_that_lags_is_told_how_much_it_missed() {
    let server = Server::start();
    let mut receiver = althing_api::Node::events(&*server.node);
    let mut stream = server.client.events(None).unwrap();
    // Far more than the channel and the socket's buffers hold, unread.
    for height in 0..200_000 {
        server.node.events.send(block_event(height)).unwrap();
    }
    assert!(receiver.try_recv().is_err(), "the channel is bounded");
    let missed = stream.find_map(|event| match event.unwrap() {
        wire::Event::Lagged { missed } => Some(missed),
        _ => None,
    });
    assert!(missed.unwrap() > 0);
}

#[test]
fn a_stopping_server_ends_its_streams() {
    let mut server = Server::start();
    let mut stream = server.client.events(None).unwrap();
    server.node.events.send(block_event(1)).unwrap();
    assert!(stream.next().is_some());
    server.stop();
    assert!(stream.next().is_none());
}

#[test]
fn connections_above_the_limit_wait_for_a_place() {
    let server = Server::with(Config { connections_max: 1, ..Config::default() });
    let mut first = TcpStream::connect(server.address).unwrap();
    let request = b"GET /v1/totals HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n";
    // The system accepts the second one, the server does not serve it while the first is open.
    let mut second = TcpStream::connect(server.address).unwrap();
    second.write_all(request).unwrap();
    first.write_all(request).unwrap();
    for stream in [&mut first, &mut second] {
        let mut answer = String::new();
        stream.read_to_string(&mut answer).unwrap();
        assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
    }
}

#[test]
fn metrics_count_requests_by_their_outcome() {
    let server = Server::start();
    server.client.status().unwrap();
    server.client.blob(&Hash::ZERO).unwrap_err();
    let metrics = server.client.metrics().unwrap();
    assert!(metrics.contains("althing_height 4\n"), "{metrics}");
    assert!(metrics.contains("althing_api_requests_total{status=\"2xx\"} 1\n"), "{metrics}");
    assert!(metrics.contains("althing_api_requests_total{status=\"4xx\"} 1\n"), "{metrics}");
}

#[test]
fn the_index_lists_every_route_with_its_meaning() {
    let server = Server::start();
    let index: serde_json::Value =
        agent().get(&server.url).call().unwrap().into_body().read_json().unwrap();
    let routes = index["routes"].as_array().unwrap();
    assert_eq!(routes.len(), althing_api::ROUTES.len());
    assert!(routes.iter().all(|route| route["summary"].as_str().is_some_and(|s| s.len() > 5)));
}

#[test]
fn pages_of_other_origins_may_not_read_and_strangers_may_not_connect() {
    let server = Server::start();
    let url = format!("{}/v1/status", server.url);
    let response = agent().get(&url).header("origin", "https://example.org").call().unwrap();
    assert!(response.headers().get("access-control-allow-origin").is_none());
    assert!(Config::default().listen.ip().is_loopback());
}

/// One server for all cases: it must survive each of them.
fn shared() -> &'static Server {
    static SERVER: OnceLock<Server> = OnceLock::new();
    SERVER.get_or_init(Server::start)
}

fn survives(server: &Server) -> bool {
    server.client.status().is_ok()
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(128) })]

    #[test]
    fn random_bodies_are_refused_and_the_node_stays_up(
        body in proptest::collection::vec(any::<u8>(), 0..400),
        path in prop_oneof![Just("/v1/transactions"), Just("/v1/transactions/typed-data")],
    ) {
        let server = shared();
        let response = agent().post(format!("{}{path}", server.url)).send(&body[..]).unwrap();
        prop_assert!(response.status().is_client_error(), "{}", response.status());
        prop_assert!(survives(server));
    }

    #[test]
    fn random_json_is_refused_and_the_node_stays_up(
        key in prop_oneof![Just("bytes"), Just("transaction"), Just("signature"), Just("other")],
        value in "[ -~]{0,60}",
        depth in 0usize..300,
    ) {
        let server = shared();
        let text = serde_json::to_string(&value).unwrap();
        let body = format!("{}{{\"{key}\":{text}}}{}", "[".repeat(depth), "]".repeat(depth));
        let response =
            agent().post(format!("{}/v1/transactions", server.url)).send(&body).unwrap();
        prop_assert!(response.status().is_client_error(), "{}", response.status());
        prop_assert!(survives(server));
    }

    #[test]
    fn a_flipped_byte_of_a_transaction_is_refused_or_another_transaction(
        place in any::<proptest::sample::Index>(),
        flip in 1u8..,
    ) {
        let server = shared();
        let original = signed(0, vec![transfer()]);
        let mut bytes = original.encode();
        let place = place.index(bytes.len());
        bytes[place] ^= flip;
        let body = serde_json::json!({ "bytes": hex::encode(bytes) }).to_string();
        let response =
            agent().post(format!("{}/v1/transactions", server.url)).send(&body).unwrap();
        if response.status().is_success() {
            let submitted: wire::Submitted = response.into_body().read_json().unwrap();
            prop_assert_ne!(submitted.hash.0, original.hash());
        }
        prop_assert!(survives(server));
    }

    #[test]
    fn random_requests_never_bring_the_server_down(
        bytes in proptest::collection::vec(any::<u8>(), 1..200),
        target in "/[!-~]{0,80}",
    ) {
        let server = shared();
        let mut raw = TcpStream::connect(server.address).unwrap();
        raw.write_all(&bytes).unwrap();
        drop(raw);
        let mut stream = TcpStream::connect(server.address).unwrap();
        let request = format!("GET {target} HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n");
        stream.write_all(request.as_bytes()).unwrap();
        let mut answer = [0; 9];
        stream.read_exact(&mut answer).unwrap();
        prop_assert_eq!(&answer, b"HTTP/1.1 ");
        prop_assert!(survives(server));
    }
}
