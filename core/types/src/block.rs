//! Blocks, their headers, and the certificates that make them final.

use alloc::collections::BTreeSet;
use alloc::vec::Vec;

use borsh::{BorshDeserialize, BorshSerialize};

use crate::{
    Address, BeaconProof, ChainId, Hash, Height, Malformed, Round, SignedTransaction, TimeMs,
    ValidatorSet, VoteSignature, canonical, tagged,
};

/// The hash of a header.
pub type BlockId = Hash;

/// Largest block in bytes.
pub const BLOCK_BYTES_MAX: usize = 4 << 20;

/// No signed transaction is shorter, in bytes: chain, account, nonce, expiry, flag, fee limit, an
/// empty list, signature.
const TRANSACTION_BYTES_LEAST: usize = 8 + 20 + 8 + 8 + 1 + 16 + 4 + 65;

/// What a certificate makes final: the state *after* the block's transactions.
#[derive(Clone, Debug, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub struct Header {
    /// The chain.
    pub chain: ChainId,
    /// One more than the previous block's.
    pub height: Height,
    /// The round in which the block was first proposed.
    pub round: Round,
    /// Later than the previous block's.
    pub time: TimeMs,
    /// The previous block; for the first block, the hash of the genesis.
    pub previous: BlockId,
    /// Merkle root of the hashes of the block's transactions.
    pub transactions_root: Hash,
    /// Root of the authenticated state after the block.
    pub state_root: Hash,
    /// Merkle root of the block's receipts (see `althing-ledger`).
    pub receipts_root: Hash,
    /// Merkle mountain range of the ids of all earlier blocks.
    pub headers_root: Hash,
    /// Unpredictable before the block was proposed, and not the proposer's to choose.
    pub beacon: Hash,
    /// Hash of the validator set that decides this block.
    pub validator_set: Hash,
    /// Hash of the validator set that decides the next block.
    pub next_validator_set: Hash,
    /// Who proposed the block.
    pub proposer: Address,
}

impl Header {
    /// The block's id.
    #[must_use]
    pub fn id(&self) -> BlockId {
        tagged("althing header", &[&canonical::encode(self)])
    }
}

/// A header with what it stands for.
#[derive(Clone, Debug, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub struct Block {
    /// What is signed.
    pub header: Header,
    /// Proves `header.beacon`.
    pub beacon_proof: BeaconProof,
    /// In the order of execution.
    pub transactions: Vec<SignedTransaction>,
}

impl Block {
    /// The canonical bytes.
    #[must_use]
    pub fn encode(&self) -> Vec<u8> {
        canonical::encode(self)
    }

    /// Decodes canonical bytes of at most [`BLOCK_BYTES_MAX`].
    ///
    /// # Errors
    ///
    /// [`Malformed`] for anything else.
    pub fn decode(bytes: &[u8]) -> Result<Self, Malformed> {
        Self::decode_hashed(bytes).map(|(block, _)| block)
    }

    /// As [`decode`](Self::decode), with the hashes of the transactions in their order, taken of the
    /// bytes themselves: nothing is encoded again for them.
    ///
    /// # Errors
    ///
    /// As [`decode`](Self::decode).
    pub fn decode_hashed(bytes: &[u8]) -> Result<(Self, Vec<Hash>), Malformed> {
        const WHAT: &str = "block";
        if bytes.len() > BLOCK_BYTES_MAX {
            return Err(Malformed::TooLong { max: BLOCK_BYTES_MAX, found: bytes.len() });
        }
        let mut rest = bytes;
        let header = canonical::decode_next(&mut rest, WHAT)?;
        let beacon_proof = canonical::decode_next(&mut rest, WHAT)?;
        let count: u32 = canonical::decode_next(&mut rest, WHAT)?;
        // Bounded by what the bytes can hold, not by what they say.
        let likely = rest.len() / TRANSACTION_BYTES_LEAST;
        let capacity = usize::try_from(count).map_or(likely, |count| count.min(likely));
        let (mut transactions, mut hashes) =
            (Vec::with_capacity(capacity), Vec::with_capacity(capacity));
        for _ in 0..count {
            let begin = rest;
            transactions.push(canonical::decode_next(&mut rest, WHAT)?);
            let taken = begin.len().saturating_sub(rest.len());
            hashes.push(SignedTransaction::hash_of(begin.get(..taken).unwrap_or_default()));
        }
        if rest.is_empty() {
            Ok((Self { header, beacon_proof, transactions }, hashes))
        } else {
            Err(Malformed::Bytes { what: WHAT })
        }
    }
}

