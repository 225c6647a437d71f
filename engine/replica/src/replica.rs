//! The replica: what a node decides about blocks.

mod building;

use std::collections::{BTreeMap, VecDeque};
use std::fmt;
use std::sync::{Arc, Mutex};

use althing_ledger::{Authenticated, Executed, keys, query};
use althing_state::View as _;
use althing_types::{
    Address, BlockId, Certificate, Evidence, Genesis, Hash, Header, Height, Round, Signatures,
    TimeMs, ValidatorSet, canonical,
};
use building::{Answers, Begun, lock};

use crate::application::{Application, Fault};
use crate::boot::{self, OpenError};
use crate::commit::{Commitment, commitment};
use crate::companions;
use crate::execute::{NoSequel, Outcome, untrusted};
use crate::mempool::{Limits, Mempool, NotAdmitted, Refusal};
use crate::own_work::OwnWork;
use crate::proposal::{self, BadBlock, Candidate, Decoded, check_moment};
use crate::reader::{Head, Reader, decode_certificate};
use crate::rules::{BeaconSigner, Clock, Rules, Subject};
use crate::store::{Commit, Store, StoredProposal, Tip};

/// Most executed blocks that wait for their decision.
const OUTCOMES_MAX: usize = 4;
/// Most blocks of one height and round that are kept in memory; the store has them all, since the
/// one that two thirds decide may be any of those that a dishonest proposer signed.
const CANDIDATES_PER_ROUND: usize = 4;
/// How far above the next height a block is kept.
const HEIGHTS_AHEAD: u64 = 2;
/// Most accusations that wait to be submitted.
const EVIDENCE_MAX: usize = 64;

/// What a replica is told once.
#[derive(Clone, Debug)]
pub struct Config {
    /// The start of the chain.
    pub genesis: Genesis,
    /// This node's account.
    pub address: Address,
    /// Largest block that this node proposes, in bytes; at most
    /// [`BLOCK_BYTES_MAX`](althing_types::BLOCK_BYTES_MAX).
    pub block_bytes_max: usize,
    /// The mempool's bounds.
    pub mempool: Limits,
}

impl Config {
    /// The defaults for a chain and an account.
    #[must_use]
    pub fn new(genesis: Genesis, address: Address) -> Self {
        Self { genesis, address, block_bytes_max: 2 << 20, mempool: Limits::default() }
    }
}

/// The world as a replica sees it.
pub struct Ports {
    /// Where the chain is kept.
    pub store: Arc<dyn Store>,
    /// Checks signatures.
    pub signatures: Arc<dyn Signatures + Send + Sync>,
    /// Proves the beacon; `None` for a node that is no validator.
    pub beacon: Option<Box<dyn BeaconSigner>>,
    /// Wall time.
    pub clock: Clock,
}

impl fmt::Debug for Ports {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Ports").field("validator", &self.beacon.is_some()).finish_non_exhaustive()
    }
}

/// What a commit tells those who listen.
#[derive(Debug)]
pub struct Committed {
    /// The block's id.
    pub block: BlockId,
    /// Its header.
    pub header: Header,
    /// All that the block came to.
    pub executed: Executed,
    /// What its receipts are about, in order.
    pub receipts: Vec<Subject>,
    /// Whether the next block is worth making at once.
    pub next: Next,
    /// Whether [`Replica::take_evidence`] has something.
    pub accuses: bool,
}

/// What the next block is there for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Next {
    /// Transactions wait for it, and for nothing else.
    pub ready: bool,
    /// When the state's earliest deadline is due, or the words of a committee have waited long enough
    /// for the others'.
    pub due: Option<TimeMs>,
}

impl Next {
    /// True if at `now` there is something to put into a block, or to do in it.
    #[must_use]
    pub fn is_worth_making(&self, now: TimeMs) -> bool {
        self.ready || self.due.is_some_and(|due| due <= now)
    }
}

/// Called after each commit, from the commit itself: it must not wait.
pub type Listener = Box<dyn FnMut(Committed) + Send>;

