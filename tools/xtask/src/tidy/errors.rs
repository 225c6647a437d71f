//! Error codes and their pages: each code has one, each page a code, and the index lists them all.
//!
//! A code is three capitals, a hyphen and four digits. `XXX` is the placeholder of texts like this
//! one and is no code; a standard is written with a space (ISO 8601), so that it is none either.
//!
//! ```text
//!   *.rs ──codes──►  docs/errors/<code>.md ──titles──►  docs/errors/README.md
//! ```

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::fs;

use anyhow::{Context as _, Result};

use crate::finding::Finding;
use crate::rust::{self, Part};
use crate::tree::Tree;
use crate::workspace::Workspace;

const FOLDER: &str = "docs/errors/";
const INDEX: &str = "docs/errors/README.md";
/// The index is everything below this line of the README.
const MARK: &str = "<!-- Written by `cargo xtask errors`; everything below is replaced. -->";
const SECTIONS: [&str; 3] = ["## What happened", "## Why", "## What to do"];
const CODE_BYTES: usize = 8;

pub(crate) fn check(tree: &Tree) -> Vec<Finding> {
    let mut findings = Vec::new();
    // Where each code is first mentioned, and whether the product itself uses it.
    let mut mentioned: BTreeMap<&str, (&str, usize)> = BTreeMap::new();
    let mut used: BTreeSet<&str> = BTreeSet::new();
    for (path, text) in tree.files().filter(|(path, _)| path.ends_with(".rs")) {
        for (number, part, line) in rust::lines(path, text) {
            for code in codes(line) {
                mentioned.entry(code).or_insert((path, number));
                if part == Part::Code {
                    used.insert(code);
                }
            }
        }
    }
    for (code, (path, line)) in &mentioned {
        if tree.text(&format!("{FOLDER}{code}.md")).is_none() {
            findings.push(Finding::at(
                path,
                *line,
                format!("{code} has no page {FOLDER}{code}.md"),
            ));
        }
    }
    for (path, code, page) in pages(tree) {
        if codes(code).next() != Some(code) {
            findings.push(Finding::of(path, "not named after an error code"));
            continue;
        }
        if !used.contains(code) {
            findings
                .push(Finding::of(path, format!("no code uses {code}: a page without an error")));
        }
        findings.extend(shape(path, code, page));
    }
    if tree.text(INDEX).is_none_or(|text| text != index(tree)) {
        findings.push(Finding::of(INDEX, "the index is out of date: run `cargo xtask errors`"));
    }
    findings
}

/// Writes the index below the mark of `docs/errors/README.md`.
pub(crate) fn write_index(workspace: &Workspace) -> Result<()> {
    let text = index(&Tree::read(workspace.root())?);
    fs::write(workspace.root().join(INDEX), text).with_context(|| format!("writing {INDEX}"))
}

/// The README with the index as it should be.
fn index(tree: &Tree) -> String {
    let now = tree.text(INDEX).unwrap_or_default();
    let before = now.split_once(MARK).map_or(now, |(before, _)| before);
    let mut text = format!("{}\n\n{MARK}\n\n| Code | Error |\n|---|---|\n", before.trim_end());
    for (_, code, page) in pages(tree) {
        let title = title(code, page).unwrap_or_default();
        writeln!(text, "| [{code}]({code}.md) | {title} |").expect("a string takes every write");
    }
    text
}

/// Every page: its path, its name without the end, its text.
fn pages(tree: &Tree) -> impl Iterator<Item = (&str, &str, &str)> {
    tree.files().filter(|(path, _)| *path != INDEX).filter_map(|(path, text)| {
        let name = path.strip_prefix(FOLDER)?.strip_suffix(".md")?;
        Some((path, name, text))
    })
}

fn title<'a>(code: &str, page: &'a str) -> Option<&'a str> {
    let line = page.lines().next()?;
    let title = line.strip_prefix("# ")?.strip_prefix(code)?.strip_prefix(": ")?.trim();
    (!title.is_empty()).then_some(title)
}

/// The page's title, then the three sections in order, none of them empty.
fn shape(path: &str, code: &str, page: &str) -> Option<Finding> {
    if title(code, page).is_none() {
        return Some(Finding::at(path, 1, format!("begin with `# {code}: ` and a title")));
    }
    let headings: Vec<&str> = page.lines().filter(|line| line.starts_with("## ")).collect();
    let present: Vec<&str> =
        headings.iter().copied().filter(|heading| SECTIONS.contains(heading)).collect();
    if present != SECTIONS {
        let wanted = SECTIONS.map(|section| section.trim_start_matches("## ")).join(", ");
        return Some(Finding::of(path, format!("write the sections {wanted}, in this order")));
    }
    for section in SECTIONS {
        let body = page.lines().skip_while(|line| *line != section).skip(1);
        let filled =
            body.take_while(|line| !line.starts_with("## ")).any(|line| !line.trim().is_empty());
        if !filled {
            return Some(Finding::of(path, format!("`{section}` is empty")));
        }
    }
    None
}

