//! `service.yml`: what a developer writes, checked.

use std::ops::Range;
use std::path::{Component, Path};

use althing_types::{Alias, Amount, BlobRef, Name, Verification};

use crate::document::{Content, Node, place};
use crate::manifest::{
    Limits, MANIFEST_BYTES_MAX, Manifest, STATUSES_MAX, Status, TASKS_MAX, Task,
};
use crate::mistake::{MistakeKind, Mistakes};
use crate::read::{Fields, Reader};

/// Longest `service.yml` in bytes; its canonical form with all schemas written out fits too.
const FILE_BYTES_MAX: usize = MANIFEST_BYTES_MAX;
const SUMMARY_BYTES_MAX: usize = 500;
/// Most bytes that naming a component takes in a canonical manifest.
const MODULE_TEXT_BYTES: usize = 128;

/// Where the component comes from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ModuleSource {
    /// A component that is built already, in or below the folder of `service.yml`.
    File(String),
    /// The Rust crate beside `service.yml`.
    Cargo,
    /// There is none: whoever offers the service connects a program of its own.
    Native,
}

/// A checked `service.yml`, before its module is built.
#[derive(Clone, Debug, PartialEq)]
pub struct ServiceFile {
    source: ModuleSource,
    run: Option<String>,
    /// Complete but for the module.
    manifest: Manifest,
}

impl ServiceFile {
    /// Reads the text of a `service.yml`; `file` is its name in messages.
    ///
    /// # Errors
    ///
    /// [`Mistakes`], each with its place, a code and a hint.
    pub fn parse(file: &str, text: &str) -> Result<Self, Mistakes> {
        let mut reader = Reader::new(text);
        let read = reader.service_file(text);
        reader.finish(file)?;
        Ok(read.expect("a file without mistakes is read to its end"))
    }

    /// Where the component comes from.
    #[must_use]
    pub const fn module_source(&self) -> &ModuleSource {
        &self.source
    }

    /// The command that starts a native service's program on a developer's machine. It is no part of
    /// the manifest.
    #[must_use]
    pub fn run(&self) -> Option<&str> {
        self.run.as_deref()
    }

    /// What people call the service.
    #[must_use]
    pub const fn service(&self) -> &Alias {
        &self.manifest.service
    }

    /// The manifest of the service with this component; a native service has none, whatever is given.
    #[must_use]
    pub fn into_manifest(self, component: &[u8]) -> Manifest {
        let module = (self.source != ModuleSource::Native).then(|| BlobRef::of(component));
        Manifest { module, ..self.manifest }
    }
}

