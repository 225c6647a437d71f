//! What a step of an application may meet, with real processes: a lying checker, another application, a
//! chain that goes away.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking, in its helpers too")]

use std::path::Path;

use althing_demo::anvil::{Anvil, KEY, OTHER};
use althing_demo::bridges::{Bridge, Technology};
use althing_demo::scene::Scene;
use althing_demo::stage::Role;
use althing_demo::wait::wait;
use serde_json::{Value, json};
use tempfile::TempDir;

/// A scene, in a folder that outlives it.
fn open(options: &[&str]) -> (TempDir, Scene) {
    let folder = tempfile::tempdir().unwrap();
    let binary = Path::new(env!("CARGO_BIN_EXE_althing"));
    let scene = Scene::open(binary, folder.path(), options).unwrap();
    (folder, scene)
}

fn have_ended(runs: &[Value], count: usize) -> bool {
    runs.iter().filter(|run| !run["ended_at"].is_null()).count() == count
}

fn step<'a>(run: &'a Value, id: &str) -> &'a Value {
    run["steps"].as_array().unwrap().iter().find(|step| step["id"] == id).unwrap()
}

fn emit(bridge: &Bridge, event: &str, id: &str, data: &Value) {
    bridge.tell("/emit", &json!({ "type": event, "id": id, "data": data })).unwrap();
}

const DESK: &str = "
service: acme/desk@1.0.0
runtime: native
tasks:
  note:
    verification: none
    price: 0.25
    inputs: { text: string }
    statuses: { noted: { text: string } }
events:
  arrived: { data: { name: string, csv: string }, emitters: 1 }
";

fn desk(scene: &Scene) -> Bridge {
    let note = json!({ "status": "noted", "output": { "text": "{text}" } });
    scene.scripted("desk", DESK, &json!({ "tasks": { "note": note } }), &[1]).unwrap()
}

#[test]
fn a_liar_among_the_checkers_of_a_step_is_named_and_the_run_ends_right() {
    const INVOICE: &str = "acme/invoice@1.0.0";
    const APPLICATION: &str = r#"
app: totals
version: 1.0.0
services: { desk: acme/desk@1, books: acme/invoice@1 }
when: desk.arrived
then:
  - { id: total, do: books.total, with: { name: "${ event.name }", csv: "${ event.csv }" }, verify: 3 }
  - { id: told, do: desk.note, with: { text: "${ event.name }: ${ total.total } ${ total.currency }" } }
"#;
    let (_folder, mut scene) = open(&["--nodes", "4", "--liar", "2:100"]);
    let liar = scene.network.node(2).unwrap().account.clone();
    scene.offered("examples/invoice", INVOICE).unwrap();
    let desk = desk(&scene);
    scene.deploy("totals", APPLICATION, &["--deposit", "100"]).unwrap();

    let csv = "currency,EUR\nitem,quantity,unit_price\nPaper,3,4.20\nInk,1,7.40\n";
    emit(&desk, "arrived", "one", &json!({ "name": "invoice-1", "csv": csv }));
    let runs = scene.runs("the end of the run", |runs| have_ended(runs, 1)).unwrap();
    let (run, total) = (&runs[0], step(&runs[0], "total"));
    assert_eq!((&run["status"], &total["phase"]), (&json!("done"), &json!("ended")), "{run:#}");
    // What was agreed on went on to the next step.
    let noted = desk.shown("/done").unwrap();
    assert_eq!(noted.len(), 1, "{noted:#?}");
    assert_eq!(noted[0]["done"]["input"]["text"], "invoice-1: 20.00 EUR");

    let executions = scene.cli.run(&["execution", "list", "--service", INVOICE]).unwrap();
    let execution = &executions[0];
    let members = execution["members"].as_array().unwrap();
    assert_eq!(members.len(), 4, "one executor and three checkers: {execution:#}");
    let fined: Vec<&Value> = members.iter().filter(|member| !member["offence"].is_null()).collect();
    assert_eq!(fined.len(), 1, "{execution:#}");
    assert_eq!(fined[0]["node"], liar.as_str());
    let explained = scene.cli.run(&["explain", execution["id"].as_str().unwrap()]).unwrap();
    let text = explained["text"].as_str().unwrap();
    // As the executor it pays twice as much as a checker.
    let named = format!("node 2 ({liar}) paid ");
    assert!(text.contains(&named), "{named:?} is not in\n{text}");
    assert!(text.contains("for a wrong result"), "{text}");
    scene.network.stop().unwrap();
}

