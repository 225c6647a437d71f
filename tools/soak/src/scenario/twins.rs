//! A node's folder is copied and started a second time: two nodes with one key.

use std::fs;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use althing_node::folder::Folder;
use anyhow::{Context as _, Result};

use super::{Scenario, Stage};
use crate::audit::Expected;
use crate::network::{Network, errors, last_lines, until};
use crate::report::{Report, seconds};

/// The node that is copied.
const ORIGINAL: usize = 6;
/// What a node says that has noticed it.
const CODE: &str = "NET-0004";

/// The second node; ended at the end.
struct Twin(Child);

impl Drop for Twin {
    fn drop(&mut self) {
        self.0.kill().ok(); // it may have ended by itself
        self.0.wait().ok();
    }
}

pub(super) fn play(stage: &Stage) -> Result<Report> {
    let report = Report::new(
        Scenario::Twins.title(),
        format!("The keys of node {} are copied, and started from a second folder.", ORIGINAL + 1),
    );
    let network = Network::running(&stage.binary, &stage.place("twins"))?;
    let mut scene = stage.scene(network, report)?;
    let member = scene.network.members.get(ORIGINAL).context("the original")?;
    let (original, log) = (Folder::new(&member.folder), member.log());
    let copy = Folder::new(&scene.network.folder().join("copy"));
    fs::create_dir_all(copy.path())?;
    for file in ["node.key", "genesis.json"] {
        fs::copy(original.path().join(file), copy.path().join(file)).context("copying a node")?;
    }
    let mut settings = original.settings()?;
    settings.api = "127.0.0.1:0".parse()?;
    settings.listen = "127.0.0.1:0".parse()?;
    copy.write_settings(&settings)?;

    let begun = Instant::now();
    let (mut stops, mut slowest, mut unnamed) = (0, Duration::ZERO, Vec::new());
    while stops == 0 || begun.elapsed() < stage.length {
        let twin_log = copy.path().join("node.log");
        let earlier = said(&log, &twin_log).len();
        let out = fs::File::options().create(true).append(true).open(&twin_log)?;
        let mut command = Command::new(scene.network.binary());
        command.args(["node", "start", "--dir"]).arg(copy.path());
        command.stdin(Stdio::null()).stdout(out.try_clone()?).stderr(out);
        let mut twin = Twin(command.spawn().context("starting the twin")?);
        let started = Instant::now();
        until("one of the twins to notice", || {
            Ok(twin.0.try_wait()?.is_some() || !scene.network.is_running(ORIGINAL)?)
        })?;
        slowest = slowest.max(started.elapsed());
        let told = said(&log, &twin_log);
        if told.len() == earlier || !told.iter().all(|error| error.contains(CODE)) {
            unnamed.push(format!("{}\n{}", last_lines(&log), last_lines(&twin_log)));
        }
        drop(twin);
        let goal = scene.network.height() + 3;
        scene.network.until_height(0, goal)?;
        // Both may notice; the original is alone now, and started again if it has stopped.
        let client = scene.network.members.get(ORIGINAL).context("the original")?.client();
        until("the original to be level", || {
            if !scene.network.is_running(ORIGINAL)? {
                scene.network.ended(ORIGINAL)?;
                scene.network.start(ORIGINAL)?;
            }
            Ok(client.status().is_ok_and(|status| status.height >= goal))
        })?;
        stops += 1;
    }
    scene.report.figure("times that a twin was started", stops);
    scene.report.figure("slowest, until one had noticed", seconds(slowest));
    let seen = unnamed.first().cloned().unwrap_or_else(|| format!("{CODE}, {stops} times"));
    scene.report.claim("a twin notices the other one and stops", unnamed.is_empty(), seen);
    // A double vote is slashed even if it was an accident: the twins' bond is their own risk.
    scene.end(&Expected { suspects: vec![ORIGINAL], seals_may_stay_shut: true })
}

/// The errors of both twins.
fn said(original: &Path, twin: &Path) -> Vec<String> {
    [errors(original), errors(twin)].concat()
}
