//! An execution in words, from what the ledger recorded of it. Pure: everything it needs is given.

use std::fmt::Write as _;

use althing_api::wire::{
    Claim, Conclusion, Execution, ExplainedDraw, Explanation, Hop, Member, MemberState, Offence,
    Outcome, Parameters, Role,
};
use althing_types::{Amount, BasisPoints};
use serde::Serialize;
use serde_json::Value;

use super::divergence::{Divergence, Outputs, first};
use crate::commands::execution::conclusion;
use crate::names::Names;
use crate::words;

/// From what the story is told.
#[derive(Clone, Copy)]
pub(super) struct Sources<'a> {
    pub(super) explanation: &'a Explanation,
    /// What people call the service.
    pub(super) alias: Option<&'a str>,
    pub(super) names: &'a Names,
    /// By hash.
    pub(super) outputs: &'a Outputs,
    pub(super) parameters: Option<&'a Parameters>,
}

/// The whole story.
pub(super) fn tell(sources: &Sources<'_>) -> String {
    let mut text = String::new();
    call(&mut text, sources);
    route(&mut text, sources);
    for (index, draw) in sources.explanation.draws.iter().enumerate() {
        drawn(&mut text, sources, index, draw);
    }
    answers(&mut text, sources);
    partings_in_words(&mut text, sources);
    fines(&mut text, sources);
    payments(&mut text, sources);
    end(&mut text, sources);
    text
}

/// Adds a line; writing to a string cannot fail.
macro_rules! line {
    ($text:expr, $($arguments:tt)*) => {
        writeln!($text, $($arguments)*).expect("a string takes every write")
    };
}

fn call(text: &mut String, sources: &Sources<'_>) {
    let execution = &sources.explanation.execution;
    let service = execution.service.to_string();
    line!(text, "Execution {}", execution.id);
    line!(
        text,
        "{} called {} of {} in block {}, to be checked by {}; {} of {} must agree.",
        sources.names.full(&execution.payer),
        execution.task,
        sources.alias.unwrap_or(&service),
        execution.created,
        counted(usize::from(execution.checkers), "node", "nodes"),
        execution.quorum,
        execution.checkers.saturating_add(1),
    );
    if !execution.nodes.is_empty() {
        let nodes: Vec<String> =
            execution.nodes.iter().map(|node| sources.names.name(node)).collect();
        line!(text, "Only these nodes could be drawn: {}.", nodes.join(", "));
    }
    if !execution.labels.is_empty() {
        let labels: Vec<String> = execution.labels.iter().map(ToString::to_string).collect();
        line!(text, "Only nodes that label themselves {} could be drawn.", labels.join(", "));
    }
}

/// Which way it took: a client may ask any node, and whoever is drawn fetches the input from there.
fn route(text: &mut String, sources: &Sources<'_>) {
    let name = |hop: &Hop| match (&hop.node, &hop.endpoint) {
        (Some(node), _) => sources.names.name(node),
        (None, Some(endpoint)) => format!("the node at {endpoint}"),
        (None, None) => "a node that is not known".to_owned(),
    };
    let (asked, drawn): (Vec<&Hop>, Vec<&Hop>) =
        sources.explanation.route.iter().partition(|hop| hop.part.is_none());
    if asked.is_empty() || drawn.is_empty() {
        return;
    }
    let asked = asked.into_iter().map(|hop| {
        let runs = if hop.runs_service { "" } else { " (does not run the service)" };
        format!("{}{runs}", name(hop))
    });
    let drawn = drawn.into_iter().map(|hop| match hop.part {
        Some(Role::Executor) | None => name(hop),
        Some(Role::Checker) => format!("{} (checks)", name(hop)),
    });
    let (asked, drawn): (Vec<String>, Vec<String>) = (asked.collect(), drawn.collect());
    line!(text, "Route: {} → ledger → {}.", asked.join(", "), drawn.join(", "));
}

