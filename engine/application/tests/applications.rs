//! Paper A's five applications: read, checked, compiled, and the same again from their documents.
//!
//! The plans and warnings are in `fixtures/apps/*.txt`; `ALTHING_BLESS=1` writes those files anew.
#![expect(clippy::unwrap_used, reason = "the whole file is a test")]

mod common;

use std::fmt::Write as _;
use std::fs;

use althing_application::{ApplicationFile, Catalogue, Compiled, MistakeKind};
use althing_types::{
    Action, Hash, Join, KeySource, StepStatus, application_id, canonical, key_hash,
};
use common::{APPLICATIONS, catalogue, check, compiled, config, folder, text};
use serde_json::json;

/// A plan as a person draws it.
fn drawn(name: &str) -> String {
    let checked = compiled(name);
    let plan = checked.compiled.plan();
    let id = |step: u16| plan.steps[usize::from(step)].id.to_string();
    let end = |end: &althing_types::End| format!("{}.{}", id(end.step), end.status);
    let key = |filter: &althing_types::Filter| {
        let value = match filter.value {
            KeySource::Constant(hash) => {
                format!("constant {}", hash.to_string().get(..10).unwrap())
            }
            KeySource::Trigger(key) => format!("key {key} of the event"),
            KeySource::Yielded { step, index } => format!("key {index} of {}", id(step)),
        };
        format!("key {} = {value}", filter.key)
    };
    let mut out = String::new();
    let event = plan.trigger.event.as_ref().unwrap();
    writeln!(out, "when {}{}", event.event, if plan.trigger.conditional { " if …" } else { "" })
        .unwrap();
    for filter in &plan.trigger.filter {
        writeln!(out, "  where {}", key(filter)).unwrap();
    }
    for step in &plan.steps {
        let task = match &step.action {
            Action::Task { task, .. } => task.to_string(),
            Action::Application { .. } => "an application".into(),
        };
        let ends: Vec<String> = step.after.ends.iter().map(end).collect();
        let join = match step.after.mode {
            Join::All => " and ",
            Join::Any => " or ",
        };
        writeln!(
            out,
            "{}: {task} after [{}] checkers {} quorum {} retries {} yields {}",
            step.id,
            ends.join(join),
            step.checkers,
            step.quorum,
            step.retry.max,
            step.yields
        )
        .unwrap();
        if let Some(wait) = &step.wait {
            let keys: Vec<String> = wait.filter.iter().map(key).collect();
            let condition = if wait.conditional { " if …" } else { "" };
            writeln!(
                out,
                "  awaits {} where {}{condition}, {} ms",
                wait.event.event,
                keys.join(", "),
                wait.timeout_ms
            )
            .unwrap();
        }
    }
    for end_of in &plan.returns {
        writeln!(out, "returns {} from {}", end_of.name, end(&end_of.from)).unwrap();
    }
    for warning in checked.warnings.iter().flat_map(|warnings| warnings.iter()) {
        assert_eq!(warning.kind, MistakeKind::Unhandled);
        writeln!(out, "warning: {}", warning.message).unwrap();
    }
    out
}

#[test]
fn the_papers_applications_have_the_plans_that_they_say() {
    for name in APPLICATIONS {
        let path = folder().join(format!("apps/{name}.txt"));
        let drawn = drawn(name);
        if std::env::var_os("ALTHING_BLESS").is_some() {
            fs::write(&path, &drawn).unwrap();
        }
        assert_eq!(drawn, fs::read_to_string(&path).unwrap(), "{name}");
    }
}

#[test]
fn a_document_alone_leads_to_the_same_plan() {
    for name in APPLICATIONS {
        let compiled = compiled(name).compiled;
        let again = Compiled::from_document(compiled.document()).unwrap();
        assert_eq!(again.plan(), compiled.plan(), "{name}");
        assert_eq!(again.parsed(), compiled.parsed(), "{name}");
        assert_eq!(again.blob(), compiled.blob(), "{name}");
        assert_eq!(again.parsed().canonical().unwrap(), compiled.document(), "{name}");
    }
}

#[test]
fn every_plan_is_one_that_the_ledger_accepts() {
    for name in APPLICATIONS {
        althing_workflow::check(compiled(name).compiled.plan())
            .unwrap_or_else(|error| panic!("{name}: {error}"));
    }
}

#[test]
fn a_document_that_was_changed_is_refused_or_is_another_application() {
    let compiled = compiled("5-cart").compiled;
    let bytes = compiled.document();
    let mut others = 0;
    for at in (0..bytes.len()).step_by(7) {
        let mut changed = bytes.to_vec();
        changed[at] ^= 1;
        if let Ok(other) = Compiled::from_document(&changed) {
            assert_ne!(other.blob(), compiled.blob());
            others += 1;
        }
    }
    assert!(others > 0, "some changes are other applications");
    assert!(Compiled::from_document(b"{}").is_err());
    assert!(Compiled::from_document(&bytes[..bytes.len() - 1]).is_err());
}

#[test]
fn the_id_is_of_the_graph_and_not_of_the_text() {
    let original = text("5-cart");
    let id = |text: &str| check("5-cart", text).unwrap().compiled.blob();
    let same = [
        format!("# A comment.\n{original}"),
        original.replace(
            "    do: mail.send\n    with: { to: \"${ event.email }\", template: order_paid }",
            "    with:\n      template: 'order_paid'\n      to: ${event.email}\n    do: mail.send",
        ),
        original.replace("  - id: ship\n", "  - id: ship\n    after: email.ok\n"),
        original.replace(
            "    after: processing.timeout\n",
            "    after: { any: [processing.timeout] }\n",
        ),
    ];
    for text in &same {
        assert_ne!(*text, original);
        assert_eq!(id(text), id(&original), "{text}");
    }
    let other = original.replace("template: order_paid", "template: order_payed");
    assert_ne!(id(&other), id(&original));
}

