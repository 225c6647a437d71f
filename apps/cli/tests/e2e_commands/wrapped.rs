//! `service wrap`: an HTTP endpoint that knows nothing of the network, called as a service.

use std::io::{BufRead as _, BufReader};
use std::sync::atomic::{AtomicU32, Ordering};

use serde_json::{Value, json};

use crate::program::Program;
use crate::stage::{Stage, text};

const SEARCH: &str = "acme/search@1.0.0";

/// Finds things, but not nothing; the first time it has no time.
fn endpoint() -> Program {
    let asked = AtomicU32::new(0);
    Program::start(move |posted| match posted.body["word"].as_str() {
        _ if asked.fetch_add(1, Ordering::SeqCst) == 0 => (503, json!("busy")),
        Some(word) => (200, json!({ "found": [word, word] })),
        None => (422, json!({ "reason": "no word" })),
    })
}

fn called(stage: &Stage, input: &str) -> Value {
    let call = ["call", SEARCH, "call", "--input", input, "--wait"];
    stage.run(&call)["executions"][0].clone()
}

#[test]
fn an_endpoint_becomes_a_service_in_one_command_and_its_answers_are_its_own() {
    let stage = Stage::new();
    let endpoint = endpoint();
    let (url, manifest) = (format!("{}/search", endpoint.url), stage.place("search"));
    let wrap = ["service", "wrap", &url, "--as", SEARCH, "--out", text(&manifest)];
    stage.fails(&[&wrap[..], &["--dev-node", "7"]].concat(), "CLI-0022");
    stage.fails(&["service", "wrap", "search", "--as", SEARCH], "CLI-0034");

    let mut running = stage.spawn(&wrap);
    let mut line = String::new();
    let output = running.child().stdout.take().unwrap();
    BufReader::new(output).read_line(&mut line).unwrap();
    let wrapped: Value = serde_json::from_str(&line).unwrap();
    assert_eq!((&wrapped["service"], &wrapped["endpoint"]), (&SEARCH.into(), &url.as_str().into()));
    assert!(manifest.join("service.yml").is_file());
    assert!(stage.told(&["service", "show", SEARCH]).0.contains("call"));

    let found = called(&stage, r#"{"word": "thing"}"#);
    assert_eq!((&found["conclusion"], &found["status"]), (&"accepted".into(), &"ok".into()));
    assert_eq!(found["output"], json!({ "found": ["thing", "thing"] }));
    // Asked twice, since it had no time at first: the same task, by its key.
    let posted = endpoint.posted();
    assert_eq!(posted.len(), 2);
    assert_eq!(posted[0].path, "/search");
    let keys: Vec<&String> = posted.iter().map(|it| &it.headers["idempotency-key"]).collect();
    assert!(keys[0] == keys[1] && !keys[0].is_empty(), "{keys:?}");

    let refused = called(&stage, r#"{"words": 2}"#);
    assert_eq!(refused["status"], "refused");
    assert_eq!(refused["output"], json!({ "code": 422, "body": { "reason": "no word" } }));

    // The folder keeps what was published: another price is another service.
    stage.fails(&[&wrap[..], &["--price", "3"]].concat(), "CLI-0035");
    stage.stop();
}