/// Why a transaction was not taken.
#[derive(Debug, thiserror::Error)]
pub enum SubmitError {
    /// The transaction, or the pool.
    #[error(transparent)]
    NotAdmitted(#[from] NotAdmitted),
    /// This node: it must stop.
    #[error(transparent)]
    Fault(#[from] Fault),
}

impl SubmitError {
    /// The documented code, if there is one; `docs/errors/` has a page for each.
    #[must_use]
    pub fn code(&self) -> Option<&'static str> {
        match self {
            Self::NotAdmitted(NotAdmitted::Invalid(invalid)) => Some(invalid.code()),
            Self::NotAdmitted(NotAdmitted::Refused(refusal)) => Some(refusal.code()),
            Self::Fault(fault) => fault.code,
        }
    }
}

/// One node's copy of the chain, and its mempool.
///
/// Sans-IO apart from the [`Store`]: time comes through [`Ports::clock`], messages through the calls.
pub struct Replica {
    pub(crate) rules: Arc<Rules>,
    config: Config,
    store: Arc<dyn Store>,
    beacon: Option<Box<dyn BeaconSigner>>,
    clock: Clock,
    head: Arc<Head>,
    reader: Reader,
    mempool: Mempool,
    /// Until when what waits may wait for companions; `None` if nothing waits.
    gathering: Option<TimeMs>,
    candidates: BTreeMap<BlockId, Candidate>,
    /// The block that came last, until it is checked: it need not be decoded a second time.
    decoded: Option<(BlockId, Decoded)>,
    /// By block, oldest first; all of them follow the tip.
    outcomes: VecDeque<(BlockId, Outcome)>,
    evidence: VecDeque<Evidence>,
    listener: Option<Listener>,
    own_work: Option<Arc<dyn OwnWork>>,
}

impl fmt::Debug for Replica {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Replica")
            .field("tip", &self.head.tip)
            .field("waiting", &self.mempool.len())
            .field("candidates", &self.candidates.len())
            .finish_non_exhaustive()
    }
}

impl Replica {
    /// Opens a chain: commits the genesis to an empty store, or verifies what the store holds.
    ///
    /// # Errors
    ///
    /// [`OpenError`]: the node cannot start.
    pub fn open(config: Config, ports: Ports) -> Result<Self, OpenError> {
        let Ports { store, signatures, beacon, clock } = ports;
        let rules = Arc::new(Rules::new(config.genesis.clone(), signatures));
        let head = Arc::new(boot::open(&store, &rules)?);
        let candidates = boot::candidates(&*store, &config.address)?;
        let reader = Reader::new(Arc::clone(&store), Arc::clone(&rules), Arc::clone(&head));
        let mempool = Mempool::new(config.mempool, config.genesis.parameters.clone());
        Ok(Self {
            rules,
            config,
            store,
            beacon,
            clock,
            head,
            reader,
            mempool,
            gathering: None,
            candidates,
            decoded: None,
            outcomes: VecDeque::new(),
            evidence: VecDeque::new(),
            listener: None,
            own_work: None,
        })
    }

    /// A handle for those who read.
    #[must_use]
    pub fn reader(&self) -> Reader {
        self.reader.clone()
    }

    /// The pool of waiting transactions.
    #[must_use]
    pub const fn mempool(&self) -> &Mempool {
        &self.mempool
    }

    /// Lets `listener` hear of every commit from now on, instead of an earlier one.
    pub fn on_commit(&mut self, listener: Listener) {
        self.listener = Some(listener);
    }

    /// Takes an encoded transaction into the mempool; verifies its signature here. Callers that
    /// share the replica use [`Reader::authenticate`] and [`admit`](Self::admit) instead.
    ///
    /// # Errors
    ///
    /// As [`admit`](Self::admit).
    pub fn submit(&mut self, bytes: &[u8]) -> Result<Hash, SubmitError> {
        let transaction = self.rules.authenticate(bytes).map_err(NotAdmitted::Invalid)?;
        self.admit(transaction)
    }

    /// Takes a transaction into the mempool. It is new to this node, so it should be passed on; one
    /// that is known already gives [`Refusal::Duplicate`].
    ///
    /// # Errors
    ///
    /// [`SubmitError::NotAdmitted`] if it has no place in the pool, [`SubmitError::Fault`] if the
    /// state cannot be read.
    pub fn admit(&mut self, transaction: Arc<Authenticated>) -> Result<Hash, SubmitError> {
        let hash = transaction.hash();
        if self.mempool.find(&hash).is_some() {
            return Err(NotAdmitted::Refused(Refusal::Duplicate).into());
        }
        let account = query::account(&self.head.view, &transaction.account()).map_err(untrusted)?;
        self.mempool.insert(transaction, &account, self.head.next_height())?;
        self.gathering.get_or_insert_with(|| (self.clock)().after(companions::GATHER_MS));
        Ok(hash)
    }

