//! Every problem document, provoked through a real connection.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on fails")]

mod support;

use std::collections::BTreeSet;
use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::path::Path;
use std::sync::atomic::Ordering;
use std::time::Duration;

use althing_api::client::{Client, ClientError};
use althing_api::{Config, Kind, PROBLEM_JSON, Problem, ROUTES, specification};
use althing_types::{Nonce, RecoverableSignature, keccak};
use support::{Server, agent, signed, transfer};
use ureq::Body;
use ureq::http::Response;

/// Asserts that an answer is the problem document of this kind, and returns it.
fn problem(kind: Kind, response: Response<Body>) -> Problem {
    let status = response.status().as_u16();
    let content = response.headers().get("content-type").cloned();
    let text = response.into_body().read_to_string().unwrap();
    let problem: Problem = serde_json::from_str(&text).unwrap_or_else(|_| panic!("{text}"));
    assert_eq!(problem.code, kind.code(), "{problem:?}");
    assert_eq!(problem.status, status);
    assert_eq!(content.unwrap(), PROBLEM_JSON);
    assert!(problem.page.ends_with(&format!("/{}.md", problem.code)));
    assert!(![&problem.title, &problem.detail, &problem.hint].iter().any(|text| text.is_empty()));
    problem
}

fn post(server: &Server, path: &str, body: &str) -> Response<Body> {
    agent().post(format!("{}{path}", server.url)).send(body).unwrap()
}

fn get(server: &Server, path: &str) -> Response<Body> {
    agent().get(format!("{}{path}", server.url)).call().unwrap()
}

#[test]
fn malformed_json_is_told_with_its_place() {
    let server = Server::start();
    for body in ["", "{", "nonsense", "{\"bytes\": 1", "[1,2"] {
        let problem = problem(Kind::MalformedJson, post(&server, "/v1/transactions", body));
        assert!(problem.detail.contains("line 1 column"), "{problem:?}");
    }
    problem(Kind::MalformedJson, post(&server, "/v1/transactions/typed-data", "{"));
}

#[test]
fn malformed_transactions_are_told_apart_from_malformed_json() {
    let server = Server::start();
    let good = signed(0, vec![transfer()]).encode();
    let mut long = good.clone();
    long.push(0);
    let cut = &good[..good.len() - 1];
    for bytes in [&long, cut, &[]] {
        let body = serde_json::json!({ "bytes": hex::encode(bytes) }).to_string();
        problem(Kind::MalformedTransaction, post(&server, "/v1/transactions", &body));
    }
    for body in [
        "{}",
        "[]",
        "\"text\"",
        "{\"bytes\": 5}",
        "{\"bytes\": \"0xzz\"}",
        "{\"transaction\": {}}",
        "{\"transaction\": {}, \"signature\": \"0x00\"}",
    ] {
        problem(Kind::MalformedTransaction, post(&server, "/v1/transactions", body));
    }
    problem(Kind::MalformedTransaction, post(&server, "/v1/transactions/typed-data", "{}"));
    assert!(server.node.submitted.lock().unwrap().is_empty());
}

#[test]
fn a_transaction_longer_than_any_is_refused_before_it_is_decoded() {
    let server = Server::start();
    let body = serde_json::json!({ "bytes": "00".repeat(300 << 10) }).to_string();
    let problem = problem(Kind::MalformedTransaction, post(&server, "/v1/transactions", &body));
    assert!(problem.detail.contains("262144"), "{problem:?}");
}

#[test]
fn bodies_above_the_limit_are_refused_whether_announced_or_not() {
    let config = Config { body_bytes_max: 1000, blob_bytes_max: 2000, ..Config::default() };
    let server = Server::with(config);
    let long = vec![b' '; 2001];
    let put = || agent().put(format!("{}/v1/blobs", server.url));
    problem(Kind::TooLarge, put().send(&long[..]).unwrap());
    // In pieces, without a length.
    problem(Kind::TooLarge, put().send(ureq::SendBody::from_reader(&mut &long[..])).unwrap());
    problem(Kind::TooLarge, post(&server, "/v1/transactions", &" ".repeat(1001)));
    assert_eq!(put().send(&long[..2000]).unwrap().status(), 201);
}

