//! The third story: five meters, one truth.
//!
//! Each of five nodes has a meter of its own. One drifts by 8 %; later one more falls silent and one is
//! always late. Every session must become one event with an honest value, and its tasks run once.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Instant;

use anyhow::{Context as _, Result, bail};
use serde_json::{Value, json};

use crate::bridges::{Bridge, Technology};
use crate::cli::Cli;
use crate::network::Network;
use crate::report::Report;
use crate::stage::{Role, Stage};
use crate::wait::wait;

const METERS: usize = 5;
const MUTE: usize = 3;
const LATE: usize = 4;
const DRIFTING: usize = 5;
const CAR: &str = "acme/ev-car@1.0.0";
const EXACT: &str = "acme/ev-car-exact@1.0.0";
/// Honest meters differ by this much, in hundredths of a kWh; the manifest tolerates five.
const JITTER: i64 = 1;
const TOLERANCE: i64 = 5;

/// What the story needs.
#[derive(Clone, Debug)]
pub struct Plot {
    /// Where it is played.
    pub stage: Stage,
    /// How many sessions.
    pub sessions: u32,
}

struct Scene<'a> {
    plot: &'a Plot,
    cli: Cli,
    network: Network,
    /// One for each node, in order.
    meters: Vec<Bridge>,
    payments: Bridge,
    messages: Bridge,
    report: Report,
    say: &'a mut dyn FnMut(&str),
}

/// Tells the story and returns what it has shown; `say` gets it line by line.
///
/// # Errors
///
/// If it cannot be told to its end.
pub fn tell(plot: &Plot, say: &mut dyn FnMut(&str)) -> Result<Report> {
    let start = Instant::now();
    say("Starting five nodes, each with a meter of its own.");
    let (cli, network) = plot.stage.open(&["--nodes", "5"])?;
    let bridge = |name: &str, folder: &str, service: &str, nodes: &[usize]| {
        let role = Role { name, folder, service, nodes };
        plot.stage.bridge((&cli, &network), role, Technology::Twin)
    };
    let meters = (1..=METERS)
        .map(|node| bridge("scripted", "examples/car/services/car", CAR, &[node]))
        .collect::<Result<_>>()?;
    let payments =
        bridge("scripted", "examples/car/services/payments", "acme/payments@1.0.0", &[1])?;
    let messages = bridge("notify", "services/notify", "althing/notify@2.0.0", &[1])?;
    let report = Report::default();
    let mut scene = Scene { plot, cli, network, meters, payments, messages, report, say };
    scene.deploy()?;
    let five = scene.all_five()?;
    scene.three_of_five(five)?;
    scene.exact()?;
    let mut report = scene.report;
    report.seconds = start.elapsed().as_secs_f64();
    Ok(report)
}

/// What the meter of a node says of a session, in hundredths of a kWh.
fn measured(session: u32, node: usize) -> i64 {
    let truth = 1000 + i64::from(session % 500);
    if node == DRIFTING {
        return truth + truth * 8 / 100;
    }
    // Different meters, different jitter, the same whenever the story is told.
    truth + (i64::from(session) + i64::try_from(node).unwrap_or(0)) % (2 * JITTER + 1) - JITTER
}

fn webhook(name: &str, session: u32, node: usize) -> Value {
    let units = measured(session, node);
    let data = json!({
        "session": format!("{name}-{session}"), "car": format!("car-{}", session % 50),
        "driver": "ada", "supplier": "grid", "kwh": format!("{}.{:02}", units / 100, units % 100),
        "price": "0.25",
    });
    json!({ "type": "charging_finished", "id": format!("{name}-{session}"), "data": data })
}

