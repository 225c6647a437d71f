//! The engine as a value: one thread, one input at a time, effects as data.
//!
//! [`spawn`](crate::spawn) runs the engine's actors; here the same engine core is driven without them,
//! so that a whole network fits into one thread and every run can be repeated. Blocks, messages,
//! bodies, signatures and the log go through the very code that the actors use.
//!
//! ```text
//!   Input ──► gate ─► core ──► desk ─► Application
//!                      │ └──► log (a Medium)
//!                      └──► Effect: broadcast, wake, ask a peer
//! ```
//!
//! - Deviation: catching up is a simple loop in place of the engine's sync actor, which reads the
//!   clock; requests, responses and certificates are the same. Peers are taken for connected.
//! - Units: time is a [`Duration`] since any moment; it only has to go forward.
//! - Errors: [`Fault`]: this node must stop, and the value must not be used again.
//! - Invariants: as in [`spawn`](crate::spawn): nothing is broadcast before it is in the log; equal
//!   values given equal inputs push equal effects.

mod catch_up;

use std::collections::{BTreeMap, VecDeque};
use std::convert::Infallible;
use std::fmt;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use althing_network::Lane;
use althing_replica::application::{Application, Fault};
use althing_replica::context::{BlockHeight, Chain, Members, PART_BYTES, Voter, vote_digest};
use althing_types::{BlockId, Eip712, EndpointId, Height, Signatures};
use bytes::Bytes;
use catch_up::CatchUp;
use futures_util::FutureExt as _;
use malachite_app::app::config::ConsensusConfig;
use malachite_app::app::metrics::Metrics;
use malachite_app::app::types::SignedConsensusMsg;
use malachite_core::{
    Effect as CoreEffect, Input as CoreInput, LivenessMsg, LocallyProposedValue, Params,
    Resumable as _, Resume, State, ValuePayload,
};
use malachite_engine::wal::{decode_entry, encode_entry};
use malachite_signing::{Signer as _, Verifier as _, VerifierExt as _};
use malachite_types::{
    LinearTimeouts, NilOrVal, Round, SignedMessage, Timeout, ValueOrigin, VoteExtensionPolicy,
};

use crate::codec::{Borsh, Message, decode_part, encode_part};
use crate::desk::{self, Desk, Synced, round_of};
use crate::gate::{self, Open};
use crate::parts::{Assembly, Expectation};
use crate::signing::{Checker, ConsensusSigner, EngineSigner};
pub use crate::wal::Medium;
use crate::wal::{Log, WalError};
use crate::wal_actor::said;
use crate::{Config, Progress};

/// How often a node says how far it is.
const STATUS_INTERVAL: Duration = Duration::from_secs(1);

/// What happens to an engine.
#[derive(Clone, Debug)]
pub enum Input {
    /// A peer's frame has arrived.
    Frame {
        /// The peer.
        from: EndpointId,
        /// The lane: votes or bodies.
        lane: Lane,
        /// The bytes.
        payload: Bytes,
    },
    /// What [`Effect::Wake`] asked for.
    Elapsed(u64),
    /// Answers [`Effect::Ask`]; `None` if the peer did not.
    Answer {
        /// The question's number.
        number: u64,
        /// The peer's bytes.
        body: Option<Bytes>,
    },
    /// Whether there is something to put into a block.
    Work(bool),
}

/// What an engine asks for, in the order in which it must happen.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Effect {
    /// Send to every peer.
    Broadcast(Lane, Bytes),
    /// Answer with [`Input::Elapsed`] after this long.
    Wake {
        /// Names the wish.
        alarm: u64,
        /// How long.
        after: Duration,
    },
    /// Ask a peer for decided blocks: [`Stepped::answer`] there, [`Input::Answer`] here.
    Ask {
        /// The peer.
        peer: EndpointId,
        /// Names the question.
        number: u64,
        /// The request's bytes.
        body: Bytes,
    },
}

