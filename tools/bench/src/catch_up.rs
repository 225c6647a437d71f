//! A node that was away for a thousand heights.

use std::time::Instant;

use anyhow::{Context as _, Result};

use crate::child::Ask;
use crate::figure::{Bar, Figure};
use crate::stage;
use crate::stage::Stage;
use crate::transfers::loaded;

const BEHIND: u64 = 1_000;
/// Enough for a block at every height, without piling up.
const ON_THE_WAY: usize = 3;

/// Runs the benchmark.
pub(crate) fn run(stage: &Stage) -> Result<Vec<Figure>> {
    let (network, mut children, _) = loaded(stage, "catch-up", 1, 100)?;
    let away = children.pop().context("there are four")?;
    let folder = &network.nodes.last().context("there are four")?.folder;
    away.kill()?;
    // One of the three others proposes at every height; nobody waits for the fourth but in its turn.
    for child in &mut children {
        child.ask::<()>(&Ask::Send { on_the_way_max: ON_THE_WAY, per_second: u32::MAX })?;
    }
    let first = children.first_mut().context("three are left")?;
    let from: u64 = first.ask(&Ask::Height(0))?;
    let goal: u64 = first.ask(&Ask::Height(from + BEHIND))?;
    for child in &mut children {
        child.ask::<()>(&Ask::Pause)?;
    }
    let start = Instant::now();
    let mut back = stage::start_one(folder, &["node"])?;
    back.answer::<String>().context("the node did not come up again")?;
    let up = start.elapsed();
    back.ask::<u64>(&Ask::Height(goal))?;
    let all = start.elapsed();
    let cpu = back.cpu()?;
    children.push(back);
    stage::stop(children)?;
    let figure =
        Figure::new("1,000 heights behind, from its start to the tip", all.as_secs_f64(), "s")
            .cpu(cpu.as_secs_f64(), "s, that node")
            .bar(Bar::AtMost(5.0))
            .note(format!("{:.2} s of it until the process was up", up.as_secs_f64()));
    Ok(vec![figure])
}