impl Scene<'_> {
    fn say(&mut self, line: &str) {
        (self.say)(line);
    }

    fn deploy(&mut self) -> Result<()> {
        let folder = self.plot.stage.repository.join("examples/car");
        let folder = folder.to_str().context("the path is not text")?;
        self.cli.run(&["app", "deploy", folder, "--namespace", "acme", "--deposit", "1000"])?;
        Ok(())
    }

    fn meter(&self, node: usize) -> Result<&Bridge> {
        self.meters.get(node - 1).context("no such meter")
    }

    fn account(&self, node: usize) -> Result<String> {
        Ok(self.network.node(node)?.account.clone())
    }

    fn events(&self, service: &str, count: usize) -> Result<Vec<Value>> {
        let limit = (count + 10).to_string();
        let list = ["event", "list", "--service", service, "--limit", &limit];
        wait("the end of all events", || {
            let events = self.cli.run(&list)?;
            let events = events.as_array().context("a list of events")?.clone();
            let settled = events.iter().filter(|event| event["state"] != "open").count();
            // Valid at once, settled when its window ends: then who contradicts has its offence.
            let over = events.iter().all(|event| {
                event["observations"].as_array().is_some_and(|observations| {
                    observations
                        .iter()
                        .all(|said| said["standing"] != "contradicts" || !said["offence"].is_null())
                })
            });
            Ok((settled >= count && over).then_some(events))
        })
    }

    /// One session that all five meters tell of: the fine of the drifting one.
    fn all_five(&mut self) -> Result<f64> {
        for node in 1..=METERS {
            self.meter(node)?.tell("/emit", &webhook("first", 0, node))?;
        }
        let drifting = self.account(DRIFTING)?;
        let fine = wait("the verdict on the first session", || {
            let events = self.events(CAR, 1)?;
            Ok(events.first().and_then(|event| fine_of(event, &drifting)))
        })?;
        self.say(&format!("Five meters took part: the drifting one is fined {fine} tokens."));
        Ok(fine)
    }

    /// All sessions, with one meter mute and one late: three take part.
    fn three_of_five(&mut self, fine_with_five: f64) -> Result<()> {
        let sessions = self.plot.sessions;
        let unchanged = self.too_late()?;
        for session in 0..sessions {
            for node in (1..=METERS).filter(|node| ![MUTE, LATE].contains(node)) {
                self.meter(node)?.tell("/emit", &webhook("session", session, node))?;
            }
        }
        self.say(&format!(
            "{sessions} sessions, told of by two honest meters and the drifting one."
        ));
        // With the one of all five, the one that one meter was late for, and the one after it.
        let count = usize::try_from(sessions)? + 3;
        let events = self.events(CAR, count)?;
        let valid = events.iter().filter(|event| event["state"] == "valid").count();
        let keys: BTreeSet<&str> =
            events.iter().filter_map(|event| event["key"].as_str()).collect();
        self.report.claim(
            "every session is one valid event",
            valid == count && keys.len() == count,
            format!("{valid} valid of {}", events.len()),
        );
        self.report.claim(
            "what one meter says of a session that is over changes nothing",
            unchanged,
            "told before the next one",
        );
        let drifting = self.account(DRIFTING)?;
        let honest = events.iter().filter(|event| is_honest(event, &drifting)).count();
        self.report.claim(
            "each has the median of the honest meters, within their tolerance",
            honest == count,
            format!("{honest} of {count}"),
        );
        // The first of them finds the stake as the five left it, but for one fine.
        let with_three = events
            .iter()
            .filter(|event| event["observations"].as_array().map(Vec::len) == Some(3))
            .filter_map(|event| fine_of(event, &drifting))
            .fold(0.0, f64::max);
        self.report.claim(
            "the drifting meter is fined more with three participants than with five",
            with_three > fine_with_five,
            format!("{with_three} against {fine_with_five}"),
        );
        let fined_honest = events.iter().any(|event| {
            event["observations"].as_array().is_some_and(|observations| {
                observations
                    .iter()
                    .any(|said| said["node"] != drifting.as_str() && !said["offence"].is_null())
            })
        });
        self.report.claim("no honest meter is fined for what it said", !fined_honest, "none");

        let (payments, messages, meter) = (&self.payments, &self.messages, &self.meters);
        wait("all tasks", || {
            let asleep = asleep(meter)?;
            Ok((payments.shown("/done")?.len() >= count && asleep >= count).then_some(()))
        })?;
        let (paid, told, asleep) =
            (payments.shown("/done")?.len(), messages.shown("/messages")?.len(), asleep(meter)?);
        self.report.claim(
            "payment, message and stand-by ran once for each session",
            (paid, told, asleep) == (count, count, count),
            format!("{paid} paid, {told} told, {asleep} asleep"),
        );
        Ok(())
    }

    /// One session of which one meter tells when it is over; whether that has changed anything.
    fn too_late(&self) -> Result<bool> {
        let tell = |name: &str, nodes: &[usize]| -> Result<()> {
            nodes.iter().try_for_each(|node| {
                self.meter(*node)?.tell("/emit", &webhook(name, 0, *node)).map(drop)
            })
        };
        tell("over", &[1, 2, DRIFTING])?;
        let before = said(&self.events(CAR, 2)?);
        // Its program posts one after the other: once the second is counted, the first has come.
        tell("over", &[LATE])?;
        tell("next", &[LATE, 1, 2, DRIFTING])?;
        let late = self.account(LATE)?;
        let after = wait("a session of four meters", || {
            let events = self.events(CAR, 3)?;
            let known = |event: &Value| {
                let all = event["observations"].as_array();
                all.is_some_and(|all| all.len() == 4 && all.iter().any(|it| it["node"] == *late))
            };
            Ok(events.iter().any(known).then(|| said(&events)))
        })?;
        Ok(before.iter().all(|(key, event)| after.get(key) == Some(event)))
    }

    /// The same meters without a tolerance.
    fn exact(&mut self) -> Result<()> {
        const SESSIONS: u32 = 5;
        let scene = (&self.cli, &self.network);
        let mut meters = Vec::new();
        for node in 1..=3 {
            let folder = "examples/car/services/meter-exact";
            let role = Role { name: "scripted", folder, service: EXACT, nodes: &[node] };
            meters.push(self.plot.stage.bridge(scene, role, Technology::Twin)?);
        }
        for session in 0..SESSIONS {
            for (index, meter) in meters.iter().enumerate() {
                meter.tell("/emit", &webhook("exact", session, index + 1))?;
            }
        }
        let count = usize::try_from(SESSIONS)?;
        let events = self.events(EXACT, count)?;
        let valid = events.iter().filter(|event| event["state"] == "valid").count();
        self.report.claim(
            "by exact hash the same honest meters never agree: ±0.01 kWh are other bytes",
            valid == 0,
            format!("{valid} valid of {count}"),
        );
        Ok(())
    }
}

