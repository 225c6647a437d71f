//! What to call a node: `node 3` in a development network, else its address.

use std::collections::BTreeMap;

use althing_keys::NodeKeys;
use althing_types::Address;

use crate::home::Home;

/// The nodes that have a name here.
#[derive(Debug, Default)]
pub(crate) struct Names(BTreeMap<Address, String>);

impl Names {
    /// The nodes of the development network that this folder belongs to, if it does.
    pub(crate) fn of(home: &Home) -> Self {
        let folders =
            home.preferences().map(|preferences| preferences.dev_nodes).unwrap_or_default();
        let named = folders.iter().enumerate().filter_map(|(index, folder)| {
            // A node whose keys are gone is called by its address.
            let keys = NodeKeys::load(folder).ok()?;
            Some((keys.account.address(), format!("node {}", index + 1)))
        });
        Self(named.collect())
    }

    /// What to call this node.
    pub(crate) fn name(&self, node: &Address) -> String {
        self.0.get(node).cloned().unwrap_or_else(|| node.to_string())
    }

    /// Its name with its address, if it has a name.
    pub(crate) fn full(&self, node: &Address) -> String {
        match self.0.get(node) {
            Some(name) => format!("{name} ({node})"),
            None => node.to_string(),
        }
    }

    #[cfg(test)]
    pub(crate) fn given(named: &[(Address, &str)]) -> Self {
        Self(named.iter().map(|(node, name)| (*node, (*name).to_owned())).collect())
    }
}
