//! Services do what they should, alike on every node; and whatever they do, the node survives it.

mod support;

use std::fs;
use std::sync::LazyLock;

use althing_runtime_wasm::WasmRuntime;
use althing_types::{Doubt, Failure, Opinion, keccak};
use althing_work::{Refusal, Runtime as _, Unfinished};
use support::{Example, Node, entropy, folder, manifest, name, text};

static HOSTILE: LazyLock<Example> = LazyLock::new(|| Example::build("hostile"));
static INVOICE: LazyLock<Example> = LazyLock::new(|| Example::build("invoice"));
static FACTOR: LazyLock<Example> = LazyLock::new(|| Example::build("factor"));

const FAILED: fn(Failure) -> Unfinished = Unfinished::Failed;

#[test]
fn the_node_survives_everything_and_names_each_outcome() {
    let node = Node::with(&HOSTILE);
    for (task, input, expected) in [
        ("trap", "{}", FAILED(Failure::Trap)),
        ("spin", "{}", FAILED(Failure::OutOfFuel)),
        ("spin_for_long", "{}", Unfinished::Inconclusive(Doubt::OverTime)),
        ("eat_memory", "{}", FAILED(Failure::OverMemory)),
        ("overflow_stack", "{}", Unfinished::Inconclusive(Doubt::StackOverflow)),
        ("undeclared_status", "{}", FAILED(Failure::BadOutput)),
        ("bad_output", "{}", FAILED(Failure::BadOutput)),
        ("no_json", "{}", FAILED(Failure::BadOutput)),
        ("large_output", r#"{"size":20000}"#, FAILED(Failure::BadOutput)),
        ("large_output", r#"{"size":3000000}"#, FAILED(Failure::BadOutput)),
        ("large_output", r#"{"size":"x"}"#, FAILED(Failure::BadInput)),
        ("large_output", "{", FAILED(Failure::BadInput)),
        ("no_such_task", "{}", FAILED(Failure::BadInput)),
        ("give_up", "{}", FAILED(Failure::GaveUp)),
        ("chance", "{}", FAILED(Failure::Trap)),
        ("greedy_dice", "{}", FAILED(Failure::Trap)),
    ] {
        let run = node.task(&HOSTILE, task, input);
        assert_eq!(run.result, Err(expected), "{task}: {:?}", run.log);
        // The next call finds nothing of it.
        assert_eq!(text(&node.task(&HOSTILE, "behave", "{}")), "as it should be");
    }
}

#[test]
fn what_a_service_logs_is_bounded_and_paid_with_its_fuel() {
    let node = Node::with(&HOSTILE);
    let run = node.task(&HOSTILE, "chatter", "{}");
    assert!(run.log.len() <= 65, "{} lines", run.log.len());
    assert!(run.log.iter().all(|line| line.chars().count() <= 512));
    // Ten thousand lines of 8,000 bytes.
    assert!(run.fuel_used > 80_000_000, "{}", run.fuel_used);
    let run = node.task(&HOSTILE, "give_up", "{}");
    assert!(run.log.iter().any(|line| line.contains("I would rather not")), "{:?}", run.log);
}

#[test]
fn floats_that_are_no_numbers_have_one_form() {
    let node = Node::with(&HOSTILE);
    let canonical = "7ff8000000000000 7ff8000000000000 7ff8000000000000 7fc00000";
    assert_eq!(text(&node.task(&HOSTILE, "nan", "{}")), canonical);
}

#[test]
fn a_call_finds_nothing_of_the_one_before_it_in_its_slot() {
    // One slot, so that each call gets the memory of the one before.
    for slots in [1, 0] {
        let node = Node::with_slots(7, slots);
        node.prepare(&HOSTILE);
        for _ in 0..5 {
            let run = node.task(&HOSTILE, "leave_traces", "{}");
            assert_eq!(text(&run), "0 calls, 0 bytes", "{slots} slots");
            assert!(node.task(&HOSTILE, "eat_memory", "{}").result.is_err());
        }
    }
}

#[test]
fn calls_for_which_no_slot_is_free_end_as_the_others_do() {
    let node = Node::with_slots(7, 1);
    node.prepare(&HOSTILE);
    let alone = node.task(&HOSTILE, "leave_traces", "{}");
    std::thread::scope(|threads| {
        // One of them is in the slot for as long as its fuel lasts.
        let spinning: Vec<_> =
            (0..2).map(|_| threads.spawn(|| node.task(&HOSTILE, "spin", "{}"))).collect();
        while spinning.iter().any(|thread| !thread.is_finished()) {
            let beside = node.task(&HOSTILE, "leave_traces", "{}");
            assert_eq!((&beside.result, beside.fuel_used), (&alone.result, alone.fuel_used));
        }
        for thread in spinning {
            assert_eq!(thread.join().unwrap().result, Err(FAILED(Failure::OutOfFuel)));
        }
    });
}

#[test]
fn what_a_service_does_is_the_same_in_a_slot_and_outside_of_them() {
    let (one, other) = (Node::with_slots(7, 4), Node::with_slots(7, 0));
    one.prepare(&HOSTILE);
    other.prepare(&HOSTILE);
    both_do_the_same(&one, &other);
}

#[test]
fn two_nodes_spend_the_same_fuel_and_return_the_same_bits() {
    both_do_the_same(&Node::with(&HOSTILE), &Node::with(&HOSTILE));
}

fn both_do_the_same(one: &Node, other: &Node) {
    for (task, input) in [
        ("behave", "{}"),
        ("trap", "{}"),
        ("spin", "{}"),
        ("eat_memory", "{}"),
        ("leave_traces", "{}"),
        ("large_output", r#"{"size":9999}"#),
        ("large_output", r#"{"size":20000}"#),
        ("nan", "{}"),
        ("chatter", "{}"),
        ("give_up", "{}"),
        ("chance", "{}"),
    ] {
        let (here, there) = (one.task(&HOSTILE, task, input), other.task(&HOSTILE, task, input));
        assert_eq!((&here.result, here.fuel_used), (&there.result, there.fuel_used), "{task}");
        assert_eq!(here.outcome(), there.outcome(), "{task}");
        assert!(here.fuel_used > 0, "{task}");
    }
}

#[test]
fn half_of_the_fuel_that_a_task_needs_is_not_enough() {
    let node = Node::with(&INVOICE);
    let input = r#"{"csv":"item,quantity,unit_price\nPen,3,1.10\n","name":"a"}"#;
    let needed = node.task(&INVOICE, "total", input);
    assert!(needed.result.is_ok());
    for (fuel, enough) in [(needed.fuel_used, true), (needed.fuel_used / 2, false)] {
        let limited = INVOICE.limited("total", |limits| limits.fuel = fuel);
        let node = Node::with(&limited);
        let run = node.task(&limited, "total", input);
        assert_eq!(run.result.is_ok(), enough, "{fuel}: {:?}", run.result);
        assert!(enough || run.result == Err(FAILED(Failure::OutOfFuel)));
    }
}

/// A small generator with a fixed seed: the same invoices in every run.
struct Dice(u64);

impl Dice {
    fn roll(&mut self, sides: u64) -> u64 {
        self.0 =
            self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) % sides
    }
}

/// A random invoice with its total in cents; none for a broken one.
fn invoice(dice: &mut Dice) -> (String, Option<u64>) {
    let (mut csv, mut cents) = (String::from("currency,EUR\nitem,quantity,unit_price\n"), 0);
    let broken = dice.roll(10) == 0;
    for line in 0..=dice.roll(20) {
        let (quantity, price) = (1 + dice.roll(500), dice.roll(100_000));
        csv += &format!("\"item, {line}\",{quantity},{}.{:02}\n", price / 100, price % 100);
        cents += quantity * price;
    }
    if broken {
        csv += "broken,many,1.00\n";
    }
    (csv, (!broken).then_some(cents))
}

#[test]
fn a_thousand_random_invoices_total_alike_on_two_nodes_and_as_computed_here() {
    let (one, other) = (Node::with(&INVOICE), Node::with(&INVOICE));
    let mut dice = Dice(20);
    for number in 0..1000 {
        let (csv, cents) = invoice(&mut dice);
        let input =
            serde_json::json!({ "csv": csv, "name": format!("invoice {number}") }).to_string();
        let (here, there) =
            (one.task(&INVOICE, "total", &input), other.task(&INVOICE, "total", &input));
        assert_eq!((&here.result, here.fuel_used), (&there.result, there.fuel_used), "{csv}");
        let returned = here.result.unwrap();
        let output: serde_json::Value = serde_json::from_slice(&returned.output).unwrap();
        match cents {
            Some(cents) => {
                assert_eq!(returned.status.as_str(), "ok", "{csv}");
                assert_eq!(output["total"], format!("{}.{:02}", cents / 100, cents % 100), "{csv}");
            }
            None => assert_eq!(returned.status.as_str(), "unreadable", "{csv}"),
        }
    }
}

#[test]
fn nodes_factor_differently_and_verify_each_other() {
    let nodes = [1, 2, 3, 5, 8].map(|seed| {
        let node = Node::start(seed);
        node.prepare(&FACTOR);
        node
    });
    // 3 × 5 × 17 × 257 × 641 × 65537 × 6700417.
    let input = r#"{"n":"18446744073709551615"}"#;
    let runs = nodes.each_ref().map(|node| node.task(&FACTOR, "factor", input).result.unwrap());
    assert!(runs.iter().any(|run| run != &runs[0]), "the order of factors depends on chance");
    let judge = |status: &str, output: &[u8]| {
        nodes[0].runtime.verify(
            &FACTOR.id(),
            &name("factor"),
            input.as_bytes(),
            &name(status),
            output,
        )
    };
    for run in &runs {
        assert_eq!(run.status.as_str(), "found");
        let verdict = judge("found", &run.output);
        assert_eq!(verdict.opinion, Opinion::Valid, "{}", verdict.reason);
        assert!(verdict.fuel_used > 0);
    }
    for (status, output) in [
        ("found", r#"{"factors":["3","5"]}"#),
        ("found", r#"{"factors":["3","6148914691236517205"]}"#),
        ("found", r#"{"factors":["18446744073709551615"]}"#),
        ("found", r#"{"factors":7}"#),
        ("prime", "{}"),
        ("lost", "{}"),
        ("prime", "{ }"),
    ] {
        let verdict = judge(status, output.as_bytes());
        assert_eq!(verdict.opinion, Opinion::Invalid, "{status} {output}");
        assert!(!verdict.reason.is_empty());
    }
}

#[test]
fn a_verify_that_is_made_to_fail_does_not_help_the_executor() {
    let node = Node::with(&HOSTILE);
    let judge = |output: &str| {
        node.runtime.verify(&HOSTILE.id(), &name("dice"), b"{}", &name("ok"), output.as_bytes())
    };
    assert_eq!(judge(r#"{"text":"six"}"#).opinion, Opinion::Valid);
    for output in [r#"{"text":"trap"}"#, r#"{"text":"spin"}"#, r#"{"text":6}"#] {
        assert_eq!(judge(output).opinion, Opinion::Invalid, "{output}");
    }
}

#[test]
fn a_service_that_is_not_prepared_is_a_doubt() {
    let node = Node::start(0);
    let run = node.task(&INVOICE, "total", "{}");
    assert_eq!(run.result, Err(Unfinished::Inconclusive(Doubt::ServiceUnavailable)));
    let verdict = node.runtime.verify(&INVOICE.id(), &name("total"), b"{}", &name("ok"), b"{}");
    assert_eq!(verdict.opinion, Opinion::Inconclusive);
}

#[test]
fn files_that_are_no_services_are_refused() {
    let node = Node::start(0);
    let core = althing_guests::build_core(&folder("hostile"), &[]).unwrap();
    let forbidden = althing_guests::build_with(&folder("hostile"), &["forbidden_import"]).unwrap();
    let empty = b"\0asm\x0d\0\x01\0".to_vec();
    let mut torn = HOSTILE.component.clone();
    torn.truncate(torn.len() / 2);
    let huge = vec![0; althing_runtime_wasm::COMPONENT_BYTES_MAX + 1];
    let refusal = |component: &[u8]| {
        let manifest = manifest("hostile", component);
        node.runtime.prepare(&manifest.id(), component, &manifest).unwrap_err()
    };
    assert!(
        matches!(refusal(&core), Refusal::NotAComponent { reason } if reason.contains("core module"))
    );
    assert!(matches!(refusal(b"#!/bin/sh"), Refusal::NotAComponent { .. }));
    assert!(matches!(refusal(b""), Refusal::NotAComponent { .. }));
    assert!(matches!(refusal(&huge), Refusal::TooLarge { .. }));
    assert!(matches!(refusal(&torn), Refusal::DoesNotCompile { .. }));
    assert!(
        matches!(refusal(&empty), Refusal::MissingExport { export } if export.contains("handler"))
    );
    let disk = String::from("hostile:wish/disk@0.1.0");
    assert_eq!(refusal(&forbidden), Refusal::ForbiddenImport { import: disk });

    let other = &HOSTILE.manifest;
    assert_eq!(
        node.runtime.prepare(&other.id(), &INVOICE.component, other),
        Err(Refusal::OtherModule)
    );
    let mut deterministic = HOSTILE.manifest.clone();
    deterministic.tasks.retain(|task| !task.name.as_str().contains("dice"));
    let prepared = node.runtime.prepare(&deterministic.id(), &HOSTILE.component, &deterministic);
    assert_eq!(prepared, Err(Refusal::ChanceWithoutMethod));
    let mut schema = HOSTILE.manifest.clone();
    schema.tasks[0].inputs = serde_json::json!({ "$ref": "https://example.org/schema.json" });
    let prepared = node.runtime.prepare(&schema.id(), &HOSTILE.component, &schema);
    assert!(matches!(prepared, Err(Refusal::Schemas { .. })));
}

#[test]
fn every_refusal_has_a_code_of_its_own_and_a_hint() {
    let text = String::new;
    let refusals = [
        Refusal::NotAComponent { reason: text() },
        Refusal::TooLarge { bytes: 1, bytes_max: 0 },
        Refusal::ForbiddenImport { import: text() },
        Refusal::ChanceWithoutMethod,
        Refusal::MissingExport { export: text() },
        Refusal::OtherModule,
        Refusal::Schemas { reason: text() },
        Refusal::DoesNotCompile { reason: text() },
    ];
    let mut codes: Vec<&str> = refusals.iter().map(Refusal::code).collect();
    codes.dedup();
    assert_eq!(codes.len(), refusals.len());
    let pages = concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/errors");
    for refusal in &refusals {
        assert!(!refusal.hint().is_empty());
        assert!(
            fs::exists(format!("{pages}/{}.md", refusal.code())).unwrap(),
            "{}",
            refusal.code()
        );
    }
}

#[test]
fn compiled_code_that_was_changed_is_compiled_anew() {
    let node = Node::with(&INVOICE);
    let cache = node.folder.path().join("cache");
    let compiled = || {
        let mut files = fs::read_dir(&cache).unwrap().map(|entry| entry.unwrap().path());
        files.find(|path| path.extension().is_some_and(|end| end == "cwasm")).unwrap()
    };
    let input = r#"{"csv":"item,quantity,unit_price\nPen,3,1.10\n","name":"a"}"#;
    let expected = node.task(&INVOICE, "total", input).result;
    let right = fs::read(compiled()).unwrap();
    let flipped = |place: usize| {
        let mut bytes = right.clone();
        bytes[place] ^= 1;
        bytes
    };
    let wrong = [
        flipped(0),
        flipped(40),
        flipped(right.len() / 2),
        flipped(right.len() - 1),
        Vec::new(),
        right[..100].to_vec(),
    ];
    for bytes in wrong {
        fs::write(compiled(), &bytes).unwrap();
        let again = WasmRuntime::open(&cache, entropy(7)).unwrap();
        again.prepare(&INVOICE.id(), &INVOICE.component, &INVOICE.manifest).unwrap();
        assert_eq!(again.task(&INVOICE.id(), &name("total"), input.as_bytes()).result, expected);
        assert_eq!(fs::read(compiled()).unwrap().len(), right.len(), "the file is written anew");
        assert_ne!(fs::read(compiled()).unwrap(), bytes);
    }
}

#[test]
fn compiled_code_of_another_node_is_not_loaded() {
    let (one, other) = (Node::with(&INVOICE), Node::start(7));
    let cache_of = |node: &Node| node.folder.path().join("cache");
    let file = |node: &Node| {
        let mut files = fs::read_dir(cache_of(node)).unwrap().map(|entry| entry.unwrap().path());
        files.find(|path| path.extension().is_some_and(|end| end == "cwasm")).unwrap()
    };
    let planted = cache_of(&other).join(file(&one).file_name().unwrap());
    let foreign = fs::read(file(&one)).unwrap();
    fs::write(&planted, &foreign).unwrap();
    other.prepare(&INVOICE);
    // It was compiled here, and so it bears this node's MAC.
    assert_ne!(keccak(&[&fs::read(&planted).unwrap()[..32]]), keccak(&[&foreign[..32]]));
}

#[cfg(unix)]
#[test]
fn the_cache_is_closed_to_others() {
    use std::os::unix::fs::PermissionsExt as _;
    let node = Node::with(&INVOICE);
    let cache = node.folder.path().join("cache");
    assert_eq!(fs::metadata(&cache).unwrap().permissions().mode() & 0o777, 0o700);
    for entry in fs::read_dir(&cache).unwrap() {
        assert_eq!(entry.unwrap().metadata().unwrap().permissions().mode() & 0o777, 0o600);
    }
}

#[test]
fn many_threads_share_a_runtime() {
    let node = Node::with(&HOSTILE);
    std::thread::scope(|threads| {
        for _ in 0..8 {
            threads.spawn(|| {
                for task in ["behave", "trap", "nan", "give_up", "eat_memory"] {
                    drop(node.task(&HOSTILE, task, "{}"));
                }
                assert_eq!(text(&node.task(&HOSTILE, "behave", "{}")), "as it should be");
            });
        }
    });
}
