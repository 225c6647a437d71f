//! Links between the repository's own pages lead somewhere.
//!
//! Checks every relative link of every `*.md`, and the heading behind `#`. What stands in code
//! blocks is no link; addresses outside of the repository are not asked.

use std::collections::BTreeSet;

use crate::finding::Finding;
use crate::tree::Tree;

pub(crate) fn check(tree: &Tree) -> Vec<Finding> {
    // A link may lead to a folder.
    let mut places: BTreeSet<&str> = BTreeSet::new();
    for path in tree.paths() {
        places.insert(path);
        places.extend(path.match_indices('/').filter_map(|(at, _)| path.get(..at)));
    }
    let mut findings = Vec::new();
    for (path, text) in tree.files().filter(|(path, _)| path.ends_with(".md")) {
        for (number, line) in prose(text) {
            for target in targets(line) {
                if target.contains("://") || target.starts_with("mailto:") {
                    continue;
                }
                let (file, heading) = target.split_once('#').unwrap_or((target, ""));
                let place = if file.is_empty() { Some(path.into()) } else { resolve(path, file) };
                let there = place.as_deref().is_some_and(|place| places.contains(place));
                if !there {
                    findings.push(Finding::at(path, number, format!("`{target}` leads nowhere")));
                } else if !heading.is_empty()
                    && let Some(page) = place.and_then(|place| tree.text(&place))
                    && !headings(page).any(|known| known == heading)
                {
                    let message = format!("`{target}`: no such heading there");
                    findings.push(Finding::at(path, number, message));
                }
            }
        }
    }
    findings
}

/// The lines outside of fenced code, numbered from 1.
fn prose(text: &str) -> impl Iterator<Item = (usize, &str)> {
    let mut fenced = false;
    text.lines().enumerate().filter_map(move |(index, line)| {
        if line.trim_start().starts_with("```") {
            fenced = !fenced;
            return None;
        }
        (!fenced).then_some((index + 1, line))
    })
}

/// What stands in the round brackets of `[…](…)`.
fn targets(line: &str) -> impl Iterator<Item = &str> {
    line.match_indices("](").filter_map(|(at, mark)| {
        let rest = line.get(at.checked_add(mark.len())?..)?;
        let (inside, _) = rest.split_once(')')?;
        // A title may follow the target.
        inside.split_whitespace().next()
    })
}

/// The path that `target` means on the page `page`; `None` if it leaves the repository.
fn resolve(page: &str, target: &str) -> Option<String> {
    let folder = page.rsplit_once('/').map_or("", |(folder, _)| folder);
    let mut parts: Vec<&str> = folder.split('/').filter(|part| !part.is_empty()).collect();
    if target.starts_with('/') {
        parts.clear();
    }
    for part in target.split('/') {
        match part {
            "" | "." => {}
            ".." => drop(parts.pop()?),
            name => parts.push(name),
        }
    }
    Some(parts.join("/"))
}

/// The anchors of a page's headings, as the usual forges make them.
fn headings(page: &str) -> impl Iterator<Item = String> {
    prose(page).filter_map(|(_, line)| {
        let title = line.trim_start_matches('#').strip_prefix(' ')?;
        if !line.starts_with('#') {
            return None;
        }
        let kept =
            title.trim().chars().filter(|c| c.is_alphanumeric() || matches!(c, ' ' | '-' | '_'));
        Some(kept.flat_map(char::to_lowercase).map(|c| if c == ' ' { '-' } else { c }).collect())
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn findings(readme: &str) -> Vec<String> {
        let tree = Tree::of(&[
            ("README.md", readme),
            ("docs/adr/0001-bytes.md", "# Bytes\n\n## What we chose, and why\n"),
        ]);
        check(&tree).iter().map(Finding::to_string).collect()
    }

    #[test]
    fn links_that_lead_somewhere_have_no_finding() {
        let readme = "# A\n[a](docs/adr/0001-bytes.md) [b](docs/adr/) [c](./docs) [d](#a)\n\
            [e](docs/adr/0001-bytes.md#what-we-chose-and-why \"title\") [f](https://example.org)\n";
        assert_eq!(findings(readme), [""; 0]);
    }

    #[test]
    fn a_missing_page_and_a_missing_heading_are_found() {
        let readme = "[a](docs/none.md)\n[b](docs/adr/0001-bytes.md#no)\n[c](../outside.md)\n";
        assert_eq!(
            findings(readme),
            [
                "README.md:1: `docs/none.md` leads nowhere",
                "README.md:2: `docs/adr/0001-bytes.md#no`: no such heading there",
                "README.md:3: `../outside.md` leads nowhere",
            ]
        );
    }

    #[test]
    fn code_is_not_searched_for_links() {
        assert_eq!(findings("```text\n[a](nowhere.md)\n```\n"), [""; 0]);
    }

    #[test]
    fn links_are_relative_to_their_page() {
        let tree = Tree::of(&[
            ("docs/a.md", "[b](adr/b.md) [up](../README.md) [no](README.md)\n"),
            ("docs/adr/b.md", ""),
            ("README.md", ""),
        ]);
        assert_eq!(check(&tree), [Finding::at("docs/a.md", 1, "`README.md` leads nowhere")]);
    }
}
