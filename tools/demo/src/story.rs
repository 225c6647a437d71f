//! The story itself, act by act.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result};
use serde_json::{Value, json};

use crate::cli::Cli;
use crate::invoices::{self, Expected, Invoice};
use crate::network::Network;
use crate::report::{Offender, Report, Run};

/// The seed of the invoices.
const SEED: u64 = 2026;
/// The service.
const SERVICE: &str = "acme/invoice@1.0.0";
/// The honest node that is killed.
const VICTIM: usize = 4;
/// Seven nodes, three of them dishonest.
const DISHONEST: [&str; 8] = ["--nodes", "7", "--liar", "3:30", "--copier", "5", "--mute", "6"];
/// How long a node that was killed has to catch up.
const CATCH_UP: Duration = Duration::from_secs(60);

/// What the story needs.
#[derive(Clone, Debug)]
pub struct Stage {
    /// The binary `althing`.
    pub binary: PathBuf,
    /// The folder of the service `invoice`.
    pub service: PathBuf,
    /// Where everything is put; emptied first.
    pub folder: PathBuf,
    /// How many invoices.
    pub invoices: u32,
}

struct Scene<'a> {
    cli: Cli,
    network: Network,
    inputs: PathBuf,
    invoices: Vec<Invoice>,
    report: Report,
    say: &'a mut dyn FnMut(&str),
    /// Final records of all executions so far.
    settled: Vec<Value>,
}

/// Tells the story and returns what it has shown; `say` gets it line by line.
///
/// # Errors
///
/// If it cannot be told to its end.
pub fn tell(stage: &Stage, say: &mut dyn FnMut(&str)) -> Result<Report> {
    let start = Instant::now();
    if stage.folder.exists() {
        std::fs::remove_dir_all(&stage.folder).context("emptying the demo's folder")?;
    }
    let home = stage.folder.join("network");
    let inputs = stage.folder.join("invoices");
    std::fs::create_dir_all(&inputs).context("creating the demo's folder")?;
    let invoices = invoices::generate(stage.invoices, SEED);
    write_inputs(&inputs, &invoices)?;

    say("Starting seven nodes: node 3 lies on 30 % of its results, node 5 copies, node 6 is mute.");
    let cli = Cli::new(&stage.binary, &home);
    let network = Network::start(&cli, &home, &DISHONEST)?;
    let genesis = network.announcement.genesis.clone();
    say(&format!("They agree on the genesis {genesis}."));
    let report = Report::default();
    let mut scene = Scene { cli, network, inputs, invoices, report, say, settled: Vec::new() };

    scene.publish(&stage.service)?;
    scene.untrusted()?;
    scene.verified()?;
    scene.killed()?;
    scene.name_offenders()?;
    scene.conserved()?;
    scene.receipt(stage, &genesis)?;

    let mut report = scene.report;
    report.seconds = start.elapsed().as_secs_f64();
    let json = serde_json::to_string_pretty(&report)?;
    std::fs::write(stage.folder.join("report.json"), json).context("writing the report")?;
    Ok(report)
}

/// One CSV file for people and one JSON input for the task, for each invoice.
fn write_inputs(folder: &Path, invoices: &[Invoice]) -> Result<()> {
    for invoice in invoices {
        std::fs::write(folder.join(&invoice.name), &invoice.csv)?;
        let input = json!({ "name": invoice.name, "csv": invoice.csv });
        let name = Path::new(&invoice.name).with_extension("json");
        std::fs::write(folder.join(name), input.to_string())?;
    }
    Ok(())
}

