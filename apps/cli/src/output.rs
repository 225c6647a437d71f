//! Standard output is data, standard error is talk.

use std::io::{self, Write as _};

use anyhow::Result;
use serde::Serialize;

/// How a command prints its data.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Output {
    pub(crate) json: bool,
}

impl Output {
    /// Prints data: as JSON if that was asked for, else as the text that `text` makes of it.
    pub(crate) fn print<T: Serialize>(
        self,
        data: &T,
        text: impl FnOnce(&T) -> String,
    ) -> Result<()> {
        let rendered = if self.json { serde_json::to_string_pretty(data)? } else { text(data) };
        self.bytes(format!("{}\n", rendered.trim_end()).as_bytes())
    }

    /// Prints a file as it is.
    #[expect(clippy::unused_self, reason = "every output goes through the one that was asked for")]
    pub(crate) fn bytes(self, bytes: &[u8]) -> Result<()> {
        let mut out = io::stdout().lock();
        match out.write_all(bytes).and_then(|()| out.flush()) {
            // Whoever reads has closed the pipe: `althing … | head` is no failure.
            Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(()),
            result => Ok(result?),
        }
    }

    /// Says something to the person, unless the output is for a program.
    pub(crate) fn say(self, text: &str) {
        if !self.json {
            writeln!(io::stderr(), "{text}").ok();
        }
    }
}

/// Lays rows out in columns under a heading; the last column is not padded.
pub(crate) fn table(heading: &[&str], rows: &[Vec<String>]) -> String {
    let mut widths: Vec<usize> = heading.iter().map(|cell| cell.chars().count()).collect();
    for row in rows {
        for (width, cell) in widths.iter_mut().zip(row) {
            *width = (*width).max(cell.chars().count());
        }
    }
    let heading: Vec<String> = heading.iter().map(|&cell| cell.to_owned()).collect();
    let mut text = String::new();
    for row in std::iter::once(&heading).chain(rows) {
        let cells = row.iter().zip(&widths).map(|(cell, width)| format!("{cell:<width$}"));
        text.push_str(cells.collect::<Vec<_>>().join("  ").trim_end());
        text.push('\n');
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_table_aligns_its_columns() {
        let rows =
            vec![vec!["a".to_owned(), "1".to_owned()], vec!["long".to_owned(), "2".to_owned()]];
        assert_eq!(table(&["name", "n"], &rows), "name  n\na     1\nlong  2\n");
    }
}