/// Why the engine wants to be woken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Alarm {
    Timeout(Timeout),
    Pace,
    Status,
}

/// A height is decided, the next has not begun.
#[derive(Clone, Copy, Debug)]
struct Pause {
    /// When the decided height began.
    started: Duration,
    /// There is more to fetch from peers.
    behind: bool,
}

/// One validator's consensus, or a follower's.
pub struct Stepped<A, M> {
    config: Config,
    timeouts: LinearTimeouts,
    application: A,
    signer: Arc<dyn ConsensusSigner>,
    checker: Checker,
    log: Log<M>,
    core: Option<State<Chain>>,
    metrics: Metrics,
    desk: Desk,
    assembly: Assembly,
    part_bytes: usize,
    expectation: Expectation,
    /// Messages of the engine to itself.
    inbox: VecDeque<CoreInput<Chain>>,
    alarms: BTreeMap<u64, Alarm>,
    alarms_set: u64,
    recovering: bool,
    is_validator: bool,
    pause: Option<Pause>,
    called: Height,
    work: bool,
    height_started: Duration,
    catch_up: CatchUp,
    now: Duration,
    progress: Progress,
}

impl<A: fmt::Debug, M> fmt::Debug for Stepped<A, M> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Stepped")
            .field("application", &self.application)
            .field("progress", &self.progress)
            .finish_non_exhaustive()
    }
}

fn log_fault(error: WalError) -> Fault {
    let code = error.code();
    Fault::new("keeping the consensus log", error).with_code(code)
}

fn engine_fault(error: impl fmt::Display) -> Fault {
    Fault::new("running the consensus engine", error.to_string())
}

impl<A: Application, M: Medium> Stepped<A, M> {
    /// An engine over what an earlier run has left. Nothing happens before [`start`](Self::start).
    ///
    /// The log is on `medium`; the path in `config` only names it.
    ///
    /// # Errors
    ///
    /// [`Fault`] when the log cannot be used.
    pub fn open(
        config: Config,
        application: A,
        medium: M,
        signer: Arc<dyn ConsensusSigner>,
        signatures: Arc<dyn Signatures + Send + Sync>,
    ) -> Result<Self, Fault> {
        let path: &Path = &config.wal;
        let (log, _) = Log::on(medium, path).map_err(log_fault)?;
        let checker = Checker::new(Eip712::new(config.chain), signatures);
        let members = Members::new(application.validators());
        let expectation = Expectation { next: application.next_height(), members };
        Ok(Self {
            timeouts: config.timeouts(),
            config,
            application,
            signer,
            assembly: Assembly::new(checker.clone(), PART_BYTES),
            part_bytes: PART_BYTES,
            checker,
            log,
            core: None,
            metrics: Metrics::default(),
            desk: Desk::default(),
            expectation,
            inbox: VecDeque::new(),
            alarms: BTreeMap::new(),
            alarms_set: 0,
            recovering: false,
            is_validator: false,
            pause: None,
            called: Height(0),
            work: false,
            height_started: Duration::ZERO,
            catch_up: CatchUp::default(),
            now: Duration::ZERO,
            progress: Progress::default(),
        })
    }

    /// Cuts bodies into pieces of this length, in bytes; all nodes of a network must do so alike.
    /// Small ones show what happens between the pieces of a body.
    #[must_use]
    pub fn with_part_bytes(self, part_bytes: usize) -> Self {
        Self { assembly: Assembly::new(self.checker.clone(), part_bytes), part_bytes, ..self }
    }

    /// The application.
    pub const fn application(&self) -> &A {
        &self.application
    }

    /// The application, for what others than consensus ask of it.
    pub const fn application_mut(&mut self) -> &mut A {
        &mut self.application
    }

    /// How far it is.
    pub const fn progress(&self) -> Progress {
        self.progress
    }