fn drawn(text: &mut String, sources: &Sources<'_>, index: usize, explained: &ExplainedDraw) {
    let (execution, draw) = (&sources.explanation.execution, &explained.draw);
    line!(
        text,
        "\nDraw {} (round {}), by the beacon of block {}:",
        index + 1,
        draw.round,
        draw.height
    );
    line!(text, "  beacon  {}", draw.beacon);
    line!(text, "  seed    {}", explained.seed);
    let total: u128 = explained
        .candidates
        .iter()
        .flatten()
        .filter_map(|one| one.weight.parse::<u128>().ok())
        .sum();
    for (seat, node) in draw.drawn.iter().enumerate() {
        let found = explained.candidates.iter().flatten().find(|candidate| candidate.node == *node);
        let weight = found.map_or_else(String::new, |candidate| {
            let newcomer = if candidate.newcomer { ", a newcomer" } else { "" };
            format!(
                ", {} of all weight{newcomer}",
                percent(candidate.weight.parse().unwrap_or(0), total)
            )
        });
        let part = part_of(execution, draw.round, node.0);
        line!(text, "  {}. {}: {part}{weight}", seat + 1, sources.names.full(node));
    }
    let Some(candidates) = &explained.candidates else {
        line!(text, "  The asked node no longer has the list of candidates {}.", draw.roster);
        return;
    };
    let share = explained.newcomers_share.map_or_else(String::new, |share| {
        format!("; {} of draws are kept for newcomers", BasisPoints(share))
    });
    line!(text, "  Out of {}{share}.", counted(candidates.len(), "candidate", "candidates"));
    match &explained.replayed {
        Some(replayed) if *replayed == draw.drawn => {
            line!(text, "  Replayed: beacon and weights give the same nodes.");
        }
        Some(replayed) => {
            let names: Vec<String> = replayed.iter().map(|node| sources.names.name(node)).collect();
            line!(text, "  REPLAYED DIFFERENTLY: beacon and weights give {}.", names.join(", "));
        }
        None => {}
    }
}

/// What became of somebody who was drawn.
fn part_of(execution: &Execution, round: u32, node: althing_types::Address) -> &'static str {
    let member =
        execution.members.iter().find(|member| member.round == round && member.node.0 == node);
    member.map_or("substitute, not needed", |member| words::role(member.role))
}

fn answers(text: &mut String, sources: &Sources<'_>) {
    let execution = &sources.explanation.execution;
    if execution.members.is_empty() {
        return;
    }
    line!(text, "\nAnswers:");
    let accepted = match &execution.conclusion {
        Some(Conclusion::Accepted { outcome }) => Some(outcome),
        Some(Conclusion::Failed { .. }) | None => None,
    };
    // Who said the same is told together, in the order of the first of them.
    let mut groups: Vec<(&MemberState, Vec<&Member>)> = Vec::new();
    for member in &execution.members {
        let same = groups.iter_mut().find(|(state, _)| says_the_same(state, &member.state));
        match same {
            Some((_, members)) => members.push(member),
            None => groups.push((&member.state, vec![member])),
        }
    }
    let differing = differing_keys(sources, &groups);
    for (state, members) in &groups {
        let names = list(members.iter().map(|member| sources.names.name(&member.node)));
        let said = said(sources, state, members.len(), &differing);
        let mark = match state {
            MemberState::Opened { claim: Claim::Outcome(outcome) } if accepted == Some(outcome) => {
                "  <- accepted"
            }
            _ => "",
        };
        line!(text, "  {names} {said}{mark}");
    }
}

fn says_the_same(one: &MemberState, other: &MemberState) -> bool {
    match (one, other) {
        (MemberState::Opened { claim: one }, MemberState::Opened { claim: other }) => one == other,
        (MemberState::Opened { .. }, _) | (_, MemberState::Opened { .. }) => false,
        // Two seals differ even where what they stand for does not.
        _ => std::mem::discriminant(one) == std::mem::discriminant(other),
    }
}

