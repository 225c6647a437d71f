//! A component that a stranger has published, as a node prepares it.

use std::sync::{Arc, LazyLock};

use althing_manifest::{Manifest, ServiceFile};
use althing_runtime_wasm::WasmRuntime;
use althing_work::Runtime as _;
use tempfile::TempDir;

/// The least that a manifest can say.
const SERVICE: &str = "\
service: acme/fuzz@1.0.0
summary: Fuzzed.
wasm: fuzz.wasm
tasks:
  check:
    summary: Checks.
    verification: deterministic
    price: 1
    limits: { fuel: 1000000, memory_mb: 8, time_ms: 200 }
    inputs: { schema: { type: object } }
    statuses:
      done: { schema: { type: object } }
";

static MANIFEST: LazyLock<Manifest> = LazyLock::new(|| {
    let file = ServiceFile::parse("service.yml", SERVICE).expect("the manifest is good");
    file.into_manifest(b"")
});

/// One runtime for all executions: a service is forgotten before the next.
static RUNTIME: LazyLock<(WasmRuntime, TempDir)> = LazyLock::new(|| {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let runtime = WasmRuntime::open(&folder.path().join("cache"), Arc::new(|_: &mut [u8]| false));
    (runtime.expect("this machine runs services"), folder)
});

pub(super) fn component(bytes: &[u8]) {
    let (runtime, _folder) = &*RUNTIME;
    let manifest = Manifest { module: Some(althing_types::BlobRef::of(bytes)), ..MANIFEST.clone() };
    let id = manifest.id();
    if runtime.prepare(&id, bytes, &manifest).is_ok() {
        // What prepares also runs: within its limits, and to an end.
        let task = manifest.tasks.first().expect("one task").name.clone();
        drop(runtime.task(&id, &task, b"{}"));
        runtime.forget(&id);
    }
}
