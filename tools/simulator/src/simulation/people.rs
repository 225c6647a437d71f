//! Users at work: each hands its transaction over, again and again, until it is told that it is in a block.

use althing_replica::Subject;
use althing_work::port::Blobs as _;

use super::Simulation;
use crate::event::Event;
use crate::setting;
use crate::users::{Knowledge, Pending, User};

/// How long until a user hands its transaction to another node, in microseconds.
const RESUBMIT_US: u64 = 4_000_000;

impl Simulation {
    pub(super) fn user(&mut self, number: usize) {
        let now_us = self.time.us();
        let every_us = self.scenario.user_every_ms * 1_000;
        let is_closing = self.is_closing();
        let nodes = self.scenario.parts.len();
        let library = (0..nodes).find(|node| self.scenario.is_sound(*node)).unwrap_or_default();
        let Some(user) = self.users.get_mut(number) else { return };
        let next_us = now_us + every_us / 2 + user.random().below(every_us.max(1));
        self.queue.push(next_us, Event::User(number));
        let up: Vec<usize> = (0..self.nodes.len())
            .filter(|n| {
                self.nodes.get(*n).is_some_and(|n| n.running.is_some() && n.part.is_honest())
            })
            .collect();
        let Some(node) = user.random().pick(&up).copied() else { return };
        let Some(reader) =
            self.nodes.get(node).and_then(|n| n.running.as_ref()).map(|r| r.reader().clone())
        else {
            return;
        };
        if let Some(pending) = &user.pending {
            let subject = Subject::Transaction(pending.hash);
            if let Ok(Some(archived)) = reader.archived(&subject) {
                self.auditor.acknowledged.insert(pending.hash, archived.height);
                user.pending = None;
                self.statistics.acknowledged += 1;
            } else if user.has_expired(reader.head().tip.height) {
                // Nobody can have included it, nobody ever will: it is asked for again.
                let operations = pending.signed.transaction.operations.clone();
                let (signed, since_us) = (user.sign(&reader, operations), pending.since_us);
                let pending = Pending { hash: signed.hash(), signed, since_us, sent_us: 0 };
                user.pending = Some(pending);
            }
        }
        if user.pending.is_none() && !is_closing {
            let known = Knowledge {
                homes: &up,
                checkers: &self.scenario.checkers,
                deployments: &self.deployments,
                library,
            };
            let wish = user.wish(&reader, &known);
            let signed = user.sign(&reader, wish.operations);
            let pending = Pending { hash: signed.hash(), signed, since_us: now_us, sent_us: 0 };
            user.pending = Some(pending);
            if let Some(document) = wish.document
                && let Some(library) = self.nodes.get(library)
            {
                library.disk.blobs.keep(&document).expect("memory can be written");
            }
            if let Some((hash, input, home)) = wish.input {
                if let Some(home) = self.nodes.get(home) {
                    home.disk.blobs.keep(&input.bytes).expect("memory can be written");
                }
                self.auditor.inputs.insert(hash, input);
            }
        }
        let Some(pending) = &mut user.pending else { return };
        if pending.sent_us == 0 || now_us >= pending.sent_us + RESUBMIT_US {
            pending.sent_us = now_us;
            let bytes = pending.signed.encode();
            let life = self.life(node);
            self.with(node, life, |running, deeds| running.submit(bytes, deeds).map(drop));
        }
    }

    /// Users begin nothing new when there would be no time for it to end.
    pub(super) fn is_closing(&self) -> bool {
        let left_ms = self.scenario.duration_ms().saturating_sub(self.time.us() / 1_000);
        left_ms < setting::execution_ms_max() + 10_000
    }

    pub(crate) fn users(&self) -> &[User] {
        &self.users
    }
}
