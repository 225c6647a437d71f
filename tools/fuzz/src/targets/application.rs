//! Applications: files of strangers, documents that they deploy, and the expressions in both.

use std::collections::BTreeMap;
use std::hint::black_box;
use std::sync::LazyLock;

use althing_application::expression::{Expression, Meter, Value, Variables};
use althing_application::import::{ImportedKind, import};
use althing_application::template::parse_text;
use althing_application::{ApplicationFile, Catalogue, Compiled, Document, Evaluated};
use althing_manifest::{CanonicalJson, Kind, Mistakes, ServiceFile};
use althing_types::{BlobRef, Hash, Payload, StepInput, StepOutput, TimeMs};
use serde_json::{Map, Value as Json, json};

/// How many steps of one application are evaluated.
const STEPS_EVALUATED: u16 = 4;

/// What the files of the corpus use.
static SERVICES: LazyLock<Catalogue> = LazyLock::new(|| {
    let mut catalogue = Catalogue::default();
    for text in [
        include_str!("../../../../engine/application/tests/fixtures/services/bitcoin.yml"),
        include_str!("../../../../engine/application/tests/fixtures/services/delivery.yml"),
        include_str!("../../../../engine/application/tests/fixtures/services/email.yml"),
        include_str!("../../../../engine/application/tests/fixtures/services/ethereum.yml"),
        include_str!("../../../../engine/application/tests/fixtures/services/ev-car.yml"),
        include_str!("../../../../engine/application/tests/fixtures/services/notify.yml"),
        include_str!("../../../../engine/application/tests/fixtures/services/payments.yml"),
        include_str!("../../../../engine/application/tests/fixtures/services/rates.yml"),
        include_str!("../../../../engine/application/tests/fixtures/services/shop.yml"),
    ] {
        let file = ServiceFile::parse("service.yml", text).expect("a good file");
        catalogue.add_service(file.into_manifest(b""));
    }
    catalogue
});

/// What a stranger's file is compiled with.
fn config(file: &ApplicationFile) -> Map<String, Json> {
    file.config().map(|(name, _)| (name.to_owned(), json!("configured"))).collect()
}

/// An application file, from its text to its document.
///
/// # Panics
///
/// If the file has mistakes.
#[must_use]
pub fn compiled(text: &str, config: &Map<String, Json>) -> Compiled {
    let file = ApplicationFile::parse("app.yaml", text).expect("a good file");
    file.check(&*SERVICES, config).expect("a good file").compiled
}

fn told<K: Kind>(mistakes: &Mistakes<K>) {
    assert!(mistakes.iter().count() > 0, "a refusal has a reason");
    black_box(format!("{mistakes:?}"));
}

/// An `app.yaml` of a stranger, as `app check` and `app deploy` read it.
pub(super) fn file(bytes: &[u8]) {
    let Ok(text) = std::str::from_utf8(bytes) else { return };
    let file = match ApplicationFile::parse("app.yaml", text) {
        Ok(file) => file,
        Err(mistakes) => return told(&mistakes),
    };
    match file.check(&*SERVICES, &config(&file)) {
        Ok(checked) => {
            let compiled = checked.compiled;
            let again = Compiled::from_document(compiled.document());
            assert_eq!(again.as_ref(), Ok(&compiled), "every node reads what was deployed");
            evaluated(&compiled);
        }
        Err(mistakes) => told(&mistakes),
    }
}

/// What somebody deployed, as a node fetches it.
pub(super) fn document(bytes: &[u8]) {
    let Ok(compiled) = Compiled::from_document(bytes) else { return };
    let again = Compiled::from_parts(compiled.parsed()).expect("it was read from a document");
    assert_eq!(again.document(), bytes, "there is one form of a document");
    assert_eq!(again.plan(), compiled.plan(), "the plan follows from the document alone");
    evaluated(&compiled);
}

/// Executor and checkers come to the same, and what a task gets is canonical.
fn evaluated(compiled: &Compiled) {
    let payload = br#"{"address":"0xa","amount":"12.5","cart":"c-1","id":7,"items":[1,2,3]}"#;
    let payload = (BlobRef::of(payload), payload.to_vec());
    let blobs = BTreeMap::from([(payload.0.hash, payload.1)]);
    let document: &Document = compiled.parsed();
    let steps = u16::try_from(document.steps.len()).unwrap_or(u16::MAX);
    for step in 0..steps.min(STEPS_EVALUATED) {
        let input = StepInput {
            application: Hash([1; 32]),
            document: compiled.blob(),
            run: Hash([2; 32]),
            started_at: TimeMs(1_000),
            step,
            attempt: 0,
            event: Payload::Blob(payload.0),
            awaited: Some(Payload::Blob(payload.0)),
            outputs: (0..step)
                .map(|step| StepOutput { step, output: Payload::Blob(payload.0) })
                .collect(),
        };
        assert_eq!(document.needs(&input, &blobs), [], "everything is here");
        let value = document.evaluate(&input, &blobs);
        assert_eq!(document.evaluate(&input, &blobs), value, "it is the same again");
        if let Ok(Evaluated::Run { input }) = &value {
            assert!(CanonicalJson::read(input).is_ok(), "an input is canonical");
        }
        drop(black_box(document.keys(&input, br#"{"address":"0xb"}"#, &blobs)));
    }
}

/// An expression, a line break, and what `event` stands for in it.
pub(super) fn expression(bytes: &[u8]) {
    let Ok(text) = std::str::from_utf8(bytes) else { return };
    let (source, event) = text.split_once('\n').unwrap_or((text, "null"));
    if let Err(unreadable) = parse_text(source) {
        assert!(unreadable.at <= source.len(), "a mistake is told where it is");
    }
    let expression = match Expression::parse(source) {
        Ok(expression) => expression,
        Err(unreadable) => {
            assert!(unreadable.at <= source.len(), "a mistake is told where it is");
            return;
        }
    };
    assert_eq!(expression.source(), source);
    let event = serde_json::from_str::<Json>(event).unwrap_or_default();
    let Ok(event) = Value::from_json(&event, None) else { return };
    let mut variables = Variables::default();
    variables.set("event", event);
    let value = || {
        let mut meter = Meter::full();
        expression.evaluate(&variables, &mut meter)?.to_json(&mut meter)
    };
    assert_eq!(value(), value(), "it is the same again");
}

/// A file that was written for MESG.
pub(super) fn imported(bytes: &[u8]) {
    let Ok(text) = std::str::from_utf8(bytes) else { return };
    let Ok(imported) = import(text) else { return };
    match imported.kind {
        ImportedKind::Application => {
            if let Err(mistakes) = ApplicationFile::parse("app.yaml", &imported.text) {
                told(&mistakes);
            }
        }
        ImportedKind::Service => {
            if let Err(mistakes) = ServiceFile::parse("service.yml", &imported.text) {
                told(&mistakes);
            }
        }
    }
}