#[test]
fn unknown_routes_and_wrong_methods_are_told_apart() {
    let server = Server::start();
    for path in ["/v2/status", "/v1", "/v1/status/", "/v1/services/a/b/c/d", "/index.html"] {
        problem(Kind::UnknownRoute, get(&server, path));
    }
    problem(Kind::MethodNotAllowed, post(&server, "/v1/status", ""));
    problem(Kind::MethodNotAllowed, get(&server, "/v1/blobs"));
    let refused = get(&server, "/v1/transactions");
    assert_eq!(refused.headers().get("allow").unwrap(), "POST");
    problem(Kind::MethodNotAllowed, refused);
}

#[test]
fn what_does_not_exist_is_named() {
    let server = Server::start();
    let unknown = keccak(&[b"unknown"]);
    for path in [
        "/v1/blocks/5".to_owned(),
        "/v1/blocks/0".to_owned(),
        "/v1/aliases/acme/other@1.0.0".to_owned(),
        "/v1/aliases/acme/other@1.0.0/offers".to_owned(),
        format!("/v1/transactions/{unknown}"),
        format!("/v1/services/{unknown}"),
        format!("/v1/services/{unknown}/offers"),
        format!("/v1/executions/{unknown}"),
        format!("/v1/executions/{unknown}/explanation"),
        format!("/v1/executions/{unknown}/receipt"),
        format!("/v1/blobs/{unknown}"),
    ] {
        let problem = problem(Kind::NotFound, get(&server, &path));
        assert!(problem.detail.starts_with("there is no "), "{problem:?}");
    }
}

#[test]
fn bad_parameters_are_named() {
    let server = Server::start();
    let id = keccak(&[b"execution"]);
    for (path, name) in [
        ("/v1/blocks/first".to_owned(), "height"),
        ("/v1/blocks/-1".to_owned(), "height"),
        ("/v1/blocks/18446744073709551616".to_owned(), "height"),
        ("/v1/accounts/0x12".to_owned(), "address"),
        ("/v1/accounts/%FF".to_owned(), "path"),
        ("/v1/transactions/12".to_owned(), "hash"),
        (format!("/v1/transactions/{id}?wait_ms=30001"), "wait_ms"),
        (format!("/v1/transactions/{id}?wait_ms=-1"), "wait_ms"),
        (format!("/v1/executions/{id}?wait=5"), "query"),
        ("/v1/executions/12".to_owned(), "id"),
        ("/v1/executions?phase=done".to_owned(), "phase"),
        ("/v1/executions?payer=me".to_owned(), "payer"),
        ("/v1/executions?limit=0".to_owned(), "limit"),
        ("/v1/executions?limit=1001".to_owned(), "limit"),
        ("/v1/services?after=x".to_owned(), "after"),
        ("/v1/services?limit=1&limit=2".to_owned(), "query"),
        ("/v1/services/UPPER".to_owned(), "service"),
        ("/v1/aliases/acme/invoice".to_owned(), "name"),
        ("/v1/headers?from=x".to_owned(), "from"),
        ("/v1/blobs/x".to_owned(), "hash"),
        ("/v1/events?kind=noise".to_owned(), "kind"),
        ("/v1/events?execution=x".to_owned(), "execution"),
        (format!("/v1/events?kind=block&execution={id}"), "execution"),
        (format!("/v1/events?kind=event&run={id}"), "run"),
        (format!("/v1/events?execution={id}&application={id}"), "application"),
        ("/v1/runs?status=asleep".to_owned(), "status"),
        ("/v1/runs?application=cart".to_owned(), "application"),
        ("/v1/occurrences?state=asleep".to_owned(), "state"),
        ("/v1/occurrences/12".to_owned(), "key"),
        ("/v1/applications/UPPER".to_owned(), "application"),
    ] {
        let problem = problem(Kind::BadParameter, get(&server, &path));
        assert!(problem.detail.starts_with(&format!("`{name}`: ")), "{path}: {problem:?}");
    }
}

#[test]
fn a_rejection_carries_the_code_of_its_rule() {
    let server = Server::start();
    let error = server.client.submit(&signed(5, vec![transfer()])).unwrap_err();
    assert_eq!(error.code(), "TXN-0006");
    let ClientError::Problem(problem) = &error else { panic!("{error:?}") };
    assert_eq!((problem.code.as_str(), problem.status), ("API-0006", 422));
    assert_eq!(error.hint(), problem.hint);
    assert!(error.to_string().contains("the account's next nonce is 0"), "{error}");
}

