//! What a scenario has shown: figures, and claims that hold or do not.

use std::fmt::Write as _;
use std::time::Duration;

/// A time as it is told.
#[must_use]
pub fn seconds(time: Duration) -> String {
    format!("{:.1} s", time.as_secs_f64())
}

/// Something that must hold.
#[derive(Clone, Debug)]
pub struct Claim {
    /// In words.
    pub text: String,
    /// Whether it does.
    pub holds: bool,
    /// What was seen.
    pub seen: String,
}

/// A measured number with its unit.
#[derive(Clone, Debug)]
pub struct Figure {
    /// Of what.
    pub name: String,
    /// How much.
    pub value: String,
}

/// What one scenario has shown.
#[derive(Clone, Debug)]
pub struct Report {
    /// The scenario.
    pub name: &'static str,
    /// What was done to the network, in one sentence.
    pub told: String,
    /// Numbers.
    pub figures: Vec<Figure>,
    /// What must hold.
    pub claims: Vec<Claim>,
    /// Why it was not played, if this machine does not allow it.
    pub skipped: Option<String>,
}

impl Report {
    /// Nothing shown yet.
    #[must_use]
    pub fn new(name: &'static str, told: impl Into<String>) -> Self {
        let (figures, claims) = (Vec::new(), Vec::new());
        Self { name, told: told.into(), figures, claims, skipped: None }
    }

    /// A scenario that this machine does not allow.
    #[must_use]
    pub fn skipped(name: &'static str, why: impl Into<String>) -> Self {
        Self { skipped: Some(why.into()), ..Self::new(name, "") }
    }

    /// Adds a number.
    pub fn figure(&mut self, name: &str, value: impl ToString) {
        self.figures.push(Figure { name: name.to_owned(), value: value.to_string() });
    }

    /// Adds what must hold.
    pub fn claim(&mut self, text: impl Into<String>, holds: bool, seen: impl ToString) {
        self.claims.push(Claim { text: text.into(), holds, seen: seen.to_string() });
    }

    /// True if no claim is broken.
    #[must_use]
    pub fn holds(&self) -> bool {
        self.claims.iter().all(|claim| claim.holds)
    }

    /// As a section of a document.
    #[must_use]
    pub fn markdown(&self) -> String {
        let mut text = format!("## {}\n\n", self.name);
        if let Some(why) = &self.skipped {
            writeln!(text, "**Not played on this machine**: {why}").ok(); // a string takes anything
            return text;
        }
        writeln!(text, "{}\n\n| Figure | |\n|---|---|", self.told).ok();
        for figure in &self.figures {
            writeln!(text, "| {} | {} |", figure.name, figure.value).ok();
        }
        text.push_str("\n| Claim | Holds | Seen |\n|---|---|---|\n");
        for claim in &self.claims {
            let holds = if claim.holds { "yes" } else { "**no**" };
            writeln!(text, "| {} | {holds} | {} |", claim.text, claim.seen).ok();
        }
        text
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_broken_claim_breaks_the_report_and_is_seen_in_it() {
        let mut report = Report::new("a", "Something was done.");
        report.figure("blocks", 7);
        report.claim("one chain", true, "1");
        assert!(report.holds());
        report.claim("nothing lost", false, "2 of 9");
        assert!(!report.holds());
        assert!(report.markdown().contains("| nothing lost | **no** | 2 of 9 |"));
    }

    #[test]
    fn a_skipped_scenario_says_why() {
        let report = Report::skipped("cut", "not root");
        assert!(report.holds() && report.markdown().contains("not root"));
    }
}
