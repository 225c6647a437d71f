//! The engine's log actor over [`Log`].

use std::io;
use std::sync::Arc;

use althing_network::Network;
use althing_replica::application::Fault;
use althing_replica::context::Chain;
use althing_types::Address;
use async_trait::async_trait;
use malachite_core::Input;
use malachite_engine::wal::{Msg, decode_entry, encode_entry};
use ractor::{Actor, ActorProcessingErr, ActorRef};

use crate::codec::Borsh;
use crate::halt::Halt;
use crate::network::Hub;
use crate::signing::ConsensusSigner;
use crate::wal::{Log, Said, WalError};

/// Whose words an entry is.
pub(crate) fn said(entry: &Input<Chain>, own: Address) -> Said {
    let speaker = match entry {
        Input::Vote(vote) => &vote.message.validator,
        Input::Proposal(proposal) => &proposal.message.proposer,
        // They lead to words of one's own, which are entries of their own.
        Input::StartHeight(..)
        | Input::PolkaCertificate(_)
        | Input::RoundCertificate(_)
        | Input::Propose(_)
        | Input::TimeoutElapsed(_)
        | Input::ProposedValue(..)
        | Input::SyncValueResponse(_) => return Said::Elsewhere,
    };
    if speaker.0 == own { Said::Here } else { Said::Elsewhere }
}

/// Writes what the engine has said.
pub(crate) struct WalActor {
    pub(crate) halt: Halt,
    pub(crate) hub: Arc<Hub>,
    pub(crate) network: Arc<dyn Network>,
    pub(crate) signer: Arc<dyn ConsensusSigner>,
}

impl WalActor {
    /// Whether anybody can see what this node says before the application has made it durable.
    ///
    /// A validator that is alone repeats itself after a power loss: its proposals are durable.
    fn is_seen(&self) -> bool {
        let expectation = self.hub.expectation();
        let alone = matches!(
            expectation.members.set().members(),
            [only] if only.address == self.signer.address()
        );
        !(alone && self.network.connected().is_empty())
    }

    /// Stops the node on an error. The engine hears of it too, and says nothing more.
    fn checked<T>(&self, result: Result<T, WalError>) -> io::Result<T> {
        result.map_err(|error| {
            let (code, text) = (error.code(), error.to_string());
            self.halt.stop(Fault::new("keeping the consensus log", error).with_code(code));
            io::Error::other(text)
        })
    }
}

#[async_trait]
impl Actor for WalActor {
    type Msg = Msg<Chain>;
    type State = Log;
    type Arguments = Log;

    async fn pre_start(&self, _: ActorRef<Self::Msg>, log: Log) -> Result<Log, ActorProcessingErr> {
        Ok(log)
    }

    async fn handle(
        &self,
        _: ActorRef<Self::Msg>,
        message: Self::Msg,
        log: &mut Log,
    ) -> Result<(), ActorProcessingErr> {
        match message {
            Msg::StartedHeight(height, reply) => {
                let entries = self.checked(log.start(height.0));
                let decode = |entry: Vec<u8>| decode_entry(&Borsh, &entry[..]);
                let entries = entries.map(|entries| entries.into_iter().map(decode).collect());
                reply.send(entries.map_err(Into::into)).ok();
            }
            Msg::Reset(height, reply) => {
                let done = self.checked(log.reset(height.0));
                reply.send(done.map_err(Into::into)).ok();
            }
            Msg::Append(height, entry, reply) => {
                let (mut bytes, said) = (Vec::new(), said(&entry, self.signer.address()));
                let encoded = encode_entry(entry, &Borsh, &mut bytes);
                if encoded.is_ok() {
                    log.append(height.0, &bytes, said);
                }
                reply.send(encoded.map_err(Into::into)).ok();
            }
            Msg::Flush(reply) => {
                let seen = self.is_seen();
                let done = self.checked(log.flush(seen));
                reply.send(done.map_err(Into::into)).ok();
            }
            Msg::Dump => {}
        }
        Ok(())
    }
}
