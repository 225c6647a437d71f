//! A folder with `app.yaml` and `services/`: published, deployed, watched and deployed again.
//!
//! ```text
//!   services/*/service.yml ─► publish ─► offer ─► connect ─► program, or the bridge's twin
//!   app.yaml ─► check ─► deploy in place of what was deployed before
//!        ▲ changed, looked for twice a second ─┘
//! ```

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use althing_api::ServiceKey;
use althing_api::client::Client;
use althing_api::wire::CloudEvent;
use althing_application::WhereValue;
use althing_keys::NodeKeys;
use althing_manifest::{Manifest, ServiceFile, schema};
use althing_node::dev_network::DevNode;
use althing_node::folder::Folder;
use althing_types::{Amount, Hash, Offer, Operation, Plan, Publish};
use anyhow::{Context as _, Result};
use serde_json::{Value, json};

use super::programs::{Order, Program, free_address};
use crate::commands::app::{self, Configured, Registry};
use crate::commands::{program, service};
use crate::home::{Home, as_viewer};
use crate::output::Output;
use crate::patience::Patience;
use crate::sign::{Fee, Signer};

/// What a node stakes on each service of the folder.
const STAKE: Amount = Amount::from_tokens(100);
/// For how long it offers it.
const TERM_MS: u64 = 30 * 86_400_000;
/// What a version of the application begins with.
const DEPOSIT: Amount = Amount::from_tokens(1_000);
/// Most files of a service's folder that are looked at for changes.
const FILES_MAX: usize = 200;

/// The folder, as far as it has come.
pub(super) struct Workspace<'a> {
    home: &'a Home,
    folder: PathBuf,
    nodes: &'a [DevNode],
    client: Client,
    output: Output,
    programs: BTreeMap<PathBuf, Program>,
    manifests: BTreeMap<PathBuf, Manifest>,
    /// When each file was changed last.
    seen: BTreeMap<PathBuf, SystemTime>,
    deployed: Option<(Hash, Plan)>,
    /// What the application's `when` says that keys of its event must be.
    keys: Vec<(u8, Value)>,
    /// The event that was sent last, for sending it again.
    last: Option<(ServiceKey, CloudEvent)>,
    sent: u64,
}

impl<'a> Workspace<'a> {
    /// Everything in the folder, published and deployed. Mistakes are said; the folder is watched
    /// all the same.
    pub(super) fn open(
        home: &'a Home,
        folder: &Path,
        nodes: &'a [DevNode],
        output: Output,
    ) -> Result<Self> {
        let client = as_viewer(&home.client()?, &home.signer()?)?;
        let mut workspace = Self {
            home,
            folder: folder.to_owned(),
            nodes,
            client,
            output,
            programs: BTreeMap::new(),
            manifests: BTreeMap::new(),
            seen: BTreeMap::new(),
            deployed: None,
            keys: Vec::new(),
            last: None,
            sent: 0,
        };
        workspace.look();
        Ok(workspace)
    }

    /// The application, if it has been deployed.
    pub(super) const fn application(&self) -> Option<&(Hash, Plan)> {
        self.deployed.as_ref()
    }

    pub(super) const fn client(&self) -> &Client {
        &self.client
    }

    pub(super) fn programs(&self) -> impl Iterator<Item = &Program> {
        self.programs.values()
    }

    /// Takes over what has changed since the last look.
    pub(super) fn look(&mut self) {
        let manifests = match app::manifests_in(&self.folder.join("services")) {
            Ok(manifests) => manifests,
            Err(error) => return self.complain(&error),
        };
        // An application's services are chosen when it is deployed: another one is taken up then only.
        let mut renewed = false;
        for path in manifests {
            let Some(folder) = path.parent().map(Path::to_owned) else { continue };
            let manifest_changed = self.has_changed(&path);
            let files_changed = self.files_changed(&folder);
            if !manifest_changed && !files_changed {
                continue;
            }
            match self.bring_up(&folder) {
                Ok(is_new) => renewed |= is_new,
                Err(error) => self.complain(&error),
            }
        }
        let path = self.folder.join("app.yaml");
        let changed = self.has_changed(&path);
        if (changed || (renewed && path.is_file()))
            && let Err(error) = self.deploy(&path)
        {
            self.complain(&error);
        }
        let ended: Vec<PathBuf> = self
            .programs
            .iter_mut()
            .filter_map(|(folder, program)| {
                let status = program.ended()?;
                let (service, log) = (&program.service, program.log.display());
                self.output.say(&format!("the program of {service} ended: {status}; see {log}"));
                Some(folder.clone())
            })
            .collect();
        for folder in ended {
            self.programs.remove(&folder);
        }
    }

    fn complain(&self, error: &anyhow::Error) {
        self.output.say(crate::failure::render(error).trim_end());
    }

