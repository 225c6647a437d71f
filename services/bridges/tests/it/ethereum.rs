//! Transfers, payments and logs on a real EVM chain (`anvil`), and on the twin.

use althing_demo::anvil::{Anvil, KEY, OTHER, PAYER};
use serde_json::json;

use crate::node::{Bridge, Inbox, wait_for};
use crate::way::Way;

#[test]
fn a_transfer_happens_once_whatever_crashes_and_a_payment_is_an_event() {
    let anvil = Anvil::start().unwrap();
    let folder = tempfile::tempdir().unwrap();
    let inbox = Inbox::open(0);
    let config = json!({ "rpc": anvil.url, "key": KEY, "confirmations": 1 });
    let bridge = Bridge::start("ethereum", folder.path(), &config, &inbox, false);
    let (_, made) = bridge.task("create_address", "wallet", json!({}));
    let address = made["output"]["address"].as_str().unwrap().to_owned();
    let (_, again) = bridge.task("create_address", "wallet 2", json!({}));
    assert_ne!(again["output"]["address"].as_str(), Some(address.as_str()));

    let before = anvil.balance(OTHER).unwrap();
    let input = json!({ "to": OTHER, "amount": "1000" });
    let (code, sent) = bridge.task("transfer", "t1", input.clone());
    assert_eq!((code, &sent["status"]), (200, &json!("sent")), "{sent}");
    assert_eq!(bridge.task("transfer", "t1", input.clone()).1, sent);
    assert_eq!(anvil.balance(OTHER).unwrap(), before + 1000);

    // Somebody pays the address that was made.
    let payment = json!([{ "from": OTHER, "to": address, "value": "0x64" }]);
    let hash = anvil.ask("eth_sendTransaction", &payment).unwrap();
    let events = inbox.wait(1);
    assert_eq!(events[0]["id"], hash);
    assert_eq!(events[0]["data"]["amount"], "100");
    assert_eq!(events[0]["data"]["to"].as_str().unwrap().to_lowercase(), address.to_lowercase());

    // The answer of a transfer is lost in a crash: the same transaction, not another one.
    bridge.kill();
    let memory = rusqlite::Connection::open(folder.path().join("state/memory.db")).unwrap();
    memory.execute("UPDATE answers SET answer = NULL WHERE key = 't1'", []).unwrap();
    drop(memory);
    let bridge = Bridge::start("ethereum", folder.path(), &config, &inbox, false);
    assert_eq!(bridge.task("transfer", "t1", input).1, sent);
    let spent = anvil.balance(OTHER).unwrap();
    assert!(spent < before + 1000, "the payment and its gas left");
    let (_, poor) = bridge.task("transfer", "t2", json!({ "to": OTHER, "amount": "1".repeat(40) }));
    assert_eq!(poor["status"], "rejected", "{poor}");
    let (_, bad) = bridge.task("transfer", "t3", json!({ "to": "nobody", "amount": "1" }));
    assert_eq!(bad["status"], "rejected");
    drop(anvil);
    assert_eq!(bridge.task("transfer", "t4", json!({ "to": OTHER, "amount": "1" })).0, 503);
}

#[test]
fn a_chain_whose_connection_fell_silent_is_asked_anew_and_no_payment_is_missed() {
    let anvil = Anvil::start().unwrap();
    let port = anvil.url.rsplit(':').next().unwrap().trim_end_matches('/').parse().unwrap();
    let way = Way::open(port);
    let folder = tempfile::tempdir().unwrap();
    let inbox = Inbox::open(0);
    let rpc = format!("http://127.0.0.1:{}", way.port);
    let config = json!({ "rpc": rpc, "key": KEY, "confirmations": 0 });
    let bridge = Bridge::start("ethereum", folder.path(), &config, &inbox, false);
    let (_, made) = bridge.task("create_address", "wallet", json!({}));
    let pay = |value: &str| {
        let payment = json!([{ "from": OTHER, "to": made["output"]["address"], "value": value }]);
        anvil.ask("eth_sendTransaction", &payment).unwrap()
    };
    let first = pay("0x1");
    assert_eq!(inbox.wait(1)[0]["id"], first);
    way.fall_silent();
    let second = pay("0x2");
    assert_eq!(inbox.wait(2)[1]["id"], second);
}

#[test]
fn a_contracts_logs_are_events_and_its_tokens_are_transferred() {
    let anvil = Anvil::start().unwrap();
    let topic = "ddf252ad1be2c89b69c2b068fc378daa952ba7f163c4a11628f55a4df523b3ef";
    let contract = "0x00000000000000000000000000000000000000c1";
    anvil.issue(contract, PAYER, 100).unwrap();
    let folder = tempfile::tempdir().unwrap();
    let inbox = Inbox::open(0);
    let config = json!({ "rpc": anvil.url, "key": KEY, "confirmations": 0, "logs": [contract] });
    let bridge = Bridge::start("ethereum", folder.path(), &config, &inbox, false);
    let input = json!({ "token": contract, "to": OTHER, "amount": "7" });
    let (_, sent) = bridge.task("erc20_transfer", "e1", input);
    assert_eq!(sent["status"], "sent", "{sent}");
    let events = inbox.wait(1);
    assert_eq!(events[0]["type"], "log");
    let word =
        |address: &str| format!("0x{:0>64}", address.trim_start_matches("0x").to_lowercase());
    let topics = json!([format!("0x{topic}"), word(PAYER), word(OTHER)]);
    assert_eq!(events[0]["data"]["topics"], topics);
    assert_eq!(events[0]["data"]["data"], format!("0x{:064x}", 7));
    assert_eq!(events[0]["data"]["tx"], sent["output"]["tx"]);
    assert_eq!(anvil.tokens(contract, OTHER).unwrap(), 7);
    let input = json!({ "token": contract, "to": OTHER, "amount": "94" });
    let (_, poor) = bridge.task("erc20_transfer", "e2", input);
    assert_eq!(poor["status"], "rejected", "more than there is left: {poor}");
}

#[test]
fn the_twin_shows_transfers_and_takes_payments() {
    let folder = tempfile::tempdir().unwrap();
    let inbox = Inbox::open(0);
    let bridge = Bridge::start("ethereum", folder.path(), &json!({}), &inbox, true);
    let (_, made) = bridge.task("create_address", "a", json!({}));
    let address = made["output"]["address"].clone();
    // However an address is written, it is told of as a chain writes it.
    let lower = address.as_str().unwrap().to_lowercase();
    assert_eq!(bridge.post_json("/pay", &json!({ "to": lower, "amount": "25" })), 202);
    for bad in [json!({ "to": "ada", "amount": "1" }), json!({ "to": lower, "amount": "1.5" })] {
        assert_eq!(bridge.post_json("/pay", &bad), 422);
    }
    let payment = json!({ "to": address, "amount": "25" });
    assert_eq!(bridge.post_json("/pay", &payment), 202, "the same payment, told of again");
    let events = inbox.wait(1);
    assert_eq!(events[0]["data"]["to"], address);
    let input = json!({ "to": OTHER, "amount": "10" });
    let (_, sent) = bridge.task("transfer", "t", input.clone());
    assert_eq!(bridge.task("transfer", "t", input).1, sent);
    let transfers = wait_for(|| Some(bridge.get("/transfers")));
    assert_eq!(transfers.as_array().unwrap().len(), 1);
}
