//! A network with services and an application, ready to take events.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::time::Duration;

use althing_api::client::Client;
use althing_api::wire::{OperationResult, TransactionReceipt};
use althing_api::{ServiceKey, Viewing};
use althing_application::{ApplicationFile, Catalogue};
use althing_keys::{AccountKey, NodeKeys};
use althing_manifest::{Manifest, ServiceFile, id_hash};
use althing_node::dev_network::DevNetwork;
use althing_node::folder::{Folder, Settings};
use althing_types::{
    Amount, ApplicationTerms, ChainId, Deploy, Eip712, Hash, Height, Name, Nonce, Offer, Operation,
    Publish, Transaction, Visibility, application_id, event_key, tagged,
};
use anyhow::{Context as _, Result, ensure};
use serde_json::{Map, Value};
use tokio::net::UnixListener;

use super::followed::Followed;
use crate::child::{Child, cpu_of_all};
use crate::stage::{Stage, person, start_one};

/// How long the ledger may take to take in what prepares a measurement.
const PATIENCE: Duration = Duration::from_secs(30);
/// For all runs of a measurement.
const DEPOSIT: Amount = Amount::from_tokens(50_000);
/// What a node offers a service with.
const STAKE: Amount = Amount::from_tokens(500);
const TERM_MS: u64 = 86_400_000;
/// How long an operator's signature is good.
const VIEWING_MS: u64 = 60_000;

/// A service of a benchmark.
#[derive(Clone, Debug)]
pub(crate) struct Service {
    pub(crate) manifest: Manifest,
    /// `None` for a native one.
    pub(crate) component: Option<Vec<u8>>,
}

impl Service {
    /// A native service from the text of its file.
    pub(crate) fn native(text: &str) -> Result<Self> {
        let manifest = ServiceFile::parse("service.yml", text)?.into_manifest(&[]);
        Ok(Self { manifest, component: None })
    }
}

/// An application on the ledger.
#[derive(Clone, Debug)]
pub(crate) struct Deployed {
    chain: ChainId,
    id: Hash,
}

impl Deployed {
    /// The run that an event starts.
    pub(crate) fn run(&self, event: &Hash) -> Hash {
        let chain = self.chain.0.to_be_bytes();
        tagged("althing run", &[&chain, &self.id.0, &event.0])
    }
}

/// Where events of one kind are posted.
#[derive(Clone, Debug)]
pub(crate) struct Source {
    pub(crate) api: SocketAddr,
    pub(crate) path: String,
    pub(crate) token: String,
    service: Hash,
    event: Name,
}

impl Source {
    /// The key of the event with this id, which the program names.
    pub(crate) fn key(&self, id: &str) -> Hash {
        event_key(&self.service, &self.event, &id_hash(&quoted(id)))
    }

    /// The event as it is posted.
    pub(crate) fn body(&self, id: &str, data: &str) -> String {
        let kind = &self.event;
        format!(
            r#"{{"specversion":"1.0","id":"{id}","source":"bench","type":"{kind}","data":{data}}}"#
        )
    }
}

/// An id as canonical JSON: the benchmark's ids have nothing to escape.
fn quoted(id: &str) -> Vec<u8> {
    format!("\"{id}\"").into_bytes()
}

/// A network that takes events at its first node.
pub(crate) struct Rig {
    network: DevNetwork,
    children: Vec<Child>,
    pub(crate) followed: Followed,
    tokens: BTreeMap<Hash, String>,
    catalogue: Catalogue,
    nonces: BTreeMap<usize, u64>,
    persons_nonce: u64,
}

impl Rig {
    /// Starts a network of `nodes` processes.
    pub(crate) async fn start(stage: &Stage, name: &str, nodes: usize) -> Result<Self> {
        let network = stage.network(name, nodes, &[])?;
        let home = network.nodes.first().context("there are nodes")?;
        if nodes == 1 {
            // It has the machine for itself: as many tasks at a time as an operator's node.
            let folder = Folder::new(&home.folder);
            let tasks_max = Settings::default().tasks_max;
            folder.write_settings(&Settings { tasks_max, ..folder.settings()? })?;
        }
        let socket = home.folder.join("commits.sock");
        let followed = Followed::new(UnixListener::bind(&socket).context("opening a socket")?);
        let socket = socket.to_str().context("the folder's path is not text")?.to_owned();
        let mut children = Vec::new();
        for (number, node) in network.nodes.iter().enumerate() {
            let role: &[&str] = if number == 0 { &["followed", &socket] } else { &["node"] };
            children.push(start_one(&node.folder, role)?);
        }
        let mut rig = Self {
            network,
            children,
            followed,
            tokens: BTreeMap::new(),
            catalogue: Catalogue::default(),
            nonces: BTreeMap::new(),
            persons_nonce: 0,
        };
        for child in &mut rig.children {
            child
                .answer::<String>()
                .context("a node did not come up; its log is beside its data")?;
        }
        rig.followed.until(|far| far.height >= 2).await?;
        Ok(rig)
    }

