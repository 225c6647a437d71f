//! Answers the engine's questions with the application's answers.
//!
//! - Errors: a [`Fault`] of the application ends the engine: the question stays unanswered, and
//!   [`Handle::stopped`](crate::Handle::stopped) returns the fault.
//! - Invariants: the application is locked for one call at a time, application before state, or locks itself while
//!   it builds a block; only
//!   blocks of the height that comes next are judged.

use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};

use althing_network::{Lane, Network};
use althing_replica::application::{Application, Fault};
use althing_replica::context::{BlockHeight, BlockValue, Chain, Members, PART_BYTES, Voter};
use althing_types::{BlockId, Height};
use async_trait::async_trait;
use malachite_app::app::types::{LocallyProposedValue, MisbehaviorEvidence, ProposedValue};
use malachite_engine::consensus::{ConsensusMsg, ConsensusRef};
use malachite_engine::host::{HeightParams, HostMsg, Next, SyncedValueOutcome};
use malachite_sync::RawDecidedValue;
use malachite_types::{CommitCertificate, LinearTimeouts, Round, ValueOrigin};
use ractor::{Actor, ActorProcessingErr, ActorRef};
use tokio::sync::watch;
use tokio::time::Instant;

use crate::Progress;
use crate::codec::encode_part;
use crate::desk::{self, Desk, Synced, round_of};
use crate::halt::Halt;
use crate::network::Hub;
use crate::pace::Pace;
use crate::parts::{Body, Expectation};
use crate::signing::{Checker, ConsensusSigner};

/// Everything that the host's actor and the task of bodies share.
pub(crate) struct Host<A> {
    pub(crate) application: Arc<Mutex<A>>,
    pub(crate) network: Arc<dyn Network>,
    pub(crate) hub: Arc<Hub>,
    pub(crate) signer: Arc<dyn ConsensusSigner>,
    pub(crate) checker: Checker,
    pub(crate) timeouts: LinearTimeouts,
    pub(crate) pace: Pace,
    pub(crate) halt: Halt,
    pub(crate) progress: watch::Sender<Progress>,
    pub(crate) consensus: OnceLock<ConsensusRef<Chain>>,
    /// True once every actor is there to hear of the first height: the sync actor must not miss it.
    pub(crate) complete: watch::Sender<bool>,
    pub(crate) state: Mutex<State>,
}

/// What the host remembers from one question to the next.
pub(crate) struct State {
    desk: Desk,
    height_started: Instant,
}

impl Default for State {
    fn default() -> Self {
        Self { desk: Desk::default(), height_started: Instant::now() }
    }
}

impl<A: Application> Host<A> {
    fn application(&self) -> MutexGuard<'_, A> {
        self.application.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn params(&self, application: &A) -> HeightParams<Chain> {
        HeightParams::new(Members::new(application.validators()), self.timeouts, None)
    }

    fn expect_next(&self, application: &A) {
        let members = Members::new(application.validators());
        self.hub.expect(Expectation { next: application.next_height(), members });
    }

    /// What is already here of a height that begins.
    fn started_round(
        &self,
        height: Height,
        round: Round,
    ) -> Result<Vec<ProposedValue<Chain>>, Fault> {
        let mut application = self.application();
        let mut state = self.state();
        if round == Round::ZERO {
            state.height_started = Instant::now();
        }
        let members = &self.hub.expectation().members;
        let values = state.desk.started_round(&mut *application, members, height, round)?;
        self.progress.send_modify(|progress| {
            (progress.deciding, progress.round) = (height, round.as_u32().unwrap_or(0));
            progress.extra_rounds += u64::from(round > Round::ZERO);
        });
        Ok(values)
    }

    fn propose(&self, height: Height, round: Round) -> Result<BlockId, Fault> {
        let (id, body) = A::propose_shared(&self.application, height, round_of(round)?)?;
        self.stream(height, round, Round::Nil, id, &body)?;
        Ok(id)
    }

