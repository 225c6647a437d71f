//! MESG's files of both generations become ours, and what is lost is told.
//!
//! The results are in `fixtures/import/*.txt`; `ALTHING_BLESS=1` writes those files anew.
#![expect(clippy::unwrap_used, reason = "the whole file is a test")]

use std::fmt::Write as _;
use std::fs;
use std::path::Path;

use althing_application::import::{Imported, ImportedKind, import};
use althing_application::{ApplicationFile, Catalogue};
use althing_manifest::ServiceFile;
use serde_json::{Map, json};

fn imported(name: &str) -> Imported {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/import");
    let imported =
        import(&fs::read_to_string(folder.join(format!("{name}.yml"))).unwrap()).unwrap();
    let mut told = imported.text.clone();
    for note in &imported.notes {
        writeln!(told, "# {note}").unwrap();
    }
    let golden = folder.join(format!("{name}.txt"));
    if std::env::var_os("ALTHING_BLESS").is_some() {
        fs::write(&golden, &told).unwrap();
    }
    assert_eq!(told, fs::read_to_string(&golden).unwrap(), "{name}");
    imported
}

fn says(imported: &Imported, what: &str) -> bool {
    imported.notes.iter().any(|note| note.what.contains(what))
}

#[test]
fn statuses_of_the_first_generation_are_kept() {
    let imported = imported("first-generation");
    assert_eq!(imported.kind, ImportedKind::Service);
    let manifest = ServiceFile::parse("service.yml", &imported.text).unwrap().into_manifest(b"");
    assert_eq!(manifest.service.to_string(), "mesg/parcel-desk@1.0.0");
    let task = &manifest.tasks[0];
    let statuses: Vec<&str> = task.statuses.iter().map(|status| status.name.as_str()).collect();
    assert_eq!((task.name.as_str(), statuses), ("send_parcel", vec!["success", "out_of_reach"]));
    assert_eq!(task.inputs["required"], json!(["cart", "weight"]));
    assert_eq!(
        manifest.events[0].data["properties"]["scans"],
        json!({ "type": "array", "items": { "type": "string" } })
    );
    for lost in
        ["the main container", "other containers", "no event has keys", "'sendParcel' is called"]
    {
        assert!(says(&imported, lost), "{lost}");
    }
}

#[test]
fn flat_outputs_of_the_second_generation_are_one_status() {
    let imported = imported("second-generation");
    let manifest = ServiceFile::parse("service.yml", &imported.text).unwrap().into_manifest(b"");
    let read = &manifest.tasks[0];
    assert_eq!(read.statuses.len(), 1);
    assert_eq!(read.statuses[0].name.as_str(), "ok");
    let place = &read.statuses[0].outputs["properties"]["place"];
    assert_eq!(place["required"], json!(["room"]), "an alias stands for what it names");
    assert_eq!(*place, read.inputs["properties"]["place"]);
    assert!(says(&imported, "the type 'file'"));
}

#[test]
fn a_process_becomes_an_application_that_checks() {
    let process = imported("process");
    assert_eq!(process.kind, ImportedKind::Application);
    let file = ApplicationFile::parse("app.yaml", &process.text).unwrap();
    let mut services = Catalogue::default();
    services.add_service(
        ServiceFile::parse("s", &imported("second-generation").text).unwrap().into_manifest(b""),
    );
    let push = "
service: mesg/service-h74qqq8n@1.0.0
runtime: native
tasks:
  push_text: { verification: method, price: 0, inputs: { text: string, room: string, token: string }, statuses: { ok: {} } }
";
    services.add_service(ServiceFile::parse("s", push).unwrap().into_manifest(b""));
    let config: Map<_, _> = ["ignored_room", "push_token"]
        .map(|name| (name.to_owned(), json!("x")))
        .into_iter()
        .collect();
    let compiled = file.check(&services, &config).unwrap().compiled;
    assert_eq!(compiled.plan().steps.len(), 2, "what follows a lost filter is left out");
    assert!(compiled.plan().trigger.conditional);
    for lost in [
        "a filter between tasks",
        "the steps after it",
        "looks like a secret",
        "environment variables",
    ] {
        assert!(says(&process, lost), "{lost}");
    }
}

#[test]
fn what_has_no_counterpart_is_left_out_and_told() {
    let imported = imported("result");
    assert!(says(&imported, "a trigger by the result of a task"));
    assert!(
        ApplicationFile::parse("app.yaml", &imported.text).is_err(),
        "it cannot be deployed by accident"
    );
}

#[test]
fn places_in_lists_and_objects_under_their_type_are_carried_over() {
    let process = import(
        "name: p
steps:
  - { type: trigger, instance: { src: a }, eventKey: e }
  - type: task
    instance: { src: a }
    taskKey: t
    inputs: { one: { key: 'lines[0]' }, two: { key: 'grid[0][12].size' }, odd: { key: 'a[b]' } }
",
    );
    let text = process.unwrap().text;
    for part in ["${ event.lines[0] }", "${ event.grid[0][12].size }", r#"${ event[\"a[b]\"] }"#] {
        assert!(text.contains(part), "{part} is not in\n{text}");
    }
    let service = "name: s
tasks:
  t: { inputs: { place: { type: { room: { type: String } } } }, outputs: { place: { type: { floor: { type: Number } } } } }
";
    let text = import(service).unwrap().text;
    let manifest = ServiceFile::parse("service.yml", &text).unwrap().into_manifest(b"");
    let task = &manifest.tasks[0];
    assert_eq!(task.inputs["properties"]["place"]["required"], json!(["room"]));
    assert_eq!(task.statuses[0].name.as_str(), "ok");
    let outputs = &task.statuses[0].outputs["properties"];
    assert_eq!(outputs["place"]["properties"]["floor"], json!({ "type": "number" }));
}

#[test]
fn what_is_no_file_of_mesg_is_refused_in_bounded_work() {
    // The last one is a workflow of the prototype, which looks like a service.
    let prototype = "source: { service: s, event: e }\ntasks: { t: { service: s, task: t } }";
    for text in ["", "a: 1", "[1]", "steps: [", "tasks: *nobody", prototype] {
        assert!(import(text).is_err(), "{text}");
    }
    let mut bomb = "a0: &a0 [x, x, x, x, x, x, x, x]\n".to_owned();
    for n in 1..12 {
        let m = n - 1;
        writeln!(bomb, "a{n}: &a{n} [*a{m}, *a{m}, *a{m}, *a{m}, *a{m}, *a{m}, *a{m}, *a{m}]")
            .unwrap();
    }
    assert!(import(&format!("{bomb}steps: *a11\n")).is_err());
}
