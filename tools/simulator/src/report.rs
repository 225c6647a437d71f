//! What a run came to, and what many runs covered.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use althing_ledger::Conclusion;
use althing_types::Hash;
use althing_workflow::RunStatus;

use crate::auditor::{Auditor, Violation};
use crate::scenario::Scenario;

/// Counts by a word.
pub type Counts = BTreeMap<&'static str, u64>;

/// What happened, in numbers.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Statistics {
    /// Virtual time, in microseconds.
    pub simulated_us: u64,
    /// Blocks.
    pub heights: u64,
    /// Events that were delivered.
    pub events: u64,
    /// Faults by kind.
    pub faults: Counts,
    /// What dishonest nodes did, by kind.
    pub misdeeds: Counts,
    /// Frames by fate.
    pub frames: Counts,
    /// Nodes that stopped by themselves, by code.
    pub stops: Counts,
    /// Changes of executions, by kind.
    pub steps: Counts,
    /// Edges between the phases of executions.
    pub edges: BTreeMap<(&'static str, &'static str), u64>,
    /// Fines by offence.
    pub fines: Counts,
    /// Ends of executions, by kind.
    pub ends: Counts,
    /// Edges between the states of events.
    pub event_edges: BTreeMap<(&'static str, &'static str), u64>,
    /// Fines of emitters by offence.
    pub event_fines: Counts,
    /// Observations that the ledger refused, by code.
    pub observations_refused: Counts,
    /// Events that became valid though they are not so, where liars were most of those whose word counted.
    pub captures: u64,
    /// Chains that stand still because those who were jailed are missing from the quorum.
    pub jailed_quorums: u64,
    /// What happened to runs, by kind.
    pub run_steps: Counts,
    /// Ends of runs, by kind.
    pub run_ends: Counts,
    /// Edges between the phases of runs' steps, from one block to another.
    pub run_edges: BTreeMap<(&'static str, &'static str), u64>,
    /// What programs did outside.
    pub outside: Counts,
    /// What became of blocks that were open for their proposers' answers.
    pub open_blocks: Counts,
    /// Dishonest nodes by part.
    pub parts: BTreeMap<String, u64>,
    /// Convicted validators.
    pub convicted: u64,
    /// Transactions of users that were acknowledged.
    pub acknowledged: u64,
    /// Sectors that power losses kept from the disk.
    pub sectors_lost: u64,
}

fn add<K: Ord + Clone>(to: &mut BTreeMap<K, u64>, from: &BTreeMap<K, u64>) {
    for (key, count) in from {
        *to.entry(key.clone()).or_default() += count;
    }
}

impl Statistics {
    pub(crate) fn count_frames(&mut self, sent: u64, lost: u64, cut: u64, doubled: u64) {
        let counts = [("sent", sent), ("lost", lost), ("cut off", cut), ("doubled", doubled)];
        self.frames.extend(counts);
    }

    pub(crate) fn take_in(&mut self, auditor: &Auditor) {
        self.steps.clone_from(&auditor.steps);
        self.edges.clone_from(&auditor.edges);
        self.fines.clone_from(&auditor.fines);
        self.convicted = auditor.convicted.len() as u64;
        self.event_edges.clone_from(&auditor.events.edges);
        self.event_fines.clone_from(&auditor.events.fines);
        self.observations_refused.clone_from(&auditor.events.refused);
        self.captures = auditor.events.captures;
        add(&mut self.open_blocks, &auditor.answers);
        self.run_steps.clone_from(&auditor.runs.steps);
        self.run_ends.clone_from(&auditor.runs.results);
        self.run_edges.clone_from(&auditor.runs.edges);
        for (record, _) in auditor.runs.open() {
            let status = auditor.runs.status(record);
            let name = status.as_ref().map_or("open: unknown", |status| match status {
                RunStatus::Running => "open: running",
                RunStatus::Waiting => "open: waiting",
                RunStatus::OutOfFunds => "open: out of funds",
                RunStatus::Failed => "open: failed, can be repeated",
                RunStatus::Done | RunStatus::Dead | RunStatus::Skipped | RunStatus::Cancelled => {
                    "open: over"
                }
            });
            *self.run_ends.entry(name).or_default() += 1;
        }
        for execution in auditor.settled.values() {
            let end = match &execution.conclusion {
                Some(Conclusion::Accepted(_)) => "accepted",
                Some(Conclusion::Failed(reason)) => match reason {
                    althing_ledger::Reason::NoCandidates => "failed: no candidates",
                    althing_ledger::Reason::TooFewMembers => "failed: too few members",
                    althing_ledger::Reason::NoQuorum => "failed: no quorum",
                    althing_ledger::Reason::Inconclusive => "failed: inconclusive",
                    althing_ledger::Reason::NoValidAnswer => "failed: no valid answer",
                },
                None => "without a conclusion",
            };
            *self.ends.entry(end).or_default() += 1;
        }
    }

