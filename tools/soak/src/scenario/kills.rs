//! Nodes are killed without warning and started again, in an order that the seed decides.

use std::time::{Duration, Instant};

use anyhow::Result;

use super::{Scenario, Scene, Stage};
use crate::audit::Expected;
use crate::chance::Chance;
use crate::network::{Network, pause};
use crate::report::Report;

/// Of so many blows, one hits all nodes at once, another one three, more than the network can miss.
const BLOWS: u64 = 10;
/// From one blow to the next, at most.
const BETWEEN_MS: u64 = 3_000;
/// How long a killed node stays away, at most.
const AWAY_MS: u64 = 1_500;

pub(super) fn play(stage: &Stage) -> Result<Report> {
    let told = format!(
        "Every few seconds `kill -9`: mostly one node or two, one time in ten three of seven, one time \
         in ten all of them; started again within {:.1} s. Seed {}.",
        Duration::from_millis(AWAY_MS).as_secs_f64(),
        stage.seed
    );
    let report = Report::new(Scenario::Kills.title(), told);
    let network = Network::running(&stage.binary, &stage.place("kills"))?;
    let mut scene = stage.scene(network, report)?;
    let mut chance = Chance::new(stage.seed);
    let begun = Instant::now();
    let (mut kills, mut halts) = (0, 0);
    while begun.elapsed() < stage.length {
        pause(Duration::from_millis(500 + chance.below(BETWEEN_MS)));
        let count = match chance.below(BLOWS) {
            0 => scene.network.members.len(),
            1 => 3,
            other => 1 + usize::from(other % 2 == 0),
        };
        halts += u32::from(count > 2);
        kills += blow(&mut scene, &mut chance, count)?;
    }
    // And a power cut of everything, whatever the seed has done before.
    let all = scene.network.members.len();
    kills += blow(&mut scene, &mut chance, all)?;
    halts += 1;
    scene.report.figure("kills", kills);
    scene.report.figure("blows to more than a third at once", halts);
    scene.end(&Expected { seals_may_stay_shut: true, ..Expected::default() })
}

/// Kills so many nodes at once, and starts them again after a while.
fn blow(scene: &mut Scene, chance: &mut Chance, count: usize) -> Result<usize> {
    let mut places: Vec<usize> = (0..scene.network.members.len()).collect();
    let mut killed = Vec::new();
    while killed.len() < count && !places.is_empty() {
        let place = places.swap_remove(chance.index(places.len()));
        if !scene.network.is_running(place)? {
            anyhow::bail!("node {} had ended by itself", place + 1);
        }
        scene.network.kill(place)?;
        killed.push(place);
    }
    pause(Duration::from_millis(chance.below(AWAY_MS)));
    for place in &killed {
        scene.network.start(*place)?;
    }
    Ok(killed.len())
}
