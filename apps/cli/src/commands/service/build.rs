//! Checks a service's manifest and builds its component.

use std::path::{Path, PathBuf};

use althing_manifest::{Manifest, ModuleSource, ServiceFile};
use althing_types::BlobRef;
use anyhow::{Context as _, Result};
use clap::Args;
use serde::Serialize;

use crate::failure::Failure;
use crate::output::Output;

/// The manifest in a service's folder.
const FILE: &str = "service.yml";

/// Check a service's manifest and build its component.
#[derive(Debug, Args)]
pub(crate) struct Build {
    /// The folder with `service.yml`.
    dir: PathBuf,
    /// Where to put the component [default: target/NAME.wasm in the folder].
    #[arg(long, value_name = "FILE")]
    out: Option<PathBuf>,
}

/// A service with everything that publishing it takes.
pub(crate) struct Built {
    pub(crate) manifest: Manifest,
    /// `None` for a native service.
    pub(crate) component: Option<Vec<u8>>,
}

#[derive(Serialize)]
struct Told {
    service: String,
    id: String,
    /// Absent for a native service.
    #[serde(flatten)]
    component: Option<Component>,
}

#[derive(Serialize)]
struct Component {
    module: String,
    bytes: usize,
    file: PathBuf,
}

impl Build {
    pub(super) fn run(self, output: Output) -> Result<()> {
        let built = build(&self.dir, output)?;
        let component = match &built.component {
            Some(component) => Some(self.write(&built.manifest, component)?),
            None => None,
        };
        let told = Told {
            service: built.manifest.service.to_string(),
            id: built.manifest.id().to_string(),
            component,
        };
        output.print(&told, |told| {
            let component = told.component.as_ref().map_or_else(
                || "none: nodes that offer it connect a program".to_owned(),
                |component| format!("{}, {} bytes", component.file.display(), component.bytes),
            );
            format!("{}\n  id         {}\n  component  {component}", told.service, told.id)
        })
    }

    fn write(&self, manifest: &Manifest, component: &[u8]) -> Result<Component> {
        let name = format!("{}.wasm", manifest.service.name);
        let file = self.out.clone().unwrap_or_else(|| self.dir.join("target").join(name));
        if let Some(parent) = file.parent() {
            std::fs::create_dir_all(parent)
                .with_context(|| format!("creating {}", parent.display()))?;
        }
        std::fs::write(&file, component).with_context(|| format!("writing {}", file.display()))?;
        let module = BlobRef::of(component).hash.to_string();
        Ok(Component { module, bytes: component.len(), file })
    }
}

/// Reads the manifest in `folder`, and builds or reads the component that it names.
pub(crate) fn build(folder: &Path, output: Output) -> Result<Built> {
    let path = folder.join(FILE);
    let text = std::fs::read_to_string(&path).map_err(|error| {
        let message = format!("{} cannot be read: {error}", path.display());
        Failure::new(
            "CLI-0019",
            message,
            "name a folder with a service.yml; `althing service new` makes one",
        )
    })?;
    let file = ServiceFile::parse(&path.display().to_string(), &text)?;
    let component = match file.module_source() {
        ModuleSource::Native => None,
        ModuleSource::Cargo => {
            output.say(&format!("building {}", folder.display()));
            let component = althing_guests::build(folder).map_err(|error| {
                let hint =
                    "see what the compiler says; `althing doctor` looks at the toolchain for wasm";
                error.context(Failure::new(
                    "CLI-0020",
                    format!("{} does not build", folder.display()),
                    hint,
                ))
            })?;
            Some(component)
        }
        ModuleSource::File(name) => {
            let path = folder.join(name);
            let component = std::fs::read(&path).map_err(|error| {
                let message = format!("the component {} cannot be read: {error}", path.display());
                Failure::new(
                    "CLI-0021",
                    message,
                    "build it, or write `wasm: { build: cargo }` in service.yml",
                )
            })?;
            Some(component)
        }
    };
    let manifest = file.into_manifest(component.as_deref().unwrap_or_default());
    Ok(Built { manifest, component })
}