    /// Whether the next block is worth making.
    ///
    /// # Errors
    ///
    /// A [`Fault`] if the state cannot be read.
    pub fn next(&self) -> Result<Next, Fault> {
        let entries = self.head.view.range(keys::DUE, None, 1).map_err(untrusted)?;
        let due = entries.first().and_then(|(key, _)| keys::due_time(key));
        let height = self.head.next_height();
        let ready = self.mempool.has_ready(height);
        if ready
            && let Some(until) = self.gathering
            && (self.clock)() < until
            && self.mempool.len() <= companions::TRANSACTIONS_MAX
            && companions::are_missing(&self.mempool.reap(height, usize::MAX), &self.head.view)
                .map_err(untrusted)?
        {
            return Ok(Next { ready: false, due: Some(due.map_or(until, |due| due.min(until))) });
        }
        Ok(Next { ready, due })
    }

    /// Evidence against validators, to be submitted as transactions.
    pub fn take_evidence(&mut self) -> Vec<Evidence> {
        self.evidence.drain(..).collect()
    }

    /// Why a block above the tip was held invalid when it was last checked, for logs.
    #[must_use]
    pub fn objection(&self, id: &BlockId) -> Option<BadBlock> {
        self.candidates.get(id)?.checked.and_then(|(_, verdict)| verdict.err())
    }

    /// Lets `own_work` answer in the blocks that this node builds for others to share, see
    /// [`Application::propose_shared`].
    pub fn on_owed(&mut self, own_work: Arc<dyn OwnWork>) {
        self.own_work = Some(own_work);
    }

    fn keep_outcome(&mut self, id: BlockId, outcome: Outcome) {
        if self.outcomes.len() >= OUTCOMES_MAX {
            self.outcomes.pop_front();
        }
        self.outcomes.push_back((id, outcome));
    }

    /// Keeps a block durably, then in memory.
    fn keep(
        &mut self,
        id: BlockId,
        header: Header,
        bytes: Vec<u8>,
        own: bool,
    ) -> Result<(), Fault> {
        let proposal = StoredProposal { height: header.height, id, block: bytes };
        self.store
            .keep_proposal(&proposal)
            .map_err(|error| error.fault("keeping a proposed block"))?;
        self.remember(id, Candidate { header, bytes: proposal.block, own, checked: None });
        Ok(())
    }

    /// Keeps a block in memory, in place of another of its round if there are too many.
    fn remember(&mut self, id: BlockId, candidate: Candidate) {
        let round = (candidate.header.height, candidate.header.round);
        let of_round = |other: &Candidate| (other.header.height, other.header.round) == round;
        let mut others = self.candidates.iter().filter(|(other, c)| **other != id && of_round(c));
        // Those that were found valid are likelier to be asked for, this node's own most of all.
        let rank = |c: &Candidate| (c.own, matches!(c.checked, Some((_, Ok(())))));
        if others.clone().count() >= CANDIDATES_PER_ROUND {
            let first = others.next();
            let weakest = others.fold(first, |weakest, other| match weakest {
                Some(known) if rank(known.1) <= rank(other.1) => Some(known),
                Some(_) | None => Some(other),
            });
            if let Some(weakest) = weakest.map(|(weakest, _)| *weakest) {
                self.candidates.remove(&weakest);
            }
        }
        self.candidates.insert(id, candidate);
    }

    /// A block that is durable but no longer in memory.
    fn stored(&self, id: &BlockId) -> Result<Option<Candidate>, Fault> {
        const OPERATION: &str = "reading a kept block";
        let proposals = self.store.proposals().map_err(|error| error.fault(OPERATION))?;
        let Some(proposal) = proposals.into_iter().find(|proposal| proposal.id == *id) else {
            return Ok(None);
        };
        let candidate = boot::candidate(proposal, &self.config.address);
        candidate.map(Some).ok_or_else(|| Fault::new(OPERATION, "it is not what was kept"))
    }

    /// Brings a block back into memory, if it is kept at all.
    fn recall(&mut self, id: &BlockId) -> Result<(), Fault> {
        if !self.candidates.contains_key(id)
            && let Some(candidate) = self.stored(id)?
        {
            self.remember(*id, candidate);
        }
        Ok(())
    }

    /// What this node itself has proposed for a round.
    fn proposed(&self, height: Height, round: Round) -> Option<(BlockId, Vec<u8>)> {
        let own = |candidate: &Candidate| {
            let header = &candidate.header;
            candidate.own && (header.height, header.round) == (height, round)
        };
        let (id, candidate) = self.candidates.iter().find(|(_, candidate)| own(candidate))?;
        Some((*id, candidate.bytes.clone()))
    }