    /// Where the engine stands, for people.
    #[must_use]
    pub fn standing(&self) -> String {
        let Some(core) = &self.core else { return "not begun".to_owned() };
        let driver = &core.driver;
        let (round, step) = (driver.round(), driver.step());
        let locked = driver.round_state().locked.as_ref().map(|held| (held.round, held.value.0));
        let valid = driver.valid_value().map(|held| (held.round, held.value.0));
        format!(
            "height {} round {round} {step:?}, locked {locked:?}, valid {valid:?}",
            self.progress.deciding
        )
    }

    /// Begins the next height.
    ///
    /// # Errors
    ///
    /// [`Fault`]: see the module. So for every method.
    pub fn start(&mut self, now: Duration, effects: &mut Vec<Effect>) -> Result<(), Fault> {
        self.now = now;
        self.wake(Alarm::Status, STATUS_INTERVAL, effects);
        self.start_height(effects)?;
        self.settle(effects)
    }

    /// Advances by one input.
    ///
    /// # Errors
    ///
    /// As [`start`](Self::start).
    pub fn step(
        &mut self,
        now: Duration,
        input: Input,
        effects: &mut Vec<Effect>,
    ) -> Result<(), Fault> {
        self.now = self.now.max(now);
        match input {
            Input::Frame { from, lane: Lane::Votes, payload } => self.message(from, &payload),
            Input::Frame { from, lane: Lane::Bodies, payload } => self.part(from, &payload)?,
            Input::Frame { lane: Lane::Transactions, .. } => {} // not the engine's
            Input::Elapsed(alarm) => self.elapsed(alarm, effects)?,
            Input::Answer { number, body } => self.catch_up.answered(number, body),
            Input::Work(work) => self.work = work,
        }
        self.settle(effects)
    }

    /// Answers a peer's question for decided blocks; `None` if it makes no sense.
    ///
    /// # Errors
    ///
    /// As [`start`](Self::start).
    pub fn answer(&self, question: &Bytes) -> Result<Option<Bytes>, Fault> {
        catch_up::answer(&self.application, question)
    }

    // Inputs.

    fn message(&mut self, from: EndpointId, payload: &[u8]) {
        let Ok(message) = Message::decode(payload) else { return };
        match gate::admits(&self.checker, &self.expectation, &message) {
            Ok(Open::Next) => self.called = self.called.max(self.expectation.next),
            Ok(Open::Later | Open::Status) => {}
            Err(_) => return,
        }
        self.inbox.push_back(match message {
            Message::Consensus(SignedConsensusMsg::Vote(vote))
            | Message::Liveness(LivenessMsg::Vote(vote)) => CoreInput::Vote(vote),
            Message::Consensus(SignedConsensusMsg::Proposal(proposal)) => {
                CoreInput::Proposal(proposal)
            }
            Message::Liveness(LivenessMsg::PolkaCertificate(certificate)) => {
                CoreInput::PolkaCertificate(certificate)
            }
            Message::Liveness(LivenessMsg::SkipRoundCertificate(certificate)) => {
                CoreInput::RoundCertificate(certificate)
            }
            Message::Status { tip, history_min } => {
                return self.catch_up.heard(from, tip.0, history_min.0);
            }
        });
    }

    fn part(&mut self, from: EndpointId, payload: &[u8]) -> Result<(), Fault> {
        let Ok(part) = decode_part(payload) else { return Ok(()) };
        let Ok(Some(body)) = self.assembly.take(from, part, &self.expectation) else {
            return Ok(());
        };
        if body.init.height.0 == self.expectation.next {
            self.called = self.called.max(self.expectation.next);
        }
        let value = self.desk.received(&mut self.application, &body)?;
        let input = value.map(|value| CoreInput::ProposedValue(value, ValueOrigin::Consensus));
        self.inbox.extend(input);
        Ok(())
    }

