//! Checks and deploys an application file.

use std::path::PathBuf;

use althing_api::client::Client;
use althing_api::wire::{Application, ApplicationState, HashText, Plan, TransactionReceipt};
use althing_api::{ApplicationKey, Cut, PAGE_MAX};
use althing_application::{ApplicationFile, Compiled, FileVisibility};
use althing_keys::AccountKey;
use althing_types::{
    Address, Alias, Amount, ApplicationTerms, Deploy as DeployOperation, Hash, Name, Operation,
    Visibility, application_id,
};
use anyhow::{Context as _, Result};
use clap::Args;
use serde::Serialize;

use super::check::{Configured, checked};
use super::guarantee::{Change, Prices, changes};
use super::registry::{Registry, read};
use crate::failure::Failure;
use crate::home::Home;
use crate::output::Output;
use crate::patience::Patience;
use crate::sign::{Fee, Signer, told};

/// Check and deploy an application file.
#[derive(Debug, Args)]
pub(crate) struct Deploy {
    /// The file, or a folder with `app.yaml`.
    #[arg(default_value = ".")]
    path: PathBuf,
    /// The first part of its name among people: NAMESPACE/app@version [default: the account's name].
    #[arg(long, value_name = "NAME")]
    namespace: Option<Name>,
    /// Tokens for its runs.
    #[arg(long, default_value = "0", value_name = "TOKENS")]
    deposit: Amount,
    /// Take the place of your application of this name: that one starts no more runs.
    #[arg(long)]
    replace: bool,
    #[command(flatten)]
    configured: Configured,
    #[command(flatten)]
    fee: Fee,
}

/// What was deployed.
#[derive(Debug, Serialize)]
pub(crate) struct Deployed {
    pub(crate) application: String,
    pub(crate) id: HashText,
    pub(crate) document: String,
    pub(crate) replaces: Option<String>,
    /// The owner's active application of this name that it was compared with.
    pub(crate) before: Option<String>,
    /// What steps guarantee and cost that is different there.
    pub(crate) changes: Vec<Change>,
    /// Absent if the very same application had been deployed before.
    pub(crate) transaction: Option<TransactionReceipt>,
}

/// How to deploy.
#[derive(Debug)]
pub(crate) struct Order<'a> {
    pub(crate) file: &'a ApplicationFile,
    pub(crate) compiled: &'a Compiled,
    pub(crate) namespace: Name,
    pub(crate) deposit: Amount,
    pub(crate) replace: bool,
}

impl Deploy {
    pub(super) fn run(self, home: &Home, output: Output) -> Result<()> {
        let (_, file) = read(&self.path)?;
        let key = home.signer()?;
        let client = home.viewed_by(&key)?;
        let registry = Registry::of_node(&client, &file, Some(key.address()))?;
        let checked = checked(&file, &registry, &self.configured, output)?;
        let namespace = match &self.namespace {
            Some(namespace) => namespace.clone(),
            None => own_namespace(home, &key.address())?,
        };
        let order = Order {
            file: &file,
            compiled: &checked.compiled,
            namespace,
            deposit: self.deposit,
            replace: self.replace,
        };
        let (mut deployed, before) = deploy(&client, key, self.fee, &order)?;
        if let Some(before) = before {
            let (old, new) = (&before.terms.plan, Plan::from(checked.compiled.plan().clone()));
            deployed.changes = changes(old, &new, &Prices::ask(&client, [old, &new]));
            deployed.before = Some(before.terms.alias.to_string());
        }
        output.print(&deployed, |deployed| {
            let how = deployed
                .transaction
                .as_ref()
                .map_or_else(|| "was deployed before".to_owned(), told);
            let mut text =
                format!("{}\n  id        {}\n  {how}", deployed.application, deployed.id);
            if let Some(before) = &deployed.before {
                text.push_str(&match deployed.changes.len() {
                    0 => format!("\n  guarantees and prices are those of {before}"),
                    _ => format!("\n  what changes against {before}"),
                });
            }
            for change in &deployed.changes {
                text.push_str(&format!("\n  {change}"));
            }
            text
        })
    }
}

