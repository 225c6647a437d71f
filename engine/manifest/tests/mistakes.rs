//! Wrong manifests: each mistake is told with its place, a code and a hint.
//!
//! The texts are in `mistakes.txt` as a developer sees them; `ALTHING_BLESS=1` writes that file anew.

use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::fs;

use althing_manifest::{MistakeKind, Mistakes, ServiceFile};
use miette::{GraphicalReportHandler, GraphicalTheme};

const RIGHT: &str = "\
service: acme/invoice@1.0.0
summary: Totals invoices.
wasm: { build: cargo }
environment:
  memory_mb: 32
tasks:
  total:
    verification: deterministic
    price: 0.01
    inputs:
      csv: string
    statuses:
      ok: { total: decimal }
      unreadable: { reason: string }
events:
  arrived:
    data: { customer: string }
    keys: [customer]
";

/// A claim, what is replaced in [`RIGHT`], by what, and the kind of mistake that it makes.
const WRONG: &[(&str, &str, &str, MistakeKind)] = &[
    ("an unknown key", "summary:", "sumary:", MistakeKind::UnknownKey),
    ("a key that resembles nothing", "summary:", "colour:", MistakeKind::UnknownKey),
    ("an unknown key of a task", "    price:", "    prize:", MistakeKind::UnknownKey),
    ("a missing key", "    price: 0.01\n", "", MistakeKind::MissingKey),
    ("no name of a service", "acme/invoice@1.0.0", "Acme Invoice", MistakeKind::Name),
    ("a status with capitals", "unreadable:", "Unreadable:", MistakeKind::Name),
    ("a price in words", "0.01", "cheap", MistakeKind::Amount),
    ("a price with seven decimals", "0.01", "0.0000001", MistakeKind::Amount),
    ("too much memory", "memory_mb: 32", "memory_mb: 64000", MistakeKind::Limit),
    ("a number with a unit", "memory_mb: 32", "memory_mb: 32 MB", MistakeKind::WrongType),
    ("a misspelt word", "deterministic", "determinstic", MistakeKind::Word),
    ("a misspelt type", "csv: string", "csv: strng[]", MistakeKind::Word),
    (
        "a list for a mapping",
        "    inputs:\n      csv: string",
        "    inputs: [csv]",
        MistakeKind::WrongType,
    ),
    (
        "a task without statuses",
        "    statuses:\n      ok: { total: decimal }\n      unreadable: { reason: string }\n",
        "    statuses: {}\n",
        MistakeKind::Count,
    ),
    (
        "a schema with a type that is none",
        "csv: string",
        "csv: { type: strange }",
        MistakeKind::Schema,
    ),
    (
        "a schema from elsewhere",
        "csv: string",
        "csv: { $ref: 'https://example.org/s.json' }",
        MistakeKind::Schema,
    ),
    (
        "a schema that contains itself",
        "csv: string",
        "schema: { $ref: '#/$defs/a', $defs: { a: { items: { $ref: '#/$defs/a' } } } }",
        MistakeKind::Schema,
    ),
    (
        "a pattern that may take for ever",
        "csv: string",
        "csv: { type: string, pattern: '(a+)+\\1' }",
        MistakeKind::Schema,
    ),
    (
        "an event's key that is no property",
        "keys: [customer]",
        "keys: [costumer]",
        MistakeKind::EventKey,
    ),
    (
        "a path that leads elsewhere",
        "wasm: { build: cargo }",
        "wasm: ../other.wasm",
        MistakeKind::Path,
    ),
    (
        "an event's key that is measured",
        "    keys: [customer]",
        "    keys: [customer]\n    agree: { customer: { within: \"0.05\" } }",
        MistakeKind::Agreement,
    ),
    (
        "a native service with a component",
        "wasm: { build: cargo }",
        "wasm: { build: cargo }\nruntime: native",
        MistakeKind::UnknownKey,
    ),
    (
        "a check that costs less than the deterministic task",
        "    price: 0.01",
        "    price: 0.01\n    check_price: 0.001",
        MistakeKind::Price,
    ),
    (
        "a price of checks that nobody makes",
        "    verification: deterministic\n    price: 0.01",
        "    verification: none\n    price: 0.01\n    check_price: 0.001",
        MistakeKind::Price,
    ),
    (
        "a key that is there twice",
        "summary: Totals",
        "service: again\nsummary: Totals",
        MistakeKind::Syntax,
    ),
    ("a tab", "  memory_mb", "\tmemory_mb", MistakeKind::Syntax),
    ("an alias", "csv: string", "csv: *x", MistakeKind::Syntax),
    (
        "two mistakes at once",
        "summary: Totals invoices.\nwasm",
        "sumary: Totals invoices.\nwasn",
        MistakeKind::UnknownKey,
    ),
    (
        "a property's own definitions",
        "csv: string",
        "csv: { $ref: \"#/$defs/a\", $defs: { a: { type: string } } }",
        MistakeKind::Schema,
    ),
];

