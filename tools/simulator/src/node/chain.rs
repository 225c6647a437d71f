//! The node's replica, as consensus and the worker share it: a block that the node proposes is built while
//! nobody has the replica locked, so that the worker can answer in it.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};

use althing_replica::Replica;
use althing_replica::application::{Application, Fault};
use althing_types::{Address, BlockId, Certificate, Evidence, Height, Round, ValidatorSet};

/// A replica that several parts of the node use.
#[derive(Clone, Debug)]
pub(super) struct Chain(Arc<Mutex<Replica>>);

pub(super) fn lock<T>(shared: &Mutex<T>) -> MutexGuard<'_, T> {
    shared.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Chain {
    pub(super) fn new(replica: Replica) -> Self {
        Self(Arc::new(Mutex::new(replica)))
    }

    pub(super) fn lock(&self) -> MutexGuard<'_, Replica> {
        lock(&self.0)
    }

    /// For what the replica itself holds on to.
    pub(super) fn downgrade(&self) -> Weak<Mutex<Replica>> {
        Arc::downgrade(&self.0)
    }
}

impl Application for Chain {
    fn next_height(&self) -> Height {
        self.lock().next_height()
    }

    fn validators(&self) -> ValidatorSet {
        self.lock().validators()
    }

    fn propose(&mut self, height: Height, round: Round) -> Result<(BlockId, Vec<u8>), Fault> {
        Replica::propose_shared(&self.0, height, round)
    }

    fn receive(
        &mut self,
        height: Height,
        round: Round,
        proposer: Address,
        body: &[u8],
    ) -> Result<Option<(BlockId, bool)>, Fault> {
        self.lock().receive(height, round, proposer, body)
    }

    fn receive_certified(
        &mut self,
        height: Height,
        round: Round,
        proposer: Address,
        body: &[u8],
    ) -> Result<Option<(BlockId, bool)>, Fault> {
        self.lock().receive_certified(height, round, proposer, body)
    }

    fn revalidate(&mut self, id: &BlockId, round: Round) -> Result<bool, Fault> {
        self.lock().revalidate(id, round)
    }

    fn body(&self, id: &BlockId) -> Result<Option<Vec<u8>>, Fault> {
        self.lock().body(id)
    }

    fn commit(&mut self, certificate: Certificate) -> Result<(), Fault> {
        self.lock().commit(certificate)
    }

    fn decided(&self, height: Height) -> Result<Option<(Vec<u8>, Certificate)>, Fault> {
        self.lock().decided(height)
    }

    fn history_min(&self) -> Height {
        self.lock().history_min()
    }

    fn misbehaviour(&mut self, evidence: Evidence) {
        self.lock().misbehaviour(evidence);
    }
}