    fn client(&self, node: usize) -> Result<Client> {
        let node = self.network.nodes.get(node).context("there is such a node")?;
        Ok(Client::new(&format!("http://{}", node.api)))
    }

    /// Shows that the holder of a node's key asks.
    fn operator(&self, key: &AccountKey) -> Viewing {
        let (account, until) = (key.address(), althing_node::now().after(VIEWING_MS));
        let digest = Eip712::new(self.network.genesis.chain).view(account, until);
        Viewing { account, until, signature: key.sign_recoverable(&digest) }
    }

    fn carry_out(&self, key: &AccountKey, nonce: u64, operation: Operation) -> Result<()> {
        let transaction = Transaction {
            chain: self.network.genesis.chain,
            account: key.address(),
            nonce: Nonce(nonce),
            expires: Height(u64::MAX),
            atomic: false,
            fee_limit: Amount::from_tokens(1),
            operations: vec![operation],
        };
        let client = self.client(0)?;
        let hash = client.submit(&key.sign_transaction(transaction))?;
        let TransactionReceipt { results, .. } = client.transaction(&hash, PATIENCE)?;
        let refused = results.iter().find(|it| matches!(it, OperationResult::Rejected { .. }));
        ensure!(refused.is_none(), "the ledger refused: {refused:?}");
        Ok(())
    }

    fn by_person(&mut self, operation: Operation) -> Result<()> {
        self.carry_out(&person(), self.persons_nonce, operation)?;
        self.persons_nonce += 1;
        Ok(())
    }

    /// Publishes a service, and lets the first `nodes` offer it. A native one's program is at `url`.
    pub(crate) fn offer(&mut self, service: &Service, nodes: usize, url: &str) -> Result<()> {
        let Service { manifest, component } = service;
        let (terms, id) = (manifest.terms(), manifest.id());
        self.by_person(Operation::Publish(Publish { terms: terms.into() }))?;
        for number in 0..nodes {
            let client = self.client(number)?;
            client.put_blob(&manifest.canonical())?;
            let node = self.network.nodes.get(number).context("there is such a node")?;
            let key = NodeKeys::load(&node.folder)?.account;
            match component {
                Some(component) => {
                    client.put_blob(component)?;
                }
                None => {
                    let operator = client.viewing(&self.operator(&key));
                    let token = operator.connect(&ServiceKey::Id(id), url)?.token;
                    self.tokens.entry(id).or_insert(token);
                }
            }
            let offer = Offer {
                service: id,
                stake: STAKE,
                term_ms: TERM_MS,
                owner: node.account,
                endpoint: node.endpoint,
                labels: vec![],
            };
            let nonce = self.nonces.get(&number).copied().unwrap_or_default();
            self.carry_out(&key, nonce, Operation::Offer(offer))?;
            self.nonces.insert(number, nonce + 1);
        }
        self.catalogue.add_service(manifest.clone());
        Ok(())
    }

    /// Deploys the application that this text says.
    pub(crate) fn deploy(&mut self, text: &str) -> Result<Deployed> {
        let file = ApplicationFile::parse("app.yaml", text)?;
        let compiled = file.check(&self.catalogue, &Map::<String, Value>::new())?.compiled;
        self.client(0)?.put_blob(compiled.document())?;
        let terms = ApplicationTerms {
            alias: format!("bench/{}@{}", file.app, file.version).parse()?,
            document: compiled.blob(),
            home: self.network.nodes.first().context("there are nodes")?.endpoint,
            visibility: Visibility::Private(Vec::new()),
            plan: compiled.plan().clone(),
        };
        self.by_person(Operation::Deploy(Deploy {
            terms: terms.into(),
            deposit: DEPOSIT,
            replaces: None,
        }))?;
        let id = application_id(&person().address(), &compiled.blob().hash);
        Ok(Deployed { chain: self.network.genesis.chain, id })
    }

    /// Where events of a native service are posted: at the first node.
    pub(crate) fn source(&self, service: &Service, event: &str) -> Result<Source> {
        let id = service.manifest.id();
        let home = self.network.nodes.first().context("there are nodes")?;
        Ok(Source {
            api: home.api,
            path: format!("/v1/services/{id}/events"),
            token: self.tokens.get(&id).context("a program is connected")?.clone(),
            service: id,
            event: event.parse()?,
        })
    }

    /// CPU time of all nodes so far.
    pub(crate) fn cpu(&self) -> Result<Duration> {
        cpu_of_all(&self.children)
    }

    /// What the first node has in memory, in MiB.
    pub(crate) fn memory_mib(&self) -> Result<f64> {
        self.children.first().context("there are nodes")?.memory_mib()
    }

    /// Stops all nodes.
    pub(crate) fn stop(self) -> Result<()> {
        crate::stage::stop(self.children)
    }

    /// Ends all nodes without waiting for what they have under way.
    pub(crate) fn kill(self) -> Result<()> {
        self.children.into_iter().try_for_each(Child::kill)
    }
}
