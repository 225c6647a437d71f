//! Three of the applications in `examples/`, with real processes: nodes, bridges, a chain.
//!
//! The other two are longer stories: `e2e_cart.rs` and `e2e_meters.rs`.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking, in its helpers too")]

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use althing_demo::anvil::{Anvil, KEY, OTHER, PAYER};
use althing_demo::bridges::{Bridge, Technology};
use althing_demo::cli::Cli;
use althing_demo::network::Network;
use althing_demo::stage::{Role, Stage};
use althing_demo::wait::wait;
use serde_json::{Value, json};
use standardwebhooks::Webhook;
use tempfile::TempDir;

/// A network with an example on it.
struct Scene {
    network: Network,
    cli: Cli,
    stage: Stage,
    _folder: TempDir,
}

impl Scene {
    fn open() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let repository = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
        let stage = Stage {
            binary: PathBuf::from(env!("CARGO_BIN_EXE_althing")),
            repository: repository.canonicalize().unwrap(),
            folder: folder.path().join("example"),
        };
        let (cli, network) = stage.open(&["--nodes", "4"]).unwrap();
        Self { network, cli, stage, _folder: folder }
    }

    /// The program of a service, beside the first node.
    fn bridge(&self, name: &str, folder: &str, service: &str, with: Technology<'_>) -> Bridge {
        let role = Role { name, folder, service, nodes: &[1] };
        self.stage.bridge((&self.cli, &self.network), role, with).unwrap()
    }

    fn deploy(&self, example: &str, configured: &Value) {
        let folder = self.stage.repository.join("examples").join(example);
        let config = self.stage.folder.join("config.json");
        std::fs::write(&config, configured.to_string()).unwrap();
        let (folder, config) = (folder.to_str().unwrap(), config.to_str().unwrap());
        let deploy = ["app", "deploy", folder, "--config", config, "--namespace", "acme"];
        self.cli.run(&[&deploy[..], &["--deposit", "1000"]].concat()).unwrap();
    }

    /// All runs, once this many have ended; more than these must never begin.
    fn ended(&self, count: usize) -> Vec<Value> {
        wait("the end of all runs", || {
            let runs = self.cli.run(&["run", "list", "--limit", "100"])?;
            let runs = runs.as_array().cloned().unwrap_or_default();
            assert!(runs.len() <= count, "{runs:#?}");
            let ended = runs.iter().filter(|run| !run["ended_at"].is_null()).count();
            Ok((ended == count).then_some(runs))
        })
        .unwrap()
    }
}

/// How many runs have this step end with this status.
fn ended_with(runs: &[Value], id: &str, status: &str) -> usize {
    let has_ended = |run: &&Value| {
        let steps = run["steps"].as_array().unwrap();
        let step = steps.iter().find(|step| step["id"] == id).unwrap();
        step["phase"] == "ended"
            && (step["status"] == status || step["status"]["returned"] == status)
    };
    runs.iter().filter(has_ended).count()
}

/// Posts a webhook as its sender signs it: what is answered.
fn hook(bridge: &Bridge, id: &str, body: &Value, secret: &str) -> u16 {
    let (body, now) = (body.to_string(), jiff::Timestamp::now().as_second());
    let signature = Webhook::new(secret).unwrap().sign(id, now, body.as_bytes()).unwrap();
    let agent: ureq::Agent =
        ureq::Agent::config_builder().http_status_as_error(false).build().into();
    let sent = agent
        .post(format!("{}/hooks/signup", bridge.url))
        .header("webhook-id", id)
        .header("webhook-timestamp", now.to_string())
        .header("webhook-signature", signature)
        .send(body);
    sent.unwrap().status().as_u16()
}

