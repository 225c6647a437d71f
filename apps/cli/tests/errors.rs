//! What people see when a command fails, where no network is needed: sentence, code and hint.
#![expect(clippy::unwrap_used, reason = "a test may panic")]

use std::io::Write as _;
use std::path::Path;
use std::process::{Command, Output, Stdio};

use serde_json::Value;

/// Runs a command for the user whose folder is `home`; nobody answers at the default node.
fn althing(home: &Path, arguments: &[&str]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_althing"));
    for variable in ["ALTHING_HOME", "ALTHING_ACCOUNT", "ALTHING_PASSWORD", "RUST_LOG"] {
        command.env_remove(variable);
    }
    command.env("ALTHING_NODE", "http://127.0.0.1:1");
    command.arg("--home").arg(home).args(arguments).stdin(Stdio::null()).output().unwrap()
}

/// What a failing command says to a program; its standard output stays empty.
fn failure(home: &Path, arguments: &[&str]) -> Value {
    let output = althing(home, &[&["--json"], arguments].concat());
    assert!(!output.status.success(), "{arguments:?} succeeded");
    assert!(output.stdout.is_empty(), "{arguments:?} printed data");
    let error: Value = serde_json::from_slice(&output.stderr).unwrap_or_else(|_| {
        panic!("{arguments:?} said {:?}", String::from_utf8_lossy(&output.stderr))
    });
    error["error"].clone()
}

fn assert_code(home: &Path, arguments: &[&str], code: &str) {
    let error = failure(home, arguments);
    assert_eq!(error["code"], code, "{arguments:?}: {error}");
    assert!(
        error["hint"].as_str().is_some_and(|hint| !hint.is_empty()),
        "{arguments:?} has no hint"
    );
    assert!(error["message"].as_str().is_some_and(|text| !text.is_empty()));
}

fn home() -> tempfile::TempDir {
    tempfile::tempdir().unwrap()
}

fn text(path: &Path) -> &str {
    path.to_str().unwrap()
}

/// An account named `ada` with the password in the returned file.
fn with_account(home: &Path) -> std::path::PathBuf {
    let password = home.join("password");
    std::fs::write(&password, "secret\n").unwrap();
    let made =
        althing(home, &["account", "new", "ada", "--light", "--password-file", text(&password)]);
    assert!(made.status.success(), "{made:?}");
    password
}

#[test]
fn a_file_that_cannot_be_used_is_named_with_what_to_do() {
    let home = home();
    let nowhere = home.path().join("nowhere.yaml");
    assert_code(home.path(), &["test", text(&nowhere)], "CLI-0049");
    assert_code(home.path(), &["test", text(home.path())], "CLI-0049");
}

#[test]
fn mistakes_in_a_file_are_told_to_programs_with_line_and_column() {
    let home = home();
    let file = home.path().join("app.yaml");
    std::fs::write(&file, "app: a\nversion: 1.0.0\nwhen: shop.placed\nthen: []\nwhat: 1\n")
        .unwrap();
    let error = failure(home.path(), &["app", "check", "--offline", text(&file)]);
    let mistakes = error["mistakes"].as_array().unwrap();
    let unknown = mistakes.iter().find(|it| it["code"] == "APP-0002").unwrap();
    assert_eq!((&unknown["line"], &unknown["column"]), (&5.into(), &1.into()), "{error}");
    assert!(unknown["file"].as_str().unwrap().ends_with("app.yaml"), "{error}");
}

#[test]
fn a_failure_is_told_in_three_lines() {
    let home = home();
    let output = althing(home.path(), &["account", "balance"]);
    let said = String::from_utf8(output.stderr).unwrap();
    assert_eq!(
        said,
        "error[CLI-0004]: which account?\n  hint: name one; `althing account list` shows them\n"
    );
}

#[test]
fn a_wrong_password_opens_nothing() {
    let home = home();
    with_account(home.path());
    let wrong = home.path().join("wrong");
    std::fs::write(&wrong, "guess").unwrap();
    let to = "0x0000000000000000000000000000000000000001";
    let arguments = ["transfer", to, "1", "--password-file", text(&wrong)];
    // Keys come before the network: a password is not worth a connection.
    assert_code(home.path(), &arguments, "KEY-0001");
}

#[test]
fn signing_without_an_account_says_how_to_get_one() {
    let home = home();
    let to = "0x0000000000000000000000000000000000000001";
    assert_code(home.path(), &["transfer", to, "1"], "CLI-0003");
}

#[test]
fn an_unknown_account_is_named() {
    let home = home();
    assert_code(home.path(), &["account", "balance", "nobody"], "CLI-0007");
    assert_code(home.path(), &["transfer", "nobody", "1"], "CLI-0007");
}

#[test]
fn an_account_name_that_cannot_be_is_refused_and_taken_ones_are_kept() {
    let home = home();
    let password = with_account(home.path());
    let file = text(&password);
    assert_code(
        home.path(),
        &["account", "new", "Ada Lovelace", "--password-file", file],
        "CLI-0006",
    );
    assert_code(
        home.path(),
        &["account", "new", "ada", "--light", "--password-file", file],
        "KEY-0004",
    );
}