fn said(sources: &Sources<'_>, state: &MemberState, count: usize, differing: &[String]) -> String {
    match state {
        MemberState::Opened { claim: Claim::Outcome(outcome) } => {
            format!("answered {}", answer(sources, outcome, differing))
        }
        MemberState::Opened { claim: Claim::Opinion(opinion) } => {
            format!("found the answer {}", words::opinion(*opinion))
        }
        MemberState::Forged { .. } => {
            "sealed what is not their own work, and could not open it".to_owned()
        }
        MemberState::Withheld { .. } => "sealed an answer and did not open it".to_owned(),
        MemberState::Absent => "said nothing in time".to_owned(),
        MemberState::Released => {
            (if count == 1 { "was not needed" } else { "were not needed" }).to_owned()
        }
        MemberState::Sealed { .. } => "sealed an answer that is not open yet".to_owned(),
        MemberState::Assigned => (if count == 1 { "is at work" } else { "are at work" }).to_owned(),
        MemberState::Standby => "waits for the answer".to_owned(),
    }
}

/// The keys in which outputs of one status differ: they are what a reader wants to see.
fn differing_keys(sources: &Sources<'_>, groups: &[(&MemberState, Vec<&Member>)]) -> Vec<String> {
    let outputs: Vec<(&str, &serde_json::Map<String, Value>)> = groups
        .iter()
        .filter_map(|(state, _)| match state {
            MemberState::Opened {
                claim: Claim::Outcome(Outcome::Returned { status, output, .. }),
            } => {
                let value = sources.outputs.get(&output.hash.0)?.value.as_ref()?;
                Some((status.as_str(), value.as_object()?))
            }
            _ => None,
        })
        .collect();
    let mut keys: Vec<String> = Vec::new();
    for (status, one) in &outputs {
        for (_, other) in outputs.iter().filter(|(also, _)| also == status) {
            let differ = one.iter().filter(|(key, value)| other.get(*key) != Some(value));
            for (key, _) in differ {
                if !keys.contains(key) {
                    keys.push(key.clone());
                }
            }
        }
    }
    keys
}

fn answer(sources: &Sources<'_>, outcome: &Outcome, differing: &[String]) -> String {
    match outcome {
        Outcome::Returned { status, output, .. } => {
            let kept = sources.outputs.get(&output.hash.0).and_then(|kept| kept.value.as_ref());
            let Some(value) = kept else {
                return format!("{status} with the output {}", output.hash);
            };
            let fields: Vec<String> = value
                .as_object()
                .into_iter()
                .flatten()
                .filter(|(key, _)| differing.is_empty() || differing.contains(key))
                .map(|(key, value)| format!("{key} {}", brief(value)))
                .collect();
            match (value.is_object(), fields.is_empty()) {
                (true, true) => status.to_string(),
                (true, false) => format!("{status}: {}", fields.join(", ")),
                (false, _) => format!("{status}: {}", brief(value)),
            }
        }
        Outcome::Declined => format!("that {}", words::DECLINED),
        Outcome::Failed { failure } => format!("that {}", words::failure(*failure)),
        Outcome::Inconclusive { doubt } => format!("that {}", words::doubt(*doubt)),
    }
}

/// Who parts from whom, and where.
#[derive(Debug, Serialize)]
pub(super) struct Parting {
    /// Accounts that said the one.
    nodes: Vec<String>,
    /// Whether that one was accepted.
    accepted: bool,
    /// Accounts that said the other.
    others: Vec<String>,
    /// Where the other parts from the one.
    first: Divergence,
}