    fn restream(
        &self,
        height: Height,
        round: Round,
        valid_round: Round,
        id: BlockId,
    ) -> Result<(), Fault> {
        let body = self.application().body(&id)?;
        body.map_or(Ok(()), |body| self.stream(height, round, valid_round, id, &body))
    }

    /// Sends a body to everybody. Nothing here waits.
    fn stream(
        &self,
        height: Height,
        round: Round,
        pol_round: Round,
        block: BlockId,
        body: &[u8],
    ) -> Result<(), Fault> {
        let (checker, signer) = (&self.checker, &*self.signer);
        let body = (block, body);
        let parts =
            desk::sealed_parts(checker, signer, height, round, pol_round, body, PART_BYTES)?;
        for part in parts {
            self.network.broadcast(Lane::Bodies, encode_part(&part));
        }
        Ok(())
    }

    /// Takes a body that a peer has streamed, and tells the engine of it.
    pub(crate) fn receive(&self, body: &Body) -> Result<(), Fault> {
        let value = {
            let mut application = self.application();
            self.state().desk.received(&mut *application, body)?
        };
        if let (Some(value), Some(consensus)) = (value, self.consensus.get()) {
            // A send fails only when the engine has stopped.
            let message = ConsensusMsg::ReceivedProposedValue(value, ValueOrigin::Consensus);
            consensus.cast(message).ok();
        }
        Ok(())
    }

    fn receive_synced(
        &self,
        height: BlockHeight,
        round: Round,
        proposer: Voter,
        body: &[u8],
    ) -> Result<SyncedValueOutcome<Chain>, Fault> {
        let mut application = self.application();
        let mut state = self.state();
        let synced =
            state.desk.received_synced(&mut *application, height, round, proposer, body)?;
        Ok(match synced {
            Synced::Value(value) => SyncedValueOutcome::Verdict(value),
            Synced::Garbled => SyncedValueOutcome::PeerFault,
            Synced::NotNow => SyncedValueOutcome::LocalTransientError,
        })
    }

    fn decided(&self, certificate: &CommitCertificate<Chain>) -> Result<(), Fault> {
        let (height, signatures) = (certificate.height.0, certificate.commit_signatures.len());
        let mut application = self.application();
        let synced = self.state().desk.decided(&mut *application, certificate)?;
        self.expect_next(&application);
        self.progress.send_modify(|progress| {
            progress.decided = height;
            progress.synced += u64::from(synced);
        });
        tracing::debug!(%height, signatures, "decided");
        Ok(())
    }

    fn accuse(&self, evidence: &MisbehaviorEvidence<Chain>) {
        for evidence in desk::double_votes(evidence) {
            tracing::warn!(validator = %evidence.validator, "a validator has voted twice");
            self.application().misbehaviour(evidence);
        }
    }

    fn history(&self, from: Height, to: Height) -> Result<Vec<RawDecidedValue<Chain>>, Fault> {
        desk::history(from, to, |height| self.application().decided(height))
    }

    /// Returns once consensus may begin: enough validators are here, or the node is behind anyway.
    async fn ready(&self) {
        // The sender is ours: it cannot be gone.
        self.complete.subscribe().wait_for(|complete| *complete).await.ok();
        let expectation = self.hub.expectation();
        let (set, own) = (expectation.members.set(), self.network.id());
        let is_validator = set.get(&self.signer.address()).is_some();
        if !is_validator {
            return;
        }
        let total = u128::from(set.total_power());
        let mut peers = self.network.watch_peers();
        let enough = peers.wait_for(|peers| {
            let here = set.members().iter().filter(|validator| {
                validator.endpoint == own
                    || validator.address == self.signer.address()
                    || peers.contains(&validator.endpoint)
            });
            here.map(|validator| u128::from(validator.power)).sum::<u128>() * 3 > total * 2
        });
        let mut claimed = self.hub.claimed();
        let behind = claimed.wait_for(|tip| *tip >= expectation.next);
        tokio::select! {
            _ = enough => {}
            _ = behind => {}
        }
    }
}

