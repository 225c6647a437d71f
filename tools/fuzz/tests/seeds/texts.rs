//! What developers write, what services take, and the smallest components.

use std::path::Path;

use althing_fuzz::targets::compiled;
use althing_manifest::ServiceFile;
use serde_json::{Map, json};

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

/// Expressions, each with what `event` is.
const EXPRESSIONS: [&str; 10] = [
    "event.kwh * event.price\n{\"kwh\": 12.5, \"price\": 0.3}",
    "event.a > 1 && has(event.b) ? event.b : 'none'\n{\"a\": 2, \"b\": \"x\"}",
    "event.lines.filter(l, l.n > 1).map(l, l.n * 2)\n{\"lines\": [{\"n\": 1}, {\"n\": 2}]}",
    "event.all(k, event[k] != null) || event.exists_one(k, k == 'a')\n{\"a\": 1, \"b\": null}",
    "{'total': decimal(event.t) + 1, 'parts': event.p.split(',')}\n{\"t\": \"1.50\", \"p\": \"a,b\"}",
    "string(floor(7 / 2)) + event.name.upperAscii().replace('A', 'aa')\n{\"name\": \"ada\"}",
    "size(event.t.trim()) in [1, 2, 3] ? min(1, 2) : max(int('7') % 4, -2)\n{\"t\": \" xy \"}",
    "{a: [{'b': \"}\"}, [], {}]}\nnull",
    "(((((((((((((((((((((((((((((((1)))))))))))))))))))))))))))))))\nnull",
    "event.map(i, event.map(j, event.replace('a', 'bbbbbbbbbbbbbbbb')))\n\"aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa\"",
];

/// What MESG's two generations of services and its processes look like.
const IMPORTED: [&str; 3] = [
    include_str!("../../../../engine/application/tests/fixtures/import/first-generation.yml"),
    include_str!("../../../../engine/application/tests/fixtures/import/second-generation.yml"),
    include_str!("../../../../engine/application/tests/fixtures/import/process.yml"),
];

/// Applications whose services the target knows.
const APPLICATIONS: [&str; 3] = [
    include_str!("../../../../engine/application/tests/fixtures/apps/2-iot-car.app.yaml"),
    include_str!("../../../../engine/application/tests/fixtures/apps/4-btc-eth.app.yaml"),
    include_str!("../../../../engine/application/tests/fixtures/apps/5-cart.app.yaml"),
];

/// What an application file can say beside: keys, joins, retries, the trust dial, what it returns.
const APPLICATION: &str = r#"app: everything
version: 1.2.3
summary: "Says what the others do not."
visibility: public
services: { shop: acme/shop@1, mail: althing/email@3, eth: althing/ethereum@2 }
config: { greeting: { type: string } }
when: { event: shop.cart_item_added, where: { cart: "${ config.greeting }" }, if: "${ event.price != '0' }" }
then:
  - { id: wallet, do: eth.create_address, verify: { checkers: 3, quorum: 3 }, retry: { max: 2, backoff: PT1S } }
  - { id: left,   do: mail.send, after: wallet, with: { to: "a${ event.email }b", template: x }, verify: { checkers: 2, agree: all } }
  - { id: right,  do: mail.send, after: wallet, with: { to: "$${ no }", template: y }, timeout: PT1M, max_price: 0.5 }
  - { id: joined, do: shop.mark_cart, after: [left, right], with: { cart: "${ event.cart }", status: paid } }
  - { id: failed, do: shop.mark_cart, after: { any: [left.error, right.timeout] }, with: { cart: "${ event.cart }", status: bad } }
returns:
  ok: { from: joined, data: { cart: "${ event.cart }", all: "${ [wallet.address, config.greeting] }" } }
  bad: { from: failed }
"#;

const JSONS: [&str; 6] = [
    "{}",
    "[1,2.5,-0,1e21,true,null,\"text\"]",
    "{\"b\":{\"a\":[[[[]]]]},\"a\":\"\\u20ac\\n\\\\\"}",
    "{ \"spaced\" : 9007199254740991 }",
    "{\"\\ud83d\\ude00\":0.1,\"\\u00e9\":\"\"}",
    "-123456.789",
];

/// Expressions that make as much as the meter lets them, of a few kilobytes.
fn bombs() -> [String; 3] {
    let list = |item: &str| format!("[{}]", vec![item; 1_000].join(","));
    [
        format!("event.map(i, event)\n{}", list("{\"\":0}")),
        format!("event.map(i, event.map(j, {{'': [0]}}))\n{}", list("0")),
        format!("event.map(i, event.map(j, 'x' + string(i)))\n{}", list("1")),
    ]
}

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
    let configured = json!({
        "btc_address": "bc1q", "eth_address": format!("0x{}", "ab".repeat(20)),
        "greeting": "c-1",
    });
    let documents = APPLICATIONS.into_iter().chain([APPLICATION]).map(|text| {
        let file = althing_application::ApplicationFile::parse("app.yaml", text).unwrap();
        let named = file.config().map(|(name, _)| (name.to_owned(), configured[name].clone()));
        compiled(text, &named.collect::<Map<_, _>>()).document().to_vec()
    });
    let documents = documents.collect();
    let applications: Vec<&str> = APPLICATIONS.into_iter().chain([APPLICATION]).collect();
    vec![
        named("application_file", "app", bytes(&applications)),
        named("application_document", "canonical", documents),
        named("expression", "with-event", bytes(&EXPRESSIONS)),
        named("expression", "bomb", bombs().map(String::into_bytes).to_vec()),
        named("imported_file", "mesg", bytes(&IMPORTED)),
        named("service_file", "service", files.into_iter().map(String::into_bytes).collect()),
        named("manifest", "canonical", manifests),
        named("canonical_json", "value", bytes(&JSONS)),
        named("payload", "schema-and-value", bytes(&PAYLOADS)),
        named("component", "small", components()),
    ]
}
