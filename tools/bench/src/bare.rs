//! The peer of the ledger: the same engine over the same network, deciding opaque transactions.
//!
//! Nobody verifies, executes or gossips them: a proposer makes up a block of as many as it is told,
//! everybody writes it to a file and waits until it lasts, as they do with the certificate.
//! So this is an upper bound of what any application of the engine can move on this machine.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::Write as _;
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use althing_consensus_malachite::{Config, ConsensusSigner, spawn};
use althing_keys::{AccountKey, NodeKeys, Secp256k1};
use althing_net_iroh::{IrohNetwork, Limits, PeerAddress};
use althing_network::Network as _;
use althing_node::folder::Folder;
use althing_node::genesis_file;
use althing_replica::application::{Application, Fault};
use althing_types::{
    Address, BlockId, Certificate, Eip712, Evidence, Genesis, Hash, Height, PublicKey, Round,
    Validator, ValidatorSet, VoteSignature, tagged,
};
use anyhow::{Context as _, Result};
use borsh::{BorshDeserialize, BorshSerialize};
use tokio::sync::watch;

use crate::child::{Ask, say};
use crate::node::commands;
use crate::seen::Watch;

/// Heights of which bodies are kept: more than are open at a time.
const HEIGHTS_KEPT: u64 = 8;

struct Signer(AccountKey);

impl ConsensusSigner for Signer {
    fn address(&self) -> Address {
        self.0.address()
    }
    fn public_key(&self) -> PublicKey {
        self.0.public_key()
    }
    fn sign(&self, digest: &Hash) -> VoteSignature {
        self.0.sign_vote(digest)
    }
}

#[derive(BorshSerialize, BorshDeserialize)]
struct Block {
    height: Height,
    round: Round,
    previous: BlockId,
    proposer: Address,
    transactions: Vec<Vec<u8>>,
}

struct Opaque {
    own: Address,
    validators: ValidatorSet,
    payload: Vec<Vec<u8>>,
    file: File,
    tip: (Height, BlockId),
    bodies: BTreeMap<(Height, BlockId), Vec<u8>>,
    proposed: BTreeMap<(Height, Round), BlockId>,
    watch: Arc<Mutex<Watch>>,
}

impl Opaque {
    fn persist(&mut self, bytes: &[u8]) -> Result<(), Fault> {
        let written = self.file.write_all(bytes).and_then(|()| self.file.sync_data());
        written.map_err(|error| Fault::new("writing a block", error))
    }

    fn keep(&mut self, height: Height, body: &[u8]) -> Result<BlockId, Fault> {
        let id = tagged("opaque block", &[body]);
        if !self.bodies.contains_key(&(height, id)) {
            self.persist(body)?;
            self.bodies.insert((height, id), body.to_vec());
        }
        Ok(id)
    }

    fn kept(&self, id: &BlockId) -> Option<&Vec<u8>> {
        self.bodies.iter().find(|((_, of), _)| of == id).map(|(_, body)| body)
    }

    fn follows_tip(&self, block: &Block) -> bool {
        block.height == self.next_height() && block.previous == self.tip.1
    }
}

impl Application for Opaque {
    fn next_height(&self) -> Height {
        self.tip.0.next()
    }

    fn validators(&self) -> ValidatorSet {
        self.validators.clone()
    }

    fn propose(&mut self, height: Height, round: Round) -> Result<(BlockId, Vec<u8>), Fault> {
        if let Some(id) = self.proposed.get(&(height, round))
            && let Some(body) = self.kept(id)
        {
            return Ok((*id, body.clone()));
        }
        let transactions = std::mem::take(&mut self.payload);
        let block = Block { height, round, previous: self.tip.1, proposer: self.own, transactions };
        let body = borsh::to_vec(&block).map_err(|error| Fault::new("encoding a block", error))?;
        self.payload = block.transactions;
        let id = self.keep(height, &body)?;
        self.proposed.insert((height, round), id);
        Ok((id, body))
    }

    fn receive(
        &mut self,
        height: Height,
        _: Round,
        _: Address,
        body: &[u8],
    ) -> Result<Option<(BlockId, bool)>, Fault> {
        let Ok(block) = borsh::from_slice::<Block>(body) else { return Ok(None) };
        Ok(Some((self.keep(height, body)?, self.follows_tip(&block))))
    }

    fn revalidate(&mut self, id: &BlockId, _: Round) -> Result<bool, Fault> {
        let block = self.kept(id).and_then(|body| borsh::from_slice::<Block>(body).ok());
        Ok(block.is_some_and(|block| self.follows_tip(&block)))
    }

    fn body(&self, id: &BlockId) -> Result<Option<Vec<u8>>, Fault> {
        Ok(self.kept(id).cloned())
    }

