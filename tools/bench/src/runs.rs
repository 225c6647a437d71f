//! From an event over HTTP through three trivial tasks, one after another, to the run's end.

use std::path::Path;
use std::time::Duration;

use anyhow::Result;

use crate::applications::rig::{Rig, Service};
use crate::applications::senders::{Measured, Order, Time, measure};
use crate::figure::{Bar, Figure};
use crate::restate;
use crate::stage::Stage;

/// Posts the events.
const HOOKS: &str = "service: bench/hooks@1.0.0
summary: Tells of orders.
runtime: native
events:
  ordered: { data: { order: string }, keys: [order], emitters: 1 }
";

/// Connections on one node, and on several.
const ALONE: [usize; 3] = [1, 64, 256];
const TOGETHER: [usize; 2] = [1, 64];
const NODES: usize = 4;
const TIME: Time = Time { warm_up: Duration::from_secs(2), measured: Duration::from_secs(5) };

/// Three invoices of one line, each named by the step before.
fn application(checkers: u16) -> String {
    let mut text = "app: chain
version: 1.0.0
services: { hooks: bench/hooks@1, invoice: acme/invoice@1 }
when: hooks.ordered
then:
"
    .to_owned();
    for (id, name) in
        [("first", "event.order"), ("second", "first.invoice"), ("third", "second.invoice")]
    {
        text += &format!(
            "  - id: {id}
    do: invoice.total
    with: {{ name: \"${{ {name} }}\", csv: \"item,quantity,unit_price\\nbolt,2,3.50\\n\" }}
    verify: {checkers}
"
        );
    }
    text
}

async fn measured(
    stage: &Stage,
    nodes: usize,
    checkers: u16,
    connections: &[usize],
) -> Result<Vec<Measured>> {
    let (component, manifest) = crate::wasm::service()?;
    let (hooks, invoice) =
        (Service::native(HOOKS)?, Service { manifest, component: Some(component) });
    let mut rig = Rig::start(stage, "runs", nodes).await?;
    rig.offer(&hooks, 1, "http://127.0.0.1:9/")?;
    rig.offer(&invoice, nodes, "")?;
    let application = rig.deploy(&application(checkers))?;
    let source = rig.source(&hooks, "ordered")?;
    let mut results = Vec::new();
    for count in connections {
        let order = Order::new(&source, &application, &format!("c{count}"));
        results.push(measure(&rig, order, *count, TIME).await?);
    }
    rig.stop()?;
    Ok(results)
}

/// The rows of one arrangement.
fn rows(what: &str, connections: usize, measured: &Measured) -> [Figure; 3] {
    let name = format!("{what}, {connections} at a time");
    let (p50, p99) = measured.run_ms;
    let rate = Figure::new(name.clone(), measured.per_second, "/s")
        .cpu(measured.cpu_ms, "ms each, all nodes")
        .note(format!(
            "acknowledged after {:.2} ms at p50 and {:.2} ms at p99; {:.0} heights a second",
            measured.acknowledged_ms.0, measured.acknowledged_ms.1, measured.heights_per_second
        ));
    let p50 = Figure::new(format!("{name}: p50"), p50, "ms");
    let p99 = Figure::new(format!("{name}: p99"), p99, "ms");
    [rate, p50, p99]
}

/// The peer's rows, each with ours of the same number of connections.
async fn peer(stage: &Stage, folder: &Path, ours: &[Measured]) -> Result<Vec<Figure>> {
    let peers = restate::measure(stage, folder, &ALONE, TIME).await?;
    let mut figures = Vec::new();
    for ((connections, peer), ours) in ALONE.into_iter().zip(peers).zip(ours) {
        let name = format!("Restate, three calls, {connections} at a time");
        figures.push(
            Figure::new(name.clone(), peer.per_second, "/s")
                .cpu(peer.cpu_ms, "ms each, server and services")
                .against("one node", ours.per_second),
        );
        let p50 = Figure::new(format!("{name}: p50"), peer.p50_ms, "ms");
        let p99 = Figure::new(format!("{name}: p99"), peer.p99_ms, "ms");
        figures.push(p50.against("one node", ours.run_ms.0));
        figures.push(p99.against("one node", ours.run_ms.1));
    }
    Ok(figures)
}

/// Runs the benchmark; beside the peer that is installed in a folder, if one is given.
pub(crate) fn run(stage: &Stage, restate: Option<&Path>) -> Result<Vec<Figure>> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let alone = runtime.block_on(measured(stage, 1, 0, &ALONE))?;
    let mut figures = Vec::new();
    for (connections, measured) in ALONE.into_iter().zip(&alone) {
        let [rate, p50, p99] = rows("one node", connections, measured);
        match connections {
            1 => figures.extend([rate, p50.bar(Bar::AtMost(5.0)), p99]),
            256 => {
                let cpu = Figure::new("one node, 256 at a time: CPU", measured.cpu_ms, "ms");
                let cpu = cpu.bar(Bar::AtMost(0.6));
                figures.extend([rate.bar(Bar::AtLeast(3_000.0)), cpu, p50, p99]);
            }
            _ => figures.extend([rate, p50, p99]),
        }
    }
    if let Some(folder) = restate {
        figures.extend(runtime.block_on(peer(stage, folder, &alone))?);
    }
    for checkers in [0, 3] {
        let together = runtime.block_on(measured(stage, NODES, checkers, &TOGETHER))?;
        for (connections, measured) in TOGETHER.into_iter().zip(&together) {
            let what = format!("{NODES} nodes, {checkers} checkers");
            let [rate, p50, p99] = rows(&what, connections, measured);
            let held = checkers == 3 && connections == 1;
            let p50 = if held { p50.bar(Bar::AtMost(100.0)) } else { p50 };
            figures.extend([rate, p50, p99]);
        }
    }
    Ok(figures)
}
