//! What the steps of an application guarantee, and what an attempt of each costs.
//!
//! The same file runs trusted, verified and open: one field of a step is what changes. Whoever
//! deploys the next version is told what that field does.
//!
//! - Source: papers, B (from trusted execution to consensus), and `GLOSSARY.md`: trust dial.

use std::collections::BTreeMap;
use std::fmt;

use althing_api::ServiceKey;
use althing_api::client::Client;
use althing_api::wire::{Action, AmountText, Plan, StepPlan, TaskTerms};
use althing_types::{Amount, Hash};
use serde::Serialize;

/// How much has to go wrong before a false answer counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
enum Level {
    /// Whoever executes the step is believed.
    Trusted,
    /// Nodes that the file names check one another.
    Verified,
    /// Nodes that chance draws check one another.
    Open,
    /// Another application answers, with the guarantees of its own steps.
    Composed,
}

/// What a step guarantees.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
struct Guarantee {
    level: Level,
    /// The executor and its checkers.
    members: u16,
    /// How many of them must say the same.
    quorum: u16,
    /// How many nodes the file names; zero for any.
    named: usize,
    /// Whether the labels of a node decide.
    labelled: bool,
    /// What an attempt costs; absent where the node cannot tell.
    price: Option<AmountText>,
}

impl Guarantee {
    fn of(step: &StepPlan, prices: &Prices) -> Self {
        let members = step.checkers.saturating_add(1);
        let quorum = if step.quorum == 0 { members / 2 + 1 } else { step.quorum };
        let level = match (&step.action, step.checkers, step.nodes.is_empty()) {
            (Action::Application { .. }, _, _) => Level::Composed,
            (Action::Task { .. }, 0, _) => Level::Trusted,
            (Action::Task { .. }, _, false) => Level::Verified,
            (Action::Task { .. }, _, true) => Level::Open,
        };
        let (named, labelled) = (step.nodes.len(), !step.labels.is_empty());
        Self { level, members, quorum, named, labelled, price: prices.of(step) }
    }
}

impl fmt::Display for Guarantee {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { members, quorum, named, .. } = self;
        match (self.level, named) {
            (Level::Composed, _) => f.write_str("as the application that it uses")?,
            (Level::Trusted, 0) => f.write_str("trusted: one node is believed")?,
            (Level::Trusted, 1) => f.write_str("trusted: the named node is believed")?,
            (Level::Trusted, _) => write!(f, "trusted: one of {named} named nodes is believed")?,
            (Level::Verified, _) => {
                write!(f, "verified: false only if {quorum} of {members} named nodes lie alike")?;
            }
            (Level::Open, _) => {
                write!(f, "open: false only if {quorum} of {members} drawn nodes lie alike")?;
            }
        }
        if self.labelled {
            f.write_str(", chosen by labels")?;
        }
        match &self.price {
            Some(price) => write!(f, "; {price} an attempt"),
            None => Ok(()),
        }
    }
}

/// What the tasks of some plans cost.
#[derive(Debug, Default)]
pub(crate) struct Prices {
    services: BTreeMap<Hash, Vec<TaskTerms>>,
}

impl Prices {
    /// Asks a node; what it cannot tell is missing.
    pub(crate) fn ask<'a>(client: &Client, plans: impl IntoIterator<Item = &'a Plan>) -> Self {
        let mut services = BTreeMap::new();
        for step in plans.into_iter().flat_map(|plan| &plan.steps) {
            let Action::Task { service, .. } = &step.action else { continue };
            if !services.contains_key(&service.0)
                && let Ok(found) = client.service(&ServiceKey::Id(service.0))
            {
                services.insert(service.0, found.terms.tasks);
            }
        }
        Self { services }
    }

    fn of(&self, step: &StepPlan) -> Option<AmountText> {
        let Action::Task { service, task } = &step.action else { return None };
        let terms = self.services.get(&service.0)?.iter().find(|terms| terms.name == *task)?;
        let checks = terms.check_price.0.checked_mul(u64::from(step.checkers));
        Some(terms.price.0.saturating_add(checks.unwrap_or(Amount::MAX)).into())
    }
}