    fn elapsed(&mut self, alarm: u64, effects: &mut Vec<Effect>) -> Result<(), Fault> {
        match self.alarms.remove(&alarm) {
            Some(Alarm::Timeout(timeout)) => {
                self.inbox.push_back(CoreInput::TimeoutElapsed(timeout));
            }
            Some(Alarm::Status) => {
                self.announce(effects)?;
                self.wake(Alarm::Status, STATUS_INTERVAL, effects);
            }
            Some(Alarm::Pace) | None => {}
        }
        Ok(())
    }

    fn announce(&self, effects: &mut Vec<Effect>) -> Result<(), Fault> {
        let tip = BlockHeight(Height(self.application.next_height().0.saturating_sub(1)));
        let history_min = BlockHeight(self.application.history_min());
        let status = Message::Status { tip, history_min }.encode().map_err(engine_fault)?;
        effects.push(Effect::Broadcast(Lane::Votes, status));
        Ok(())
    }

    // Progress.

    /// Goes on until there is nothing to do without a further input.
    fn settle(&mut self, effects: &mut Vec<Effect>) -> Result<(), Fault> {
        loop {
            while let Some(input) = self.inbox.pop_front() {
                self.process(input, effects)?;
            }
            if self.may_start() {
                self.start_height(effects)?;
            } else if let Some(value) = self.next_synced() {
                self.inbox.push_back(CoreInput::SyncValueResponse(value));
            } else {
                break;
            }
        }
        if let Some((peer, number, body)) = self.catch_up.question(self.expectation.next)? {
            effects.push(Effect::Ask { peer, number, body });
        }
        Ok(())
    }

    fn next_synced(&mut self) -> Option<malachite_types::ValueResponse<Chain>> {
        if self.pause.is_some() || self.core.is_none() {
            return None;
        }
        self.catch_up.next_value(self.expectation.next)
    }

    /// As the pace of the actors' host: at once if others have begun or blocks are missing, else
    /// when there is work and the least time has passed, or the idle time.
    fn may_start(&self) -> bool {
        let Some(Pause { started, behind }) = self.pause else { return false };
        behind
            || self.called >= self.expectation.next
            || (self.work && self.now >= started + self.config.min_block)
            || self.now >= started + self.config.idle_block
    }

    fn start_height(&mut self, effects: &mut Vec<Effect>) -> Result<(), Fault> {
        self.pause = None;
        let Expectation { next, members } = self.expectation.clone();
        let (height, address) = (BlockHeight(next), Voter(self.signer.address()));
        self.is_validator = members.get(&address).is_some();
        if self.core.is_none() {
            let params = Params {
                address,
                threshold_params: malachite_core::ThresholdParams::default(),
                value_payload: ValuePayload::ProposalAndParts,
                enabled: true,
            };
            let limits = ConsensusConfig::default();
            let (all, each) = (limits.queue_capacity, limits.queue_per_height_capacity);
            self.core = Some(State::new(Chain, height, members.clone(), params, all, each));
        }
        let entries = if self.is_validator {
            self.log.start(next).map_err(log_fault)?
        } else {
            self.log.reset(next).map_err(log_fault)?;
            Vec::new()
        };
        let policy = VoteExtensionPolicy::default();
        let begin = CoreInput::StartHeight(height, members, false, None, policy);
        self.process(begin, effects)?;
        if !entries.is_empty() {
            self.replay(&entries, effects)?;
        }
        Ok(())
    }

    /// Feeds back what an earlier run has logged of this height.
    fn replay(&mut self, entries: &[Vec<u8>], effects: &mut Vec<Effect>) -> Result<(), Fault> {
        let decode = |entry: &Vec<u8>| decode_entry(&Borsh, &entry[..]);
        let entries: Result<Vec<CoreInput<Chain>>, _> = entries.iter().map(decode).collect();
        let entries = entries.map_err(engine_fault)?;
        self.recovering = true;
        if let Some(core) = &mut self.core {
            core.record_recovered_own_precommit_extensions(&entries);
            core.index_wal_entries(&entries);
        }
        for entry in entries {
            self.process(entry, effects)?;
        }
        if let Some(core) = &mut self.core {
            core.reset_entries_index();
        }
        self.recovering = false;
        Ok(())
    }