#[test]
fn every_new_user_gets_one_wallet_with_a_gift_on_it_and_a_mail_until_the_gifts_are_spent() {
    const CONTRACT: &str = "0x00000000000000000000000000000000000000c1";
    let anvil = Anvil::start().unwrap();
    // Enough for three gifts of ten.
    anvil.issue(CONTRACT, PAYER, 35).unwrap();
    let scene = Scene::open();
    let services = "examples/wallet/services";
    let site = format!("{services}/signup");
    let site = scene.bridge("http", &site, "acme/signup@1.0.0", Technology::Twin);
    let users = format!("{services}/users");
    let users = scene.bridge("scripted", &users, "acme/users@1.0.0", Technology::Twin);
    let mail = scene.bridge("email", "services/email", "althing/email@3.0.0", Technology::Twin);
    let chain = json!({ "rpc": anvil.url, "key": KEY, "confirmations": 1 });
    let chain = Technology::Real(&chain);
    let _chain = scene.bridge("ethereum", "services/ethereum", "althing/ethereum@2.0.0", chain);
    scene.deploy("wallet", &json!({ "token": CONTRACT }));

    let text =
        std::fs::read_to_string(scene.stage.repository.join(services).join("signup/settings.json"));
    let settings: Value = serde_json::from_str(&text.unwrap()).unwrap();
    let secret = settings["hooks"]["signup"]["secret"].as_str().unwrap();
    let signed_up = |user: &str| json!({ "user": user, "email": format!("{user}@example.org") });
    for user in ["ada", "bob", "eve", "ada"] {
        assert_eq!(hook(&site, user, &signed_up(user), secret), 202);
    }
    let forged = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSx";
    assert_eq!(hook(&site, "mallory", &signed_up("mallory"), forged), 401);
    // The node takes no user without an address for mails.
    assert_eq!(hook(&site, "nameless", &json!({ "user": "nameless" }), secret), 202);
    let runs = scene.ended(3);
    assert_eq!(ended_with(&runs, "welcome", "sent"), 3, "{runs:#?}");

    // One more than there are gifts for.
    assert_eq!(hook(&site, "zoe", &signed_up("zoe"), secret), 202);
    let runs = scene.ended(4);
    assert_eq!(ended_with(&runs, "gift", "rejected"), 1, "{runs:#?}");
    assert_eq!(ended_with(&runs, "sorry", "sent"), 1);

    let contacts = users.shown("/done").unwrap();
    let mut gifts = Vec::new();
    for contact in &contacts {
        let input = &contact["done"]["input"];
        let address = input["address"].as_str().unwrap();
        gifts.push((input["user"].clone(), anvil.tokens(CONTRACT, address).unwrap()));
    }
    gifts.sort_by_key(|(user, _)| user.to_string());
    let expected = [("ada", 10), ("bob", 10), ("eve", 10), ("zoe", 0)];
    assert_eq!(gifts, expected.map(|(user, amount)| (json!(user), amount)));
    assert_eq!(anvil.tokens(CONTRACT, PAYER).unwrap(), 5);
    let mails = mail.shown("/mails").unwrap();
    let mut told: Vec<_> =
        mails.iter().map(|mail| (mail["to"].clone(), mail["subject"].clone())).collect();
    told.sort_by_key(|(to, _)| to.to_string());
    let expected =
        [("ada", "welcome"), ("bob", "welcome"), ("eve", "welcome"), ("zoe", "empty_wallet")];
    let expected =
        expected.map(|(user, about)| (json!(format!("{user}@example.org")), json!(about)));
    assert_eq!(told, expected);
}

