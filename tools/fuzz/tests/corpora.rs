//! Every target, on its corpus and on thousands of changed inputs: on the stable compiler, with every
//! run of the tests.
//!
//! `ALTHING_BLESS=1` writes the corpora anew, from real encoders.
#![expect(clippy::unwrap_used, reason = "a test that cannot go on fails")]

#[path = "../../../engine/replica/tests/common/mod.rs"]
mod common;
mod seeds;

use std::collections::BTreeMap;

use althing_fuzz::memory::Counting;
use althing_fuzz::mutate::Mutator;
use althing_fuzz::{TARGETS, Target, corpus, run, target};
use althing_keys::Secp256k1;
use althing_light::{Receipt, verify};

#[global_allocator]
static ALLOCATOR: Counting = Counting;

/// How many inputs a plain decoder gets in every run of the tests; the others their share.
const EXECUTIONS: u64 = 40_000;

fn inputs(target: &Target) -> Vec<Vec<u8>> {
    corpus::read(target.name).unwrap().into_iter().map(|(_, input)| input).collect()
}

/// A difference is a change of the wire or of the disk: a fork, or a version.
#[test]
fn the_corpora_are_what_the_encoders_write() {
    let seeds = seeds::all();
    if std::env::var_os("ALTHING_BLESS").is_some() {
        for (target, name, input) in &seeds {
            corpus::write(target, name, input).unwrap();
        }
    }
    let mut wanted: BTreeMap<&str, Vec<&str>> = BTreeMap::new();
    for (target, name, input) in &seeds {
        let found = corpus::read(target).unwrap();
        let found = found.iter().find(|(found, _)| found == name);
        let found = found.unwrap_or_else(|| panic!("{target}/{name} is missing"));
        assert_eq!(found.1, *input, "{target}/{name}");
        wanted.entry(target).or_default().push(name);
    }
    for target in TARGETS {
        assert!(wanted.contains_key(target.name), "{} has no corpus", target.name);
    }
}

#[test]
fn the_targets_have_names_of_their_own_and_shells_for_libfuzzer() {
    let shells = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../../fuzz");
    let manifest = std::fs::read_to_string(shells.join("Cargo.toml")).unwrap();
    for target in TARGETS {
        assert_eq!(TARGETS.iter().filter(|other| other.name == target.name).count(), 1);
        let shell = shells.join("fuzz_targets").join(format!("{}.rs", target.name));
        let shell = std::fs::read_to_string(&shell).unwrap();
        assert!(shell.contains(&format!("\"{}\"", target.name)), "{}", target.name);
        assert!(manifest.contains(&format!("fuzz_targets/{}.rs", target.name)));
    }
}

/// Runs everything but the compiler, which has a test of its own.
fn sweep(part: usize) {
    let quick = TARGETS.iter().filter(|target| target.name != "component");
    for target in quick.skip(part).step_by(2) {
        let inputs = inputs(target);
        let report = run::corpus(target, &inputs).unwrap_or_else(|broken| panic!("{broken}"));
        let executions = EXECUTIONS / target.cost;
        let mutated = run::mutated(target, &inputs, 1, executions);
        let report = report.with(mutated.unwrap_or_else(|broken| panic!("{broken}")));
        assert_eq!(report.executions, inputs.len() as u64 + executions);
    }
}

#[test]
fn no_input_breaks_a_promise_first_half() {
    sweep(0);
}

#[test]
fn no_input_breaks_a_promise_second_half() {
    sweep(1);
}

/// A real service among the inputs, which is too large to be kept with them.
#[test]
fn no_component_breaks_the_runtime() {
    let target = target("component").unwrap();
    let example = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../../examples/factor");
    let mut inputs = inputs(target);
    inputs.push(althing_guests::build(&example).unwrap());
    let report = run::corpus(target, &inputs).unwrap_or_else(|broken| panic!("{broken}"));
    let mutated = run::mutated(target, &inputs, 1, EXECUTIONS / target.cost);
    let report = report.with(mutated.unwrap_or_else(|broken| panic!("{broken}")));
    assert!(report.memory_peak > 1 << 20, "the real one was compiled: {report:?}");
}

/// Whatever is done to a receipt: if it verifies under the genesis, it says what the chain says.
#[test]
fn a_changed_receipt_proves_what_is_true_or_nothing() {
    let (genuine, trusted) = seeds::receipts();
    let encoded: Vec<Vec<u8>> = genuine.iter().map(Receipt::encode).collect();
    let leaves: Vec<Vec<u8>> = genuine.into_iter().map(|receipt| receipt.leaf).collect();
    let mut mutator = Mutator::new(5, false);
    let mut verified = 0;
    for _ in 0..20_000 {
        let input = mutator.input(&encoded).unwrap();
        let Ok(receipt) = Receipt::decode(&input) else { continue };
        if verify(&receipt, &trusted, &Secp256k1).is_ok() {
            assert!(leaves.contains(&receipt.leaf), "a false receipt was believed");
            verified += 1;
        }
    }
    assert!(verified > 0, "some changes change nothing that is proven");
}

/// The allocator counts: else every bound would hold.
#[test]
fn a_target_that_takes_too_much_is_caught() {
    fn greedy(input: &[u8]) {
        drop(std::hint::black_box(vec![1_u8; 1 << 22]));
        assert!(input.len() < 3, "a broken promise");
    }
    static GREEDY: Target = Target { run: greedy, ..TARGETS[0] };
    let broken = run::once(&GREEDY, b"x").unwrap_err();
    assert!(broken.what.contains("bytes of memory"), "{broken}");
    let broken = run::once(&GREEDY, b"long").unwrap_err();
    assert!(broken.what.contains("a broken promise"), "{broken}");
}
