//! Every crate says what it is for and takes part in the house's lints.
//!
//! - the manifest has a `description` and `[lints] workspace = true`;
//! - each crate root begins with a `//!` header;
//! - a crate of `core/` is `#![no_std]`: the compiler keeps clocks, files and sockets out.

use crate::finding::Finding;
use crate::layers::LAYERS;
use crate::tree::Tree;

pub(crate) fn check(tree: &Tree) -> Vec<Finding> {
    let mut findings = Vec::new();
    for (path, manifest) in tree.files() {
        let Some(folder) = path.strip_suffix("/Cargo.toml") else { continue };
        let Some((layer, name)) = folder.split_once('/') else { continue };
        if !LAYERS.contains(&layer) || name.contains('/') {
            continue;
        }
        if !has_lints(manifest) {
            findings.push(Finding::of(path, "add `[lints] workspace = true`"));
        }
        if !has_description(manifest) {
            findings.push(Finding::of(path, "add a `description` of one sentence"));
        }
        let mut roots = 0;
        for file in ["lib.rs", "main.rs"] {
            let root = format!("{folder}/src/{file}");
            let Some(text) = tree.text(&root) else { continue };
            roots += 1;
            if !text.starts_with("//! ") {
                findings.push(Finding::at(&root, 1, "begin with a `//!` header: what it is for"));
            }
            if layer == "core" && !text.lines().any(|line| line == "#![no_std]") {
                findings.push(Finding::of(&root, "a crate of core/ is `#![no_std]`"));
            }
        }
        if roots == 0 {
            findings.push(Finding::of(path, "neither src/lib.rs nor src/main.rs"));
        }
    }
    findings
}

fn has_lints(manifest: &str) -> bool {
    manifest
        .lines()
        .skip_while(|line| line.trim() != "[lints]")
        .skip(1)
        .take_while(|line| !line.starts_with('['))
        .any(|line| line.trim() == "workspace = true")
}

fn has_description(manifest: &str) -> bool {
    manifest.lines().any(|line| {
        line.strip_prefix("description")
            .and_then(|rest| rest.trim_start().strip_prefix('='))
            .is_some_and(|value| value.trim().len() > "\"\"".len())
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const MANIFEST: &str = "[package]\ndescription = \"Ids.\"\n\n[lints]\nworkspace = true\n";

    fn findings(manifest: &str, root: &str) -> Vec<String> {
        let tree = Tree::of(&[("core/a/Cargo.toml", manifest), ("core/a/src/lib.rs", root)]);
        check(&tree).iter().map(Finding::to_string).collect()
    }

    #[test]
    fn a_complete_crate_has_no_finding() {
        assert!(findings(MANIFEST, "//! Ids.\n#![no_std]\n").is_empty());
    }

    #[test]
    fn each_missing_part_is_named() {
        let manifest =
            "[package]\ndescription = \"\"\n\n[lints]\n\n[dependencies]\nworkspace = true\n";
        assert_eq!(
            findings(manifest, "pub mod id;\n"),
            [
                "core/a/Cargo.toml: add `[lints] workspace = true`",
                "core/a/Cargo.toml: add a `description` of one sentence",
                "core/a/src/lib.rs:1: begin with a `//!` header: what it is for",
                "core/a/src/lib.rs: a crate of core/ is `#![no_std]`",
            ]
        );
    }

    #[test]
    fn a_crate_without_a_root_is_found() {
        let tree = Tree::of(&[("apps/a/Cargo.toml", MANIFEST)]);
        assert_eq!(
            check(&tree),
            [Finding::of("apps/a/Cargo.toml", "neither src/lib.rs nor src/main.rs")]
        );
    }
}
