//! Histories of runs that did not go straight: with pauses, without money, within one another.

use std::fs;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use serde_json::{Value, json};

use crate::program::Program;
use crate::stage::{Stage, text, until};

const SHOP: &str = "acme/shop@0.1.0";

fn write(stage: &Stage, name: &str, application: &str) -> std::path::PathBuf {
    let folder = stage.place(name);
    fs::create_dir_all(&folder).unwrap();
    fs::write(folder.join("app.yaml"), application).unwrap();
    folder
}

fn deploy(stage: &Stage, folder: &Path, deposit: &str) -> Value {
    stage.run(&["app", "deploy", text(folder), "--namespace", "acme", "--deposit", deposit])
}

/// The run of an application that an event starts, as soon as it has this status.
fn run(stage: &Stage, application: &str, event: Option<&str>, status: &str) -> Value {
    until(&format!("a run of {application} that is {status}"), || {
        let runs = stage.run(&["run", "list", "--app", application]);
        let is = |run: &&Value| {
            run["status"] == status && event.is_none_or(|event| run["event"] == event)
        };
        runs.as_array().unwrap().iter().find(is).cloned()
    })
}

fn emitted(stage: &Stage, id: &str) -> String {
    let data = json!({ "order": id, "email": "ada@example.org" }).to_string();
    let emit = ["event", "emit", SHOP, "order_placed", &data, "--id", id, "--wait", "60s"];
    stage.run(&emit)["observed"]["event"].as_str().unwrap().to_owned()
}

/// The changes of a run's history with this name; the history agrees with the ledger, and its end with
/// what the ledger shows.
fn changes(stage: &Stage, run: &Value, name: &str) -> Vec<Value> {
    let id = run["id"].as_str().unwrap();
    let history = stage.run(&["run", "history", id]);
    assert_eq!(history["agrees"], true, "{history}");
    let moments = history["moments"].as_array().unwrap();
    let last = moments.last().unwrap()["height"].to_string();
    let (shown, played) =
        (stage.run(&["run", "show", id]), stage.run(&["run", "show", id, "--at", &last]));
    assert_eq!(played["branches"], shown["branches"], "{history}");
    let all = moments.iter().flat_map(|moment| moment["changes"].as_array().unwrap().clone());
    all.filter(|change| change["step"] == name).collect()
}

#[test]
fn histories_tell_of_pauses_want_of_money_and_runs_within_runs() {
    let stage = Stage::new();
    let template = stage.place("template");
    stage.run(&["app", "new", text(&template)]);
    // As many answers of the program are none as are counted here.
    let broken = Arc::new(AtomicUsize::new(0));
    let left = Arc::clone(&broken);
    let program = Program::start(move |posted| {
        let take = |left: usize| left.checked_sub(1);
        if left.fetch_update(Ordering::SeqCst, Ordering::SeqCst, take).is_ok() {
            return (200, json!({ "status": "ok", "output": { "sold": true } }));
        }
        (
            200,
            json!({ "status": "ok", "output": { "order": posted.body["data"]["input"]["order"] } }),
        )
    });
    stage.run(&["service", "publish", text(&template.join("services/shop"))]);
    stage.run(&["service", "offer", SHOP, "--stake", "100", "--term", "30d", "--dev-nodes"]);
    stage.run(&["service", "connect", SHOP, "--url", &program.url]);

    with_pauses(&stage, &broken);
    without_money(&stage);
    within_one_another(&stage, &broken);
    stage.stop();
}

fn with_pauses(stage: &Stage, broken: &AtomicUsize) {
    let folder = write(
        stage,
        "paused",
        "app: paused\nversion: 1.0.0\nservices: { shop: acme/shop@0 }\nwhen: shop.order_placed\nthen:\n\
         \x20 - { id: a, do: shop.mark, with: { order: \"${ event.order }\", status: a }, retry: { max: 3, backoff: PT0.3S } }\n\
         \x20 - { id: b, do: shop.mark, with: { order: \"${ a.order }\", status: b } }\n",
    );
    deploy(stage, &folder, "20");
    broken.store(2, Ordering::SeqCst);
    let event = emitted(stage, "p-1");
    let run = run(stage, "acme/paused@1.0.0", Some(&event), "done");
    let began = changes(stage, &run, "began");
    assert_eq!(began.len(), 4, "three attempts of the first step: {began:?}");
    stage.run(&["app", "pause", "acme/paused@1.0.0"]);
}

fn without_money(stage: &Stage) {
    let folder = write(
        stage,
        "poor",
        "app: poor\nversion: 1.0.0\nservices: { shop: acme/shop@0 }\nwhen: shop.order_placed\nthen:\n\
         \x20 - { id: a, do: shop.mark, with: { order: \"${ event.order }\", status: a } }\n\
         \x20 - { id: b, do: shop.mark, with: { order: \"${ a.order }\", status: b } }\n",
    );
    // Enough for one step.
    deploy(stage, &folder, "0.015");
    let event = emitted(stage, "m-1");
    let short = run(stage, "acme/poor@1.0.0", Some(&event), "out_of_funds");
    assert_eq!(changes(stage, &short, "out_of_funds").len(), 1);
    stage.run(&["app", "deposit", "acme/poor@1.0.0", "5"]);
    stage.run(&["run", "retry", short["id"].as_str().unwrap()]);
    let done = run(stage, "acme/poor@1.0.0", Some(&event), "done");
    assert_eq!(changes(stage, &done, "resumed").len(), 1);
    assert_eq!(changes(stage, &done, "began").len(), 3);
    stage.run(&["app", "pause", "acme/poor@1.0.0"]);
}

fn within_one_another(stage: &Stage, broken: &AtomicUsize) {
    let inner = write(
        stage,
        "inner",
        "app: inner\nversion: 1.0.0\nvisibility: public\nservices: { shop: acme/shop@0 }\n\
         when: { inputs: { order: string } }\nthen:\n\
         \x20 - { id: a, do: shop.mark, with: { order: \"${ event.order }\", status: in } }\n\
         returns:\n\x20 marked: { from: a, data: { order: \"${ a.order }\" } }\n",
    );
    deploy(stage, &inner, "0");
    let outer = write(
        stage,
        "outer",
        "app: outer\nversion: 1.0.0\nservices: { shop: acme/shop@0, inner: acme/inner@1 }\nwhen: shop.order_placed\nthen:\n\
         \x20 - { id: used, do: inner, with: { order: \"${ event.order }\" }, retry: { max: 2, backoff: PT0.3S } }\n\
         \x20 - { id: last, do: shop.mark, with: { order: \"${ used.order }\", status: out } }\n",
    );
    deploy(stage, &outer, "20");
    broken.store(1, Ordering::SeqCst);
    let event = emitted(stage, "n-1");
    let done = run(stage, "acme/outer@1.0.0", Some(&event), "done");
    let began = changes(stage, &done, "began");
    assert_eq!(began.len(), 3, "two attempts of the application, one of the task: {began:?}");
    // The run that was used has a history of its own.
    let used = run(stage, "acme/inner@1.0.0", None, "done");
    assert_eq!(changes(stage, &used, "began").len(), 1);
}