/// What the proposer's beacon key is applied to.
///
/// The round is left out: a proposer has one value a height, however often its turn comes.
#[must_use]
pub fn beacon_input(chain: ChainId, height: Height, previous_beacon: &Hash) -> Hash {
    tagged("althing beacon", &[&chain.0.to_be_bytes(), &height.0.to_be_bytes(), &previous_beacon.0])
}

/// Precommits of more than two thirds of the power: the block is final.
#[derive(Clone, Debug, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub struct Certificate {
    /// The decided height.
    pub height: Height,
    /// The round that decided it.
    pub round: Round,
    /// The decided block.
    pub block: BlockId,
    /// By ascending address.
    pub signatures: Vec<CommitSignature>,
}

/// So few signatures are all kept: who has signed is worth knowing, and costs little.
pub const SIGNATURES_SHOWN: usize = 16;

impl Certificate {
    /// Leaves out what a quorum of the set does not need, the least powerful signers first, where more
    /// than [`SIGNATURES_SHOWN`] have signed: everybody who verifies it verifies them all.
    #[must_use]
    pub fn trimmed(mut self, set: &ValidatorSet) -> Self {
        if self.signatures.len() <= SIGNATURES_SHOWN {
            return self;
        }
        let signed: BTreeSet<Address> = self.signatures.iter().map(|s| s.validator).collect();
        let needed = u128::from(set.total_power()).saturating_mul(2);
        let (mut kept, mut power) = (BTreeSet::new(), 0_u128);
        for member in set.members() {
            if power.saturating_mul(3) > needed {
                break;
            }
            if signed.contains(&member.address) {
                kept.insert(member.address);
                power = power.saturating_add(member.power.into());
            }
        }
        // Without a quorum nothing is left out: whoever verifies it shall say so.
        if power.saturating_mul(3) > needed {
            self.signatures.retain(|signature| kept.contains(&signature.validator));
        }
        self
    }
}

/// One validator's precommit.
#[derive(Clone, Debug, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub struct CommitSignature {
    /// Who signed.
    pub validator: Address,
    /// Over [`Eip712::vote`](crate::Eip712::vote).
    pub signature: VoteSignature,
}

#[cfg(test)]
mod tests {
    use alloc::vec;

    use super::*;
    use crate::{Amount, Nonce, Operation, RecoverableSignature, Transaction, Transfer};

    fn block() -> Block {
        let header = Header {
            chain: ChainId(7),
            height: Height(5),
            round: Round(0),
            time: TimeMs(9),
            previous: Hash([1; 32]),
            transactions_root: Hash([2; 32]),
            state_root: Hash([3; 32]),
            receipts_root: Hash([4; 32]),
            headers_root: Hash([5; 32]),
            beacon: Hash([6; 32]),
            validator_set: Hash([7; 32]),
            next_validator_set: Hash([8; 32]),
            proposer: Address([9; 20]),
        };
        let signed = |transfers: u8| SignedTransaction {
            transaction: Transaction {
                chain: ChainId(7),
                account: Address([1; 20]),
                nonce: Nonce(u64::from(transfers)),
                expires: Height(9),
                atomic: true,
                fee_limit: Amount::from_base_units(5),
                operations: (0..transfers)
                    .map(|n| Transfer { to: Address([n; 20]), amount: Amount::from_base_units(3) })
                    .map(Operation::Transfer)
                    .collect(),
            },
            signature: RecoverableSignature { r_and_s: [1; 64], v: 27 },
        };
        let transactions = vec![signed(1), signed(0), signed(200)];
        Block { header, beacon_proof: BeaconProof([2; 96]), transactions }
    }

    #[test]
    fn the_hashes_taken_of_a_blocks_bytes_are_those_of_its_transactions() {
        let block = block();
        let (decoded, hashes) = Block::decode_hashed(&block.encode()).unwrap();
        assert_eq!(decoded, block);
        let expected: Vec<Hash> = block.transactions.iter().map(SignedTransaction::hash).collect();
        assert_eq!(hashes, expected);
    }

    #[test]
    fn a_block_has_no_other_bytes_than_its_own() {
        let bytes = block().encode();
        for length in 0..bytes.len() {
            assert!(Block::decode(&bytes[..length]).is_err(), "cut after {length}");
        }
        assert!(Block::decode(&[&bytes[..], &[0]].concat()).is_err());
        let beyond = vec![0; BLOCK_BYTES_MAX + 1];
        assert!(matches!(Block::decode(&beyond), Err(Malformed::TooLong { .. })));
    }

    #[test]
    fn no_transaction_is_shorter_than_the_least() {
        let mut block = block();
        let empty = block.transactions.swap_remove(1);
        assert!(empty.transaction.operations.is_empty());
        assert_eq!(empty.encode().len(), TRANSACTION_BYTES_LEAST);
    }
}
