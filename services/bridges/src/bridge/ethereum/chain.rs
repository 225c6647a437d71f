//! A real chain, over JSON-RPC.

use std::sync::Arc;
use std::time::Duration;

use alloy::consensus::Transaction as _;
use alloy::eips::BlockNumberOrTag;
use alloy::eips::eip2718::Encodable2718 as _;
use alloy::network::{
    EthereumWallet, NetworkTransactionBuilder as _, TransactionBuilder as _,
    TransactionResponse as _,
};
use alloy::primitives::{Address, B256, Bytes, U256, keccak256};
use alloy::providers::{DynProvider, Provider as _, ProviderBuilder};
use alloy::rpc::types::{Filter, TransactionRequest};
use alloy::sol;
use alloy::sol_types::SolCall as _;
use alloy::transports::http::reqwest;
use anyhow::{Context as _, Result};
use async_trait::async_trait;
use serde_json::json;
use tokio::sync::Mutex;

use super::{Wallet, address, amount, rejected};
use crate::{Answer, Bridge, Outbox, Setup, Sighting, Task, Trouble};

const LOOK_EVERY: Duration = Duration::from_millis(500);
/// How long the chain's node may be silent on one request. Its connection is then made anew: the other side may
/// be gone without a word, and payments would be missed for as long as nobody notices.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(20);
/// How long one task waits for its transaction to be final.
const FINAL_WITHIN: Duration = Duration::from_secs(300);
/// Most blocks of one look.
const BLOCKS_MAX: u64 = 64;

sol! {
    function transfer(address to, uint256 amount) returns (bool);
}

pub(super) struct Chain {
    wallet: Wallet,
    provider: DynProvider,
    payer: EthereumWallet,
    address: Address,
    confirmations: u64,
    logs: Vec<Address>,
    /// One nonce after the other.
    sending: Mutex<()>,
}

impl Chain {
    pub(super) fn open(wallet: Wallet, setup: &Setup) -> Result<Self> {
        // One provider for the process; if there is one already it serves as well.
        drop(rustls::crypto::ring::default_provider().install_default());
        let rpc = setup.config.text("rpc").context("the settings name no `rpc`")?;
        let client = reqwest::Client::builder().timeout(ANSWER_TIMEOUT).build();
        let provider = ProviderBuilder::new()
            .disable_recommended_fillers()
            .connect_reqwest(
                client.context("setting up an HTTP client")?,
                rpc.parse().context("`rpc` is no address")?,
            )
            .erased();
        let signer = match setup.config.text("key") {
            Some(key) => key.parse().context("`key` is no secret key")?,
            None => wallet.signer("payer")?,
        };
        let logs = setup.config.texts("logs");
        let logs = logs
            .iter()
            .map(|text| text.parse().with_context(|| format!("'{text}' is no address")))
            .collect::<Result<_>>()?;
        let address = signer.address();
        tracing::info!(%address, "transfers are paid from here");
        Ok(Self {
            wallet,
            provider,
            payer: EthereumWallet::from(signer),
            address,
            confirmations: setup.config.number("confirmations", 12),
            logs,
            sending: Mutex::default(),
        })
    }

    /// The transaction of a task, signed: the same one whenever it is asked for.
    async fn signed(&self, task: &Task, request: TransactionRequest) -> Result<Bytes, Trouble> {
        let note = note(task);
        let memory = &self.wallet.memory;
        let again = |error: &dyn std::fmt::Display| Trouble::Again(error.to_string());
        if let Some(kept) = memory.note(&note).map_err(|error| again(&error))? {
            return kept.parse().map_err(|_| Trouble::Never("the memory is damaged".to_owned()));
        }
        let provider = &self.provider;
        let chain = provider.get_chain_id().await.map_err(|error| again(&error))?;
        let fees = provider.estimate_eip1559_fees().await.map_err(|error| again(&error))?;
        let nonce = provider.get_transaction_count(self.address).pending().await;
        let nonce = nonce.map_err(|error| again(&error))?;
        let request = request
            .with_from(self.address)
            .with_chain_id(chain)
            .with_nonce(nonce)
            .with_max_fee_per_gas(fees.max_fee_per_gas)
            .with_max_priority_fee_per_gas(fees.max_priority_fee_per_gas);
        let gas = match provider.estimate_gas(request.clone()).await {
            Ok(gas) => gas,
            // The chain says that it would fail; a connection that breaks says nothing.
            Err(error) if error.is_error_resp() => return Err(Trouble::Never(error.to_string())),
            Err(error) => return Err(again(&error)),
        };
        let request = request.with_gas_limit(gas.saturating_add(gas / 5));
        let signed = request.build(&self.payer).await;
        let signed = signed.map_err(|error| Trouble::Never(error.to_string()))?;
        let bytes = Bytes::from(signed.encoded_2718());
        memory.set_note(&note, &bytes.to_string()).map_err(|error| again(&error))?;
        Ok(bytes)
    }

    async fn transfer(&self, task: &Task, request: TransactionRequest) -> Result<Answer, Trouble> {
        let bytes = {
            let _one_nonce_at_a_time = self.sending.lock().await;
            let bytes = match self.signed(task, request).await {
                Ok(bytes) => bytes,
                Err(Trouble::Never(why)) => return Ok(rejected(&why)),
                Err(again) => return Err(again),
            };
            if let Err(error) = self.provider.send_raw_transaction(&bytes).await {
                if !error.is_error_resp() {
                    return Err(Trouble::Again(error.to_string()));
                }
                // Refused, unless the chain knows it: then it was sent before.
                let known = self.provider.get_transaction_by_hash(keccak256(&bytes)).await;
                if known.map_err(|error| Trouble::Again(error.to_string()))?.is_none() {
                    // The chain has not taken it, and it is never sent again.
                    let memory = &self.wallet.memory;
                    memory
                        .forget_note(&note(task))
                        .map_err(|error| Trouble::Again(error.to_string()))?;
                    return Ok(rejected(&error.to_string()));
                }
            }
            bytes
        };
        self.finality(keccak256(&bytes)).await
    }

