//! What the story has shown: figures, and claims that hold or do not.

use std::fmt::Write as _;

use serde::Serialize;

/// Everything that the story has shown.
#[derive(Clone, Debug, Default, Serialize)]
pub struct Report {
    /// One row for each way of calling.
    pub runs: Vec<Run>,
    /// What became of each dishonest node.
    pub offenders: Vec<Offender>,
    /// What was claimed, and whether it holds.
    pub claims: Vec<Claim>,
    /// Wall time of the whole story in seconds.
    pub seconds: f64,
}

/// One passage of all invoices.
#[derive(Clone, Debug, Serialize)]
pub struct Run {
    /// What it is called.
    pub name: String,
    /// The trust dial.
    pub checkers: u32,
    /// How many invoices.
    pub invoices: usize,
    /// How many answers were right.
    pub right: usize,
    /// How many were wrong.
    pub wrong: usize,
    /// How many have no answer and were refunded.
    pub unanswered: usize,
    /// What all of them cost, in tokens.
    pub paid: String,
    /// Wall time in seconds.
    pub seconds: f64,
}

/// What became of a dishonest node.
#[derive(Clone, Debug, Serialize)]
pub struct Offender {
    /// Its number.
    pub node: usize,
    /// What it was started as.
    pub conduct: String,
    /// By offence: how often it was fined for it.
    pub offences: Vec<(String, usize)>,
    /// All fines in tokens, added up from the executions' final records.
    pub fined: String,
    /// The same as the node's offer says it.
    pub fined_by_the_ledger: String,
}

/// Something that must hold.
#[derive(Clone, Debug, Serialize)]
pub struct Claim {
    /// In words.
    pub text: String,
    /// Whether it does.
    pub holds: bool,
    /// What was seen.
    pub seen: String,
}

impl Report {
    /// Notes a claim.
    pub fn claim(&mut self, text: &str, holds: bool, seen: impl Into<String>) {
        self.claims.push(Claim { text: text.to_owned(), holds, seen: seen.into() });
    }

    /// True if every claim holds.
    #[must_use]
    pub fn holds(&self) -> bool {
        !self.claims.is_empty() && self.claims.iter().all(|claim| claim.holds)
    }

    /// The report for people.
    ///
    /// # Panics
    ///
    /// Never: writing to a string cannot fail.
    #[must_use]
    pub fn text(&self) -> String {
        let mut text = String::new();
        self.write_runs(&mut text);
        self.write_offenders(&mut text);
        text.push_str("\nClaims\n\n");
        for claim in &self.claims {
            let mark = if claim.holds { "holds" } else { "FAILS" };
            writeln!(text, "  {mark}  {}  ({})", claim.text, claim.seen)
                .expect("writing to a string");
        }
        writeln!(text, "\n{:.1} s in all.", self.seconds).expect("writing to a string");
        text
    }

    fn write_runs(&self, text: &mut String) {
        if self.runs.is_empty() {
            return;
        }
        text.push_str("\nWhat trust costs, and what its absence costs\n\n");
        text.push_str(
            "  run                      checkers   right   wrong   no answer     price   seconds\n",
        );
        for run in &self.runs {
            writeln!(
                text,
                "  {:<24} {:>8} {:>7} {:>7} {:>11} {:>9} {:>9.1}",
                run.name, run.checkers, run.right, run.wrong, run.unanswered, run.paid, run.seconds
            )
            .expect("writing to a string");
        }
    }

    fn write_offenders(&self, text: &mut String) {
        if self.offenders.is_empty() {
            return;
        }
        text.push_str("\nWho was caught\n\n");
        for offender in &self.offenders {
            let offences: Vec<String> = offender
                .offences
                .iter()
                .map(|(offence, count)| format!("{count} × {offence}"))
                .collect();
            writeln!(
                text,
                "  node {} ({}): {}; fined {} tokens",
                offender.node,
                offender.conduct,
                offences.join(", "),
                offender.fined
            )
            .expect("writing to a string");
        }
    }
}
