//! A chain without a chain: transfers are lines of a file, payments are posted by hand.

use std::sync::Arc;

use alloy::primitives::{Address, U256, keccak256};
use anyhow::Result;
use async_trait::async_trait;
use axum::Router;
use axum::extract::State;
use axum::http::StatusCode;
use axum::response::{IntoResponse as _, Response};
use axum::routing::{get, post};
use serde::Deserialize;
use serde_json::json;

use super::{Wallet, address, amount};
use crate::lines::Lines;
use crate::{Answer, Bridge, Outbox, Setup, Sighting, Task, Trouble};

pub(super) struct Twin {
    wallet: Wallet,
    transfers: Lines,
}

impl Twin {
    pub(super) fn open(wallet: Wallet, setup: &Setup) -> Result<Self> {
        let transfers = Lines::open(&setup.folder.join("transfers.jsonl"), "tx")?;
        Ok(Self { wallet, transfers })
    }

    fn transfer(&self, task: &Task) -> Result<Answer, Trouble> {
        let checked = (|| {
            if task.name == "erc20_transfer" {
                address(task, "token")?;
            }
            Ok((address(task, "to")?, amount(task)?))
        })();
        let (to, amount) = match checked {
            Ok(checked) => checked,
            Err(rejected) => return Ok(rejected),
        };
        let transaction = keccak256(&task.key).to_string();
        let line = |_| {
            let token = task.input.get("token");
            json!({ "to": to.to_string(), "amount": amount.to_string(), "token": token })
        };
        let kept = self.transfers.add(&transaction, line);
        kept.map_err(|error| Trouble::Again(error.to_string()))?;
        Ok(Answer::new("sent", json!({ "tx": transaction })))
    }
}

#[async_trait]
impl Bridge for Twin {
    async fn task(&self, task: Task) -> Result<Answer, Trouble> {
        match task.name.as_str() {
            "create_address" => self.wallet.create(&task),
            "transfer" | "erc20_transfer" => self.transfer(&task),
            other => Err(Trouble::Never(format!("ethereum has no task '{other}'"))),
        }
    }

    fn routes(self: Arc<Self>, outbox: Outbox) -> Router {
        let shown = get(async move || axum::Json(self.transfers.all()));
        Router::new().route("/transfers", shown).route("/pay", post(pay)).with_state(outbox)
    }
}

#[derive(Deserialize)]
struct Payment {
    to: String,
    amount: String,
    /// The transaction; equal ones are one payment.
    tx: Option<String>,
}

async fn pay(State(outbox): State<Outbox>, payment: axum::Json<Payment>) -> Response {
    let axum::Json(Payment { to, amount, tx }) = payment;
    let refused = |why: String| (StatusCode::UNPROCESSABLE_ENTITY, why).into_response();
    // As a chain writes it: waits are found by the text.
    let Ok(to) = to.parse::<Address>() else { return refused(format!("'{to}' is no address")) };
    if U256::from_str_radix(&amount, 10).is_err() {
        return refused(format!("'{amount}' is no whole amount"));
    }
    let to = to.to_string();
    let tx = tx.unwrap_or_else(|| keccak256(format!("{to} {amount}")).to_string());
    let sighting = Sighting {
        kind: "received".to_owned(),
        id: tx.clone(),
        data: json!({ "to": to, "from": "0x0000000000000000000000000000000000000000",
                      "amount": amount, "tx": tx }),
    };
    match outbox.add(sighting).await {
        Ok(fresh) => {
            (StatusCode::ACCEPTED, axum::Json(json!({ "duplicate": !fresh }))).into_response()
        }
        Err(error) => (StatusCode::SERVICE_UNAVAILABLE, error.to_string()).into_response(),
    }
}