    fn process(&mut self, input: CoreInput<Chain>, effects: &mut Vec<Effect>) -> Result<(), Fault> {
        let Some(mut core) = self.core.take() else { return Ok(()) };
        let done = self.drive(&mut core, input, effects);
        self.core = Some(core);
        done
    }

    fn drive(
        &mut self,
        core: &mut State<Chain>,
        input: CoreInput<Chain>,
        effects: &mut Vec<Effect>,
    ) -> Result<(), Fault> {
        let metrics = self.metrics.clone();
        let done: Result<(), malachite_core::Error<Chain>> = malachite_core::process!(
            input: input,
            state: core,
            metrics: &metrics,
            with: effect => match self.carry_out(effect, effects) {
                Ok(resume) => Ok::<_, Infallible>(resume),
                Err(fault) => return Err(fault),
            }
        );
        done.map_err(engine_fault)
    }

    // Effects.

    fn carry_out(
        &mut self,
        effect: CoreEffect<Chain>,
        effects: &mut Vec<Effect>,
    ) -> Result<Resume<Chain>, Fault> {
        Ok(match effect {
            CoreEffect::CancelAllTimeouts(r) => {
                self.alarms.retain(|_, alarm| !matches!(alarm, Alarm::Timeout(_)));
                r.resume_with(())
            }
            CoreEffect::CancelTimeout(timeout, r) => {
                self.alarms.retain(|_, alarm| *alarm != Alarm::Timeout(timeout));
                r.resume_with(())
            }
            CoreEffect::ScheduleTimeout(timeout, r) => {
                let after = self.timeouts.duration_for(timeout);
                self.wake(Alarm::Timeout(timeout), after, effects);
                r.resume_with(())
            }
            CoreEffect::StartRound(height, round, _, _, r) => {
                self.flush()?;
                self.started_round(height.0, round)?;
                r.resume_with(())
            }
            CoreEffect::PublishConsensusMsg(message, r) => {
                self.flush()?;
                self.publish(&Message::Consensus(message), effects)?;
                r.resume_with(())
            }
            CoreEffect::PublishLivenessMsg(message, r) => {
                self.publish(&Message::Liveness(message), effects)?;
                r.resume_with(())
            }
            CoreEffect::RepublishVote(vote, r) => {
                self.publish(&Message::Liveness(LivenessMsg::Vote(vote)), effects)?;
                r.resume_with(())
            }
            CoreEffect::RepublishRoundCertificate(certificate, r) => {
                let message = LivenessMsg::SkipRoundCertificate(certificate);
                self.publish(&Message::Liveness(message), effects)?;
                r.resume_with(())
            }
            CoreEffect::GetValue(height, round, _, r) => {
                let (id, body) = self.application.propose(height.0, round_of(round)?)?;
                self.stream(height.0, round, Round::Nil, id, &body, effects)?;
                let value = althing_replica::context::BlockValue(id);
                let value = LocallyProposedValue::new(height, round, value);
                self.inbox.push_back(CoreInput::Propose(value));
                r.resume_with(())
            }
            CoreEffect::RestreamProposal(height, round, valid_round, _, id, r) => {
                if let Some(body) = self.application.body(&id)? {
                    self.stream(height.0, round, valid_round, id, &body, effects)?;
                }
                r.resume_with(())
            }
            CoreEffect::Decide(certificate, _, r) => {
                self.flush()?;
                let synced = self.desk.decided(&mut self.application, &certificate)?;
                self.progress.decided = certificate.height.0;
                self.progress.synced += u64::from(synced);
                let members = Members::new(self.application.validators());
                let next = self.application.next_height();
                self.expectation = Expectation { next, members };
                self.assembly.forget_below(next);
                r.resume_with(())
            }
            CoreEffect::Finalize(_, _, evidence, r) => {
                for evidence in desk::double_votes(&evidence) {
                    self.application.misbehaviour(evidence);
                }
                self.pause(effects);
                r.resume_with(())
            }
            CoreEffect::CertVerifiedSyncValue(value, proposer, r) => {
                let certificate = value.certificate;
                let (height, round) = (certificate.height, certificate.round);
                let application = &mut self.application;
                let body = &value.value_bytes;
                let synced =
                    self.desk.received_synced(application, height, round, proposer, body)?;
                if let Synced::Value(value) = synced
                    && value.value.0 == certificate.value_id
                {
                    self.inbox.push_back(CoreInput::ProposedValue(value, ValueOrigin::Sync));
                }
                r.resume_with(())
            }
            CoreEffect::CertRejectedSyncValue(_, _, _, r) => r.resume_with(()),
            CoreEffect::WalAppend(height, entry, r) => {
                if !self.recovering && self.is_validator {
                    let (mut bytes, said) = (Vec::new(), said(&entry, self.signer.address()));
                    encode_entry(entry, &Borsh, &mut bytes).map_err(engine_fault)?;
                    self.log.append(height.0, &bytes, said);
                }
                r.resume_with(())
            }
            other => self.check_or_sign(other)?,
        })
    }

