//! Reads YAML with anchors and merge keys, and writes YAML in its short form.

use althing_manifest::document::Node;
use serde_json::Value as Json;

use super::NotImportable;

const BYTES_MAX: usize = 256 << 10;

/// Reads one document; aliases are replayed within bounds.
pub(super) fn read(text: &str) -> Result<Node, NotImportable> {
    if text.len() > BYTES_MAX {
        return Err(NotImportable::because(format!(
            "it has {} bytes, at most {BYTES_MAX} are read",
            text.len()
        )));
    }
    let options = serde_saphyr::options! {
        budget: serde_saphyr::budget! {
            max_aliases: 500,
            max_anchors: 100,
            max_depth: 48,
            max_documents: 1,
            max_events: 50_000,
            max_nodes: 20_000,
        },
        alias_limits: serde_saphyr::alias_limits! {
            max_total_replayed_events: 20_000,
            max_replay_stack_depth: 16,
        },
        merge_keys: serde_saphyr::MergeKeyPolicy::Merge,
        strict_booleans: true,
        with_snippet: false,
    };
    serde_saphyr::from_str_with_options(text, options).map_err(|error| {
        let message = error.to_string();
        NotImportable::because(message.lines().next().unwrap_or_default())
    })
}

/// A value on one line: `{ to: "${ event.id }", amount: 10 }`.
pub(super) fn flow(value: &Json) -> String {
    match value {
        Json::Null | Json::Bool(_) | Json::Number(_) | Json::String(_) => value.to_string(),
        Json::Array(items) => {
            let items: Vec<String> = items.iter().map(flow).collect();
            format!("[{}]", items.join(", "))
        }
        Json::Object(map) if map.is_empty() => "{}".to_owned(),
        Json::Object(map) => {
            let entries: Vec<String> =
                map.iter().map(|(name, value)| format!("{}: {}", key(name), flow(value))).collect();
            format!("{{ {} }}", entries.join(", "))
        }
    }
}

/// A key, in quotes only where it needs them.
pub(super) fn key(name: &str) -> String {
    const WORDS: [&str; 4] = ["true", "false", "null", "~"];
    let is_plain = name.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_')
        && name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_')
        && !WORDS.contains(&name.to_ascii_lowercase().as_str());
    if is_plain { name.to_owned() } else { Json::from(name).to_string() }
}