#[test]
fn configured_values_are_constants_of_the_document() {
    let checked = compiled("4-btc-eth");
    let expected = key_hash(b"\"bc1q\"");
    assert_eq!(checked.compiled.plan().trigger.filter[0].value, KeySource::Constant(expected));
    assert_eq!(checked.compiled.parsed().config, json!(config("4-btc-eth")));
}

#[test]
fn keys_come_from_the_step_that_knows_them_first() {
    let checked = compiled("5-cart");
    let plan = checked.compiled.plan();
    let wait = |id: &str| {
        plan.steps.iter().find(|step| step.id.as_str() == id).unwrap().wait.clone().unwrap()
    };
    assert_eq!(wait("processing").filter[0].value, KeySource::Yielded { step: 0, index: 0 });
    // Both wait for the same parcel: it is hashed once.
    assert_eq!(wait("delivery_news").filter[0].value, KeySource::Yielded { step: 3, index: 0 });
    assert_eq!(wait("paid").filter[0].value, KeySource::Yielded { step: 3, index: 0 });
    let own = text("5-cart")
        .replace("where: { to: \"${ address.address }\" }", "where: { to: \"${ event.cart }\" }");
    let own = check("5-cart", &own).unwrap();
    let wait = own.compiled.plan().steps[1].wait.clone().unwrap();
    assert_eq!(wait.filter[0].value, KeySource::Trigger(0));
}

#[test]
fn a_public_application_is_used_as_a_task_by_its_returns() {
    let child = compiled("3-image").compiled;
    let interface = child.parsed().interface().unwrap();
    let id = application_id(&althing_types::Address::default(), &child.blob().hash);
    let mut services: Catalogue = catalogue();
    services.add_application("acme/images@1.0.0".parse().unwrap(), id, interface);
    let parent = "
app: gallery
version: 1.0.0
services: { store: althing/storage@1, images: acme/images@1, notify: althing/notify@2 }
when: store.image_uploaded
then:
  - { id: all,  do: images, with: { id: \"${ event.id }\", url: \"${ event.url }\" } }
  - { id: tell, do: notify.push, with: { text: \"At ${ all.urls[0] }\" } }
  - { id: sad,  do: notify.push, after: all.error, with: { text: Failed } }
";
    let parse = |text: &str| {
        ApplicationFile::parse("app.yaml", text).unwrap().check(&services, &Default::default())
    };
    let compiled = parse(parent).unwrap().compiled;
    let plan = compiled.plan();
    assert_eq!(plan.steps[0].action, Action::Application { application: id });
    assert_eq!(
        plan.steps[1].after.ends[0].status,
        StepStatus::Returned("published".parse().unwrap())
    );
    althing_workflow::check(plan).unwrap();
    let wrong =
        parse(&parent.replace("url: \"${ event.url }\"", "link: \"${ event.url }\"")).unwrap_err();
    assert!(wrong.iter().any(|mistake| mistake.message == "`images` takes no `link`"));
    let wrong = parse(&parent.replace("all.urls[0]", "all.files[0]")).unwrap_err();
    assert_eq!(wrong.iter().next().unwrap().message, "`all` has no `files`");
}

#[test]
fn plans_have_canonical_bytes_within_the_ledgers_bounds() {
    for name in APPLICATIONS {
        let compiled = compiled(name).compiled;
        let bytes = canonical::encode(compiled.plan());
        assert!(bytes.len() < 8 << 10, "{name}: {} bytes", bytes.len());
        assert_ne!(compiled.blob().hash, Hash::default());
    }
}

#[test]
fn what_a_step_asks_of_labels_is_part_of_plan_and_document_and_has_one_form() {
    let with = |nodes: &str| {
        let text =
            text("4-btc-eth").replacen("retry: {", &format!("nodes: {nodes}\n    retry: {{"), 1);
        check("4-btc-eth", &text).unwrap().compiled
    };
    let asked = with("{ labels: { region: [us, eu, us], gpu: yes, tier: 1 } }");
    let step = &asked.plan().steps[1];
    let told: Vec<String> = step
        .labels
        .iter()
        .map(|label| {
            let values: Vec<String> = label.values.iter().map(ToString::to_string).collect();
            format!("{} {}", label.name, values.join("|"))
        })
        .collect();
    assert_eq!(told, ["gpu yes", "region eu|us", "tier 1"]);
    let again = Compiled::from_document(asked.document()).unwrap();
    assert_eq!(again.plan(), asked.plan());
    let otherwise = with("{ labels: { tier: 1, gpu: yes, region: [eu, us] } }");
    assert_eq!(otherwise.document(), asked.document(), "order and repetition change nothing");
    let one = format!("0x{}", "ab".repeat(20));
    let both = with(&format!("{{ allow: [{one}], labels: {{ gpu: yes }} }}"));
    assert_eq!((both.plan().steps[1].nodes.len(), both.plan().steps[1].labels.len()), (1, 1));
    let plain = compiled("4-btc-eth").compiled;
    assert!(!String::from_utf8_lossy(plain.document()).contains("labels"));
}