#[test]
fn a_public_application_is_used_as_a_task_by_its_returns_and_whoever_uses_it_pays() {
    const TOOL: &str = r#"
app: stamp
version: 1.0.0
visibility: public
services: { desk: acme/desk@1 }
when: { inputs: { name: string } }
then:
  - { id: first, do: desk.note, with: { text: "stamped ${ event.name }" } }
  - { id: second, do: desk.note, with: { text: "${ first.text } twice" } }
returns:
  stamped: { from: second.noted, data: { mark: "${ second.text }" } }
"#;
    const USER: &str = r#"
app: counter
version: 1.0.0
services: { desk: acme/desk@1, stamp: tools/stamp@1 }
when: desk.arrived
then:
  - { id: mark, do: stamp, with: { name: "${ event.name }" } }
  - { id: told, do: desk.note, after: mark.stamped, with: { text: "now: ${ mark.mark }" } }
"#;
    let (_folder, mut scene) = open(&["--nodes", "1"]);
    let desk = desk(&scene);
    // Its author offers it, and has put nothing into it.
    scene.cli.run(&["account", "new", "author", "--light"]).unwrap();
    scene.cli.run(&["transfer", "author", "5"]).unwrap();
    scene.deploy("tools", TOOL, &["--account", "author"]).unwrap();
    let listed = scene.cli.run(&["app", "list"]).unwrap();
    assert_eq!(listed.as_array().unwrap().len(), 1, "what is public is listed: {listed}");
    scene.deploy("shop", USER, &["--deposit", "10"]).unwrap();
    // What is private is no task for others.
    let theirs = USER.replace("tools/stamp", "shop/counter").replace("app: counter", "app: thief");
    let file = scene.place("thief.yaml");
    std::fs::write(&file, theirs).unwrap();
    let file = file.to_str().unwrap();
    let stolen = ["app", "deploy", file, "--namespace", "thief", "--account", "author"];
    assert!(!scene.cli.try_run(&stolen).unwrap().status.success());

    emit(&desk, "arrived", "one", &json!({ "name": "parcel", "csv": "" }));
    let runs = scene.runs("the end of both runs", |runs| have_ended(runs, 2)).unwrap();
    let of = |name: &str| runs.iter().find(|run| run["alias"].as_str() == Some(name));
    let (user, tool) = (of("shop/counter@1.0.0").unwrap(), of("tools/stamp@1.0.0").unwrap());
    assert_eq!((&user["status"], &tool["status"]), (&json!("done"), &json!("done")), "{runs:#?}");
    assert_eq!(step(user, "mark")["status"]["returned"], "stamped", "{user:#}");
    let texts: Vec<Value> = desk
        .shown("/done")
        .unwrap()
        .iter()
        .map(|line| line["done"]["input"]["text"].clone())
        .collect();
    assert_eq!(texts, ["stamped parcel", "stamped parcel twice", "now: stamped parcel twice"]);
    // Three notes at a quarter of a token: all of it from the user's deposit.
    let deposit = |name: &str| scene.cli.run(&["app", "show", name]).unwrap()["deposit"].clone();
    assert_eq!(deposit("shop/counter@1.0.0"), "9.25");
    assert_eq!(deposit("tools/stamp@1.0.0"), "0");
    scene.network.stop().unwrap();
}