    /// Whether a file is new or other than at the last look.
    fn has_changed(&mut self, path: &Path) -> bool {
        let Ok(changed) = std::fs::metadata(path).and_then(|about| about.modified()) else {
            return false;
        };
        self.seen.insert(path.to_owned(), changed) != Some(changed)
    }

    /// Whether a file of a service changed, built ones aside.
    fn files_changed(&mut self, folder: &Path) -> bool {
        let mut folders = vec![folder.to_owned()];
        let mut files = Vec::new();
        while let Some(folder) = folders.pop() {
            for entry in std::fs::read_dir(&folder).into_iter().flatten().flatten() {
                let path = entry.path();
                let name = entry.file_name();
                let is_built = name == "target" || name == "__pycache__";
                if path.is_dir() && !is_built && folders.len() < FILES_MAX {
                    folders.push(path);
                } else if path.is_file() && files.len() < FILES_MAX {
                    files.push(path);
                }
            }
        }
        // Every file is looked at: one that changed must not hide another.
        files.iter().filter(|path| self.has_changed(path)).count() > 0
    }

    /// Publishes, offers and connects a service, and starts its program; true if the folder had
    /// another one before, or none.
    fn bring_up(&mut self, folder: &Path) -> Result<bool> {
        let built = service::build(folder, self.output)?;
        let manifest = built.manifest;
        let key = ServiceKey::Id(manifest.id());
        let (client, patience) = (&self.client, Patience::short());
        if let Some(component) = &built.component {
            patience.ask(|| client.put_blob(component))?;
        }
        patience.ask(|| client.put_blob(&manifest.canonical()))?;
        let published = match patience.ask(|| client.service(&key)) {
            Ok(_) => false,
            Err(error) if error.is_not_found() => {
                let signer = Signer::new(client, self.home.signer()?, Fee::DEFAULT)?;
                signer.carry_out(Operation::Publish(Publish { terms: manifest.terms().into() }))?;
                true
            }
            Err(error) => return Err(error.into()),
        };
        // A native service has one program, so one node offers it; a component runs everywhere.
        let offering = if manifest.module.is_some() { self.nodes.len() } else { 1 };
        for node in self.nodes.iter().take(offering) {
            self.offer(&manifest, node)?;
        }
        if manifest.module.is_none() {
            self.start_program(folder, &manifest)?;
        }
        let (service, id) = (manifest.service.clone(), manifest.id());
        let known = self.manifests.insert(folder.to_owned(), manifest);
        let is_new = known.as_ref().is_none_or(|known| known.id() != id);
        let before = known.filter(|_| is_new);
        match &before {
            // Its open runs ask for a program that is gone.
            Some(before) if before.module.is_none() => self
                .output
                .say(&format!("published {service}; {} has no program any more", before.service)),
            _ if published => self.output.say(&format!("published {service}")),
            _ => {}
        }
        Ok(is_new)
    }

    fn offer(&self, manifest: &Manifest, node: &DevNode) -> Result<()> {
        let key = ServiceKey::Id(manifest.id());
        let offers = Patience::short().ask(|| self.client.offers(&key))?;
        if offers.iter().any(|offer| offer.node.0 == node.account) {
            return Ok(());
        }
        let keys = NodeKeys::load(&node.folder)?;
        let offer = Offer {
            service: manifest.id(),
            stake: STAKE.max(manifest.stake_min),
            term_ms: TERM_MS,
            owner: node.account,
            endpoint: node.endpoint,
            labels: Folder::new(&node.folder).settings()?.labels()?,
        };
        let signer = Signer::new(&self.client, keys.account, Fee::DEFAULT)?;
        signer.carry_out(Operation::Offer(offer)).map(drop)
    }

    fn start_program(&mut self, folder: &Path, manifest: &Manifest) -> Result<()> {
        let node = self.nodes.first().context("a network has a node")?;
        let url = format!("http://{}", node.api);
        let keys = NodeKeys::load(&node.folder)?;
        let operator = as_viewer(&Client::new(&url), &keys.account)?;
        // The old one first: it may hold files that the new one needs.
        self.programs.remove(folder);
        let address = free_address()?;
        let key = ServiceKey::Id(manifest.id());
        let connection =
            Patience::short().ask(|| operator.connect(&key, &format!("http://{address}/")))?;
        program::remember(self.home, &connection)?;
        let text = std::fs::read_to_string(folder.join("service.yml"))?;
        let file = ServiceFile::parse("service.yml", &text)?;
        let order = Order {
            service: &manifest.service,
            folder,
            run: file.run(),
            state: &self.home.folder().join("programs").join(manifest.service.name.as_str()),
            node: &url,
        };
        let program = Program::start(&order, &connection, &address)?;
        self.programs.insert(folder.to_owned(), program);
        Ok(())
    }

