//! Wrong files: each mistake is told with its place, a code and a hint.
//!
//! The texts are in `mistakes.txt` as whoever wrote the file sees them; `ALTHING_BLESS=1` writes that
//! file anew.
#![expect(clippy::unwrap_used, reason = "the whole file is a test")]

mod common;

use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::fs;
use std::path::Path;

use althing_application::{BadDocument, BadExpression, MistakeKind, Mistakes};
use althing_manifest::Kind;
use common::{check, text};
use miette::{GraphicalReportHandler, GraphicalTheme};

/// A claim, an application, what is replaced in it by what, and the kind of mistake that this makes.
const WRONG: &[(&str, &str, &str, &str, MistakeKind)] = &[
    (
        "an expression outside of quotes",
        "2-iot-car",
        "\"${ event.kwh > 0 }\"",
        "${ event.kwh }}",
        MistakeKind::Syntax,
    ),
    ("a misspelt key", "5-cart", "await:", "awaits:", MistakeKind::UnknownKey),
    ("a step without a task", "5-cart", "    do: mail.send\n", "", MistakeKind::MissingKey),
    ("a text for a list", "1-wallet", "then:", "then: nothing\nreturns:", MistakeKind::WrongType),
    ("an id with capitals", "1-wallet", "id: wallet", "id: Wallet", MistakeKind::Name),
    ("an id that is taken", "1-wallet", "id: wallet", "id: event", MistakeKind::Name),
    ("two steps of one name", "1-wallet", "id: contact", "id: wallet", MistakeKind::Name),
    ("no range of versions", "1-wallet", "acme/users@1", "acme/users", MistakeKind::Name),
    ("a price in words", "1-wallet", "verify: 3", "max_price: cheap", MistakeKind::Amount),
    ("a quorum that is no majority", "4-btc-eth", "quorum: 4", "quorum: 3", MistakeKind::Limit),
    ("a misspelt word", "1-wallet", "visibility: private", "visibility: privat", MistakeKind::Word),
    ("an application without steps", "1-wallet", "then:", "then: []\nreturns:", MistakeKind::Count),
    (
        "a schema that is none",
        "4-btc-eth",
        "btc_address: { type: string }",
        "btc_address: { type: strng }",
        MistakeKind::Schema,
    ),
    ("a month is no duration", "5-cart", "timeout: P7D", "timeout: P1M", MistakeKind::Duration),
    (
        "an expression with a hole",
        "2-iot-car",
        "event.kwh * event.price",
        "event.kwh * ",
        MistakeKind::Expression,
    ),
    (
        "a function that does not exist",
        "2-iot-car",
        "event.kwh * event.price",
        "now()",
        MistakeKind::Expression,
    ),
    (
        "a condition that is a text",
        "2-iot-car",
        "if: \"${ event.kwh > 0 }\"",
        "if: always",
        MistakeKind::Expression,
    ),
    (
        "a service that nobody has published",
        "1-wallet",
        "acme/users@1",
        "acme/usrs@1",
        MistakeKind::UnknownService,
    ),
    (
        "a version that nobody has published",
        "1-wallet",
        "acme/users@1",
        "acme/users@7",
        MistakeKind::UnknownService,
    ),
    (
        "an alias that is not there",
        "1-wallet",
        "do: mail.send",
        "do: male.send",
        MistakeKind::UnknownName,
    ),
    (
        "a task that is not there",
        "1-wallet",
        "do: mail.send",
        "do: mail.sent",
        MistakeKind::UnknownName,
    ),
    (
        "an event that is not there",
        "1-wallet",
        "when: users.registered",
        "when: users.register",
        MistakeKind::UnknownName,
    ),
    (
        "a step that is not there",
        "2-iot-car",
        "after: pay.refused",
        "after: pai.refused",
        MistakeKind::UnknownStep,
    ),
    (
        "a step that comes after itself",
        "2-iot-car",
        "after: pay.refused",
        "after: alert",
        MistakeKind::UnknownStep,
    ),
    (
        "a circle",
        "3-image",
        "after: packed, with: { src: \"${ packed.url }\" } }     #",
        "after: tag, with: { src: x } } #",
        MistakeKind::UnknownStep,
    ),
    (
        "a status with which the step never ends",
        "5-cart",
        "after: processing.timeout",
        "after: processing.late",
        MistakeKind::UnknownStatus,
    ),
    (
        "two events at the beginning",
        "1-wallet",
        "when: users.registered",
        "when: [users.registered, users.left]",
        MistakeKind::Rule,
    ),
    (
        "a first step after another",
        "1-wallet",
        "do: eth.create_address }",
        "do: eth.create_address, after: email }",
        MistakeKind::Rule,
    ),
    (
        "a first step that waits",
        "1-wallet",
        "do: eth.create_address }",
        "do: eth.create_address, await: eth.received }",
        MistakeKind::Rule,
    ),
    (
        "a public application without returns",
        "1-wallet",
        "visibility: private",
        "visibility: public",
        MistakeKind::Rule,
    ),
    (
        "a key that is none",
        "5-cart",
        "where: { parcel: \"${ ship.parcel }\" } }\n    do: mail",
        "where: { eta: \"${ ship.parcel }\" } }\n    do: mail",
        MistakeKind::UnknownKeyOfEvent,
    ),
    (
        "a first event compared with itself",
        "4-btc-eth",
        "${ config.btc_address }",
        "${ event.tx }",
        MistakeKind::Unknowable,
    ),
    (
        "a key of a branch that may not be taken",
        "5-cart",
        "    after: processing.timeout\n",
        "    after: { any: [processing.timeout, ship] }\n    await: { event: parcel.received, where: { parcel: \"${ ship.parcel }\" } }\n",
        MistakeKind::Unknowable,
    ),
    (
        "a misspelt variable",
        "1-wallet",
        "user: \"${ event.id }\"",
        "user: \"${ evnt.id }\"",
        MistakeKind::UnknownVariable,
    ),
    (
        "a misspelt property",
        "1-wallet",
        "user: \"${ event.id }\"",
        "user: \"${ event.di }\"",
        MistakeKind::UnknownVariable,
    ),
    (
        "a step that has not ended",
        "2-iot-car",
        "text: \"Payment refused\"",
        "text: \"${ tell.x }\"",
        MistakeKind::UnknownVariable,
    ),
    (
        "an input that is missing",
        "1-wallet",
        "to: \"${ event.email }\", template: welcome",
        "to: \"${ event.email }\"",
        MistakeKind::Input,
    ),
    (
        "an input that nobody takes",
        "1-wallet",
        "template: welcome",
        "templates: welcome",
        MistakeKind::Input,
    ),
    ("a number for a text", "1-wallet", "amount: \"10\"", "amount: 10", MistakeKind::Input),
    ("a literal out of range", "3-image", "quality: 80", "quality: 800", MistakeKind::Input),
    (
        "a text for a number",
        "3-image",
        "width: 1200",
        "width: \"${ event.id }\"",
        MistakeKind::Input,
    ),
    (
        "a number compared with a text",
        "2-iot-car",
        "event.kwh > 0",
        "event.kwh > event.car",
        MistakeKind::Input,
    ),
    (
        "a value that may be missing",
        "1-wallet",
        "user: \"${ event.id }\"",
        "user: \"${ event.name }\"",
        MistakeKind::Input,
    ),
    (
        "a configured value that does not fit",
        "4-btc-eth",
        "[0-9a-fA-F]{40}",
        "[0-9a-fA-F]{42}",
        MistakeKind::Config,
    ),
    (
        "a configured value that is missing",
        "4-btc-eth",
        "returns:",
        "  other: { type: string }\nreturns:",
        MistakeKind::Config,
    ),
    (
        "a secret for whoever is drawn",
        "1-wallet",
        "template: welcome",
        "template: { secret: smtp }",
        MistakeKind::Secret,
    ),
    (
        "a secret for checkers",
        "1-wallet",
        "amount: \"10\" }, verify: 3",
        "amount: { secret: price } }, verify: 3",
        MistakeKind::Secret,
    ),
    (
        "a secret that is returned",
        "3-image",
        "urls: \"${ [eu.url, us.url] }\" } }\n",
        "urls: { secret: urls } } }\n",
        MistakeKind::Rule,
    ),
    (
        "a secret with spaces",
        "1-wallet",
        "template: welcome",
        "template: { secret: my password }",
        MistakeKind::Name,
    ),
    (
        "a private step of a public application",
        "4-btc-eth",
        "retry: { max: 3, backoff: PT10S }",
        "private: true",
        MistakeKind::Unsupported,
    ),
    (
        "a label in capitals",
        "4-btc-eth",
        "retry: { max: 3, backoff: PT10S }",
        "nodes: { labels: { Region: eu } }",
        MistakeKind::Name,
    ),
    (
        "a label that may be nothing",
        "4-btc-eth",
        "retry: { max: 3, backoff: PT10S }",
        "nodes: { labels: { region: [] } }",
        MistakeKind::Count,
    ),
    (
        "nodes that are chosen by nothing",
        "4-btc-eth",
        "retry: { max: 3, backoff: PT10S }",
        "nodes: {}",
        MistakeKind::Count,
    ),
    (
        "a label query as a text",
        "4-btc-eth",
        "retry: { max: 3, backoff: PT10S }",
        "nodes: region in (eu, us)",
        MistakeKind::WrongType,
    ),
    (
        "a join of what excludes one another",
        "2-iot-car",
        "after: pay.refused",
        "after: [tell, pay.refused]",
        MistakeKind::Unreachable,
    ),
    (
        "a time that never runs out",
        "2-iot-car",
        "after: pay.refused",
        "after: pay.timeout",
        MistakeKind::Unreachable,
    ),
    (
        "checkers for what nobody can check",
        "1-wallet",
        "althing/erc20@1",
        "althing/coin@1",
        MistakeKind::Uncheckable,
    ),
];