#[test]
fn every_picture_is_made_small_by_nodes_that_agree_and_lies_on_two_networks_before_it_is_tagged() {
    const IMAGE: &str = "althing/image@1.0.0";
    let scene = Scene::open();
    let service = scene.stage.repository.join("services/image");
    scene.cli.run(&["service", "publish", service.to_str().unwrap()]).unwrap();
    let offer = ["service", "offer", IMAGE, "--stake", "100", "--term", "30d", "--dev-nodes"];
    scene.cli.run(&offer).unwrap();
    let bridge = |name: &str, service: &str| {
        let folder = format!("examples/image/services/{name}");
        scene.bridge("files", &folder, service, Technology::Twin)
    };
    let _store = bridge("store", "acme/store@1.0.0");
    let networks = [bridge("cdn-eu", "acme/cdn-eu@1.0.0"), bridge("cdn-us", "acme/cdn-us@1.0.0")];
    scene.deploy("image", &json!({}));

    let files = scene.stage.state(1).join("files/acme_store@1.0.0/files");
    let upload = |name: &str, bytes: &[u8]| {
        let hidden = files.join("inbox").join(format!(".{name}"));
        std::fs::write(&hidden, bytes).unwrap();
        std::fs::rename(hidden, files.join("inbox").join(name)).unwrap();
    };
    upload("wide.png", &png(1500, 150));
    upload("small.png", &png(300, 200));
    upload("broken.png", b"\x89PNG\r\n\x1a\nand then nothing");
    // More than an input may have once it is in base64, and more than the store reads.
    upload("long.png", &[0; 900_000]);
    upload("longer.png", &[0; 1_100_000]);
    let runs = scene.ended(5);
    assert_eq!(ended_with(&runs, "tag", "ok"), 2, "{runs:#?}");
    assert_eq!(ended_with(&runs, "small", "unreadable"), 1, "{runs:#?}");
    assert_eq!(ended_with(&runs, "refused", "ok"), 3, "{runs:#?}");

    let notes = |folder: &str| -> Vec<String> {
        let entries = std::fs::read_dir(files.join(folder)).unwrap();
        entries.map(|entry| std::fs::read_to_string(entry.unwrap().path()).unwrap()).collect()
    };
    let refused: BTreeSet<String> = notes("refused").into_iter().collect();
    let names = ["broken", "long", "longer"].map(|name| format!("inbox/{name}.png\n"));
    assert_eq!(refused, BTreeSet::from(names));
    let tags = notes("published");
    assert_eq!(tags.len(), 2);
    let mut sizes = BTreeSet::new();
    for tag in tags {
        let urls: Vec<&str> = tag.lines().collect();
        assert_eq!(urls.len(), 2, "{tag}");
        let mut fetched = Vec::new();
        for (url, network) in urls.iter().zip(&networks) {
            assert!(url.starts_with(&network.url), "{url}");
            let mut reply = ureq::get(*url).call().unwrap();
            assert_eq!(reply.headers()["content-type"], "image/jpeg");
            fetched.push(reply.body_mut().read_to_vec().unwrap());
        }
        assert_eq!(fetched[0], fetched[1], "both networks have the same picture");
        sizes.insert(jpeg_size(&fetched[0]));
    }
    assert_eq!(sizes, BTreeSet::from([(300, 200), (1200, 120)]));
}

