//! Events on their way to the node.

use std::io::{Read as _, Write as _};
use std::net::TcpListener;

use serde_json::json;
use standardwebhooks::Webhook;

use crate::node::{Bridge, Inbox, SECRET, wait_for};

#[test]
fn an_event_is_posted_until_the_node_has_it_and_its_id_counts_once() {
    let folder = tempfile::tempdir().unwrap();
    let inbox = Inbox::open(3);
    let bridge =
        Bridge::start("http", folder.path(), &json!({ "hooks": { "shop": {} } }), &inbox, true);
    for _ in 0..3 {
        assert_eq!(bridge.post_json("/hooks/shop", &json!({ "cart": "c1" })), 202);
    }
    assert_eq!(bridge.post_json("/hooks/shop", &json!({ "cart": "c2" })), 202);
    let events = inbox.wait(2);
    assert_eq!(events.len(), 2);
    assert_eq!(events[0]["data"]["body"], json!({ "cart": "c1" }));
    assert_eq!(events[1]["data"]["body"], json!({ "cart": "c2" }));
    assert_eq!(bridge.post_json("/hooks/other", &json!({})), 404);
}

#[test]
fn a_webhook_whose_signature_is_forged_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let inbox = Inbox::open(0);
    let config = json!({ "hooks": { "shop": { "secret": SECRET } } });
    let bridge = Bridge::start("http", folder.path(), &config, &inbox, true);
    assert_eq!(bridge.post_json("/hooks/shop", &json!({ "cart": "c1" })), 401);
}

#[test]
fn events_that_were_kept_reach_the_node_after_a_crash() {
    let folder = tempfile::tempdir().unwrap();
    let config = json!({ "hooks": { "shop": {} } });
    let away = Inbox::open(usize::MAX);
    let bridge = Bridge::start("http", folder.path(), &config, &away, true);
    assert_eq!(bridge.post_json("/hooks/shop", &json!({ "cart": "c1" })), 202);
    bridge.kill();
    let back = Inbox::open(0);
    let _bridge = Bridge::start("http", folder.path(), &config, &back, true);
    assert_eq!(back.wait(1)[0]["data"]["body"]["cart"], "c1");
}

#[test]
fn a_file_that_appears_is_told_of_with_its_hash() {
    let folder = tempfile::tempdir().unwrap();
    let inbox = Inbox::open(0);
    let _bridge = Bridge::start("files", folder.path(), &json!({ "watch": "inbox" }), &inbox, true);
    std::fs::write(folder.path().join("state/files/inbox/a.csv"), "1,2").unwrap();
    let events = inbox.wait(1);
    assert_eq!(events[0]["type"], "appeared");
    assert_eq!(events[0]["data"]["path"], "inbox/a.csv");
    assert_eq!(events[0]["data"]["bytes"], 3);
}

#[test]
fn a_schedule_ticks_with_ids_that_every_node_would_give() {
    let folder = tempfile::tempdir().unwrap();
    let inbox = Inbox::open(0);
    let config = json!({ "schedules": { "poll": { "every_s": 1 } } });
    let _bridge = Bridge::start("timer", folder.path(), &config, &inbox, true);
    let events = inbox.wait(2);
    let id = events[0]["id"].as_str().unwrap();
    assert!(id.starts_with("poll 20") && id.ends_with('Z'), "{id}");
    assert_ne!(events[0]["id"], events[1]["id"]);
}

#[test]
fn requests_go_to_hosts_on_the_list_only() {
    let folder = tempfile::tempdir().unwrap();
    let inbox = Inbox::open(0);
    let config = json!({ "allow": [inbox.address.to_string()] });
    let bridge = Bridge::start("http", folder.path(), &config, &inbox, false);
    let url = format!("http://{}/v1/nothing", inbox.address);
    let (code, answer) = bridge.task("request", "a", json!({ "url": url }));
    assert_eq!(
        (code, &answer["status"], &answer["output"]["code"]),
        (200, &json!("failed"), &json!(404))
    );
    let (_, answer) = bridge.task("request", "b", json!({ "url": "http://127.0.0.1:1/" }));
    assert_eq!(answer["status"], "refused");
    wait_for(|| {
        // Nobody listens there: the node is to try again.
        let config = json!({ "allow": ["127.0.0.1:1"] });
        let bridge = Bridge::start("http", folder.path(), &config, &inbox, false);
        let (code, _) = bridge.task("request", "c", json!({ "url": "http://127.0.0.1:1/" }));
        (code == 503).then_some(())
    });
}

