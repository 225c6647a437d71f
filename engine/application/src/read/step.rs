//! Reads the steps of an application file.

use std::ops::Range;

use althing_manifest::document::{Content, Node, place};
use althing_types::{
    Address, Amount, LABEL_VALUES_MAX, LABELS_MAX, LabelCondition, Name, STEPS_MAX,
};

use super::{CHECKERS_MAX, FileReader, RETRIES_MAX, VARIABLES};
use crate::file::{AfterText, Placed, StepText, Verify};
use crate::form::ENDS_MAX;
use crate::mistake::MistakeKind;

impl FileReader<'_> {
    pub(super) fn steps(&mut self, node: &Node) -> Option<Vec<StepText>> {
        let Content::List(items) = &node.value else {
            self.reader.wrong_type(node, "then", "a list", "begin each step with '- '");
            return None;
        };
        self.count(items.len(), 1..=STEPS_MAX, "steps", place(node))?;
        let steps: Vec<_> =
            items.iter().enumerate().map(|(index, item)| self.step(item, index)).collect();
        let steps: Vec<StepText> = steps.into_iter().collect::<Option<_>>()?;
        for (index, step) in steps.iter().enumerate() {
            if steps.iter().take(index).any(|other| other.id.value == step.id.value) {
                let message = format!("there are two steps '{}'", step.id.value);
                self.mistake(
                    MistakeKind::Name,
                    step.id.at.clone(),
                    "again",
                    message,
                    "each step has its own id",
                );
            }
        }
        Some(steps)
    }

    pub(super) fn step(&mut self, node: &Node, index: usize) -> Option<StepText> {
        let known = [
            "id",
            "do",
            "after",
            "await",
            "with",
            "verify",
            "retry",
            "timeout",
            "nodes",
            "max_price",
            "private",
        ];
        let at = place(node);
        let fields = self.reader.fields(node, at.start..at.start, "a step", &known)?;
        let id = self.reader.required(&fields, "id", "write `id: a_name`");
        let id = id.and_then(|(node, _)| self.step_id(node));
        let action = self.reader.required(&fields, "do", "write `do: alias.task`");
        let action = action.and_then(|(node, _)| {
            let text = self.reader.text(node, "do")?;
            Some(Placed { value: text.to_owned(), at: place(node) })
        });
        let after = match fields.find("after") {
            Some((_, at)) if index == 0 => {
                self.mistake(
                    MistakeKind::Rule,
                    at,
                    "the first step",
                    "the first step hangs on the event of `when` and on nothing else",
                    "remove `after`, or put the step below the one that it comes after",
                );
                None
            }
            Some((node, at)) => self.after(node, at).map(Some),
            None => Some(None),
        };
        let wait = match fields.find("await") {
            Some((_, at)) if index == 0 => {
                self.mistake(
                    MistakeKind::Rule,
                    at,
                    "the first step",
                    "the first step hangs on exactly one event, that of `when`",
                    "remove `await`, or let a later step wait",
                );
                None
            }
            Some((node, at)) => {
                self.event(node, at, "await", &["event", "where", "if", "timeout"]).map(Some)
            }
            None => Some(None),
        };
        let with = match fields.find("with") {
            Some((node, at)) => {
                self.in_with = true;
                let entries = self.entries(node, at, "with");
                self.in_with = false;
                entries
            }
            None => Some(Vec::new()),
        };
        let with_at = fields.find("with").map_or_else(
            || id.as_ref().map_or_else(|| at.clone(), |id| id.at.clone()),
            |(_, at)| at,
        );
        let verify = match fields.find("verify") {
            Some((node, at)) => self.verify(node, at),
            None => Some(Verify::default()),
        };
        let retry = match fields.find("retry") {
            Some((node, at)) => self.retry(node, at),
            None => Some((0, 0)),
        };
        let timeout_ms = match fields.find("timeout") {
            Some((node, _)) => self.duration(node, "timeout"),
            None => Some(0),
        };
        let nodes = match fields.find("nodes") {
            Some((node, at)) => self.nodes(node, at),
            None => Some((Vec::new(), Vec::new())),
        };
        let price_max = match fields.find("max_price") {
            Some((node, _)) => self.amount(node),
            None => Some(Amount::MAX),
        };
        if let Some((node, at)) = fields.find("private") {
            self.private(node, at);
        }
        let (retry_max, backoff_ms) = retry?;
        let (nodes, labels) = nodes?;
        Some(StepText {
            id: id?,
            action: action?,
            after: after?,
            wait: wait?,
            with: with?,
            with_at,
            verify: verify?,
            retry_max,
            backoff_ms,
            timeout_ms: timeout_ms?,
            nodes,
            labels,
            price_max: price_max?,
        })
    }

    /// All steps of a private application are; in a public one a step alone cannot be.
    fn private(&mut self, node: &Node, at: Range<usize>) {
        match node.value {
            Content::Bool(true) if self.public => self.mistake(
                MistakeKind::Unsupported,
                at,
                "not yet",
                "nodes do not keep the payloads of single steps of a public application to themselves",
                "make the application private, or remove `private` and put no secrets into this step",
            ),
            Content::Bool(_) => {}
            _ => self.reader.wrong_type(node, "private", "true or false", "write `private: true`"),
        }
    }

    pub(super) fn step_id(&mut self, node: &Node) -> Option<Placed<Name>> {
        let text = self.reader.text(node, "id")?;
        self.variable(text, place(node))?;
        if VARIABLES.contains(&text) {
            let message =
                format!("a step cannot be called '{text}': expressions mean something else by it");
            self.mistake(MistakeKind::Name, place(node), "taken", message, "give it another name");
            return None;
        }
        Some(Placed { value: self.name(text, place(node))?, at: place(node) })
    }

    pub(super) fn after(&mut self, node: &Node, at: Range<usize>) -> Option<AfterText> {
        let (is_any, list) = match &node.value {
            Content::Map(_) => {
                let fields = self.reader.fields(node, at.clone(), "after", &["all", "any"])?;
                let [(key, list)] = fields.entries() else {
                    self.mistake(
                        MistakeKind::Count,
                        at,
                        "here",
                        "`after` joins by `any` or by `all`",
                        "write `after: { any: [step.status, step.status] }`",
                    );
                    return None;
                };
                (key.value == "any", list)
            }
            _ => (false, node),
        };
        let ends = match &list.value {
            Content::List(items) => {
                self.count(items.len(), 1..=ENDS_MAX, "steps to come after", place(list))?;
                let ends = items.iter().map(|item| {
                    let text = self.reader.text(item, "after")?;
                    Some(Placed { value: text.to_owned(), at: place(item) })
                });
                ends.collect::<Vec<_>>().into_iter().collect::<Option<Vec<_>>>()?
            }
            _ => {
                let text = self.reader.text(list, "after")?;
                vec![Placed { value: text.to_owned(), at: place(list) }]
            }
        };
        Some(AfterText { is_any, ends })
    }

    pub(super) fn verify(&mut self, node: &Node, at: Range<usize>) -> Option<Verify> {
        let small = |n: u64| u16::try_from(n).expect("at most a thousand");
        if let Content::Number(number) = &node.value {
            if number.as_u64() == Some(0) {
                return Some(Verify::default());
            }
            let checkers = small(self.reader.limit(node, "verify", CHECKERS_MAX)?);
            return Some(Verify { checkers, quorum: 0 });
        }
        let fields = self.reader.fields(node, at, "verify", &["checkers", "quorum", "agree"])?;
        let (checkers, _) =
            self.reader.required(&fields, "checkers", "write how many nodes check the executor")?;
        let checkers = small(self.reader.limit(checkers, "checkers", CHECKERS_MAX)?);
        let all = checkers + 1;
        let agree = match fields.find("agree") {
            Some((node, _)) => Some(self.reader.word(node, "agree", &["majority", "all"])?),
            None => None,
        };
        let Some((node, at)) = fields.find("quorum") else {
            return Some(Verify { checkers, quorum: if agree == Some(1) { all } else { 0 } });
        };
        if agree.is_some() {
            self.mistake(
                MistakeKind::Rule,
                at,
                "and `agree`",
                "`quorum` and `agree` both say how many must agree",
                "keep one of them",
            );
            return None;
        }
        let quorum = small(self.reader.limit(node, "quorum", u64::from(all))?);
        if quorum <= all / 2 {
            let least = all / 2 + 1;
            self.mistake(
                MistakeKind::Limit,
                place(node),
                "no majority",
                format!("{quorum} of {all} is no majority of executor and checkers"),
                format!("write {least} to {all}"),
            );
            return None;
        }
        Some(Verify { checkers, quorum })
    }

    pub(super) fn retry(&mut self, node: &Node, at: Range<usize>) -> Option<(u16, u64)> {
        let fields = self.reader.fields(node, at, "retry", &["max", "backoff"])?;
        let (max, _) =
            self.reader.required(&fields, "max", "write how many attempts follow the first")?;
        let max = self.reader.limit(max, "max", RETRIES_MAX)?;
        let backoff_ms = match fields.find("backoff") {
            Some((node, _)) => self.duration(node, "backoff")?,
            None => 0,
        };
        Some((u16::try_from(max).expect("at most a hundred"), backoff_ms))
    }

    /// Who may be drawn: by name, by what nodes say of themselves, or by both.
    pub(super) fn nodes(
        &mut self,
        node: &Node,
        at: Range<usize>,
    ) -> Option<(Vec<Address>, Vec<LabelCondition>)> {
        let fields = self.reader.fields(node, at.clone(), "nodes", &["allow", "labels"])?;
        if fields.entries().is_empty() {
            self.mistake(
                MistakeKind::Count,
                at,
                "here",
                "`nodes` says neither who may be drawn nor by which labels",
                "write `nodes: { allow: [0x…] }` or `nodes: { labels: { region: eu } }`",
            );
            return None;
        }
        let allow = match fields.find("allow") {
            Some((list, _)) => self.addresses(list, "nodes"),
            None => Some(Vec::new()),
        };
        let labels = match fields.find("labels") {
            Some((node, at)) => self.labels(node, at),
            None => Some(Vec::new()),
        };
        Some((allow?, labels?))
    }

    fn labels(&mut self, node: &Node, at: Range<usize>) -> Option<Vec<LabelCondition>> {
        let fields = self.reader.mapping(node, at, "labels")?;
        self.count(fields.entries().len(), 1..=LABELS_MAX, "labels", place(node))?;
        let mut conditions = Vec::new();
        for (key, value) in fields.entries() {
            let name = self.label(&key.value, place(key));
            let one = std::slice::from_ref(value);
            let items = match &value.value {
                Content::List(items) => items.as_slice(),
                _ => one,
            };
            self.count(items.len(), 1..=LABEL_VALUES_MAX, "values of a label", place(value))?;
            let hint = "write `region: eu`, or `region: [eu, us]` for one of several";
            let values: Vec<_> = items
                .iter()
                .map(|item| {
                    let text = self.reader.written(item, "a label", hint)?;
                    self.label(&text, place(item))
                })
                .collect();
            let mut values: Vec<Name> = values.into_iter().collect::<Option<_>>()?;
            values.sort_unstable();
            values.dedup();
            conditions.push(LabelCondition { name: name?, values });
        }
        conditions.sort_unstable_by(|a, b| a.name.cmp(&b.name));
        Some(conditions)
    }

    /// A name or value of a label.
    fn label(&mut self, text: &str, at: Range<usize>) -> Option<Name> {
        let name = text.parse().ok();
        if name.is_none() {
            self.mistake(
                MistakeKind::Name,
                at,
                "not a label",
                format!("'{text}' is no name or value of a label"),
                "1 to 64 of a-z, 0-9, '_', '-' and '.', beginning with a letter or digit",
            );
        }
        name
    }

    pub(super) fn amount(&mut self, node: &Node) -> Option<Amount> {
        let hint = "write tokens with up to six decimals, such as 12.5";
        let text = self.reader.written(node, "max_price", hint)?;
        let amount = text.parse().ok();
        if amount.is_none() {
            let message = format!("max_price '{text}' is no amount");
            self.mistake(MistakeKind::Amount, place(node), "not an amount", message, hint);
        }
        amount
    }
}
