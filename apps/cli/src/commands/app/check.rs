//! Checks an application file against the services that it uses.

use std::path::{Path, PathBuf};

use althing_application::{ApplicationFile, Checked};
use anyhow::{Context as _, Result};
use clap::Args;
use serde::Serialize;
use serde_json::{Map, Value};

use super::registry::{Registry, read};
use crate::commands::account;
use crate::failure::{Failure, render_mistakes};
use crate::home::Home;
use crate::output::Output;

/// What an application file is compiled with.
#[derive(Clone, Debug, Default, Args)]
pub(crate) struct Configured {
    /// A configured value: KEY=VALUE, where the value is JSON or else text.
    #[arg(long = "set", value_name = "KEY=VALUE")]
    set: Vec<String>,
    /// File with configured values, a JSON object.
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
}

impl Configured {
    /// What `config.json` beside an application file says, if it is there.
    pub(crate) fn beside(file: &Path) -> Result<Self> {
        let path = file.with_file_name("config.json");
        let config = path.try_exists().context("looking for config.json")?.then_some(path);
        Ok(Self { set: Vec::new(), config })
    }

    /// The values; what is said on the command line comes before the file.
    pub(crate) fn values(&self) -> Result<Map<String, Value>> {
        let mut values = match &self.config {
            None => Map::new(),
            Some(path) => {
                let text = std::fs::read_to_string(path)
                    .with_context(|| format!("reading {}", path.display()))?;
                serde_json::from_str(&text).map_err(|error| {
                    let message = format!("{} is no JSON object: {error}", path.display());
                    Failure::new("CLI-0037", message, "write {\"key\": value}")
                })?
            }
        };
        for text in &self.set {
            let (key, value) = text.split_once('=').ok_or_else(|| {
                Failure::new(
                    "CLI-0037",
                    format!("{text} is no configured value"),
                    "write --set key=value",
                )
            })?;
            let value = serde_json::from_str(value).unwrap_or_else(|_| Value::from(value));
            values.insert(key.to_owned(), value);
        }
        Ok(values)
    }
}

/// Check an application file against the services that it uses.
#[derive(Debug, Args)]
pub(crate) struct Check {
    /// The file, or a folder with `app.yaml`.
    #[arg(default_value = ".")]
    path: PathBuf,
    /// Ask no node: services are those in the folder `services` beside the file.
    #[arg(long)]
    offline: bool,
    #[command(flatten)]
    configured: Configured,
}

#[derive(Serialize)]
struct Told {
    file: PathBuf,
    application: String,
    document: String,
    steps: usize,
    warnings: Vec<Value>,
}

impl Check {
    pub(super) fn run(self, home: &Home, output: Output) -> Result<()> {
        let (path, file) = read(&self.path)?;
        let registry = if self.offline {
            Registry::of_folder(&beside(&path), &file)?
        } else {
            let owner = account::address(home, None).ok();
            Registry::of_node(&home.viewer()?, &file, owner)?
        };
        let checked = checked(&file, &registry, &self.configured, output)?;
        let told = Told {
            application: format!("{}@{}", file.app, file.version),
            document: checked.compiled.blob().hash.to_string(),
            steps: checked.compiled.plan().steps.len(),
            warnings: warnings(&checked),
            file: path,
        };
        output.print(&told, |told| {
            let warned = match told.warnings.len() {
                0 => String::new(),
                count => format!(", {count} warnings"),
            };
            format!(
                "{} is in order: {} steps{warned}\n  document  {}",
                told.application, told.steps, told.document
            )
        })
    }
}

/// The folder with services beside an application file.
pub(crate) fn beside(path: &Path) -> PathBuf {
    path.parent().unwrap_or_else(|| Path::new(".")).join("services")
}

/// Checks and compiles; warnings are said.
pub(crate) fn checked(
    file: &ApplicationFile,
    registry: &Registry,
    configured: &Configured,
    output: Output,
) -> Result<Checked> {
    let checked = file.check(registry, &configured.values()?)?;
    if let Some(warnings) = &checked.warnings {
        output.say(render_mistakes(warnings).trim_end());
    }
    Ok(checked)
}

fn warnings(checked: &Checked) -> Vec<Value> {
    checked.warnings.as_ref().map(crate::failure::mistakes).unwrap_or_default()
}
