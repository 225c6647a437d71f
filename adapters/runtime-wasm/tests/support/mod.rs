//! Services built from the examples, once a process, and a runtime for them.
#![expect(clippy::unwrap_used, reason = "what a test is made of panics where the test would")]

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use althing_manifest::{Limits, Manifest, ServiceFile};
use althing_runtime_wasm::{Entropy, SLOTS, WasmRuntime};
use althing_types::{Hash, Name, keccak};
use althing_work::{Runtime as _, TaskRun};
use tempfile::TempDir;

pub(crate) struct Example {
    pub(crate) component: Vec<u8>,
    pub(crate) manifest: Manifest,
}

impl Example {
    pub(crate) fn build(example: &str) -> Self {
        Self::build_in(&folder(example))
    }

    pub(crate) fn build_in(folder: &Path) -> Self {
        let component = althing_guests::build(folder).unwrap();
        Self { manifest: manifest_in(folder, &component), component }
    }

    pub(crate) fn id(&self) -> Hash {
        self.manifest.id()
    }

    /// With other limits for a task.
    pub(crate) fn limited(&self, task: &str, change: impl FnOnce(&mut Limits)) -> Self {
        let mut manifest = self.manifest.clone();
        let task = manifest.tasks.iter_mut().find(|found| found.name.as_str() == task).unwrap();
        change(&mut task.limits);
        Self { component: self.component.clone(), manifest }
    }
}

pub(crate) fn folder(example: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../examples").join(example)
}

pub(crate) fn manifest(example: &str, component: &[u8]) -> Manifest {
    manifest_in(&folder(example), component)
}

fn manifest_in(folder: &Path, component: &[u8]) -> Manifest {
    let text = std::fs::read_to_string(folder.join("service.yml")).unwrap();
    ServiceFile::parse("service.yml", &text).unwrap().into_manifest(component)
}

pub(crate) fn name(text: &str) -> Name {
    text.parse().unwrap()
}

/// A runtime in a folder of its own, whose entropy follows from `seed`.
pub(crate) struct Node {
    pub(crate) runtime: WasmRuntime,
    pub(crate) folder: TempDir,
}

/// Bytes that differ with the seed and with every call.
pub(crate) fn entropy(seed: u8) -> Arc<Entropy> {
    let calls = AtomicU64::new(0);
    Arc::new(move |bytes: &mut [u8]| {
        let call = calls.fetch_add(1, Ordering::Relaxed);
        let block = keccak(&[&[seed], &call.to_be_bytes()]);
        for (byte, random) in bytes.iter_mut().zip(block.0.iter().cycle()) {
            *byte = *random;
        }
        true
    })
}

impl Node {
    pub(crate) fn start(seed: u8) -> Self {
        Self::with_slots(seed, SLOTS)
    }

    pub(crate) fn with_slots(seed: u8, slots: u32) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let cache = folder.path().join("cache");
        let runtime = WasmRuntime::with_slots(&cache, entropy(seed), slots).unwrap();
        Self { runtime, folder }
    }

    pub(crate) fn with(example: &Example) -> Self {
        let node = Self::start(7);
        node.prepare(example);
        node
    }

    pub(crate) fn prepare(&self, example: &Example) {
        self.runtime.prepare(&example.id(), &example.component, &example.manifest).unwrap();
    }

    pub(crate) fn task(&self, example: &Example, task: &str, input: &str) -> TaskRun {
        self.runtime.task(&example.id(), &name(task), input.as_bytes())
    }
}

/// The text that a hostile task returned.
pub(crate) fn text(run: &TaskRun) -> String {
    let returned = run.result.as_ref().unwrap_or_else(|why| panic!("{why:?}: {:?}", run.log));
    let value: serde_json::Value = serde_json::from_slice(&returned.output).unwrap();
    value["text"].as_str().unwrap().to_owned()
}