/// What is settled in events, by their keys.
fn said(events: &[Value]) -> BTreeMap<String, [Value; 3]> {
    let parts =
        |event: &Value| ["state", "measured", "observations"].map(|part| event[part].clone());
    events.iter().map(|event| (event["key"].to_string(), parts(event))).collect()
}

fn asleep(meters: &[Bridge]) -> Result<usize> {
    let mut keys = BTreeSet::new();
    let mut times = 0;
    for meter in meters {
        for done in meter.shown("/done")? {
            times += 1;
            keys.insert(done["key"].as_str().unwrap_or_default().to_owned());
        }
    }
    // A key that ran at two meters would be a task that ran twice.
    if times != keys.len() {
        bail!("{times} tasks ran under {} keys", keys.len());
    }
    Ok(times)
}

/// What a node was fined in an event, in tokens.
fn fine_of(event: &Value, node: &str) -> Option<f64> {
    let said = event["observations"].as_array()?.iter().find(|said| said["node"] == node)?;
    if said["offence"] != "wrong_observation" {
        return None;
    }
    said["fine"].as_str()?.parse().ok()
}

/// Whether the agreed value is near everybody's but the drifting meter's.
fn is_honest(event: &Value, drifting: &str) -> bool {
    let Some(agreed) = event["measured"][0].as_i64() else { return false };
    event["observations"].as_array().is_some_and(|observations| {
        observations
            .iter()
            .filter(|said| said["node"] != drifting)
            .filter_map(|said| said["measured"][0].as_i64())
            .all(|value| (value - agreed).abs() <= TOLERANCE)
    })
}