    fn deploy(&mut self, path: &Path) -> Result<()> {
        let (_, file) = app::read(path)?;
        let key = self.home.signer()?;
        let registry = Registry::of_node(&self.client, &file, Some(key.address()))?;
        let checked = app::checked(&file, &registry, &Configured::beside(path)?, self.output)?;
        let namespace = app::own_namespace(self.home, &key.address())?;
        let order = app::Order {
            file: &file,
            compiled: &checked.compiled,
            namespace,
            deposit: DEPOSIT,
            replace: true,
        };
        let (deployed, _) = app::deploy(&self.client, key, Fee::DEFAULT, &order)?;
        let plan = checked.compiled.plan().clone();
        let keys =
            checked.compiled.parsed().when.filter.iter().filter_map(|key| match &key.value {
                WhereValue::Constant(value) => Some((key.key, value.clone())),
                WhereValue::Trigger(_) | WhereValue::Yielded { .. } => None,
            });
        self.keys = keys.collect();
        let change = match &self.deployed {
            None => format!("deployed {}", deployed.application),
            Some((_, before)) => difference(before, &plan),
        };
        self.output.say(&change);
        self.deployed = Some((deployed.id.0, plan));
        Ok(())
    }

    /// Posts an event that starts the application, made up from its schema.
    pub(super) fn send_sample(&mut self) -> Result<()> {
        let (_, plan) = self.deployed.as_ref().context("no application is deployed")?;
        let name = plan.trigger.event.as_ref().context("the application is only used as a task")?;
        let manifest = self.manifests.values().find(|manifest| manifest.id() == name.service);
        let event = manifest
            .and_then(|manifest| manifest.event(&name.event))
            .context("the event's service is not in this folder")?;
        self.sent += 1;
        let mut data = sample(&event.data, self.sent);
        for (key, value) in &self.keys {
            if let Some(name) = event.keys.get(usize::from(*key)) {
                data[name.as_str()] = value.clone();
            }
        }
        let event = CloudEvent {
            specversion: "1.0".to_owned(),
            id: format!("sample-{}-{}", althing_node::now().0, self.sent),
            source: "althing dev".to_owned(),
            kind: name.event.clone().into(),
            data,
        };
        self.last = Some((ServiceKey::Id(name.service), event));
        self.send()
    }

    /// Posts the last event again, as another occurrence.
    pub(super) fn replay(&mut self) -> Result<()> {
        self.sent += 1;
        let (service, event) = self.last.as_mut().context("no event has been sent yet: press e")?;
        event.id = format!("sample-{}-{}", althing_node::now().0, self.sent);
        // Where a property names the occurrence, it is what makes it another one.
        let manifest = self.manifests.values().find(|it| ServiceKey::Id(it.id()) == *service);
        let declared = manifest.and_then(|it| it.event(&event.kind.0));
        if let Some(declared) = declared
            && let Some(name) = &declared.id
            && let Some(schema) = declared.data.pointer(&format!("/properties/{name}"))
        {
            event.data[name.as_str()] = sample(schema, self.sent);
        }
        self.send()
    }

    fn send(&self) -> Result<()> {
        let Some((service, event)) = &self.last else { return Ok(()) };
        let token = program::token(self.home, &self.client, service)?;
        let observed = Patience::short().ask(|| self.client.observe(service, &token, event))?;
        let known = if observed.duplicate { " (known already, so it is nothing new)" } else { "" };
        self.output.say(&format!("sent {} {}{known}: {}", event.kind, observed.event, event.data));
        Ok(())
    }
}

/// What changed from one plan to the next, in one line.
fn difference(before: &Plan, after: &Plan) -> String {
    let names = |plan: &Plan| -> BTreeMap<String, althing_types::StepPlan> {
        plan.steps.iter().map(|step| (step.id.to_string(), step.clone())).collect()
    };
    let (was, is) = (names(before), names(after));
    let mut changes = Vec::new();
    for (name, step) in &is {
        match was.get(name) {
            None => changes.push(format!("+{name}")),
            Some(known) if known != step => changes.push(format!("~{name}")),
            Some(_) => {}
        }
    }
    changes.extend(was.keys().filter(|name| !is.contains_key(*name)).map(|n| format!("-{n}")));
    if before.trigger != after.trigger {
        changes.push("~when".to_owned());
    }
    if before.returns != after.returns {
        changes.push("~returns".to_owned());
    }
    if changes.is_empty() {
        // Expressions are in the document and not in the plan.
        "deployed again: the graph is the same".to_owned()
    } else {
        format!("deployed again: {}", changes.join(" "))
    }
}