fn mistakes_in(name: &str, text: &str) -> Mistakes {
    check(name, text).expect_err("the file is wrong")
}

fn told(mistakes: &Mistakes) -> String {
    let mut out = String::new();
    let theme = GraphicalTheme::unicode_nocolor();
    GraphicalReportHandler::new_themed(theme)
        .with_width(120)
        .render_report(&mut out, mistakes)
        .unwrap();
    out.lines().map(str::trim_end).collect::<Vec<_>>().join("\n")
}

fn wrong(name: &str, from: &str, to: &str) -> String {
    let right = text(name);
    assert!(right.contains(from), "{name} has no {from}");
    right.replacen(from, to, 1)
}

#[test]
fn each_mistake_is_told_as_a_person_would_tell_it() {
    let mut all = String::new();
    for (claim, name, from, to, kind) in WRONG {
        let mistakes = mistakes_in(name, &wrong(name, from, to));
        let first = mistakes.iter().next().unwrap();
        assert_eq!(first.kind, *kind, "{claim}: {}", first.message);
        writeln!(all, "## {claim}\n\n{}\n", told(&mistakes)).unwrap();
    }
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/mistakes.txt");
    if std::env::var_os("ALTHING_BLESS").is_some() {
        fs::write(&path, &all).unwrap();
    }
    assert_eq!(all, fs::read_to_string(&path).unwrap());
}

