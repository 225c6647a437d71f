//! Makes a folder with a service to begin with.
//!
//! The SDK is written into it, so that the service builds without anything being published, and
//! without network where the SDK's own dependencies are at hand.

use std::path::{Path, PathBuf};

use althing_types::Alias;
use anyhow::{Context as _, Result};
use clap::Args;
use serde::Serialize;

use crate::failure::Failure;
use crate::output::Output;

/// Make a folder with a service to begin with.
#[derive(Debug, Args)]
pub(crate) struct New {
    /// The folder; it must be empty or not exist.
    dir: PathBuf,
    /// What people will call the service: `namespace/name`, or with `@version`.
    #[arg(long, value_name = "NAMESPACE/NAME", value_parser = alias)]
    name: Alias,
}

/// A first version unless one is given.
fn alias(text: &str) -> Result<Alias, String> {
    let whole = if text.contains('@') { text.to_owned() } else { format!("{text}@0.1.0") };
    whole
        .parse()
        .map_err(|_| format!("{text:?} is no namespace/name of a-z, 0-9, '_', '-' and '.'"))
}

const CARGO_TOML: &str = include_str!("template/Cargo.toml.txt");
const SERVICE_YML: &str = include_str!("template/service.yml.txt");
const LIB_RS: &str = include_str!("template/lib.rs.txt");

/// The SDK's files, by their path in its folder.
const SDK: [(&str, &str); 5] = [
    ("Cargo.toml", include_str!("../../../../../sdk/rust/Cargo.toml")),
    ("Cargo.lock", SDK_LOCK),
    ("src/lib.rs", include_str!("../../../../../sdk/rust/src/lib.rs")),
    ("src/memory.rs", include_str!("../../../../../sdk/rust/src/memory.rs")),
    ("wit/service.wit", include_str!("../../../../../sdk/rust/wit/service.wit")),
];
const SDK_LOCK: &str = include_str!("../../../../../sdk/rust/Cargo.lock");

#[derive(Serialize)]
struct Made {
    service: String,
    folder: PathBuf,
    files: Vec<String>,
}

impl New {
    pub(super) fn run(self, output: Output) -> Result<()> {
        let occupied =
            std::fs::read_dir(&self.dir).is_ok_and(|mut entries| entries.next().is_some());
        if occupied {
            let message = format!("{} is not empty", self.dir.display());
            return Err(
                Failure::new("CLI-0023", message, "name a folder that does not exist yet").into()
            );
        }
        let files = files(&self.name);
        for (name, text) in &files {
            write(&self.dir.join(name), text)?;
        }
        let made = Made {
            service: self.name.to_string(),
            folder: self.dir,
            files: files.into_iter().map(|(name, _)| name).collect(),
        };
        output.print(&made, |made| {
            let folder = made.folder.display();
            format!("{} in {folder}\nnext: edit {folder}/src/lib.rs, then `althing service build {folder}`", made.service)
        })
    }
}

fn write(path: &Path, text: &str) -> Result<()> {
    if let Some(parent) = path.parent() {
        std::fs::create_dir_all(parent)
            .with_context(|| format!("creating {}", parent.display()))?;
    }
    std::fs::write(path, text).with_context(|| format!("writing {}", path.display()))
}

/// Everything that the folder begins with.
fn files(service: &Alias) -> Vec<(String, String)> {
    // Cargo allows no points, and no digit at the beginning.
    let package = format!("service-{}", service.name.as_str().replace('.', "-"));
    let mut files = vec![
        ("Cargo.toml".to_owned(), CARGO_TOML.replace("PACKAGE", &package)),
        ("Cargo.lock".to_owned(), lock_file(&package)),
        ("service.yml".to_owned(), SERVICE_YML.replace("SERVICE", &service.to_string())),
        ("src/lib.rs".to_owned(), LIB_RS.to_owned()),
        (".gitignore".to_owned(), "/target\n".to_owned()),
    ];
    files.extend(SDK.iter().map(|(name, text)| (format!("sdk/{name}"), (*text).to_owned())));
    files
}

/// The SDK's lock file with one more package, in the place where cargo would write it: a build
/// obeys it, and is the same for everybody.
fn lock_file(package: &str) -> String {
    const ENTRY: &str = "[[package]]\n";
    let own = format!(
        "name = \"{package}\"\nversion = \"0.1.0\"\ndependencies = [\n \"althing-sdk\",\n \"serde\",\n]\n\n"
    );
    let mut parts = SDK_LOCK.split(ENTRY);
    let head = parts.next().unwrap_or_default();
    let mut entries: Vec<String> = parts.map(|entry| format!("{}\n\n", entry.trim_end())).collect();
    entries.push(own);
    entries.sort_by_key(|entry| entry.lines().next().map(str::to_owned));
    let body: String = entries.iter().map(|entry| format!("{ENTRY}{entry}")).collect();
    format!("{head}{}\n", body.trim_end())
}

#[cfg(test)]
mod tests {
    use althing_manifest::ServiceFile;

    use super::*;

    #[test]
    fn the_manifest_of_a_new_service_has_no_mistake() {
        let files = files(&alias("acme/hello").unwrap());
        let (_, text) = files.iter().find(|(name, _)| name == "service.yml").unwrap();
        let file = ServiceFile::parse("service.yml", text).unwrap();
        assert_eq!(file.service().to_string(), "acme/hello@0.1.0");
    }

    #[test]
    fn every_file_of_the_sdk_is_brought_along() {
        let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../sdk/rust");
        let mut there = Vec::new();
        let mut folders = vec![root.clone()];
        while let Some(folder) = folders.pop() {
            for entry in std::fs::read_dir(folder).unwrap() {
                let path = entry.unwrap().path();
                let name = path.strip_prefix(&root).unwrap().to_str().unwrap().to_owned();
                match path.is_dir() {
                    true if name == "target" || name == "tests" => {}
                    true => folders.push(path),
                    false => there.push(name),
                }
            }
        }
        there.sort();
        let mut brought: Vec<&str> = SDK.iter().map(|(name, _)| *name).collect();
        brought.sort_unstable();
        assert_eq!(there, brought);
    }

    #[test]
    fn the_lock_file_is_in_cargos_order() {
        let text = lock_file("service-hello");
        let names: Vec<&str> = text.lines().filter(|line| line.starts_with("name = ")).collect();
        assert!(names.is_sorted());
        assert!(names.contains(&"name = \"service-hello\""));
        // Without the entry of its own it is the SDK's, byte for byte.
        let own = "[[package]]\nname = \"service-hello\"\nversion = \"0.1.0\"\ndependencies = [\n \"althing-sdk\",\n \"serde\",\n]\n\n";
        assert_eq!(text.replace(own, ""), SDK_LOCK);
    }

    #[test]
    fn a_name_without_a_version_is_the_first() {
        assert_eq!(alias("acme/hello@2.0.0").unwrap().to_string(), "acme/hello@2.0.0");
        assert!(alias("acme").is_err());
    }
}