    /// Checks a kept block against the tip, unless that was done before.
    fn check(&mut self, id: &BlockId) -> Result<Result<(), BadBlock>, Fault> {
        let tip = self.head.tip.block;
        let Some(candidate) = self.candidates.get_mut(id) else {
            return Ok(Err(BadBlock::WrongParent));
        };
        if let Some((at, verdict)) = candidate.checked
            && at == tip
        {
            return Ok(verdict);
        }
        let block = match self.decoded.take() {
            Some((of, block)) if of == *id => block,
            Some(_) | None => candidate.decode()?,
        };
        let checked = proposal::check(block, &self.head, &self.rules, &self.mempool)?;
        let verdict = match checked {
            Ok(outcome) => {
                self.keep_outcome(*id, outcome);
                Ok(())
            }
            Err(bad) => Err(bad),
        };
        if let Some(candidate) = self.candidates.get_mut(id) {
            candidate.checked = Some((tip, verdict));
        }
        Ok(verdict)
    }

    fn is_valid(&mut self, id: &BlockId, round: Round) -> Result<bool, Fault> {
        let now = (self.clock)();
        self.recall(id)?;
        let Some(candidate) = self.candidates.get(id) else { return Ok(false) };
        if check_moment(&candidate.header, round, now).is_err() {
            return Ok(false);
        }
        Ok(self.check(id)?.is_ok())
    }

    /// The outcome of a decided block, executed again if it was forgotten.
    fn outcome(&mut self, id: &BlockId) -> Result<Outcome, Fault> {
        let found = self.outcomes.iter().position(|(of, _)| of == id);
        if let Some((_, outcome)) = found.and_then(|place| self.outcomes.remove(place)) {
            return Ok(outcome);
        }
        let candidate = self
            .candidates
            .get(id)
            .ok_or_else(|| Fault::new("committing a block", "its body is unknown"))?;
        proposal::check(candidate.decode()?, &self.head, &self.rules, &self.mempool)?
            .map_err(|bad| Fault::new("committing a decided block", bad).with_code("CON-0001"))
    }
}

impl Application for Replica {
    fn next_height(&self) -> Height {
        self.head.next_height()
    }

    fn validators(&self) -> ValidatorSet {
        self.head.validators.clone()
    }

    fn propose(&mut self, height: Height, round: Round) -> Result<(BlockId, Vec<u8>), Fault> {
        match self.begin(height, round)? {
            Begun::Again(proposed) => Ok(proposed),
            Begun::Building(building) => {
                let built = building.build(&mut NoSequel)?;
                self.end(built)
            }
        }
    }

    fn propose_shared(
        shared: &Mutex<Self>,
        height: Height,
        round: Round,
    ) -> Result<(BlockId, Vec<u8>), Fault> {
        let (begun, own_work) = {
            let mut replica = lock(shared);
            (replica.begin(height, round)?, replica.own_work.clone())
        };
        let building = match begun {
            Begun::Again(proposed) => return Ok(proposed),
            Begun::Building(building) => building,
        };
        let built = match own_work {
            Some(own_work) => {
                let mut answers = Answers::new(&*own_work, shared, &building);
                let built = building.build(&mut answers)?;
                own_work.flush()?;
                built
            }
            None => building.build(&mut NoSequel)?,
        };
        lock(shared).end(built)
    }

    fn receive(
        &mut self,
        height: Height,
        round: Round,
        _proposer: Address,
        body: &[u8],
    ) -> Result<Option<(BlockId, bool)>, Fault> {
        // The header names its proposer, who need not be the one that proposes the block again.
        let next = self.head.next_height();
        let Some(block) = proposal::decode(body) else { return Ok(None) };
        let header = block.header.clone();
        if header.height != height || height < next || next.until(height) > HEIGHTS_AHEAD {
            return Ok(None);
        }
        let id = header.id();
        let ripe = height == next;
        if ripe {
            // The id does not commit to the proof: with a bad one, the body is not the block's.
            let proven =
                proposal::proven_beacon(&header, &block.beacon_proof, &self.head, &self.rules);
            if proven != Some(header.beacon) {
                return Ok(None);
            }
        }
        let tip = self.head.tip.block;
        let replaces = self.candidates.get(&id).is_none_or(|known| {
            // One that came early may have had a spoiled proof; this one's holds.
            ripe && known.checked != Some((tip, Ok(()))) && known.bytes != body
        });
        if replaces {
            self.keep(id, header, body.to_vec(), false)?;
            self.decoded = ripe.then_some((id, block));
        }
        Ok(Some((id, ripe && self.is_valid(&id, round)?)))
    }

