//! Finished work only: no marks of unfinished lines, no file that nobody can hold in mind.

use crate::finding::Finding;
use crate::rust;
use crate::tree::Tree;

/// A longer file is split by noun.
const LINES_MAX: usize = 800;
/// What counts as source, by the end of the name.
const SOURCES: [&str; 10] =
    [".rs", ".toml", ".wit", ".sol", ".ts", ".tsx", ".js", ".py", ".sh", ".yml"];
/// Marks of unfinished work, in two parts so that this list does not find itself.
const UNFINISHED: [[&str; 2]; 4] =
    [["TO", "DO"], ["FIX", "ME"], ["todo", "!("], ["unimplemented", "!("]];

pub(crate) fn check(tree: &Tree) -> Vec<Finding> {
    let mut findings = Vec::new();
    let unfinished = UNFINISHED.map(|parts| parts.concat());
    for (path, text) in tree.files() {
        if !SOURCES.iter().any(|end| path.ends_with(end)) {
            continue;
        }
        for (index, line) in text.lines().enumerate() {
            if let Some(mark) = unfinished.iter().find(|mark| line.contains(mark.as_str())) {
                let message =
                    format!("`{mark}`: finish it, or write down in an issue what is left");
                findings.push(Finding::at(path, index + 1, message));
            }
        }
        let length = text.lines().count();
        if path.ends_with(".rs") && !rust::is_test_file(path) && length > LINES_MAX {
            let message = format!("{length} lines, {LINES_MAX} at most: split it by noun");
            findings.push(Finding::of(path, message));
        }
    }
    findings
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_mark_of_unfinished_work_is_found_where_it_stands() {
        let text = ["fn a() {\n    // ", "TO", "DO: later\n}\n"].concat();
        let found = check(&Tree::of(&[("core/a/src/lib.rs", &text), ("notes.md", &text)]));
        assert_eq!(found.len(), 1);
        assert!(found[0].to_string().starts_with("core/a/src/lib.rs:2: "), "{}", found[0]);
    }

    #[test]
    fn a_macro_that_stands_for_missing_code_is_found() {
        for name in ["todo", "unimplemented"] {
            let text = format!("fn a() {{\n    {name}{}\n}}\n", "!()");
            assert_eq!(check(&Tree::of(&[("apps/a/src/lib.rs", &text)])).len(), 1, "{name}");
        }
    }

    #[test]
    fn only_tests_may_be_long() {
        let long = "\n".repeat(LINES_MAX + 1);
        let fits = "\n".repeat(LINES_MAX);
        let tree = Tree::of(&[
            ("core/a/src/fits.rs", &fits),
            ("core/a/src/long.rs", &long),
            ("core/a/src/tests.rs", &long),
            ("core/a/tests/it.rs", &long),
        ]);
        assert_eq!(
            check(&tree),
            [Finding::of("core/a/src/long.rs", "801 lines, 800 at most: split it by noun")]
        );
    }
}
