//! What holds for every bridge.

use serde_json::json;

use crate::node::{Bridge, Inbox, SECRET};

#[test]
fn a_post_that_the_node_did_not_sign_is_not_answered() {
    let folder = tempfile::tempdir().unwrap();
    let bridge = Bridge::start("files", folder.path(), &json!({}), &Inbox::open(0), true);
    let body = json!({
        "id": "k", "type": "althing.task", "subject": "read",
        "data": { "key": "k", "input": { "path": "x" } },
    });
    let now = jiff::Timestamp::now().as_second();
    let other = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSx";
    assert_eq!(bridge.post_raw(&body.to_string(), now, other).0, 401, "another's secret");
    assert_eq!(bridge.post_raw(&body.to_string(), now - 3600, SECRET).0, 401, "replayed later");
    assert_eq!(bridge.post_raw(&body.to_string(), now, SECRET).0, 200);
    assert_eq!(bridge.post_raw("{}", now, SECRET).0, 422, "not a task");
}

#[test]
fn a_repeated_key_gets_the_first_answer_also_after_a_crash() {
    let folder = tempfile::tempdir().unwrap();
    let inbox = Inbox::open(0);
    let config = json!({ "tasks": { "ship": { "output": { "parcel": "p-{#}" } } } });
    let bridge = Bridge::start("scripted", folder.path(), &config, &inbox, true);
    let first = bridge.task("ship", "a", json!({}));
    assert_eq!(first, (200, json!({ "status": "ok", "output": { "parcel": "p-0" } })));
    assert_eq!(bridge.task("ship", "b", json!({})).1["output"]["parcel"], "p-1");
    bridge.kill();
    let bridge = Bridge::start("scripted", folder.path(), &config, &inbox, true);
    assert_eq!(bridge.task("ship", "a", json!({})), first);
    assert_eq!(bridge.get("/done").as_array().unwrap().len(), 2);
    assert_eq!(bridge.task("fly", "c", json!({})).0, 422, "a task that there is not");
}

#[test]
fn notes_that_are_pushed_are_signed_and_repeated_ones_have_the_same_id() {
    let folder = tempfile::tempdir().unwrap();
    let bridge = Bridge::start("notify", folder.path(), &json!({}), &Inbox::open(0), true);
    for key in ["a", "a", "b"] {
        let (code, answer) = bridge.task("push", key, json!({ "text": "hello" }));
        assert_eq!((code, &answer["status"]), (200, &json!("sent")));
    }
    let messages = bridge.get("/messages");
    assert_eq!(messages.as_array().unwrap().len(), 2);
    assert_eq!(messages[0]["message"], json!({ "text": "hello" }));
}
