//! What is looked at once the network is whole again: is it one chain, is everything there, was anybody
//! fined who did no wrong?

use std::collections::BTreeMap;
use std::time::Duration;

use althing_api::client::Client;
use althing_api::wire::{Execution, Offence, ValidatorStatus};
use althing_api::{Cut, ExecutionFilter};
use althing_types::{Address, Amount, Hash, Height};
use anyhow::{Context as _, Result};

use crate::load::Tally;
use crate::network::Network;
use crate::report::{Report, seconds};
use crate::watch::Seen;

/// Headers and executions in one answer.
const PAGE: usize = 1_000;
/// What every node of a development network has bonded.
const BOND: Amount = Amount::from_tokens(1_000);

/// What the scenario expects beyond the usual.
#[derive(Clone, Debug, Default)]
pub struct Expected {
    /// Places of nodes whose stake may be touched: they were started twice.
    pub suspects: Vec<usize>,
    /// Nodes may have been gone between a seal and its opening, for longer than the window.
    pub seals_may_stay_shut: bool,
}

/// Writes figures and claims of a network whose nodes all run again.
///
/// # Errors
///
/// If a node does not answer.
pub fn audit(
    network: &mut Network,
    (tally, sent_for): (&Tally, Duration),
    seen: Seen,
    expected: &Expected,
    report: &mut Report,
) -> Result<()> {
    figures(tally, sent_for, seen, report);
    report.claim("nobody was held up for good", tally.stuck.is_empty(), brief(&tally.stuck));
    report.claim(
        "no good transaction was refused",
        tally.refused.is_empty(),
        brief(&tally.refused),
    );
    let height = network.level()?;
    let clients = network.clients();
    nothing_lost(&clients, tally, report)?;
    one_chain(&clients, height, report)?;
    conserved(&clients, report)?;
    bonds(network, expected, report)?;
    work(network, tally, expected, report)
}

fn figures(tally: &Tally, sent_for: Duration, seen: Seen, report: &mut Report) {
    let count = u32::try_from(tally.accepted.len()).unwrap_or(u32::MAX);
    let per_second = f64::from(count) / sent_for.as_secs_f64().max(0.001);
    report.figure("under load", seconds(sent_for));
    report.figure("transactions accepted", format!("{count}, {per_second:.1}/s"));
    report.figure("of them handed in again", tally.resent);
    report.figure("longest from signature to block", seconds(tally.slowest));
    report.figure("blocks", seen.blocks);
    report.figure("longest time without a block", seconds(seen.longest_gap));
    if !tally.executions.is_empty() {
        let ends: Vec<String> =
            tally.conclusions.iter().map(|(end, count)| format!("{count} {end}")).collect();
        report.figure("calls, checked by two", ends.join(", "));
    }
}

fn brief(lines: &[String]) -> String {
    let first = lines.first().map_or(String::new(), |line| format!(": {line}"));
    format!("{}{first}", lines.len())
}

/// Everything that a node took is in the ledger.
fn nothing_lost(clients: &[Client], tally: &Tally, report: &mut Report) -> Result<()> {
    let mut missing = 0;
    for (hash, client) in tally.accepted.iter().zip(clients.iter().cycle()) {
        match client.transaction(hash, Duration::ZERO) {
            Ok(_) => {}
            Err(error) if error.is_not_found() => missing += 1,
            Err(error) => return Err(error).context("looking for a transaction"),
        }
    }
    let count = tally.accepted.len();
    let seen = format!("{missing} of {count} missing");
    report.claim("every accepted transaction is in the ledger", missing == 0 && count > 0, seen);
    let mut unequal = 0;
    for id in &tally.executions {
        let mut ends = Vec::new();
        for client in clients {
            ends.push(client.execution(id, Duration::ZERO).ok().map(|found| found.conclusion));
        }
        let equal = ends.windows(2).all(|pair| matches!(pair, [one, other] if one == other));
        unequal +=
            u32::from(!equal || ends.first().is_none_or(|end| matches!(end, None | Some(None))));
    }
    if !tally.executions.is_empty() {
        let seen = format!("{unequal} of {} not", tally.executions.len());
        report.claim("every call has ended, alike on all nodes", unequal == 0, seen);
        report.claim("no accepted answer is wrong", tally.wrong == 0, tally.wrong);
    }
    Ok(())
}

