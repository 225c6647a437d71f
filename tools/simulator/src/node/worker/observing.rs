//! Events that the node's program posts, on their way to the ledger.

use althing_ledger::{OfferStatus, query};
use althing_replica::Reader;
use althing_replica::application::Fault;
use althing_types::{Observe, Operation};
use althing_work::Fate;
use althing_work::observing::{Place, occurrence};

use super::super::Deed;
use super::{Posted, WRITE_US, Worker, ledger_fault, state_fault};

impl Worker {
    /// Takes an event that the node's program posts, as the node's interface does: what the ledger
    /// would refuse is not acknowledged.
    pub(crate) fn observe(
        &mut self,
        observe: Observe,
        data: Vec<u8>,
        reader: &Reader,
        deeds: &mut Vec<Deed>,
    ) -> Result<Posted, Fault> {
        let event = occurrence(&observe);
        let view = reader.view();
        let me = *self.machine.node();
        if !self.line.has(&event) {
            let offer = query::offer(&view, &observe.service, &me).map_err(state_fault)?;
            if offer.is_none_or(|offer| offer.status != OfferStatus::Active) {
                return Ok(Posted::Refused);
            }
            let open = query::event(&view, &event).map_err(state_fault)?;
            let said = open.is_some_and(|event| event.observation(&me).is_some());
            if said || query::happened(&view, &event).map_err(state_fault)?.is_some() {
                return Ok(Posted::Counted);
            }
        }
        Ok(match self.line.accept(event, ()) {
            Place::Known(()) => Posted::Acknowledged,
            Place::Shared => Posted::Later,
            Place::Full(()) => Posted::Refused,
            Place::Write => {
                self.to_note.push((observe, data));
                if !self.noting {
                    self.noting = true;
                    deeds.push(Deed::Note(WRITE_US));
                }
                Posted::Later
            }
        })
    }

    /// The observations are written now, data first: a power loss before this moment loses them.
    pub(in crate::node) fn note(&mut self, now_us: u64) -> Result<(), Fault> {
        self.noting = false;
        for (observe, data) in std::mem::take(&mut self.to_note) {
            self.ports.blobs.keep(&data).map_err(ledger_fault)?;
            self.log.remember(&observe);
            self.acknowledged.push(occurrence(&observe));
            self.line.written(observe, true);
        }
        self.submit_observations(now_us);
        Ok(())
    }

    fn submit_observations(&mut self, now_us: u64) {
        for observe in self.line.take_fresh() {
            if let Err(full) = self.outbox.push(Operation::Observe(observe), now_us / 1_000)
                && let Operation::Observe(observe) = *full.0
            {
                self.line.fates(vec![(observe, Fate::Lost)]);
            }
        }
    }

    /// What was lost is said again.
    pub(in crate::node) fn tick_observations(&mut self, now_us: u64) {
        self.line.recover();
        self.submit_observations(now_us);
    }
}