#[test]
fn a_signed_webhook_that_is_posted_again_is_the_same_event_and_an_old_one_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let inbox = Inbox::open(0);
    let config = json!({ "hooks": { "shop": { "secret": SECRET } } });
    let bridge = Bridge::start("http", folder.path(), &config, &inbox, true);
    let webhook = Webhook::new(SECRET).unwrap();
    let body = r#"{"cart":"c1"}"#;
    let now = jiff::Timestamp::now().as_second();
    let post = |id: &str, at: i64, signed: &str, body: &str| {
        let signature = webhook.sign(id, at, signed.as_bytes()).unwrap();
        let at = at.to_string();
        // What is not signed must not make another event of it.
        let headers = [
            ("webhook-id", id),
            ("webhook-timestamp", at.as_str()),
            ("webhook-signature", signature.as_str()),
            ("idempotency-key", signature.as_str()),
        ];
        bridge.post_with("/hooks/shop", &headers, body)
    };
    assert_eq!(post("w1", now, body, body), 202);
    assert_eq!(post("w1", now - 1, body, body), 202, "a repetition is taken and is nothing new");
    assert_eq!(post("w2", now - 600, body, body), 401);
    assert_eq!(post("w3", now, body, r#"{"cart":"c2"}"#), 401);
    assert_eq!(post("w4", now, body, body), 202);
    let events = inbox.wait(2);
    let ids: Vec<_> = events.iter().map(|event| event["data"]["id"].clone()).collect();
    assert_eq!(ids, [json!("w1"), json!("w4")]);
}

/// A host that reads a request and hangs up, so that nobody knows what it did; how often it was asked.
fn host_that_hangs_up() -> (String, std::sync::Arc<std::sync::atomic::AtomicUsize>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap().to_string();
    let asked = std::sync::Arc::new(std::sync::atomic::AtomicUsize::new(0));
    let count = asked.clone();
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let mut stream = stream.unwrap();
            let mut seen = [0; 4096];
            if stream.read(&mut seen).unwrap_or(0) > 0 {
                count.fetch_add(1, std::sync::atomic::Ordering::SeqCst);
            }
            stream.flush().ok();
        }
    });
    (address, asked)
}

#[test]
fn a_request_that_may_have_had_its_effect_is_not_sent_again() {
    let folder = tempfile::tempdir().unwrap();
    let inbox = Inbox::open(0);
    let (host, asked) = host_that_hangs_up();
    let config = json!({ "allow": [host] });
    let bridge = Bridge::start("http", folder.path(), &config, &inbox, false);
    let order = json!({ "method": "POST", "url": format!("http://{host}/orders"), "body": {} });
    for _ in 0..2 {
        let (code, answer) = bridge.task("request", "k1", order.clone());
        assert_eq!((code, &answer["status"]), (200, &json!("uncertain")), "{answer}");
    }
    assert_eq!(asked.load(std::sync::atomic::Ordering::SeqCst), 1);
    // What only reads is asked for as often as it takes.
    let look = json!({ "url": format!("http://{host}/orders") });
    assert_eq!(bridge.task("request", "k2", look).0, 503);
}

#[test]
fn a_schedule_that_never_comes_is_refused_when_the_bridge_starts() {
    let folder = tempfile::tempdir().unwrap();
    let inbox = Inbox::open(0);
    let config = json!({ "schedules": { "never": { "cron": "0 0 30 2 *" } } });
    let said = Bridge::refused("timer", folder.path(), &config, &inbox);
    assert!(said.contains("'never'"), "{said}");
}

#[test]
fn a_webhook_that_is_taken_reaches_the_node_and_what_no_node_takes_is_refused_at_once() {
    let folder = tempfile::tempdir().unwrap();
    let inbox = Inbox::open(0);
    let config = json!({ "hooks": { "shop": {} } });
    let bridge = Bridge::start("http", folder.path(), &config, &inbox, true);
    let post = |body: &str| bridge.post_with("/hooks/shop", &[], body);
    assert_eq!(post(&format!("{:?}", "x".repeat(1 << 20))), 413);
    assert_eq!(post(r#"{"id": 123456789012345678901234}"#), 422);
    assert_eq!(post(&format!("{}{}", "[".repeat(110), "]".repeat(110))), 422);
    assert_eq!(post(r#"{"id": 820982911946154508, "total": 25.5}"#), 202);
    let body = json!({ "id": "820982911946154508", "total": 25.5 });
    assert_eq!(inbox.wait(1)[0]["data"]["body"], body);
}
