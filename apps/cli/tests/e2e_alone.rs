//! A node of its own that answers in the blocks that it builds, and is killed in the middle.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use althing_demo::bridges::Technology;
use althing_demo::stage::{Role, Stage};
use althing_demo::wait::wait;
use serde_json::{Value, json};

const INVOICE: &str = "acme/invoice@1.0.0";
/// How many times the node is killed, and how many events come in between.
const LIVES: usize = 6;
const EVENTS: usize = 12;

const DESK: &str = "
service: acme/desk@1.0.0
runtime: native
events:
  arrived: { data: { name: string }, emitters: 1 }
";

/// Each step is named by the one before. It is public, so that anybody may have the outputs.
const APPLICATION: &str = r#"
app: chain
version: 1.0.0
visibility: public
services: { desk: acme/desk@1, books: acme/invoice@1 }
when: desk.arrived
then:
  - { id: first, do: books.total, with: { name: "${ event.name }", csv: "item,quantity,unit_price\nbolt,2,3.50\n" } }
  - { id: second, do: books.total, with: { name: "${ first.invoice }-2", csv: "item,quantity,unit_price\nnut,1,1.00\n" } }
  - { id: third, do: books.total, with: { name: "${ second.invoice }-3", csv: "item,quantity,unit_price\nnut,1,1.00\n" } }
returns:
  named: { from: third.ok, data: { name: "${ third.invoice }" } }
"#;

#[test]
fn whatever_moment_the_node_is_killed_in_every_acknowledged_event_runs_once_and_its_outputs_are_there()
 {
    let folder = tempfile::tempdir().unwrap();
    let repository = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    let stage = Stage {
        binary: PathBuf::from(env!("CARGO_BIN_EXE_althing")),
        repository: repository.canonicalize().unwrap(),
        folder: folder.path().join("story"),
    };
    let (cli, mut network) = stage.open(&["--nodes", "1"]).unwrap();
    let service = stage.repository.join("examples/invoice");
    cli.run(&["service", "publish", service.to_str().unwrap()]).unwrap();
    cli.run(&["service", "offer", INVOICE, "--stake", "1000", "--term", "30d", "--dev-nodes"])
        .unwrap();
    let desk = folder.path().join("desk");
    std::fs::create_dir_all(&desk).unwrap();
    std::fs::write(desk.join("service.yml"), DESK).unwrap();
    std::fs::write(desk.join("settings.json"), json!({ "tasks": {} }).to_string()).unwrap();
    let role = Role {
        name: "scripted",
        folder: desk.to_str().unwrap(),
        service: "acme/desk@1.0.0",
        nodes: &[1],
    };
    let _desk = stage.bridge((&cli, &network), role, Technology::Twin).unwrap();
    let file = folder.path().join("chain.yaml");
    std::fs::write(&file, APPLICATION).unwrap();
    let deploy =
        ["app", "deploy", file.to_str().unwrap(), "--namespace", "alone", "--deposit", "500"];
    cli.run(&deploy).unwrap();

    let mut events = BTreeMap::new();
    for life in 0..LIVES {
        for number in 0..EVENTS {
            let name = format!("bill-{life}x{number}");
            let data = json!({ "name": name }).to_string();
            let emit = ["event", "emit", "acme/desk@1.0.0", "arrived", &data, "--id", &name];
            let told = cli.run(&emit).unwrap();
            let event = told["observed"]["event"].as_str().unwrap().to_owned();
            assert!(events.insert(event, name).is_none(), "{told}");
        }
        // The last ones are acknowledged, and their runs under way.
        network.kill(1).unwrap();
        network.restart(&cli, 1).unwrap();
    }

    let runs = wait("the end of all runs", || {
        let runs = cli.run(&["run", "list", "--limit", "100"])?;
        let runs = runs.as_array().cloned().unwrap_or_default();
        let ended = runs.iter().filter(|run| !run["ended_at"].is_null()).count();
        Ok((ended >= events.len()).then_some(runs))
    })
    .unwrap();
    assert_eq!(runs.len(), events.len(), "each event has one run");
    let api = network.node(1).unwrap().api.clone();
    for run in &runs {
        assert_eq!(run["status"], "done", "{run:#}");
        assert!(events.contains_key(run["event"].as_str().unwrap()), "{run:#}");
        assert!(
            run["steps"].as_array().unwrap().iter().all(|step| step["phase"] == "ended"),
            "{run:#}"
        );
    }
    // The name of the last invoice tells of all outputs before it.
    let executions =
        cli.run(&["execution", "list", "--service", INVOICE, "--limit", "1000"]).unwrap();
    let executions = executions.as_array().unwrap();
    assert_eq!(executions.len(), 3 * events.len(), "each step was executed once");
    let (mut thirds, mut at_once) = (0, 0);
    for execution in executions {
        let hash = execution["conclusion"]["outcome"]["output"]["hash"].as_str();
        let hash = hash.unwrap_or_else(|| panic!("{execution:#}"));
        let mut answer = ureq::get(format!("{api}/v1/blobs/{hash}")).call().unwrap();
        let output: Value =
            serde_json::from_str(&answer.body_mut().read_to_string().unwrap()).unwrap();
        let name = output["invoice"].as_str().unwrap();
        at_once += usize::from(execution["created"] == execution["changed"]);
        thirds += usize::from(name.ends_with("-2-3"));
        assert!(events.values().any(|known| name.starts_with(known.as_str())), "{output}");
    }
    assert_eq!(thirds, events.len());
    assert!(at_once > executions.len() / 2, "{at_once} were answered in the block that asked");
    network.stop().unwrap();
}
