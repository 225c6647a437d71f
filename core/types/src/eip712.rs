//! EIP-712 digests: what wallets show and contracts verify.
//!
//! - The chain id sits in the domain, so no signature is valid on another chain.
//! - A vote's digest leaves the voter out: all signers of a certificate sign *one* digest, which a
//!   contract computes once.
//! - A nil vote has block id zero.

use crate::{Address, Amount, BlockId, ChainId, Hash, Height, Round, TimeMs, keccak};

const DOMAIN: &[u8] = b"EIP712Domain(string name,string version,uint256 chainId)";
const PREVOTE: &[u8] = b"Prevote(uint64 height,uint32 round,bytes32 block)";
const PRECOMMIT: &[u8] = b"Precommit(uint64 height,uint32 round,bytes32 block)";
const PROPOSAL: &[u8] =
    b"Proposal(uint64 height,uint32 round,uint32 polRoundPlusOne,bytes32 block,address proposer)";
const BODY: &[u8] = b"Body(uint64 height,uint32 round,bytes32 block)";
const TRANSACTION: &[u8] =
    b"Transaction(address account,uint64 nonce,uint64 expires,bool atomic,uint256 feeLimit,\
string[] operations,bytes32 content)";
const HELLO: &[u8] = b"Hello(address account,bytes32 endpoint)";
const VIEW: &[u8] = b"View(address account,uint64 until)";
const DECISION: &[u8] =
    b"Decision(address account,bytes32 key,string question,bool approved,string comment)";

/// Which of the two votes of a round.
#[derive(
    Clone,
    Copy,
    Debug,
    PartialEq,
    Eq,
    PartialOrd,
    Ord,
    Hash,
    borsh::BorshSerialize,
    borsh::BorshDeserialize,
)]
pub enum VoteKind {
    /// The first: "I hold this block valid".
    Prevote,
    /// The second: "I have seen that two thirds do".
    Precommit,
}

/// Computes digests for one chain; the constant parts are hashed once.
#[derive(Clone, Debug)]
pub struct Eip712 {
    domain: Hash,
    prevote: Hash,
    precommit: Hash,
    proposal: Hash,
    body: Hash,
    transaction: Hash,
    hello: Hash,
    view: Hash,
    decision: Hash,
}

/// An unsigned integer as a 32-byte ABI word.
fn word(n: u128) -> [u8; 32] {
    let mut out = [0; 32];
    let (_, low) = out.split_at_mut(16);
    low.copy_from_slice(&n.to_be_bytes());
    out
}

fn address_word(address: &Address) -> [u8; 32] {
    let mut out = [0; 32];
    let (_, low) = out.split_at_mut(12);
    low.copy_from_slice(&address.0);
    out
}

impl Eip712 {
    /// Digests of the domain `{name: "Althing", version: "1", chainId}`.
    #[must_use]
    pub fn new(chain: ChainId) -> Self {
        let name = keccak(&[b"Althing"]);
        let version = keccak(&[b"1"]);
        Self {
            domain: keccak(&[
                &keccak(&[DOMAIN]).0,
                &name.0,
                &version.0,
                &word(u128::from(chain.0)),
            ]),
            prevote: keccak(&[PREVOTE]),
            precommit: keccak(&[PRECOMMIT]),
            proposal: keccak(&[PROPOSAL]),
            body: keccak(&[BODY]),
            transaction: keccak(&[TRANSACTION]),
            hello: keccak(&[HELLO]),
            view: keccak(&[VIEW]),
            decision: keccak(&[DECISION]),
        }
    }

    fn digest(&self, structure: Hash) -> Hash {
        keccak(&[&[0x19, 0x01], &self.domain.0, &structure.0])
    }

    /// What a validator signs for `block`, or for nil (`None`).
    #[must_use]
    pub fn vote(
        &self,
        kind: VoteKind,
        height: Height,
        round: Round,
        block: Option<BlockId>,
    ) -> Hash {
        let kind = match kind {
            VoteKind::Prevote => &self.prevote,
            VoteKind::Precommit => &self.precommit,
        };
        let block = block.unwrap_or_default();
        self.digest(keccak(&[
            &kind.0,
            &word(u128::from(height.0)),
            &word(u128::from(round.0)),
            &block.0,
        ]))
    }

    /// What a proposer signs; `pol_round` is the round that justifies proposing the block again.
    #[must_use]
    pub fn proposal(
        &self,
        height: Height,
        round: Round,
        pol_round: Option<Round>,
        block: BlockId,
        proposer: Address,
    ) -> Hash {
        let pol = pol_round.map_or(0, |round| u128::from(round.0) + 1);
        let (height, round) = (word(u128::from(height.0)), word(u128::from(round.0)));
        self.digest(keccak(&[
            &self.proposal.0,
            &height,
            &round,
            &word(pol),
            &block.0,
            &address_word(&proposer),
        ]))
    }

    /// What a proposer signs under the parts of a block's body.
    #[must_use]
    pub fn body(&self, height: Height, round: Round, block: BlockId) -> Hash {
        let (height, round) = (word(u128::from(height.0)), word(u128::from(round.0)));
        self.digest(keccak(&[&self.body.0, &height, &round, &block.0]))
    }

    /// What the key of `account` signs to claim the endpoint that it speaks from.
    #[must_use]
    pub fn hello(&self, account: Address, endpoint: &[u8; 32]) -> Hash {
        self.digest(keccak(&[&self.hello.0, &address_word(&account), endpoint]))
    }

    /// What the key of `account` signs to be shown what is private, until a time in milliseconds.
    #[must_use]
    pub fn view(&self, account: Address, until: TimeMs) -> Hash {
        let until = word(u128::from(until.0));
        self.digest(keccak(&[&self.view.0, &address_word(&account), &until]))
    }

    /// What the key of `account` signs to decide a question that it was asked.
    #[must_use]
    pub fn decision(&self, decision: &Decision<'_>) -> Hash {
        self.digest(keccak(&[
            &self.decision.0,
            &address_word(&decision.account),
            &decision.key.0,
            &keccak(&[decision.question.as_bytes()]).0,
            &word(u128::from(decision.approved)),
            &keccak(&[decision.comment.as_bytes()]).0,
        ]))
    }

    /// What an account signs; `texts` are the hashes of the operations' descriptions in order.
    #[must_use]
    pub(crate) fn transaction(&self, fields: &TransactionFields<'_>) -> Hash {
        self.digest(keccak(&[
            &self.transaction.0,
            &address_word(&fields.account),
            &word(u128::from(fields.nonce)),
            &word(u128::from(fields.expires)),
            &word(u128::from(fields.atomic)),
            &word(fields.fee_limit.base_units()),
            &keccak(&[fields.texts]).0,
            &fields.content.0,
        ]))
    }
}

/// The typed data of a decision: the question is signed with the answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Decision<'a> {
    /// Who decides.
    pub account: Address,
    /// Names the question: no two have the same.
    pub key: Hash,
    /// What was asked.
    pub question: &'a str,
    /// What is decided.
    pub approved: bool,
    /// Why; may be empty.
    pub comment: &'a str,
}

/// The typed data of a transaction.
pub(crate) struct TransactionFields<'a> {
    pub(crate) account: Address,
    pub(crate) nonce: u64,
    pub(crate) expires: u64,
    pub(crate) atomic: bool,
    pub(crate) fee_limit: Amount,
    /// The hashes of the descriptions, one after the other.
    pub(crate) texts: &'a [u8],
    pub(crate) content: Hash,
}
