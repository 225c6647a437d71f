//! One node after another is stopped and started again, as for an update of the program.

use std::time::{Duration, Instant};

use anyhow::Result;

use super::{Scenario, Stage};
use crate::audit::Expected;
use crate::network::Network;
use crate::report::{Report, seconds};

pub(super) fn play(stage: &Stage) -> Result<Report> {
    let report = Report::new(
        Scenario::Restarts.title(),
        "Every node in turn is asked to end, started again, and waited for until it is level.",
    );
    let network = Network::running(&stage.binary, &stage.place("restarts"))?;
    let mut scene = stage.scene(network, report)?;
    let begun = Instant::now();
    let (mut restarts, mut slowest) = (0, Duration::ZERO);
    // Every node at least once.
    while restarts < scene.network.members.len() || begun.elapsed() < stage.length {
        let place = restarts % scene.network.members.len();
        scene.network.stop(place)?;
        let goal = scene.network.height();
        let started = Instant::now();
        scene.network.start(place)?;
        scene.network.until_height(place, goal)?;
        slowest = slowest.max(started.elapsed());
        restarts += 1;
    }
    scene.report.figure("restarts", restarts);
    scene.report.figure("slowest, until level", seconds(slowest));
    scene.end(&Expected::default())
}
