//! Secrets in an application: names in its document, values for the evaluation of one step alone.
#![expect(clippy::unwrap_used, reason = "the whole file is a test")]

mod common;

use std::collections::BTreeMap;

use althing_application::{Compiled, Evaluated, NoValue, Payloads};
use althing_types::{BlobRef, Hash, Name, Payload, StepInput, TimeMs};
use common::{check, text};

/// Blobs and secrets.
#[derive(Default)]
struct Here {
    blobs: BTreeMap<Hash, Vec<u8>>,
    secrets: BTreeMap<Name, String>,
}

impl Payloads for Here {
    fn bytes(&self, blob: &BlobRef) -> Option<&[u8]> {
        self.blobs.get(&blob.hash).map(Vec::as_slice)
    }

    fn secret(&self, name: &Name) -> Option<&str> {
        self.secrets.get(name).map(String::as_str)
    }
}

/// The wallet's mail, the last of four steps, with a secret in its text; `one` alone may send it.
fn with(secret: &str) -> Compiled {
    let one = format!("0x{}", "ab".repeat(20));
    let text = text("1-wallet").replace(
        "template: welcome }",
        &format!("template: {secret} }}, nodes: {{ allow: [{one}] }}"),
    );
    check("1-wallet", &text).unwrap().compiled
}

fn context(compiled: &Compiled, event: BlobRef) -> StepInput {
    StepInput {
        application: Hash([1; 32]),
        document: compiled.blob(),
        run: Hash([2; 32]),
        started_at: TimeMs(0),
        step: 3,
        attempt: 0,
        event: Payload::Blob(event),
        awaited: None,
        outputs: vec![],
    }
}

#[test]
fn a_secret_stands_where_only_a_named_executor_is_given_it() {
    let compiled = with("{ secret: smtp }");
    let document = compiled.parsed();
    let smtp: Name = "smtp".parse().unwrap();
    assert_eq!(document.secrets_of(3).into_iter().collect::<Vec<_>>(), [&smtp]);
    assert!((0..3).all(|step| document.secrets_of(step).is_empty()));

    let bytes = br#"{"email":"ada@example.org","id":"u1"}"#.to_vec();
    let event = BlobRef::of(&bytes);
    let mut here = Here { blobs: BTreeMap::from([(event.hash, bytes)]), ..Here::default() };
    let input = context(&compiled, event);
    assert_eq!(document.evaluate(&input, &here), Err(NoValue::Secret(smtp.clone())));
    // Expressions mean nothing in it: it is a text.
    here.secrets.insert(smtp, "${ event.id } \"x\"".to_owned());
    let Evaluated::Run { input } = document.evaluate(&input, &here).unwrap() else { panic!() };
    let given: serde_json::Value = serde_json::from_slice(&input).unwrap();
    assert_eq!(given["template"], "${ event.id } \"x\"");
}

#[test]
fn no_document_gives_a_secret_to_checkers_or_to_whoever_is_drawn() {
    let compiled = with("{ secret: smtp }");
    let text = String::from_utf8(compiled.document().to_vec()).unwrap();
    assert!(text.contains(r#"{"secret":"smtp"}"#), "{text}");
    let named = format!(r#""nodes":["0x{}"]"#, "ab".repeat(20));
    assert_eq!(text.matches(&named).count(), 1);
    let hostile = [
        text.replace(&named, r#""nodes":[]"#),
        text.replace(r#"{"secret":"smtp"}"#, r#"{"secret":"not a name"}"#),
        text.replace(r#"{"secret":"smtp"}"#, r#"{"secret":7}"#),
    ];
    for document in hostile {
        assert_ne!(document, text);
        assert!(Compiled::from_document(document.as_bytes()).is_err(), "{document}");
    }
}
