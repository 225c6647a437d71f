//! What a file names: services, configured values, events.

use std::collections::BTreeMap;
use std::ops::Range;

use althing_manifest::read::choose;
use althing_types::EventName;
use serde_json::{Map, Value as Json};

use super::{Checker, FoundEvent, inputs};
use crate::file::{FileVisibility, Placed, WhenText};
use crate::mistake::MistakeKind;
use crate::schema::{Property, Type};
use crate::services::{Resolved, Services};

impl<'f> Checker<'f> {
    pub(super) fn resolve(&mut self, services: &impl Services) {
        let file = self.file;
        for service in &file.services {
            match services.resolve(&service.reference.value) {
                Ok(resolved) => {
                    self.services.insert(&service.alias, resolved);
                }
                Err(unresolved) => {
                    let reference = &service.reference.value;
                    let same = |known: &&String| {
                        known.starts_with(&format!("{}/{}@", reference.namespace, reference.name))
                    };
                    let versions: Vec<&str> =
                        unresolved.known.iter().filter(same).map(String::as_str).collect();
                    let known: Vec<&str> =
                        unresolved.known.iter().take(20).map(String::as_str).collect();
                    let hint = match (versions.as_slice(), known.as_slice()) {
                        ([], []) => {
                            "publish it first, or connect to a network that has it".to_owned()
                        }
                        ([], known) => choose(&reference.to_string(), known),
                        (versions, _) => format!("there is {}", versions.join(", ")),
                    };
                    self.mistake(
                        MistakeKind::UnknownService,
                        service.reference.at.clone(),
                        "unknown",
                        format!(
                            "nobody has published '{}/{}' in this range of versions",
                            reference.namespace, reference.name
                        ),
                        hint,
                    );
                }
            }
        }
    }

    pub(super) fn config(&mut self, values: &Map<String, Json>) -> Map<String, Json> {
        let file = self.file;
        let mut config = Map::new();
        for (name, schema) in &file.config {
            let value = values.get(&name.value).or_else(|| schema.get("default"));
            let Some(value) = value else {
                self.mistake(
                    MistakeKind::Config,
                    name.at.clone(),
                    "no value",
                    format!("`config.{}` has no value", name.value),
                    "give it one when you check or deploy, or write a `default` into its schema",
                );
                continue;
            };
            if let Err(reason) = inputs::validate(schema, schema, value) {
                self.mistake(
                    MistakeKind::Config,
                    name.at.clone(),
                    "its schema",
                    format!("the value of `config.{}` does not fit: {reason}", name.value),
                    "give it another value when you check or deploy",
                );
                continue;
            }
            config.insert(name.value.clone(), value.clone());
        }
        let known: Vec<&str> = file.config.iter().map(|(name, _)| name.value.as_str()).collect();
        for name in values.keys().filter(|name| !known.contains(&name.as_str())) {
            let hint = if known.is_empty() {
                "the file has no `config`".to_owned()
            } else {
                choose(name, &known)
            };
            let message =
                format!("a value is given for `config.{name}`, which the file does not have");
            self.mistake(MistakeKind::Config, 0..0, "in here", message, hint);
        }
        config
    }

    pub(super) fn config_type(&self, config: &Map<String, Json>) -> Type {
        let fields = self.file.config.iter().map(|(name, schema)| {
            let r#type = match Type::of(schema) {
                Type::Any => config.get(&name.value).map_or(Type::Any, Type::of_value),
                // Values are plain JSON: that a text counts as a number is known of payloads only.
                Type::Decimal => Type::Text,
                known => known,
            };
            (name.value.clone(), Property { r#type, required: true })
        });
        Type::Map(fields.collect(), false)
    }

    pub(super) fn service<'m>(
        &mut self,
        services: &'m BTreeMap<&'f str, Resolved>,
        alias: &str,
        at: Range<usize>,
    ) -> Option<&'m Resolved> {
        if let Some(resolved) = services.get(alias) {
            return Some(resolved);
        }
        // An alias that was not resolved has been told already.
        let known: Vec<&str> =
            self.file.services.iter().map(|service| service.alias.as_str()).collect();
        if !known.contains(&alias) {
            let message = format!("there is no service `{alias}` in this file");
            self.mistake(MistakeKind::UnknownName, at, "unknown", message, choose(alias, &known));
        }
        None
    }

    pub(super) fn find_event<'m>(
        &mut self,
        services: &'m BTreeMap<&'f str, Resolved>,
        text: &Placed<String>,
    ) -> Option<FoundEvent<'m>> {
        let at = text.at.clone();
        let Some((alias, name)) = text.value.split_once('.') else {
            let message = format!("'{}' names no event", text.value);
            self.mistake(MistakeKind::UnknownName, at, "no event", message, "write `alias.event`");
            return None;
        };
        let resolved = self.service(services, alias, at.clone())?;
        let Resolved::Service { id, manifest } = resolved else {
            let message = format!("`{alias}` is an application: it has no events");
            self.mistake(
                MistakeKind::UnknownName,
                at,
                "no event",
                message,
                "name an event of a service",
            );
            return None;
        };
        let event = manifest.events.iter().find(|event| event.name.as_str() == name);
        if event.is_none() {
            let known: Vec<&str> =
                manifest.events.iter().map(|event| event.name.as_str()).collect();
            self.unknown(at, alias, "event", name, &known);
        }
        let event = event?;
        Some(FoundEvent { name: EventName { service: *id, event: event.name.clone() }, event })
    }

    pub(super) fn unknown(
        &mut self,
        at: Range<usize>,
        alias: &str,
        what: &str,
        name: &str,
        known: &[&str],
    ) {
        let hint = if known.is_empty() {
            format!("it has no {what}s at all")
        } else {
            choose(name, known)
        };
        let message = format!("`{alias}` has no {what} `{name}`");
        self.mistake(MistakeKind::UnknownName, at, "unknown", message, hint);
    }

    pub(super) fn trigger_keys(&mut self) -> Vec<String> {
        // Who uses a public application as a task gives it an event without keys.
        let WhenText::Event(text) = &self.file.when else { return Vec::new() };
        if self.file.visibility == FileVisibility::Public {
            return Vec::new();
        }
        let (alias, name) = text.event.value.split_once('.').unwrap_or_default();
        match self.services.get(alias) {
            Some(Resolved::Service { manifest, .. }) => {
                let event = manifest.events.iter().find(|event| event.name.as_str() == name);
                event.map(|event| event.keys.clone()).unwrap_or_default()
            }
            _ => Vec::new(),
        }
    }
}
