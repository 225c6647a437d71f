//! Those who call tasks and move tokens: each has one transaction under way, and sees it through.

use althing_ledger::query;
use althing_replica::Reader;
use althing_types::{
    Address, Amount, BlobRef, Call, Eip712, Hash, Height, Operation, Publish, SignedTransaction,
    Transaction, Transfer,
};

use crate::auditor::Input;
use crate::random::Random;
use crate::setting::{self, CHAIN, MARKER, TASKS, endpoint, user_key};

/// How many blocks a user's transaction has to get in.
const LIFETIME: u64 = 60;

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
    pub(crate) operation: Operation,
    /// The input of a call, and the node that is to hold it.
    pub(crate) input: Option<(Hash, Input, usize)>,
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

    /// What it does next, by what a node tells it. `homes` are nodes that can hold an input.
    pub(crate) fn wish(&mut self, reader: &Reader, homes: &[usize], checkers: &[u16]) -> Wish {
        let service = setting::manifest().id();
        let published = query::service(&reader.view(), &service).ok().flatten().is_some();
        if !published && self.number == 0 {
            let terms = setting::manifest().terms();
            return Wish { operation: Operation::Publish(Publish { terms }), input: None };
        }
        if published && self.random.chance(700) {
            return self.call(service, homes, checkers);
        }
        let to = user_key(self.random.below(setting::USERS)).address();
        let amount = Amount::from_base_units(u128::from(self.random.between(1, 1_000)));
        Wish { operation: Operation::Transfer(Transfer { to, amount }), input: None }
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
        Wish { operation: Operation::Call(call), input }
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