    /// Adds another run's numbers.
    pub fn add(&mut self, other: &Self) {
        self.simulated_us += other.simulated_us;
        self.heights += other.heights;
        self.events += other.events;
        self.convicted += other.convicted;
        self.acknowledged += other.acknowledged;
        self.sectors_lost += other.sectors_lost;
        self.captures += other.captures;
        self.jailed_quorums += other.jailed_quorums;
        add(&mut self.event_edges, &other.event_edges);
        add(&mut self.event_fines, &other.event_fines);
        add(&mut self.observations_refused, &other.observations_refused);
        add(&mut self.run_steps, &other.run_steps);
        add(&mut self.run_ends, &other.run_ends);
        add(&mut self.run_edges, &other.run_edges);
        add(&mut self.outside, &other.outside);
        add(&mut self.open_blocks, &other.open_blocks);
        add(&mut self.faults, &other.faults);
        add(&mut self.misdeeds, &other.misdeeds);
        add(&mut self.frames, &other.frames);
        add(&mut self.stops, &other.stops);
        add(&mut self.steps, &other.steps);
        add(&mut self.edges, &other.edges);
        add(&mut self.fines, &other.fines);
        add(&mut self.ends, &other.ends);
        add(&mut self.parts, &other.parts);
    }

    /// As tables in Markdown.
    #[must_use]
    pub fn markdown(&self) -> String {
        let mut text = String::new();
        let mut line = |what: &str, value: String| {
            writeln!(text, "| {what} | {value} |").expect("writing to memory cannot fail");
        };
        line("simulated time", format!("{:.2} h", self.simulated_us as f64 / 3.6e9));
        line("blocks", self.heights.to_string());
        line("events delivered", self.events.to_string());
        line("transactions acknowledged", self.acknowledged.to_string());
        line("executions ended", self.ends.values().sum::<u64>().to_string());
        line("validators convicted", self.convicted.to_string());
        line("unsynced sectors lost", self.sectors_lost.to_string());
        line("chains that stand still for want of who is jailed", self.jailed_quorums.to_string());
        line("false events made valid by a captured office", self.captures.to_string());
        let head = "| | |\n|---|---|\n";
        let mut all = format!("{head}{text}");
        let tables = [
            ("Faults injected", &self.faults),
            ("What dishonest nodes did", &self.misdeeds),
            ("Frames", &self.frames),
            ("Nodes that stopped by themselves, by code", &self.stops),
            ("Steps of executions", &self.steps),
            ("Ends of executions", &self.ends),
            ("Fines", &self.fines),
            ("Fines of emitters", &self.event_fines),
            ("Observations that the ledger refused, by code", &self.observations_refused),
            ("What happened to runs", &self.run_steps),
            ("Ends of runs", &self.run_ends),
            ("What programs did outside", &self.outside),
            ("Blocks that were open for answers", &self.open_blocks),
        ];
        for (title, counts) in tables.iter().filter(|(_, counts)| !counts.is_empty()) {
            write!(all, "\n**{title}**\n\n{head}").expect("writing to memory cannot fail");
            for (what, count) in *counts {
                writeln!(all, "| {what} | {count} |").expect("writing to memory cannot fail");
            }
        }
        let edges = [
            ("Edges between phases of executions", &self.edges),
            ("Edges between states of events", &self.event_edges),
            ("Edges between phases of runs' steps, from block to block", &self.run_edges),
        ];
        for (title, edges) in edges {
            write!(all, "\n**{title}**\n\n{head}").expect("writing to memory cannot fail");
            for ((from, to), count) in edges {
                writeln!(all, "| {from} → {to} | {count} |")
                    .expect("writing to memory cannot fail");
            }
        }
        write!(all, "\n**Dishonest parts**\n\n{head}").expect("writing to memory cannot fail");
        for (part, count) in &self.parts {
            writeln!(all, "| {part} | {count} |").expect("writing to memory cannot fail");
        }
        all
    }
}

/// What a run came to.
#[derive(Clone, Debug)]
pub struct Report {
    /// The scenario.
    pub scenario: Scenario,
    /// Equal for equal runs.
    pub trace: Hash,
    /// Broken claims; none if all is well.
    pub violations: Vec<Violation>,
    /// The numbers.
    pub statistics: Statistics,
    /// The last things that happened, for people.
    pub lines: Vec<String>,
}

impl Report {
    /// Whether every claim held.
    #[must_use]
    pub fn is_well(&self) -> bool {
        self.violations.is_empty()
    }

    /// What a person needs to repeat and understand a failure.
    #[must_use]
    pub fn story(&self) -> String {
        let mut text = format!("{}\n", self.scenario);
        for violation in &self.violations {
            writeln!(text, "BROKEN: {violation}").expect("writing to memory cannot fail");
        }
        writeln!(text, "trace {}", self.trace).expect("writing to memory cannot fail");
        for line in self.lines.iter().rev().take(60).rev() {
            writeln!(text, "{line}").expect("writing to memory cannot fail");
        }
        text
    }
}
