//! A stage that is open, with what tests of applications do on it.

use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result};
use serde_json::Value;

use crate::bridges::{Bridge, Technology};
use crate::cli::Cli;
use crate::network::Network;
use crate::stage::{Role, Stage};
use crate::wait::wait;

/// A network that runs in a folder, and its user's command line.
#[derive(Debug)]
pub struct Scene {
    /// The nodes.
    pub network: Network,
    /// The command line.
    pub cli: Cli,
    /// Where it is played.
    pub stage: Stage,
    folder: PathBuf,
}

impl Scene {
    /// Opens a stage within `folder`, with the options of `althing dev`.
    ///
    /// # Errors
    ///
    /// As [`Stage::open`].
    pub fn open(binary: &Path, folder: &Path, options: &[&str]) -> Result<Self> {
        // This crate lies in the repository's `tools`.
        let repository = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
        let stage = Stage {
            binary: binary.to_owned(),
            repository: repository.canonicalize().context("finding the repository")?,
            folder: folder.join("story"),
        };
        let (cli, network) = stage.open(options)?;
        Ok(Self { network, cli, stage, folder: folder.to_owned() })
    }

    /// A file or folder beside the story.
    #[must_use]
    pub fn place(&self, name: &str) -> PathBuf {
        self.folder.join(name)
    }

    /// A service `acme/NAME@1.0.0` with a program that does as `settings` tell it, beside these nodes.
    ///
    /// # Errors
    ///
    /// As [`Bridge::start`].
    pub fn scripted(
        &self,
        name: &str,
        service: &str,
        settings: &Value,
        nodes: &[usize],
    ) -> Result<Bridge> {
        let folder = self.place(name);
        std::fs::create_dir_all(&folder)?;
        std::fs::write(folder.join("service.yml"), service)?;
        std::fs::write(folder.join("settings.json"), settings.to_string())?;
        let folder = folder.to_str().context("the folder's path is not text")?;
        let service = format!("acme/{name}@1.0.0");
        let role = Role { name: "scripted", folder, service: &service, nodes };
        self.stage.bridge((&self.cli, &self.network), role, Technology::Twin)
    }

    /// Publishes a service of the repository and has all nodes offer it.
    ///
    /// # Errors
    ///
    /// If a command fails.
    pub fn offered(&self, folder: &str, service: &str) -> Result<()> {
        let source = self.stage.repository.join(folder);
        let source = source.to_str().context("the service's path is not text")?;
        self.cli.run(&["service", "publish", source])?;
        let offer = ["service", "offer", service, "--stake", "1000", "--term", "30d"];
        self.cli.run(&[&offer[..], &["--dev-nodes"]].concat())?;
        Ok(())
    }

    /// Deploys an application in the namespace `name`.
    ///
    /// # Errors
    ///
    /// If it cannot be written or deployed.
    pub fn deploy(&self, name: &str, application: &str, options: &[&str]) -> Result<Value> {
        let file = self.place(&format!("{name}.yaml"));
        std::fs::write(&file, application)?;
        let file = file.to_str().context("the file's path is not text")?;
        let deploy = ["app", "deploy", file, "--namespace", name];
        self.cli.run(&[&deploy[..], options].concat())
    }

    /// The runs of all applications that this account may see, once `enough` says so.
    ///
    /// # Errors
    ///
    /// If it does not say so in time.
    pub fn runs(&self, what: &str, enough: impl Fn(&[Value]) -> bool) -> Result<Vec<Value>> {
        wait(what, || {
            let runs = self.cli.run(&["run", "list", "--limit", "100"])?;
            let runs = runs.as_array().cloned().unwrap_or_default();
            Ok(enough(&runs).then_some(runs))
        })
    }
}
