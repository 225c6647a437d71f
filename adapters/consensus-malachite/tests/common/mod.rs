//! What the tests and the benchmark stand on: keys, and an application of opaque blocks.
#![allow(
    clippy::allow_attributes,
    dead_code,
    unreachable_pub,
    missing_docs,
    missing_debug_implementations,
    clippy::missing_errors_doc,
    clippy::unwrap_used,
    clippy::unwrap_in_result,
    reason = "test code that each test and the benchmark use a part of"
)]

use std::collections::BTreeMap;
use std::fs::File;
use std::io::Write as _;
use std::sync::{Arc, Mutex};

use althing_consensus_malachite::ConsensusSigner;
use althing_replica::application::{Application, Fault};
use althing_types::{
    Address, BeaconKey, BeaconProof, BlockId, Certificate, EndpointId, Evidence, Hash, Height,
    PublicKey, RecoverableSignature, Round, Signatures, Validator, ValidatorSet, VoteSignature,
    keccak, tagged,
};
use borsh::{BorshDeserialize, BorshSerialize};
use secp256k1::{Message, SECP256K1, SecretKey, ecdsa};
use tokio::sync::watch;

/// libsecp256k1 behind the port.
pub struct Secp;

fn address_of(key: &secp256k1::PublicKey) -> Address {
    let hash = keccak(&[&key.serialize_uncompressed()[1..]]);
    Address(hash.0[12..].try_into().unwrap())
}

impl Signatures for Secp {
    fn recover(&self, digest: &Hash, signature: &RecoverableSignature) -> Option<Address> {
        let id = ecdsa::RecoveryId::try_from(i32::from(signature.v.checked_sub(27)?)).ok()?;
        let signature = ecdsa::RecoverableSignature::from_compact(&signature.r_and_s, id).ok()?;
        let message = Message::from_digest(digest.0);
        SECP256K1.recover_ecdsa(message, &signature).ok().map(|key| address_of(&key))
    }
    fn verifies(&self, digest: &Hash, signature: &VoteSignature, key: &PublicKey) -> bool {
        let (Ok(signature), Ok(key)) = (
            ecdsa::Signature::from_compact(&signature.0),
            secp256k1::PublicKey::from_slice(&key.0),
        ) else {
            return false;
        };
        SECP256K1.verify_ecdsa(Message::from_digest(digest.0), &signature, &key).is_ok()
    }
    fn address_of(&self, key: &PublicKey) -> Option<Address> {
        secp256k1::PublicKey::from_slice(&key.0).ok().map(|key| address_of(&key))
    }
    fn beacon(&self, _: &BeaconKey, _: &Hash, _: &BeaconProof) -> Option<Hash> {
        None
    }
}

/// A validator's key.
#[derive(Clone)]
pub struct Key(pub SecretKey);

impl Key {
    pub fn of(node: usize) -> Self {
        let scalar = keccak(&[b"validator", &node.to_be_bytes()]);
        Self(SecretKey::from_byte_array(scalar.0).unwrap())
    }
    /// As transactions and hellos are signed.
    pub fn sign_recoverable(&self, digest: &Hash) -> RecoverableSignature {
        let message = Message::from_digest(digest.0);
        let signature = SECP256K1.sign_ecdsa_recoverable(message, &self.0);
        let (id, r_and_s) = signature.serialize_compact();
        RecoverableSignature { r_and_s, v: 27 + u8::try_from(i32::from(id)).unwrap() }
    }
}

impl ConsensusSigner for Key {
    fn address(&self) -> Address {
        address_of(&self.0.public_key(SECP256K1))
    }
    fn public_key(&self) -> PublicKey {
        PublicKey(self.0.public_key(SECP256K1).serialize())
    }
    fn sign(&self, digest: &Hash) -> VoteSignature {
        let message = Message::from_digest(digest.0);
        VoteSignature(SECP256K1.sign_ecdsa(message, &self.0).serialize_compact())
    }
}

pub fn validator(node: usize, endpoint: EndpointId, power: u64) -> Validator {
    let key = Key::of(node);
    Validator {
        address: key.address(),
        public_key: key.public_key(),
        endpoint,
        beacon_key: BeaconKey([0; 32]),
        power,
    }
}

#[derive(BorshSerialize, BorshDeserialize)]
struct Block {
    height: Height,
    round: Round,
    previous: BlockId,
    proposer: Address,
    payload: Vec<Vec<u8>>,
}

/// What survives a restart.
#[derive(Default)]
pub struct Disk {
    /// Bodies above the tip.
    bodies: BTreeMap<BlockId, (Height, Vec<u8>)>,
    /// Own proposals above the tip.
    proposed: BTreeMap<(Height, Round), BlockId>,
    pub chain: Vec<(BlockId, Vec<u8>, Certificate)>,
    pub evidence: Vec<Evidence>,
}

impl Disk {
    pub fn ids(&self) -> Vec<BlockId> {
        self.chain.iter().map(|(id, _, _)| *id).collect()
    }
}

