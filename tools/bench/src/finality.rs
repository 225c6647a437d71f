//! How long a transaction takes to be final, and a height to be decided, under load.
//!
//! At a given pace, and as fast as the nodes can: in the second case the time to commit follows from
//! the number of transactions on the way, and says nothing but the throughput.

use anyhow::Result;

use crate::figure::{Bar, Figure};
use crate::stage::{self, Stage};
use crate::transfers::{Load, NODES, bare, loaded, observe};

/// What each node is handed: half of what the slowest machine so far could carry, and all it can.
const LOADS: [(&str, Load); 2] = [
    ("1,000/s", Load { on_the_way_max: 2_000, per_second: 250 }),
    ("as many as it can", Load::full(100)),
];

/// Runs the benchmark.
pub(crate) fn run(stage: &Stage) -> Result<Vec<Figure>> {
    let mut figures = Vec::new();
    for (name, load) in LOADS {
        let (_network, mut children, bytes) = loaded(stage, "finality", 1, 100)?;
        let run = observe(&mut children, load, bytes)?;
        stage::stop(children)?;
        #[expect(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "a count of transactions"
        )]
        let peer = bare(stage, (run.per_block as usize).max(1), bytes)?;
        let blocks = format!("bare engine, {:.0} transactions a block", run.per_block);
        let paced = load.per_second < u32::MAX;
        let held = |figure: Figure| if paced { figure.bar(Bar::AtMost(25.0)) } else { figure };
        let height = Figure::new(format!("{name}: a height, p50"), run.height_ms.0, "ms")
            .cpu(run.cpu_us * run.per_block / 1e3, "ms, all nodes")
            .against(blocks.clone(), peer.height_ms.0)
            .note(format!(
                "{:.0} transactions a second on {NODES} nodes, {:.2} cores busy; the bare engine takes {:.1} ms of CPU a height",
                run.per_second,
                run.cores,
                peer.cpu_us * peer.per_block / 1e3
            ));
        figures.push(held(height));
        figures.push(
            Figure::new(format!("{name}: a height, p99"), run.height_ms.1, "ms")
                .against(blocks, peer.height_ms.1),
        );
        let commit = format!("{name}: submission to commit");
        figures.push(held(Figure::new(format!("{commit}, p50"), run.latency_ms.0, "ms")));
        figures.push(Figure::new(format!("{commit}, p99"), run.latency_ms.1, "ms"));
    }
    Ok(figures)
}
