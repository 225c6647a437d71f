//! The events of a `service.yml`.

use std::ops::Range;

use althing_types::{Amount, Emitters, MeasuredTerms, Name};
use serde_json::Value;

use crate::canonical_event::EMITTERS;
use crate::decimal;
use crate::document::{Content, Node, place};
use crate::event::{AGREED_MAX, Agree, AgreeBy, DECIMALS_DEFAULT, DECIMALS_MAX, Event, KEYS_MAX};
use crate::mistake::MistakeKind;
use crate::read::Reader;

/// Longest time that emitters may take to agree on an event: a day.
const WINDOW_MS_MAX: u64 = 86_400_000;
const WINDOW_MS_DEFAULT: u32 = 30_000;

impl Reader<'_> {
    pub(crate) fn event(&mut self, name: Name, node: &Node, at: Range<usize>) -> Option<Event> {
        let known = ["summary", "data", "id", "keys", "window_ms", "emitters", "agree", "price"];
        let fields = self.fields(node, at.clone(), "an event", &known)?;
        let summary = self.summary(&fields);
        let data = self.required(&fields, "data", "write `data: {}` if the event carries nothing");
        let data = data.and_then(|(node, at)| self.payload(node, at, "data"));
        let window_ms = match fields.find("window_ms") {
            Some((node, _)) => self.limit(node, "window_ms", WINDOW_MS_MAX),
            None => Some(WINDOW_MS_DEFAULT.into()),
        };
        let id = match fields.find("id") {
            Some((node, _)) => data.as_ref().and_then(|data| self.key(node, data)).map(Some),
            None => Some(None),
        };
        let keys = match fields.find("keys") {
            Some((node, _)) => data.as_ref().and_then(|data| self.keys(node, data)),
            None => Some(Vec::new()),
        };
        let emitters = match fields.find("emitters") {
            Some((node, _)) => self.emitters(node),
            None => Some(Emitters::Majority),
        };
        let agree = match fields.find("agree") {
            Some((node, at)) => self.agreements(node, at),
            None => Some(Vec::new()),
        };
        let price = match fields.find("price") {
            Some((node, _)) => self.amount(node, "price"),
            None => Some(Amount::ZERO),
        };
        let window_ms = window_ms.and_then(|window| u32::try_from(window).ok());
        let event = Event {
            name,
            summary: summary?,
            data: data?,
            id: id?,
            keys: keys?,
            window_ms: window_ms?,
            emitters: emitters?,
            agree: agree?,
            price: price?,
        };
        if let Some((property, message)) = event.contradiction() {
            let at = fields
                .find("agree")
                .and_then(|(node, _)| match &node.value {
                    Content::Map(entries) => entries.iter().find(|(key, _)| key.value == property),
                    _ => None,
                })
                .map_or(at, |(key, _)| place(key));
            self.mistake(
                MistakeKind::Agreement,
                at,
                "cannot be agreed on like this",
                message,
                "measured properties are numbers or decimals of data; its id and keys are identical everywhere",
            );
            return None;
        }
        Some(event)
    }

    fn emitters(&mut self, node: &Node) -> Option<Emitters> {
        let hint = "write 1 to believe the first, majority, or a number of nodes, 128 at most";
        let text = self.written(node, "emitters", hint)?;
        match text.as_str() {
            "1" => Some(Emitters::One),
            "majority" => Some(Emitters::Majority),
            number if number.parse().is_ok_and(|least: u16| EMITTERS.contains(&least)) => {
                number.parse().ok().map(Emitters::AtLeast)
            }
            _ => {
                let message = format!("emitters cannot be '{text}'");
                self.mistake(MistakeKind::Word, place(node), "unknown", message, hint);
                None
            }
        }
    }

    fn keys(&mut self, node: &Node, data: &Value) -> Option<Vec<String>> {
        let Content::List(items) = &node.value else {
            self.wrong_type(node, "keys", "a list", "write `keys: [one, two]`");
            return None;
        };
        if items.len() > KEYS_MAX {
            self.mistake(
                MistakeKind::Count,
                place(node),
                format!("{} here", items.len()),
                format!("there are {} keys", items.len()),
                format!("at most {KEYS_MAX} keys are allowed"),
            );
            return None;
        }
        items.iter().map(|item| self.key(item, data)).collect()
    }

    fn key(&mut self, node: &Node, data: &Value) -> Option<String> {
        let key = self.text(node, "a key")?;
        let properties = data.get("properties").and_then(Value::as_object);
        if !properties.is_some_and(|properties| properties.contains_key(key)) {
            self.mistake(
                MistakeKind::EventKey,
                place(node),
                "not in data",
                format!("the event's data has no property '{key}'"),
                "keys are properties of data by which events are found",
            );
            return None;
        }
        Some(key.to_owned())
    }

    fn agreements(&mut self, node: &Node, at: Range<usize>) -> Option<Vec<Agree>> {
        let fields = self.mapping(node, at, "agree")?;
        let mut agreements = Vec::new();
        for (key, node) in fields.entries() {
            if let Some(by) = self.agreement(node, place(key))? {
                agreements.push(Agree { property: key.value.clone(), by });
            }
        }
        if agreements.len() > AGREED_MAX {
            self.mistake(
                MistakeKind::Count,
                fields.at,
                format!("{} here", agreements.len()),
                format!("{} properties are not identical", agreements.len()),
                format!("at most {AGREED_MAX} may be measured or ignored"),
            );
            return None;
        }
        Some(agreements)
    }

    /// `None` inside for what is identical, as everything is that is not named.
    fn agreement(&mut self, node: &Node, at: Range<usize>) -> Option<Option<AgreeBy>> {
        if let Content::Text(_) = node.value {
            let words = ["identical", "ignore", "median"];
            return Some(match self.word(node, "an agreement", &words)? {
                0 => None,
                1 => Some(AgreeBy::Ignore),
                _ => {
                    let terms = MeasuredTerms { decimals: DECIMALS_DEFAULT, tolerance: None };
                    Some(AgreeBy::Value(terms))
                }
            });
        }
        let fields = self.fields(node, at, "an agreement", &["median", "within", "decimals"])?;
        let decimals = match fields.find("decimals") {
            Some((node, _)) => {
                let most = u64::from(DECIMALS_MAX);
                let zero = matches!(&node.value, Content::Number(n) if n.as_u64() == Some(0));
                Some(if zero { 0 } else { self.limit(node, "decimals", most)? })
            }
            None => None,
        };
        let decimals = decimals.and_then(|decimals| u8::try_from(decimals).ok());
        let Some((within, _)) = fields.find("within") else {
            let (median, _) =
                self.required(&fields, "median", "write `within: \"0.05\"`, or `median: true`")?;
            if !matches!(median.value, Content::Bool(true)) {
                self.wrong_type(
                    median,
                    "median",
                    "true",
                    "leave the property out if it is identical",
                );
                return None;
            }
            let decimals = decimals.unwrap_or(DECIMALS_DEFAULT);
            return Some(Some(AgreeBy::Value(MeasuredTerms { decimals, tolerance: None })));
        };
        let hint = "write a decimal number in quotes, such as \"0.05\", with at most as many decimals as `decimals`";
        let text = self.written(within, "within", hint)?;
        let decimals =
            decimals.unwrap_or_else(|| decimal::decimals_of(&text).max(DECIMALS_DEFAULT));
        let tolerance = decimal::parse_exact(&text, decimals).ok();
        let Some(tolerance) = tolerance.and_then(|units| u64::try_from(units).ok()) else {
            let message = format!("'{text}' is no tolerance with {decimals} decimals");
            self.mistake(MistakeKind::Agreement, place(within), "not a tolerance", message, hint);
            return None;
        };
        if decimals > DECIMALS_MAX {
            let message = format!("'{text}' has more than {DECIMALS_MAX} decimals");
            self.mistake(MistakeKind::Agreement, place(within), "too fine", message, hint);
            return None;
        }
        let terms = MeasuredTerms { decimals, tolerance: Some(tolerance) };
        Some(Some(AgreeBy::Value(terms)))
    }
}
