//! What dishonest nodes do with frames: their own and others'.

use althing_consensus_malachite::stepped;
use althing_network::Lane;
use althing_types::{Eip712, EndpointId, tagged};
use bytes::Bytes;

use super::Simulation;
use crate::random::Random;
use crate::scenario::Voting;
use crate::setting::{CHAIN, USERS, endpoint, node_key};
use crate::signatures::Signer;

impl Simulation {
    /// A proposer has one beacon a height, so all that it can choose is whether to show it.
    pub(super) fn suits(&self, node: usize) -> bool {
        let running = self.nodes.get(node).and_then(|node| node.running.as_ref());
        let height = running.map_or(0, |running| running.progress().deciding.0);
        let coin =
            tagged("simulated taste", &[&(node as u64).to_be_bytes(), &height.to_be_bytes()]);
        coin.0.first().is_some_and(|byte| byte & 1 == 0)
    }

    pub(super) fn equivocate(&mut self, node: usize, to: usize, payload: &Bytes) {
        let Some(key) = self.nodes.get(node).map(|node| node.key) else { return };
        let eip712 = Eip712::new(CHAIN);
        let signer = Signer::new(node_key(key), eip712.clone());
        let block = self.random.chance(300).then(|| tagged("no block at all", &[]));
        let Some(vote) = stepped::conflicting_vote(payload, &eip712, &signer, block) else {
            return;
        };
        *self.statistics.misdeeds.entry("a second vote").or_default() += 1;
        self.send(node, to, Lane::Votes, vote);
    }

    /// What a dishonest node answers: now and then nothing, or other bytes.
    pub(super) fn alter(&mut self, body: Option<Bytes>) -> Option<Bytes> {
        match self.random.below(6) {
            0 => None,
            1 => {
                *self.statistics.misdeeds.entry("an altered answer").or_default() += 1;
                let mut bytes = body?.to_vec();
                let place = self.random.place(bytes.len());
                if let Some(byte) = bytes.get_mut(place) {
                    *byte ^= 1 << self.random.below(8);
                }
                Some(bytes.into())
            }
            _ => body,
        }
    }

    /// Whether a part of a body comes from one who spoils: two of them would pass it to and fro for ever.
    pub(super) fn is_spoiled(&self, from: EndpointId) -> bool {
        let sender = self.nodes.iter().find(|node| endpoint(node.key) == from);
        sender.is_some_and(|node| node.part.voting == Voting::Spoiler)
    }

    /// Passes a part of a body on, with a bit turned somewhere behind its beginning: the seal at the
    /// start of a body still holds. Three times, so that it may come before the proposer's own.
    pub(super) fn spoil(&mut self, node: usize, payload: &Bytes) {
        let is_piece = payload.first() == Some(&1);
        for to in 0..self.nodes.len() {
            let Some(key) = self.nodes.get(to).map(|node| node.key) else { continue };
            if self.nodes.get(node).is_none_or(|own| own.key == key) {
                continue;
            }
            for _ in 0..3 {
                let mut bytes = payload.to_vec();
                if is_piece {
                    // Behind height, round, block and place: within the block's own bytes.
                    let place = 80 + self.random.place(bytes.len().saturating_sub(80));
                    if let Some(byte) = bytes.get_mut(place) {
                        *byte ^= 1 << self.random.below(8);
                    }
                }
                *self.statistics.misdeeds.entry("a spoiled body").or_default() += 1;
                self.send(node, to, Lane::Bodies, bytes.into());
            }
        }
    }

    /// Garbage, and frames that are almost right.
    pub(super) fn spam(&mut self, node: usize) {
        for to in 0..self.nodes.len() {
            for lane in Lane::ALL {
                let length = self.random.between(0, 200);
                let mut payload: Vec<u8> =
                    (0..length).map(|_| self.random.number().to_be_bytes()[0]).collect();
                if let Some(tag) = payload.first_mut() {
                    *tag %= 4; // as the kinds of messages are numbered
                }
                *self.statistics.misdeeds.entry("a garbled frame").or_default() += 1;
                self.send(node, to, lane, payload.into());
            }
        }
        for _ in 0..8 {
            let place = self.random.place(self.overheard.len());
            let Some((lane, payload)) = self.overheard.get(place).cloned() else { break };
            let to = self.random.place(self.nodes.len());
            let mut bytes = payload.to_vec();
            if self.random.chance(500) {
                let place = self.random.place(bytes.len());
                if let Some(byte) = bytes.get_mut(place) {
                    *byte ^= 1 << self.random.below(8);
                }
            }
            *self.statistics.misdeeds.entry("a stale or altered frame").or_default() += 1;
            self.send(node, to, lane, bytes.into());
        }
        let user = user_of(&mut self.random);
        let running = self.nodes.get(node).and_then(|node| node.running.as_ref());
        let Some(reader) = running.map(|running| running.reader().clone()) else { return };
        // Somebody else's account, under this node's key: nobody may take it.
        let mut forged = self.users.get(user).map(|user| user.sign(&reader, Vec::new()));
        if let Some(signed) = &mut forged {
            signed.signature.r_and_s[40] ^= 1;
            let frame =
                borsh::to_vec(&vec![signed.encode()]).expect("writing to memory cannot fail");
            *self.statistics.misdeeds.entry("a forged transaction").or_default() += 1;
            for to in 0..self.nodes.len() {
                self.send(node, to, Lane::Transactions, frame.clone().into());
            }
        }
    }
}

fn user_of(random: &mut Random) -> usize {
    usize::try_from(random.below(USERS)).unwrap_or(0)
}
