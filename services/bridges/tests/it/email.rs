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

#[test]
fn a_value_of_a_mail_is_not_itself_a_template_and_starts_no_header() {
    let folder = tempfile::tempdir().unwrap();
    let inbox = Inbox::open(0);
    let config =
        json!({ "templates": { "paid": { "subject": "Order {cart}", "text": "{cart} {zip}" } } });
    let bridge = Bridge::start("email", folder.path(), &config, &inbox, true);
    let sneaky =
        json!({ "to": "ada@example.org", "template": "paid", "cart": "{zip}", "zip": "z" });
    assert_eq!(bridge.task("send", "k1", sneaky).1["status"], "sent");
    let subject = "hello\r\nBcc: eve@example.org\r\n\r\nbody";
    let lines = json!({ "to": "ada@example.org", "subject": subject, "text": "t" });
    assert_eq!(bridge.task("send", "k2", lines).1["status"], "sent");
    let two =
        json!({ "to": "ada@example.org\r\nBcc: eve@example.org", "subject": "s", "text": "t" });
    assert_eq!(bridge.task("send", "k3", two).1["status"], "rejected");
    let mails = bridge.get("/mails");
    assert_eq!(
        (&mails[0]["subject"], &mails[0]["text"]),
        (&json!("Order {zip}"), &json!("{zip} z"))
    );
    assert_eq!(mails.as_array().unwrap().len(), 2, "{mails}");
    assert_eq!(mails[1]["text"], "t", "{mails}");
}

#[test]
fn a_server_whose_name_nobody_knows_was_never_reached() {
    let folder = tempfile::tempdir().unwrap();
    let inbox = Inbox::open(0);
    let down = json!({ "smtp": "smtp://nobody.invalid:25", "from": "Shop <shop@example.org>" });
    let bridge = Bridge::start("email", folder.path(), &down, &inbox, false);
    let input = json!({ "to": "ada@example.org", "subject": "s", "text": "t" });
    let (code, answer) = bridge.task("send", "k", input);
    assert_eq!(code, 503, "{answer}");
}
