//! What the core reaches from crates.io: nothing that has a clock, a file, a socket or entropy.
//!
//! `#![no_std]` binds our own crates only. So every crate that a core crate reaches through normal
//! dependencies is held to two rules: it is not on the list of the refused, and its feature `std`
//! is off. Procedural macros run in the compiler and are left out.
//!
//! Cargo is asked for one core crate at a time: across the whole workspace it would report the
//! features that outer crates turn on, and those are theirs.

use anyhow::Result;

use crate::finding::Finding;
use crate::packages::Package;
use crate::workspace::{Workspace, output};

/// Runtimes, clocks, entropy, I/O, logs, and the parts that have a fence of their own.
const REFUSED: [&str; 24] = [
    "anyhow",
    "async-std",
    "chrono",
    "crossbeam",
    "dashmap",
    "getrandom",
    "instant",
    "iroh",
    "log",
    "mio",
    "parking_lot",
    "rand",
    "rayon",
    "redb",
    "reqwest",
    "secp256k1",
    "serde_json",
    "smol",
    "socket2",
    "tempfile",
    "time",
    "tokio",
    "tracing",
    "wasmtime",
];

pub(crate) fn check(workspace: &Workspace, package: &Package) -> Result<Vec<Finding>> {
    let closure = output(&mut workspace.cargo([
        "tree",
        "--package",
        &package.name,
        "--edges",
        "normal,no-proc-macro",
        "--prefix",
        "none",
        "--no-dedupe",
        "--format",
        "{p}|{f}",
    ]))?;
    Ok(impure(&package.folder, &closure))
}

/// Reads lines of `name version|feature,feature`.
fn impure(folder: &str, closure: &str) -> Vec<Finding> {
    let mut findings = Vec::new();
    for line in closure.lines() {
        let (package, features) = line.split_once('|').unwrap_or((line, ""));
        let name = package.split(' ').next().unwrap_or_default();
        if REFUSED.contains(&name) {
            findings.push(Finding::of(folder, format!("reaches {name}: the core is pure")));
        }
        if features.split(',').any(|feature| feature.trim() == "std") {
            findings.push(Finding::of(folder, format!("reaches {name} with its feature `std`")));
        }
    }
    findings.sort();
    findings.dedup();
    findings
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_runtime_and_a_feature_std_are_found_once_each() {
        let closure = "althing-state v0.1.0 (/r/core/state)|\nborsh v1.5.1|derive,std\n\
            tokio v1.40.0|rt\nborsh v1.5.1|derive,std\nsha3 v0.10.8|\n";
        assert_eq!(
            impure("core/state", closure),
            [
                Finding::of("core/state", "reaches borsh with its feature `std`"),
                Finding::of("core/state", "reaches tokio: the core is pure"),
            ]
        );
    }

    #[test]
    fn a_name_that_only_begins_like_a_refused_one_is_fine() {
        assert_eq!(impure("core/state", "rand_core v0.6.4|alloc\ntimeless v1.0.0|\n"), []);
    }
}
