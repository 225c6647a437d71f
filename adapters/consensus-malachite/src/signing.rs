//! The engine's signer and verifier, over ports: no key is ever seen here.

use std::collections::HashSet;
use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};

use althing_replica::context::{Chain, Proposal, Vote, proposal_digest, vote_digest};
use althing_types::{Address, Eip712, Hash, PublicKey, Signatures, VoteSignature};
use async_trait::async_trait;
use malachite_signing::{Error, Signer, VerificationResult, Verifier};
use malachite_types::{SignedMessage, ValidatorProof, VoteExtensionScope};

/// Signs what this node says in consensus.
pub trait ConsensusSigner: Send + Sync {
    /// The account that votes.
    fn address(&self) -> Address;

    /// Its key.
    fn public_key(&self) -> PublicKey;

    /// A signature over a digest, low in s.
    fn sign(&self, digest: &Hash) -> VoteSignature;
}

/// Checks signatures and remembers those that were good.
///
/// The engine verifies its own messages too, and every precommit a second time when it has built a
/// certificate from them: half of all verifications.
#[derive(Clone)]
pub(crate) struct Checker {
    pub(crate) eip712: Eip712,
    signatures: Arc<dyn Signatures + Send + Sync>,
    verified: Arc<Mutex<HashSet<(Hash, VoteSignature, PublicKey)>>>,
}

/// How many good signatures are remembered; then all are forgotten, and verified again if needed.
const VERIFIED_MAX: usize = 4096;

impl fmt::Debug for Checker {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Checker").finish_non_exhaustive()
    }
}

impl Checker {
    pub(crate) fn new(eip712: Eip712, signatures: Arc<dyn Signatures + Send + Sync>) -> Self {
        Self { eip712, signatures, verified: Arc::default() }
    }

    /// Whether the holder of `key` signed `digest`; never for a message that has no digest.
    pub(crate) fn verifies(
        &self,
        digest: Option<Hash>,
        signature: &VoteSignature,
        key: &PublicKey,
    ) -> bool {
        let Some(digest) = digest else { return false };
        let entry = (digest, *signature, *key);
        if self.verified.lock().unwrap_or_else(PoisonError::into_inner).contains(&entry) {
            return true;
        }
        let valid = self.signatures.verifies(&digest, signature, key);
        if valid {
            self.remember(entry);
        }
        valid
    }

    fn remember(&self, entry: (Hash, VoteSignature, PublicKey)) {
        let mut verified = self.verified.lock().unwrap_or_else(PoisonError::into_inner);
        if verified.len() >= VERIFIED_MAX {
            verified.clear();
        }
        verified.insert(entry);
    }

    fn result(
        &self,
        digest: Option<Hash>,
        signature: &VoteSignature,
        key: &PublicKey,
    ) -> Result<VerificationResult, Error> {
        Ok(VerificationResult::from_bool(self.verifies(digest, signature, key)))
    }
}

#[async_trait]
impl Verifier<Chain> for Checker {
    async fn verify_signed_vote(
        &self,
        vote: &Vote,
        signature: &VoteSignature,
        key: &PublicKey,
    ) -> Result<VerificationResult, Error> {
        self.result(vote_digest(&self.eip712, vote), signature, key)
    }

    async fn verify_signed_proposal(
        &self,
        proposal: &Proposal,
        signature: &VoteSignature,
        key: &PublicKey,
    ) -> Result<VerificationResult, Error> {
        self.result(proposal_digest(&self.eip712, proposal), signature, key)
    }

    /// There are no vote extensions: none is valid.
    async fn verify_signed_vote_extension(
        &self,
        _: &VoteExtensionScope<Chain>,
        (): &(),
        _: &VoteSignature,
        _: &PublicKey,
    ) -> Result<VerificationResult, Error> {
        Ok(VerificationResult::from_bool(false))
    }

    /// Our network authenticates peers itself: no proof is valid.
    async fn verify_validator_proof(
        &self,
        _: &ValidatorProof<Chain>,
    ) -> Result<VerificationResult, Error> {
        Ok(VerificationResult::from_bool(false))
    }
}

/// Signs for the engine.
pub(crate) struct EngineSigner {
    pub(crate) signer: Arc<dyn ConsensusSigner>,
    pub(crate) checker: Checker,
}

/// What the engine must not ask for.
#[derive(Debug, thiserror::Error)]
#[error("the engine asked for a signature over {0}, which this chain does not have")]
struct Unsigned(&'static str);

impl EngineSigner {
    fn sign(&self, digest: Option<Hash>, what: &'static str) -> Result<VoteSignature, Error> {
        let digest = digest.ok_or_else(|| Error::from_source(Unsigned(what)))?;
        let signature = self.signer.sign(&digest);
        self.checker.remember((digest, signature, self.signer.public_key()));
        Ok(signature)
    }
}

#[async_trait]
impl Signer<Chain> for EngineSigner {
    async fn sign_vote(&self, vote: Vote) -> Result<SignedMessage<Chain, Vote>, Error> {
        let digest = vote_digest(&self.checker.eip712, &vote);
        let signature = self.sign(digest, "a vote in a nil round")?;
        Ok(SignedMessage::new(vote, signature))
    }

    async fn sign_proposal(
        &self,
        proposal: Proposal,
    ) -> Result<SignedMessage<Chain, Proposal>, Error> {
        let digest = proposal_digest(&self.checker.eip712, &proposal);
        let signature = self.sign(digest, "a proposal in a nil round")?;
        Ok(SignedMessage::new(proposal, signature))
    }

    async fn sign_vote_extension(
        &self,
        _: VoteExtensionScope<Chain>,
        (): (),
    ) -> Result<SignedMessage<Chain, ()>, Error> {
        Err(Error::from_source(Unsigned("a vote extension")))
    }

    async fn sign_validator_proof(
        &self,
        _: Vec<u8>,
        _: Vec<u8>,
    ) -> Result<ValidatorProof<Chain>, Error> {
        Err(Error::from_source(Unsigned("a validator proof")))
    }
}
