//! A transaction as EIP-712 typed data, for wallets (`eth_signTypedData_v4`).

use althing_types as core;
use althing_types::{Eip712, canonical, keccak};
use serde::{Deserialize, Serialize};
use serde_json::json;
use utoipa::ToSchema;

use super::text::HashText;

/// What a wallet shows and signs.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct TypedData {
    /// Give this to the wallet.
    #[schema(value_type = Object)]
    pub typed_data: serde_json::Value,
    /// What its signature must be over.
    pub digest: HashText,
}

/// The typed data of a transaction, with its digest.
#[must_use]
pub fn typed_data(transaction: &core::Transaction) -> TypedData {
    let texts: Vec<String> = transaction.operations.iter().map(ToString::to_string).collect();
    let content = keccak(&[&canonical::encode(&transaction.operations)]);
    let field = |name: &str, kind: &str| json!({ "name": name, "type": kind });
    let data = json!({
        "types": {
            "EIP712Domain": [
                field("name", "string"),
                field("version", "string"),
                field("chainId", "uint256"),
            ],
            "Transaction": [
                field("account", "address"),
                field("nonce", "uint64"),
                field("expires", "uint64"),
                field("atomic", "bool"),
                field("feeLimit", "uint256"),
                field("operations", "string[]"),
                field("content", "bytes32"),
            ],
        },
        "primaryType": "Transaction",
        "domain": { "name": "Althing", "version": "1", "chainId": transaction.chain.0 },
        "message": {
            "account": transaction.account.to_string(),
            "nonce": transaction.nonce.to_string(),
            "expires": transaction.expires.to_string(),
            "atomic": transaction.atomic,
            "feeLimit": transaction.fee_limit.base_units().to_string(),
            "operations": texts,
            "content": content.to_string(),
        },
    });
    let digest = transaction.digest(&Eip712::new(transaction.chain)).into();
    TypedData { typed_data: data, digest }
}
