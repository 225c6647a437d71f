//! The node as the HTTP interface sees it.

use std::sync::Arc;
use std::time::Duration;

use althing_api::{
    Answer, Applications, Cut, ExecutionFilter, Node, NodeError, PAGE_MAX, ServiceKey, VIEWING_MAX,
    Viewing, wire,
};
use althing_keys::Secp256k1;
use althing_ledger::{Execution, Member, Phase, Receipt, query, weight};
use althing_network::Network;
use althing_replica::{
    NotAdmitted, ReadError, Reader, Refusal, Subject, SubmitError, receipt_file,
};
use althing_types::{
    Address, BlobRef, Eip712, EndpointId, Hash, Height, Signatures as _, SignedTransaction,
};
use bytes::Bytes;
use tokio::sync::broadcast;
use tokio::time::Instant;

use crate::blob_log::Lasts;
use crate::blobs::{BlobError, BlobStore, Shelf};
use crate::chain::Chain;
use crate::clock;
use crate::emitting::Emitting;
use crate::exchange::Exchange;
use crate::secrets::SecretStore;
use crate::settled::Settled;

/// Most offers, validators and headers in one answer.
const LIST_MAX: usize = 1_000;
/// A tip older than this means that the node is behind, or the chain stands still.
const BEHIND: Duration = Duration::from_secs(10);

/// What the HTTP interface needs of the node.
pub(crate) struct NodeView {
    pub(crate) secrets: Arc<SecretStore>,
    pub(crate) emitting: Arc<Emitting>,
    pub(crate) chain: Arc<Chain>,
    pub(crate) network: Arc<dyn Network>,
    pub(crate) blobs: Arc<BlobStore>,
    pub(crate) exchange: Arc<Exchange>,
    pub(crate) settled: Arc<Settled>,
    pub(crate) events: broadcast::Sender<wire::Event>,
    pub(crate) address: Address,
    pub(crate) endpoint: EndpointId,
}

pub(crate) fn failed(error: impl std::error::Error + Send + Sync + 'static) -> NodeError {
    NodeError::Failed { source: Box::new(error) }
}

pub(crate) fn missing(what: impl std::fmt::Display) -> NodeError {
    NodeError::NotFound { what: what.to_string() }
}

/// Runs something that reads the disk on a thread where it may wait.
pub(crate) async fn blocking<T: Send + 'static>(
    run: impl FnOnce() -> Result<T, NodeError> + Send + 'static,
) -> Result<T, NodeError> {
    tokio::task::spawn_blocking(run).await.map_err(failed)?
}

impl NodeView {
    pub(crate) fn reader(&self) -> Reader {
        self.chain.reader.clone()
    }

    /// Asks again after each commit until there is an answer, or the time is up.
    pub(crate) async fn wait_for<T: Send + 'static>(
        &self,
        wait: Duration,
        ask: impl Fn(&Reader) -> Result<(T, bool), NodeError> + Clone + Send + 'static,
    ) -> Result<T, NodeError> {
        let deadline = Instant::now() + wait;
        let mut commits = self.chain.commits();
        loop {
            let (reader, ask) = (self.reader(), ask.clone());
            let (answer, done) = blocking(move || ask(&reader)).await?;
            if done || Instant::now() >= deadline {
                return Ok(answer);
            }
            if let Ok(Err(broadcast::error::RecvError::Closed)) =
                tokio::time::timeout_at(deadline, commits.recv()).await
            {
                return Ok(answer);
            }
        }
    }

    pub(crate) fn service_id(reader: &Reader, key: &ServiceKey) -> Result<Hash, NodeError> {
        match key {
            ServiceKey::Id(id) => Ok(*id),
            ServiceKey::Alias(alias) => query::alias(&reader.view(), alias)
                .map_err(failed)?
                .ok_or_else(|| missing(format!("service {alias}"))),
        }
    }
}

