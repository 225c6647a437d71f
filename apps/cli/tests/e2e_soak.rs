//! Real nodes under load while their surroundings go wrong: what `cargo xtask soak` plays for minutes,
//! for seconds here.

#![expect(
    clippy::print_stdout,
    clippy::unwrap_used,
    reason = "a test tells what it saw, and fails by panicking, in its helpers too"
)]

use std::path::{Path, PathBuf};
use std::time::Duration;

use althing_soak::scenario::{Scenario, Stage};

fn play(scenario: Scenario, seconds: u64, calls: bool) {
    let folder = tempfile::tempdir().unwrap();
    let service = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../examples/invoice");
    let stage = Stage {
        binary: PathBuf::from(env!("CARGO_BIN_EXE_althing")),
        service: calls.then_some(service),
        folder: folder.path().to_owned(),
        seed: 7,
        length: Duration::from_secs(seconds),
        transfers_per_second: 40,
    };
    let report = scenario.play(&stage).unwrap();
    println!("{}", report.markdown());
    assert!(report.holds(), "{}", report.markdown());
}

#[test]
fn a_rolling_restart_under_load_loses_nothing() {
    play(Scenario::Restarts, 0, true);
}

#[test]
fn nodes_killed_at_random_and_all_at_once_lose_nothing() {
    play(Scenario::Kills, 8, true);
}

#[test]
fn a_node_whose_disk_is_full_says_so_and_recovers() {
    play(Scenario::Disk, 0, false);
}

#[test]
fn clocks_an_hour_off_hold_up_nobody() {
    play(Scenario::Clock, 8, false);
}

#[test]
fn a_node_that_is_cut_off_comes_back_level() {
    play(Scenario::Partition, 0, false);
}

#[test]
fn two_nodes_with_one_key_notice_it_and_the_chain_goes_on() {
    play(Scenario::Twins, 0, false);
}
