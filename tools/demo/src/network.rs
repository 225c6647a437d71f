//! The network that the story plays on: `althing dev`, as a child process.

use std::io::{BufRead as _, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, anyhow, bail, ensure};
use serde::Deserialize;

use crate::cli::Cli;

/// How long a node may take to end or to start on a busy machine.
const PATIENCE: Duration = Duration::from_secs(240);

/// What `althing dev --json` says once everything is up.
#[derive(Clone, Debug, Deserialize)]
pub struct Announcement {
    /// Hash of the genesis.
    pub genesis: String,
    /// The nodes, in order.
    pub nodes: Vec<Node>,
}

/// One node of the network.
#[derive(Clone, Debug, Deserialize)]
pub struct Node {
    /// Its number, from 1.
    pub node: usize,
    /// Its process.
    pub pid: u32,
    /// The URL of its API.
    pub api: String,
    /// Its account.
    pub account: String,
    /// Its folder.
    pub folder: PathBuf,
}

/// A running network; stopped when it is dropped.
#[derive(Debug)]
pub struct Network {
    supervisor: Child,
    restarted: Vec<Child>,
    /// What it said of itself.
    pub announcement: Announcement,
}

impl Network {
    /// Starts nodes in `folder`, as many and as dishonest as `options` of `althing dev` say, and
    /// waits until they are up.
    ///
    /// # Errors
    ///
    /// If they do not come up.
    pub fn start(cli: &Cli, folder: &Path, options: &[&str]) -> Result<Self> {
        let folder = folder.to_str().context("the folder's path is not text")?;
        let arguments = [&["dev", "--dir", folder], options].concat();
        let mut supervisor = cli
            .command(&arguments)
            .stdout(Stdio::piped())
            .spawn()
            .context("starting `althing dev`")?;
        let output = supervisor.stdout.take().context("`althing dev` has an output")?;
        let mut line = String::new();
        BufReader::new(output).read_line(&mut line).context("listening to `althing dev`")?;
        let announcement = serde_json::from_str(&line)
            .with_context(|| format!("`althing dev` did not come up; it said {line:?}"))?;
        Ok(Self { supervisor, restarted: Vec::new(), announcement })
    }

    /// The node with this number.
    ///
    /// # Errors
    ///
    /// If there is none.
    pub fn node(&self, number: usize) -> Result<&Node> {
        self.announcement.nodes.iter().find(|node| node.node == number).context("no such node")
    }

    /// Kills a node as a power cut would, `kill -9`, and waits until nothing of it is left: a thread
    /// that waits for the disk keeps the node's port and files until it returns.
    ///
    /// # Errors
    ///
    /// If it cannot be killed.
    pub fn kill(&mut self, number: usize) -> Result<()> {
        let pid = self.node(number)?.pid;
        ensure!(self.signal(number, "-9")?, "node {number} could not be killed");
        if let Some(child) = self.restarted.iter_mut().find(|child| child.id() == pid) {
            child.wait().context("waiting for a killed node")?;
            return Ok(());
        }
        // Its parent is `althing dev`: the process is gone when that one has noticed.
        let deadline = Instant::now() + PATIENCE;
        while self.signal(number, "-0")? {
            ensure!(Instant::now() < deadline, "node {number} did not end after `kill -9`");
            std::thread::park_timeout(Duration::from_millis(10));
        }
        Ok(())
    }

    /// Lets a node stand still, as a machine that sleeps does, or go on again.
    ///
    /// # Errors
    ///
    /// If its process cannot be signalled.
    pub fn stand_still(&self, number: usize, still: bool) -> Result<()> {
        let signal = if still { "-STOP" } else { "-CONT" };
        ensure!(self.signal(number, signal)?, "node {number} could not be signalled");
        Ok(())
    }

    /// Sends a signal to a node; false if its process is gone.
    fn signal(&self, number: usize, signal: &str) -> Result<bool> {
        let mut kill = Command::new("kill");
        kill.args([signal, &self.node(number)?.pid.to_string()]).stderr(Stdio::null());
        Ok(kill.status().context("running kill")?.success())
    }

    /// Starts a killed node again; how long it took until it answered.
    ///
    /// # Errors
    ///
    /// If it cannot be started, or ends before it answers, with what it said last.
    pub fn restart(&mut self, cli: &Cli, number: usize) -> Result<Duration> {
        let (folder, status) = {
            let node = self.node(number)?;
            (node.folder.clone(), format!("{}/v1/status", node.api))
        };
        let log_file = folder.join("node.log");
        let log = std::fs::File::options().append(true).open(&log_file)?;
        let folder = folder.to_str().context("the folder's path is not text")?;
        let start = Instant::now();
        let mut child = cli
            .command(&["node", "start", "--dir", folder])
            .stdout(Stdio::null())
            .stderr(log)
            .spawn()
            .context("starting a node again")?;
        if let Some(node) = self.announcement.nodes.iter_mut().find(|node| node.node == number) {
            node.pid = child.id();
        }
        let answered = loop {
            if ureq::get(&status).call().is_ok() {
                break Ok(start.elapsed());
            }
            if let Some(ended) = child.try_wait()? {
                let log = std::fs::read_to_string(&log_file).unwrap_or_default();
                let last = log.lines().rev().take(5).collect::<Vec<_>>();
                let last = last.into_iter().rev().collect::<Vec<_>>().join("\n");
                break Err(anyhow!(
                    "node {number} ended when it was started again: {ended}\n{last}"
                ));
            }
            if start.elapsed() > PATIENCE {
                break Err(anyhow!("node {number} did not answer after it was started again"));
            }
            std::thread::park_timeout(Duration::from_millis(20));
        };
        self.restarted.push(child);
        answered
    }

    /// Stops all nodes, and waits until they have ended.
    ///
    /// # Errors
    ///
    /// If one does not end.
    pub fn stop(&mut self) -> Result<()> {
        for child in self.restarted.iter_mut().chain([&mut self.supervisor]) {
            end(child)?;
        }
        Ok(())
    }
}

/// Asks a process to end, and waits.
fn end(child: &mut Child) -> Result<()> {
    if child.try_wait()?.is_some() {
        return Ok(());
    }
    Command::new("kill").arg(child.id().to_string()).status().context("running kill")?;
    let deadline = Instant::now() + Duration::from_secs(20);
    while child.try_wait()?.is_none() {
        if Instant::now() > deadline {
            child.kill().ok();
            bail!("a process did not end in 20 s after it was asked to");
        }
        std::thread::park_timeout(Duration::from_millis(20));
    }
    Ok(())
}

impl Drop for Network {
    fn drop(&mut self) {
        self.stop().ok();
    }
}