/// The nodes that an execution came by: whoever was asked need not run the service.
fn route(
    view: &impl althing_state::View,
    execution: &Execution,
) -> Result<Vec<wire::Hop>, althing_state::Fault> {
    let offers = query::offers(view, &execution.service, LIST_MAX)?;
    let validators = query::validators(view, LIST_MAX)?;
    let home = |endpoint: &EndpointId| {
        let offering = offers.iter().find(|(_, offer)| offer.endpoint == *endpoint);
        let validating = validators.iter().find(|(_, record)| record.endpoint == *endpoint);
        let node = offering.map(|(node, _)| *node);
        let node = node.or_else(|| validating.map(|(node, _)| *node));
        wire::Hop {
            node: node.map(Into::into),
            endpoint: Some((*endpoint).into()),
            part: None,
            runs_service: offering.is_some(),
        }
    };
    let drawn = |member: &Member| {
        let offer = offers.iter().find(|(node, _)| *node == member.node);
        wire::Hop {
            node: Some(member.node.into()),
            endpoint: offer.map(|(_, offer)| offer.endpoint.into()),
            part: Some(member.role.into()),
            runs_service: true,
        }
    };
    Ok(execution.homes.iter().map(home).chain(execution.committee().map(drawn)).collect())
}

fn find_execution(reader: &Reader, id: &Hash) -> Result<Execution, NodeError> {
    reader.execution(id).map_err(failed)?.ok_or_else(|| missing(format!("execution {id}")))
}

fn passes(execution: &Execution, filter: &ExecutionFilter) -> bool {
    let ExecutionFilter { payer, node, service, phase } = filter;
    payer.is_none_or(|payer| execution.payer == payer)
        && node.is_none_or(|node| execution.members.iter().any(|member| member.node == node))
        && service.is_none_or(|service| execution.service == service)
        && phase.is_none_or(|phase| wire::Phase::from(execution.phase) == phase)
}

/// A page of executions, open and lately settled, by ascending id.
fn list_executions(
    reader: &Reader,
    settled: &Settled,
    filter: &ExecutionFilter,
    cut: Cut,
) -> Result<wire::Page<wire::Execution>, NodeError> {
    let limit = cut.limit.clamp(1, PAGE_MAX);
    let (mut items, mut after) = (Vec::new(), cut.after);
    loop {
        let view = reader.view();
        let open = query::executions(&view, after.as_ref(), PAGE_MAX).map_err(failed)?;
        let mut ids: Vec<Hash> = open.iter().map(|execution| execution.id).collect();
        ids.extend(settled.executions.after(after.as_ref(), PAGE_MAX));
        ids.sort_unstable();
        ids.dedup();
        ids.truncate(PAGE_MAX);
        let Some(last) = ids.last().copied() else { return Ok(wire::Page { items, next: None }) };
        for id in ids {
            let Some(execution) = reader.execution(&id).map_err(failed)? else { continue };
            if passes(&execution, filter) {
                items.push(execution.into());
                if items.len() == limit {
                    return Ok(wire::Page { items, next: Some(id.into()) });
                }
            }
        }
        after = Some(last);
    }
}

fn refused(error: &SubmitError) -> NodeError {
    match error {
        SubmitError::NotAdmitted(NotAdmitted::Refused(Refusal::Full { .. })) => {
            NodeError::Busy { what: "the mempool is full" }
        }
        SubmitError::NotAdmitted(_) => NodeError::Rejected {
            code: error.code().unwrap_or("TXN-0001"),
            detail: error.to_string(),
        },
        SubmitError::Fault(fault) => NodeError::Failed { source: fault.to_string().into() },
    }
}

