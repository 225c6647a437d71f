//! What executors and checkers make of a step: inputs, conditions and keys.
#![expect(clippy::unwrap_used, reason = "the whole file is a test")]

mod common;

use std::collections::BTreeMap;

use althing_application::{BadExpression, Catalogue, Compiled, Document, Evaluated, NoValue};
use althing_types::{
    BlobRef, Hash, Payload, StepInput, StepOutput, TimeMs, application_id, key_hash,
};
use althing_workflow::attempt_id;
use common::{catalogue, check, compiled, text};
use serde_json::{Value as Json, json};

type Blobs = BTreeMap<Hash, Vec<u8>>;

fn store(blobs: &mut Blobs, json: &Json) -> BlobRef {
    let bytes = althing_manifest::CanonicalJson::of(json.clone()).unwrap().into_bytes();
    let blob = BlobRef::of(&bytes);
    blobs.insert(blob.hash, bytes);
    blob
}

fn context(compiled: &Compiled, step: u16, event: Payload) -> StepInput {
    StepInput {
        application: Hash([1; 32]),
        document: compiled.blob(),
        run: Hash([2; 32]),
        started_at: TimeMs(1_000),
        step,
        attempt: 0,
        event,
        awaited: None,
        outputs: Vec::new(),
    }
}

fn run(document: &Document, input: &StepInput, blobs: &Blobs) -> Json {
    match document.evaluate(input, blobs).unwrap() {
        Evaluated::Run { input } => serde_json::from_slice(&input).unwrap(),
        Evaluated::Declined => panic!("declined"),
    }
}

#[test]
fn a_measured_event_is_put_together_and_money_stays_a_text() {
    let compiled = compiled("2-iot-car").compiled;
    let document = compiled.parsed();
    let mut blobs = Blobs::new();
    let base =
        json!({ "session": "s1", "car": "c", "driver": "d", "supplier": "0xs", "price": "0.30" });
    let base = store(&mut blobs, &base);
    let name = compiled.plan().trigger.event.clone().unwrap();
    let event = |kwh| Payload::Event { name: name.clone(), base, measured: vec![kwh] };
    let input = context(&compiled, 0, event(12_500));
    assert_eq!(run(document, &input, &blobs), json!({ "to": "0xs", "amount": "3.75" }));
    assert_eq!(
        document.evaluate(&context(&compiled, 0, event(0)), &blobs),
        Ok(Evaluated::Declined)
    );
    let tell = context(&compiled, 1, event(12_500));
    assert_eq!(run(document, &tell, &blobs), json!({ "user": "d", "text": "Charged 12.5 kWh" }));
    let short = Payload::Event { name, base, measured: Vec::new() };
    assert!(matches!(
        document.evaluate(&context(&compiled, 0, short), &blobs),
        Err(NoValue::Bad(_))
    ));
}

#[test]
fn amounts_are_compared_as_numbers_and_not_as_texts() {
    let compiled = compiled("5-cart").compiled;
    let document = compiled.parsed();
    let mut blobs = Blobs::new();
    let event = store(&mut blobs, &json!({ "cart": "c1", "email": "a@b", "price": "10" }));
    let wallet = store(&mut blobs, &json!({ "address": "0xa" }));
    let mut input = context(&compiled, 1, Payload::Blob(event));
    input.outputs.push(StepOutput { step: 0, output: Payload::Blob(wallet) });
    for (amount, pays) in
        [("9", false), ("9.99", false), ("10", true), ("10.0", true), ("100", true)]
    {
        let paid = store(&mut blobs, &json!({ "to": "0xa", "amount": amount, "tx": "t" }));
        input.awaited = Some(Payload::Blob(paid));
        let evaluated = document.evaluate(&input, &blobs).unwrap();
        assert_eq!(matches!(evaluated, Evaluated::Run { .. }), pays, "{amount}");
    }
}

