//! What a manifest says arrives at the ledger, at other nodes and at the payloads.
#![expect(clippy::unwrap_used, reason = "the whole file is a test")]

use althing_manifest::{Limits, Manifest, ModuleSource, Schemas, ServiceFile, Violation};
use althing_types::{BlobRef, Name, Verification, keccak};
use proptest::prelude::*;

const FACTOR: &str = r#"
service: acme/factor@2.1.0
summary: Factors numbers.
wasm: build/factor.wasm
environment: { arch: any, time_ms: 700 }
stake_min: 12.5
tasks:
  zeta:
    verification: method
    price: 0.05
    check_price: 0.005
    limits: { fuel: 9007199254740993 }
    inputs:
      n: { type: string, pattern: "^[0-9]+$" }
      hint: integer?
      tags: string[]?
    statuses:
      found: { factors: "string[]" }
      another: {}
      absent: { schema: { type: object, maxProperties: 0 } }
  alpha:
    verification: deterministic
    price: 1
    inputs: {}
    statuses: { ok: {} }
events:
  asked:
    summary: Somebody asks.
    data: { who: string, n: decimal }
    keys: [who]
    window_ms: 1500
"#;

fn manifest() -> Manifest {
    let file =
        ServiceFile::parse("service.yml", &FACTOR.replace("9007199254740993", "900719925474"))
            .unwrap();
    assert_eq!(file.module_source(), &ModuleSource::File("build/factor.wasm".into()));
    file.into_manifest(b"the component")
}

fn name(text: &str) -> Name {
    text.parse().unwrap()
}

#[test]
fn the_terms_are_what_the_file_says_in_its_order() {
    let manifest = manifest();
    let terms = manifest.terms();
    assert_eq!(terms.alias.to_string(), "acme/factor@2.1.0");
    assert_eq!(terms.module, Some(BlobRef::of(b"the component")));
    assert_eq!(terms.manifest, BlobRef::of(&manifest.canonical()));
    assert_eq!(terms.id(), keccak(&[&manifest.canonical()]));
    assert_eq!(terms.stake_min.to_string(), "12.5");
    let [zeta, alpha] = &terms.tasks[..] else { panic!("two tasks") };
    assert_eq!((zeta.name.as_str(), zeta.verification), ("zeta", Verification::Method));
    assert_eq!(
        (zeta.price.to_string(), zeta.check_price.to_string()),
        ("0.05".into(), "0.005".into())
    );
    assert_eq!(zeta.statuses, ["found", "another", "absent"].map(name));
    assert_eq!(zeta.time_limit_ms, 700);
    assert_eq!((alpha.name.as_str(), alpha.price), ("alpha", alpha.check_price));
}

#[test]
fn limits_come_from_the_task_then_the_environment_then_the_defaults() {
    let manifest = manifest();
    let limits = manifest.task(&name("zeta")).unwrap().limits;
    assert_eq!(limits, Limits { fuel: 900_719_925_474, time_ms: 700, ..Limits::DEFAULT });
    assert_eq!(manifest.limits, Limits { time_ms: 700, ..Limits::DEFAULT });
}

#[test]
fn canonical_bytes_read_back_as_the_same_manifest() {
    let manifest = manifest();
    let bytes = manifest.canonical();
    let again = Manifest::from_canonical(&bytes).unwrap();
    assert_eq!(again, manifest);
    assert_eq!(again.canonical(), bytes);
}

#[test]
fn bytes_that_are_not_canonical_are_refused() {
    let text = String::from_utf8(manifest().canonical()).unwrap();
    for (from, to) in [
        ("{\"events\"", "{ \"events\""),
        ("\"form\":2", "\"form\":1"),
        ("\"form\":2", "\"form\":2,\"more\":1"),
        ("\"price\":\"0.05\"", "\"price\":\"0.050\""),
        ("\"name\":\"alpha\"", "\"name\":\"zeta\""),
        ("\"name\":\"another\"", "\"name\":\"found\""),
        ("\"memory_mb\":64", "\"memory_mb\":0"),
        ("\"memory_mb\":64", "\"memory_mb\":65536"),
        ("\"check_price\":\"1\"", "\"check_price\":\"2\""),
        ("\"service\":\"acme/", "\"service\":\""),
    ] {
        assert!(text.contains(from), "{from}");
        assert!(
            Manifest::from_canonical(text.replace(from, to).as_bytes()).is_err(),
            "{from} -> {to}"
        );
    }
    assert!(Manifest::from_canonical(&vec![b'['; 1 << 20]).is_err());
}

