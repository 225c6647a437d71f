//! What a task of a millisecond takes, alone and beside a thousand tasks of a minute.

use std::time::Duration;

use anyhow::Result;

use crate::applications::program::{Program, SERVICE};
use crate::applications::rig::{Rig, Service};
use crate::applications::senders::{Order, Time, measure, pour};
use crate::figure::{Bar, Figure};
use crate::stage::Stage;

const OPEN: usize = 1_000;
const CONNECTIONS: usize = 8;
const TIME: Time = Time { warm_up: Duration::from_secs(2), measured: Duration::from_secs(8) };

/// An application with one step.
pub(crate) fn application(event: &str, task: &str) -> String {
    format!(
        "app: {task}
version: 1.0.0
services: {{ timing: bench/timing@1 }}
when: timing.{event}
then:
  - id: it
    do: timing.{task}
    with: {{ order: \"${{ event.order }}\" }}
"
    )
}

async fn measured(stage: &Stage) -> Result<Vec<Figure>> {
    let program = Program::start().await?;
    let timing = Service::native(SERVICE)?;
    let mut rig = Rig::start(stage, "open-tasks", 1).await?;
    rig.offer(&timing, 1, &program.url)?;
    let quick = rig.deploy(&application("hurried", "quick"))?;
    let slow = rig.deploy(&application("begun", "slow"))?;
    let (hurried, begun) = (rig.source(&timing, "hurried")?, rig.source(&timing, "begun")?);
    let order = |prefix| Order::new(&hurried, &quick, prefix);
    let alone = measure(&rig, order("alone"), CONNECTIONS, TIME).await?;
    pour(Order::new(&begun, &slow, "slow"), OPEN as u64, CONNECTIONS).await?;
    program.until_open(OPEN).await?;
    let beside = measure(&rig, order("beside"), CONNECTIONS, TIME).await?;
    rig.kill()?;
    let figure = |name: String, value| Figure::new(name, value, "ms");
    Ok(vec![
        figure("a task of 1 ms alone, event to end: p50".into(), alone.run_ms.0),
        figure("a task of 1 ms alone, event to end: p99".into(), alone.run_ms.1),
        figure(format!("beside {OPEN} tasks of 60 s: p50"), beside.run_ms.0)
            .against("alone", alone.run_ms.0),
        figure(format!("beside {OPEN} tasks of 60 s: p99"), beside.run_ms.1)
            .against("alone", alone.run_ms.1)
            .bar(Bar::RatioAtMost(2.0))
            .note(format!(
                "one node, {CONNECTIONS} at a time, {:.0}/s alone and {:.0}/s beside them",
                alone.per_second, beside.per_second
            )),
    ])
}

/// Runs the benchmark.
pub(crate) fn run(stage: &Stage) -> Result<Vec<Figure>> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(measured(stage))
}