impl Scene<'_> {
    fn say(&mut self, line: &str) {
        (self.say)(line);
    }

    fn publish(&mut self, service: &Path) -> Result<()> {
        let folder = service.to_str().context("the service's path is not text")?;
        self.say(&format!(
            "Publishing {SERVICE}; every node offers it with a stake of 1,000 tokens."
        ));
        self.cli.run(&["service", "publish", folder])?;
        self.cli.run(&[
            "service",
            "offer",
            SERVICE,
            "--stake",
            "1000",
            "--term",
            "30d",
            "--dev-nodes",
        ])?;
        Ok(())
    }

    /// Calls the task for every invoice, and compares with the known totals.
    fn call_all(&mut self, name: &str, checkers: u32) -> Result<Run> {
        let start = Instant::now();
        let (inputs, count) = (self.inputs.display().to_string(), checkers.to_string());
        let called = self.cli.run(&[
            "call",
            SERVICE,
            "total",
            "--each",
            &inputs,
            "--checkers",
            &count,
            "--wait",
        ])?;
        self.judge(name, checkers, &called, start)
    }

    fn judge(&mut self, name: &str, checkers: u32, called: &Value, start: Instant) -> Result<Run> {
        let executions = called["executions"].as_array().context("`call` lists executions")?;
        let (mut right, mut wrong, mut unanswered) = (0, 0, 0);
        let by_input: BTreeMap<&str, &Value> =
            executions.iter().filter_map(|e| Some((e["input"].as_str()?, e))).collect();
        for invoice in &self.invoices {
            let file = Path::new(&invoice.name).with_extension("json");
            let answer = file.to_str().and_then(|file| by_input.get(file));
            match answer.map(|answer| verdict(answer, &invoice.expected)) {
                Some(Some(true)) => right += 1,
                Some(Some(false)) => wrong += 1,
                Some(None) | None => unanswered += 1,
            }
        }
        self.settled.extend(executions.iter().cloned());
        let run = Run {
            name: name.to_owned(),
            checkers,
            invoices: self.invoices.len(),
            right,
            wrong,
            unanswered,
            paid: called["paid"].as_str().unwrap_or("?").to_owned(),
            seconds: start.elapsed().as_secs_f64(),
        };
        self.report.runs.push(run.clone());
        self.say(&format!(
            "  {} of {} right, {} wrong, {} without an answer, for {} tokens, in {:.1} s.",
            run.right, run.invoices, run.wrong, run.unanswered, run.paid, run.seconds
        ));
        Ok(run)
    }

    fn untrusted(&mut self) -> Result<()> {
        self.say("Act 1: 200 invoices with --checkers 0. Whoever is drawn is believed.");
        let run = self.call_all("nobody checks", 0)?;
        let seen = format!("{} wrong of {}", run.wrong, run.invoices);
        self.report.claim(
            "without checkers some totals are wrong, and nobody notices",
            run.wrong > 0,
            seen,
        );
        Ok(())
    }

    fn verified(&mut self) -> Result<()> {
        // Absences have suspended it in the first act; its operator believes it repaired.
        let suspended = self.offer(6)?["status"]["state"] != "active";
        if suspended {
            self.cli.run(&["service", "resume", SERVICE, "--dev-node", "6"])?;
        }
        self.say("Act 2: the same with --checkers 3. Four nodes do the work, blind; the ledger compares.");
        let run = self.call_all("three check", 3)?;
        let seen =
            format!("{} right, {} wrong, {} unanswered", run.right, run.wrong, run.unanswered);
        self.report.claim(
            "with three checkers all outcomes are right",
            run.right == run.invoices,
            seen,
        );
        let (cheap, dear) = (self.paid(0), self.paid(1));
        let seen = format!("{cheap} against {dear} tokens");
        self.report.claim("without checkers it is cheaper", cheap < dear, seen);
        Ok(())
    }

    fn paid(&self, run: usize) -> f64 {
        self.report.runs.get(run).and_then(|run| run.paid.parse().ok()).unwrap_or(f64::NAN)
    }

    fn killed(&mut self) -> Result<()> {
        self.say(&format!("Act 3: the same again, and node {VICTIM}, an honest one, is killed with kill -9 in the middle."));
        let start = Instant::now();
        let (inputs, before) = (self.inputs.display().to_string(), self.height(1)?);
        let call = self
            .cli
            .command(&["call", SERVICE, "total", "--each", &inputs, "--checkers", "3", "--wait"])
            .stdout(std::process::Stdio::piped())
            .stderr(std::process::Stdio::piped())
            .spawn()
            .context("calling")?;
        // In the middle: the calls are on the ledger, and committees are at work.
        self.wait_for("the calls to be under way", |scene| {
            Ok(scene.height(1)? > before + 3 && scene.open_executions()? > 0)
        })?;
        self.network.kill(VICTIM)?;
        let killed_at = self.height(1)?;
        self.say(&format!("  killed at height {killed_at}."));
        let cli = self.cli.clone();
        self.wait_for("the chain to go on without it", |scene| {
            Ok(scene.height(1)? > killed_at + 2)
        })?;
        self.network.restart(&cli, VICTIM)?;
        let output = call.wait_with_output().context("waiting for the calls")?;
        anyhow::ensure!(
            output.status.success(),
            "`call` failed: {}",
            String::from_utf8_lossy(&output.stderr)
        );
        let called: Value =
            serde_json::from_slice(&output.stdout).context("understanding `call`")?;
        let run = self.judge("three check, one killed", 3, &called, start)?;
        let seen = format!("{} right of {}", run.right, run.invoices);
        self.report.claim(
            "nothing is lost when an honest node is killed",
            run.right == run.invoices,
            seen,
        );

        let goal = self.height(1)?;
        let caught_up = self.wait_for("the killed node to catch up", |scene| {
            Ok(scene.height(VICTIM).is_ok_and(|height| height >= goal))
        });
        let same = caught_up.is_ok() && self.block_id(1, goal)? == self.block_id(VICTIM, goal)?;
        let seen = format!("killed at height {killed_at}, at {goal} it has the same block");
        self.report.claim("the killed node catches up", same, seen);
        Ok(())
    }

    fn wait_for(&self, what: &str, done: impl Fn(&Self) -> Result<bool>) -> Result<()> {
        let deadline = Instant::now() + CATCH_UP;
        while !done(self)? {
            anyhow::ensure!(
                Instant::now() < deadline,
                "waited {} s in vain for {what}",
                CATCH_UP.as_secs()
            );
            std::thread::park_timeout(Duration::from_millis(25));
        }
        Ok(())
    }

    fn ask(&self, node: usize, arguments: &[&str]) -> Result<Value> {
        let api = self.network.node(node)?.api.clone();
        let mut all = vec!["--node", &api];
        all.extend(arguments);
        self.cli.run(&all)
    }

    fn height(&self, node: usize) -> Result<u64> {
        self.ask(node, &["chain", "status"])?["height"].as_u64().context("a status has a height")
    }

    fn block_id(&self, node: usize, height: u64) -> Result<Value> {
        Ok(self.ask(node, &["chain", "block", &height.to_string()])?["id"].clone())
    }

    fn open_executions(&self) -> Result<u64> {
        self.ask(1, &["chain", "status"])?["open_executions"]
            .as_u64()
            .context("a status counts executions")
    }

    fn offer(&self, node: usize) -> Result<Value> {
        let account = self.network.node(node)?.account.clone();
        let service = self.cli.run(&["service", "show", SERVICE])?;
        let offers = service["offers"].as_array().context("a service has offers")?;
        offers
            .iter()
            .find(|offer| offer["node"] == account.as_str())
            .cloned()
            .context("the node has an offer")
    }

    /// Adds up, from the final records, what each dishonest node was fined for what.
    fn name_offenders(&mut self) -> Result<()> {
        let mut honest_offences = Vec::new();
        for node in self.network.announcement.nodes.clone() {
            let (offences, fined) = self.fines_of(&node.account);
            let by_ledger = self.offer(node.node)?["fined"].as_str().unwrap_or("?").to_owned();
            let conduct = match node.node {
                3 => "lies on 30 % of its results",
                5 => "copies instead of working",
                6 => "is mute",
                _ => {
                    let bad = offences.iter().filter(|(offence, _)| *offence != "absence");
                    honest_offences
                        .extend(bad.map(|(offence, _)| format!("node {}: {offence}", node.node)));
                    continue;
                }
            };
            let fined = tokens(fined);
            self.report.offenders.push(Offender {
                node: node.node,
                conduct: conduct.to_owned(),
                offences: offences.into_iter().collect(),
                fined: fined.clone(),
                fined_by_the_ledger: by_ledger.clone(),
            });
            let text = format!(
                "the fines of node {} add up to what its stake lost, to the unit",
                node.node
            );
            self.report.claim(&text, fined == by_ledger, format!("{fined} and {by_ledger}"));
        }
        let count = |report: &Report, node: usize, offence: &str| {
            let offender = report.offenders.iter().find(|offender| offender.node == node);
            offender
                .and_then(|o| o.offences.iter().find(|(name, _)| name == offence))
                .map_or(0, |(_, count)| *count)
        };
        let lies = count(&self.report, 3, "wrong_result") + count(&self.report, 3, "wrong_check");
        self.report.claim("node 3 is caught lying", lies > 0, format!("{lies} times"));
        let forged = count(&self.report, 5, "forged_seal");
        self.report.claim(
            "node 5 is caught copying",
            forged > 0,
            format!("{forged} seals that it could not open"),
        );
        let absent = count(&self.report, 6, "absence");
        self.report.claim(
            "node 6 is absent and its work goes to others",
            absent > 0,
            format!("{absent} absences"),
        );
        let seen =
            if honest_offences.is_empty() { "none".to_owned() } else { honest_offences.join(", ") };
        self.report.claim(
            "no honest node is convicted of anything",
            honest_offences.is_empty(),
            seen,
        );
        self.show_evidence("wrong_result", 3)?;
        self.show_evidence("forged_seal", 5)
    }

    /// Prints one execution in which a node was caught, in words.
    fn show_evidence(&mut self, offence: &str, node: usize) -> Result<()> {
        let account = self.network.node(node)?.account.clone();
        let caught = self.settled.iter().find(|execution| {
            execution["members"].as_array().is_some_and(|members| {
                members.iter().any(|m| m["node"] == account.as_str() && m["offence"] == offence)
            })
        });
        let Some(id) =
            caught.and_then(|execution| execution["execution"].as_str()).map(str::to_owned)
        else {
            return Ok(());
        };
        let explained = self.cli.run(&["explain", &id])?;
        self.say(&format!("\nHow node {node} was caught:\n"));
        for line in explained["text"].as_str().unwrap_or_default().lines() {
            self.say(&format!("  {line}"));
        }
        self.say("");
        Ok(())
    }

    /// By offence, how often; and all fines in base units.
    fn fines_of(&self, account: &str) -> (BTreeMap<String, usize>, u128) {
        let mut offences = BTreeMap::new();
        let mut fined = 0;
        let members =
            self.settled.iter().filter_map(|execution| execution["members"].as_array()).flatten();
        for member in members.filter(|member| member["node"] == account) {
            if let Some(offence) = member["offence"].as_str() {
                *offences.entry(offence.to_owned()).or_default() += 1;
            }
            fined += base_units(member["fine"].as_str().unwrap_or("0"));
        }
        (offences, fined)
    }

    fn conserved(&mut self) -> Result<()> {
        let totals = self.cli.run(&["chain", "status"])?["totals"].clone();
        let of = |name: &str| base_units(totals[name].as_str().unwrap_or("0"));
        let parts = ["accounts", "bonded", "offers", "escrow", "treasury", "burned"];
        let sum: u128 = parts.iter().map(|part| of(part)).sum();
        let seen = format!("{} = {}", tokens(sum), tokens(of("supply")));
        self.report.claim("tokens are conserved to the unit", sum == of("supply"), seen);
        Ok(())
    }

    /// Verifies a receipt in another folder with all nodes stopped, and one with a flipped byte.
    fn receipt(&mut self, stage: &Stage, genesis: &str) -> Result<()> {
        let id = self
            .settled
            .last()
            .and_then(|execution| execution["execution"].as_str())
            .context("an execution")?
            .to_owned();
        let elsewhere = stage.folder.join("elsewhere");
        std::fs::create_dir_all(&elsewhere)?;
        let file = elsewhere.join("receipt.json");
        let path = file.to_str().context("the path is not text")?;
        self.cli.run(&["receipt", "get", &id, "--out", path])?;
        self.say("Stopping all nodes. The receipt is now all there is.");
        self.network.stop()?;

        let offline = Cli::new(&stage.binary, &elsewhere.join("home"));
        let good = offline.try_run(&["receipt", "verify", path, "--genesis", genesis])?;
        let said = String::from_utf8_lossy(&good.stdout).trim().to_owned();
        self.report.claim(
            "a receipt is verified offline",
            good.status.success(),
            first_line(&said),
        );

        let mut bytes = std::fs::read(&file)?;
        let middle = bytes.len() / 2;
        if let Some(byte) = bytes.get_mut(middle) {
            *byte ^= 1;
        }
        let spoiled = elsewhere.join("spoiled.json");
        std::fs::write(&spoiled, bytes)?;
        let spoiled = spoiled.to_str().context("the path is not text")?;
        let bad = offline.try_run(&["receipt", "verify", spoiled, "--genesis", genesis])?;
        let said = String::from_utf8_lossy(&bad.stderr).trim().to_owned();
        self.report.claim(
            "after one flipped byte it is refused",
            !bad.status.success(),
            first_line(&said),
        );
        Ok(())
    }
}