/// Ids and state roots of all blocks up to this height, as a node has them.
fn chain(client: &Client, height: u64) -> Result<Vec<(Hash, Hash)>> {
    let mut blocks = Vec::new();
    let mut from = 1;
    while from <= height {
        let limit = usize::try_from(height - from + 1).unwrap_or(PAGE).min(PAGE);
        let page = client.headers(Height(from), limit).context("reading headers")?;
        anyhow::ensure!(!page.is_empty(), "a node has no headers from {from} on");
        from += u64::try_from(page.len()).unwrap_or(u64::MAX);
        blocks.extend(page.into_iter().map(|block| (block.id.0, block.header.state_root.0)));
    }
    Ok(blocks)
}

fn one_chain(clients: &[Client], height: u64, report: &mut Report) -> Result<()> {
    let mut chains = Vec::new();
    for client in clients {
        chains.push(chain(client, height)?);
    }
    chains.dedup();
    let seen = format!("{} of them, of {height} blocks", chains.len());
    report.claim("all nodes have the same blocks and state roots", chains.len() == 1, seen);
    Ok(())
}

fn conserved(clients: &[Client], report: &mut Report) -> Result<()> {
    let mut holds = true;
    for client in clients {
        let totals = client.totals().context("asking for totals")?;
        let parts = [
            totals.accounts,
            totals.bonded,
            totals.offers,
            totals.escrow,
            totals.treasury,
            totals.burned,
        ];
        let sum = parts.iter().try_fold(Amount::ZERO, |sum, part| sum.checked_add(part.0));
        holds &= sum == Some(totals.supply.0);
    }
    report.claim("tokens are conserved", holds, if holds { "to the unit" } else { "not" });
    Ok(())
}

/// No validator has lost any of its bond.
fn bonds(network: &Network, expected: &Expected, report: &mut Report) -> Result<()> {
    let client = network.clients().into_iter().next().context("a node")?;
    let validators = client.validators().context("asking for validators")?.validators;
    let (mut touched, mut jailed) = (Vec::new(), 0);
    for (place, member) in network.members.iter().enumerate() {
        let found = validators.iter().find(|validator| validator.address.0 == member.account);
        let validator = found.context("every node is a validator")?;
        let convicted = matches!(validator.status, ValidatorStatus::Convicted);
        jailed += u32::from(matches!(validator.status, ValidatorStatus::Jailed { .. }));
        if convicted || validator.bonded.0 != BOND {
            touched.push(place);
        }
    }
    report.figure("validators jailed for missed proposals", jailed);
    let innocent: Vec<usize> =
        touched.iter().filter(|place| !expected.suspects.contains(place)).map(|p| p + 1).collect();
    report.claim("no honest validator has lost any of its bond", innocent.is_empty(), {
        if touched.is_empty() { "none has".to_owned() } else { format!("nodes {touched:?} have") }
    });
    Ok(())
}

fn executions(client: &Client) -> Result<Vec<Execution>> {
    let (mut all, mut after) = (Vec::new(), None);
    loop {
        let cut = Cut { after, limit: PAGE };
        let page = client.executions(ExecutionFilter::default(), cut)?;
        all.extend(page.items);
        match page.next {
            Some(next) => after = Some(next.0),
            None => return Ok(all),
        }
    }
}

/// Fines by offence: how often, and how much.
fn work(network: &Network, tally: &Tally, expected: &Expected, report: &mut Report) -> Result<()> {
    if tally.executions.is_empty() {
        return Ok(());
    }
    let client = network.clients().into_iter().next().context("a node")?;
    let all = executions(&client).context("listing executions")?;
    let open = all.iter().filter(|execution| execution.conclusion.is_none()).count();
    report.claim("no execution is open", open == 0, open);
    let suspects: Vec<Address> = expected
        .suspects
        .iter()
        .filter_map(|place| network.members.get(*place).map(|member| member.account))
        .collect();
    let (mut offences, mut dishonest) = (BTreeMap::<String, u32>::new(), 0);
    for member in all.iter().flat_map(|execution| &execution.members) {
        let Some(offence) = member.offence else { continue };
        *offences.entry(format!("{offence:?}")).or_default() += 1;
        let documented = match offence {
            Offence::Absence => true,
            Offence::Withheld => expected.seals_may_stay_shut,
            Offence::WrongResult
            | Offence::WrongCheck
            | Offence::WrongObservation
            | Offence::ForgedSeal => false,
        };
        dishonest += u32::from(!documented && !suspects.contains(&member.node.0));
    }
    let told: Vec<String> =
        offences.iter().map(|(what, count)| format!("{count} {what}")).collect();
    let told = if told.is_empty() { "none".to_owned() } else { told.join(", ") };
    report.figure("fines of workers", &told);
    report.claim("nobody honest was fined for more than being away", dishonest == 0, told);
    Ok(())
}