/// Where each answer parts from the accepted one; from the first, if none was accepted.
pub(super) fn partings(execution: &Execution, outputs: &Outputs) -> Vec<Parting> {
    let accepted = match &execution.conclusion {
        Some(Conclusion::Accepted { outcome }) => Some(outcome),
        Some(Conclusion::Failed { .. }) | None => None,
    };
    let mut groups: Vec<(&Outcome, Vec<String>)> = Vec::new();
    for member in &execution.members {
        let MemberState::Opened { claim: Claim::Outcome(outcome) } = &member.state else {
            continue;
        };
        let node = member.node.to_string();
        match groups.iter_mut().find(|(known, _)| *known == outcome) {
            Some((_, nodes)) => nodes.push(node),
            None => groups.push((outcome, vec![node])),
        }
    }
    let place = groups.iter().position(|(outcome, _)| Some(*outcome) == accepted).unwrap_or(0);
    let Some((base, nodes)) = groups.get(place) else { return Vec::new() };
    let others = groups.iter().filter(|(outcome, _)| outcome != base);
    let parting = |(outcome, others): &(&Outcome, Vec<String>)| {
        let first = first(base, outcome, outputs)?;
        let (nodes, others) = (nodes.clone(), others.clone());
        Some(Parting { nodes, accepted: accepted == Some(*base), others, first })
    };
    others.filter_map(parting).collect()
}

fn partings_in_words(text: &mut String, sources: &Sources<'_>) {
    let partings = partings(&sources.explanation.execution, sources.outputs);
    if partings.is_empty() {
        return;
    }
    line!(text, "\nFirst differences:");
    let name = |node: &String| {
        node.parse().map_or_else(|_| node.clone(), |node| sources.names.name(&node))
    };
    for Parting { nodes, accepted, others, first } in &partings {
        let (nodes, others) = (list(nodes.iter().map(name)), list(others.iter().map(name)));
        let mark = if *accepted { " (accepted)" } else { "" };
        line!(text, "  {nodes}{mark} against {others}: {}", parting(first));
    }
}

fn parting(at: &Divergence) -> String {
    let value = |value: &Option<Value>| value.as_ref().map_or_else(|| "nothing".to_owned(), quoted);
    let byte = |byte: &Option<u8>| {
        byte.map_or_else(|| "the end".to_owned(), |byte| format!("{byte:#04x}"))
    };
    match at {
        Divergence::Kind => "one returned and the other did not, or in another way".to_owned(),
        Divergence::Status { one, other } => format!("the status, {one} and {other}"),
        Divergence::Value { path, one, other } => {
            format!("at {}, {} and {}", words::plain(path), value(one), value(other))
        }
        Divergence::Byte { offset, one, other } => {
            format!("byte {offset} of the outputs, {} and {}", byte(one), byte(other))
        }
        Divergence::Lost => "the outputs, which are not kept any more".to_owned(),
        Divergence::Key { index } => format!("key {index} for later waits"),
    }
}

/// As [`brief`], with a text told from what looks like it.
fn quoted(value: &Value) -> String {
    if value.is_string() { format!("\"{}\"", brief(value)) } else { brief(value) }
}

/// A value as people write it, cut where it gets long.
fn brief(value: &Value) -> String {
    const CHARACTERS_MAX: usize = 60;
    let text = value.as_str().map_or_else(|| value.to_string(), str::to_owned);
    // Somebody else's text must not be able to write on the terminal what it likes.
    let mut short: String =
        text.chars().take(CHARACTERS_MAX).map(|c| if c.is_control() { ' ' } else { c }).collect();
    if text.chars().nth(CHARACTERS_MAX).is_some() {
        short.push('…');
    }
    short
}

fn fines(text: &mut String, sources: &Sources<'_>) {
    let execution = &sources.explanation.execution;
    let fined: Vec<(&Member, Offence)> =
        execution.members.iter().filter_map(|member| Some((member, member.offence?))).collect();
    if fined.is_empty() {
        return;
    }
    line!(text, "\nFines:");
    for (member, offence) in fined {
        let formula = sources.parameters.map_or_else(String::new, |parameters| {
            format!(" = {}", formula(execution, member, offence, parameters))
        });
        line!(
            text,
            "  {} paid {} for {}{formula}",
            sources.names.full(&member.node),
            member.fine,
            words::offence(offence)
        );
    }
    let burned = sources.parameters.map(|parameters| BasisPoints(parameters.slash_burned));
    if let Some(burned) = burned {
        line!(text, "  Of each fine {burned} is burned.");
    }
}

