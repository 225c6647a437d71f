//! The secrets of applications as the HTTP interface sees them: names, and never a value.

use std::collections::BTreeSet;

use althing_api::{Answer, ApplicationKey, NodeError, Secrets, wire};
use althing_application::Compiled;
use althing_ledger::{ApplicationRecord, query};
use althing_replica::Reader;
use althing_types::{Address, EndpointId, Name};
use zeroize::Zeroizing;

use crate::secrets::SecretError;
use crate::view::{NodeView, blocking, failed, missing};
use crate::view_work::is_visible;

fn refused(error: SecretError) -> NodeError {
    match error {
        SecretError::TooMany => {
            NodeError::Busy { what: "the node keeps as many secrets as it may" }
        }
        SecretError::Length => {
            NodeError::NotAllowed { what: "a secret is a text of 1 to 4096 bytes" }
        }
        error @ (SecretError::Exposed { .. }
        | SecretError::Damaged { .. }
        | SecretError::Io { .. }) => failed(error),
    }
}

/// The application, for its owner, at its home.
fn own(
    reader: &Reader,
    endpoint: &EndpointId,
    viewer: Option<Address>,
    key: &ApplicationKey,
) -> Result<ApplicationRecord, NodeError> {
    let absent = || missing(format!("application {key}"));
    let view = reader.view();
    let id = match key {
        ApplicationKey::Id(id) => *id,
        ApplicationKey::Alias(alias) => {
            query::application_alias(&view, alias).map_err(failed)?.ok_or_else(absent)?
        }
    };
    let record = query::application(&view, &id).map_err(failed)?;
    let record = record.filter(|record| is_visible(record, viewer)).ok_or_else(absent)?;
    if viewer != Some(record.owner) {
        return Err(NodeError::NotAllowed { what: "only the owner of an application may do that" });
    }
    if record.terms.home != *endpoint {
        let what =
            "this node is not the application's home: ask the one that it was deployed through";
        return Err(NodeError::NotAllowed { what });
    }
    Ok(record)
}

impl Secrets for NodeView {
    fn list(
        &self,
        viewer: Option<Address>,
        key: ApplicationKey,
    ) -> Answer<'_, Vec<wire::SecretName>> {
        let (reader, endpoint) = (self.reader(), self.endpoint);
        let (store, blobs) = (self.secrets.clone(), self.blobs.clone());
        Box::pin(blocking(move || {
            let record = own(&reader, &endpoint, viewer, &key)?;
            let document =
                blobs.get_of(&[record.id], &record.terms.document.hash).map_err(failed)?;
            let document =
                document.ok_or_else(|| missing("the application's document".to_owned()))?;
            let compiled = Compiled::from_document(&document).map_err(failed)?;
            let asked: BTreeSet<String> =
                compiled.parsed().secrets().into_iter().map(ToString::to_string).collect();
            let set: BTreeSet<String> = store.names(&record).into_iter().collect();
            let told = asked.union(&set).map(|name| wire::SecretName {
                name: name.clone(),
                asked: asked.contains(name),
                set: set.contains(name),
            });
            Ok(told.collect())
        }))
    }

    fn set(
        &self,
        viewer: Option<Address>,
        key: ApplicationKey,
        name: Name,
        value: Zeroizing<String>,
    ) -> Answer<'_, ()> {
        let (reader, endpoint, store) = (self.reader(), self.endpoint, self.secrets.clone());
        Box::pin(blocking(move || {
            let record = own(&reader, &endpoint, viewer, &key)?;
            store.set(&record, &name, value).map_err(refused)
        }))
    }

    fn forget(&self, viewer: Option<Address>, key: ApplicationKey, name: Name) -> Answer<'_, ()> {
        let (reader, endpoint, store) = (self.reader(), self.endpoint, self.secrets.clone());
        Box::pin(blocking(move || {
            let record = own(&reader, &endpoint, viewer, &key)?;
            let known = store.forget(&record, &name).map_err(refused)?;
            known.then_some(()).ok_or_else(|| missing(format!("secret {name} of {key}")))
        }))
    }
}
