//! What developers write, what services take, and the smallest components.

use std::path::Path;

use althing_manifest::ServiceFile;

use super::{Seed, named};

/// Everything that a `service.yml` can say, short and long.
const FULL: &str = r##"service: acme/full@2.1.0
summary: "Says everything: once."
wasm: { build: cargo }
stake_min: 12.5
environment: { memory_mb: 32, fuel: 1000000, time_ms: 200, output_kb: 8, arch: any }
tasks:
  first:
    summary: Short forms.
    verification: deterministic
    price: 0.000001
    limits: { fuel: 7 }
    inputs: { a: any, b: boolean, c: decimal, d: integer, e: number?, f: "string[]", g: object }
    statuses:
      done: {}
      failed: { reason: string }
  second:
    summary: Long forms.
    verification: method
    price: 3
    check_price: 1
    inputs:
      schema:
        type: object
        properties: { lines: { type: array, items: { $ref: "#/$defs/line" }, maxItems: 9 } }
        $defs: { line: { type: object, properties: { n: { type: string, pattern: "^[0-9]+$" } } } }
    statuses:
      done: { n: { type: string, pattern: "^[0-9]+$" } }
events:
  received:
    data: { customer: string, csv: string }
    keys: [customer]
    window_ms: 1000
"##;

const PAYLOADS: [&str; 6] = [
    "{type: object}\n{}",
    "{type: object, properties: {n: {type: integer, minimum: 3}}, required: [n]}\n{\"n\": 4}",
    "{type: object, properties: {s: {type: string, pattern: '^(a|b)*c{2,9}$'}}}\n{\"s\": \"ababcc\"}",
    "{type: object, additionalProperties: {type: array, items: {enum: [1, 2]}}}\n{\"x\": [1, 2]}",
    "{type: object, anyOf: [{required: [a]}, {not: {required: [b]}}]}\n{\"a\": null, \"c\": 1.5e3}",
    "{type: object, $defs: {a: {type: string}}, properties: {p: {$ref: '#/$defs/a'}}}\n{\"p\": \"\\u00e9\"}",
];

const JSONS: [&str; 6] = [
    "{}",
    "[1,2.5,-0,1e21,true,null,\"text\"]",
    "{\"b\":{\"a\":[[[[]]]]},\"a\":\"\\u20ac\\n\\\\\"}",
    "{ \"spaced\" : 9007199254740991 }",
    "{\"\\ud83d\\ude00\":0.1,\"\\u00e9\":\"\"}",
    "-123456.789",
];

/// Sections by number, each with its length in one byte.
fn component(sections: &[(u8, &[u8])]) -> Vec<u8> {
    let mut bytes = b"\0asm\x0d\0\x01\0".to_vec();
    for (number, content) in sections {
        bytes.push(*number);
        bytes.push(u8::try_from(content.len()).expect("short"));
        bytes.extend_from_slice(content);
    }
    bytes
}

fn components() -> Vec<Vec<u8>> {
    // A core module: type () -> (), one function, a memory, code that loops for ever.
    let module = [
        &b"\0asm\x01\0\0\0"[..],
        &[1, 4, 1, 0x60, 0, 0],
        &[3, 2, 1, 0],
        &[5, 3, 1, 0, 1],
        &[7, 5, 1, 1, b'f', 0, 0],
        &[10, 9, 1, 7, 0, 3, 0x40, 0x0c, 0, 0x0b, 0x0b],
    ]
    .concat();
    vec![
        component(&[]),
        component(&[(0, b"\x04nameabc")]),
        component(&[(1, &module)]),
        // An instance of it, and its function lifted.
        component(&[(1, &module), (2, &[1, 0, 0, 0])]),
        // A function type of the component model: (a: string) -> list<u8>.
        component(&[(7, &[2, 0x70, 0x7d, 0x40, 1, 1, b'a', 0x73, 0, 0])]),
        // An import that is not allowed.
        component(&[(7, &[1, 0x42, 0]), (10, &[1, 0, 4, b'w', b'a', b's', b'i', 5, 0])]),
        // Sections that announce a million exports, and have none.
        component(&[(11, &[0xbf, 0x84, 0x3d, 0, 0])]),
        component(&[(1, &[&b"\0asm\x01\0\0\0"[..], &[7, 5, 0xbf, 0x84, 0x3d, 0, 0]].concat())]),
        module,
    ]
}

pub(super) fn all() -> Vec<Vec<Seed>> {
    let examples = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../examples");
    let mut files: Vec<String> = ["factor", "hostile", "invoice"]
        .map(|name| std::fs::read_to_string(examples.join(name).join("service.yml")).unwrap())
        .to_vec();
    files.push(FULL.to_owned());
    let manifests = files.iter().map(|text| {
        let file = ServiceFile::parse("service.yml", text).expect("a good file");
        file.into_manifest(b"component").canonical()
    });
    let manifests = manifests.collect();
    let bytes = |texts: &[&str]| texts.iter().map(|text| text.as_bytes().to_vec()).collect();
    vec![
        named("service_file", "service", files.into_iter().map(String::into_bytes).collect()),
        named("manifest", "canonical", manifests),
        named("canonical_json", "value", bytes(&JSONS)),
        named("payload", "schema-and-value", bytes(&PAYLOADS)),
        named("component", "small", components()),
    ]
}
