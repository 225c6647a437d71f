//! Services and applications that the tests use.
#![allow(dead_code, reason = "each test uses a part of this")]
#![allow(clippy::unwrap_used, reason = "a fixture that cannot be read is a failed test")]

use std::fs;
use std::path::{Path, PathBuf};

use althing_application::{ApplicationFile, Catalogue, Checked, Mistakes};
use althing_manifest::ServiceFile;
use serde_json::{Map, Value as Json, json};

pub(crate) const APPLICATIONS: [&str; 5] =
    ["1-wallet", "2-iot-car", "3-image", "4-btc-eth", "5-cart"];

pub(crate) fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures")
}

pub(crate) fn catalogue() -> Catalogue {
    let mut catalogue = Catalogue::default();
    let mut files: Vec<PathBuf> = fs::read_dir(folder().join("services"))
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .collect();
    files.sort();
    for path in files {
        let text = fs::read_to_string(&path).unwrap();
        let file = ServiceFile::parse(&path.display().to_string(), &text).unwrap();
        catalogue.add_service(file.into_manifest(b""));
    }
    catalogue
}

pub(crate) fn text(name: &str) -> String {
    fs::read_to_string(folder().join(format!("apps/{name}.app.yaml"))).unwrap()
}

pub(crate) fn config(name: &str) -> Map<String, Json> {
    let config = if name == "4-btc-eth" {
        json!({ "btc_address": "bc1q", "eth_address": format!("0x{}", "ab".repeat(20)) })
    } else {
        json!({})
    };
    config.as_object().unwrap().clone()
}

pub(crate) fn check(name: &str, text: &str) -> Result<Checked, Mistakes> {
    ApplicationFile::parse("app.yaml", text)?.check(&catalogue(), &config(name))
}

pub(crate) fn compiled(name: &str) -> Checked {
    check(name, &text(name)).unwrap_or_else(|mistakes| {
        let told: Vec<String> =
            mistakes.iter().map(|m| format!("{} {} ({})", m.at.start, m.message, m.hint)).collect();
        panic!("{name}: {told:#?}")
    })
}
