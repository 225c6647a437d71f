//! A validator's part of the random beacon: a VRF on ristretto255.
//!
//! - Shapes: a [`BeaconProof`] is the pre-output, 32 bytes, then the proof, 64 bytes. The value is
//!   a tagged hash of 32 bytes drawn from input and pre-output together.
//! - Invariant: key and input have one value, whatever the proof's randomness; only the key's
//!   holder can compute it, and everybody can check it.
//! - Source: `docs/adr/0003-beacon.md`; Burdges et al., schnorrkel's `vrf` module. The labels below
//!   are part of the protocol.

use std::fmt;

use althing_types::{BeaconKey, BeaconProof, Hash, tagged};
use rand_core::{CryptoRng, Error, RngCore};
use schnorrkel::context::attach_rng;
use schnorrkel::vrf::{VRFInOut, VRFPreOut, VRFProof};
use schnorrkel::{ExpansionMode, Keypair, MiniSecretKey, PublicKey, signing_context};
use zeroize::Zeroizing;

use crate::{KeyError, files};

const INPUT_LABEL: &[u8] = b"althing beacon input 1";
const PROOF_LABEL: &[u8] = b"althing beacon proof 1";
const VALUE_LABEL: &[u8] = b"althing beacon value 1";
const VALUE_TAG: &str = "althing beacon value";

/// The secret behind a validator's beacon key.
pub struct BeaconSecret {
    seed: Zeroizing<[u8; 32]>,
    pair: Keypair,
}

impl BeaconSecret {
    /// A new secret from the operating system's entropy.
    ///
    /// # Errors
    ///
    /// [`KeyError::Entropy`] if there is none.
    pub fn generate() -> Result<Self, KeyError> {
        Ok(Self::from_bytes(&*files::entropy()?))
    }

    /// From a seed; every 32 bytes are one.
    #[must_use]
    pub fn from_bytes(seed: &[u8; 32]) -> Self {
        let pair = MiniSecretKey::from_bytes(seed)
            .expect("every 32 bytes are a seed")
            .expand_to_keypair(ExpansionMode::Uniform);
        Self { seed: Zeroizing::new(*seed), pair }
    }

    pub(crate) fn to_bytes(&self) -> Zeroizing<[u8; 32]> {
        self.seed.clone()
    }

    /// The public key that a bond registers.
    #[must_use]
    pub fn key(&self) -> BeaconKey {
        BeaconKey(self.pair.public.to_bytes())
    }

    /// The proof of the value for `input`; equal calls give equal bytes.
    #[must_use]
    pub fn prove(&self, input: &Hash) -> BeaconProof {
        self.evaluate(input).1
    }

    /// The value for `input`, as whoever verifies finds it, and its proof.
    #[must_use]
    pub fn evaluate(&self, input: &Hash) -> (Hash, BeaconProof) {
        let input = signing_context(INPUT_LABEL).bytes(&input.0);
        let extra = attach_rng(signing_context(PROOF_LABEL).bytes(b""), Derandomized);
        let (value, proof, _) = self.pair.vrf_sign_extra(input, extra);
        let mut bytes = [0; BeaconProof::LENGTH];
        let (first, second) = bytes.split_at_mut(32);
        first.copy_from_slice(value.to_preout().as_bytes());
        second.copy_from_slice(&proof.to_bytes());
        (hash_of(&value), BeaconProof(bytes))
    }
}

impl fmt::Debug for BeaconSecret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "BeaconSecret({}, secret hidden)", self.key())
    }
}

/// The value of `key` for `input`, if `proof` proves it.
pub(crate) fn verify(key: &BeaconKey, input: &Hash, proof: &BeaconProof) -> Option<Hash> {
    // The identity has a value that everybody can compute: it is nobody's key.
    if *key == BeaconKey::ZERO {
        return None;
    }
    let (pre_output, proof) = proof.0.split_first_chunk::<32>()?;
    let key = PublicKey::from_bytes(&key.0).ok()?;
    let pre_output = VRFPreOut(*pre_output);
    let proof = VRFProof::from_bytes(proof).ok()?;
    let input = signing_context(INPUT_LABEL).bytes(&input.0);
    let extra = signing_context(PROOF_LABEL).bytes(b"");
    let (value, _) = key.vrf_verify_extra(input, &pre_output, &proof, extra).ok()?;
    Some(hash_of(&value))
}

fn hash_of(value: &VRFInOut) -> Hash {
    tagged(VALUE_TAG, &[&value.make_bytes::<[u8; 32]>(VALUE_LABEL)])
}

/// No entropy: the proof's nonce then comes from the secret's own nonce seed and the transcript,
/// which holds the input, as in Ed25519. A broken entropy source cannot leak the key.
struct Derandomized;

impl RngCore for Derandomized {
    fn next_u32(&mut self) -> u32 {
        0
    }

    fn next_u64(&mut self) -> u64 {
        0
    }

    fn fill_bytes(&mut self, bytes: &mut [u8]) {
        bytes.fill(0);
    }

    fn try_fill_bytes(&mut self, bytes: &mut [u8]) -> Result<(), Error> {
        bytes.fill(0);
        Ok(())
    }
}

// Holds for its one use: `attach_rng` mixes it with the secret's nonce seed.
impl CryptoRng for Derandomized {}
