//! Builds a service, uploads it and registers it.

use std::path::PathBuf;

use althing_api::ServiceKey;
use althing_api::wire::TransactionReceipt;
use althing_types::{Operation, Publish as PublishOperation};
use anyhow::Result;
use clap::Args;
use serde::Serialize;

use super::build::build;
use crate::home::Home;
use crate::output::Output;
use crate::patience::Patience;
use crate::sign::{Fee, Signer, told};

/// Build a service, upload it and register it.
#[derive(Debug, Args)]
pub(crate) struct Publish {
    /// The folder with `service.yml`.
    dir: PathBuf,
    #[command(flatten)]
    fee: Fee,
}

#[derive(Serialize)]
struct Published {
    service: String,
    id: String,
    /// Absent for a native service.
    #[serde(skip_serializing_if = "Option::is_none")]
    module: Option<String>,
    bytes: usize,
    /// Absent if the very same service had been published before.
    transaction: Option<TransactionReceipt>,
}

impl Publish {
    pub(super) fn run(self, home: &Home, output: Output) -> Result<()> {
        let built = build(&self.dir, output)?;
        let (client, patience) = (home.client()?, Patience::short());
        // Blobs first: once the service is on the ledger, nodes want to fetch them.
        if let Some(component) = &built.component {
            patience.ask(|| client.put_blob(component))?;
        }
        patience.ask(|| client.put_blob(&built.manifest.canonical()))?;
        let id = built.manifest.id();
        let transaction = match patience.ask(|| client.service(&ServiceKey::Id(id))) {
            Ok(_) => None,
            Err(error) if error.is_not_found() => {
                let signer = Signer::new(&client, home.signer()?, self.fee)?;
                let terms = built.manifest.terms();
                Some(
                    signer
                        .carry_out(Operation::Publish(PublishOperation { terms: terms.into() }))?,
                )
            }
            Err(error) => return Err(error.into()),
        };
        let published = Published {
            service: built.manifest.service.to_string(),
            id: id.to_string(),
            module: built.manifest.module.map(|module| module.hash.to_string()),
            bytes: built.component.as_ref().map_or(0, Vec::len),
            transaction,
        };
        output.print(&published, |published| {
            let how = published.transaction.as_ref().map_or_else(
                || "was published before; its files are uploaded again".to_owned(),
                told,
            );
            format!("{}\n  id  {}\n  {how}", published.service, published.id)
        })
    }
}
