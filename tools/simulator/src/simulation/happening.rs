//! What happens outside: orders, payments, readings, parcels; and programs that tell nodes of it.

use althing_manifest::CanonicalJson;
use serde_json::json;

use super::Simulation;
use crate::event::Event;
use crate::node::Posted;
use crate::occurrences::{Occurrence, wh};
use crate::scenario::Emitting;
use crate::shop::{DELIVERED, HOOKED, METERED, ORDERED, PAID, SHIP};

/// How long a program waits before it posts an event again, in microseconds.
const AGAIN_US: u64 = 1_000_000;
/// The longest that a program needs to see something, in microseconds.
const SEEN_WITHIN_US: u64 = 400_000;
/// How late those who are late tell something, in microseconds.
const LATE_US: u64 = 7_000_000;

impl Simulation {
    /// Makes something up that happens next, and looks what the technology has done.
    pub(super) fn outside(&mut self) {
        let now_us = self.time.us();
        let every_us = self.scenario.outside_every_ms * 1_000;
        let next_us = now_us + every_us / 2 + self.fate.below(every_us.max(1));
        self.queue.push(next_us, Event::Outside);
        self.watch();
        if self.is_closing() {
            return;
        }
        let number = self.trace.events();
        let name = format!("{}-{number}", self.scenario.seed);
        match self.fate.below(10) {
            0..=3 => self.order(&name),
            4..=5 => {
                let hundredths = i64::try_from(self.fate.between(100, 90_000)).unwrap_or(100);
                let data = json!({ "session": name, "wh": wh(hundredths) });
                self.add(0, METERED, data, false);
            }
            6..=7 => self.add(0, HOOKED, json!({ "gift": name }), false),
            _ => {
                let forged = self.scenario.parts.iter().any(|p| p.emitting == Emitting::Forger);
                if forged {
                    let data = json!({ "order": format!("forged {name}"), "amount": 7 });
                    self.add(0, ORDERED, data, true);
                }
            }
        }
    }

    /// An order, and what comes of it: a payment that is too small, the right one, or none in time.
    fn order(&mut self, name: &str) {
        let amount = if self.fate.chance(100) { 0 } else { self.fate.between(2, 100) };
        self.add(0, ORDERED, json!({ "order": name, "amount": amount }), false);
        let payment = |simulation: &mut Self, after_us: u64, kind: &str, amount: u64| {
            let payment = format!("{kind} of {name}");
            let data = json!({ "payment": payment, "order": name, "amount": amount });
            simulation.add(after_us, PAID, data, false);
        };
        if self.fate.chance(250) {
            let after_us = self.fate.below(4_000_000);
            payment(self, after_us, "deposit", amount.saturating_sub(1));
        }
        if self.fate.chance(850) {
            let after_us = self.fate.below(9_000_000);
            payment(self, after_us, "payment", amount);
        }
    }

    fn add(&mut self, after_us: u64, event: &'static str, data: serde_json::Value, invented: bool) {
        // As a node would read it: canonical JSON.
        let data = CanonicalJson::of(data).expect("what happens here is JSON").value().clone();
        let occurrence = self.occurrences.add(Occurrence::new(event, data, invented));
        self.queue.push(self.time.us() + after_us, Event::Happens(occurrence));
    }

    /// Parcels that were sent arrive, most of them.
    fn watch(&mut self) {
        let now_us = self.time.us();
        for (claim, conflict) in self.technology.take_conflicts() {
            self.auditor.violated(claim, now_us, conflict);
        }
        for deed in self.technology.take_news() {
            let parcel = serde_json::from_slice::<serde_json::Value>(&deed.output);
            if deed.task.as_str() == SHIP && self.fate.chance(900) {
                let data = parcel.expect("the technology writes JSON");
                let after_us = self.fate.below(5_000_000);
                self.add(after_us, DELIVERED, data, false);
            }
        }
    }

    /// Programs see it, each after a while; where one emitter is believed, one or two of them do.
    pub(super) fn happens(&mut self, number: usize) {
        let Some(occurrence) = self.occurrences.get(number) else { return };
        self.auditor.happens(occurrence);
        let (trusted, now_us) = (occurrence.is_trusted(), self.time.us());
        let count = self.scenario.parts.len();
        let mut nodes: Vec<usize> = (0..count).collect();
        if trusted {
            let first = self.fate.place(count);
            let both = self.fate.chance(200);
            nodes.retain(|node| *node == first || (both && *node == (first + 1) % count));
        }
        for node in nodes {
            let late = self.scenario.parts.get(node).is_some_and(|p| p.emitting == Emitting::Late);
            let after_us = self.fate.below(SEEN_WITHIN_US) + if late { LATE_US } else { 0 };
            self.queue.push(now_us + after_us, Event::Told { node, occurrence: number });
        }
    }

    /// A program posts an event to its node, again and again until it is acknowledged.
    pub(super) fn told(&mut self, node: usize, number: usize) {
        let Some(occurrence) = self.occurrences.get(number) else { return };
        let Some(part) = self.scenario.parts.get(node) else { return };
        if self.told.contains(&(node, number)) {
            return;
        }
        let Some((observe, data)) = occurrence.told(part.emitting, node) else { return };
        if observe != occurrence.truth && part.emitting.lies() {
            *self.statistics.misdeeds.entry("a forged or drifting observation").or_default() += 1;
        }
        let mut posted = None;
        let life = self.life(node);
        self.with(node, life, |running, deeds| {
            posted = Some(running.observe(observe, data, deeds)?);
            Ok(())
        });
        match posted {
            Some(Posted::Acknowledged | Posted::Counted) => {
                self.told.insert((node, number));
            }
            Some(Posted::Later | Posted::Refused) | None => {
                let event = Event::Told { node, occurrence: number };
                self.queue.push(self.time.us() + AGAIN_US, event);
            }
        }
    }
}
