//! A node's disk is full: it says so and stops; with space again, it goes on.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result};

use super::{Scenario, Stage};
use crate::audit::Expected;
use crate::network::{Network, errors, last_lines};
use crate::report::{Report, seconds};

/// The node whose disk it is.
const VICTIM: usize = 6;
/// The size of its disk: enough for the chain of a short life.
const DISK: &str = "size=256m";
/// Codes of a disk that takes nothing more.
const CODES: [&str; 3] = ["STO-0005", "WAL-0001", "NOD-0006"];

/// A file system of its own, in memory; unmounted at the end.
struct Disk(PathBuf);

impl Disk {
    fn mount(place: &Path) -> Result<Self> {
        fs::create_dir_all(place)?;
        let output = Command::new("mount")
            .args(["-t", "tmpfs", "-o", DISK, "althing-soak"])
            .arg(place)
            .output()
            .context("running mount")?;
        let said = String::from_utf8_lossy(&output.stderr);
        anyhow::ensure!(output.status.success(), "{}", said.trim());
        Ok(Self(place.to_owned()))
    }

    fn filler(&self) -> PathBuf {
        self.0.join("filler")
    }

    /// Writes until nothing goes in any more.
    fn fill(&self) -> Result<()> {
        let mut file = File::create(self.filler())?;
        // Down to single bytes: the last page, too.
        for block in [1 << 20, 4096, 1] {
            let bytes = vec![7; block];
            while file.write_all(&bytes).is_ok() {}
        }
        Ok(())
    }

    fn make_room(&self) -> Result<()> {
        fs::remove_file(self.filler()).context("making room")
    }
}

impl Drop for Disk {
    fn drop(&mut self) {
        Command::new("umount").arg("--lazy").arg(&self.0).status().ok(); // nothing else can be done
    }
}

pub(super) fn play(stage: &Stage) -> Result<Report> {
    let mut network = Network::create(&stage.binary, &stage.place("disk"))?;
    let member = network.members.get(VICTIM).context("the victim")?;
    let (log, data) = (member.log(), member.folder.join("data"));
    let disk = match Disk::mount(&data) {
        Ok(disk) => disk,
        Err(error) => {
            let why = format!("a file system cannot be mounted here: {error:#}");
            return Ok(Report::skipped(Scenario::Disk.title(), why));
        }
    };
    network.start_all()?;
    let report = Report::new(
        Scenario::Disk.title(),
        format!("The disk of node {} is filled to the last byte, and emptied again.", VICTIM + 1),
    );
    let mut scene = stage.scene(network, report)?;
    let (mut stops, mut named) = (0, BTreeMap::<&str, u32>::new());
    let (mut to_stop, mut to_level) = (Duration::ZERO, Duration::ZERO);
    let mut unnamed = Vec::new();
    let begun = Instant::now();
    while stops == 0 || begun.elapsed() < stage.length {
        let (before, earlier) = (scene.network.height(), errors(&log).len());
        disk.fill()?;
        let filled = Instant::now();
        let status = scene.network.ended(VICTIM)?;
        to_stop = to_stop.max(filled.elapsed());
        let said = errors(&log).split_off(earlier).pop().unwrap_or_default();
        match CODES.iter().find(|code| said.contains(**code)) {
            Some(code) if status.code() == Some(1) => *named.entry(code).or_default() += 1,
            _ => unnamed.push(format!("{status}: {}", last_lines(&log))),
        }
        // The others have gone on without it.
        scene.network.until_height(0, before + 3)?;
        disk.make_room()?;
        let goal = scene.network.height();
        let started = Instant::now();
        scene.network.start(VICTIM)?;
        scene.network.until_height(VICTIM, goal)?;
        to_level = to_level.max(started.elapsed());
        stops += 1;
    }
    let codes: Vec<String> = named.iter().map(|(code, count)| format!("{count} {code}")).collect();
    scene.report.figure("stops", format!("{stops}: {}", codes.join(", ")));
    scene.report.figure("slowest, from full to the stop", seconds(to_stop));
    scene.report.figure("slowest, with room again, until level", seconds(to_level));
    let seen = unnamed.first().cloned().unwrap_or_else(|| format!("{stops} of {stops} times"));
    scene.report.claim("the node stops and names the cause", unnamed.is_empty(), seen);
    let report = scene.end(&Expected { seals_may_stay_shut: true, ..Expected::default() });
    drop(disk);
    report
}
