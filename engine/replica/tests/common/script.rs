//! Three heights as one node of two lives through them, on any store, with any interruptions.
//!
//! ```text
//!   Script::record() ──► a World without disturbances: bodies, rivals, certificates, roots
//!   Script::live(store) ──► opens, and does what is left of the three heights; stops at a failure
//! ```
//!
//! What a node is told after a restart is what its peers still have: transactions, bodies,
//! certificates. Its own proposals follow from them and the clock.

use std::sync::Arc;

use althing_keys::Secp256k1;
use althing_ledger::query;
use althing_replica::application::{Application as _, Fault};
use althing_replica::store::Store;
use althing_replica::{OpenError, Ports, Replica, SubmitError};
use althing_types::{
    Address, Amount, BlockId, Certificate, EndpointId, Genesis, Hash, Height, Offer, Operation,
    Publish, Round, SignedTransaction,
};

use super::{
    START, Signer, Time, World, account, call, config, service, transaction, transfer,
    validator_key,
};

/// How many heights there are.
pub const HEIGHTS: u64 = 3;

/// What everybody else remembers of a height.
#[derive(Clone, Debug)]
pub struct Chapter {
    pub transactions: Vec<SignedTransaction>,
    /// What was decided: the round, its proposer, the block.
    pub decided: Proposal,
    /// What the other node proposed in a round of its own, and nobody decided.
    pub rival: Proposal,
    pub certificate: Certificate,
    pub state_root: Hash,
}

/// A block, in which round, and by whom.
pub type Proposal = (Round, Address, Vec<u8>);

/// The undisturbed story, and the node whose part is played again.
#[derive(Debug)]
pub struct Script {
    pub genesis: Genesis,
    pub number: u64,
    pub chapters: Vec<Chapter>,
}

/// Why a life ended early.
#[derive(Debug)]
pub enum Stopped {
    Open(OpenError),
    Fault(Fault),
}

/// What was acknowledged to consensus in a life: these must survive.
#[derive(Clone, Debug, Default)]
pub struct Promises {
    pub committed: Height,
    pub kept: Vec<(Height, BlockId)>,
}

const fn clock_ms(height: Height) -> u64 {
    START + 1_000 * height.0
}

fn asked(height: u64) -> Vec<SignedTransaction> {
    let nonce = althing_types::Nonce;
    let id = service().id();
    match height {
        1 => {
            let offers = (0..2).map(|n| {
                let key = validator_key(n);
                let offer = Offer {
                    service: id,
                    stake: Amount::from_tokens(50),
                    term_ms: 1_000_000,
                    owner: key.address(),
                    endpoint: EndpointId([7; 32]),
                    labels: vec![],
                };
                transaction(&key, nonce(0), vec![Operation::Offer(offer)])
            });
            let publish = Operation::Publish(Publish { terms: service().into() });
            [transaction(&account(0), nonce(0), vec![publish])].into_iter().chain(offers).collect()
        }
        2 => vec![
            transaction(&account(1), nonce(0), vec![Operation::Call(call(id))]),
            transaction(&account(2), nonce(0), vec![transfer(&account(3), 5)]),
        ],
        // The committee is drawn in this one.
        _ => vec![transaction(&account(2), nonce(1), vec![transfer(&account(4), 6)])],
    }
}

