//! What emitters agree on arrives at the ledger, and an event comes apart and together again.
#![expect(clippy::unwrap_used, reason = "the whole file is a test")]

use althing_manifest::{
    Agree, AgreeBy, Event, Manifest, ModuleSource, Schemas, ServiceFile, Violation, id_hash,
};
use althing_types::{BlobRef, Emitters, Hash, MeasuredTerms, Name, key_hash};
use serde_json::json;

const METERS: &str = r#"
service: acme/meters@1.0.0
runtime: native
events:
  charged:
    summary: A car was charged.
    data: { session: string, car: string, kwh: number, cost: decimal, at: integer, note: string? }
    id: session
    keys: [car, session]
    window_ms: 2000
    emitters: majority
    price: 0.02
    agree:
      kwh: { within: "0.05", decimals: 3 }
      cost: { median: true, decimals: 2 }
      at: ignore
      note: identical
  rung:
    data: { door: string }
    emitters: 1
"#;

fn manifest() -> Manifest {
    let file = ServiceFile::parse("service.yml", METERS).unwrap();
    assert_eq!(file.module_source(), &ModuleSource::Native);
    file.into_manifest(b"")
}

fn event(name: &str) -> Event {
    manifest().event(&name.parse().unwrap()).unwrap().clone()
}

fn mistake(from: &str, to: &str) -> (String, &'static str) {
    assert!(METERS.contains(from), "{from}");
    let mistakes = ServiceFile::parse("service.yml", &METERS.replacen(from, to, 1)).unwrap_err();
    let first = mistakes.iter().next().unwrap();
    (first.message.clone(), first.kind.code())
}

#[test]
fn the_terms_of_events_are_what_the_file_says() {
    let manifest = manifest();
    let terms = manifest.terms();
    assert_eq!((terms.module, terms.tasks.len()), (None, 0));
    let [charged, rung] = &terms.events[..] else { panic!("two events") };
    assert_eq!((charged.name.as_str(), charged.keys, charged.window_ms), ("charged", 2, 2_000));
    assert_eq!((charged.emitters, charged.price.to_string()), (Emitters::Majority, "0.02".into()));
    let kwh = MeasuredTerms { decimals: 3, tolerance: Some(50) };
    let cost = MeasuredTerms { decimals: 2, tolerance: None };
    assert_eq!(charged.measured, [kwh, cost]);
    assert_eq!((rung.emitters, rung.window_ms), (Emitters::One, 30_000));
    let many = METERS.replacen("emitters: majority", "emitters: 5", 1);
    let many = ServiceFile::parse("service.yml", &many).unwrap().into_manifest(b"");
    assert_eq!(many.terms().events[0].emitters, Emitters::AtLeast(5));
    assert_eq!(Manifest::from_canonical(&many.canonical()).unwrap(), many);
    let ignored = Agree { property: "at".into(), by: AgreeBy::Ignore };
    assert!(event("charged").agree.contains(&ignored));
}