/// Decides opaque blocks.
pub struct Opaque {
    pub disk: Arc<Mutex<Disk>>,
    pub proposer: Address,
    /// Who decides a height.
    pub set_of: Arc<dyn Fn(Height) -> ValidatorSet + Send + Sync>,
    pub transactions: usize,
    pub transaction_bytes: usize,
    /// The commit of this height fails.
    pub fails_at: Option<Height>,
    /// Everything goes through this file too, synced, as a real store would.
    pub file: Option<File>,
    pub committed: watch::Sender<Height>,
}

impl Opaque {
    pub fn new(
        disk: Arc<Mutex<Disk>>,
        proposer: Address,
        set_of: Arc<dyn Fn(Height) -> ValidatorSet + Send + Sync>,
    ) -> Self {
        let committed = watch::Sender::default();
        Self {
            disk,
            proposer,
            set_of,
            transactions: 1,
            transaction_bytes: 32,
            fails_at: None,
            file: None,
            committed,
        }
    }

    fn persist(&mut self, bytes: &[u8]) -> Result<(), Fault> {
        let Some(file) = &mut self.file else { return Ok(()) };
        let written = file.write_all(bytes).and_then(|()| file.sync_data());
        written.map_err(|error| Fault::new("writing a block", error))
    }

    fn tip(&self) -> BlockId {
        self.disk.lock().unwrap().chain.last().map_or(BlockId::ZERO, |(id, _, _)| *id)
    }

    fn id_of(body: &[u8]) -> BlockId {
        tagged("opaque block", &[body])
    }

    fn is_valid(&self, body: &[u8]) -> bool {
        let block: Option<Block> = borsh::from_slice(body).ok();
        block
            .is_some_and(|block| block.height == self.next_height() && block.previous == self.tip())
    }

    fn keep(&mut self, height: Height, id: BlockId, body: &[u8]) -> Result<(), Fault> {
        let known = self.disk.lock().unwrap().bodies.contains_key(&id);
        if !known {
            self.persist(body)?;
            self.disk.lock().unwrap().bodies.insert(id, (height, body.to_vec()));
        }
        Ok(())
    }
}

impl Application for Opaque {
    fn next_height(&self) -> Height {
        Height(self.disk.lock().unwrap().chain.len() as u64 + 1)
    }

    fn validators(&self) -> ValidatorSet {
        (self.set_of)(self.next_height())
    }

    fn propose(&mut self, height: Height, round: Round) -> Result<(BlockId, Vec<u8>), Fault> {
        let earlier = {
            let disk = self.disk.lock().unwrap();
            let id = disk.proposed.get(&(height, round));
            id.map(|id| (*id, disk.bodies[id].1.clone()))
        };
        if let Some(earlier) = earlier {
            return Ok(earlier);
        }
        let (previous, proposer) = (self.tip(), self.proposer);
        let payload = vec![vec![0x5a; self.transaction_bytes]; self.transactions];
        let body = borsh::to_vec(&Block { height, round, previous, proposer, payload }).unwrap();
        let id = Self::id_of(&body);
        self.keep(height, id, &body)?;
        self.disk.lock().unwrap().proposed.insert((height, round), id);
        Ok((id, body))
    }

    fn receive(
        &mut self,
        height: Height,
        _: Round,
        _: Address,
        body: &[u8],
    ) -> Result<Option<(BlockId, bool)>, Fault> {
        if borsh::from_slice::<Block>(body).is_err() {
            return Ok(None);
        }
        let id = Self::id_of(body);
        self.keep(height, id, body)?;
        Ok(Some((id, self.is_valid(body))))
    }

    fn revalidate(&mut self, id: &BlockId, _: Round) -> Result<bool, Fault> {
        let body = self.body(id)?;
        Ok(body.is_some_and(|body| self.is_valid(&body)))
    }

    fn body(&self, id: &BlockId) -> Result<Option<Vec<u8>>, Fault> {
        Ok(self.disk.lock().unwrap().bodies.get(id).map(|(_, body)| body.clone()))
    }

    fn commit(&mut self, certificate: Certificate) -> Result<(), Fault> {
        let height = certificate.height;
        assert_eq!(height, self.next_height(), "decided out of order");
        if self.fails_at == Some(height) {
            return Err(Fault::new("committing a block", "the disk is gone").with_code("TEST-0001"));
        }
        let body = self.body(&certificate.block)?;
        let body = body.ok_or_else(|| Fault::new("committing a block", "it has no body"))?;
        assert!(self.is_valid(&body), "an invalid block was decided");
        self.persist(&borsh::to_vec(&certificate).unwrap())?;
        let mut disk = self.disk.lock().unwrap();
        disk.bodies.retain(|_, (of, _)| *of > height);
        disk.proposed.retain(|(of, _), _| *of > height);
        disk.chain.push((certificate.block, body, certificate));
        drop(disk);
        self.committed.send_replace(height);
        Ok(())
    }

    fn decided(&self, height: Height) -> Result<Option<(Vec<u8>, Certificate)>, Fault> {
        let disk = self.disk.lock().unwrap();
        let place = usize::try_from(height.0 - 1).unwrap();
        Ok(disk.chain.get(place).map(|(_, body, certificate)| (body.clone(), certificate.clone())))
    }

    fn history_min(&self) -> Height {
        Height(1)
    }

    fn misbehaviour(&mut self, evidence: Evidence) {
        self.disk.lock().unwrap().evidence.push(evidence);
    }
}
