//! The tests: through cargo-nextest where it is installed, else through `cargo test`.

use std::io::{BufRead as _, BufReader};
use std::process::{Command, Stdio};

use anyhow::{Context as _, Result, bail};

use crate::test::Done;
use crate::workspace::{Workspace, answers};

/// Runs every test of the workspace; its last word goes into the summary.
pub(crate) fn run(workspace: &Workspace) -> Result<Done> {
    if answers(&mut workspace.cargo(["nextest", "--version"])) {
        let mut command = workspace.cargo([
            "nextest",
            "run",
            "--workspace",
            "--profile",
            "ci",
            "--no-tests",
            "pass",
        ]);
        let (passed, summary) =
            stream(&mut command, |line| line.trim_start().starts_with("Summary ["))?;
        let summary = summary.last().map_or("nextest printed no summary", |line| line.trim());
        return if passed { Ok(Done::passed(summary)) } else { bail!("{summary}") };
    }
    println!("  cargo-nextest is not installed: running `cargo test` instead");
    println!("  (`cargo install cargo-nextest --locked` gives time limits and one process a test)");
    // End-to-end tests start seven processes each: one at a time, as nextest's group has it.
    let unit = ["test", "--workspace", "--no-fail-fast", "--lib", "--bins"];
    let whole =
        ["test", "--workspace", "--no-fail-fast", "--test", "*", "--", "--test-threads", "1"];
    let is_result = |line: &str| line.starts_with("test result:");
    let (unit_passed, mut results) = stream(&mut workspace.cargo(unit), is_result)?;
    let (whole_passed, more) = stream(&mut workspace.cargo(whole), is_result)?;
    results.extend(more);
    let summary = format!(
        "cargo test: {} passed, {} failed",
        sum(&results, "passed"),
        sum(&results, "failed")
    );
    if unit_passed && whole_passed { Ok(Done::passed(summary)) } else { bail!("{summary}") }
}

/// Runs `command`, shows its output as it comes, and keeps the lines that `keep` wants.
fn stream(command: &mut Command, keep: impl Fn(&str) -> bool) -> Result<(bool, Vec<String>)> {
    // One pipe for both: nextest talks on stderr, `cargo test` on stdout.
    let (reader, writer) = std::io::pipe().context("opening a pipe")?;
    let errors = writer.try_clone().context("opening a pipe")?;
    command.stdin(Stdio::null()).stdout(writer).stderr(errors);
    let mut child = command.spawn().context("starting cargo")?;
    // The command holds the pipe's other end too; without this the reading never ends.
    command.stdout(Stdio::null()).stderr(Stdio::null());
    let mut kept = Vec::new();
    for line in BufReader::new(reader).split(b'\n') {
        let line = line.context("reading from cargo")?;
        let line = String::from_utf8_lossy(&line);
        println!("{line}");
        if keep(&line) {
            kept.push(line.into_owned());
        }
    }
    let status = child.wait().context("waiting for cargo")?;
    Ok((status.success(), kept))
}

/// Adds up the number before `word` over lines like `test result: ok. 3 passed; 0 failed; …`.
fn sum(results: &[String], word: &str) -> u64 {
    let count = |line: &String| {
        let before = line.split(word).next()?.trim_end();
        before.rsplit(' ').next()?.parse::<u64>().ok()
    };
    results.iter().filter_map(count).sum()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn results_of_several_test_programs_are_added_up() {
        let results = [
            String::from("test result: ok. 3 passed; 0 failed; 0 ignored; finished in 0.00s"),
            String::from("test result: FAILED. 4 passed; 2 failed; 0 ignored; finished in 0.1s"),
        ];
        assert_eq!((sum(&results, "passed"), sum(&results, "failed")), (7, 2));
    }

    #[test]
    fn a_program_is_heard_to_its_end_on_both_of_its_outputs() {
        let mut command = Command::new("sh");
        command.args(["-c", "echo keep one; echo drop; echo keep two >&2; exit 3"]);
        let (passed, kept) = stream(&mut command, |line| line.starts_with("keep")).unwrap();
        assert!(!passed);
        assert_eq!(kept, ["keep one", "keep two"]);
    }
}
