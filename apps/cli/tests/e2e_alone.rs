//! A node of its own that answers in the blocks that it builds, and is killed in the middle.

use std::collections::BTreeMap;
use std::path::Path;

use althing_demo::scene::Scene;
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
    let binary = Path::new(env!("CARGO_BIN_EXE_althing"));
    let mut scene = Scene::open(binary, folder.path(), &["--nodes", "1"]).unwrap();
    scene.offered("examples/invoice", INVOICE).unwrap();
    let _desk = scene.scripted("desk", DESK, &json!({ "tasks": {} }), &[1]).unwrap();
    scene.deploy("alone", APPLICATION, &["--deposit", "500"]).unwrap();
    let Scene { cli, network, .. } = &mut scene;

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
        network.restart(cli, 1).unwrap();
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
