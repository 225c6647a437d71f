//! Transfers, payments and logs on a real EVM chain (`anvil`), and on the twin.

use std::io::{BufRead as _, BufReader};
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};

use serde_json::{Value, json};

use crate::node::{Bridge, Inbox, wait_for};

/// The first of the accounts that anvil endows; everybody knows its key.
const KEY: &str = "0xac0974bec39a17e36ba4a6b4d238ff944bacb478cbed5efcae784d7bf4f2ff80";
const OTHER: &str = "0x70997970C51812dc3A010C7d01b50e0d17dc79C8";

struct Anvil {
    child: Child,
    url: String,
}

impl Anvil {
    fn start() -> Self {
        let mut child = Command::new(program())
            .args(["--port", "0", "--block-time", "1", "--mixed-mining"])
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let mut lines = BufReader::new(child.stdout.take().unwrap()).lines().map_while(Result::ok);
        let address = lines
            .find_map(|line| line.strip_prefix("Listening on ").map(str::to_owned))
            .expect("anvil says where it listens");
        // Whoever stops reading stops the chain.
        std::thread::spawn(move || lines.for_each(drop));
        Self { child, url: format!("http://{address}") }
    }

    fn ask(&self, method: &str, parameters: Value) -> Value {
        let body = json!({ "jsonrpc": "2.0", "id": 1, "method": method, "params": parameters });
        let mut reply = ureq::post(&self.url).send_json(&body).unwrap();
        let reply: Value = reply.body_mut().read_json().unwrap();
        assert!(reply.get("error").is_none(), "{reply}");
        reply["result"].clone()
    }

    fn balance(&self, address: &str) -> u128 {
        let balance = self.ask("eth_getBalance", json!([address, "latest"]));
        u128::from_str_radix(balance.as_str().unwrap().trim_start_matches("0x"), 16).unwrap()
    }
}

impl Drop for Anvil {
    fn drop(&mut self) {
        drop(self.child.kill());
        drop(self.child.wait());
    }
}

fn program() -> PathBuf {
    if let Some(path) = std::env::var_os("ALTHING_ANVIL") {
        return path.into();
    }
    let home = std::env::var_os("HOME").expect("HOME is set");
    let packages = PathBuf::from(home).join(".cache/althing/peers/node_modules/@foundry-rs");
    std::fs::read_dir(packages)
        .into_iter()
        .flatten()
        .flatten()
        .map(|package| package.path().join("bin/anvil"))
        .find(|path| path.is_file())
        .expect("anvil is not installed: run `cargo xtask peers`")
}

#[test]
fn a_transfer_happens_once_whatever_crashes_and_a_payment_is_an_event() {
    let anvil = Anvil::start();
    let folder = tempfile::tempdir().unwrap();
    let inbox = Inbox::open(0);
    let config = json!({ "rpc": anvil.url, "key": KEY, "confirmations": 1 });
    let bridge = Bridge::start("ethereum", folder.path(), &config, &inbox, false);
    let (_, made) = bridge.task("create_address", "wallet", json!({}));
    let address = made["output"]["address"].as_str().unwrap().to_owned();
    let (_, again) = bridge.task("create_address", "wallet 2", json!({}));
    assert_ne!(again["output"]["address"].as_str(), Some(address.as_str()));

    let before = anvil.balance(OTHER);
    let input = json!({ "to": OTHER, "amount": "1000" });
    let (code, sent) = bridge.task("transfer", "t1", input.clone());
    assert_eq!((code, &sent["status"]), (200, &json!("sent")), "{sent}");
    assert_eq!(bridge.task("transfer", "t1", input.clone()).1, sent);
    assert_eq!(anvil.balance(OTHER), before + 1000);

    // Somebody pays the address that was made.
    let payment = json!([{ "from": OTHER, "to": address, "value": "0x64" }]);
    let hash = anvil.ask("eth_sendTransaction", payment);
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
    let spent = anvil.balance(OTHER);
    assert!(spent < before + 1000, "the payment and its gas left");
    let (_, poor) = bridge.task("transfer", "t2", json!({ "to": OTHER, "amount": "1".repeat(40) }));
    assert_eq!(poor["status"], "rejected", "{poor}");
    let (_, bad) = bridge.task("transfer", "t3", json!({ "to": "nobody", "amount": "1" }));
    assert_eq!(bad["status"], "rejected");
    drop(anvil);
    assert_eq!(bridge.task("transfer", "t4", json!({ "to": OTHER, "amount": "1" })).0, 503);
}

#[test]
fn a_contracts_logs_are_events_and_its_tokens_are_transferred() {
    let anvil = Anvil::start();
    // A contract that logs the caller's data under the topic of ERC-20's Transfer, and returns true:
    // CALLDATACOPY(0,0,size) LOG1(0,size,topic) MSTORE(0,1) RETURN(0,32).
    let topic = "ddf252ad1be2c89b69c2b068fc378daa952ba7f163c4a11628f55a4df523b3ef";
    let code = format!("366000600037 7f{topic} 366000a1 6001600052 60206000f3").replace(' ', "");
    let contract = "0x00000000000000000000000000000000000000c1";
    anvil.ask("anvil_setCode", json!([contract, format!("0x{code}")]));
    let folder = tempfile::tempdir().unwrap();
    let inbox = Inbox::open(0);
    let config = json!({ "rpc": anvil.url, "key": KEY, "confirmations": 0, "logs": [contract] });
    let bridge = Bridge::start("ethereum", folder.path(), &config, &inbox, false);
    let input = json!({ "token": contract, "to": OTHER, "amount": "7" });
    let (_, sent) = bridge.task("erc20_transfer", "e1", input);
    assert_eq!(sent["status"], "sent", "{sent}");
    let events = inbox.wait(1);
    assert_eq!(events[0]["type"], "log");
    assert_eq!(events[0]["data"]["topics"], json!([format!("0x{topic}")]));
    let data = events[0]["data"]["data"].as_str().unwrap();
    assert!(data.starts_with("0xa9059cbb") && data.ends_with("07"), "{data}");
    assert_eq!(events[0]["data"]["tx"], sent["output"]["tx"]);
}

#[test]
fn the_twin_shows_transfers_and_takes_payments() {
    let folder = tempfile::tempdir().unwrap();
    let inbox = Inbox::open(0);
    let bridge = Bridge::start("ethereum", folder.path(), &json!({}), &inbox, true);
    let (_, made) = bridge.task("create_address", "a", json!({}));
    let address = made["output"]["address"].clone();
    let payment = json!({ "to": address, "amount": "25" });
    assert_eq!(bridge.post_json("/pay", &payment), 202);
    assert_eq!(bridge.post_json("/pay", &payment), 202, "the same payment, told of again");
    let events = inbox.wait(1);
    assert_eq!(events[0]["data"]["to"], address);
    let input = json!({ "to": OTHER, "amount": "10" });
    let (_, sent) = bridge.task("transfer", "t", input.clone());
    assert_eq!(bridge.task("transfer", "t", input).1, sent);
    let transfers = wait_for(|| Some(bridge.get("/transfers")));
    assert_eq!(transfers.as_array().unwrap().len(), 1);
}
