//! What services are called: ids are for programs.

use std::cell::RefCell;
use std::collections::BTreeMap;

use althing_api::ServiceKey;
use althing_api::client::Client;
use althing_api::wire::EventName;
use althing_types::Hash;

/// Aliases of services, each asked for once.
#[derive(Debug)]
pub(crate) struct ServiceNames<'a> {
    client: &'a Client,
    known: RefCell<BTreeMap<Hash, String>>,
}

impl<'a> ServiceNames<'a> {
    pub(crate) const fn new(client: &'a Client) -> Self {
        Self { client, known: RefCell::new(BTreeMap::new()) }
    }

    /// A service's alias, or its id if the node cannot tell.
    pub(crate) fn service(&self, id: &Hash) -> String {
        let ask = || {
            let service = self.client.service(&ServiceKey::Id(*id));
            service.map_or_else(|_| id.to_string(), |service| service.terms.alias.to_string())
        };
        self.known.borrow_mut().entry(*id).or_insert_with(ask).clone()
    }

    /// The same for a drawing.
    pub(crate) fn lookup(&self) -> impl Fn(&EventName) -> String {
        move |name| self.event(name)
    }

    /// `event of service`.
    pub(crate) fn event(&self, name: &EventName) -> String {
        format!("{} of {}", name.event, self.service(&name.service))
    }
}
