//! What really happens outside, and what emitters make of it.

use althing_types::{Emitters, Hash, Observe, tagged};
use serde_json::{Value as Json, json};

use crate::scenario::Emitting;
use crate::shop;

/// How much forgers change what they alter.
const ALTERED_BY: i64 = 1_000;

/// Something that happens, or that forgers say has happened.
#[derive(Clone, Debug)]
pub(crate) struct Occurrence {
    pub(crate) event: &'static str,
    pub(crate) data: Json,
    /// Nobody but forgers has seen it.
    pub(crate) invented: bool,
    /// The truth as the ledger should have it; measured values are the exact ones.
    pub(crate) truth: Observe,
}

impl Occurrence {
    pub(crate) fn new(event: &'static str, data: Json, invented: bool) -> Self {
        let (truth, _) = shop::observation(event, &data);
        Self { event, data, invented, truth }
    }

    pub(crate) fn key(&self) -> Hash {
        shop::key_of(&self.truth)
    }

    /// Whether one emitter is believed.
    pub(crate) fn is_trusted(&self) -> bool {
        let event = shop::manifest().event(&self.truth.event);
        event.is_some_and(|event| event.emitters == Emitters::One)
    }

    /// Whether forgers tell this one otherwise; all of them alike.
    fn is_altered(&self) -> bool {
        !self.is_trusted() && tagged("simulated forgery", &[&self.key().0]).0[0] & 1 == 0
    }

    /// What a node tells of it; `None` if it does not.
    pub(crate) fn told(&self, emitting: Emitting, node: usize) -> Option<(Observe, Vec<u8>)> {
        let mut data = self.data.clone();
        let by = match emitting {
            _ if self.invented => (emitting == Emitting::Forger).then_some(0)?,
            Emitting::Mute => return None,
            Emitting::Honest | Emitting::Late => self.jitter(node),
            Emitting::Drifter(by) => i64::from(by),
            Emitting::Forger if self.is_altered() => ALTERED_BY,
            Emitting::Forger => 0,
        };
        if let Some(amount) = data.get("amount").and_then(Json::as_i64)
            && by == ALTERED_BY
        {
            data["amount"] = json!(amount + by);
        }
        if let Some(hundredths) = self.truth.measured.first() {
            data["wh"] = json!(wh(hundredths + by));
        }
        Some(shop::observation(self.event, &data))
    }

    /// Every honest meter is a little off, each in its own way.
    fn jitter(&self, node: usize) -> i64 {
        let Hash(bytes) = tagged("simulated jitter", &[&self.key().0, &node.to_be_bytes()]);
        i64::from(bytes[0]) % (2 * shop::JITTER + 1) - shop::JITTER
    }

    /// Whether this is what happened.
    pub(crate) fn is_true(&self, keys: &[Hash], base: &Hash, measured: &[i64]) -> bool {
        let near = |(said, exact): (&i64, &i64)| {
            said.abs_diff(*exact) <= (shop::TOLERANCE + shop::JITTER).unsigned_abs()
        };
        !self.invented
            && keys == self.truth.keys
            && *base == self.truth.data.hash
            && measured.iter().zip(&self.truth.measured).all(near)
    }
}

/// Hundredths as a number.
pub(crate) fn wh(hundredths: i64) -> f64 {
    hundredths as f64 / 100.0
}

/// Everything that happens, in the order in which it was made up.
#[derive(Clone, Debug, Default)]
pub(crate) struct Occurrences {
    all: Vec<Occurrence>,
}

impl Occurrences {
    pub(crate) fn add(&mut self, occurrence: Occurrence) -> usize {
        let number = self.all.len();
        self.all.push(occurrence);
        number
    }

    pub(crate) fn get(&self, number: usize) -> Option<&Occurrence> {
        self.all.get(number)
    }
}
