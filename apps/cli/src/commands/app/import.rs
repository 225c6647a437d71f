//! Turns a MESG service or process file into this project's files.

use std::path::PathBuf;

use althing_application::import::{Imported, ImportedKind, NotImportable, import};
use anyhow::{Context as _, Result};
use clap::Args;
use serde::Serialize;

use crate::failure::Failure;
use crate::output::Output;

/// Turn a MESG process or service file, of either generation, into an application or a service.
#[derive(Debug, Args)]
pub(crate) struct Import {
    /// The file.
    file: PathBuf,
    /// Where to write the result [default: standard output].
    #[arg(long, value_name = "FILE")]
    out: Option<PathBuf>,
}

#[derive(Serialize)]
struct Told {
    kind: &'static str,
    text: String,
    notes: Vec<ToldNote>,
}

#[derive(Serialize)]
struct ToldNote {
    place: String,
    what: String,
    why: String,
}

impl Import {
    pub(super) fn run(self, output: Output) -> Result<()> {
        let text = std::fs::read_to_string(&self.file).map_err(|error| {
            let message = format!("{} cannot be read: {error}", self.file.display());
            Failure::new("CLI-0029", message, "name the file of a MESG process or service")
        })?;
        let Imported { kind, text, notes } = import(&text).map_err(|error| {
            let NotImportable { reason } = error;
            let message = format!("{} cannot be carried over: {reason}", self.file.display());
            let hint = "processes and services of MESG are; docs/application-file.md says how to write one";
            Failure::new(NotImportable::CODE, message, hint)
        })?;
        let notes: Vec<ToldNote> = notes
            .into_iter()
            .map(|note| ToldNote { place: note.place, what: note.what, why: note.why })
            .collect();
        for note in &notes {
            output.say(&format!("{}: {}: {}", note.place, note.what, note.why));
        }
        if let Some(path) = &self.out {
            std::fs::write(path, &text).with_context(|| format!("writing {}", path.display()))?;
        }
        let kind = match kind {
            ImportedKind::Application => "application",
            ImportedKind::Service => "service",
        };
        let told = Told { kind, text, notes };
        output.print(&told, |told| match &self.out {
            Some(path) => format!("{} with {} notes", path.display(), told.notes.len()),
            None => told.text.clone(),
        })
    }
}