/// The engine's way to the [`Host`].
pub(crate) struct HostActor<A>(pub(crate) Arc<Host<A>>);

impl<A: Application> HostActor<A> {
    /// Answers one message; replies that nobody waits for are no error.
    fn answer(&self, message: HostMsg<Chain>) -> Result<(), Fault> {
        let host = &self.0;
        match message {
            HostMsg::ConsensusReady { reply_to } => {
                let host = host.clone();
                tokio::spawn(async move {
                    host.ready().await;
                    let start = {
                        let application = host.application();
                        (BlockHeight(application.next_height()), host.params(&application))
                    };
                    reply_to.send(start).ok();
                });
            }
            HostMsg::StartedRound { height, round, reply_to, .. } => {
                reply_to.send(host.started_round(height.0, round)?).ok();
            }
            HostMsg::GetValue { height, round, reply_to, .. } => {
                let value = BlockValue(host.propose(height.0, round)?);
                reply_to.send(LocallyProposedValue::new(height, round, value)).ok();
            }
            HostMsg::RestreamValue { height, round, valid_round, value_id, .. } => {
                host.restream(height.0, round, valid_round, value_id)?;
            }
            HostMsg::Decided { certificate, reply_to, .. } => {
                host.decided(&certificate)?;
                reply_to.send(()).ok();
            }
            HostMsg::Finalized { evidence, reply_to, .. } => {
                host.accuse(&evidence);
                let (next, params) = {
                    let application = host.application();
                    (application.next_height(), host.params(&application))
                };
                let (started, syncing) = {
                    let mut state = host.state();
                    (state.height_started, state.desk.take_syncing())
                };
                // A height that came by sync and is not the last one: there is more to fetch.
                let behind = syncing && *host.hub.claimed().borrow() >= next;
                let pace = host.pace.clone();
                tokio::spawn(async move {
                    if !behind {
                        pace.wait(next, started).await;
                    }
                    reply_to.send(Next::Start(BlockHeight(next), params)).ok();
                });
            }
            HostMsg::GetHistoryMinHeight { reply_to } => {
                let height = host.application().history_min();
                reply_to.send(BlockHeight(height)).ok();
            }
            HostMsg::GetDecidedValues { range, reply_to } => {
                reply_to.send(host.history(range.start().0, range.end().0)?).ok();
            }
            HostMsg::ProcessSyncedValue { height, round, proposer, value_bytes, reply_to } => {
                reply_to.send(host.receive_synced(height, round, proposer, &value_bytes)?).ok();
            }

            // No vote has an extension.
            HostMsg::ExtendVote { reply_to, .. } => {
                reply_to.send(None).ok();
            }
            HostMsg::VerifyVoteExtensions { extensions, reply_to, .. } => {
                let answers = extensions.into_iter().map(|(address, ())| (address, Ok(())));
                reply_to.send(answers.collect()).ok();
            }
            // Parts never reach the engine: bodies are put together before.
            HostMsg::ReceivedProposalPart { .. } => {}
        }
        Ok(())
    }
}

#[async_trait]
impl<A: Application> Actor for HostActor<A> {
    type Msg = HostMsg<Chain>;
    type State = ();
    type Arguments = ();

    async fn pre_start(&self, _: ActorRef<Self::Msg>, (): ()) -> Result<(), ActorProcessingErr> {
        Ok(())
    }

    async fn handle(
        &self,
        _: ActorRef<Self::Msg>,
        message: Self::Msg,
        (): &mut (),
    ) -> Result<(), ActorProcessingErr> {
        if let Err(fault) = self.answer(message) {
            self.0.halt.stop(fault);
        }
        Ok(())
    }
}
