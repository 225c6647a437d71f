//! What an application file may name: what a node knows, or what lies beside the file.

use std::collections::BTreeMap;
use std::path::Path;

use althing_api::client::Client;
use althing_api::wire::{ApplicationState, Visibility};
use althing_api::{Cut, PAGE_MAX};
use althing_application::{
    ApplicationFile, Compiled, Reference, Resolved, Services, Unresolved, newest,
};
use althing_manifest::{Manifest, ServiceFile};
use althing_types::{Address, Alias, Hash};
use anyhow::{Context as _, Result};

use crate::failure::Failure;
use crate::patience::Patience;

/// Most services and applications that are looked at.
const ENTRIES_MAX: usize = 100_000;

/// What the references of one file stand for.
#[derive(Debug, Default)]
pub(crate) struct Registry {
    known: Vec<Alias>,
    found: BTreeMap<String, Resolved>,
}

impl Services for Registry {
    fn resolve(&self, reference: &Reference) -> Result<Resolved, Unresolved> {
        self.found.get(&reference.to_string()).cloned().ok_or_else(|| Unresolved {
            known: self.known.iter().map(ToString::to_string).collect(),
        })
    }
}

/// Where an entry is to be had.
enum Place {
    Service { id: Hash, manifest: Hash },
    Application { id: Hash, document: Hash },
}

impl Registry {
    /// Asks a node for what the file names; of applications, public ones and those of `owner`.
    pub(crate) fn of_node(
        client: &Client,
        file: &ApplicationFile,
        owner: Option<Address>,
    ) -> Result<Self> {
        let places = places(client, owner)?;
        let mut registry = Self { known: places.keys().cloned().collect(), found: BTreeMap::new() };
        for (_, reference) in file.services() {
            let Some(place) = newest(reference, places.keys()).and_then(|it| places.get(it)) else {
                continue;
            };
            let resolved = match place {
                Place::Service { id, manifest } => {
                    let bytes = Patience::short().ask(|| client.blob(manifest))?;
                    let manifest = Manifest::from_canonical(&bytes)
                        .with_context(|| format!("reading the manifest of {reference}"))?;
                    Resolved::Service { id: *id, manifest: Box::new(manifest) }
                }
                Place::Application { id, document } => {
                    let bytes = Patience::short().ask(|| client.blob_of(id, document))?;
                    let compiled = Compiled::from_document(&bytes)
                        .with_context(|| format!("reading the application {reference}"))?;
                    // What returns nothing cannot be used as a task.
                    let Some(interface) = compiled.parsed().interface() else { continue };
                    Resolved::Application { id: *id, interface }
                }
            };
            registry.found.insert(reference.to_string(), resolved);
        }
        Ok(registry)
    }

    /// Reads the manifests of the folders in `folder`. Components are not built: what a service
    /// takes and returns does not depend on them.
    pub(crate) fn of_folder(folder: &Path, file: &ApplicationFile) -> Result<Self> {
        let mut manifests = BTreeMap::new();
        for path in manifests_in(folder)? {
            let text = std::fs::read_to_string(&path)
                .with_context(|| format!("reading {}", path.display()))?;
            let service = ServiceFile::parse(&path.display().to_string(), &text)?;
            let manifest = service.into_manifest(&[]);
            manifests.insert(manifest.service.clone(), manifest);
        }
        let mut registry =
            Self { known: manifests.keys().cloned().collect(), found: BTreeMap::new() };
        for (_, reference) in file.services() {
            let newest = newest(reference, manifests.keys());
            if let Some(manifest) = newest.and_then(|alias| manifests.get(alias)) {
                let (id, manifest) = (manifest.id(), Box::new(manifest.clone()));
                registry.found.insert(reference.to_string(), Resolved::Service { id, manifest });
            }
        }
        Ok(registry)
    }
}

/// The files `service.yml` of the folders in `folder`, by name.
pub(crate) fn manifests_in(folder: &Path) -> Result<Vec<std::path::PathBuf>> {
    let entries = match std::fs::read_dir(folder) {
        Ok(entries) => entries,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(error) => {
            return Err(error).with_context(|| format!("listing {}", folder.display()));
        }
    };
    let mut found = Vec::new();
    for entry in entries {
        let path = entry?.path().join("service.yml");
        if path.is_file() {
            found.push(path);
        }
    }
    found.sort();
    Ok(found)
}

fn places(client: &Client, owner: Option<Address>) -> Result<BTreeMap<Alias, Place>> {
    let mut places = BTreeMap::new();
    let (mut after, mut asked) = (None, 0);
    while asked < ENTRIES_MAX {
        let cut = Cut { after, limit: PAGE_MAX };
        let page = Patience::short().ask(|| client.services(cut))?;
        asked += page.items.len();
        for service in page.items {
            let (id, manifest) = (service.id.0, service.terms.manifest.hash.0);
            places.insert(service.terms.alias.0, Place::Service { id, manifest });
        }
        after = page.next.map(|next| next.0);
        if after.is_none() {
            break;
        }
    }
    let (mut after, mut asked) = (None, 0);
    while asked < ENTRIES_MAX {
        let cut = Cut { after, limit: PAGE_MAX };
        let page = Patience::short().ask(|| client.applications(None, cut))?;
        asked += page.items.len();
        for application in page.items {
            let usable = application.terms.visibility == Visibility::Public
                || owner == Some(application.owner.0);
            if usable && application.state != ApplicationState::Removed {
                let (id, document) = (application.id.0, application.terms.document.hash.0);
                // A service of that name was there first.
                places
                    .entry(application.terms.alias.0)
                    .or_insert(Place::Application { id, document });
            }
        }
        after = page.next.map(|next| next.0);
        if after.is_none() {
            break;
        }
    }
    Ok(places)
}

/// Reads an application file; `path` may be its folder.
pub(crate) fn read(path: &Path) -> Result<(std::path::PathBuf, ApplicationFile)> {
    let path = if path.is_dir() { path.join("app.yaml") } else { path.to_owned() };
    let text = std::fs::read_to_string(&path).map_err(|error| {
        let message = format!("{} cannot be read: {error}", path.display());
        let hint =
            "name an application file, or a folder with app.yaml; `althing app new` makes one";
        Failure::new("CLI-0029", message, hint)
    })?;
    let file = ApplicationFile::parse(&path.display().to_string(), &text)?;
    Ok((path, file))
}