    fn commit(&mut self, certificate: Certificate) -> Result<(), Fault> {
        let bytes = borsh::to_vec(&certificate).map_err(|error| Fault::new("encoding", error))?;
        self.persist(&bytes)?;
        self.tip = (certificate.height, certificate.block);
        let oldest = Height(certificate.height.0.saturating_sub(HEIGHTS_KEPT));
        self.bodies = self.bodies.split_off(&(oldest, Hash::ZERO));
        self.proposed = self.proposed.split_off(&(oldest, Round(0)));
        let mut watch = self.watch.lock().unwrap_or_else(PoisonError::into_inner);
        watch.decided(certificate.height.0, self.payload.len(), 0);
        Ok(())
    }

    fn decided(&self, _: Height) -> Result<Option<(Vec<u8>, Certificate)>, Fault> {
        Ok(None) // nobody falls behind in a run
    }

    fn history_min(&self) -> Height {
        self.next_height()
    }

    fn misbehaviour(&mut self, _: Evidence) {}
}

fn validators(genesis: &Genesis) -> ValidatorSet {
    let of = |validator: &althing_types::GenesisValidator| Validator {
        address: validator.address,
        public_key: validator.public_key,
        endpoint: validator.endpoint,
        beacon_key: validator.beacon_key,
        power: validator.bonded.whole_tokens(),
    };
    ValidatorSet::new(genesis.validators.iter().map(of).collect())
}

/// The role: runs until the input ends. [`Ask::Send`] begins to decide, [`Ask::Pause`] ends it.
pub(crate) async fn run(folder: &Path, transactions: usize, bytes: usize) -> Result<()> {
    let place = Folder::new(folder);
    let (settings, genesis) = (place.settings()?, genesis_file::read(&place.genesis_file())?);
    let keys = NodeKeys::load(folder)?;
    let own = keys.account.address();
    let endpoint = althing_net_iroh::endpoint_of(&keys.endpoint);
    let peer = |text: &String| -> Result<PeerAddress> {
        let (endpoint, address) = text.split_once('@').context("a peer is endpoint@address")?;
        Ok(PeerAddress { endpoint: endpoint.parse()?, address: address.parse()? })
    };
    let network = IrohNetwork::bind(althing_net_iroh::Config {
        secret: *keys.endpoint,
        listen: settings.listen,
        chain: genesis.chain,
        genesis: genesis.hash(),
        account: own,
        hello: keys.account.sign_hello(&Eip712::new(genesis.chain), &endpoint.0),
        bootstrap: settings.peers.iter().map(peer).collect::<Result<_>>()?,
        signatures: Arc::new(Secp256k1),
        limits: Limits::default(),
    });
    let network = Arc::new(network.await?);
    let mut peers = network.watch_peers();
    peers.wait_for(|peers| peers.len() + 1 >= genesis.validators.len()).await?;

    let watch = Arc::new(Mutex::new(Watch::new()));
    let application = Opaque {
        own,
        validators: validators(&genesis),
        payload: vec![vec![0x5a; bytes]; transactions],
        file: File::create(folder.join("blocks"))?,
        tip: (Height(0), genesis.hash()),
        bodies: BTreeMap::new(),
        proposed: BTreeMap::new(),
        watch: watch.clone(),
    };
    let config = Config {
        propose_timeout: Duration::from_millis(settings.propose_timeout_ms),
        min_block: Duration::ZERO,
        idle_block: Duration::from_secs(1),
        ..Config::new(genesis.chain, folder.join("bare.wal"))
    };
    let (work, has_work) = watch::channel(false);
    let (signer, signatures) = (Arc::new(Signer(keys.account)), Arc::new(Secp256k1));
    let application = Arc::new(Mutex::new(application));
    let consensus =
        spawn(config, application, network.clone(), signer, signatures, has_work).await?;
    say(&"ready")?;
    let mut asked = commands();
    while let Some(ask) = asked.recv().await {
        match ask? {
            Ask::Send { .. } => {
                work.send_replace(true);
                say(&())?;
            }
            Ask::Pause => {
                work.send_replace(false);
                say(&())?;
            }
            Ask::Report => say(&watch.lock().unwrap_or_else(PoisonError::into_inner).take())?,
            Ask::Height(height) => {
                let mut progress = consensus.progress();
                let reached = progress.wait_for(|progress| progress.decided.0 >= height).await;
                let decided = reached.context("consensus has ended")?.decided.0;
                say(&decided)?;
            }
            Ask::Load(_) => anyhow::bail!("opaque transactions are made up, not loaded"),
        }
    }
    consensus.shutdown().await;
    network.shutdown().await;
    Ok(())
}