/// A value that satisfies a simple schema.
fn sample(schema: &Value, number: u64) -> Value {
    let said = ["const", "default", "/examples/0", "/enum/0"]
        .iter()
        .find_map(|place| schema.get(*place).or_else(|| schema.pointer(place)));
    if let Some(said) = said {
        return said.clone();
    }
    let kind = schema.get("type").and_then(|kind| match kind {
        Value::Array(kinds) => kinds.first().and_then(Value::as_str),
        kind => kind.as_str(),
    });
    match kind {
        Some("string") => sample_text(schema, number),
        Some("integer" | "number") => schema.get("minimum").cloned().unwrap_or_else(|| json!(1)),
        Some("boolean") => json!(true),
        Some("array") => {
            let least = schema.get("minItems").and_then(Value::as_u64).unwrap_or(0);
            let items = schema.get("items").cloned().unwrap_or_default();
            (0..least.min(ITEMS_MAX)).map(|_| sample(&items, number)).collect()
        }
        Some("null") | None => Value::Null,
        Some(_) => {
            let properties = schema.get("properties").and_then(Value::as_object);
            let filled = properties.into_iter().flatten();
            filled.map(|(name, schema)| (name.clone(), sample(schema, number))).collect()
        }
    }
}

/// Most values of a list that are made up.
const ITEMS_MAX: u64 = 16;

/// The first of some common kinds of text that the schema takes: a word, a number, an address, a hash,
/// a day, a moment, a mail's address, a web address.
fn sample_text(schema: &Value, number: u64) -> Value {
    let word = format!("sample-{number}");
    let least = schema.get("minLength").and_then(Value::as_u64);
    let least = least.and_then(|least| usize::try_from(least).ok()).unwrap_or(0).min(4096);
    let kinds = [
        json!(word),
        json!(number.to_string()),
        json!(format!("0x{number:040x}")),
        json!(format!("0x{number:064x}")),
        json!("2026-01-01"),
        json!("2026-01-01T00:00:00Z"),
        json!(format!("{word}@example.org")),
        json!(format!("https://example.org/{word}")),
        json!(format!("sample{number}")),
        json!(format!("{word:-<least$}")),
        json!("A"),
    ];
    let takes = schema::compile(schema).ok();
    let fits = |text: &&Value| takes.as_ref().is_none_or(|takes| takes.is_valid(text));
    kinds.iter().find(fits).cloned().unwrap_or_else(|| json!(word))
}

#[cfg(test)]
mod tests {
    use althing_types::{Action, After, Join, Retry, StepPlan, Trigger};

    use super::*;

    fn plan(steps: &[(&str, u16)]) -> Plan {
        let step = |(id, checkers): &(&str, u16)| StepPlan {
            id: id.parse().unwrap(),
            action: Action::Task { service: Hash([1; 32]), task: "mark".parse().unwrap() },
            after: After { mode: Join::All, ends: Vec::new() },
            wait: None,
            checkers: *checkers,
            quorum: 0,
            nodes: Vec::new(),
            labels: Vec::new(),
            price_max: Amount::ZERO,
            retry: Retry { max: 0, backoff_ms: 0 },
            timeout_ms: 0,
            yields: 0,
        };
        Plan {
            trigger: Trigger { event: None, filter: Vec::new(), conditional: false },
            steps: steps.iter().map(step).collect(),
            returns: Vec::new(),
        }
    }

    #[test]
    fn a_change_is_told_in_one_line() {
        let before = plan(&[("a", 0), ("b", 0), ("c", 0)]);
        let after = plan(&[("a", 0), ("b", 3), ("d", 0)]);
        assert_eq!(difference(&before, &after), "deployed again: ~b +d -c");
        assert_eq!(difference(&before, &before), "deployed again: the graph is the same");
    }

    #[test]
    fn a_sample_fills_every_property_of_its_schema() {
        let schema = json!({
            "type": "object",
            "properties": {
                "order": { "type": "string" },
                "price": { "type": "number", "minimum": 5 },
                "kind": { "enum": ["new", "old"] },
                "items": { "type": "array" },
                "pair": { "type": "array", "minItems": 2, "items": { "type": "integer" } },
                "amount": { "type": "string", "pattern": "^-?[0-9]+(\\.[0-9]+)?$" },
                "to": { "type": "string", "pattern": "^0x[0-9a-fA-F]{40}$" },
                "code": { "type": "string", "minLength": 12 },
                "unit": { "type": "string", "examples": ["kWh"] },
            },
        });
        assert_eq!(
            sample(&schema, 7),
            json!({
                "order": "sample-7", "price": 5, "kind": "new", "items": [], "pair": [1, 1],
                "amount": "7", "to": "0x0000000000000000000000000000000000000007",
                "code": "0x0000000000000000000000000000000000000007", "unit": "kWh",
            })
        );
    }
}