#[test]
fn what_comes_in_on_one_chain_goes_out_on_another_once_and_what_cannot_is_told() {
    // Wei for a satoshi, as the example's exchange says.
    const RATE: u128 = 250_000_000_000;
    let anvil = Anvil::start().unwrap();
    let scene = Scene::open();
    let services = "examples/btc-eth/services";
    let bitcoin = format!("{services}/bitcoin");
    let bitcoin = scene.bridge("scripted", &bitcoin, "acme/bitcoin@1.0.0", Technology::Twin);
    let rates = format!("{services}/rates");
    let _rates = scene.bridge("scripted", &rates, "acme/rates@1.0.0", Technology::Twin);
    let notify =
        scene.bridge("notify", "services/notify", "althing/notify@2.0.0", Technology::Twin);
    let chain = json!({ "rpc": anvil.url, "key": KEY, "confirmations": 1 });
    let chain = Technology::Real(&chain);
    let _chain = scene.bridge("ethereum", "services/ethereum", "althing/ethereum@2.0.0", chain);
    scene.deploy("btc-eth", &json!({ "btc_address": "bc1-shop", "eth_address": OTHER }));

    let before = anvil.balance(OTHER).unwrap();
    let pay = |tx: &str, to: &str, satoshi: u128| {
        let data = json!({ "tx": tx, "to": to, "satoshi": satoshi.to_string() });
        bitcoin.tell("/emit", &json!({ "type": "received", "id": tx, "data": data })).unwrap();
    };
    pay("tx-1", "bc1-shop", 150_000);
    pay("tx-2", "bc1-shop", 7);
    pay("tx-1", "bc1-shop", 150_000);
    pay("tx-3", "bc1-somebody", 99_000);
    pay("tx-4", "bc1-shop", 1_000_000_000_000);
    let runs = scene.ended(3);
    assert_eq!(ended_with(&runs, "send", "sent"), 2, "{runs:#?}");
    assert_eq!(ended_with(&runs, "send", "rejected"), 1, "{runs:#?}");
    assert_eq!(anvil.balance(OTHER).unwrap() - before, 150_007 * RATE);

    let mut told: Vec<String> = Vec::new();
    for message in notify.shown("/messages").unwrap() {
        let text = message["message"]["text"].as_str().unwrap();
        told.push(text.split(" as ").next().unwrap().to_owned());
    }
    told.sort();
    assert_eq!(
        told,
        [
            "1000000000000 satoshi of tx-4 did not go out",
            "150000 satoshi went out",
            "7 satoshi went out",
        ]
    );
}

/// A PNG of hills whose rows are kept as they are.
fn png(width: u32, height: u32) -> Vec<u8> {
    let byte = |value: u32| u8::try_from(value & 0xff).unwrap();
    let mut rows = Vec::new();
    for y in 0..height {
        rows.push(0);
        for x in 0..width {
            let hill = (x * x / 97 + y * y / 31) % 64;
            rows.extend([byte(120 + hill / 2), byte(90 + hill), byte(60 + y % 90)]);
        }
    }
    let mut data = vec![0x78, 0x01];
    let last = rows.len().div_ceil(65_535) - 1;
    for (number, block) in rows.chunks(65_535).enumerate() {
        let length = u16::try_from(block.len()).unwrap();
        data.push(u8::from(number == last));
        data.extend([length.to_le_bytes(), (!length).to_le_bytes()].concat());
        data.extend(block);
    }
    let (low, high) = rows.iter().fold((1_u32, 0_u32), |(low, high), byte| {
        let low = (low + u32::from(*byte)) % 65_521;
        (low, (high + low) % 65_521)
    });
    data.extend((high << 16 | low).to_be_bytes());
    let mut bytes = b"\x89PNG\r\n\x1a\n".to_vec();
    let mut header = [width.to_be_bytes(), height.to_be_bytes()].concat();
    header.extend([8, 2, 0, 0, 0]);
    let chunks: [(&[u8; 4], &[u8]); 3] = [(b"IHDR", &header), (b"IDAT", &data), (b"IEND", &[])];
    for (name, content) in chunks {
        let named = [name, content].concat();
        let crc = !named.iter().fold(u32::MAX, |crc, byte| {
            let step = |crc: u32| (crc >> 1) ^ (0xedb8_8320 & (crc & 1).wrapping_neg());
            (0..8).fold(crc ^ u32::from(*byte), |crc, _| step(crc))
        });
        bytes.extend(u32::try_from(content.len()).unwrap().to_be_bytes());
        bytes.extend(named);
        bytes.extend(crc.to_be_bytes());
    }
    bytes
}

/// Width and height, from the first frame header of a JPEG.
fn jpeg_size(bytes: &[u8]) -> (u16, u16) {
    let frame = bytes.windows(2).position(|pair| pair == [0xff, 0xc0]).unwrap();
    let two = |at: usize| u16::from_be_bytes([bytes[frame + at], bytes[frame + at + 1]]);
    (two(7), two(5))
}
