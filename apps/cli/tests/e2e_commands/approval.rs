//! A step that waits for a person: `examples/expenses` under `althing dev`.

use std::fs;
use std::path::{Path, PathBuf};

use serde_json::{Value, json};

use crate::dev::{Dev, althing};
use crate::stage::until;

/// The example, with what its links lead to.
fn example() -> (tempfile::TempDir, PathBuf) {
    fn copy(from: &Path, to: &Path) {
        fs::create_dir_all(to).unwrap();
        for entry in fs::read_dir(from).unwrap().map(Result::unwrap) {
            let (from, to) = (entry.path(), to.join(entry.file_name()));
            if from.is_dir() {
                copy(&from, &to);
            } else {
                fs::copy(from, to).unwrap();
            }
        }
    }
    let place = tempfile::tempdir().unwrap();
    let folder = place.path().join("expenses");
    copy(&Path::new(env!("CARGO_MANIFEST_DIR")).join("../../examples/expenses"), &folder);
    (place, folder)
}

/// The data of a command that has to succeed.
fn run(folder: &Path, arguments: &[&str]) -> Value {
    let (told, code) = althing(folder, arguments);
    assert_eq!(code, Some(0), "{arguments:?}: {told}");
    told
}

/// The error of a command that has to fail.
fn code(folder: &Path, arguments: &[&str]) -> Value {
    let mut command = std::process::Command::new(crate::stage::binary());
    command.arg("--json").args(arguments).current_dir(folder);
    let output = command.stdin(std::process::Stdio::null()).output().unwrap();
    assert!(!output.status.success(), "{arguments:?} succeeded");
    let error: Value = serde_json::from_slice(&output.stderr).unwrap();
    error["error"]["code"].clone()
}

fn file(folder: &Path, expense: &str, approver: &str) {
    let data = json!({ "expense": expense, "amount": "120", "payee": "ada", "approver": approver });
    run(folder, &["event", "emit", "acme/books@1.0.0", "expense_filed", &data.to_string()]);
}

/// A run that came this far, by its branches' status.
fn branch(run: &Value, last: &str) -> Value {
    let branches = run["branches"].as_array().unwrap();
    let ends = |it: &&Value| it["steps"].as_array().unwrap().last().unwrap() == last;
    branches.iter().find(ends).unwrap()["status"].clone()
}

/// Waits for a run whose branch to this step is done.
fn done(folder: &Path, step: &str) {
    until(&format!("a run that ends with {step}"), || {
        let runs = run(folder, &["run", "list", "--status", "done"]);
        let is_done = |run: &Value| branch(run, step) == "done";
        runs.as_array().is_some_and(|runs| runs.iter().any(is_done)).then_some(())
    });
}

/// Where the bridge of these approvals shows its questions.
fn bridge(dev: &Dev) -> String {
    let block = dev.shown();
    let line = block.lines().find(|line| line.contains("althing/approval@1.0.0"));
    let words = line.unwrap().split_whitespace();
    let url = words.into_iter().find(|word| word.starts_with("http://")).unwrap();
    url.trim_end_matches('/').to_owned()
}

fn questions(at: &str) -> Vec<Value> {
    let text = ureq::get(format!("{at}/questions")).call().unwrap().body_mut().read_to_string();
    serde_json::from_str(&text.unwrap()).unwrap()
}

#[test]
fn an_expense_is_paid_when_its_approver_signs_and_closed_when_they_reject_it() {
    let (_place, folder) = example();
    let dev = Dev::start(&folder, &[]);
    let at = bridge(&dev);
    let accounts = run(&folder, &["account", "list"]);
    let own = accounts[0]["address"].as_str().unwrap().to_owned();
    let open = |count: usize| {
        until("the questions", || Some(questions(&at)).filter(|open| open.len() == count))
    };
    let address = |question: &Value| question["at"].as_str().unwrap().to_owned();

    file(&folder, "e-1", &own);
    let first = address(&open(1)[0]);
    assert_eq!(code(&folder, &["event", "approve", &first]), "CLI-0040", "nobody has seen it");
    assert_eq!(code(&folder, &["event", "approve", &at, "--yes"]), "CLI-0041");
    let told = run(&folder, &["event", "approve", &first, "--yes", "--comment", "well earned"]);
    assert_eq!(told["decided"]["comment"], "well earned");
    done(&folder, "paid");
    assert_eq!(code(&folder, &["event", "approve", &first, "--yes"]), "ASK-0005");
    assert_eq!(code(&folder, &["event", "reject", &first, "--yes"]), "ASK-0005");

    file(&folder, "e-2", &own);
    let second = address(&open(1)[0]);
    run(&folder, &["event", "reject", &second, "--yes"]);
    done(&folder, "declined");

    // Somebody else is asked: this account's decision is not theirs.
    file(&folder, "e-3", &format!("0x{}", "07".repeat(20)));
    let third = address(&open(1)[0]);
    assert_eq!(code(&folder, &["event", "approve", &third, "--yes"]), "ASK-0003");
    dev.quit();
}

#[test]
fn what_nobody_decides_is_closed_when_its_time_is_over() {
    let (_place, folder) = example();
    let mut dev = Dev::start(&folder, &["--fast-time"]);
    file(&folder, "e-1", &format!("0x{}", "07".repeat(20)));
    dev.says("skipped 2");
    done(&folder, "unanswered");
    dev.quit();
}