fn mistakes(text: &str) -> Mistakes {
    ServiceFile::parse("service.yml", text).expect_err("the manifest is wrong")
}

fn render(mistakes: &Mistakes) -> String {
    let mut text = String::new();
    let theme = GraphicalTheme::unicode_nocolor();
    let handler = GraphicalReportHandler::new_themed(theme).with_width(100);
    handler.render_report(&mut text, mistakes).expect("text can be written");
    text.lines().map(|line| format!("{}\n", line.trim_end())).collect()
}

#[test]
fn the_right_manifest_is_right() {
    ServiceFile::parse("service.yml", RIGHT).unwrap();
}

#[test]
fn each_mistake_is_told_as_in_the_snapshot() {
    let mut told = String::new();
    for (claim, right, wrong, kind) in WRONG {
        assert!(RIGHT.contains(right), "{claim}: nothing to replace");
        let mistakes = mistakes(&RIGHT.replacen(right, wrong, 1));
        let first = mistakes.iter().next().unwrap();
        assert_eq!(first.kind, *kind, "{claim}: {first}");
        assert!(!first.hint.is_empty(), "{claim}");
        writeln!(told, "## {claim}\n\n{}", render(&mistakes)).unwrap();
    }
    let snapshot = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/mistakes.txt");
    if std::env::var_os("ALTHING_BLESS").is_some() {
        fs::write(snapshot, &told).unwrap();
    }
    assert_eq!(told, fs::read_to_string(snapshot).unwrap());
}

#[test]
fn every_kind_of_mistake_is_provoked() {
    let provoked: BTreeSet<&str> = WRONG.iter().map(|(.., kind)| kind.code()).collect();
    let long = format!("{RIGHT}# {}", "x".repeat(300_000));
    let long = mistakes(&long);
    assert_eq!(long.iter().next().unwrap().kind, MistakeKind::TooLong);
    for kind in MistakeKind::ALL {
        assert!(kind == MistakeKind::TooLong || provoked.contains(kind.code()), "{kind:?}");
    }
}

#[test]
fn no_manifest_makes_the_reader_panic_or_run_for_ever() {
    let deep = format!("tasks: {}", "{a: ".repeat(10_000));
    let wide = format!("tasks:\n{}", "  a: {}\n".repeat(10_000));
    let doubling: String = (0..40)
        .map(|n| {
            format!(
                "'{n}': {{allOf: [{{$ref: '#/$defs/{}'}}, {{$ref: '#/$defs/{}'}}]}}, ",
                n + 1,
                n + 1
            )
        })
        .collect();
    let bomb = RIGHT.replace(
        "csv: string",
        &format!("schema: {{$ref: '#/$defs/0', $defs: {{{doubling} '40': true}}}}"),
    );
    for text in [
        "",
        "-",
        "[]",
        "7",
        "{",
        "\0",
        "a: &a [*a]",
        "? [a]\n: b",
        "!!binary x",
        &deep,
        &wide,
        &bomb,
    ] {
        let mistakes = mistakes(text);
        assert!(mistakes.iter().count() <= 20);
        assert!(!render(&mistakes).is_empty());
    }
}