impl Node for NodeView {
    fn status(&self) -> Answer<'_, wire::Status> {
        Box::pin(async move {
            let head = self.chain.reader.head();
            let behind = u128::from(head.time().until(clock::now())) > BEHIND.as_millis();
            let chain = self.chain.clone();
            let pending = blocking(move || Ok(chain.lock().mempool().len())).await?;
            Ok(wire::Status {
                chain: self.chain.reader.genesis().chain.0,
                genesis: self.chain.reader.genesis_hash().into(),
                height: head.tip.height.0,
                block: head.tip.block.into(),
                time: head.time().0,
                peers: u32::try_from(self.network.connected().len()).unwrap_or(u32::MAX),
                syncing: behind,
                version: env!("CARGO_PKG_VERSION").to_owned(),
                address: self.address.into(),
                endpoint: self.endpoint.into(),
                pending: u32::try_from(pending).unwrap_or(u32::MAX),
            })
        })
    }

    fn genesis(&self) -> Answer<'_, wire::Genesis> {
        Box::pin(async move { Ok(self.chain.reader.genesis().clone().into()) })
    }

    fn submit(&self, transaction: SignedTransaction) -> Answer<'_, Hash> {
        let chain = self.chain.clone();
        Box::pin(blocking(move || {
            let encoded = transaction.encode();
            chain.submit(&encoded).or_else(|error| {
                // Handed in again after its block: its nonce is used, by itself.
                let hash = SignedTransaction::hash_of(&encoded);
                match chain.reader.archived(&Subject::Transaction(hash)) {
                    Ok(Some(_)) => Ok(hash),
                    Ok(None) => Err(refused(&error)),
                    Err(error) => Err(failed(error)),
                }
            })
        }))
    }

    fn transaction(&self, hash: Hash, wait: Duration) -> Answer<'_, wire::TransactionReceipt> {
        Box::pin(async move {
            let receipt = self
                .wait_for(wait, move |reader| {
                    let archived = reader.archived(&Subject::Transaction(hash)).map_err(failed)?;
                    let done = archived.is_some();
                    Ok((archived, done))
                })
                .await?
                .ok_or_else(|| missing(format!("transaction {hash} in a block")))?;
            match borsh::from_slice(&receipt.leaf).map_err(failed)? {
                Receipt::Transaction(record) => {
                    Ok(wire::TransactionReceipt::of(receipt.height, record))
                }
                Receipt::Execution(_) | Receipt::Event(_) | Receipt::Run(_) => {
                    Err(failed(ReadError::Missing { what: "the transaction's receipt" }))
                }
            }
        })
    }

    fn account(&self, address: Address) -> Answer<'_, wire::Account> {
        let chain = self.chain.clone();
        Box::pin(blocking(move || {
            let head = chain.reader.head();
            let account = query::account(&head.view, &address).map_err(failed)?;
            let next_nonce = chain.lock().mempool().next_nonce(&address, &account);
            let validator = query::validator(&head.view, &address).map_err(failed)?;
            Ok(wire::Account {
                address: address.into(),
                balance: account.balance.into(),
                nonce: account.nonce.0,
                next_nonce: next_nonce.0,
                validator: validator
                    .map(|record| wire::Validator::of(address, record, &head.validators)),
            })
        }))
    }

    fn services(&self, cut: Cut) -> Answer<'_, wire::Page<wire::Service>> {
        let reader = self.reader();
        Box::pin(blocking(move || {
            let limit = cut.limit.clamp(1, PAGE_MAX);
            let services =
                query::services(&reader.view(), cut.after.as_ref(), limit).map_err(failed)?;
            let full = services.len() == limit;
            let next = services.last().filter(|_| full).map(|(id, _)| (*id).into());
            Ok(wire::Page {
                items: services.into_iter().map(|(_, record)| record.into()).collect(),
                next,
            })
        }))
    }

    fn service(&self, service: ServiceKey) -> Answer<'_, wire::Service> {
        let reader = self.reader();
        Box::pin(blocking(move || {
            let id = Self::service_id(&reader, &service)?;
            let record = query::service(&reader.view(), &id).map_err(failed)?;
            Ok(record.ok_or_else(|| missing(format!("service {service}")))?.into())
        }))
    }

    fn offers(&self, service: ServiceKey) -> Answer<'_, Vec<wire::Offer>> {
        let reader = self.reader();
        Box::pin(blocking(move || {
            let id = Self::service_id(&reader, &service)?;
            let (head, parameters) = (reader.head(), reader.genesis().parameters.clone());
            if query::service(&head.view, &id).map_err(failed)?.is_none() {
                return Err(missing(format!("service {service}")));
            }
            let offers = query::offers(&head.view, &id, LIST_MAX).map_err(failed)?;
            let with_weight = offers.into_iter().map(|(node, record)| {
                let weight = weight(&record, head.time(), &parameters);
                wire::Offer::of(id, node, record, weight)
            });
            Ok(with_weight.collect())
        }))
    }

    fn executions(
        &self,
        filter: ExecutionFilter,
        cut: Cut,
    ) -> Answer<'_, wire::Page<wire::Execution>> {
        let (reader, settled) = (self.reader(), self.settled.clone());
        Box::pin(blocking(move || list_executions(&reader, &settled, &filter, cut)))
    }

    fn execution(&self, id: Hash, wait: Duration) -> Answer<'_, wire::Execution> {
        Box::pin(async move {
            let ask = move |reader: &Reader| {
                let execution = find_execution(reader, &id)?;
                let done = execution.phase == Phase::Settled;
                Ok((execution, done))
            };
            Ok(self.wait_for(wait, ask).await?.into())
        })
    }

    fn explain(&self, id: Hash) -> Answer<'_, wire::Explanation> {
        let reader = self.reader();
        Box::pin(blocking(move || {
            let execution = find_execution(&reader, &id)?;
            let mut rosters = std::collections::BTreeMap::new();
            for draw in &execution.draws {
                let roster = reader.roster(&draw.roster).map_err(failed)?;
                rosters.insert(draw.roster, roster);
            }
            let route = route(&reader.view(), &execution).map_err(failed)?;
            let explained =
                wire::Explanation::of(execution, |hash| rosters.get(hash).cloned().flatten());
            Ok(wire::Explanation { route, ..explained })
        }))
    }

    fn receipt(&self, id: Hash) -> Answer<'_, Bytes> {
        let reader = self.reader();
        Box::pin(blocking(move || {
            for subject in [
                Subject::Execution(id),
                Subject::Event(id),
                Subject::Run(id),
                Subject::Transaction(id),
            ] {
                if let Some(receipt) = reader.receipt(&subject).map_err(failed)? {
                    let text = receipt_file::render(&receipt).map_err(failed)?;
                    return Ok(text.into());
                }
            }
            Err(missing(format!("execution, event or run that has ended, or transaction {id}")))
        }))
    }

    fn block(&self, height: Option<Height>) -> Answer<'_, wire::Block> {
        let reader = self.reader();
        Box::pin(blocking(move || {
            let height = height.unwrap_or_else(|| reader.head().tip.height);
            let (block, certificate) = reader
                .decided(height)
                .map_err(failed)?
                .ok_or_else(|| missing(format!("block of height {height}")))?;
            Ok(wire::Block::of(block, certificate))
        }))
    }

    fn headers(&self, from: Height, limit: usize) -> Answer<'_, Vec<wire::IdentifiedHeader>> {
        let reader = self.reader();
        Box::pin(blocking(move || {
            let mut headers = Vec::new();
            for height in (from.0.max(1)..).take(limit.min(LIST_MAX)) {
                let Some((block, _)) = reader.decided(Height(height)).map_err(failed)? else {
                    break;
                };
                headers.push(wire::IdentifiedHeader {
                    id: block.header.id().into(),
                    header: block.header.into(),
                });
            }
            Ok(headers)
        }))
    }

    fn validators(&self) -> Answer<'_, wire::Validators> {
        let reader = self.reader();
        Box::pin(blocking(move || {
            let head = reader.head();
            let records = query::validators(&head.view, LIST_MAX).map_err(failed)?;
            let of = |(address, record)| wire::Validator::of(address, record, &head.validators);
            Ok(wire::Validators {
                height: head.next_height().0,
                set: head.validators.hash().into(),
                total_power: head.validators.total_power(),
                validators: records.into_iter().map(of).collect(),
            })
        }))
    }

    fn totals(&self) -> Answer<'_, wire::Totals> {
        let reader = self.reader();
        Box::pin(blocking(move || Ok(query::totals(&reader.view()).map_err(failed)?.into())))
    }

    fn put_blob(&self, bytes: Bytes, of: Option<Hash>) -> Answer<'_, wire::BlobRef> {
        let blobs = self.blobs.clone();
        let shelf = of.map_or(Shelf::Open, Shelf::Closed);
        Box::pin(blocking(move || match blobs.shelve(shelf, &[&bytes], Lasts::AtOnce) {
            Ok(()) => Ok(BlobRef::of(&bytes).into()),
            Err(BlobError::Full { .. }) => {
                Err(NodeError::Busy { what: "the node's space for blobs is used up" })
            }
            Err(error @ BlobError::TooLarge { .. }) => {
                Err(NodeError::Rejected { code: "API-0002", detail: error.to_string() })
            }
            Err(error @ BlobError::Io { .. }) => Err(failed(error)),
        }))
    }

    fn blob(&self, viewer: Option<Address>, hash: Hash, of: Option<Hash>) -> Answer<'_, Bytes> {
        let exchange = self.exchange.clone();
        Box::pin(async move {
            let found = exchange.find_for(viewer, hash, of).await;
            found.ok_or_else(|| missing(format!("blob {hash}")))
        })
    }

    fn metrics(&self) -> String {
        let head = self.chain.reader.head();
        let mut text = String::new();
        let mut gauge = |name: &str, help: &str, value: u64| {
            use std::fmt::Write as _;
            write!(text, "# HELP althing_{name} {help}\n# TYPE althing_{name} gauge\nalthing_{name} {value}\n")
                .expect("writing to a string");
        };
        gauge("height", "The last committed height.", head.tip.height.0);
        gauge("time_ms", "The time of the last block, in milliseconds since 1970.", head.time().0);
        gauge("peers", "Connected nodes.", self.network.connected().len() as u64);
        gauge(
            "validators",
            "Members of the consensus set.",
            head.validators.members().len() as u64,
        );
        gauge(
            "observations_refused",
            "Accepted observations that the ledger refused since the start.",
            self.emitting.observatory.refusals(),
        );
        gauge("blob_bytes", "Bytes of blobs on this node.", self.blobs.used());
        if let Ok(replica) = self.chain.replica.try_lock() {
            gauge("mempool_transactions", "Waiting transactions.", replica.mempool().len() as u64);
            gauge(
                "mempool_bytes",
                "Bytes of waiting transactions.",
                replica.mempool().bytes() as u64,
            );
        }
        text
    }

    fn applications(&self) -> Option<&dyn Applications> {
        Some(self)
    }

    fn viewer(&self, viewing: Viewing) -> Answer<'_, Address> {
        let chain = self.chain.reader.genesis().chain;
        Box::pin(async move {
            let Viewing { account, until, signature } = viewing;
            let now = clock::wall();
            let longest = u64::try_from(VIEWING_MAX.as_millis()).unwrap_or(u64::MAX);
            if until <= now || now.until(until) > longest {
                let what = "the signed wish is over, or lasts longer than an hour";
                return Err(NodeError::NotAllowed { what });
            }
            let digest = Eip712::new(chain).view(account, until);
            if Secp256k1.recover(&digest, &signature) != Some(account) {
                return Err(NodeError::NotAllowed { what: "the account has not signed that" });
            }
            Ok(account)
        })
    }

    fn programs(&self) -> Option<&dyn althing_api::Programs> {
        Some(self)
    }

    fn secrets(&self) -> Option<&dyn althing_api::Secrets> {
        Some(self)
    }

    fn events(&self) -> broadcast::Receiver<wire::Event> {
        self.events.subscribe()
    }
}
