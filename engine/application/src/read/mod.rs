//! Reads application files: every mistake is told, with its place and what to do about it.

mod step;
mod value;

use std::ops::Range;

use althing_manifest::document::{Content, Node, place};
use althing_manifest::read::{Fields, Reader};
use althing_types::{Address, KEYS_MAX, Name};
use semver::{Version, VersionReq};
use serde_json::Value as Json;

use crate::duration;
use crate::file::{
    ApplicationFile, CONFIG_MAX, EventText, FILE_BYTES_MAX, FileVisibility, Placed, Reference,
    ReturnText, SERVICES_MAX, ServiceText, WhenText,
};
use crate::form::{NODES_MAX, RETURNS_MAX};
use crate::mistake::{MistakeKind, Mistakes};
use crate::template::{Template, TemplateKind};

const SUMMARY_BYTES_MAX: usize = 500;
pub(crate) use value::{map_of, place_within};

/// What `${ … }` may not be called, since it is something else there.
pub(crate) const VARIABLES: [&str; 4] = ["event", "awaited", "config", "run"];
/// Most attempts after the first.
const RETRIES_MAX: u64 = 100;
const CHECKERS_MAX: u64 = 1_000;

pub(crate) fn read(file: &str, text: &str) -> Result<ApplicationFile, Mistakes> {
    let mut reader = FileReader { reader: Reader::new(text), text, public: false, in_with: false };
    let read = reader.file(file);
    reader.reader.finish(file)?;
    Ok(read.expect("a file without mistakes is read to its end"))
}

struct FileReader<'t> {
    reader: Reader<'t, MistakeKind>,
    text: &'t str,
    /// Whether everybody may see the application; known before its steps are read.
    public: bool,
    /// Whether what is read is given to a task.
    in_with: bool,
}

type Entries = Vec<(Placed<String>, Template)>;