impl Reader<'_> {
    fn service_file(&mut self, text: &str) -> Option<ServiceFile> {
        if text.len() > FILE_BYTES_MAX {
            let message =
                format!("the file has {} bytes, at most {FILE_BYTES_MAX} are allowed", text.len());
            self.mistake(
                MistakeKind::TooLong,
                0..0,
                "here",
                message,
                "a manifest is a page or two: keep data out of it",
            );
            return None;
        }
        let root = self.parse()?;
        let known = [
            "service",
            "summary",
            "wasm",
            "runtime",
            "run",
            "environment",
            "stake_min",
            "tasks",
            "events",
        ];
        let fields = self.fields(&root, 0..0, "the manifest", &known)?;
        let service = self.required(&fields, "service", "write `service: namespace/name@version`");
        let service = service.and_then(|(node, _)| self.alias(node));
        let summary = self.summary(&fields);
        let source = self.source(&fields);
        let run = self.run(&fields);
        let stake_min = match fields.find("stake_min") {
            Some((node, _)) => self.amount(node, "stake_min"),
            None => Some(Amount::ZERO),
        };
        let limits = match fields.find("environment") {
            Some((node, at)) => self.environment(node, at),
            None => Some(Limits::DEFAULT),
        };
        let defaults = limits.unwrap_or_default();
        let tasks = match fields.find("events") {
            // A service may only observe.
            Some(_) if fields.find("tasks").is_none() => Some(Vec::new()),
            _ => {
                let hint = "a service has at least one task or event";
                self.required(&fields, "tasks", hint).and_then(|(node, at)| {
                    self.named(node, at, "tasks", 1..=TASKS_MAX, |reader, name, node, at| {
                        reader.task(name, node, at, defaults)
                    })
                })
            }
        };
        let events = match fields.find("events") {
            Some((node, at)) => {
                let least = usize::from(fields.find("tasks").is_none());
                self.named(node, at, "events", least..=TASKS_MAX, Self::event)
            }
            None => Some(Vec::new()),
        };
        let manifest = Manifest {
            service: service?,
            summary: summary?,
            module: None,
            stake_min: stake_min?,
            limits: limits?,
            tasks: tasks?,
            events: events?,
        };
        // A component's hash and length.
        let module = if source == Some(ModuleSource::Native) { 0 } else { MODULE_TEXT_BYTES };
        let bytes = manifest.canonical().len().saturating_add(module);
        if bytes > MANIFEST_BYTES_MAX {
            let message = format!(
                "with all schemas written out the manifest has {bytes} bytes, at most {MANIFEST_BYTES_MAX} are allowed"
            );
            self.mistake(
                MistakeKind::TooLong,
                0..0,
                "here",
                message,
                "split the service, or simplify its schemas",
            );
        }
        Some(ServiceFile { source: source?, run, manifest })
    }

    fn alias(&mut self, node: &Node) -> Option<Alias> {
        let text = self.text(node, "service")?;
        let alias = text.parse().ok();
        if alias.is_none() {
            let message = format!("'{text}' is no name of a service");
            self.mistake(
                MistakeKind::Name,
                place(node),
                "not namespace/name@version",
                message,
                "write it like acme/invoice@1.0.0, with a-z, 0-9, '_', '-' and '.'",
            );
        }
        alias
    }

    fn name(&mut self, text: &str, at: Range<usize>) -> Option<Name> {
        let name = text.parse().ok();
        if name.is_none() {
            self.mistake(
                MistakeKind::Name,
                at,
                "not a name",
                format!("'{text}' is no name"),
                "names are 1 to 64 of a-z, 0-9, '_', '-', '.', beginning with a letter or digit",
            );
        }
        name
    }

    pub(crate) fn summary(&mut self, fields: &Fields<'_>) -> Option<String> {
        let Some((node, _)) = fields.find("summary") else { return Some(String::new()) };
        let text = self.text(node, "summary")?.trim();
        if text.len() > SUMMARY_BYTES_MAX {
            self.mistake(
                MistakeKind::TooLong,
                place(node),
                "too long",
                format!("the summary has {} bytes", text.len()),
                format!("one sentence is enough, at most {SUMMARY_BYTES_MAX} bytes"),
            );
            return None;
        }
        Some(text.to_owned())
    }

    fn run(&mut self, fields: &Fields<'_>) -> Option<String> {
        let (node, at) = fields.find("run")?;
        if fields.find("runtime").is_none() {
            self.mistake(
                MistakeKind::UnknownKey,
                at,
                "has no program",
                "a service with a component has no program to run",
                "leave out `run`, or write `runtime: native`",
            );
            return None;
        }
        self.text(node, "run").map(str::to_owned)
    }

    fn source(&mut self, fields: &Fields<'_>) -> Option<ModuleSource> {
        let Some((runtime, at)) = fields.find("runtime") else {
            let hint = "write `wasm: { build: cargo }`, `wasm: path/to/component.wasm`, or `runtime: native`";
            let (node, at) = self.required(fields, "wasm", hint)?;
            return self.module_source(node, at);
        };
        self.word(runtime, "runtime", &["native"])?;
        if fields.find("wasm").is_some() {
            self.mistake(
                MistakeKind::UnknownKey,
                at,
                "has no component",
                "a native service has no component",
                "leave out `wasm` or `runtime`",
            );
            return None;
        }
        Some(ModuleSource::Native)
    }

    fn module_source(&mut self, node: &Node, at: Range<usize>) -> Option<ModuleSource> {
        if let Content::Map(_) = node.value {
            let fields = self.fields(node, at, "wasm", &["build"])?;
            let (build, _) = self.required(&fields, "build", "write `build: cargo`")?;
            self.word(build, "build", &["cargo"])?;
            return Some(ModuleSource::Cargo);
        }
        let path = self.text(node, "wasm")?;
        let stays = Path::new(path)
            .components()
            .all(|part| matches!(part, Component::Normal(_) | Component::CurDir));
        if path.is_empty() || !stays {
            self.mistake(
                MistakeKind::Path,
                place(node),
                "leads elsewhere",
                format!("the path '{path}' does not stay in the folder of the manifest"),
                "write a path relative to this file, without '..'",
            );
            return None;
        }
        Some(ModuleSource::File(path.to_owned()))
    }

    pub(crate) fn amount(&mut self, node: &Node, what: &str) -> Option<Amount> {
        let hint = "write tokens with up to six decimals, such as 12.5";
        let text = self.written(node, what, hint)?;
        let amount = text.parse().ok();
        if amount.is_none() {
            self.mistake(
                MistakeKind::Amount,
                place(node),
                "not an amount",
                format!("{what} '{text}' is no amount"),
                hint,
            );
        }
        amount
    }

    fn environment(&mut self, node: &Node, at: Range<usize>) -> Option<Limits> {
        let known = ["arch", "memory_mb", "fuel", "time_ms", "output_kb"];
        let fields = self.fields(node, at, "environment", &known)?;
        if let Some((arch, _)) = fields.find("arch") {
            // Components run alike on every processor.
            self.word(arch, "arch", &["any"])?;
        }
        self.limits(&fields, Limits::DEFAULT)
    }

    fn limits(&mut self, fields: &Fields<'_>, defaults: Limits) -> Option<Limits> {
        let mut read = |key: &str, default: u64, max: u64| match fields.find(key) {
            Some((node, _)) => self.limit(node, key, max),
            None => Some(default),
        };
        let memory_mb = read("memory_mb", defaults.memory_mb.into(), Limits::MAX.memory_mb.into());
        let fuel = read("fuel", defaults.fuel, Limits::MAX.fuel);
        let time_ms = read("time_ms", defaults.time_ms.into(), Limits::MAX.time_ms.into());
        let output_kb = read("output_kb", defaults.output_kb.into(), Limits::MAX.output_kb.into());
        let small = |limit: u64| u32::try_from(limit).expect("the largest limits fit 32 bits");
        Some(Limits {
            memory_mb: small(memory_mb?),
            fuel: fuel?,
            time_ms: small(time_ms?),
            output_kb: small(output_kb?),
        })
    }

    /// Named things in the order of the file.
    fn named<T>(
        &mut self,
        node: &Node,
        at: Range<usize>,
        what: &'static str,
        allowed: std::ops::RangeInclusive<usize>,
        mut read: impl FnMut(&mut Self, Name, &Node, Range<usize>) -> Option<T>,
    ) -> Option<Vec<T>> {
        let fields = self.mapping(node, at, what)?;
        let entries = fields.entries();
        if !allowed.contains(&entries.len()) {
            self.mistake(
                MistakeKind::Count,
                fields.at,
                format!("{} here", entries.len()),
                format!("there are {} {what}", entries.len()),
                format!("{} to {} {what} are allowed", allowed.start(), allowed.end()),
            );
            return None;
        }
        let things: Vec<Option<T>> = entries
            .iter()
            .map(|(key, node)| {
                let name = self.name(&key.value, place(key))?;
                read(self, name, node, place(key))
            })
            .collect();
        things.into_iter().collect()
    }

    fn task(
        &mut self,
        name: Name,
        node: &Node,
        at: Range<usize>,
        defaults: Limits,
    ) -> Option<Task> {
        let known =
            ["summary", "verification", "price", "check_price", "limits", "inputs", "statuses"];
        let fields = self.fields(node, at, "a task", &known)?;
        let summary = self.summary(&fields);
        let verification = self.required(&fields, "verification", "write `verification: deterministic`, `method` if the service verifies others' answers, or `none` if nobody can check them");
        let words = ["deterministic", "method", "none"];
        let verification =
            verification.and_then(|(node, _)| self.word(node, "verification", &words));
        let verification = verification.map(|word| match word {
            0 => Verification::Deterministic,
            1 => Verification::Method,
            _ => Verification::None,
        });
        let price = self.required(
            &fields,
            "price",
            "write what one execution pays to a node, such as `price: 0.01`",
        );
        let price = price.and_then(|(node, _)| self.amount(node, "price"));
        let check_price = match fields.find("check_price") {
            Some((node, _)) => self.amount(node, "check_price").inspect(|check| {
                let differs = price.is_some_and(|price| price != *check);
                let why = match verification {
                    Some(Verification::Deterministic) => {
                        "a deterministic task is checked by executing it again"
                    }
                    Some(Verification::None) => "nobody checks this task",
                    Some(Verification::Method) | None => return,
                };
                if differs {
                    self.mistake(
                        MistakeKind::Price,
                        place(node),
                        "differs from the price",
                        why,
                        "remove check_price, or make it equal to price",
                    );
                }
            }),
            None => price,
        };
        let limits = match fields.find("limits") {
            Some((node, at)) => self
                .fields(node, at, "limits", &["memory_mb", "fuel", "time_ms", "output_kb"])
                .and_then(|fields| self.limits(&fields, defaults)),
            None => Some(defaults),
        };
        let inputs =
            self.required(&fields, "inputs", "write `inputs: {}` if the task takes nothing");
        let inputs = inputs.and_then(|(node, at)| self.payload(node, at, "inputs"));
        let statuses = self.required(
            &fields,
            "statuses",
            "name the ways in which the task ends, the main one first",
        );
        let statuses = statuses.and_then(|(node, at)| {
            self.named(node, at, "statuses", 1..=STATUSES_MAX, |reader, name, node, at| {
                Some(Status { name, outputs: reader.payload(node, at, "a status")? })
            })
        });
        Some(Task {
            name,
            summary: summary?,
            verification: verification?,
            price: price?,
            check_price: check_price?,
            limits: limits?,
            inputs: inputs?,
            statuses: statuses?,
        })
    }
}
