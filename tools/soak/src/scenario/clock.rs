//! A node's clock steps an hour ahead, then an hour back, while it runs.
//!
//! A container cannot step the machine's clock for one process, and a time namespace has no wall
//! clock: `libfaketime` is put between the node and the system.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Instant;

use anyhow::{Context as _, Result};

use super::{Scenario, Stage};
use crate::audit::Expected;
use crate::network::{Network, pause};
use crate::report::Report;

/// The nodes whose clocks are wrong: together they are less than a third.
const VICTIMS: [usize; 2] = [5, 6];
/// Says where the library is, if it is nowhere of the following.
const LIBRARY: &str = "ALTHING_FAKETIME";
/// Where Debian and others put the library.
const LIBRARIES: [&str; 4] = [
    "/usr/lib/x86_64-linux-gnu/faketime/libfaketimeMT.so.1",
    "/usr/lib/aarch64-linux-gnu/faketime/libfaketimeMT.so.1",
    "/usr/lib/faketime/libfaketimeMT.so.1",
    "/usr/lib64/faketime/libfaketimeMT.so.1",
];
/// What the clock is told, in turn; the right time last.
const STEPS: [&str; 4] = ["+3600", "-3600", "+3600", "+0"];

pub(super) fn play(stage: &Stage) -> Result<Report> {
    let Some(library) = library() else {
        let why = "libfaketime is not installed (`cargo xtask peers`)";
        return Ok(Report::skipped(Scenario::Clock.title(), why));
    };
    let mut network = Network::create(&stage.binary, &stage.place("clock"))?;
    let mut clocks = Vec::new();
    for place in VICTIMS {
        let member = network.members.get_mut(place).context("a victim")?;
        let clock = member.folder.join("clock");
        set(&clock, "+0")?;
        member.launch.environment = [
            ("LD_PRELOAD", library.as_str()),
            ("FAKETIME_TIMESTAMP_FILE", clock.to_str().context("the path is not text")?),
            ("FAKETIME_NO_CACHE", "1"),
            // Timers run as before: only the time of day is wrong.
            ("FAKETIME_DONT_FAKE_MONOTONIC", "1"),
            ("DONT_FAKE_MONOTONIC", "1"),
        ]
        .map(|(name, value)| (name.to_owned(), value.to_owned()))
        .to_vec();
        clocks.push(clock);
    }
    network.start_all()?;
    let report = Report::new(
        Scenario::Clock.title(),
        "The clocks of two nodes step an hour ahead, an hour back, ahead again, and are put right.",
    );
    let mut scene = stage.scene(network, report)?;
    let begun = Instant::now();
    let (mut steps, mut apart_max) = (0, 0);
    while steps == 0 || begun.elapsed() < stage.length {
        for step in STEPS {
            let before = scene.network.height();
            for clock in &clocks {
                set(clock, step)?;
            }
            pause(stage.length / 4);
            // The wrong clocks hold up neither the others nor their own nodes.
            for place in 0..scene.network.members.len() {
                scene.network.until_height(place, before + 3)?;
            }
            apart_max = apart_max.max(apart(&scene.network)?);
            steps += 1;
        }
    }
    scene.report.figure("steps", steps);
    scene.report.figure("block time away from the right time, at most", format!("{apart_max} ms"));
    let holds = apart_max < 60_000;
    scene.report.claim("the chain's time stays right", holds, format!("{apart_max} ms"));
    scene.end(&Expected::default())
}

fn library() -> Option<String> {
    let named = std::env::var(LIBRARY).ok();
    let mut known = named.into_iter().chain(LIBRARIES.map(str::to_owned));
    known.find(|path| Path::new(path).exists())
}

fn set(clock: &PathBuf, text: &str) -> Result<()> {
    // Renamed into place: the node reads it at any moment.
    let fresh = clock.with_extension("new");
    fs::write(&fresh, text)?;
    fs::rename(&fresh, clock).context("setting a clock")
}

/// How far the last block's time is from the right one, in milliseconds.
fn apart(network: &Network) -> Result<u64> {
    let client = network.clients().into_iter().next().context("a node")?;
    let time = client.status()?.time;
    Ok(althing_node::now().0.abs_diff(time))
}