#[test]
fn inputs_are_checked_and_made_canonical() {
    let schemas = Schemas::compile(&manifest()).unwrap();
    let zeta = name("zeta");
    let input =
        schemas.check_input(&zeta, br#" {"tags": ["b"], "n": "15", "hint": 2.0} "#).unwrap();
    assert_eq!(input.as_bytes(), br#"{"hint":2,"n":"15","tags":["b"]}"#);
    let wrong = |input: &[u8]| schemas.check_input(&zeta, input).unwrap_err();
    for (input, code, told) in [
        (&b"{}"[..], "MAN-0034", "\"n\" is a required property"),
        (br#"{"n":15}"#, "MAN-0034", "/n: "),
        (br#"{"n":"x"}"#, "MAN-0034", "/n: "),
        (br#"{"n":"1","m":1}"#, "MAN-0034", "Additional properties"),
        (br#"{"n":"1","tags":["a",7]}"#, "MAN-0034", "/tags/1: "),
        (br#"{"n":"1","n":"2"}"#, "MAN-0033", "no canonical JSON"),
        (b"n=1", "MAN-0033", "no canonical JSON"),
        (&vec![b' '; (1 << 20) + 1], "MAN-0032", "at most 1048576"),
    ] {
        let violation = wrong(input);
        assert_eq!(violation.code(), code, "{violation}");
        assert!(violation.to_string().contains(told), "{violation}");
    }
    assert!(matches!(
        schemas.check_input(&name("beta"), b"{}"),
        Err(Violation::UnknownTask { .. })
    ));
}

#[test]
fn outputs_are_checked_against_the_status_that_was_returned() {
    let schemas = Schemas::compile(&manifest()).unwrap();
    let check = |status: &str, output: &[u8]| schemas.check_output(&name("zeta"), status, output);
    let (status, output) = check("found", br#"{ "factors": ["3", "5"] }"#).unwrap();
    assert_eq!((status.as_str(), output.as_bytes()), ("found", &br#"{"factors":["3","5"]}"#[..]));
    assert!(check("absent", b"{}").is_ok());
    assert!(matches!(check("absent", br#"{"a":1}"#), Err(Violation::Schema { .. })));
    assert!(matches!(check("lost", b"{}"), Err(Violation::UnknownStatus { .. })));
    assert!(matches!(check("Not A Name", b"{}"), Err(Violation::UnknownStatus { .. })));
    let long = format!(r#"{{"factors":["{}"]}}"#, "1".repeat(64 << 10));
    assert!(matches!(check("found", long.as_bytes()), Err(Violation::TooLong { .. })));
}

#[test]
fn a_published_schema_that_no_node_compiles_is_found() {
    let mut manifest = manifest();
    manifest.tasks[0].inputs = serde_json::json!({ "$ref": "file:///etc/passwd" });
    let published = Manifest::from_canonical(&manifest.canonical()).unwrap();
    assert!(Schemas::compile(&published).is_err());
}

#[test]
fn the_examples_are_right() {
    for example in ["invoice", "factor", "hostile"] {
        let path = format!("{}/../../examples/{example}/service.yml", env!("CARGO_MANIFEST_DIR"));
        let text = std::fs::read_to_string(&path).unwrap();
        let manifest = ServiceFile::parse(&path, &text).unwrap().into_manifest(b"");
        Schemas::compile(&manifest).unwrap();
    }
}

proptest! {
    #[test]
    fn no_bytes_make_the_readers_panic(bytes in prop::collection::vec(any::<u8>(), 0..200), text in ".*") {
        drop(Manifest::from_canonical(&bytes));
        drop(ServiceFile::parse("service.yml", &text));
    }

    #[test]
    fn a_manifest_with_one_changed_byte_is_refused_or_another(place in any::<prop::sample::Index>(), byte in any::<u8>()) {
        let manifest = manifest();
        let mut bytes = manifest.canonical();
        let place = place.index(bytes.len());
        prop_assume!(bytes[place] != byte);
        bytes[place] = byte;
        if let Ok(other) = Manifest::from_canonical(&bytes) {
            prop_assert_ne!(&other, &manifest);
            prop_assert_eq!(other.canonical(), bytes);
        }
    }
}
