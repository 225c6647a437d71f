//! What a network costs that has nothing to do.

use std::time::{Duration, Instant};

use anyhow::Result;

use crate::child::cpu_of_all;
use crate::figure::{Bar, Figure};
use crate::stage::{self, Stage};
use crate::transfers::{NODES, pass};

const MEASURED: Duration = Duration::from_secs(20);

/// Runs the benchmark.
pub(crate) fn run(stage: &Stage) -> Result<Vec<Figure>> {
    let network = stage.network("idle", NODES, &[])?;
    let mut children = stage::start(&network, &["node"])?;
    stage::all_reach(&mut children, 3)?;
    let (start, before) = (Instant::now(), cpu_of_all(&children)?);
    pass(MEASURED);
    let cpu = cpu_of_all(&children)? - before;
    let share = cpu.as_secs_f64() / start.elapsed().as_secs_f64() / NODES as f64;
    stage::stop(children)?;
    let figure = Figure::new("an idle node", 100.0 * share, "% of a core")
        .bar(Bar::AtMost(2.0))
        .note(format!("mean of {NODES} processes over {} s", MEASURED.as_secs()));
    Ok(vec![figure])
}