/// Whether an answer is right; `None` if there is none.
fn verdict(answer: &Value, expected: &Expected) -> Option<bool> {
    let status = answer["status"].as_str();
    if answer["conclusion"] != "accepted" {
        return None;
    }
    Some(match expected {
        Expected::Total(total) => {
            status == Some("ok") && answer["output"]["total"] == total.as_str()
        }
        Expected::Unreadable => status == Some("unreadable"),
    })
}

fn first_line(text: &str) -> String {
    let line: String = text.split_whitespace().collect::<Vec<_>>().join(" ");
    line.chars().take(120).collect()
}

/// Tokens with up to six decimals, in base units.
fn base_units(text: &str) -> u128 {
    let (whole, decimals) = text.split_once('.').unwrap_or((text, ""));
    let padded = format!("{decimals:0<6}");
    whole.parse::<u128>().unwrap_or(0) * 1_000_000 + padded.parse::<u128>().unwrap_or(0)
}

/// Base units as tokens, as the ledger prints them.
fn tokens(units: u128) -> String {
    let (whole, rest) = (units / 1_000_000, units % 1_000_000);
    if rest == 0 {
        return whole.to_string();
    }
    format!("{whole}.{rest:06}").trim_end_matches('0').to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn amounts_survive_the_way_to_base_units_and_back() {
        for text in ["0", "12.5", "0.000001", "1000"] {
            assert_eq!(tokens(base_units(text)), text);
        }
    }

    #[test]
    fn only_an_accepted_answer_can_be_right_or_wrong() {
        let expected = Expected::Total("12.50".to_owned());
        let answer = |conclusion: &str, total: &str| json!({ "conclusion": conclusion, "status": "ok", "output": { "total": total } });
        assert_eq!(verdict(&answer("accepted", "12.50"), &expected), Some(true));
        assert_eq!(verdict(&answer("accepted", "12.51"), &expected), Some(false));
        assert_eq!(verdict(&answer("failed", "12.50"), &expected), None);
    }
}