    /// Effects that are answered at once: the ports are asynchronous in form only.
    fn check_or_sign(&self, effect: CoreEffect<Chain>) -> Result<Resume<Chain>, Fault> {
        let (checker, signer) = (self.checker.clone(), Arc::clone(&self.signer));
        let signer = EngineSigner { signer, checker: checker.clone() };
        Ok(match effect {
            CoreEffect::SignProposal(proposal, r) => {
                let signed = at_once(signer.sign_proposal(proposal))?;
                r.resume_with(signed.map_err(engine_fault)?)
            }
            CoreEffect::SignVote(vote, r) => {
                let signed = at_once(signer.sign_vote(vote))?;
                r.resume_with(signed.map_err(engine_fault)?)
            }
            CoreEffect::VerifySignature(message, key, r) => {
                use malachite_core::ConsensusMsg;
                let result = match &message.message {
                    ConsensusMsg::Vote(vote) => {
                        at_once(checker.verify_signed_vote(vote, &message.signature, &key))?
                    }
                    ConsensusMsg::Proposal(proposal) => {
                        at_once(checker.verify_signed_proposal(proposal, &message.signature, &key))?
                    }
                };
                r.resume_with(result.is_ok_and(|result| result.is_valid()))
            }
            CoreEffect::VerifyCommitCertificate(certificate, set, thresholds, r) => {
                let check =
                    checker.verify_commit_certificate(&Chain, &certificate, &set, thresholds);
                r.resume_with(at_once(check)?)
            }
            CoreEffect::VerifyExtendedCommitCertificate(
                certificate,
                set,
                thresholds,
                policy,
                r,
            ) => {
                let check = checker.verify_extended_commit_certificate(
                    &Chain,
                    &certificate,
                    &set,
                    thresholds,
                    policy,
                );
                r.resume_with(at_once(check)?)
            }
            CoreEffect::VerifyPolkaCertificate(certificate, set, thresholds, r) => {
                let check =
                    checker.verify_polka_certificate(&Chain, &certificate, &set, thresholds);
                r.resume_with(at_once(check)?)
            }
            CoreEffect::VerifyRoundCertificate(certificate, set, thresholds, r) => {
                let check =
                    checker.verify_round_certificate(&Chain, &certificate, &set, thresholds);
                r.resume_with(at_once(check)?)
            }
            CoreEffect::ExtendVote(_, _, _, _, r) => r.resume_with(None),
            CoreEffect::VerifyVoteExtension(_, _, _, _, _, _, r) => {
                r.resume_with(Err(malachite_core::VoteExtensionError::InvalidVoteExtension))
            }
            _ => return Err(engine_fault("an effect of the engine is not known here")),
        })
    }

