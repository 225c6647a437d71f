//! Those who call tasks, move tokens and own applications: each has one transaction under way, and
//! sees it through.

use althing_ledger::query;
use althing_replica::Reader;
use althing_types::{
    Address, Amount, BlobRef, Call, Cancel, Eip712, Hash, Height, Operation, Publish, Repeat,
    SignedTransaction, Transaction, Transfer,
};

use crate::auditor::Input;
use crate::random::Random;
use crate::setting::{self, CHAIN, MARKER, TASKS, endpoint, user_key};
use crate::shop::{self, Deployment};

/// How many blocks a user's transaction has to get in.
const LIFETIME: u64 = 60;
/// Open runs of one application that an owner looks at.
const RUNS_MAX: usize = 32;

/// A transaction under way.
#[derive(Clone, Debug)]
pub(crate) struct Pending {
    pub(crate) hash: Hash,
    pub(crate) signed: SignedTransaction,
    /// When it was first handed over, in microseconds.
    pub(crate) since_us: u64,
    /// When it was last handed over.
    pub(crate) sent_us: u64,
}

/// A user.
#[derive(Clone, Debug)]
pub(crate) struct User {
    pub(crate) number: u64,
    random: Random,
    pub(crate) pending: Option<Pending>,
    counter: u64,
}

/// Something new that a user does.
pub(crate) struct Wish {
    pub(crate) operations: Vec<Operation>,
    /// The input of a call, and the node that is to hold it.
    pub(crate) input: Option<(Hash, Input, usize)>,
    /// The document of an application, for the node that is its home.
    pub(crate) document: Option<Vec<u8>>,
}

impl Wish {
    const fn of(operations: Vec<Operation>) -> Self {
        Self { operations, input: None, document: None }
    }
}

/// What a user knows of the world.
pub(crate) struct Knowledge<'a> {
    /// Nodes that can hold an input.
    pub(crate) homes: &'a [usize],
    /// Checkers that calls ask for.
    pub(crate) checkers: &'a [u16],
    /// Applications that are deployed.
    pub(crate) deployments: &'a [Deployment],
    /// The node that has their documents.
    pub(crate) library: usize,
}

impl User {
    pub(crate) const fn new(number: u64, random: Random) -> Self {
        Self { number, random, pending: None, counter: 0 }
    }

    pub(crate) fn address(&self) -> Address {
        user_key(self.number).address()
    }

    pub(crate) const fn random(&mut self) -> &mut Random {
        &mut self.random
    }

    /// What it does next, by what a node tells it.
    pub(crate) fn wish(&mut self, reader: &Reader, known: &Knowledge<'_>) -> Wish {
        let service = setting::manifest().id();
        let view = reader.view();
        let is_there = |id: &Hash| query::service(&view, id).ok().flatten().is_some();
        let published = is_there(&service);
        let shop = shop::manifest();
        let missing = [setting::manifest(), shop.clone()].into_iter().find(|m| !is_there(&m.id()));
        if let Some(manifest) = missing {
            if self.number == 0 {
                let terms = manifest.terms();
                return Wish::of(vec![Operation::Publish(Publish { terms: terms.into() })]);
            }
        } else if let Some(wish) = self.own(reader, known) {
            return wish;
        }
        if published && self.random.chance(700) {
            return self.call(service, known.homes, known.checkers);
        }
        let to = user_key(self.random.below(setting::USERS)).address();
        let amount = Amount::from_base_units(u128::from(self.random.between(1, 1_000)));
        Wish::of(vec![Operation::Transfer(Transfer { to, amount })])
    }

    /// What it does as an owner: deploys, pays in, repeats what failed or lacked money, cancels.
    fn own(&mut self, reader: &Reader, known: &Knowledge<'_>) -> Option<Wish> {
        let view = reader.view();
        let own = known.deployments.iter().filter(|deployment| deployment.owner == self.number);
        let deployed = |id: &Hash| query::application(&view, id).ok().flatten().is_some();
        let mut runs = Vec::new();
        for deployment in own {
            if !deployed(&deployment.id) {
                let deploy = deployment.deploy(endpoint(known.library));
                return Some(Wish {
                    document: Some(deployment.compiled.document().to_vec()),
                    ..Wish::of(vec![Operation::Deploy(deploy)])
                });
            }
            let open = query::runs(&view, Some(&deployment.id), None, RUNS_MAX);
            runs.extend(open.unwrap_or_default().into_iter().map(|run| (deployment, run)));
        }
        let place = self.random.place(runs.len());
        let (deployment, record) = runs.into_iter().nth(place)?;
        if self.random.chance(30) {
            return Some(Wish::of(vec![Operation::Cancel(Cancel { run: record.id })]));
        }
        let plan = deployment.compiled.plan();
        let mut steps = (0..).take(plan.steps.len());
        let step = steps.find(|step| record.run.can_repeat(plan, *step).is_ok())?;
        let repeat = Operation::Repeat(Repeat { run: record.id, step });
        if record.run.is_short() && self.random.chance(300) {
            let (to, amount) = (deployment.purse(), deployment.deposit);
            let transfer = Operation::Transfer(Transfer { to, amount });
            return Some(Wish::of(vec![transfer, repeat]));
        }
        self.random.chance(100).then(|| Wish::of(vec![repeat]))
    }

    fn call(&mut self, service: Hash, homes: &[usize], checkers: &[u16]) -> Wish {
        self.counter += 1;
        let task = self.random.pick(&TASKS).copied().unwrap_or(setting::DETERMINISTIC);
        let text = format!("{{\"{MARKER}\":\"{}-{}\"}}", self.number, self.counter);
        let bytes = text.into_bytes();
        let input = BlobRef::of(&bytes);
        let home = self.random.pick(homes).copied().unwrap_or_default();
        let call = Call {
            service,
            task: task.parse().expect("the tasks' names are names"),
            input,
            home: endpoint(home),
            checkers: self.random.pick(checkers).copied().unwrap_or_default(),
            quorum: 0,
            nodes: Vec::new(),
            price_max: Amount::from_tokens(100),
        };
        let input = Some((input.hash, Input { task, bytes }, home));
        Wish { input, ..Wish::of(vec![Operation::Call(call)]) }
    }

    /// Signs an operation under the next nonce that a node tells.
    pub(crate) fn sign(&self, reader: &Reader, operations: Vec<Operation>) -> SignedTransaction {
        let head = reader.head();
        let nonce = query::account(&head.view, &self.address()).unwrap_or_default().nonce;
        let transaction = Transaction {
            chain: CHAIN,
            account: self.address(),
            nonce,
            expires: head.tip.height.after(LIFETIME),
            atomic: false,
            fee_limit: Amount::from_tokens(1),
            operations,
        };
        user_key(self.number).sign(&Eip712::new(CHAIN), transaction)
    }

    /// Whether the transaction under way can no longer get in, by a node's height.
    pub(crate) fn has_expired(&self, height: Height) -> bool {
        self.pending.as_ref().is_some_and(|p| p.signed.transaction.expires <= height)
    }
}
