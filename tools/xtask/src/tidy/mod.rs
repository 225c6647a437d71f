//! What no compiler checks: headers, error pages, provoked rejections, links, file sizes.
//!
//! Each check is a function from the repository's text to findings, in a file of its own.

mod crates;
pub(crate) mod errors;
mod links;
mod rejections;
mod text;

use anyhow::Result;

use crate::finding::settle;
use crate::test::Done;
use crate::tree::Tree;
use crate::workspace::Workspace;

/// Runs every check and lists what each of them found.
pub(crate) fn check(workspace: &Workspace) -> Result<Done> {
    let tree = Tree::read(workspace.root())?;
    let mut findings = crates::check(&tree);
    findings.extend(text::check(&tree));
    findings.extend(errors::check(&tree));
    findings.extend(rejections::check(&tree));
    findings.extend(links::check(&tree));
    settle(findings)?;
    Ok(Done::passed(format!("{} files", tree.files().count())))
}