impl FileReader<'_> {
    fn mistake(
        &mut self,
        kind: MistakeKind,
        at: Range<usize>,
        label: impl Into<String>,
        message: impl Into<String>,
        hint: impl Into<String>,
    ) {
        self.reader.mistake(kind, at, label, message, hint);
    }

    fn file(&mut self, file: &str) -> Option<ApplicationFile> {
        if self.text.len() > FILE_BYTES_MAX {
            let message = format!(
                "the file has {} bytes, at most {FILE_BYTES_MAX} are allowed",
                self.text.len()
            );
            self.mistake(
                MistakeKind::TooLong,
                0..0,
                "here",
                message,
                "an application is a page or two",
            );
            return None;
        }
        let root = self.reader.parse()?;
        let known = [
            "app",
            "version",
            "summary",
            "visibility",
            "services",
            "config",
            "when",
            "then",
            "returns",
        ];
        let fields = self.reader.fields(&root, 0..0, "the application", &known)?;
        let app = self.reader.required(&fields, "app", "write `app: a-name`");
        let app = app.and_then(|(node, _)| {
            let text = self.reader.text(node, "app")?;
            self.name(text, place(node))
        });
        let version = self.reader.required(&fields, "version", "write `version: 1.0.0`");
        let version = version.and_then(|(node, _)| self.version(node));
        let summary = self.summary(&fields);
        let visibility = match fields.find("visibility") {
            Some((node, at)) => self.visibility(node, at),
            None => Some(FileVisibility::Private(Vec::new())),
        };
        self.public = visibility == Some(FileVisibility::Public);
        let services = self.reader.required(
            &fields,
            "services",
            "write `services: { alias: namespace/name@1 }`",
        );
        let services = services.and_then(|(node, at)| self.services(node, at));
        let config = match fields.find("config") {
            Some((node, at)) => self.config(node, at),
            None => Some(Vec::new()),
        };
        let when = self.reader.required(
            &fields,
            "when",
            "write `when: alias.event`: the event that starts it",
        );
        let when = when.and_then(|(node, at)| self.when(node, at));
        let steps =
            self.reader.required(&fields, "then", "write the steps below `then:`, each with a '-'");
        let steps = steps.and_then(|(node, _)| self.steps(node));
        let returns = match fields.find("returns") {
            Some((node, at)) => self.returns(node, at),
            None => Some(Vec::new()),
        };
        let (visibility, returns) = (visibility?, returns?);
        if visibility == FileVisibility::Public && returns.is_empty() {
            self.mistake(
                MistakeKind::Rule,
                fields.find("visibility").map_or(0..0, |(node, _)| place(node)),
                "public",
                "a public application says how it ends for those who use it",
                "add `returns:` with at least one name and `from: step.status`",
            );
        }
        Some(ApplicationFile {
            file: file.to_owned(),
            text: self.text.to_owned(),
            app: app?,
            version: version?,
            summary: summary?,
            visibility,
            services: services?,
            config: config?,
            when: when?,
            steps: steps?,
            returns,
        })
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

    fn version(&mut self, node: &Node) -> Option<Version> {
        let hint = "write it like 1.0.0, in quotes if it has one point only";
        let text = self.reader.written(node, "version", hint)?;
        let version = Version::parse(&text).ok();
        if version.is_none() {
            let message = format!("'{text}' is no version");
            self.mistake(
                MistakeKind::Name,
                place(node),
                "not a version",
                message,
                "write it like 1.0.0",
            );
        }
        version
    }

    fn summary(&mut self, fields: &Fields<'_>) -> Option<String> {
        let Some((node, _)) = fields.find("summary") else { return Some(String::new()) };
        let text = self.reader.text(node, "summary")?.trim();
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

    fn visibility(&mut self, node: &Node, at: Range<usize>) -> Option<FileVisibility> {
        if let Content::Map(_) = node.value {
            let fields = self.reader.fields(node, at, "visibility", &["private"])?;
            let (list, _) = self.reader.required(&fields, "private", "write `private: [0x…]`")?;
            return self.addresses(list, "private").map(FileVisibility::Private);
        }
        let word = self.reader.word(node, "visibility", &["private", "public"])?;
        Some(if word == 0 { FileVisibility::Private(Vec::new()) } else { FileVisibility::Public })
    }

    fn addresses(&mut self, node: &Node, what: &str) -> Option<Vec<Address>> {
        let Content::List(items) = &node.value else {
            self.reader.wrong_type(node, what, "a list", "write `[0x…, 0x…]`");
            return None;
        };
        self.count(items.len(), 1..=NODES_MAX, what, place(node))?;
        let mut addresses = Vec::new();
        for item in items {
            let text = self.reader.text(item, "an address")?;
            let Ok(address) = text.parse::<Address>() else {
                self.mistake(
                    MistakeKind::Name,
                    place(item),
                    "not an address",
                    format!("'{text}' is no address"),
                    "an address is 0x and 40 hexadecimal digits",
                );
                return None;
            };
            addresses.push(address);
        }
        addresses.sort_unstable();
        addresses.dedup();
        Some(addresses)
    }

    fn count(
        &mut self,
        count: usize,
        allowed: std::ops::RangeInclusive<usize>,
        what: &str,
        at: Range<usize>,
    ) -> Option<()> {
        if allowed.contains(&count) {
            return Some(());
        }
        self.mistake(
            MistakeKind::Count,
            at,
            format!("{count} here"),
            format!("there are {count} {what}"),
            format!("{} to {} are allowed", allowed.start(), allowed.end()),
        );
        None
    }

    fn services(&mut self, node: &Node, at: Range<usize>) -> Option<Vec<ServiceText>> {
        let fields = self.reader.mapping(node, at.clone(), "services")?;
        self.count(fields.entries().len(), 1..=SERVICES_MAX, "services", at)?;
        let services: Vec<_> = fields.entries().iter().map(|(key, node)| {
            self.variable(&key.value, place(key))?;
            let text = self.reader.text(node, "a service")?;
            let Some(reference) = reference(text) else {
                self.mistake(
                    MistakeKind::Name,
                    place(node),
                    "not namespace/name@range",
                    format!("'{text}' names no service"),
                    "write it like acme/invoice@1 or acme/invoice@~1.2, with a-z, 0-9, '_', '-' and '.'",
                );
                return None;
            };
            Some(ServiceText {
                alias: key.value.clone(),
                reference: Placed { value: reference, at: place(node) },
            })
        }).collect();
        services.into_iter().collect()
    }

    /// A name that expressions can say.
    fn variable(&mut self, text: &str, at: Range<usize>) -> Option<()> {
        let starts = text.starts_with(|c: char| c.is_ascii_lowercase());
        let allowed = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_';
        const RESERVED: [&str; 5] = ["true", "false", "null", "in", "has"];
        if starts && text.chars().all(allowed) && text.len() <= 64 && !RESERVED.contains(&text) {
            return Some(());
        }
        self.mistake(
            MistakeKind::Name,
            at,
            "not a variable",
            format!("'{text}' cannot be said in an expression"),
            "write it in snake_case: a-z, 0-9 and '_', beginning with a letter",
        );
        None
    }

    fn config(&mut self, node: &Node, at: Range<usize>) -> Option<Vec<(Placed<String>, Json)>> {
        let fields = self.reader.mapping(node, at.clone(), "config")?;
        self.count(fields.entries().len(), 0..=CONFIG_MAX, "configured values", at)?;
        let values: Vec<_> = fields
            .entries()
            .iter()
            .map(|(key, node)| {
                self.variable(&key.value, place(key))?;
                let schema = self.reader.json_schema(node, &place(key))?;
                Some((Placed { value: key.value.clone(), at: place(key) }, schema))
            })
            .collect();
        values.into_iter().collect()
    }

    fn when(&mut self, node: &Node, at: Range<usize>) -> Option<WhenText> {
        if let Content::List(items) = &node.value {
            self.mistake(
                MistakeKind::Rule,
                place(node),
                format!("{} events", items.len()),
                "the first task hangs on exactly one event",
                "make an application for each event, or let a later step `await` the other",
            );
            return None;
        }
        if let Content::Map(entries) = &node.value
            && entries.iter().any(|(key, _)| key.value == "inputs")
        {
            let fields = self.reader.fields(node, at, "when", &["inputs"])?;
            let (inputs, at) = fields.find("inputs")?;
            return self.reader.payload(inputs, at, "inputs").map(WhenText::Used);
        }
        self.event(node, at, "when", &["event", "where", "if"]).map(WhenText::Event)
    }

    fn event(
        &mut self,
        node: &Node,
        at: Range<usize>,
        what: &'static str,
        known: &[&str],
    ) -> Option<EventText> {
        if let Content::Text(text) = &node.value {
            let event = Placed { value: text.clone(), at: place(node) };
            return Some(EventText { event, keys: Vec::new(), condition: None, timeout_ms: 0 });
        }
        let fields = self.reader.fields(node, at, what, known)?;
        let event = self.reader.required(&fields, "event", "write `event: alias.event`");
        let event = event.and_then(|(node, _)| {
            let text = self.reader.text(node, "event")?;
            Some(Placed { value: text.to_owned(), at: place(node) })
        });
        let keys = match fields.find("where") {
            Some((node, at)) => self.entries(node, at.clone(), "where").and_then(|keys| {
                self.count(keys.len(), 1..=KEYS_MAX, "keys", at)?;
                Some(keys)
            }),
            None => Some(Vec::new()),
        };
        let condition = match fields.find("if") {
            Some((node, _)) => self.condition(node).map(Some),
            None => Some(None),
        };
        let timeout_ms = match fields.find("timeout") {
            Some((node, _)) => self.duration(node, "timeout"),
            None => Some(0),
        };
        Some(EventText {
            event: event?,
            keys: keys?,
            condition: condition?,
            timeout_ms: timeout_ms?,
        })
    }

    fn condition(&mut self, node: &Node) -> Option<Placed<crate::expression::Expression>> {
        let template = self.template(node)?;
        if let TemplateKind::Expression(expression) = template.kind {
            return Some(Placed { value: expression, at: place(node) });
        }
        self.mistake(
            MistakeKind::Expression,
            place(node),
            "no expression",
            "`if` is one expression that is true or false",
            "write it like if: \"${ event.amount > 0 }\"",
        );
        None
    }

    fn duration(&mut self, node: &Node, what: &str) -> Option<u64> {
        let text = self.reader.text(node, what)?;
        let duration = duration::parse(text);
        if duration.is_none() {
            self.mistake(
                MistakeKind::Duration,
                place(node),
                "not a duration",
                format!("{what} '{text}' is no duration"),
                "write it like PT10S, PT5M, PT1H30M or P7D; at most ten years",
            );
        }
        duration
    }

    fn returns(&mut self, node: &Node, at: Range<usize>) -> Option<Vec<ReturnText>> {
        let fields = self.reader.mapping(node, at.clone(), "returns")?;
        self.count(fields.entries().len(), 0..=RETURNS_MAX, "returns", at)?;
        let returns: Vec<_> = fields
            .entries()
            .iter()
            .map(|(key, node)| {
                let name = self.name(&key.value, place(key))?;
                let fields = self.reader.fields(node, place(key), "a return", &["from", "data"])?;
                let (from, _) =
                    self.reader.required(&fields, "from", "write `from: step.status`")?;
                let text = self.reader.text(from, "from")?;
                let from = Placed { value: text.to_owned(), at: place(from) };
                let data = match fields.find("data") {
                    Some((node, at)) => self.entries(node, at, "data")?,
                    None => Vec::new(),
                };
                Some(ReturnText { name: Placed { value: name, at: place(key) }, from, data })
            })
            .collect();
        returns.into_iter().collect()
    }
}

fn reference(text: &str) -> Option<Reference> {
    let (namespace, rest) = text.split_once('/')?;
    let (name, range) = rest.split_once('@')?;
    Some(Reference {
        namespace: namespace.parse().ok()?,
        name: name.parse().ok()?,
        range: VersionReq::parse(range).ok()?,
    })
}
