//! `timer`: ticks at a fixed interval or by a cron pattern, in UTC.
//!
//! A tick's id is its schedule and the time for which it was planned, so that every node that runs
//! the same schedules sees the same events. Settings: `{"schedules": {"nightly": {"cron": "0 3 * *
//! *"}, "poll": {"every_s": 10}}}`. The twin is the same: time needs no technology.

use std::str::FromStr as _;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use async_trait::async_trait;
use croner::Cron;
use jiff::tz::TimeZone;
use jiff::{Timestamp, Zoned};
use serde_json::{Value, json};

use crate::{Answer, Bridge, Memory, Outbox, Setup, Sighting, Task, Trouble};

/// How many ticks that a stopped bridge has missed are made up for.
const MISSED_MAX: usize = 100;

pub(super) struct Timer {
    schedules: Vec<(String, Schedule)>,
    memory: Memory,
}

enum Schedule {
    /// At whole multiples of this many seconds since 1970.
    Every(i64),
    Cron(Box<Cron>),
}

impl Schedule {
    fn read(name: &str, value: &Value) -> Result<Self> {
        if let Some(seconds) = value.get("every_s").and_then(Value::as_i64) {
            ensure!(seconds > 0, "schedule '{name}': every_s must be above zero");
            return Ok(Self::Every(seconds));
        }
        let pattern = value
            .get("cron")
            .and_then(Value::as_str)
            .with_context(|| format!("schedule '{name}' has neither every_s nor cron"))?;
        let cron = Cron::from_str(pattern)
            .with_context(|| format!("schedule '{name}': '{pattern}' is no cron pattern"))?;
        let schedule = Self::Cron(Box::new(cron));
        let comes = schedule.next(Timestamp::now()).is_some();
        ensure!(comes, "schedule '{name}': '{pattern}' names a time that never comes");
        Ok(schedule)
    }

    fn next(&self, after: Timestamp) -> Option<Timestamp> {
        match self {
            Self::Every(seconds) => {
                let passed = after.as_second().checked_div_euclid(*seconds)?;
                Timestamp::from_second(passed.checked_add(1)?.checked_mul(*seconds)?).ok()
            }
            Self::Cron(cron) => {
                let zoned: Zoned = after.to_zoned(TimeZone::UTC);
                Some(cron.find_next_occurrence(&zoned, false).ok()?.timestamp())
            }
        }
    }

    /// What is due after `last` and not after `now`, the newest [`MISSED_MAX`] of it.
    fn due(&self, last: Timestamp, now: Timestamp) -> Vec<Timestamp> {
        let mut due = std::collections::VecDeque::new();
        let mut next = self.next(last);
        while let Some(at) = next.filter(|at| *at <= now) {
            if due.len() == MISSED_MAX {
                due.pop_front();
            }
            due.push_back(at);
            next = self.next(at);
        }
        due.into()
    }
}

impl Timer {
    pub(super) fn open(setup: &Setup, memory: &Memory) -> Result<Self> {
        let schedules = setup.config.0.get("schedules").and_then(Value::as_object);
        let schedules = schedules.context("the settings name no `schedules`")?;
        let schedules = schedules
            .iter()
            .map(|(name, value)| Ok((name.clone(), Schedule::read(name, value)?)))
            .collect::<Result<Vec<_>>>()?;
        Ok(Self { schedules, memory: memory.clone() })
    }

    fn last(&self, name: &str) -> Result<Timestamp> {
        match self.memory.note(name)? {
            Some(text) => text.parse().context("the last tick is not a time"),
            // A schedule begins when it is first seen; also if the bridge stops before it has ticked.
            None => {
                let now = Timestamp::now();
                self.memory.set_note(name, &now.to_string())?;
                Ok(now)
            }
        }
    }
}

#[async_trait]
impl Bridge for Timer {
    async fn task(&self, task: Task) -> Result<Answer, Trouble> {
        Err(Trouble::Never(format!("the timer has no task '{}'", task.name)))
    }

    fn watch(self: Arc<Self>, outbox: Outbox) {
        for index in 0..self.schedules.len() {
            tokio::spawn(run(Arc::clone(&self), index, outbox.clone()));
        }
    }
}

async fn run(timer: Arc<Timer>, index: usize, outbox: Outbox) {
    let Some((name, schedule)) = timer.schedules.get(index) else { return };
    let mut last = match timer.last(name) {
        Ok(last) => last,
        Err(error) => {
            tracing::error!(%error, schedule = name, "the schedule does not run");
            return;
        }
    };
    loop {
        for at in schedule.due(last, Timestamp::now()) {
            let sighting = Sighting {
                kind: "tick".to_owned(),
                id: format!("{name} {at}"),
                data: json!({ "schedule": name, "at": at.to_string() }),
            };
            let kept = outbox.add(sighting).await;
            let noted = kept.and_then(|_| timer.memory.set_note(name, &at.to_string()));
            if let Err(error) = noted {
                tracing::error!(%error, schedule = name, "a tick is not kept; it is tried again");
                break;
            }
            last = at;
        }
        let Some(next) = schedule.next(last) else { return };
        let wait = next.duration_since(Timestamp::now());
        let wait = Duration::try_from(wait).unwrap_or_default().max(Duration::from_millis(10));
        tokio::time::sleep(wait).await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(text: &str) -> Timestamp {
        text.parse().unwrap()
    }

    #[test]
    fn intervals_tick_at_the_same_times_on_every_node() {
        let schedule = Schedule::read("poll", &json!({ "every_s": 60 })).unwrap();
        assert_eq!(schedule.next(at("2026-01-01T00:00:07Z")), Some(at("2026-01-01T00:01:00Z")));
        assert_eq!(schedule.next(at("2026-01-01T00:01:00Z")), Some(at("2026-01-01T00:02:00Z")));
    }

    #[test]
    fn a_cron_pattern_ticks_in_utc() {
        let schedule = Schedule::read("nightly", &json!({ "cron": "0 3 * * *" })).unwrap();
        assert_eq!(schedule.next(at("2026-01-01T03:00:00Z")), Some(at("2026-01-02T03:00:00Z")));
    }

    #[test]
    fn a_tick_that_a_stopped_bridge_missed_comes_later_even_if_it_is_the_first() {
        let folder = tempfile::tempdir().unwrap();
        let memory = Memory::open(folder.path()).unwrap();
        let timer = || Timer { schedules: Vec::new(), memory: memory.clone() };
        let begun = timer().last("nightly").unwrap();
        assert_eq!(timer().last("nightly").unwrap(), begun, "it began when it was first seen");
    }

    #[test]
    fn missed_ticks_are_made_up_for_within_a_bound() {
        let schedule = Schedule::read("poll", &json!({ "every_s": 1 })).unwrap();
        let due = schedule.due(at("2026-01-01T00:00:00Z"), at("2026-01-01T01:00:00Z"));
        assert_eq!(due.len(), MISSED_MAX);
        assert_eq!(due.last(), Some(&at("2026-01-01T01:00:00Z")));
    }

    #[test]
    fn a_schedule_that_is_none_is_named() {
        let bad = [
            json!({}),
            json!({ "every_s": 0 }),
            json!({ "cron": "tomorrow" }),
            json!({ "cron": "0 0 30 2 *" }),
        ];
        for bad in bad {
            let error = Schedule::read("poll", &bad).err().unwrap();
            assert!(error.to_string().contains("'poll'"), "{error}");
        }
    }
}