#[test]
fn the_words_are_those_of_the_format() {
    let mistakes = mistakes_in(
        "5-cart",
        &wrong("5-cart", "after: processing.timeout", "after: processing.late"),
    );
    let first = mistakes.iter().next().unwrap();
    assert_eq!(
        first.message,
        "`processing` never ends with `late`; it ends with `ok`, `error`, `timeout`"
    );
    let file = wrong("5-cart", "after: processing.timeout", "after: processing.late");
    assert_eq!(file.get(first.at.clone()), Some("processing.late"));
}

#[test]
fn a_mistake_in_an_expression_is_shown_where_it_stands() {
    let file = wrong("1-wallet", "user: \"${ event.id }\"", "user: \"${ event.id + evnt.id }\"");
    let mistakes = mistakes_in("1-wallet", &file);
    let at = mistakes.iter().next().unwrap().at.clone();
    let from = file.get(at.start..).unwrap();
    assert!(from.starts_with("evnt.id"), "{from}");
}

#[test]
fn all_mistakes_are_told_at_once() {
    let file =
        text("5-cart").replace("mail.send", "mail.sent").replace("shop.mark_cart", "shop.mark");
    assert_eq!(mistakes_in("5-cart", &file).iter().count(), 5);
}

#[test]
fn every_kind_of_mistake_is_provoked_and_has_a_page() {
    let mut provoked: BTreeSet<&str> = WRONG.iter().map(|row| row.4.code()).collect();
    // Too long for the list, and a warning: see below and `applications.rs`.
    provoked.extend([MistakeKind::TooLong.code(), MistakeKind::Unhandled.code()]);
    let all: BTreeSet<&str> = MistakeKind::ALL.iter().map(|kind| kind.code()).collect();
    assert_eq!(provoked, all);
    for code in all.into_iter().chain([BadDocument::CODE, BadExpression::CODE]) {
        let page =
            Path::new(env!("CARGO_MANIFEST_DIR")).join(format!("../../docs/errors/{code}.md"));
        assert!(page.exists(), "{}", page.display());
    }
}

#[test]
fn what_is_too_long_is_refused_before_it_is_read() {
    let long = format!("{}#{}", text("1-wallet"), "x".repeat(300 << 10));
    assert_eq!(mistakes_in("1-wallet", &long).iter().next().unwrap().kind, MistakeKind::TooLong);
    let summary = wrong("1-wallet", "Give every new user", &"x".repeat(600));
    assert_eq!(mistakes_in("1-wallet", &summary).iter().next().unwrap().kind, MistakeKind::TooLong);
    let expression = wrong("1-wallet", "event.id", &format!("event.id + '{}'", "x".repeat(2_000)));
    assert_eq!(
        mistakes_in("1-wallet", &expression).iter().next().unwrap().kind,
        MistakeKind::Expression
    );
    let deep =
        wrong("1-wallet", "event.id", &format!("{}event.id{}", "(".repeat(200), ")".repeat(200)));
    assert_eq!(mistakes_in("1-wallet", &deep).iter().next().unwrap().kind, MistakeKind::Expression);
}

#[test]
fn a_status_that_nobody_handles_is_a_warning_only() {
    let checked = common::compiled("1-wallet");
    let warnings = checked.warnings.unwrap();
    let first = warnings.iter().next().unwrap();
    assert!(first.kind.is_warning());
    assert_eq!(first.message, "nothing hangs on `unknown_user` of `contact`");
}
