//! `app import`: what was written for MESG, in both generations, up to its deployment.

use std::fs;

use serde_json::Value;

use crate::stage::{Stage, text};

/// Outputs by status, each with its data: the first generation.
const FIRST: &str = "
name: Parcel Desk
sid: parcel-desk
description: Hands parcels to a carrier.
repository: https://example.org/parcel-desk
configuration: { env: [CARRIER=none] }
dependencies: { queue: { image: redis } }
tasks:
  sendParcel:
    inputs:
      cart: { type: String }
      lines:
        type: Object
        repeated: true
        object:
          item: { type: String }
          count: { type: Number }
    outputs:
      success: { data: { parcel: { type: String } } }
      outOfReach: { data: { reason: { type: String, optional: true } } }
";

/// Flat outputs, anchors and merge keys: the second generation.
const SECOND: &str = "
sid: service-till
name: Till
tasks:
  remind:
    inputs:
      customer: &customer
        type: Object
        object: { mail: { type: String }, name: { type: String, optional: true } }
      parcel: { type: String }
    outputs: { sent: { type: Boolean } }
events:
  paid:
    data:
      amount: { type: Number }
      cart: { type: String }
      customer: { <<: *customer, description: Who pays. }
      items: { type: Any, repeated: true }
";

/// A trigger, a filter on it, a map and tasks, with an anchor for the instance.
const PROCESS: &str = "
name: Ship paid carts
x-till: &till { instance: { src: https://example.org/service-till, env: [KEY=$(env:TILL_KEY)] } }
steps:
  - { type: trigger, key: paid, <<: *till, eventKey: paid }
  - { type: filter, conditions: [{ key: amount, predicate: GT, value: 0 }] }
  - type: task
    key: ship
    instance: { src: https://example.org/parcel-desk }
    taskKey: sendParcel
    inputs:
      cart: { key: cart }
      lines: [{ item: { key: 'items[0]' , stepKey: paid }, count: 1 }]
  - type: task
    key: remind
    <<: *till
    taskKey: remind
    inputs:
      customer: { stepKey: paid, key: customer }
      parcel: { stepKey: ship, key: parcel }
";

/// Starts with the result of a task, which no application does.
const RESULT: &str = "
name: Chained
steps:
  - { type: trigger, instance: { src: till }, taskKey: remind }
  - { type: task, instance: { src: till }, taskKey: remind }
";

fn notes(told: &Value) -> String {
    let notes = told["notes"].as_array().unwrap().iter();
    notes.map(|note| format!("{}: {}: {}\n", note["place"], note["what"], note["why"])).collect()
}

#[test]
fn what_was_written_for_mesg_is_deployed_or_told_why_not() {
    let stage = Stage::new();
    let import = |name: &str, content: &str, out: &str| {
        let (file, out) = (stage.place(name), stage.place(out));
        fs::write(&file, content).unwrap();
        fs::create_dir_all(out.parent().unwrap()).unwrap();
        (stage.run(&["app", "import", text(&file), "--out", text(&out)]), out)
    };
    let (first, desk) = import("first.yml", FIRST, "desk/service.yml");
    let (second, till) = import("second.yml", SECOND, "till/service.yml");
    let (process, app) = import("process.yml", PROCESS, "app.yaml");
    for (told, lost) in [
        (&first, "the main container (configuration)"),
        (&first, "'sendParcel' is called 'send_parcel'"),
        (&second, "no event has keys"),
        (&process, "environment variables of the instance"),
    ] {
        assert!(notes(told).contains(lost), "{lost} is not in\n{}", notes(told));
    }
    assert_eq!((&first["kind"], &process["kind"]), (&"service".into(), &"application".into()));

    for folder in [&desk, &till] {
        stage.run(&["service", "publish", text(folder.parent().unwrap())]);
    }
    let deployed = stage.run(&["app", "deploy", text(&app), "--namespace", "acme"]);
    assert_eq!(deployed["application"], "acme/ship-paid-carts@1.0.0");
    let shown = stage.told(&["app", "show", "acme/ship-paid-carts@1.0.0"]).0;
    for part in [
        "paid of mesg/till@1.0.0, on a condition",
        "send_parcel of mesg/parcel-desk@1.0.0",
        "ship.success",
    ] {
        assert!(shown.contains(part), "{part:?} is not in\n{shown}");
    }

    // What has no counterpart cannot be deployed by accident.
    let (chained, app) = import("chained.yml", RESULT, "chained.yaml");
    assert!(notes(&chained).contains("a trigger by the result of a task"), "{}", notes(&chained));
    let error = stage.error(&["app", "deploy", text(&app), "--namespace", "acme"]);
    let mistakes = error["mistakes"].as_array().unwrap();
    assert!(mistakes.iter().any(|mistake| mistake["code"] == "APP-0003"), "no `when`: {error}");
    let nothing = stage.place("nothing.yml");
    stage.fails(&["app", "import", text(&nothing)], "CLI-0029");
    fs::write(&nothing, "title: A prototype\nsource: { service: s, event: e }\ntasks: {}\n")
        .unwrap();
    stage.fails(&["app", "import", text(&nothing)], "APP-0032");
    stage.stop();
}