#[test]
fn a_key_is_the_hash_of_what_later_waits_compare_with() {
    let compiled = compiled("5-cart").compiled;
    let document = compiled.parsed();
    let blobs = Blobs::new();
    let input = context(&compiled, 0, Payload::Blob(BlobRef::of(b"{}")));
    let keys = document.keys(&input, br#"{"address":"0xa"}"#, &blobs).unwrap();
    assert_eq!(keys, [key_hash(b"\"0xa\"")]);
    // A status without an address leads to no key that an event could have.
    assert_eq!(document.keys(&input, b"{}", &blobs).unwrap(), [key_hash(b"")]);
    assert!(document.keys(&input, b"no json", &blobs).is_err());
    let other = context(&compiled, 1, input.event);
    assert_eq!(document.keys(&other, b"{}", &blobs), Ok(Vec::new()));
}

#[test]
fn only_what_a_step_names_is_needed() {
    let compiled = compiled("1-wallet").compiled;
    let document = compiled.parsed();
    let mut blobs = Blobs::new();
    let event = json!({ "id": "u1", "email": "a@b" });
    let (event, wallet) =
        (BlobRef::of(event.to_string().as_bytes()), BlobRef::of(b"{\"address\":\"0xa\"}"));
    let mut input = context(&compiled, 2, Payload::Blob(event));
    input.outputs.push(StepOutput { step: 0, output: Payload::Blob(wallet) });
    assert_eq!(document.needs(&input, &blobs), [wallet]);
    assert_eq!(document.evaluate(&input, &blobs), Err(NoValue::Missing(wallet)));
    blobs.insert(wallet.hash, b"{\"address\":\"0xa\"}".to_vec());
    assert_eq!(document.needs(&input, &blobs), []);
    assert_eq!(run(document, &input, &blobs), json!({ "to": "0xa", "amount": "10" }));
}

#[test]
fn nested_applications_are_evaluated_by_their_own_documents() {
    let child = compiled("3-image").compiled;
    let mut services: Catalogue = catalogue();
    let id = application_id(&althing_types::Address::default(), &child.blob().hash);
    services.add_application(
        "acme/images@1.0.0".parse().unwrap(),
        id,
        child.parsed().interface().unwrap(),
    );
    let parent = "
app: gallery
version: 1.0.0
services: { store: althing/storage@1, images: acme/images@1, notify: althing/notify@2 }
when: store.image_uploaded
then:
  - { id: all,  do: images, with: { id: \"${ event.id }\", url: \"${ event.url + '?raw' }\" } }
  - { id: tell, do: notify.push, with: { text: \"At ${ all.urls[1] }\" } }
";
    let file = althing_application::ApplicationFile::parse("app.yaml", parent).unwrap();
    let parent = file.check(&services, &Default::default()).unwrap().compiled;

    let mut all = Blobs::new();
    let uploaded = store(&mut all, &json!({ "id": "i1", "url": "http://x" }));
    for compiled in [&parent, &child] {
        all.insert(compiled.blob().hash, compiled.document().to_vec());
    }
    let given = Payload::Given(Box::new(context(&parent, 0, Payload::Blob(uploaded))));
    // Going in: the child's first step sees what the parent's step gives.
    let fetch = |document: &Document, input: &StepInput| {
        let mut here = Blobs::new();
        let mut rounds = 0;
        loop {
            let needs = document.needs(input, &here);
            if needs.is_empty() {
                return (here, rounds);
            }
            rounds += 1;
            here.extend(needs.iter().map(|blob| (blob.hash, all[&blob.hash].clone())));
        }
    };
    let first = context(&child, 0, given.clone());
    let (here, rounds) = fetch(child.parsed(), &first);
    assert_eq!(rounds, 2, "first the parent's document, then what it asks for");
    assert_eq!(run(child.parsed(), &first, &here), json!({ "src": "http://x?raw", "width": 1200 }));

    // Coming out: the parent's next step sees what the child returns.
    let mut ended = context(&child, 4, given);
    for (step, url) in [(2, "http://eu"), (3, "http://us")] {
        let output = Payload::Blob(store(&mut all, &json!({ "url": url })));
        ended.outputs.push(StepOutput { step, output });
    }
    let mut tell = context(&parent, 1, Payload::Blob(uploaded));
    let returned = Payload::Returned { context: Box::new(ended), index: 0 };
    tell.outputs.push(StepOutput { step: 0, output: returned });
    let mut here = Blobs::new();
    while let needs @ [_, ..] = parent.parsed().needs(&tell, &here).as_slice() {
        here.extend(needs.iter().map(|blob| (blob.hash, all[&blob.hash].clone())));
    }
    assert_eq!(run(parent.parsed(), &tell, &here), json!({ "text": "At http://us" }));
    // A document that is none has no value, the same everywhere.
    here.insert(child.blob().hash, b"{}".to_vec());
    assert!(matches!(parent.parsed().evaluate(&tell, &here), Err(NoValue::Bad(_))));
}

#[test]
fn a_later_attempt_of_an_application_asks_in_the_name_of_the_first_run() {
    let file = "
app: pack
version: 1.0.0
services: { notify: althing/notify@2 }
when: { inputs: { gift: string } }
then:
  - { id: tell, do: notify.push, with: { text: \"${ run.id } ${ run.started_at }\" } }
";
    let child = check("pack", file).unwrap().compiled;
    let parent = compiled("3-image").compiled;
    let event = Payload::Blob(BlobRef::of(b"{}"));
    let attempt = |attempt: u16| {
        let user = StepInput { attempt, ..context(&parent, 3, event.clone()) };
        let run = attempt_id(&user.run, user.step, attempt);
        StepInput { run, ..context(&child, 0, Payload::Given(Box::new(user))) }
    };
    let said = |input: &StepInput| run(child.parsed(), input, &Blobs::new());
    let first = attempt(0);
    assert_eq!(said(&first), json!({ "text": format!("{} 1000", first.run) }));
    assert_ne!(attempt(2).run, first.run);
    assert_eq!(said(&attempt(2)), said(&first));
}

#[test]
fn a_step_that_may_not_have_run_is_null() {
    let with = "told_bad, do: notify.push, after: { any: [quote.unavailable, send.rejected, send.error] }, with: { text: \"${ send != null ? send.reason : 'No rate' }\" } }";
    let file = text("4-btc-eth");
    let from = file.find("told_bad").unwrap();
    let to = from + file.get(from..).unwrap().find('\n').unwrap();
    let file = file.replace(file.get(from..to).unwrap(), with);
    let compiled = check("4-btc-eth", &file).unwrap().compiled;
    let mut blobs = Blobs::new();
    let event = store(&mut blobs, &json!({ "to": "bc1q", "amount": "1", "tx": "t" }));
    let mut input = context(&compiled, 3, Payload::Blob(event));
    assert_eq!(run(compiled.parsed(), &input, &blobs), json!({ "text": "No rate" }));
    let refused = Payload::Blob(store(&mut blobs, &json!({ "reason": "poor" })));
    input.outputs.push(StepOutput { step: 1, output: refused });
    assert_eq!(run(compiled.parsed(), &input, &blobs), json!({ "text": "poor" }));
}

/// An application whose only step has this as its input.
fn bomb(expression: &str) -> Compiled {
    let file = format!(
        "
app: bomb
version: 1.0.0
services: {{ store: althing/storage@1, notify: althing/notify@2 }}
when: store.image_uploaded
then:
  - id: boom
    do: notify.push
    with:
      text: {}
",
        json!(format!("${{ {expression} }}"))
    );
    check("bomb", &file).unwrap_or_else(|mistakes| panic!("{mistakes}: {expression}")).compiled
}

fn explode(expression: &str, url: &str) -> Result<Evaluated, NoValue> {
    let compiled = bomb(expression);
    let mut blobs = Blobs::new();
    let event = store(&mut blobs, &json!({ "id": "i", "url": url }));
    compiled.parsed().evaluate(&context(&compiled, 0, Payload::Blob(event)), &blobs)
}

#[test]
fn a_bomb_ends_in_bounded_work_the_same_everywhere() {
    let long = "ab ".repeat(300_000);
    let doubled = {
        let mut text = "event.url".to_owned();
        for _ in 0..5 {
            text = format!("({text} + {text})");
        }
        text
    };
    let bombs = [
        "string(event.url.split(' ').map(x, event.url.split(' ').map(y, x + y)))".to_owned(),
        "string(size(event.url.split(' ').filter(x, event.url.split(' ').exists(y, x == 'z'))))".to_owned(),
        "event.url.replace('', event.url)".to_owned(),
        "event.url.split('').join(event.url)".replace("split('')", "split(' ')"),
        "string(event.url.split(' ').all(x, event.url.split(' ').all(y, 1 / 0 == 1)))".to_owned(),
        format!("{doubled}.replace('a', {doubled})"),
        "[event.url,event.url].map(x, [x,x,x,x,x,x,x,x].map(y, string([y,y,y,y,y,y,y,y]))).map(z, z.join('')).join('')".to_owned(),
    ];
    for expression in &bombs {
        let first = explode(expression, &long);
        let Err(NoValue::Bad(BadExpression { place, reason })) = &first else {
            panic!("{expression} came to an end: {}", first.is_ok());
        };
        assert_eq!(place, "with of 'boom'", "{expression}");
        let bounded = reason.contains("more than an expression may") || reason.contains("bytes");
        assert!(bounded, "{expression}: {reason}");
        assert_eq!(explode(expression, &long), first, "{expression}");
    }
}

#[test]
fn an_expression_without_a_value_says_why() {
    for (expression, reason) in [
        ("string(1 / size(event.id.replace('i', '')))", "nothing is divided by nought"),
        ("event.id.split(',')[3]", "the list has no such item"),
        ("string(decimal(event.id) * 2)", "the text is no number"),
        (
            "string(99999999999999999999.0 * 99999999999999999999.0)",
            "the number has too many digits",
        ),
    ] {
        let Err(NoValue::Bad(error)) = explode(expression, "u") else {
            panic!("{expression} has a value")
        };
        assert_eq!(error.reason, reason, "{expression}");
    }
}
