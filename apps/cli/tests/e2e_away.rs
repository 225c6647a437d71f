//! A node that stands still for a while and goes on, with real processes.

use std::path::Path;

use althing_demo::scene::Scene;
use althing_demo::wait::wait;
use serde_json::{Value, json};

/// How many tasks are missed: as many absences in a row suspend an offer.
const MISSED: usize = 6;

const DESK: &str = "
service: acme/desk@1.0.0
runtime: native
tasks:
  note:
    verification: none
    price: 0.001
    limits: { time_ms: 500 }
    inputs: { text: string }
    statuses: { noted: { text: string } }
events:
  arrived: { data: { name: string }, emitters: 1 }
";

const APPLICATION: &str = r#"
app: notes
version: 1.0.0
services: { desk: acme/desk@1 }
when: desk.arrived
then:
  - { id: note, do: desk.note, with: { text: "${ event.name }" }, retry: { max: 5, backoff: PT1S } }
"#;

#[test]
fn a_node_that_stood_still_comes_back_to_office_and_what_its_program_told_it_counts() {
    let folder = tempfile::tempdir().unwrap();
    let binary = Path::new(env!("CARGO_BIN_EXE_althing"));
    let mut scene = Scene::open(binary, folder.path(), &["--nodes", "4"]).unwrap();
    let note = json!({ "status": "noted", "output": { "text": "{text}" } });
    let desk = scene.scripted("desk", DESK, &json!({ "tasks": { "note": note } }), &[1]).unwrap();
    scene.deploy("office", APPLICATION, &["--deposit", "10"]).unwrap();
    let api = scene.network.node(2).unwrap().api.clone();
    let status = || -> anyhow::Result<Value> {
        let shown = scene.cli.run(&["service", "show", "acme/desk@1.0.0", "--node", &api])?;
        Ok(shown["offers"][0]["status"]["state"].clone())
    };

    scene.network.stand_still(1, true).unwrap();
    let call = ["call", "acme/desk@1.0.0", "note", "--input", r#"{"text": "hello"}"#];
    for _ in 0..MISSED {
        scene.cli.run(&[&call[..], &["--checkers", "0", "--node", &api]].concat()).unwrap();
    }
    // Its program tells it something meanwhile, and goes on telling until it is heard.
    let seen = json!({ "type": "arrived", "id": "one", "data": { "name": "parcel" } });
    desk.tell("/emit", &seen).unwrap();
    wait("the suspension", || Ok((status()? == "suspended").then_some(()))).unwrap();

    scene.network.stand_still(1, false).unwrap();
    wait("its return to office", || Ok((status()? == "active").then_some(()))).unwrap();
    let runs = scene.runs("the end of the run", |runs| {
        runs.iter().filter(|run| !run["ended_at"].is_null()).count() == 1
    });
    let runs = runs.unwrap();
    assert_eq!(runs[0]["status"], "done", "{runs:#?}");
    scene.network.stop().unwrap();
}
