//! Events on their way to the node.

use serde_json::json;

use crate::node::{Bridge, Inbox, wait_for};

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
    let config = json!({ "hooks": { "shop": { "secret": crate::node::SECRET } } });
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