impl Script {
    /// Plays the story once. The nodes take turns; the chosen one proposes what is decided at the
    /// first and the third height, and follows at the second.
    pub fn record() -> Self {
        let mut world = World::new(2);
        let mut chapters = vec![];
        for height in (1..=HEIGHTS).map(Height) {
            world.time.set(clock_ms(height));
            let transactions = asked(height.0);
            for signed in &transactions {
                world.submit(signed);
            }
            let turn = usize::from(height.0 % 2 == 0);
            let [decided, rival] = [turn, 1 - turn].map(|node| {
                let round = (0..1_000).map(Round).find(|round| world.proposer(*round) == node);
                let round = round.expect("both have stake");
                let address = validator_key(world.nodes[node].number).address();
                (node, round, address)
            });
            let mut propose = |(node, round, address): (usize, Round, Address)| {
                let (id, body) = world.nodes[node].replica.propose(height, round).unwrap();
                (id, (round, address, body))
            };
            let (_, rival) = propose(rival);
            let (id, decided) = propose(decided);
            let certificate = world.certificate(height, decided.0, id);
            for (n, node) in world.nodes.iter_mut().enumerate() {
                if n != turn {
                    node.replica.receive(height, decided.0, decided.1, &decided.2).unwrap();
                }
                node.replica.commit(certificate.clone()).unwrap();
            }
            let header = world.nodes[0].replica.reader().head().header.clone().unwrap();
            chapters.push(Chapter {
                transactions,
                decided,
                rival,
                certificate,
                state_root: header.state_root,
            });
        }
        Self { genesis: world.genesis.clone(), number: 0, chapters }
    }

    /// Opens the store and does what is left. `promises` grows with everything acknowledged.
    ///
    /// # Errors
    ///
    /// [`Stopped`] at the first failure of the store.
    pub fn live(&self, store: Arc<dyn Store>, promises: &mut Promises) -> Result<(), Stopped> {
        let time = Time::default();
        let mut replica = self.open(store, &time).map_err(Stopped::Open)?;
        let tip = replica.reader().head().tip.height;
        assert!(tip >= promises.committed, "height {} was lost at {tip}", promises.committed);
        let own = validator_key(self.number).address();
        for (height, id) in &promises.kept {
            let body = replica.body(id).map_err(Stopped::Fault)?;
            assert!(*height <= tip || body.is_some(), "a block that was voted for is lost");
        }
        for chapter in self.chapters.iter().filter(|chapter| chapter.certificate.height > tip) {
            let height = chapter.certificate.height;
            time.set(clock_ms(height));
            for signed in &chapter.transactions {
                match replica.submit(&signed.encode()) {
                    Ok(_) => {}
                    Err(SubmitError::Fault(fault)) => return Err(Stopped::Fault(fault)),
                    Err(refused) => panic!("{refused}"),
                }
            }
            for (round, proposer, body) in [&chapter.rival, &chapter.decided] {
                let id = if *proposer == own {
                    let (id, again) = replica.propose(height, *round).map_err(Stopped::Fault)?;
                    assert_eq!(again, *body, "the same is proposed, whatever came in between");
                    id
                } else {
                    let answer = replica.receive(height, *round, *proposer, body);
                    let (id, valid) = answer.map_err(Stopped::Fault)?.expect("it is a block");
                    assert!(valid, "{:?}", replica.objection(&id));
                    id
                };
                promises.kept.push((height, id));
            }
            replica.commit(chapter.certificate.clone()).map_err(Stopped::Fault)?;
            promises.committed = height;
        }
        self.assert_told(&replica);
        Ok(())
    }

    pub fn open(&self, store: Arc<dyn Store>, time: &Time) -> Result<Replica, OpenError> {
        time.set(START);
        let clock = time.clone();
        let ports = Ports {
            store,
            signatures: Arc::new(Secp256k1),
            beacon: Some(Box::new(Signer::of(self.number))),
            clock: Box::new(move || clock.now()),
        };
        Replica::open(config(&self.genesis, self.number), ports)
    }

    /// Every root is that of the undisturbed run, and every block is there.
    pub fn assert_told(&self, replica: &Replica) {
        for chapter in &self.chapters {
            let height = chapter.certificate.height;
            let decided = replica.decided(height).expect("the store can be read");
            let (body, certificate) = decided.expect("a decided height is kept");
            let header = althing_types::Block::decode(&body).expect("a block").header;
            assert_eq!(header.id(), chapter.certificate.block);
            assert_eq!(certificate, chapter.certificate);
        }
        let head = replica.reader().head();
        let last = self.chapters.last().expect("three chapters");
        assert_eq!(head.tip.block, last.certificate.block);
        assert_eq!(head.view.root(), last.state_root);
        let totals = query::totals(&head.view).expect("the state can be read");
        assert_eq!(althing_ledger::audit(&head.view).expect("conserved"), totals);
    }
}
