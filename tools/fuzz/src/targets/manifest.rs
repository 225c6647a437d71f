//! Manifests and payloads.

use std::hint::black_box;

use althing_manifest::{CanonicalJson, Manifest, Schemas, ServiceFile};

/// A `service.yml` of a stranger, as `service build` reads it.
pub(super) fn service_file(bytes: &[u8]) {
    let Ok(text) = std::str::from_utf8(bytes) else { return };
    match ServiceFile::parse("service.yml", text) {
        Ok(file) => {
            let manifest = file.into_manifest(b"component");
            let canonical = manifest.canonical();
            let again = Manifest::from_canonical(&canonical).expect("it is canonical");
            assert_eq!(again, manifest, "a manifest survives its canonical form");
            Schemas::compile(&manifest).expect("the file's schemas were checked");
        }
        Err(mistakes) => {
            assert!(mistakes.iter().count() > 0, "a refusal has a reason");
            black_box(format!("{mistakes:?}"));
        }
    }
}

/// The canonical manifest of a service, as a node fetches it.
pub(super) fn manifest(bytes: &[u8]) {
    let Ok(manifest) = Manifest::from_canonical(bytes) else { return };
    assert_eq!(manifest.canonical(), bytes, "there is one form of a manifest");
    drop(black_box(Schemas::compile(&manifest)));
}

/// JSON in any form, and in its canonical one.
pub(super) fn canonical_json(bytes: &[u8]) {
    if let Ok(json) = CanonicalJson::parse(bytes) {
        let again = CanonicalJson::read(json.as_bytes()).expect("it was made canonical");
        assert_eq!(again.as_bytes(), json.as_bytes());
    }
    if let Ok(json) = CanonicalJson::read(bytes) {
        assert_eq!(json.as_bytes(), bytes, "canonical JSON has one form");
    }
}

/// A schema, a line break, and what it is to hold for: input and output of a task.
pub(super) fn payload(bytes: &[u8]) {
    let Some(at) = bytes.iter().position(|byte| *byte == b'\n') else { return };
    let (schema, payload) = bytes.split_at(at);
    let Ok(schema) = std::str::from_utf8(schema) else { return };
    let file = format!(
        "service: acme/fuzz@1.0.0\nsummary: Fuzzed.\nwasm: fuzz.wasm\ntasks:\n  check:\n    \
         summary: Checks.\n    verification: deterministic\n    price: 1\n    inputs: {{ schema: \
         {schema} }}\n    statuses:\n      done: {{ schema: {schema} }}\n"
    );
    let Ok(file) = ServiceFile::parse("service.yml", &file) else { return };
    let manifest = file.into_manifest(b"component");
    let schemas = Schemas::compile(&manifest).expect("the file's schemas were checked");
    for task in &manifest.tasks {
        if let Ok(input) = schemas.check_input(&task.name, payload) {
            let again = schemas.check_input(&task.name, input.as_bytes());
            assert!(again.is_ok(), "what is valid stays valid in its canonical form");
        }
        drop(black_box(schemas.check_output(&task.name, "done", payload)));
        drop(black_box(schemas.check_output(&task.name, "other", payload)));
    }
}
