//! Fetches decided blocks from peers that are ahead: one question at a time, peers in turn.

use std::collections::{BTreeMap, VecDeque};

use althing_replica::application::{Application, Fault};
use althing_replica::context::{BlockHeight, Chain};
use althing_types::{EndpointId, Height};
use bytes::Bytes;
use malachite_app::app::types::codec::Codec as _;
use malachite_sync::{RawDecidedValue, Request, Response, ValueRequest, ValueResponse};

use super::engine_fault;
use crate::codec::Borsh;
use crate::desk;
use crate::network::peer_id;

/// Heights that are asked for at once.
const BATCH: u64 = 100;

/// Peers that are remembered.
const PEERS_MAX: usize = 256;

#[derive(Default)]
pub(super) struct CatchUp {
    /// The tip and the first height of each peer, as it said last.
    peers: BTreeMap<EndpointId, (Height, Height)>,
    /// The question under way.
    asked: Option<(u64, EndpointId)>,
    questions: u64,
    received: VecDeque<(EndpointId, RawDecidedValue<Chain>)>,
}

impl CatchUp {
    pub(super) fn heard(&mut self, from: EndpointId, tip: Height, history_min: Height) {
        if self.peers.len() < PEERS_MAX || self.peers.contains_key(&from) {
            self.peers.insert(from, (tip, history_min));
        }
    }

    /// The highest tip that a peer has claimed.
    pub(super) fn claimed(&self) -> Height {
        self.peers.values().map(|(tip, _)| *tip).max().unwrap_or_default()
    }

    pub(super) fn is_alone(&self) -> bool {
        self.peers.is_empty()
    }

    pub(super) fn answered(&mut self, number: u64, body: Option<Bytes>) {
        let Some((_, peer)) = self.asked.take_if(|(asked, _)| *asked == number) else { return };
        let response = body.and_then(|body| Borsh.decode(body).ok());
        match response {
            Some(Response::ValueResponse(response)) => {
                self.received.extend(response.values.into_iter().map(|value| (peer, value)));
            }
            // It is asked again when it next says how far it is.
            None => {
                self.peers.remove(&peer);
            }
        }
    }

    /// The block of `next`, if it has come.
    pub(super) fn next_value(
        &mut self,
        next: Height,
    ) -> Option<malachite_types::ValueResponse<Chain>> {
        while let Some((peer, value)) = self.received.pop_front() {
            let height = value.height().0;
            if height == next {
                let RawDecidedValue { value_bytes, certificate } = value;
                let peer = peer_id(peer);
                return Some(malachite_types::ValueResponse::new(peer, value_bytes, certificate));
            }
            if height > next {
                self.received.clear(); // a gap: asked for again
            }
        }
        None
    }

    /// What to ask now, and whom.
    pub(super) fn question(
        &mut self,
        next: Height,
    ) -> Result<Option<(EndpointId, u64, Bytes)>, Fault> {
        if self.asked.is_some() || !self.received.is_empty() {
            return Ok(None);
        }
        let ahead: Vec<(EndpointId, Height)> = self
            .peers
            .iter()
            .filter(|(_, (tip, history_min))| *tip >= next && *history_min <= next)
            .map(|(peer, (tip, _))| (*peer, *tip))
            .collect();
        let turn = usize::try_from(self.questions).unwrap_or_default();
        let place = turn.checked_rem(ahead.len()).unwrap_or_default();
        let Some((peer, tip)) = ahead.get(place).copied() else { return Ok(None) };
        let last = tip.min(next.after(BATCH - 1));
        let range = BlockHeight(next)..=BlockHeight(last);
        let request: Request<Chain> = Request::ValueRequest(ValueRequest::new(range));
        let body = Borsh.encode(&request).map_err(engine_fault)?;
        self.questions += 1;
        self.asked = Some((self.questions, peer));
        Ok(Some((peer, self.questions, body)))
    }
}

pub(super) fn answer(
    application: &impl Application,
    question: &Bytes,
) -> Result<Option<Bytes>, Fault> {
    let request: Result<Request<Chain>, _> = Borsh.decode(question.clone());
    let Ok(Request::ValueRequest(request)) = request else { return Ok(None) };
    let (from, to) = (request.range.start().0, request.range.end().0);
    let values = desk::history(from, to, |height| application.decided(height))?;
    let response = Response::ValueResponse(ValueResponse::new(BlockHeight(from), values));
    Borsh.encode(&response).map(Some).map_err(engine_fault)
}
