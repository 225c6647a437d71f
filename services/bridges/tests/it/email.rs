//! Mails, through a real conversation in SMTP.

use serde_json::json;

use crate::node::{Bridge, Inbox};

#[test]
fn a_mail_is_handed_over_once_and_can_be_read() {
    let folder = tempfile::tempdir().unwrap();
    let inbox = Inbox::open(0);
    let config = json!({ "templates": { "paid": { "subject": "Order {cart}", "text": "Thank you.\n.\nBye {cart}" } } });
    let bridge = Bridge::start("email", folder.path(), &config, &inbox, true);
    for _ in 0..2 {
        let input = json!({ "to": "ada@example.org", "template": "paid", "cart": "c1" });
        let (code, answer) = bridge.task("send", "k1", input);
        assert_eq!((code, &answer["status"]), (200, &json!("sent")), "{answer}");
    }
    bridge.kill();
    let bridge = Bridge::start("email", folder.path(), &config, &inbox, true);
    let (_, answer) = bridge.task("send", "k2", json!({ "to": "nobody", "text": "x" }));
    assert_eq!(answer["status"], "rejected");
    let mails = bridge.get("/mails");
    assert_eq!(mails.as_array().unwrap().len(), 1, "{mails}");
    assert_eq!(mails[0]["to"], "ada@example.org");
    assert_eq!(mails[0]["subject"], "Order c1");
    assert_eq!(mails[0]["text"], "Thank you.\r\n.\r\nBye c1");
}

#[test]
fn a_server_that_is_down_makes_the_node_try_again_and_nothing_is_sent_twice() {
    let folder = tempfile::tempdir().unwrap();
    let inbox = Inbox::open(0);
    let down = json!({ "smtp": "smtp://127.0.0.1:1", "from": "Shop <shop@example.org>" });
    let bridge = Bridge::start("email", folder.path(), &down, &inbox, false);
    let input = json!({ "to": "ada@example.org", "subject": "s", "text": "t" });
    assert_eq!(bridge.task("send", "k", input.clone()).0, 503);
    bridge.kill();
    let bridge = Bridge::start("email", folder.path(), &json!({}), &inbox, true);
    assert_eq!(bridge.task("send", "k", input).1["status"], "sent");
    assert_eq!(bridge.get("/mails").as_array().unwrap().len(), 1);
}
