//! The workspace's crates, as `cargo metadata` tells them.

use anyhow::{Context as _, Result};
use serde_json::Value;

use crate::workspace::{Workspace, output};

/// A crate of the workspace.
#[derive(Debug)]
pub(crate) struct Package {
    pub(crate) name: String,
    /// From the repository's top: `core/types`.
    pub(crate) folder: String,
    pub(crate) dependencies: Vec<Dependency>,
    /// Its programs, without one that is named like its library: their docs would be one file.
    pub(crate) programs: Vec<String>,
}

/// What a manifest names under its dependencies.
#[derive(Debug)]
pub(crate) struct Dependency {
    pub(crate) name: String,
    pub(crate) development: bool,
    /// From the repository's top, for a crate of this workspace.
    pub(crate) folder: Option<String>,
}

impl Package {
    /// The folder that stands for the layer.
    pub(crate) fn layer(&self) -> Option<&str> {
        self.folder.split('/').next()
    }
}

/// Every crate of the workspace.
pub(crate) fn list(workspace: &Workspace) -> Result<Vec<Package>> {
    let metadata =
        output(&mut workspace.cargo(["metadata", "--no-deps", "--format-version", "1"]))?;
    read(&metadata)
}

/// Reads what `cargo metadata --no-deps` prints.
pub(crate) fn read(metadata: &str) -> Result<Vec<Package>> {
    let metadata: Value =
        serde_json::from_str(metadata).context("reading what cargo metadata printed")?;
    let root = text(&metadata, "workspace_root")?;
    let relative =
        |path: &str| path.strip_prefix(root).map(|rest| rest.trim_start_matches('/').to_owned());
    let mut packages = Vec::new();
    for package in items(&metadata, "packages")? {
        let manifest = text(package, "manifest_path")?;
        let folder = manifest
            .strip_suffix("/Cargo.toml")
            .and_then(relative)
            .with_context(|| format!("{manifest} lies outside of the workspace"))?;
        let mut dependencies = Vec::new();
        for dependency in items(package, "dependencies")? {
            dependencies.push(Dependency {
                name: text(dependency, "name")?.to_owned(),
                development: dependency.get("kind").and_then(Value::as_str) == Some("dev"),
                folder: dependency.get("path").and_then(Value::as_str).and_then(relative),
            });
        }
        let name = text(package, "name")?.to_owned();
        packages.push(Package { name, folder, dependencies, programs: programs(package)? });
    }
    Ok(packages)
}

fn programs(package: &Value) -> Result<Vec<String>> {
    let mut programs = Vec::new();
    let mut library = None;
    for target in items(package, "targets")? {
        let name = text(target, "name")?;
        for kind in items(target, "kind")? {
            match kind.as_str() {
                Some("bin") => programs.push(name.to_owned()),
                Some("lib") => library = Some(name.replace('-', "_")),
                _ => {}
            }
        }
    }
    programs.retain(|name| Some(name.replace('-', "_")) != library);
    Ok(programs)
}

fn text<'a>(value: &'a Value, key: &str) -> Result<&'a str> {
    let text = value.get(key).and_then(Value::as_str);
    text.with_context(|| format!("cargo metadata without `{key}`"))
}

fn items<'a>(value: &'a Value, key: &str) -> Result<&'a Vec<Value>> {
    let items = value.get(key).and_then(Value::as_array);
    items.with_context(|| format!("cargo metadata without `{key}`"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_program_named_like_its_library_is_left_out() {
        let metadata = r#"{"workspace_root": "/r", "packages": [{"name": "althing-demo",
            "manifest_path": "/r/tools/demo/Cargo.toml", "dependencies": [], "targets": [
            {"name": "althing_demo", "kind": ["lib"]}, {"name": "althing-demo", "kind": ["bin"]},
            {"name": "other", "kind": ["bin"]}, {"name": "it", "kind": ["test"]}]}]}"#;
        let packages = read(metadata).unwrap();
        assert_eq!(packages.len(), 1);
        assert_eq!(packages[0].folder, "tools/demo");
        assert_eq!(packages[0].programs, ["other"]);
    }

    #[test]
    fn a_crate_outside_of_the_workspace_is_an_error() {
        let metadata = r#"{"workspace_root": "/r", "packages": [{"name": "p",
            "manifest_path": "/elsewhere/Cargo.toml", "dependencies": [], "targets": []}]}"#;
        assert!(read(metadata).unwrap_err().to_string().contains("outside"));
    }
}
