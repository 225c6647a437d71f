//! `ethereum`: addresses, transfers, payments and contracts' logs of an EVM chain.
//!
//! Settings: `{"rpc": "https://…", "key": "0x…", "confirmations": 12, "logs": ["0x…"]}`; without a `key`
//! the bridge makes one. Addresses derive from the bridge's seed and the idempotency key, so a
//! repeated `create_address` gives the same one. A transaction is kept signed before it is sent and
//! only ever sent again as it is: it happens at most once. A payment's id is its transaction, a log's
//! is its transaction and index; both are told of after the confirmations. The twin is a chain in a
//! file: `POST /pay {to, amount}` is a payment, `/transfers` shows what was sent.

mod chain;
mod twin;

use std::sync::Arc;

use alloy::primitives::{Address, B256, U256, keccak256};
use alloy::signers::local::PrivateKeySigner;
use anyhow::{Context as _, Result};
use serde_json::json;

use crate::{Answer, Bridge, Memory, Setup, Task, Trouble};

pub(super) fn open(setup: &Setup, memory: &Memory) -> Result<Arc<dyn Bridge>> {
    let wallet = Wallet::open(memory.clone())?;
    Ok(if setup.twin {
        Arc::new(twin::Twin::open(wallet, setup)?)
    } else {
        Arc::new(chain::Chain::open(wallet, setup)?)
    })
}

/// Addresses that the bridge has made.
struct Wallet {
    seed: B256,
    memory: Memory,
}

impl Wallet {
    fn open(memory: Memory) -> Result<Self> {
        let seed = match memory.note("seed")? {
            Some(text) => text.parse().context("the seed is damaged")?,
            None => {
                let mut bytes = [0; 32];
                getrandom::fill(&mut bytes).map_err(|error| anyhow::anyhow!("entropy: {error}"))?;
                let seed = B256::from(bytes);
                memory.set_note("seed", &seed.to_string())?;
                seed
            }
        };
        Ok(Self { seed, memory })
    }

    /// The signer of a purpose: always the same one.
    fn signer(&self, purpose: &str) -> Result<PrivateKeySigner, Trouble> {
        let secret = keccak256([self.seed.as_slice(), purpose.as_bytes()].concat());
        PrivateKeySigner::from_bytes(&secret).map_err(|error| Trouble::Never(error.to_string()))
    }

    fn create(&self, task: &Task) -> Result<Answer, Trouble> {
        let address = self.signer(&task.key)?.address();
        self.memory
            .set_note(&format!("address {address}"), &task.key)
            .map_err(|error| Trouble::Again(error.to_string()))?;
        Ok(Answer::new("ok", json!({ "address": address.to_string() })))
    }

    fn is_ours(&self, address: &Address) -> Result<bool> {
        Ok(self.memory.note(&format!("address {address}"))?.is_some())
    }
}

/// A property of the input that is an address.
fn address(task: &Task, name: &str) -> Result<Address, Answer> {
    let text = task.text(name);
    text.parse().map_err(|_| rejected(&format!("`{name}` '{text}' is no address")))
}

/// The amount of the input, in the token's smallest unit.
fn amount(task: &Task) -> Result<U256, Answer> {
    let text = task.text("amount");
    U256::from_str_radix(text, 10).map_err(|_| rejected(&format!("'{text}' is no whole amount")))
}

fn rejected(why: &str) -> Answer {
    Answer::new("rejected", json!({ "reason": why }))
}
