//! What runs cost that are open or wait: memory of the node, and what an event takes beside them.

use std::time::Duration;

use anyhow::Result;

use crate::applications::program::{Program, SERVICE};
use crate::applications::rig::{Rig, Service};
use crate::applications::senders::{Measured, Order, Time, measure, pour};
use crate::figure::Figure;
use crate::open_tasks::application;
use crate::stage::Stage;

const OPEN: u64 = 10_000;
const WAITING: u64 = 100_000;
const CONNECTIONS: usize = 8;
/// Over which the runs are begun that stay.
const POURED_OVER: usize = 256;
const TIME: Time = Time { warm_up: Duration::from_secs(1), measured: Duration::from_secs(5) };

/// Begins runs, and wakes them.
const ORDERS: &str = "service: bench/orders@1.0.0
summary: Tells of orders and payments.
runtime: native
events:
  ordered: { data: { order: string }, keys: [order], emitters: 1 }
  paid: { data: { order: string }, keys: [order], emitters: 1 }
";

const WAITS: &str = "app: waits
version: 1.0.0
services: { orders: bench/orders@1, timing: bench/timing@1 }
when: orders.ordered
then:
  - id: begun
    do: timing.quick
    with: { order: \"${ event.order }\" }
  - id: it
    await: { event: orders.paid, where: { order: \"${ event.order }\" } }
    do: timing.quick
    with: { order: \"${ awaited.order }\" }
";

fn row(when: &str, measured: &Measured, before: Option<&Measured>) -> [Figure; 2] {
    let (p50, p99) = (
        Figure::new(format!("an event to its run's end, {when}: p50"), measured.run_ms.0, "ms"),
        Figure::new(format!("an event to its run's end, {when}: p99"), measured.run_ms.1, "ms"),
    );
    let p50 = p50.cpu(measured.cpu_ms, "ms each");
    match before {
        None => [p50, p99],
        Some(before) => {
            let (b50, b99) = before.run_ms;
            [p50.against("alone", b50), p99.against("alone", b99)]
        }
    }
}

async fn measured(stage: &Stage) -> Result<Vec<Figure>> {
    let program = Program::start().await?;
    let (timing, orders) = (Service::native(SERVICE)?, Service::native(ORDERS)?);
    let mut rig = Rig::start(stage, "waiting", 1).await?;
    rig.offer(&timing, 1, &program.url)?;
    rig.offer(&orders, 1, &program.url)?;
    let quick = rig.deploy(&application("hurried", "quick"))?;
    let slow = rig.deploy(&application("begun", "slow"))?;
    let waits = rig.deploy(WAITS)?;
    let (hurried, begun) = (rig.source(&timing, "hurried")?, rig.source(&timing, "begun")?);
    let (ordered, paid) = (rig.source(&orders, "ordered")?, rig.source(&orders, "paid")?);
    let order = |prefix| Order::new(&hurried, &quick, prefix);
    let alone = measure(&rig, order("alone"), CONNECTIONS, TIME).await?;
    let memory_before = rig.memory_mib()?;

    // Those who wait first: they stay, while the others are over after a minute.
    let before = rig.followed.far().events;
    pour(Order::new(&ordered, &waits, "w"), WAITING, POURED_OVER).await?;
    rig.followed.until(|far| far.events >= before + WAITING).await?;
    let memory_waiting = rig.memory_mib()?;
    let beside_waiting = measure(&rig, order("waiting"), CONNECTIONS, TIME).await?;
    // The ids of those that wait: each event wakes one.
    let wakes = Order { source: paid, ..Order::new(&ordered, &waits, "w") };
    let woken = measure(&rig, wakes, CONNECTIONS, TIME).await?;

    let before = rig.followed.far().events;
    pour(Order::new(&begun, &slow, "slow"), OPEN, POURED_OVER).await?;
    rig.followed.until(|far| far.events >= before + OPEN).await?;
    let memory_open = rig.memory_mib()?;
    let beside_open = measure(&rig, order("open"), CONNECTIONS, TIME).await?;
    rig.kill()?;

    let mut figures = row("alone", &alone, None).to_vec();
    let waiting = format!("beside {WAITING} runs that wait");
    figures.extend(row(&waiting, &beside_waiting, Some(&alone)));
    figures.extend(row("that wakes one of them", &woken, Some(&alone)));
    let open = format!("beside these and {OPEN} runs with an open task");
    figures.extend(row(&open, &beside_open, Some(&alone)));
    figures.push(Figure::new("memory of the node before", memory_before, "MiB"));
    figures.push(
        Figure::new(format!("memory with {WAITING} runs that wait"), memory_waiting, "MiB")
            .against("before", memory_before),
    );
    figures.push(
        Figure::new(format!("memory with {OPEN} open runs besides"), memory_open, "MiB")
            .against("before", memory_before),
    );
    Ok(figures)
}

/// Runs the benchmark.
pub(crate) fn run(stage: &Stage) -> Result<Vec<Figure>> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(measured(stage))
}
