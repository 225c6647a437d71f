//! The machine that the figures belong to, and the costs that nothing on it can go below.

use std::fs::{self, File};
use std::io::Write as _;
use std::path::Path;
use std::thread;
use std::time::Instant;

use althing_keys::{AccountKey, Secp256k1};
use althing_types::{Signatures as _, keccak};
use anyhow::{Context as _, Result, ensure};
use serde::Serialize;

use crate::cost;

/// What is said of the machine.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Machine {
    pub(crate) cpu: String,
    pub(crate) cores: usize,
    pub(crate) kernel: String,
    pub(crate) memory_gib: u64,
    /// Runnable tasks in the last minute, when the run began: above zero, others use the cores.
    pub(crate) load: f64,
    /// Recovering one signer, in microseconds of one core: every node does it once a transaction.
    pub(crate) recover_us: f64,
    /// Writing a few bytes and waiting until they last, in microseconds.
    pub(crate) sync_us: f64,
}

impl Machine {
    /// Looks at this machine; `folder` is where the benchmark's nodes keep their data.
    pub(crate) fn look(folder: &Path) -> Result<Self> {
        let read = |path: &str| fs::read_to_string(path).unwrap_or_default();
        let field = |text: &str, name: &str| {
            let line = text.lines().find(|line| line.starts_with(name));
            line.and_then(|line| line.split_once(':')).map(|(_, value)| value.trim().to_owned())
        };
        let memory = field(&read("/proc/meminfo"), "MemTotal");
        let kib = memory.and_then(|text| text.split(' ').next()?.parse::<u64>().ok());
        Ok(Self {
            cpu: field(&read("/proc/cpuinfo"), "model name").unwrap_or_else(|| "unknown".into()),
            cores: thread::available_parallelism().context("counting the cores")?.get(),
            kernel: read("/proc/sys/kernel/osrelease").trim().to_owned(),
            memory_gib: kib.unwrap_or_default() >> 20,
            load: read("/proc/loadavg")
                .split(' ')
                .next()
                .unwrap_or_default()
                .parse()
                .unwrap_or(-1.0),
            recover_us: recover_us()?,
            sync_us: sync_us(folder)?,
        })
    }

    /// One line for people.
    pub(crate) fn text(&self) -> String {
        format!(
            "{}, {} cores, {} GiB, Linux {}, load {} at the start; a recovery takes {:.1} µs of a core, a sync {:.0} µs",
            self.cpu,
            self.cores,
            self.memory_gib,
            self.kernel,
            self.load,
            self.recover_us,
            self.sync_us
        )
    }
}

fn recover_us() -> Result<f64> {
    let key = AccountKey::from_bytes(&[7; 32]).context("a scalar")?;
    let digest = keccak(&[b"a digest"]);
    let signature = key.sign_recoverable(&digest);
    let recovered = || Secp256k1.recover(&digest, &signature) == Some(key.address());
    let mut all = true;
    let cost = cost::of_each(500, || all &= recovered());
    ensure!(all, "a signature is not recovered");
    Ok(cost.cpu_us)
}

fn sync_us(folder: &Path) -> Result<f64> {
    const ROUNDS: u32 = 50;
    let path = folder.join("sync");
    let mut file = File::create(&path).context("measuring the disk")?;
    let start = Instant::now();
    for _ in 0..ROUNDS {
        file.write_all(&[7; 64])?;
        file.sync_data()?;
    }
    let each = start.elapsed() / ROUNDS;
    fs::remove_file(path)?;
    Ok(each.as_secs_f64() * 1e6)
}