    async fn finality(&self, transaction: B256) -> Result<Answer, Trouble> {
        let again = |error: &dyn std::fmt::Display| Trouble::Again(error.to_string());
        let deadline = tokio::time::Instant::now() + FINAL_WITHIN;
        loop {
            let receipt = self.provider.get_transaction_receipt(transaction).await;
            let newest = self.provider.get_block_number().await.map_err(|error| again(&error))?;
            if let Some(receipt) = receipt.map_err(|error| again(&error))? {
                let block = receipt.block_number.unwrap_or(u64::MAX);
                if block.saturating_add(self.confirmations) <= newest {
                    return Ok(if receipt.status() {
                        Answer::new("sent", json!({ "tx": transaction.to_string() }))
                    } else {
                        rejected("the transaction was reverted")
                    });
                }
            }
            if tokio::time::Instant::now() > deadline {
                return Err(Trouble::Again("the transaction is not final yet".to_owned()));
            }
            tokio::time::sleep(LOOK_EVERY).await;
        }
    }

    /// What happened in the blocks from `from` on that have their confirmations, and the next block.
    async fn look(&self, from: u64) -> Result<(Vec<Sighting>, u64)> {
        let newest = self.provider.get_block_number().await?;
        let Some(last) = newest.checked_sub(self.confirmations).filter(|last| *last >= from) else {
            return Ok((Vec::new(), from));
        };
        let last = last.min(from.saturating_add(BLOCKS_MAX - 1));
        let mut seen = Vec::new();
        for number in from..=last {
            let block = self.provider.get_block_by_number(BlockNumberOrTag::Number(number)).full();
            let block = block.await?.context("a block is missing")?;
            for transaction in block.transactions.txns() {
                let Some(to) = transaction.to() else { continue };
                if transaction.value() == U256::ZERO || !self.wallet.is_ours(&to)? {
                    continue;
                }
                let hash = transaction.tx_hash().to_string();
                seen.push(Sighting {
                    kind: "received".to_owned(),
                    id: hash.clone(),
                    data: json!({
                        "to": to.to_string(), "from": transaction.from().to_string(),
                        "amount": transaction.value().to_string(), "tx": hash,
                    }),
                });
            }
        }
        if !self.logs.is_empty() {
            let filter = Filter::new().address(self.logs.clone()).from_block(from).to_block(last);
            for log in self.provider.get_logs(&filter).await? {
                let hash = log.transaction_hash.unwrap_or_default().to_string();
                let index = log.log_index.unwrap_or_default();
                let topics: Vec<String> = log.topics().iter().map(ToString::to_string).collect();
                seen.push(Sighting {
                    kind: "log".to_owned(),
                    id: format!("{hash} {index}"),
                    data: json!({
                        "contract": log.address().to_string(), "topics": topics,
                        "data": log.data().data.to_string(), "tx": hash,
                    }),
                });
            }
        }
        Ok((seen, last + 1))
    }

    async fn watch_blocks(&self, outbox: &Outbox) -> Result<()> {
        let memory = outbox.memory();
        let mut next = match memory.note("next block")? {
            Some(text) => text.parse().context("the next block is damaged")?,
            None => self.provider.get_block_number().await?.saturating_sub(self.confirmations),
        };
        loop {
            let (seen, after) = self.look(next).await?;
            for sighting in seen {
                outbox.add(sighting).await?;
            }
            if after != next {
                next = after;
                memory.set_note("next block", &next.to_string())?;
            }
            tokio::time::sleep(LOOK_EVERY).await;
        }
    }
}

/// Under which a task's transaction is kept.
fn note(task: &Task) -> String {
    format!("transaction {}", task.key)
}

#[async_trait]
impl Bridge for Chain {
    async fn task(&self, task: Task) -> Result<Answer, Trouble> {
        if task.name == "create_address" {
            return self.wallet.create(&task);
        }
        let (to, amount) = match (address(&task, "to"), amount(&task)) {
            (Ok(to), Ok(amount)) => (to, amount),
            (Err(rejected), _) | (_, Err(rejected)) => return Ok(rejected),
        };
        let request = match task.name.as_str() {
            "transfer" => TransactionRequest::default().with_to(to).with_value(amount),
            "erc20_transfer" => match address(&task, "token") {
                Ok(token) => {
                    let call = transferCall { to, amount }.abi_encode();
                    TransactionRequest::default().with_to(token).with_input(call)
                }
                Err(rejected) => return Ok(rejected),
            },
            other => return Err(Trouble::Never(format!("ethereum has no task '{other}'"))),
        };
        self.transfer(&task, request).await
    }

    fn watch(self: Arc<Self>, outbox: Outbox) {
        tokio::spawn(async move {
            loop {
                if let Err(error) = self.watch_blocks(&outbox).await {
                    tracing::warn!(%error, "the chain is away; it is looked at again");
                }
                tokio::time::sleep(Duration::from_secs(1)).await;
            }
        });
    }
}