#[test]
fn canonical_bytes_read_back_as_the_same_manifest() {
    let bytes = manifest().canonical();
    assert_eq!(Manifest::from_canonical(&bytes).unwrap(), manifest());
    let text = String::from_utf8(bytes).unwrap();
    for (from, to) in [
        (r#""tolerance":"50""#, r#""tolerance":"050""#),
        (r#""tolerance":"50""#, r#""tolerance":"-1""#),
        (r#""decimals":3"#, r#""decimals":19"#),
        (r#""by":"within""#, r#""by":"median""#),
        (r#""by":"ignore""#, r#""by":"within""#),
        (r#""window_ms":2000"#, r#""window_ms":0"#),
        (r#""window_ms":2000"#, r#""window_ms":86400001"#),
        (r#""property":"at""#, r#""property":"kwh""#),
        (r#""property":"at""#, r#""property":"session""#),
        (r#""property":"kwh""#, r#""property":"note2""#),
        (r#""id":"session""#, r#""id":"nobody""#),
        (r#""id":"session""#, r#""id":null"#),
        (r#""form":2"#, r#""form":2,"module":null"#),
        (r#""emitters":"one""#, r#""emitters":"two""#),
    ] {
        assert!(text.contains(from), "{from} in {text}");
        let changed = text.replacen(from, to, 1);
        assert!(Manifest::from_canonical(changed.as_bytes()).is_err(), "{from} -> {to}");
    }
}

#[test]
fn an_event_comes_apart_into_what_the_ledger_sees_and_what_it_does_not() {
    let (manifest, charged) = (manifest(), event("charged"));
    let schemas = Schemas::compile(&manifest).unwrap();
    let data = json!({
        "session": "s-1", "car": "B-XY 7", "kwh": 20.0104, "cost": "6.005", "at": 1_700_000_000_123_u64,
        "note": "fast",
    });
    let (observe, base) =
        charged.split(&schemas, manifest.id(), "ignored: a property names it", &data).unwrap();
    assert_eq!(observe.service, manifest.id());
    assert_eq!(observe.id, id_hash(b"\"s-1\""));
    assert_eq!(observe.keys, [key_hash(b"\"B-XY 7\""), key_hash(b"\"s-1\"")]);
    assert_eq!(observe.measured, [20_010, 601], "rounded, half away from zero");
    assert_eq!(base, br#"{"car":"B-XY 7","note":"fast","session":"s-1"}"#);
    assert_eq!(observe.data, BlobRef::of(&base));

    let agreed = charged.compose(&base, &[19_990, 600]).unwrap();
    let expected = br#"{"car":"B-XY 7","cost":"6.00","kwh":19.99,"note":"fast","session":"s-1"}"#;
    assert_eq!(agreed, expected);
}

#[test]
fn emitters_that_differ_in_what_is_measured_or_ignored_see_the_same_data() {
    let (manifest, charged) = (manifest(), event("charged"));
    let schemas = Schemas::compile(&manifest).unwrap();
    let split = |kwh: f64, at: u64| {
        let data = json!({ "session": "s", "car": "c", "kwh": kwh, "cost": "1", "at": at });
        charged.split(&schemas, manifest.id(), "", &data).unwrap().0
    };
    let (here, there) = (split(20.01, 5), split(19.99, 7));
    assert_eq!((here.data, &here.keys, here.id), (there.data, &there.keys, there.id));
    assert_ne!(here.measured, there.measured);
}

#[test]
fn the_program_names_what_has_no_id_of_its_own() {
    let (manifest, rung) = (manifest(), event("rung"));
    let schemas = Schemas::compile(&manifest).unwrap();
    let data = json!({ "door": "front" });
    let (observe, _) = rung.split(&schemas, manifest.id(), "evt-7", &data).unwrap();
    assert_eq!(observe.id, id_hash(b"\"evt-7\""));
    assert!(observe.keys.is_empty() && observe.measured.is_empty());
}

#[test]
fn data_that_is_not_of_the_event_is_refused() {
    let (manifest, charged) = (manifest(), event("charged"));
    let schemas = Schemas::compile(&manifest).unwrap();
    let good = json!({ "session": "s", "car": "c", "kwh": 20, "cost": "1", "at": 5 });
    let with = |property: &str, value: serde_json::Value| {
        let mut data = good.clone();
        data[property] = value;
        charged.split(&schemas, manifest.id(), "", &data).unwrap_err().code()
    };
    assert_eq!(with("kwh", json!("20")), "MAN-0034");
    assert_eq!(with("more", json!(1)), "MAN-0034");
    assert_eq!(with("kwh", json!(9e12)), "MAN-0038", "more than 15 digits in thousandths");
    assert_eq!(with("cost", json!("92233720368547758.08")), "MAN-0038");
    assert_eq!(with("kwh", json!(1e300)), "MAN-0033");
    let list = charged.split(&schemas, manifest.id(), "", &json!([])).unwrap_err();
    assert_eq!(list.code(), "MAN-0034");
    let unknown: Name = "other".parse().unwrap();
    assert_eq!(schemas.check_event(&unknown, b"{}").unwrap_err().code(), "MAN-0035");
    // Schemas may leave open what the event needs.
    let apart = |data: serde_json::Value| charged.take_apart("", &data).unwrap_err().code();
    assert_eq!(apart(json!({ "session": "s", "car": "c", "cost": "1" })), "MAN-0036");
    assert_eq!(apart(json!({ "session": "s", "kwh": 1, "cost": "1" })), "MAN-0036");
    assert_eq!(apart(json!(7)), "MAN-0036");
    assert_eq!(apart(json!({ "session": "s", "car": "c", "kwh": true, "cost": "1" })), "MAN-0037");
    assert_eq!(
        apart(json!({ "session": "s", "car": "c", "kwh": "1 kWh", "cost": "1" })),
        "MAN-0037"
    );
}

#[test]
fn parts_of_something_else_are_not_put_together() {
    let charged = event("charged");
    let base = br#"{"car":"c","session":"s"}"#;
    assert!(charged.compose(base, &[1, 2]).is_ok());
    for (base, measured) in [
        (&base[..], &[1][..]),
        (base, &[1, 2, 3]),
        (br#"{"car":"c","kwh":1,"session":"s"}"#, &[1, 2]),
        (br#"{"at":1,"car":"c","session":"s"}"#, &[1, 2]),
    ] {
        assert!(matches!(charged.compose(base, measured), Err(Violation::WrongParts)));
    }
    assert_eq!(charged.compose(base, &[i64::MAX, 2]).unwrap_err().code(), "MAN-0038");
    assert_eq!(charged.compose(b"[]", &[1, 2]).unwrap_err().code(), "MAN-0036");
    assert_eq!(charged.compose(b"{ }", &[1, 2]).unwrap_err().code(), "MAN-0033");
}

#[test]
fn mistakes_in_events_are_told() {
    for (from, to, code) in [
        ("id: session", "id: sesion", "MAN-0011"),
        ("keys: [car, session]", "keys: [cat]", "MAN-0011"),
        ("keys: [car, session]", "keys: [car, car, car, car, car, car, car, car, car]", "MAN-0009"),
        ("emitters: majority", "emitters: 129", "MAN-0008"),
        ("emitters: majority", "emitters: 0", "MAN-0008"),
        ("at: ignore", "at: ingore", "MAN-0008"),
        ("at: ignore", "car: ignore", "MAN-0015"),
        ("at: ignore", "session: ignore", "MAN-0015"),
        ("at: ignore", "atr: ignore", "MAN-0015"),
        ("note: identical", "note: { median: false }", "MAN-0004"),
        ("within: \"0.05\"", "within: \"0.0005\"", "MAN-0015"),
        ("within: \"0.05\"", "within: \"-0.05\"", "MAN-0015"),
        ("within: \"0.05\"", "within: much", "MAN-0015"),
        ("within: \"0.05\"", "withn: \"0.05\"", "MAN-0002"),
        ("decimals: 3", "decimals: 19", "MAN-0007"),
        ("price: 0.02", "price: lots", "MAN-0006"),
        ("runtime: native", "runtime: python", "MAN-0008"),
        ("runtime: native", "runtime: native\nwasm: a.wasm", "MAN-0002"),
        ("runtime: native\n", "", "MAN-0003"),
    ] {
        let (message, found) = mistake(from, to);
        assert_eq!(found, code, "{from} -> {to}: {message}");
    }
    let nothing = "service: a/b@1.0.0\nruntime: native\n";
    for text in [nothing.to_owned(), format!("{nothing}events: {{}}\n")] {
        assert!(ServiceFile::parse("service.yml", &text).is_err(), "{text}");
    }
}

#[test]
fn an_observation_is_of_the_service_that_it_names() {
    let (manifest, rung) = (manifest(), event("rung"));
    let schemas = Schemas::compile(&manifest).unwrap();
    let data = json!({ "door": "front" });
    let of = |service: Hash| rung.split(&schemas, service, "1", &data).unwrap().0.service;
    assert_eq!(of(Hash([9; 32])), Hash([9; 32]));
}