#[test]
fn a_command_line_that_is_not_understood_has_a_code_too() {
    let home = home();
    let to = "0x0000000000000000000000000000000000000001";
    for arguments in [
        &["transfer", to, "-1"][..],
        &["transfer", to, "1.0000001"],
        &["transfer", to],
        &["fly"],
        &["service", "offer", "acme/a@1", "--stake", "1", "--term", "30", "--dev-nodes"],
        &["service", "offer", "acme/a@1", "--stake", "1", "--term", "30d"],
        &["service", "show", "acme"],
        &["call", "acme/a@1", "t"],
        &["call", "acme/a@1", "t", "--input", "1", "--each", "."],
        &["explain", "0x12"],
        &["node", "start"],
        &["node", "start", "--dir", "x", "--conduct", "liar"],
        &["node", "init", "--dir", "x", "--peer", "somewhere"],
    ] {
        assert_code(home.path(), arguments, "CLI-0013");
    }
    let output = althing(home.path(), &["fly"]);
    assert_eq!(output.status.code(), Some(2));
    assert!(
        String::from_utf8(output.stderr)
            .unwrap()
            .ends_with("  hint: the command with --help tells what it takes\n")
    );
}

#[test]
fn a_node_that_does_not_answer_is_named() {
    let home = home();
    let error = failure(home.path(), &["chain", "status"]);
    assert_eq!(error["code"], "API-0012");
    assert!(error["message"].as_str().unwrap().contains("127.0.0.1:1"));
}

#[test]
fn what_is_no_receipt_is_refused() {
    let home = home();
    let genesis = format!("0x{}", "ab".repeat(32));
    let file = home.path().join("receipt.json");
    for bytes in [&b""[..], b"{}", b"\xff\xfe", br#"{"proof": "0x00"}"#, br#"{"proof": "zz"}"#] {
        std::fs::write(&file, bytes).unwrap();
        let error =
            failure(home.path(), &["receipt", "verify", text(&file), "--genesis", &genesis]);
        assert!(error["code"].as_str().unwrap().starts_with("RCP-"), "{error}");
    }
    let missing = home.path().join("missing.json");
    assert_code(
        home.path(),
        &["receipt", "verify", text(&missing), "--genesis", &genesis],
        "CLI-0017",
    );
    assert_code(home.path(), &["receipt", "verify", text(&file), "--genesis", "0xab"], "CLI-0018");
    assert_code(
        home.path(),
        &["receipt", "verify", text(&file), "--genesis", text(&file)],
        "CLI-0018",
    );
}

#[test]
fn every_mistake_in_a_manifest_is_shown_with_its_place() {
    let home = home();
    let service = home.path().join("hello");
    let made = althing(home.path(), &["service", "new", text(&service), "--name", "acme/hello"]);
    assert!(made.status.success(), "{made:?}");
    assert_code(
        home.path(),
        &["service", "new", text(&service), "--name", "acme/hello"],
        "CLI-0023",
    );

    let file = service.join("service.yml");
    let manifest = std::fs::read_to_string(&file).unwrap();
    std::fs::write(
        &file,
        manifest
            .replace("price: 0.01", "price: cheap")
            .replace("summary: Greets people", "sumary: Greets people"),
    )
    .unwrap();
    let error = failure(home.path(), &["service", "build", text(&service)]);
    assert_eq!(error["mistakes"].as_array().unwrap().len(), 2, "{error}");
    let output = althing(home.path(), &["service", "build", text(&service)]);
    let said = String::from_utf8(output.stderr).unwrap();
    for part in ["MAN-0006", "MAN-0002", "service.yml:3:1", "price: cheap", "help: "] {
        assert!(said.contains(part), "{part:?} is not in\n{said}");
    }
    assert!(!said.contains('\u{1b}'), "readable without colour");
}

#[test]
fn a_folder_without_a_service_is_named() {
    let home = home();
    assert_code(home.path(), &["service", "build", text(home.path())], "CLI-0019");
    let yml = "service: a/b@1\nwasm: gone.wasm\ntasks:\n  t:\n    verification: deterministic\n    price: 1\n    inputs: {}\n    statuses:\n      ok: {}\n";
    std::fs::write(home.path().join("service.yml"), yml).unwrap();
    assert_code(home.path(), &["service", "build", text(home.path())], "CLI-0021");
}

#[test]
fn nodes_of_no_development_network_cannot_sign() {
    let home = home();
    let id = format!("0x{}", "ab".repeat(32));
    assert_code(home.path(), &["service", "resume", &id, "--dev-node", "1"], "CLI-0022");
    assert_code(home.path(), &["service", "withdraw", &id, "--dev-nodes"], "CLI-0022");
    assert_code(home.path(), &["stake", "unjail", "--dir", text(home.path())], "KEY-0006");
}

