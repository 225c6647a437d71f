//! Which services there are, and who offers them.

use althing_api::client::Client;
use althing_api::wire::{Offer, OfferStatus, Service, ServiceTerms, Verification};
use althing_api::{Cut, PAGE_MAX, ServiceKey};
use althing_manifest::Manifest;
use anyhow::Result;
use clap::Args;
use serde::Serialize;

use crate::home::Home;
use crate::names::Names;
use crate::output::{Output, table};

/// List the services that are published.
#[derive(Debug, Args)]
pub(crate) struct List {
    /// At most so many.
    #[arg(long, default_value_t = 1000, value_name = "N")]
    limit: usize,
}

impl List {
    pub(super) fn run(self, home: &Home, output: Output) -> Result<()> {
        let client = home.client()?;
        let (mut found, mut after) = (Vec::new(), None);
        while found.len() < self.limit {
            let cut = Cut { after, limit: (self.limit - found.len()).min(PAGE_MAX) };
            let page = client.services(cut)?;
            found.extend(page.items);
            after = page.next.map(|next| next.0);
            if after.is_none() {
                break;
            }
        }
        output.print(&found, |found| list(found))
    }
}

fn list(services: &[Service]) -> String {
    let row = |service: &Service| {
        let tasks: Vec<String> =
            service.terms.tasks.iter().map(|task| task.name.to_string()).collect();
        vec![
            service.terms.alias.to_string(),
            service.offers.to_string(),
            tasks.join(", "),
            service.id.to_string(),
        ]
    };
    let rows: Vec<Vec<String>> = services.iter().map(row).collect();
    table(&["service", "offers", "tasks", "id"], &rows)
}

/// Show a service: its tasks, and the nodes that offer it.
#[derive(Debug, Args)]
pub(crate) struct Show {
    /// `namespace/name@version`, or the id.
    service: ServiceKey,
}

#[derive(Serialize)]
struct Shown {
    id: String,
    developer: String,
    published: u64,
    terms: ServiceTerms,
    /// With all schemas; absent if the node does not have it.
    manifest: Option<serde_json::Value>,
    offers: Vec<Offer>,
}

impl Show {
    pub(super) fn run(self, home: &Home, output: Output) -> Result<()> {
        let client = home.client()?;
        let service = client.service(&self.service)?;
        let offers = client.offers(&ServiceKey::Id(service.id.0))?;
        let manifest = manifest(&client, &service)?
            .map(|manifest| serde_json::from_slice(&manifest.canonical()))
            .transpose()?;
        let shown = Shown {
            id: service.id.to_string(),
            developer: service.developer.to_string(),
            published: service.published,
            terms: service.terms,
            manifest,
            offers,
        };
        let names = Names::of(home);
        output.print(&shown, |shown| text(shown, &names))
    }
}

/// The manifest of a service; `None` if the node does not have it, or not one that can be read.
pub(crate) fn manifest(client: &Client, service: &Service) -> Result<Option<Manifest>> {
    match client.blob(&service.terms.manifest.hash) {
        Ok(bytes) => Ok(Manifest::from_canonical(&bytes).ok()),
        Err(error) if error.is_not_found() => Ok(None),
        Err(error) => Err(error.into()),
    }
}

fn text(shown: &Shown, names: &Names) -> String {
    let terms = &shown.terms;
    let mut text = format!(
        "{}\n  id         {}\n  developer  {}, in block {}\n  runs as    {}\n  least stake {}\n\n",
        terms.alias,
        shown.id,
        names.full(&parsed(&shown.developer)),
        shown.published,
        terms.module.as_ref().map_or_else(
            || "a program of each node's own".to_owned(),
            |module| format!("a component of {} bytes", module.bytes),
        ),
        terms.stake_min,
    );
    let rows: Vec<Vec<String>> = terms
        .tasks
        .iter()
        .map(|task| {
            let statuses: Vec<String> = task.statuses.iter().map(ToString::to_string).collect();
            let checked = match task.verification {
                Verification::Deterministic => "executed again".to_owned(),
                Verification::Method => format!("verified, for {}", task.check_price),
                Verification::None => "nobody".to_owned(),
            };
            vec![task.name.to_string(), statuses.join(" | "), task.price.to_string(), checked]
        })
        .collect();
    text.push_str(&table(&["task", "statuses", "price", "checked"], &rows));
    for task in shown.manifest.iter().flat_map(|manifest| manifest["tasks"].as_array()).flatten() {
        text.push_str(&format!(
            "  inputs of {}: {}\n",
            task["name"].as_str().unwrap_or("?"),
            task["inputs"]
        ));
    }
    text.push('\n');
    let rows: Vec<Vec<String>> = shown
        .offers
        .iter()
        .map(|offer| {
            vec![
                names.full(&offer.node),
                status(&offer.status),
                offer.stake.to_string(),
                millionths(offer.executor.right + offer.checker.right),
                millionths(offer.executor.wrong + offer.checker.wrong),
                millionths(offer.executor.absent + offer.checker.absent),
                offer.fined.to_string(),
                offer.earned.to_string(),
                offer.labels.iter().map(ToString::to_string).collect::<Vec<_>>().join(", "),
            ]
        })
        .collect();
    text.push_str(&table(
        &["offered by", "state", "stake", "right", "wrong", "absent", "fined", "earned", "labels"],
        &rows,
    ));
    text
}

fn parsed(address: &str) -> althing_types::Address {
    address.parse().unwrap_or_default()
}

/// A count that decays, with one decimal.
fn millionths(count: u64) -> String {
    format!("{}.{}", count / 1_000_000, count % 1_000_000 / 100_000)
}

fn status(status: &OfferStatus) -> String {
    match status {
        OfferStatus::Active => "active".to_owned(),
        OfferStatus::Suspended => "suspended".to_owned(),
        OfferStatus::Leaving { due } => format!("leaving, paid at {due}"),
        OfferStatus::Gone => "gone".to_owned(),
    }
}
