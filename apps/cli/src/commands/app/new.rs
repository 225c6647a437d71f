//! Writes a folder with an application to begin with.

use std::path::PathBuf;

use althing_types::Name;
use anyhow::{Context as _, Result};
use clap::Args;
use serde::Serialize;

use crate::failure::Failure;
use crate::output::Output;

const APPLICATION: &str = include_str!("template/app.yaml.txt");
const SERVICE: &str = include_str!("template/service.yml.txt");
const PROGRAM: &str = include_str!("template/program.py.txt");
const EXPECTED: &str = include_str!("template/test.yaml.txt");

/// Write a folder with an application to begin with, and a service for it.
#[derive(Debug, Args)]
pub(crate) struct New {
    /// The folder; its name becomes the application's.
    dir: PathBuf,
}

#[derive(Serialize)]
struct Made {
    folder: PathBuf,
    application: String,
    files: Vec<PathBuf>,
}

impl New {
    pub(super) fn run(self, output: Output) -> Result<()> {
        let folder = self.dir;
        let name = folder.file_name().and_then(|name| name.to_str()).unwrap_or_default();
        let name: Name = name.parse().map_err(|_| {
            let message = format!("{} does not end in a name for an application", folder.display());
            Failure::new("CLI-0023", message, "use a-z, 0-9, '_', '-' and '.', such as orders")
        })?;
        if folder.exists() {
            let message = format!("{} is there already", folder.display());
            return Err(
                Failure::new("CLI-0023", message, "name a folder that does not exist yet").into()
            );
        }
        let mut files = Vec::new();
        for (path, text) in [
            ("app.yaml", APPLICATION.replace("NAME", name.as_str())),
            ("test.yaml", EXPECTED.to_owned()),
            ("services/shop/service.yml", SERVICE.to_owned()),
            ("services/shop/program.py", PROGRAM.to_owned()),
        ] {
            let path = folder.join(path);
            if let Some(parent) = path.parent() {
                std::fs::create_dir_all(parent)
                    .with_context(|| format!("creating {}", parent.display()))?;
            }
            std::fs::write(&path, text).with_context(|| format!("writing {}", path.display()))?;
            files.push(path);
        }
        let made = Made { folder, application: name.to_string(), files };
        output.print(&made, |made| {
            format!(
                "{} with an application and a service\nnext: cd {} && althing dev",
                made.folder.display(),
                made.folder.display()
            )
        })
    }
}
