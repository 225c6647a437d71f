//! A task that gives something else on every node, checked by the service's own method, with real
//! processes.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking, in its helpers too")]

use std::path::{Path, PathBuf};

use althing_demo::cli::Cli;
use althing_demo::network::Network;
use serde_json::Value;

const SERVICE: &str = "acme/factor@1.0.0";

fn network(folder: &Path, options: &[&str]) -> (Cli, Network) {
    let binary = PathBuf::from(env!("CARGO_BIN_EXE_althing"));
    let home = folder.join("network");
    let cli = Cli::new(&binary, &home);
    let network = Network::start(&cli, &home, options).unwrap();
    let service = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../examples/factor");
    cli.run(&["service", "publish", service.to_str().unwrap()]).unwrap();
    cli.run(&["service", "offer", SERVICE, "--stake", "1000", "--term", "30d", "--dev-nodes"])
        .unwrap();
    (cli, network)
}

fn factor(cli: &Cli, number: u64, checkers: &str) -> Value {
    let input = format!(r#"{{"n": "{number}"}}"#);
    let called = cli
        .run(&["call", SERVICE, "factor", "--input", &input, "--checkers", checkers, "--wait"])
        .unwrap();
    called["executions"][0].clone()
}

#[test]
fn an_answer_that_cannot_be_repeated_is_verified_by_the_services_method() {
    let folder = tempfile::tempdir().unwrap();
    let (cli, mut network) = network(folder.path(), &["--nodes", "4"]);
    // 1000003 × 1000033, and a prime.
    let found = factor(&cli, 1_000_036_000_099, "2");
    assert_eq!(found["conclusion"], "accepted", "{found}");
    assert_eq!(found["status"], "found");
    let mut factors: Vec<String> = found["output"]["factors"]
        .as_array()
        .unwrap()
        .iter()
        .map(|factor| factor.as_str().unwrap().to_owned())
        .collect();
    factors.sort();
    assert_eq!(factors, ["1000003", "1000033"]);
    let prime = factor(&cli, 1_000_003, "2");
    assert_eq!((&prime["conclusion"], &prime["status"]), (&"accepted".into(), &"prime".into()));
    network.stop().unwrap();
}

#[test]
fn an_executor_whose_answer_fails_the_method_is_fined_and_another_one_is_asked() {
    let folder = tempfile::tempdir().unwrap();
    let (cli, mut network) = network(folder.path(), &["--nodes", "4", "--liar", "2:100"]);
    let liar = network.node(2).unwrap().account.clone();
    // A lie told as a checker would cost the liar its place in later draws, so it gets nearly all
    // of the weight while its record is clean: it is the first executor three times in four.
    cli.run(&["service", "offer", SERVICE, "--stake", "8000", "--term", "30d", "--dev-node", "2"])
        .unwrap();
    let caught = (0..100).find_map(|_| {
        let execution = factor(&cli, 1_000_036_000_099, "2");
        // Whoever works on it, every execution must end right.
        assert_eq!(execution["conclusion"], "accepted", "{execution}");
        assert_eq!(execution["status"], "found", "{execution}");
        let members = execution["members"].as_array().unwrap();
        let is_lie =
            |member: &Value| member["node"] == liar.as_str() && member["offence"] == "wrong_result";
        members.iter().any(is_lie).then(|| execution["execution"].as_str().unwrap().to_owned())
    });
    let caught = caught.expect("the liar was the executor, and fined");
    // Where the lie parts from the truth is told.
    let told = cli.run(&["explain", &caught]).unwrap();
    let parting = &told["divergences"][0];
    assert_eq!(
        (&parting["accepted"], &parting["others"][0]),
        (&true.into(), &liar.as_str().into())
    );
    assert!(parting["first"]["differs"].is_string(), "{parting}");
    assert!(told["text"].as_str().unwrap().contains("First differences:"), "{told}");
    network.stop().unwrap();
}