#[test]
fn a_node_is_made_once_and_its_keys_are_never_overwritten() {
    let home = home();
    let folder = home.path().join("node");
    let made = althing(
        home.path(),
        &["--json", "node", "init", "--dir", text(&folder), "--api", "127.0.0.1:9"],
    );
    assert!(made.status.success(), "{made:?}");
    let told: Value = serde_json::from_slice(&made.stdout).unwrap();
    let key = std::fs::read(folder.join("node.key")).unwrap();
    assert_code(home.path(), &["node", "init", "--dir", text(&folder)], "CLI-0015");
    assert_eq!(std::fs::read(folder.join("node.key")).unwrap(), key);

    // Another node joins the chain of the first, whose genesis it is given.
    let other = home.path().join("other");
    let genesis = folder.join("genesis.json");
    let peer = told["peer"].as_str().unwrap();
    let joined = althing(
        home.path(),
        &[
            "--json",
            "node",
            "init",
            "--dir",
            text(&other),
            "--genesis",
            text(&genesis),
            "--peer",
            peer,
        ],
    );
    assert!(joined.status.success(), "{joined:?}");
    let joined: Value = serde_json::from_slice(&joined.stdout).unwrap();
    assert_eq!(joined["genesis"], told["genesis"]);
    assert_ne!(joined["account"], told["account"]);
}

#[test]
fn the_doctor_tells_what_is_wrong_and_fails() {
    let home = home();
    let folder = home.path().join("node");
    assert!(
        althing(home.path(), &["node", "init", "--dir", text(&folder), "--api", "127.0.0.1:0"])
            .status
            .success()
    );
    let mut settings =
        std::fs::File::options().append(true).open(folder.join("node.json")).unwrap();
    settings.write_all(b"}").unwrap();
    drop(settings);
    let output = althing(home.path(), &["--json", "doctor", "--dir", text(&folder)]);
    assert_eq!(output.status.code(), Some(1));
    let report: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(report["healthy"], false);
    let wrong: Vec<&Value> = report["findings"]
        .as_array()
        .unwrap()
        .iter()
        .filter(|finding| finding["level"] == "wrong")
        .collect();
    assert!(
        wrong.iter().any(|finding| finding["said"].as_str().unwrap().contains("node.json")),
        "{report}"
    );
    assert!(wrong.iter().all(|finding| finding["hint"].is_string()));
}

#[test]
fn a_new_application_is_in_order_without_a_node() {
    let home = home();
    let folder = home.path().join("orders");
    let made = althing(home.path(), &["app", "new", text(&folder)]);
    assert!(made.status.success(), "{made:?}");
    let checked = althing(home.path(), &["--json", "app", "check", "--offline", text(&folder)]);
    assert!(checked.status.success(), "{}", String::from_utf8_lossy(&checked.stderr));
    let told: Value = serde_json::from_slice(&checked.stdout).unwrap();
    assert_eq!(told["application"], "orders@0.1.0");
    assert_eq!(told["steps"], 4);
    assert_code(home.path(), &["app", "new", text(&folder)], "CLI-0023");
    let set = ["app", "check", "--offline", text(&folder), "--set", "key"];
    assert_code(home.path(), &set, "CLI-0037");
}

#[test]
fn mistakes_in_an_application_are_told_with_their_line_and_the_nearest_name() {
    let home = home();
    let folder = home.path().join("orders");
    assert!(althing(home.path(), &["app", "new", text(&folder)]).status.success());
    let path = folder.join("app.yaml");
    let right = std::fs::read_to_string(&path).unwrap();
    std::fs::write(&path, right.replace("thanks.timeout", "thanks.late")).unwrap();
    let output = althing(home.path(), &["app", "check", "--offline", text(&folder)]);
    assert!(!output.status.success());
    let said = String::from_utf8(output.stderr).unwrap();
    for part in ["`thanks` never ends with `late`", "`timeout`", "app.yaml:21"] {
        assert!(said.contains(part), "{part:?} is not in\n{said}");
    }
}

#[test]
fn an_application_file_that_is_not_there_is_named() {
    let home = home();
    assert_code(home.path(), &["app", "check", "--offline", text(home.path())], "CLI-0029");
}

#[test]
fn an_event_needs_json_and_a_token() {
    let home = home();
    let id = format!("0x{}", "ab".repeat(32));
    assert_code(home.path(), &["event", "emit", &id, "paid", "{cart: 1}"], "CLI-0032");
    assert_code(home.path(), &["event", "emit", &id, "paid", "@nowhere.json"], "CLI-0032");
    assert_code(home.path(), &["event", "emit", &id, "paid", "{}"], "CLI-0033");
}

#[test]
fn what_is_wrapped_is_an_http_endpoint() {
    let home = home();
    let wrap = ["service", "wrap", "search.example.org", "--as", "acme/search@1.0.0"];
    assert_code(home.path(), &wrap, "CLI-0034");
}
