//! Secrets of an application: `app secret`, a step that is given one, and everything in which it must not be.

use std::fs;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use serde_json::{Value, json};

use crate::program::Program;
use crate::stage::{Stage, binary, text, until};

const SHOP: &str = "acme/shop@0.1.0";
const APP: &str = "acme/orders@0.1.0";
const SECRET: &str = "correct-horse-battery-staple";

/// Gives a secret by standard input, as `printf %s … | althing app secret set` does.
fn set(stage: &Stage, name: &str, value: &str) -> bool {
    let mut command = Command::new(binary());
    command.arg("--home").arg(stage.place("network")).args(["app", "secret", "set", APP, name]);
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().unwrap();
    child.stdin.take().unwrap().write_all(value.as_bytes()).unwrap();
    let output = child.wait_with_output().unwrap();
    let told = [output.stdout, output.stderr].concat();
    assert!(!String::from_utf8_lossy(&told).contains(SECRET), "it is not said again");
    output.status.success()
}

/// The files below a folder in which the secret stands.
fn files_with_it(folder: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            found.extend(files_with_it(&path));
        } else if let Ok(bytes) = fs::read(&path)
            && bytes.windows(SECRET.len()).any(|window| window == SECRET.as_bytes())
        {
            found.push(path);
        }
    }
    found
}

/// The first node is the application's home, the second alone may do its first step.
#[test]
fn a_secret_is_with_its_home_and_its_program_and_nowhere_else_also_after_crashes() {
    let mut stage = Stage::of(3);
    let folder = stage.place("orders");
    let silent = Arc::new(AtomicBool::new(false));
    let is_silent = Arc::clone(&silent);
    let program = Program::start(move |posted| {
        if is_silent.load(Ordering::SeqCst) {
            return (503, json!({}));
        }
        let order = &posted.body["data"]["input"]["order"];
        (200, json!({ "status": "ok", "output": { "order": order } }))
    });
    stage.run(&["app", "new", text(&folder)]);
    stage.run(&["service", "publish", text(&folder.join("services/shop"))]);
    stage.run(&["service", "offer", SHOP, "--stake", "100", "--term", "30d", "--dev-nodes"]);
    for node in ["3", "2"] {
        stage.run(&["service", "connect", SHOP, "--url", &program.url, "--dev-node", node]);
    }
    let file = folder.join("app.yaml");
    let named = format!("nodes: {{ allow: [{}] }}", stage.nodes()[1].account);
    let original = fs::read_to_string(&file).unwrap();
    let with = |nodes: &str| {
        let text = original.replacen("status: placed }", "status: { secret: stamp } }", 1);
        text.replacen("    do: shop.mark\n", &format!("    do: shop.mark\n{nodes}"), 1)
    };
    fs::write(&file, with("")).unwrap();
    stage.fails(&["app", "check", text(&folder)], "APP-0028");
    fs::write(&file, with(&format!("    {named}\n"))).unwrap();
    stage.run(&["app", "deploy", text(&folder), "--namespace", "acme", "--deposit", "20"]);

    // A secret that is missing: the step ends with `error`, and the owner is told which and why.
    let listed = stage.run(&["app", "secret", "list", APP]);
    assert_eq!(listed, json!([{ "name": "stamp", "asked": true, "set": false }]));
    assert!(stage.told(&["app", "secret", "list", APP]).0.contains("missing"));
    let failed = started(&stage, 1, "failed");
    let attempt = failed["steps"][0]["attempt"].as_str().unwrap();
    let told = stage.told(&["explain", attempt]).0;
    assert!(told.contains("had no value for a secret of the step"), "{told}");
    assert!(program.posted().is_empty());
    stage.fails(&["app", "secret", "remove", APP, "stamp"], "API-0004");
    stage.fails(&["app", "secret", "list", "acme/none@1.0.0"], "API-0004");
    let afar = ["--node", "http://192.0.2.1:4901", "app", "secret", "set", APP, "stamp"];
    stage.fails(&afar, "CLI-0043");

    // Set, the run goes on where it stopped.
    assert!(!set(&stage, "stamp", ""), "nothing is no secret");
    assert!(set(&stage, "stamp", &format!("{SECRET}\n")));
    let run = failed["id"].as_str().unwrap();
    stage.run(&["run", "retry", run]);
    until("the repeated step", || {
        (stage.run(&["run", "show", run])["status"] == "waiting").then_some(())
    });
    let given = |number: usize| program.posted()[number].body["data"]["input"]["status"].clone();
    assert_eq!(given(0), SECRET);

    // The executor is killed while its program does not answer, then the home; both come back.
    silent.store(true, Ordering::SeqCst);
    let posted = program.posted().len();
    let event = emitted(&stage, 2);
    until("a post to the program", || (program.posted().len() > posted).then_some(()));
    stage.crash(1);
    stage.crash(0);
    silent.store(false, Ordering::SeqCst);
    // An attempt that its home could not give the secret to has failed: it is repeated as any other.
    let run = until("a run that is waiting", || {
        let runs = stage.try_run(&["run", "list", "--app", APP])?;
        let run = runs.as_array()?.iter().find(|run| run["event"] == event)?.clone();
        if run["status"] == "failed" {
            stage.try_run(&["run", "retry", run["id"].as_str()?]);
        }
        let run = stage.try_run(&["run", "show", run["id"].as_str()?])?;
        (run["status"] == "waiting").then_some(run)
    });
    assert_eq!(given(program.posted().len() - 1), SECRET);

    // What anybody or the owner can ask for, and what is on the disks.
    let attempt = run["steps"][0]["attempt"].as_str().unwrap().to_owned();
    let id = run["id"].as_str().unwrap().to_owned();
    for question in [
        vec!["run", "show", &id],
        vec!["run", "history", &id],
        vec!["explain", &id],
        vec!["explain", &attempt],
        vec!["app", "show", APP],
        vec!["app", "secret", "list", APP],
    ] {
        let told = stage.run(&question).to_string() + &stage.told(&question).0;
        assert!(!told.contains(SECRET), "{question:?}");
    }
    let home = stage.nodes()[0].folder.join("secrets.json");
    let place = stage.place("");
    stage.stop_nodes();
    assert_eq!(files_with_it(&place), [home]);
    stage.stop();
}

/// Posts an event; gives its key.
fn emitted(stage: &Stage, number: usize) -> String {
    let data = json!({ "order": format!("o-{number}"), "email": "ada@example.org" }).to_string();
    let id = format!("placed-{number}");
    let emit = ["event", "emit", SHOP, "order_placed", &data, "--id", &id, "--wait", "60s"];
    stage.run(&emit)["observed"]["event"].as_str().unwrap().to_owned()
}

fn found(stage: &Stage, event: &str, status: &str) -> Value {
    until(&format!("a run that is {status}"), || {
        // A node that was killed is back a moment later.
        let runs = stage.try_run(&["run", "list", "--app", APP])?;
        let runs = runs.as_array()?;
        let run = runs.iter().find(|run| run["event"] == event && run["status"] == status)?;
        stage.try_run(&["run", "show", run["id"].as_str()?])
    })
}

fn started(stage: &Stage, number: usize, status: &str) -> Value {
    found(stage, &emitted(stage, number), status)
}
