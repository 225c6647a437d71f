//! The repository's text files in memory, so that a check is a function and its test a few lines.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::Path;

use anyhow::{Context as _, Result};

/// Larger files are data, not text that somebody reads.
const FILE_BYTES_MAX: u64 = 1 << 20;
const SKIPPED: [&str; 5] = [".git", "target", "node_modules", "dist", "out"];

/// Text files by their path from the repository's top, with `/` between folders.
#[derive(Clone, Debug, Default)]
pub(crate) struct Tree {
    files: BTreeMap<String, String>,
    /// Pictures and the like: there, but not read.
    others: BTreeSet<String>,
}

impl Tree {
    /// Reads every text file below `root`; build folders and binary files are left out.
    pub(crate) fn read(root: &Path) -> Result<Self> {
        let mut tree = Self::default();
        tree.enter(root, "")?;
        Ok(tree)
    }

    #[cfg(test)]
    pub(crate) fn of(files: &[(&str, &str)]) -> Self {
        let owned = |(path, text): &(&str, &str)| (String::from(*path), String::from(*text));
        Self { files: files.iter().map(owned).collect(), others: BTreeSet::new() }
    }

    /// Every file, ordered by path.
    pub(crate) fn files(&self) -> impl Iterator<Item = (&str, &str)> {
        self.files.iter().map(|(path, text)| (path.as_str(), text.as_str()))
    }

    /// One file's text.
    pub(crate) fn text(&self, path: &str) -> Option<&str> {
        self.files.get(path).map(String::as_str)
    }

    /// The path of every file, read or not.
    pub(crate) fn paths(&self) -> impl Iterator<Item = &str> {
        self.files.keys().chain(&self.others).map(String::as_str)
    }

    fn enter(&mut self, folder: &Path, prefix: &str) -> Result<()> {
        let reading = || format!("reading the folder {}", folder.display());
        for entry in fs::read_dir(folder).with_context(reading)? {
            let entry = entry.with_context(reading)?;
            let name = entry.file_name().to_string_lossy().into_owned();
            let kind = entry.file_type().with_context(reading)?;
            let path = format!("{prefix}{name}");
            if kind.is_dir() {
                if !SKIPPED.contains(&name.as_str()) {
                    self.enter(&entry.path(), &format!("{path}/"))?;
                }
            } else if kind.is_file() {
                let small = entry.metadata().with_context(reading)?.len() <= FILE_BYTES_MAX;
                let text = if small { fs::read_to_string(entry.path()).ok() } else { None };
                match text {
                    Some(text) => drop(self.files.insert(path, text)),
                    None => drop(self.others.insert(path)),
                }
            } else {
                self.others.insert(path);
            }
        }
        Ok(())
    }
}