/// The error codes in a text.
pub(crate) fn codes(text: &str) -> impl Iterator<Item = &str> {
    let bytes = text.as_bytes();
    let whole = |byte: Option<&u8>| {
        !byte.is_some_and(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_'))
    };
    (0..=bytes.len().saturating_sub(CODE_BYTES)).filter_map(move |start| {
        let end = start.checked_add(CODE_BYTES)?;
        let (letters, rest) = bytes.get(start..end)?.split_at(3);
        let (hyphen, digits) = rest.split_first()?;
        let is_code = letters.iter().all(u8::is_ascii_uppercase)
            && letters != b"XXX"
            && *hyphen == b'-'
            && digits.iter().all(u8::is_ascii_digit)
            && whole(start.checked_sub(1).and_then(|before| bytes.get(before)))
            && whole(bytes.get(end));
        if is_code { text.get(start..end) } else { None }
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A code that this file does not spell out, lest it be found here.
    fn code(number: u16) -> String {
        format!("TST-{number:04}")
    }

    fn page(number: u16) -> String {
        let code = code(number);
        format!(
            "# {code}: A title\n\n## What happened\n\nA.\n\n## Why\n\nB.\n\n## What to do\n\nC.\n"
        )
    }

    /// One source file, one page, and an index that fits.
    fn findings(source: &str, page: &str) -> Vec<String> {
        let path = format!("{FOLDER}{}.md", code(1));
        let files = [("core/a/src/lib.rs", source), (&path, page), (INDEX, "# Errors\n")];
        let text = index(&Tree::of(&files));
        let tree = Tree::of(&[files[0], files[1], (INDEX, &text)]);
        check(&tree).iter().map(Finding::to_string).collect()
    }

    #[test]
    fn a_code_with_its_page_has_no_finding() {
        let source = format!("const CODE: &str = \"{}\";\n", code(1));
        assert_eq!(findings(&source, &page(1)), [""; 0]);
    }

    #[test]
    fn a_code_without_a_page_is_found_where_it_stands() {
        let source =
            format!("const A: &str = \"{}\";\nconst B: &str = \"{}\";\n", code(1), code(2));
        let expected = format!("core/a/src/lib.rs:2: {0} has no page {FOLDER}{0}.md", code(2));
        assert_eq!(findings(&source, &page(1)), [expected]);
    }

    #[test]
    fn a_page_whose_code_only_a_comment_or_a_test_mentions_is_found() {
        let c = code(1);
        for source in [format!("// {c}\n"), format!("#[cfg(test)]\nmod tests {{\n    {c}\n}}\n")] {
            let found = findings(&source, &page(1));
            assert_eq!(found.len(), 1, "{found:?}");
            assert!(found[0].ends_with("a page without an error"), "{found:?}");
        }
    }

    #[test]
    fn a_page_without_its_title_or_a_section_is_found() {
        let source = format!("const CODE: &str = \"{}\";\n", code(1));
        for (wrong, complaint) in [
            (page(1).replace(": A title", ""), "and a title"),
            (page(1).replace("## Why\n", ""), "in this order"),
            (page(1).replace("B.", ""), "`## Why` is empty"),
        ] {
            let found = findings(&source, &wrong);
            assert!(found.len() == 1 && found[0].ends_with(complaint), "{found:?}");
        }
    }

    #[test]
    fn an_index_that_misses_a_page_is_found() {
        let source = format!("const CODE: &str = \"{}\";\n", code(1));
        let (path, text) = (format!("{FOLDER}{}.md", code(1)), page(1));
        let tree =
            Tree::of(&[("core/a/src/lib.rs", &source), (&path, &text), (INDEX, "# Errors\n")]);
        assert_eq!(
            check(&tree),
            [Finding::of(INDEX, "the index is out of date: run `cargo xtask errors`")]
        );
    }

    #[test]
    fn the_index_keeps_what_stands_above_the_mark_and_is_stable() {
        let (path, text) = (format!("{FOLDER}{}.md", code(7)), page(7));
        let first = index(&Tree::of(&[(&path, &text), (INDEX, "# Errors\n\nProse.\n")]));
        assert!(first.starts_with("# Errors\n\nProse.\n"), "{first}");
        assert!(first.contains(&format!("| [{0}]({0}.md) | A title |", code(7))), "{first}");
        assert_eq!(index(&Tree::of(&[(&path, &text), (INDEX, &first)])), first);
    }

    #[test]
    fn only_whole_codes_count() {
        let c = code(1);
        for text in [format!("A{c}"), format!("{c}0"), format!("{c}-a"), c.to_lowercase()] {
            assert_eq!(codes(&text).next(), None, "{text}");
        }
        assert_eq!(codes("XXX-0001").next(), None);
        assert_eq!(codes(&format!("({c}) é {c}")).count(), 2);
    }
}
