//! Processes that take part in a measurement: this program again, in another role.
//!
//! ```text
//!   parent ──one JSON line──► child      a command
//!   parent ◄─one JSON line─── child      its answer
//! ```
//!
//! - Invariant: a child ends when its standard input does, so none outlives the benchmark.

use std::fs::File;
use std::io::{BufRead as _, BufReader, Write as _};
use std::path::Path;
use std::process::{ChildStdin, Command, Stdio};
use std::sync::mpsc::{Receiver, RecvTimeoutError, sync_channel};
use std::thread;
use std::time::Duration;

use anyhow::{Context as _, Result, bail, ensure};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use crate::cost;

/// How long a child may take for an answer.
const PATIENCE: Duration = Duration::from_secs(180);
/// Answers that wait to be read: each command has one.
const ANSWERS_WAITING: usize = 4;

/// What a process is asked to do.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) enum Ask {
    /// Read transactions to send later; answered by their number.
    Load(std::path::PathBuf),
    /// Begin to send, with at most so many on the way and so many a second; answered at once.
    Send { on_the_way_max: usize, per_second: u32 },
    /// Stop sending; answered at once.
    Pause,
    /// What was seen since the last report; answered by a [`Seen`](crate::seen::Seen).
    Report,
    /// Answered by the last committed height, once it is at least this.
    Height(u64),
}

/// A running child.
#[derive(Debug)]
pub(crate) struct Child {
    process: std::process::Child,
    commands: ChildStdin,
    answers: Receiver<String>,
}

impl Child {
    /// Starts this program in a role; its first answer says that it is ready. What it logs goes to
    /// `log`.
    pub(crate) fn begin(role: &[&str], log: &Path) -> Result<Self> {
        let log = File::options().create(true).append(true).open(log).context("opening a log")?;
        let mut process = Command::new(std::env::current_exe().context("finding this program")?)
            .arg("role")
            .args(role)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(log)
            .spawn()
            .context("starting a process")?;
        let commands = process.stdin.take().context("the child has an input")?;
        let output = BufReader::new(process.stdout.take().context("the child has an output")?);
        let (sender, answers) = sync_channel(ANSWERS_WAITING);
        // Ends with the child's output.
        thread::spawn(move || {
            for line in output.lines().map_while(Result::ok) {
                if sender.send(line).is_err() {
                    break;
                }
            }
        });
        Ok(Self { process, commands, answers })
    }

    /// Sends a command; its answer is to be read.
    pub(crate) fn tell(&mut self, ask: &Ask) -> Result<()> {
        let line = serde_json::to_string(ask)?;
        writeln!(self.commands, "{line}").context("a process that takes part has ended")
    }

    /// Reads the next answer.
    pub(crate) fn answer<T: DeserializeOwned>(&mut self) -> Result<T> {
        match self.answers.recv_timeout(PATIENCE) {
            Ok(line) => serde_json::from_str(&line).with_context(|| format!("it said {line:?}")),
            Err(RecvTimeoutError::Timeout) => bail!("a process did not answer in {PATIENCE:?}"),
            Err(RecvTimeoutError::Disconnected) => bail!("a process that takes part has ended"),
        }
    }

    /// Asks and waits for the answer.
    pub(crate) fn ask<T: DeserializeOwned>(&mut self, ask: &Ask) -> Result<T> {
        self.tell(ask)?;
        self.answer()
    }

    /// CPU time that it has used so far.
    pub(crate) fn cpu(&self) -> Result<Duration> {
        cost::process_cpu(self.process.id())
    }

    /// What it has in memory, in MiB.
    pub(crate) fn memory_mib(&self) -> Result<f64> {
        cost::process_memory_mib(self.process.id())
    }

    /// Ends it as a power cut would: `kill -9`.
    pub(crate) fn kill(mut self) -> Result<()> {
        self.process.kill().context("killing a process")?;
        self.process.wait().context("waiting for a killed process")?;
        Ok(())
    }

    /// Asks it to end, and waits.
    pub(crate) fn stop(self) -> Result<()> {
        let Self { mut process, commands, answers: _ } = self;
        drop(commands);
        let status = process.wait().context("waiting for a process")?;
        ensure!(status.success(), "a process that takes part failed: {status}");
        Ok(())
    }
}

/// Asks all at once, and gives their answers in order.
pub(crate) fn ask_all<T: DeserializeOwned>(children: &mut [Child], ask: &Ask) -> Result<Vec<T>> {
    children.iter_mut().try_for_each(|child| child.tell(ask))?;
    children.iter_mut().map(Child::answer).collect()
}

/// CPU time of all of them.
pub(crate) fn cpu_of_all(children: &[Child]) -> Result<Duration> {
    children.iter().map(Child::cpu).sum()
}

/// The other end: answers the parent.
pub(crate) fn say<T: Serialize>(answer: &T) -> Result<()> {
    let mut line = serde_json::to_string(answer)?;
    line.push('\n');
    let mut output = std::io::stdout().lock();
    output.write_all(line.as_bytes())?;
    Ok(output.flush()?)
}