    fn flush(&mut self) -> Result<(), Fault> {
        if self.recovering || !self.is_validator {
            return Ok(());
        }
        let alone = matches!(
            self.expectation.members.set().members(),
            [only] if only.address == self.signer.address()
        );
        let is_seen = !(alone && self.catch_up.is_alone());
        self.log.flush(is_seen).map_err(log_fault)
    }

    fn started_round(&mut self, height: Height, round: Round) -> Result<(), Fault> {
        if round == Round::ZERO {
            self.height_started = self.now;
        }
        let members = &self.expectation.members;
        let values = self.desk.started_round(&mut self.application, members, height, round)?;
        let input = |value| CoreInput::ProposedValue(value, ValueOrigin::Consensus);
        self.inbox.extend(values.into_iter().map(input));
        (self.progress.deciding, self.progress.round) = (height, round.as_u32().unwrap_or(0));
        self.progress.extra_rounds += u64::from(round > Round::ZERO);
        Ok(())
    }

    fn pause(&mut self, effects: &mut Vec<Effect>) {
        let started = self.height_started;
        let behind = self.desk.take_syncing() && self.catch_up.claimed() >= self.expectation.next;
        self.pause = Some(Pause { started, behind });
        for wait in [self.config.min_block, self.config.idle_block] {
            let after = (started + wait).saturating_sub(self.now);
            self.wake(Alarm::Pace, after, effects);
        }
    }

    fn publish(&self, message: &Message, effects: &mut Vec<Effect>) -> Result<(), Fault> {
        let bytes = message.encode().map_err(engine_fault)?;
        effects.push(Effect::Broadcast(Lane::Votes, bytes));
        Ok(())
    }

    fn stream(
        &self,
        height: Height,
        round: Round,
        pol_round: Round,
        id: BlockId,
        body: &[u8],
        effects: &mut Vec<Effect>,
    ) -> Result<(), Fault> {
        let (checker, signer, body) = (&self.checker, &*self.signer, (id, body));
        let parts =
            desk::sealed_parts(checker, signer, height, round, pol_round, body, self.part_bytes)?;
        effects.extend(parts.map(|part| Effect::Broadcast(Lane::Bodies, encode_part(&part))));
        Ok(())
    }

    fn wake(&mut self, why: Alarm, after: Duration, effects: &mut Vec<Effect>) {
        self.alarms_set += 1;
        self.alarms.insert(self.alarms_set, why);
        effects.push(Effect::Wake { alarm: self.alarms_set, after });
    }
}

/// The output of a future that waits for nothing.
fn at_once<T>(future: impl Future<Output = T>) -> Result<T, Fault> {
    future.now_or_never().ok_or_else(|| engine_fault("a signature is waited for"))
}

/// A frame with one vote, voted again for something else: what an equivocating validator sends.
///
/// For fault injection. `None` if the frame is no vote of the signer, or says that already.
#[must_use]
pub fn conflicting_vote(
    frame: &[u8],
    eip712: &Eip712,
    signer: &dyn ConsensusSigner,
    block: Option<BlockId>,
) -> Option<Bytes> {
    let Ok(Message::Consensus(SignedConsensusMsg::Vote(signed))) = Message::decode(frame) else {
        return None;
    };
    let value = block.map_or(NilOrVal::Nil, NilOrVal::Val);
    let mut vote = signed.message;
    if vote.validator.0 != signer.address() || vote.value == value {
        return None;
    }
    vote.value = value;
    let signature = signer.sign(&vote_digest(eip712, &vote)?);
    let vote = SignedConsensusMsg::Vote(SignedMessage::new(vote, signature));
    Message::Consensus(vote).encode().ok()
}

/// Whether a frame carries a proposal, as against votes and certificates.
#[must_use]
pub fn is_proposal(frame: &[u8]) -> bool {
    matches!(Message::decode(frame), Ok(Message::Consensus(SignedConsensusMsg::Proposal(_))))
}