/// The name of the account that signs, under which its applications are known.
pub(crate) fn own_namespace(home: &Home, address: &Address) -> Result<Name> {
    let accounts = home.keystore()?.list()?;
    let named = accounts.into_iter().find(|(_, known)| known == address).map(|(name, _)| name);
    named.ok_or_else(|| {
        let message = "the account has no name here to call the application by";
        Failure::new("CLI-0038", message, "give one with --namespace").into()
    })
}

/// Uploads and deploys, and gives the owner's active application of that name; the very same application is
/// deployed once.
pub(crate) fn deploy(
    client: &Client,
    key: AccountKey,
    fee: Fee,
    order: &Order<'_>,
) -> Result<(Deployed, Option<Application>)> {
    let patience = Patience::short();
    let (file, compiled) = (order.file, order.compiled);
    let alias: Alias = format!("{}/{}@{}", order.namespace, file.app, file.version)
        .parse()
        .context("naming the application")?;
    let owner = key.address();
    let id = application_id(&owner, &compiled.blob().hash);
    // The document first: once the application is on the ledger, nodes want to fetch it.
    patience.ask(|| match &file.visibility {
        FileVisibility::Public => client.put_blob(compiled.document()),
        FileVisibility::Private(_) => client.put_blob_of(&id, compiled.document()),
    })?;
    let deployed = |alias: &Alias| Deployed {
        application: alias.to_string(),
        id: id.into(),
        document: compiled.blob().hash.to_string(),
        replaces: None,
        before: None,
        changes: Vec::new(),
        transaction: None,
    };
    match patience.ask(|| client.application(&ApplicationKey::Id(id))) {
        // Its name is no part of what it is: it keeps the one under which it was deployed.
        Ok(known) if known.state == ApplicationState::Active => {
            return Ok((deployed(&known.terms.alias.0), None));
        }
        Ok(_) => {}
        Err(error) if error.is_not_found() => {}
        Err(error) => return Err(error.into()),
    }
    let before = predecessor(client, owner, &alias, &id)?;
    let replaces = before.as_ref().filter(|_| order.replace).map(|before| before.id.0);
    let home = patience.ask(|| client.status())?.endpoint.0;
    let terms = ApplicationTerms {
        alias: alias.clone(),
        document: compiled.blob(),
        home,
        visibility: match &file.visibility {
            FileVisibility::Public => Visibility::Public,
            FileVisibility::Private(grantees) => Visibility::Private(grantees.clone()),
        },
        plan: compiled.plan().clone(),
    };
    let signer = Signer::new(client, key, fee)?;
    let operation = Operation::Deploy(DeployOperation {
        terms: terms.into(),
        deposit: order.deposit,
        replaces,
    });
    let receipt = signer.carry_out(operation)?;
    let replaces = replaces.map(|replaced| replaced.to_string());
    Ok((Deployed { replaces, transaction: Some(receipt), ..deployed(&alias) }, before))
}

/// The owner's application of that name that still starts runs.
fn predecessor(
    client: &Client,
    owner: Address,
    alias: &Alias,
    id: &Hash,
) -> Result<Option<Application>> {
    let mut after = None;
    loop {
        let cut = Cut { after, limit: PAGE_MAX };
        let page = Patience::short().ask(|| client.applications(Some(owner), cut))?;
        let found = page.items.into_iter().find(|known| {
            let other = &known.terms.alias.0;
            let active = matches!(known.state, ApplicationState::Active | ApplicationState::Paused);
            active
                && known.id.0 != *id
                && (&other.namespace, &other.name) == (&alias.namespace, &alias.name)
        });
        if let Some(found) = found {
            return Ok(Some(found));
        }
        after = page.next.map(|next| next.0);
        if after.is_none() {
            return Ok(None);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Global;

    #[test]
    fn an_account_without_a_name_needs_a_namespace() {
        let folder = tempfile::tempdir().unwrap();
        let global = Global {
            json: false,
            home: Some(folder.path().to_owned()),
            node: None,
            account: None,
            password_file: None,
        };
        let home = Home::of(&global).unwrap();
        let error = own_namespace(&home, &Address([7; 20])).unwrap_err();
        let text = crate::failure::render(&error);
        assert!(text.starts_with("error[CLI-0038]"), "{text}");
    }
}
