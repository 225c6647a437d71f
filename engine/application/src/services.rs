//! The registry, as far as a file needs it: a port.

use althing_manifest::Manifest;
use althing_types::{Alias, Hash};
use semver::Version;

use crate::document::Interface;
use crate::file::Reference;

/// Finds services and public applications by what people call them.
pub trait Services {
    /// The newest version in the reference's range.
    ///
    /// # Errors
    ///
    /// [`Unresolved`] if there is none.
    fn resolve(&self, reference: &Reference) -> Result<Resolved, Unresolved>;
}

/// What a reference stands for.
#[derive(Clone, Debug)]
pub enum Resolved {
    /// A service.
    Service {
        /// The hash of its manifest.
        id: Hash,
        /// What it can do.
        manifest: Box<Manifest>,
    },
    /// A public application.
    Application {
        /// Its id on the ledger.
        id: Hash,
        /// What it takes and returns.
        interface: Interface,
    },
}

/// Nothing has such a name and version.
#[derive(Clone, Debug, Default)]
pub struct Unresolved {
    /// What there is, as `namespace/name@version`.
    pub known: Vec<String>,
}

/// A registry in memory.
#[derive(Clone, Debug, Default)]
pub struct Catalogue {
    entries: Vec<(Alias, Resolved)>,
}

impl Catalogue {
    /// Adds a service.
    pub fn add_service(&mut self, manifest: Manifest) {
        let resolved =
            Resolved::Service { id: manifest.id(), manifest: Box::new(manifest.clone()) };
        self.entries.push((manifest.service, resolved));
    }

    /// Adds a public application.
    pub fn add_application(&mut self, alias: Alias, id: Hash, interface: Interface) {
        self.entries.push((alias, Resolved::Application { id, interface }));
    }
}

impl Services for Catalogue {
    fn resolve(&self, reference: &Reference) -> Result<Resolved, Unresolved> {
        let newest = newest(reference, self.entries.iter().map(|(alias, _)| alias));
        let found =
            newest.and_then(|newest| self.entries.iter().find(|(alias, _)| alias == newest));
        found.map(|(_, resolved)| resolved.clone()).ok_or_else(|| Unresolved {
            known: self.entries.iter().map(|(alias, _)| alias.to_string()).collect(),
        })
    }
}

/// The newest of the aliases that a reference allows.
#[must_use]
pub fn newest<'a>(
    reference: &Reference,
    aliases: impl Iterator<Item = &'a Alias>,
) -> Option<&'a Alias> {
    let versions = aliases.filter_map(|alias| {
        let named = alias.namespace == reference.namespace && alias.name == reference.name;
        let version = Version::parse(alias.version.as_str()).ok().filter(|_| named)?;
        reference.range.matches(&version).then_some((version, alias))
    });
    versions.max_by(|(a, _), (b, _)| a.cmp(b)).map(|(_, alias)| alias)
}