#[test]
fn a_full_queue_asks_to_come_back() {
    let server = Server::start();
    server.node.busy.store(true, Ordering::SeqCst);
    let body = serde_json::json!({ "bytes": hex::encode(signed(0, vec![transfer()]).encode()) });
    let refused = post(&server, "/v1/transactions", &body.to_string());
    assert_eq!(refused.headers().get("retry-after").unwrap(), "1");
    problem(Kind::Busy, refused);
    assert!(server.client.submit(&signed(0, vec![transfer()])).unwrap_err().is_busy());
    server.node.busy.store(false, Ordering::SeqCst);
    server.client.submit(&signed(0, vec![transfer()])).unwrap();
}

#[test]
fn too_many_requests_at_a_time_are_refused_and_the_rest_is_served() {
    let server = Server::with(Config { requests_max: 1, ..Config::default() });
    server.node.stuck.store(true, Ordering::SeqCst);
    let mut first = TcpStream::connect(server.address).unwrap();
    first.write_all(b"GET /v1/status HTTP/1.1\r\nhost: localhost\r\n\r\n").unwrap();
    server.wait_until_stuck();
    problem(Kind::Busy, get(&server, "/v1/genesis"));
}

#[test]
fn too_many_streams_are_refused_until_one_ends() {
    let server = Server::with(Config { streams_max: 1, ..Config::default() });
    let stream = server.client.events(None).unwrap();
    problem(Kind::Busy, get(&server, "/v1/events"));
    drop(stream);
    // The server notices a closed stream when it writes to it.
    let mut tries = 0;
    while get(&server, "/v1/events").status() == 503 {
        server.node.events.send(block_event()).ok();
        tries += 1;
        assert!(tries < 10_000, "the place of the closed stream is never given back");
    }
}

fn block_event() -> althing_api::wire::Event {
    let id = keccak(&[b"block"]).into();
    althing_api::wire::Event::Block { height: 5, id, time: 6, transactions: 7 }
}

#[test]
fn an_answer_that_takes_too_long_is_a_problem() {
    let timeout = Duration::from_millis(50);
    let server = Server::with(Config { request_timeout: timeout, ..Config::default() });
    server.node.stuck.store(true, Ordering::SeqCst);
    problem(Kind::TimedOut, get(&server, "/v1/status"));
}

#[test]
fn a_body_that_never_ends_is_cut_off() {
    let timeout = Duration::from_millis(50);
    let server = Server::with(Config { request_timeout: timeout, ..Config::default() });
    let mut stream = TcpStream::connect(server.address).unwrap();
    stream
        .write_all(
            b"POST /v1/transactions HTTP/1.1\r\nhost: localhost\r\ncontent-length: 50\r\n\r\n{",
        )
        .unwrap();
    let mut answer = [0; 12];
    stream.read_exact(&mut answer).unwrap();
    assert_eq!(&answer, b"HTTP/1.1 504");
}

#[test]
fn a_request_head_that_never_ends_is_cut_off_and_its_place_goes_to_others() {
    let head_timeout = Duration::from_millis(50);
    let server = Server::with(Config { head_timeout, connections_max: 1, ..Config::default() });
    for head in ["", "GET /v1/st", "GET /v1/status HTTP/1.1\r\nhost: localhost\r\nx: "] {
        let mut slow = TcpStream::connect(server.address).unwrap();
        slow.write_all(head.as_bytes()).unwrap();
        slow.read_to_end(&mut Vec::new()).unwrap();
        // Only one connection is allowed: this one waits until the slow one is gone.
        server.client.status().unwrap();
    }
}

#[test]
fn a_connection_that_asks_nothing_more_is_closed() {
    let head_timeout = Duration::from_millis(50);
    let server = Server::with(Config { head_timeout, ..Config::default() });
    let mut idle = TcpStream::connect(server.address).unwrap();
    idle.write_all(b"GET /v1/status HTTP/1.1\r\nhost: localhost\r\n\r\n").unwrap();
    let mut answer = Vec::new();
    idle.read_to_end(&mut answer).unwrap();
    assert!(answer.starts_with(b"HTTP/1.1 200"));
}

#[test]
fn a_page_that_points_its_own_name_to_the_node_reads_nothing() {
    let server =
        Server::with(Config { hosts: vec!["node.example".to_owned()], ..Config::default() });
    let ask = |host: &str| {
        agent().get(format!("{}/v1/status", server.url)).header("host", host).call().unwrap()
    };
    let problem = problem(Kind::ForeignHost, ask("evil.example:4901"));
    assert_eq!(problem.status, 421);
    for own in ["node.example", "localhost:4901", "127.0.0.1", "[::1]:4901"] {
        assert_eq!(ask(own).status(), 200, "{own}");
    }
}

