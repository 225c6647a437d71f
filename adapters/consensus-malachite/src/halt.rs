//! The way from a fault, wherever it happens, to whoever stops the node.

use std::sync::{Arc, Mutex, PoisonError};

use althing_replica::application::Fault;
use tokio::sync::oneshot;

/// Takes the first fault; later ones follow from it and are dropped.
#[derive(Clone, Debug)]
pub(crate) struct Halt(Arc<Mutex<Option<oneshot::Sender<Fault>>>>);

impl Halt {
    /// A halt, and where the fault arrives.
    pub(crate) fn new() -> (Self, oneshot::Receiver<Fault>) {
        let (sender, receiver) = oneshot::channel();
        (Self(Arc::new(Mutex::new(Some(sender)))), receiver)
    }

    pub(crate) fn stop(&self, fault: Fault) {
        let sender = self.0.lock().unwrap_or_else(PoisonError::into_inner).take();
        if let Some(sender) = sender {
            sender.send(fault).ok();
        }
    }
}