#[test]
fn any_node_takes_a_call_of_a_service_that_another_one_runs_and_the_way_is_told() {
    let (_folder, mut scene) = open(&["--nodes", "4"]);
    let desk = desk(&scene);
    let api = scene.network.node(4).unwrap().api.clone();
    let call = ["call", "acme/desk@1.0.0", "note", "--input", r#"{"text": "hello"}"#];
    let asked = ["--checkers", "0", "--wait", "--node", &api];
    let called = scene.cli.run(&[&call[..], &asked].concat()).unwrap();
    let called = &called["executions"][0];
    assert_eq!(called["output"], json!({ "text": "hello" }), "{called:#}");
    assert_eq!(desk.shown("/done").unwrap().len(), 1);
    for node in 1..=4 {
        let api = scene.network.node(node).unwrap().api.clone();
        let id = called["execution"].as_str().unwrap();
        let told = scene.cli.run(&["explain", id, "--node", &api]).unwrap();
        let text = told["text"].as_str().unwrap();
        let way = "Route: node 4 (does not run the service) → ledger → node 1.\n";
        assert!(text.contains(way), "asked at node {node}:\n{text}");
        // What came of it is found from everywhere.
        assert!(text.contains("hello"), "asked at node {node}:\n{text}");
    }
    scene.network.stop().unwrap();
}

#[test]
fn what_a_node_saw_and_the_ledger_refused_is_told_to_whoever_asks_that_node() {
    const SENSOR: &str = "
service: acme/sensor@1.0.0
runtime: native
events:
  seen: { data: { x: string }, id: x, window_ms: 20000, emitters: majority }
";
    let (_folder, mut scene) = open(&["--nodes", "4"]);
    let folder = scene.place("sensor");
    std::fs::create_dir_all(&folder).unwrap();
    std::fs::write(folder.join("service.yml"), SENSOR).unwrap();
    scene.cli.run(&["service", "publish", folder.to_str().unwrap()]).unwrap();
    let enter = |node: &str| -> String {
        let offer = ["service", "offer", "acme/sensor@1.0.0", "--stake", "100", "--term", "30d"];
        scene.cli.run(&[&offer[..], &["--dev-node", node]].concat()).unwrap();
        let connect = ["service", "connect", "acme/sensor@1.0.0", "--url", "http://127.0.0.1:9"];
        let connection = scene.cli.run(&[&connect[..], &["--dev-node", node]].concat()).unwrap();
        connection["token"].as_str().unwrap().to_owned()
    };
    let tokens: Vec<String> = ["1", "2", "3"].into_iter().map(enter).collect();
    let api = |node: usize| scene.network.node(node).unwrap().api.clone();
    let see = |node: usize, token: &str| -> Value {
        let (api, data) = (api(node), r#"{"x": "smoke"}"#);
        let seen = ["event", "emit", "acme/sensor@1.0.0", "seen", data, "--token", token];
        scene.cli.run(&[&seen[..], &["--node", &api]].concat()).unwrap()["observed"].clone()
    };
    let key = see(1, &tokens[0])["event"].as_str().unwrap().to_owned();
    see(2, &tokens[1]);
    // Two of three in office are a majority; the event stays open for the third one.
    let show = |node: usize| scene.cli.run(&["event", "show", &key, "--node", &api(node)]);
    wait("the event", || Ok((show(1)?["state"] == "valid").then_some(()))).unwrap();
    // The fourth was not in office when it began. It is told "taken", and then that it did not count.
    let late = enter("4");
    let taken = see(4, &late);
    assert_eq!((&taken["event"], &taken["duplicate"]), (&json!(key), &json!(false)), "{taken}");
    let told = wait("the refusal", || {
        let told = show(4)?;
        Ok((!told["refused"].is_null()).then_some(told))
    })
    .unwrap();
    assert_eq!(told["refused"]["code"], "LED-0045", "{told:#}");
    let url = format!("{}/v1/occurrences/{key}", api(4));
    let by_route: Value = ureq::get(&url).call().unwrap().body_mut().read_json().unwrap();
    assert_eq!(by_route["refused"], told["refused"]);
    assert!(show(1).unwrap()["refused"].is_null(), "nothing of the first node's was refused");
    scene.network.stop().unwrap();
}

#[test]
fn a_chain_that_goes_away_in_the_middle_of_runs_and_comes_back_costs_attempts_and_no_money() {
    // Wei for a satoshi, as the example's exchange says.
    const RATE: u128 = 250_000_000_000;
    let state = tempfile::tempdir().unwrap();
    let mut anvil = Anvil::with_state(&state.path().join("chain.json")).unwrap();
    let (_folder, mut scene) = open(&["--nodes", "4"]);
    let bridge = |name: &str, folder: &str, service: &str, with: Technology<'_>| {
        let role = Role { name, folder, service, nodes: &[1] };
        scene.stage.bridge((&scene.cli, &scene.network), role, with).unwrap()
    };
    let services = "examples/btc-eth/services";
    let twin = Technology::Twin;
    let bitcoin = format!("{services}/bitcoin");
    let bitcoin = bridge("scripted", &bitcoin, "acme/bitcoin@1.0.0", twin);
    let rates = format!("{services}/rates");
    let _rates = bridge("scripted", &rates, "acme/rates@1.0.0", twin);
    let _notify = bridge("notify", "services/notify", "althing/notify@2.0.0", twin);
    let chain = json!({ "rpc": anvil.url, "key": KEY, "confirmations": 2 });
    // The bridge is asked again and again within an attempt: a short one, so that there are several.
    let service = scene.stage.repository.join("services/ethereum/service.yml");
    let service = std::fs::read_to_string(service).unwrap();
    assert!(service.contains("time_ms: 300000"), "{service}");
    let impatient = scene.place("ethereum");
    std::fs::create_dir_all(&impatient).unwrap();
    let text = service.replace("time_ms: 300000", "time_ms: 6000");
    std::fs::write(impatient.join("service.yml"), text).unwrap();
    let (impatient, chain) = (impatient.to_str().unwrap(), Technology::Real(&chain));
    let _chain = bridge("ethereum", impatient, "althing/ethereum@2.0.0", chain);
    let file = scene.stage.repository.join("examples/btc-eth/app.yaml");
    let text = std::fs::read_to_string(file).unwrap();
    assert!(text.contains("backoff: PT10S"), "{text}");
    let application = text.replace("max: 3, backoff: PT10S", "max: 12, backoff: PT1S");
    let configured = ["--set", "btc_address=bc1-shop"];
    let address = format!("eth_address={OTHER}");
    let configured = [&configured[..], &["--set", &address, "--deposit", "1000"]].concat();
    scene.deploy("exchange", &application, &configured).unwrap();

    let before = anvil.balance(OTHER).unwrap();
    let pay = |tx: &str, satoshi: u128| {
        let data = json!({ "tx": tx, "to": "bc1-shop", "satoshi": satoshi.to_string() });
        emit(&bitcoin, "received", tx, &data);
    };
    // One is on its way into the chain, and waits for its confirmations.
    pay("tx-1", 150_000);
    wait("the first transfer", || Ok((anvil.balance(OTHER)? > before).then_some(()))).unwrap();
    anvil.leave().unwrap();
    // And one comes while nobody is there.
    pay("tx-2", 7);
    let attempts = |run: &Value| step(run, "send")["attempts"].as_u64().unwrap_or_default();
    let tried = |runs: &[Value]| runs.len() == 2 && runs.iter().any(|run| attempts(run) > 1);
    scene.runs("another attempt", tried).unwrap();
    anvil.come_back().unwrap();
    let runs = scene.runs("the end of both runs", |runs| have_ended(runs, 2)).unwrap();
    for run in &runs {
        assert_eq!(step(run, "send")["status"]["returned"], "sent", "{run:#}");
    }
    // Nothing twice, also not some blocks later.
    let block = || -> u64 {
        let number = anvil.ask("eth_blockNumber", &json!([])).unwrap();
        u64::from_str_radix(number.as_str().unwrap().trim_start_matches("0x"), 16).unwrap()
    };
    let end = block() + 5;
    wait("five blocks more", || Ok((block() >= end).then_some(()))).unwrap();
    assert_eq!(anvil.balance(OTHER).unwrap() - before, 150_007 * RATE);
    scene.network.stop().unwrap();
}