/// stake × severity × f(n) × c, as the ledger computes it.
fn formula(
    execution: &Execution,
    member: &Member,
    offence: Offence,
    parameters: &Parameters,
) -> String {
    let severity = BasisPoints(match offence {
        Offence::WrongResult if member.role == Role::Executor => parameters.executor_wrong,
        Offence::WrongResult | Offence::WrongCheck => parameters.checker_wrong,
        Offence::WrongObservation => parameters.emitter_wrong,
        Offence::ForgedSeal => parameters.bad_opening,
        Offence::Withheld => parameters.withheld,
        Offence::Absence => parameters.absent,
    });
    let took_part = |other: &&Member| {
        other.round <= member.round
            && !matches!(other.state, MemberState::Absent | MemberState::Released)
    };
    match offence {
        // How many were at work when the deadline passed is not in the final record.
        Offence::Absence => {
            format!(
                "its stake × {severity} × 2/(n+1) × (1 + 1/n), with the n who took part or were to"
            )
        }
        Offence::ForgedSeal => {
            let n = execution.members.iter().filter(took_part).count();
            format!("its stake × {severity} × 2/({n}+1) × (1 + 1/{n})")
        }
        Offence::WrongResult
        | Offence::WrongCheck
        | Offence::WrongObservation
        | Offence::Withheld => {
            let n = execution.members.iter().filter(took_part).count();
            let like = |other: &&Member| {
                other.offence == Some(offence) && other.role_matters(member, offence)
            };
            let offenders = execution.members.iter().filter(like).count();
            format!("its stake × {severity} × 2/({n}+1) × (1 + {offenders}/{n})")
        }
    }
}

/// Which members are judged together.
trait JudgedTogether {
    fn role_matters(&self, with: &Member, offence: Offence) -> bool;
}

impl JudgedTogether for Member {
    /// Results of all rounds are judged at once; opinions and withheld seals by round.
    fn role_matters(&self, with: &Member, offence: Offence) -> bool {
        offence == Offence::WrongResult || self.round == with.round
    }
}

fn payments(text: &mut String, sources: &Sources<'_>) {
    let execution = &sources.explanation.execution;
    let paid: Vec<String> = execution
        .members
        .iter()
        .filter(|member| !member.earned.is_zero())
        .map(|member| format!("{} {}", sources.names.name(&member.node), member.earned))
        .collect();
    if !paid.is_empty() {
        line!(text, "\nEarned: {}.", paid.join(", "));
    }
}

fn end(text: &mut String, sources: &Sources<'_>) {
    let execution = &sources.explanation.execution;
    let Some(ended) = &execution.conclusion else {
        line!(text, "\nIt is not settled yet: {}, round {}.", execution.phase, execution.round);
        return;
    };
    let back: Amount = execution.refunded.0;
    line!(
        text,
        "\nEnd: {} in block {}. The caller paid {} and got {back} back.",
        conclusion(ended),
        execution.changed,
        execution.paid_in
    );
}

fn counted(count: usize, one: &str, many: &str) -> String {
    match count {
        0 => format!("no {one}"),
        1 => format!("1 {one}"),
        _ => format!("{count} {many}"),
    }
}

/// `a`, `a and b`, `a, b and c`.
fn list(items: impl Iterator<Item = String>) -> String {
    let mut items: Vec<String> = items.collect();
    match (items.pop(), items.is_empty()) {
        (None, _) => String::new(),
        (Some(last), true) => last,
        (Some(last), false) => format!("{} and {last}", items.join(", ")),
    }
}

/// A share in percent with one decimal, rounded down.
fn percent(part: u128, whole: u128) -> String {
    let thousandths = part.saturating_mul(1000).checked_div(whole).unwrap_or(0);
    format!("{}.{} %", thousandths / 10, thousandths % 10)
}

#[cfg(test)]
#[path = "story_tests.rs"]
mod tests;
