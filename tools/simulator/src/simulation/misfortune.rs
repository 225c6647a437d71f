//! Starts and ends of nodes, and everything that goes wrong.

use althing_types::Height;

use super::{Simulation, look};
use crate::disk::Disk;
use crate::event::Event;
use crate::node::{Failure, TICK_US};
use crate::scenario::Kind;

/// How long until somebody starts a node again that stopped by itself, in microseconds.
const RESTART_US: u64 = 3_000_000;
/// Codes of what no new start mends: what is on the disk is not what was written.
const HOPELESS: [&str; 7] =
    ["STO-0001", "STO-0002", "STO-0003", "STO-0006", "WAL-0002", "WAL-0003", "WAL-0004"];

impl Simulation {
    pub(super) fn start(&mut self, node: usize) {
        let seed = self.scenario.seed;
        let Some(entry) = self.nodes.get_mut(node) else { return };
        if entry.running.is_some() || entry.is_gone {
            return;
        }
        let mut deeds = Vec::new();
        let started = entry.start(&self.genesis, seed, &mut deeds);
        let life = entry.life;
        if let Some(running) = &entry.running {
            let committed = running.committed.len() as u64;
            let tip = running.reader().head().tip.height;
            let tip = Height(tip.0.saturating_sub(committed));
            self.trace.line(self.time.us(), format!("node {node} starts at height {tip}"));
            if entry.part.is_honest() {
                // A commit that nobody was told of may have reached the disk all the same.
                let reader = running.reader().clone();
                let known = self.auditor.height();
                self.auditor.restarted(node, tip.min(known));
                let Self { auditor, trace, nodes, time, .. } = self;
                for height in known.next().0..=tip.0 {
                    look(auditor, trace, nodes, node, &reader, Height(height), time.us());
                }
            }
        }
        self.after(node, deeds);
        match started {
            Ok(()) => {
                let at_us = self.time.us() + 1 + self.random.below(TICK_US);
                self.queue.push(at_us, Event::Tick { node, life });
            }
            Err(failure) => self.stopped(node, &failure),
        }
    }

    /// A node has stopped by itself: what it had not synced is there, since the machine goes on.
    pub(super) fn stopped(&mut self, node: usize, failure: &Failure) {
        let now_us = self.time.us();
        self.trace.line(now_us, format!("node {node} stops: {failure}"));
        let code = failure.code();
        *self.statistics.stops.entry(code.unwrap_or("without a code")).or_default() += 1;
        let sound = self.scenario.is_sound(self.nodes.get(node).map_or(0, |node| node.key));
        let honest = self.nodes.get(node).is_some_and(|node| node.part.is_honest());
        let Some(entry) = self.nodes.get_mut(node) else { return };
        entry.running = None;
        // The process is gone, and so is the failing disk: a new start finds what was durable.
        self.statistics.sectors_lost += entry.disk.lose_power(&mut self.random);
        let hopeless = code.is_some_and(|code| HOPELESS.contains(&code));
        if hopeless {
            entry.is_gone = true;
        } else {
            self.queue.push(now_us + RESTART_US, Event::Start(node));
        }
        // A sound node stops for injected failures only, and can always be started again.
        let injected = failure.to_string().contains("an injected failure")
            || failure.to_string().contains("has to be started again");
        if sound && honest && (hopeless || !injected) {
            let what = format!("node {node}: {failure}");
            self.auditor.violated("a sound node does not stop", now_us, what);
        }
    }

    pub(super) fn crash(&mut self, node: usize, down_us: u64) {
        let Some(entry) = self.nodes.get_mut(node) else { return };
        if entry.is_gone {
            return;
        }
        entry.running = None;
        entry.life += 1;
        self.statistics.sectors_lost += entry.disk.lose_power(&mut self.random);
        self.queue.push(self.time.us() + down_us, Event::Start(node));
    }

    pub(super) fn fault(&mut self, kind: Kind) {
        let now_us = self.time.us();
        self.trace.line(now_us, format!("{kind:?}"));
        *self.statistics.faults.entry(kind.name()).or_default() += 1;
        match kind {
            Kind::Crash { node, down_ms } => self.crash(node, down_ms * 1_000),
            Kind::Amnesia { node } => {
                self.crash(node, 1_000_000);
                if let Some(entry) = self.nodes.get_mut(node) {
                    entry.disk = Disk::new();
                    self.auditor.restarted(node, Height(0));
                }
            }
            Kind::Partition { group, lasts_ms } => {
                self.links.partition(group, now_us + lasts_ms * 1_000);
            }
            Kind::Loss { per_mille, lasts_ms } => {
                self.links.lose(per_mille, now_us + lasts_ms * 1_000);
            }
            Kind::Delay { up_to_ms, lasts_ms } => {
                self.links.delay(up_to_ms * 1_000, now_us + lasts_ms * 1_000);
            }
            Kind::Duplicates { per_mille, lasts_ms } => {
                self.links.double(per_mille, now_us + lasts_ms * 1_000);
            }
            Kind::StoreFails { node, write, unacknowledged } => {
                if let Some(entry) = self.nodes.get(node) {
                    entry.disk.fail_store(write, unacknowledged);
                }
            }
            Kind::LogFails { node, sync } => {
                if let Some(entry) = self.nodes.get(node) {
                    entry.disk.log.fail_sync(sync);
                }
            }
            Kind::JournalFails { node, write } => {
                if let Some(entry) = self.nodes.get(node) {
                    entry.disk.journal.fail_write(write);
                }
            }
            Kind::BlockFails { node, block } => {
                if let Some(entry) = self.nodes.get(node) {
                    entry.disk.blobs.fail_block(block);
                }
            }
            Kind::OutputsLie { node } => {
                if let Some(entry) = self.nodes.get(node) {
                    entry.disk.blobs.lie();
                }
            }
            Kind::LogRots { node, bit } => {
                self.crash(node, 500_000);
                if let Some(entry) = self.nodes.get(node) {
                    let written = (entry.disk.log.written() as u64).max(1) * 8;
                    entry.disk.log.flip(bit % written);
                }
            }
            Kind::LogLies { node } => {
                if let Some(entry) = self.nodes.get(node) {
                    entry.disk.log.lie();
                }
            }
            Kind::StateRots { node } => {
                if let Some(entry) = self.nodes.get(node) {
                    entry.disk.rot_state(&mut self.random);
                }
            }
            Kind::ClockStep { node, by_ms } => {
                if let Some(entry) = self.nodes.get(node) {
                    entry.clock.step(by_ms);
                }
            }
        }
    }

    /// Nothing goes wrong any more: everybody is there and hears everybody.
    pub(super) fn heal(&mut self) {
        let now_us = self.time.us();
        self.trace.line(now_us, "the network heals");
        self.healed_at = Some(self.auditor.height());
        self.links.heal();
        for node in 0..self.nodes.len() {
            if let Some(entry) = self.nodes.get(node) {
                entry.clock.set_right();
                entry.disk.mend();
                if entry.running.is_none() {
                    self.queue.push(now_us, Event::Start(node));
                }
            }
        }
    }
}
