//! Nodes found by what they say of themselves: `node.json`, `service offer`, `nodes: { labels }`, `explain`.

use std::fs;
use std::path::Path;

use serde_json::{Value, json};

use crate::program::Program;
use crate::stage::{Stage, text, until};

const SHOP: &str = "acme/shop@0.1.0";

/// Writes what a node says of itself into its settings.
fn label(folder: &Path, labels: &Value) {
    let file = folder.join("node.json");
    let mut settings: Value = serde_json::from_slice(&fs::read(&file).unwrap()).unwrap();
    settings["labels"] = labels.clone();
    fs::write(&file, settings.to_string()).unwrap();
}

/// Two nodes of three have programs that answer; only the second says that it is in the region.
#[test]
fn a_step_is_done_by_the_node_whose_label_it_asks_for_and_by_nobody_where_there_is_none() {
    let stage = Stage::of(3);
    let folder = stage.place("orders");
    let program = Program::start(|posted| {
        (
            200,
            json!({ "status": "ok", "output": { "order": posted.body["data"]["input"]["order"] } }),
        )
    });
    stage.run(&["app", "new", text(&folder)]);
    stage.run(&["service", "publish", text(&folder.join("services/shop"))]);
    let nodes = stage.nodes();
    label(&nodes[1].folder, &json!({ "Region": "eu" }));
    let offer = ["service", "offer", SHOP, "--stake", "100", "--term", "30d", "--dev-nodes"];
    let refused = stage.error(&offer);
    assert!(refused.to_string().contains("node.json"), "{refused}");
    label(&nodes[1].folder, &json!({ "region": "eu", "gpu": "yes" }));
    label(&nodes[2].folder, &json!({ "region": "us" }));
    stage.run(&offer);
    for node in ["2", "1"] {
        stage.run(&["service", "connect", SHOP, "--url", &program.url, "--dev-node", node]);
    }
    let told = stage.told(&["service", "show", SHOP]).0;
    assert!(told.contains("gpu=yes, region=eu"), "{told}");

    let file = folder.join("app.yaml");
    let there = fs::read_to_string(&file).unwrap().replacen(
        "    do: shop.mark\n",
        "    do: shop.mark\n    nodes: { labels: { region: [eu, ap], gpu: yes } }\n",
        1,
    );
    fs::write(&file, &there).unwrap();
    let deploy = ["app", "deploy", text(&folder), "--namespace", "acme", "--deposit", "20"];
    stage.run(&deploy);
    for number in 0..6 {
        let run = started(&stage, number, "acme/orders@0.1.0", "waiting");
        let attempt =
            run["steps"][0]["attempt"].as_str().map_or_else(|| panic!("{run}"), ToOwned::to_owned);
        let explained = stage.run(&["explain", &attempt]);
        let members = explained["explanation"]["execution"]["members"].as_array().unwrap();
        assert_eq!(members.len(), 1, "{explained}");
        assert_eq!(members[0]["node"], nodes[1].account, "{explained}");
        for draw in explained["explanation"]["draws"].as_array().unwrap() {
            assert_eq!(draw["replayed"], draw["draw"]["drawn"], "{draw}");
        }
        let told = stage.told(&["explain", &attempt]).0;
        assert!(told.contains("label themselves gpu=yes, region=ap|eu"), "{told}");
        assert!(told.contains("Replayed: beacon and weights give the same nodes."), "{told}");
    }

    let nowhere = there.replace("version: 0.1.0", "version: 0.2.0").replace("[eu, ap]", "mars");
    fs::write(&file, nowhere).unwrap();
    stage.run(&deploy);
    let run = started(&stage, 9, "acme/orders@0.2.0", "failed");
    assert_eq!(run["steps"][0]["phase"], "ended", "{run}");
    stage.stop();
}

/// The run of an application that an event starts, as soon as it has this status.
fn started(stage: &Stage, number: usize, application: &str, status: &str) -> Value {
    let data = json!({ "order": format!("o-{number}"), "email": "ada@example.org" }).to_string();
    let id = format!("placed-{number}");
    let told =
        stage.run(&["event", "emit", SHOP, "order_placed", &data, "--id", &id, "--wait", "60s"]);
    let event = told["observed"]["event"].as_str().unwrap().to_owned();
    until(&format!("a run of {application} that is {status}"), || {
        let runs = stage.run(&["run", "list", "--app", application]);
        let runs = runs.as_array().unwrap();
        let id =
            runs.iter().find(|run| run["event"] == event && run["status"] == status)?["id"].clone();
        Some(stage.run(&["run", "show", id.as_str().unwrap()]))
    })
}
