//! Every rejection of the ledger is provoked by some test.
//!
//! **The rule.** A rejection is an arm `Self::Variant … => "<code>"` in `core/ledger/src`. A test
//! provokes it if test code (a file below a `tests` folder, a `tests.rs`, an item behind
//! `#[cfg(test)]`; comments do not count) has the code itself or `::Variant`. Naming is all that a
//! reader of text can see; that the test asserts it is the reviewer's part.

use crate::finding::Finding;
use crate::rust::{self, Part};
use crate::tidy::errors::codes;
use crate::tree::Tree;

const LEDGER: &str = "core/ledger/src/";

pub(crate) fn check(tree: &Tree) -> Vec<Finding> {
    let tests = tests(tree);
    let mut findings = Vec::new();
    for (path, text) in tree.files().filter(|(path, _)| path.starts_with(LEDGER)) {
        for arm in arms(path, text) {
            let provoked =
                tests.contains(&arm.code) || arm.variants.iter().any(|name| names(&tests, name));
            if !provoked {
                let message =
                    format!("no test provokes {} ({})", arm.variants.join(", "), arm.code);
                findings.push(Finding::at(path, arm.line, message));
            }
        }
    }
    findings
}

/// One code and the variants that carry it.
#[derive(Debug, PartialEq, Eq)]
struct Arm {
    line: usize,
    variants: Vec<String>,
    code: String,
}

/// The arms of a file: from a `Self::` that begins a pattern to the code behind its `=>`.
fn arms(path: &str, text: &str) -> Vec<Arm> {
    let mut found = Vec::new();
    let mut variants: Vec<String> = Vec::new();
    for (line, part, content) in rust::lines(path, text) {
        if part != Part::Code {
            continue;
        }
        let (pattern, result) = match content.split_once("=>") {
            Some((pattern, result)) => (pattern, Some(result)),
            None => (content, None),
        };
        let head = pattern.trim_start();
        if head.starts_with("Self::") {
            variants.clear();
        }
        if head.starts_with("Self::") || head.starts_with("| Self::") {
            let names = pattern.split("Self::").skip(1).map(identifier);
            variants.extend(names.filter(|name| !name.is_empty()).map(String::from));
        }
        // The code may stand on the line below `=> {`.
        let code = codes(result.unwrap_or(content)).next();
        if let (Some(code), false) = (code, variants.is_empty()) {
            found.push(Arm { line, variants: std::mem::take(&mut variants), code: code.into() });
        }
    }
    found
}

fn identifier(text: &str) -> &str {
    let end = text.find(|c: char| !c.is_alphanumeric() && c != '_').unwrap_or(text.len());
    text.get(..end).unwrap_or_default()
}

/// All test code of the workspace.
fn tests(tree: &Tree) -> String {
    let mut tests = String::new();
    for (path, text) in tree.files().filter(|(path, _)| path.ends_with(".rs")) {
        for (_, part, line) in rust::lines(path, text) {
            if part == Part::Test && !line.trim_start().starts_with("//") {
                tests.push_str(line);
                tests.push('\n');
            }
        }
    }
    tests
}

fn names(tests: &str, variant: &str) -> bool {
    let needle = format!("::{variant}");
    tests.match_indices(&needle).any(|(at, _)| {
        let after = tests.get(at.saturating_add(needle.len())..).unwrap_or_default();
        !after.starts_with(|c: char| c.is_alphanumeric() || c == '_')
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Three variants, two codes; the codes are put together so that they are not found here.
    fn source() -> String {
        "        match self {
            Self::Poor { .. } => \"TST-@001\",
            Self::Late
            | Self::Early { at: _ } => {
                \"TST-@002\"
            }
        }
"
        .replace('@', "0")
    }

    fn findings(test: &str) -> Vec<String> {
        let source = source();
        let tree = Tree::of(&[
            ("core/ledger/src/rejection.rs", &source),
            ("core/ledger/tests/it.rs", test),
        ]);
        check(&tree).iter().map(Finding::to_string).collect()
    }

    #[test]
    fn a_rejection_that_no_test_names_is_found() {
        let found = findings("assert_eq!(rejection, Rejection::Poor { needed });\n");
        assert_eq!(found.len(), 1, "{found:?}");
        assert!(
            found[0].starts_with("core/ledger/src/rejection.rs:5: no test provokes Late, Early")
        );
    }

    #[test]
    fn a_code_is_as_good_as_a_name() {
        let test = "assert_eq!(code, \"TST-@002\");\nRejection::Poor;\n".replace('@', "0");
        assert_eq!(findings(&test), [""; 0]);
    }

    #[test]
    fn a_comment_or_a_longer_name_provokes_nothing() {
        let found = findings("// Rejection::Poor\nRejection::Poorest;\nRejection::LateAgain;\n");
        assert_eq!(found.len(), 2, "{found:?}");
    }
}
