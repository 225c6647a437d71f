//! The architecture, checked: dependencies point inwards, heavy parts stay behind their fence.
//!
//! ```text
//!   core ◄── engine ◄── adapters ◄── apps ◄── tools      the folder is the layer
//! ```
//!
//! - A crate depends on its own layer or on one before it.
//! - A fenced dependency is named only by the crates that its fence lists. Together with the rule
//!   above, nothing further inside can reach it.
//! - What the core reaches from crates.io is held to [`purity`].
//! - Exempt: dev-dependencies, which no product contains.

use anyhow::Result;

use crate::finding::{Finding, settle};
use crate::packages::{self, Package};
use crate::purity;
use crate::test::Done;
use crate::workspace::Workspace;

/// From the inside out.
pub(crate) const LAYERS: [&str; 6] = ["core", "engine", "adapters", "services", "apps", "tools"];

/// A dependency (or all that begin with a prefix ending in `*`), and the folders that may name it.
/// The first fence that fits a dependency decides.
const FENCES: [(&str, &[&str]); 13] = [
    ("wasmtime", &["adapters/runtime-wasm", "tools/bench"]),
    ("iroh*", &["adapters/net-iroh"]),
    // The engine's vocabulary: no network, no runtime.
    (
        "arc-malachitebft-core-types",
        &["adapters/consensus-malachite", "engine/replica", "tools/bench"],
    ),
    ("arc-malachitebft-*", &["adapters/consensus-malachite", "tools/bench"]),
    ("ractor", &["adapters/consensus-malachite", "tools/bench"]),
    ("redb", &["adapters/store-redb"]),
    ("secp256k1", &["adapters/keys"]),
    ("schnorrkel", &["adapters/keys"]),
    ("axum", &["apps/api", "apps/node", "apps/cli", "services/bridges", "tools/bench"]),
    ("alloy", &["services/bridges"]),
    ("rusqlite", &["services/bridges"]),
    ("tokio-postgres", &["services/bridges"]),
    ("lettre", &["services/bridges"]),
];

/// Checks the layers, the fences and the purity of the core.
pub(crate) fn check(workspace: &Workspace) -> Result<Done> {
    let packages = packages::list(workspace)?;
    let mut findings: Vec<Finding> = packages.iter().flat_map(outward).collect();
    findings.extend(packages.iter().flat_map(fenced));
    for package in packages.iter().filter(|package| package.layer() == Some("core")) {
        findings.extend(purity::check(workspace, package)?);
    }
    settle(findings)?;
    Ok(Done::passed(format!("{} crates", packages.len())))
}

fn rank(folder: &str) -> Option<usize> {
    let layer = folder.split('/').next()?;
    LAYERS.iter().position(|known| *known == layer)
}

fn outward(package: &Package) -> Vec<Finding> {
    let Some(own) = rank(&package.folder) else {
        let layers = LAYERS.join(", ");
        return vec![Finding::of(&package.folder, format!("in none of the layers {layers}"))];
    };
    let mut findings = Vec::new();
    for dependency in package.dependencies.iter().filter(|dependency| !dependency.development) {
        let Some(folder) = &dependency.folder else { continue };
        if rank(folder).is_none_or(|other| other > own) {
            let message = format!("depends outwards, on {} in {folder}", dependency.name);
            findings.push(Finding::of(&package.folder, message));
        }
    }
    findings
}

fn fenced(package: &Package) -> Vec<Finding> {
    let mut findings = Vec::new();
    for dependency in package.dependencies.iter().filter(|dependency| !dependency.development) {
        let fence = FENCES.iter().find(|(pattern, _)| fits(pattern, &dependency.name));
        let Some((_, insiders)) = fence else { continue };
        if !insiders.contains(&package.folder.as_str()) {
            let message = format!(
                "depends on {}, which is fenced in {}",
                dependency.name,
                insiders.join(", ")
            );
            findings.push(Finding::of(&package.folder, message));
        }
    }
    findings
}

fn fits(pattern: &str, name: &str) -> bool {
    match pattern.strip_suffix('*') {
        Some(prefix) => name.starts_with(prefix),
        None => name == pattern,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A workspace of one crate in `folder` that has one dependency.
    fn findings(folder: &str, dependency: &str) -> Vec<String> {
        let metadata = format!(
            r#"{{"workspace_root": "/r", "packages": [{{"name": "p", "manifest_path":
            "/r/{folder}/Cargo.toml", "dependencies": [{dependency}], "targets": []}}]}}"#
        );
        let packages = packages::read(&metadata).unwrap();
        packages
            .iter()
            .flat_map(|p| [outward(p), fenced(p)].concat())
            .map(|f| f.to_string())
            .collect()
    }

    const OUTER: &str = r#"{"name": "outer", "kind": null, "path": "/r/adapters/outer"}"#;

    #[test]
    fn a_dependency_outwards_is_found() {
        let expected = "engine/inner: depends outwards, on outer in adapters/outer";
        assert_eq!(findings("engine/inner", OUTER), [expected]);
        let build = OUTER.replace("null", "\"build\"");
        assert_eq!(findings("engine/inner", &build), [expected]);
    }

    #[test]
    fn inwards_sideways_and_in_tests_is_allowed() {
        assert_eq!(findings("apps/outermost", OUTER), [""; 0]);
        assert_eq!(findings("adapters/beside", OUTER), [""; 0]);
        assert_eq!(findings("engine/inner", &OUTER.replace("null", "\"dev\"")), [""; 0]);
    }

    #[test]
    fn a_crate_in_no_layer_is_found() {
        assert!(findings("misc/thing", OUTER)[0].contains("in none of the layers"));
    }

    #[test]
    fn a_fenced_dependency_is_found_outside_of_its_fence() {
        let wasmtime = r#"{"name": "wasmtime", "kind": null}"#;
        assert_eq!(findings("adapters/runtime-wasm", wasmtime), [""; 0]);
        assert_eq!(
            findings("engine/work", wasmtime),
            [
                "engine/work: depends on wasmtime, which is fenced in adapters/runtime-wasm, tools/bench"
            ]
        );
        let iroh = r#"{"name": "iroh-blobs", "kind": null}"#;
        assert_eq!(findings("apps/node", iroh).len(), 1);
    }

    #[test]
    fn the_narrow_fence_decides_before_the_wide_one() {
        let types = r#"{"name": "arc-malachitebft-core-types", "kind": null}"#;
        let engine = r#"{"name": "arc-malachitebft-engine", "kind": null}"#;
        assert_eq!(findings("engine/replica", types), [""; 0]);
        assert_eq!(findings("engine/replica", engine).len(), 1);
    }
}