    fn receive_certified(
        &mut self,
        height: Height,
        round: Round,
        proposer: Address,
        body: &[u8],
    ) -> Result<Option<(BlockId, bool)>, Fault> {
        let Some((id, valid)) = self.receive(height, round, proposer, body)? else {
            return Ok(None);
        };
        // What holds at a moment only is overruled: this node's clock may be slow.
        let ripe = height == self.head.next_height();
        Ok(Some((id, valid || (ripe && self.check(&id)?.is_ok()))))
    }

    fn revalidate(&mut self, id: &BlockId, round: Round) -> Result<bool, Fault> {
        self.is_valid(id, round)
    }

    fn body(&self, id: &BlockId) -> Result<Option<Vec<u8>>, Fault> {
        if let Some(candidate) = self.candidates.get(id) {
            return Ok(Some(candidate.bytes.clone()));
        }
        Ok(self.stored(id)?.map(|candidate| candidate.bytes))
    }

    fn commit(&mut self, certificate: Certificate) -> Result<(), Fault> {
        const OPERATION: &str = "committing a block";
        let certificate = certificate.trimmed(&self.head.validators);
        let (id, height) = (certificate.block, certificate.height);
        if height != self.head.next_height() {
            return Err(Fault::new(OPERATION, format!("height {height} is not the next")));
        }
        self.recall(&id)?;
        let outcome = self.outcome(&id)?;
        let candidate =
            self.candidates.get(&id).ok_or_else(|| Fault::new(OPERATION, "its body is unknown"))?;
        let header = candidate.header.clone();
        let Commitment { archive, subjects, set_changes } =
            commitment(&self.head, &self.rules, &header, id, &outcome);
        let Outcome { executed, tree, undo, transactions } = outcome;
        let tip = Tip { height, block: id, state_root: tree.root() };
        let mut headers = self.head.headers.clone();
        headers.append(id);
        // Linked before the store changes: views of the old height read through it.
        let view = self.head.view.succeed(tree, undo).ok_or_else(|| {
            Fault::new(OPERATION, "an earlier write failed: the node has to be started again")
        })?;
        self.store
            .commit(Commit {
                tip,
                block: &candidate.bytes,
                certificate: &canonical::encode(&certificate),
                writes: &executed.writes,
                archive: &archive,
            })
            .map_err(|error| error.fault(OPERATION))?;
        self.head = Arc::new(Head {
            tip,
            header: Some(header.clone()),
            validators: executed.next_validators.clone(),
            view,
            headers,
            set_changes,
            start: self.head.start,
        });
        self.reader.publish(Arc::clone(&self.head));
        self.candidates.retain(|_, candidate| candidate.header.height > height);
        self.decoded = None;
        self.outcomes.clear();
        self.mempool.committed(height, transactions.iter().map(|t| &**t));
        let waits = !self.mempool.is_empty();
        self.gathering = waits.then(|| (self.clock)().after(companions::GATHER_MS));
        if self.listener.is_some() {
            let next = self.next()?;
            let accuses = !self.evidence.is_empty();
            let receipts = subjects;
            let committed = Committed { block: id, header, executed, receipts, next, accuses };
            if let Some(listener) = &mut self.listener {
                listener(committed);
            }
        }
        Ok(())
    }

    fn decided(&self, height: Height) -> Result<Option<(Vec<u8>, Certificate)>, Fault> {
        const OPERATION: &str = "reading a decided block";
        let decided = self.store.decided(height).map_err(|error| error.fault(OPERATION))?;
        let Some(decided) = decided else { return Ok(None) };
        let certificate = decode_certificate(&decided.certificate)
            .map_err(|malformed| Fault::new(OPERATION, malformed))?;
        Ok(Some((decided.block, certificate)))
    }

    fn history_min(&self) -> Height {
        Height(1)
    }

    fn misbehaviour(&mut self, evidence: Evidence) {
        let known = self.evidence.iter().any(|known| known.validator == evidence.validator);
        if !known && self.evidence.len() < EVIDENCE_MAX {
            self.evidence.push_back(evidence);
        }
    }
}