#[test]
fn a_failure_is_told_without_its_inner_causes() {
    let server = Server::start();
    server.node.broken.store(true, Ordering::SeqCst);
    let problem = problem(Kind::Internal, get(&server, "/v1/status"));
    assert!(!format!("{problem:?}").contains("/var/lib"), "{problem:?}");
}

#[test]
fn a_client_tells_no_node_from_another_program() {
    let mut server = Server::start();
    let nonsense = Client::new(&format!("{}/v1/blocks", server.url));
    assert!(nonsense.status().unwrap_err().is_not_found());
    let receipt = Client::new(&server.url).receipt(&keccak(&[b"execution"])).unwrap();
    assert_eq!(receipt, b"{\"receipt\": 1}");
    // Its root is a page of routes, not a status.
    let other = Client::new(&format!("{}/?x=", server.url));
    let error = other.status().unwrap_err();
    assert_eq!(error.code(), "API-0013", "{error}");

    server.stop();
    let error = server.client.status().unwrap_err();
    assert_eq!(error.code(), "API-0012", "{error}");
    assert!(!error.hint().is_empty());
}

#[test]
fn a_signature_of_the_wrong_length_is_no_transaction() {
    let server = Server::start();
    let mut parts = serde_json::to_value(althing_api::wire::SignedTransaction::from(signed(
        0,
        vec![transfer()],
    )))
    .unwrap();
    parts["signature"] = "0x1234".into();
    problem(Kind::MalformedTransaction, post(&server, "/v1/transactions", &parts.to_string()));
    parts["signature"] = RecoverableSignature { r_and_s: [1; 64], v: 27 }.to_string().into();
    assert_eq!(post(&server, "/v1/transactions", &parts.to_string()).status(), 202);
}

#[test]
fn every_code_has_a_page_with_its_three_sections() {
    let pages = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/errors");
    let codes = Kind::ALL.map(Kind::code).into_iter().chain(["API-0012", "API-0013"]);
    let mut distinct = BTreeSet::new();
    for code in codes {
        assert!(distinct.insert(code), "{code} twice");
        let page = std::fs::read_to_string(pages.join(format!("{code}.md"))).unwrap();
        assert!(page.starts_with(&format!("# {code}: ")), "{code}");
        for section in ["## What happened", "## Why", "## What to do"] {
            assert!(page.contains(section), "{code}: {section}");
        }
    }
}

#[test]
fn the_specification_lists_exactly_the_routes() {
    let specification = serde_json::to_value(specification()).unwrap();
    let mut specified = BTreeSet::new();
    for (path, item) in specification["paths"].as_object().unwrap() {
        for method in item.as_object().unwrap().keys() {
            specified.insert((method.clone(), path.clone()));
        }
    }
    let routed: BTreeSet<_> =
        ROUTES.iter().map(|(method, path)| ((*method).to_owned(), (*path).to_owned())).collect();
    assert_eq!(specified, routed);
}

#[test]
fn every_route_of_the_specification_is_served() {
    let server = Server::start();
    for (method, path) in ROUTES {
        let path = path.replace(['{', '}'], "");
        let url = format!("{}{path}", server.url);
        let response = match *method {
            "get" => agent().get(&url).call(),
            "post" => agent().post(&url).send("{"),
            "delete" => agent().delete(&url).call(),
            _ => agent().put(&url).send(""),
        };
        let status = response.unwrap().status().as_u16();
        assert!(matches!(status, 200 | 201 | 400 | 401), "{method} {path}: {status}");
    }
}

#[test]
fn every_reference_of_the_specification_resolves() {
    let text = serde_json::to_string(&specification()).unwrap();
    let value: serde_json::Value = serde_json::from_str(&text).unwrap();
    for reference in text.split("\"$ref\":\"#").skip(1) {
        let pointer = reference.split('"').next().unwrap();
        assert!(value.pointer(pointer).is_some(), "{pointer}");
    }
    assert!(text.contains("#/components/schemas/Hash\""));
}

#[test]
fn a_used_nonce_changes_nothing() {
    let server = Server::start();
    let mut transaction = signed(0, vec![transfer()]);
    server.client.submit(&transaction).unwrap();
    transaction.transaction.nonce = Nonce(1);
    server.client.submit(&transaction).unwrap_err();
    assert_eq!(server.node.submitted.lock().unwrap().len(), 1);
}
