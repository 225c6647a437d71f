//! The help of every command, whole: what it says is an interface too.
//!
//! After a change that was meant, `ALTHING_BLESS=1 cargo nextest run -p althing-cli help` writes the
//! file anew.
#![expect(clippy::unwrap_used, reason = "a test may panic")]

use std::fmt::Write as _;
use std::path::Path;
use std::process::Command;

/// Every command, in the order of the help.
const COMMANDS: [&str; 70] = [
    "",
    "dev",
    "node",
    "node init",
    "node start",
    "node status",
    "account",
    "account new",
    "account list",
    "account balance",
    "transfer",
    "stake",
    "stake bond",
    "stake unbond",
    "stake unjail",
    "stake status",
    "service",
    "service new",
    "service build",
    "service publish",
    "service list",
    "service show",
    "service offer",
    "service withdraw",
    "service resume",
    "service connect",
    "service wrap",
    "app",
    "app new",
    "app check",
    "app deploy",
    "app list",
    "app show",
    "app pause",
    "app remove",
    "app grant",
    "app revoke",
    "app deposit",
    "app secret",
    "app secret set",
    "app secret remove",
    "app secret list",
    "app import",
    "run",
    "run list",
    "run show",
    "run follow",
    "run history",
    "run retry",
    "run cancel",
    "event",
    "event approve",
    "event emit",
    "event list",
    "event reject",
    "event show",
    "test",
    "call",
    "execution",
    "execution list",
    "execution show",
    "explain",
    "receipt",
    "receipt get",
    "receipt verify",
    "chain",
    "chain status",
    "chain block",
    "chain validators",
    "doctor",
];

fn help(command: &str) -> String {
    let mut althing = Command::new(env!("CARGO_BIN_EXE_althing"));
    for variable in ["ALTHING_HOME", "ALTHING_NODE", "ALTHING_ACCOUNT"] {
        althing.env_remove(variable);
    }
    let output = althing.args(command.split_whitespace()).arg("--help").output().unwrap();
    assert!(output.status.success(), "althing {command} --help: {output:?}");
    assert!(output.stderr.is_empty(), "help that was asked for is data");
    String::from_utf8(output.stdout).unwrap()
}

#[test]
fn the_help_of_every_command_is_as_it_was() {
    let mut all = String::new();
    for command in COMMANDS {
        let line = format!("althing {command}");
        writeln!(all, "$ {} --help\n{}", line.trim(), help(command)).unwrap();
    }
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/help.txt");
    if std::env::var_os("ALTHING_BLESS").is_some() {
        std::fs::write(&path, &all).unwrap();
    }
    let was = std::fs::read_to_string(&path).unwrap_or_default();
    let difference = all.lines().zip(was.lines()).find(|(now, was)| now != was);
    assert!(all == was, "the help has changed: now and before, first line: {difference:?}");
}

#[test]
fn no_command_is_missing_from_the_file_above() {
    for command in COMMANDS {
        let text = help(command);
        let listed = text.split("Commands:\n").nth(1).into_iter().flat_map(str::lines);
        for line in listed.take_while(|line| !line.is_empty()) {
            let Some(name) = line.split_whitespace().next().filter(|name| *name != "help") else {
                continue;
            };
            let whole = format!("{command} {name}");
            assert!(COMMANDS.contains(&whole.trim()), "{whole} is not in the list");
        }
    }
}

#[test]
fn the_way_to_dishonest_conduct_is_not_offered_and_start_has_none() {
    assert!(!help("node").contains("dev-start"));
    assert!(!help("node start").contains("conduct"));
}