/// What becomes different with a new version.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub(crate) struct Change {
    step: String,
    /// Absent for a new step.
    before: Option<Guarantee>,
    /// Absent for one that is gone.
    after: Option<Guarantee>,
}

impl fmt::Display for Change {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let step = &self.step;
        match (&self.before, &self.after) {
            (Some(before), Some(after)) => write!(f, "{step}\n    was  {before}\n    is   {after}"),
            (None, Some(after)) => write!(f, "{step}\n    new  {after}"),
            (Some(_), None) => write!(f, "{step}\n    gone"),
            (None, None) => Ok(()),
        }
    }
}

/// The steps that guarantee something else, or cost something else, than before; in the order of the new
/// file, then those that are gone.
pub(crate) fn changes(before: &Plan, after: &Plan, prices: &Prices) -> Vec<Change> {
    let find = |plan: &Plan, step: &StepPlan| {
        let found = plan.steps.iter().find(|other| other.id == step.id);
        found.map(|step| Guarantee::of(step, prices))
    };
    let now = after.steps.iter().map(|step| (step, find(before, step), find(after, step)));
    let gone = before.steps.iter().map(|step| (step, find(before, step), find(after, step)));
    now.chain(gone.filter(|(_, _, after)| after.is_none()))
        .filter(|(_, before, after)| before != after)
        .map(|(step, before, after)| Change { step: step.id.to_string(), before, after })
        .collect()
}

#[cfg(test)]
mod tests {
    use althing_types::Address;

    use super::*;

    fn step(id: &str, checkers: u16, nodes: &[u8]) -> StepPlan {
        StepPlan {
            id: id.parse::<althing_types::Name>().unwrap().into(),
            action: Action::Task {
                service: Hash([1; 32]).into(),
                task: "total".parse::<althing_types::Name>().unwrap().into(),
            },
            after: serde_json::from_str(r#"{"mode":"all","ends":[]}"#).unwrap(),
            wait: None,
            checkers,
            quorum: 0,
            nodes: nodes.iter().map(|node| Address([*node; 20]).into()).collect(),
            labels: vec![],
            price_max: Amount::MAX.into(),
            retry: serde_json::from_str(r#"{"max":0,"backoff_ms":0}"#).unwrap(),
            timeout_ms: 0,
            yields: 0,
        }
    }

    fn plan(steps: Vec<StepPlan>) -> Plan {
        let trigger = serde_json::from_str(r#"{"event":null,"filter":[],"conditional":false}"#);
        Plan { trigger: trigger.unwrap(), steps, returns: vec![] }
    }

    fn prices() -> Prices {
        let terms = r#"[{"name":"total","statuses":["done"],"verification":"deterministic","price":"0.1",
            "check_price":"0.05","time_limit_ms":100}]"#;
        Prices { services: BTreeMap::from([(Hash([1; 32]), serde_json::from_str(terms).unwrap())]) }
    }

    fn told(before: Vec<StepPlan>, after: Vec<StepPlan>) -> String {
        let changes = changes(&plan(before), &plan(after), &prices());
        changes.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n")
    }

    #[test]
    fn one_field_turns_trusted_into_verified_and_that_into_open_and_its_price_is_told() {
        assert_eq!(
            told(vec![step("charge", 0, &[])], vec![step("charge", 3, &[1, 2, 3, 4])]),
            "charge\n    was  trusted: one node is believed; 0.1 an attempt\n    \
             is   verified: false only if 3 of 4 named nodes lie alike; 0.25 an attempt"
        );
        assert_eq!(
            told(vec![step("charge", 3, &[1, 2, 3, 4])], vec![step("charge", 2, &[])]),
            "charge\n    was  verified: false only if 3 of 4 named nodes lie alike; 0.25 an attempt\n    \
             is   open: false only if 2 of 3 drawn nodes lie alike; 0.2 an attempt"
        );
    }

    #[test]
    fn steps_that_stay_as_they_are_are_not_mentioned_new_ones_and_gone_ones_are() {
        let (same, new) = (step("same", 1, &[]), step("new", 0, &[9]));
        assert_eq!(
            told(vec![same.clone(), step("old", 0, &[])], vec![new, same]),
            "new\n    new  trusted: the named node is believed; 0.1 an attempt\nold\n    gone"
        );
    }
}
