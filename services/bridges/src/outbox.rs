//! Events on their way to the node: kept, then posted until they are acknowledged.

use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context as _, Result};
use serde_json::{Value, json};
use tokio::sync::Notify;

use crate::numbers::carried;
use crate::{Connection, Memory, Setup};

/// How many events are posted before the memory is asked again.
const BATCH: u32 = 256;
const POST_TIMEOUT: Duration = Duration::from_secs(10);
const PAUSE_MIN: Duration = Duration::from_millis(50);
const PAUSE_MAX: Duration = Duration::from_secs(5);

/// Something that the technology did.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Sighting {
    /// One of the manifest's events.
    pub kind: String,
    /// The technology's own id of this occurrence.
    pub id: String,
    /// Satisfies the event's schema.
    pub data: Value,
}

/// Where a bridge puts what it has seen.
#[derive(Clone, Debug)]
pub struct Outbox {
    memory: Memory,
    added: Arc<Notify>,
}

impl Outbox {
    /// An outbox whose events a task posts to the node, in order, for as long as it takes.
    #[must_use]
    pub fn start(memory: Memory, setup: &Setup) -> Self {
        let outbox = Self { memory, added: Arc::new(Notify::new()) };
        let service = escaped(&setup.service);
        let door = |connection: &Connection| Door {
            address: format!(
                "{}/v1/services/{service}/events",
                connection.node.trim_end_matches('/')
            ),
            token: connection.token.clone(),
        };
        let post = Post {
            agent: ureq::Agent::config_builder()
                .timeout_global(Some(POST_TIMEOUT))
                .http_status_as_error(false)
                .build()
                .into(),
            doors: setup.nodes.iter().map(door).collect(),
            source: setup.service.clone(),
        };
        tokio::spawn(deliver(outbox.clone(), Arc::new(post)));
        outbox
    }

    /// Keeps an event; false if its id is known. Durable when it returns. Numbers that no node takes
    /// are written as text: the event would be lost by them.
    ///
    /// # Errors
    ///
    /// If the disk refuses, or too many events wait.
    pub async fn add(&self, sighting: Sighting) -> Result<bool> {
        let memory = self.memory.clone();
        let sighting = Sighting { data: carried(sighting.data), ..sighting };
        let added = tokio::task::spawn_blocking(move || memory.add(&sighting))
            .await
            .context("the outbox's thread panicked")??;
        if added {
            self.added.notify_one();
        }
        Ok(added)
    }

    /// What the bridge remembers.
    #[must_use]
    pub fn memory(&self) -> &Memory {
        &self.memory
    }
}

struct Post {
    agent: ureq::Agent,
    doors: Vec<Door>,
    source: String,
}

/// Where one node takes events.
struct Door {
    address: String,
    token: String,
}

/// What the node said to one event.
enum Reply {
    /// It has it.
    Taken,
    /// It will never take it.
    Refused(String),
    /// Nothing useful.
    Again(String),
}

impl Post {
    /// Posts an event to one node after the other until one has said something of it.
    fn send(&self, sighting: &Sighting) -> Reply {
        let mut troubles = Vec::new();
        for door in &self.doors {
            match self.send_to(door, sighting) {
                Reply::Again(why) => troubles.push(why),
                said @ (Reply::Taken | Reply::Refused(_)) => return said,
            }
        }
        Reply::Again(troubles.join("; "))
    }

    fn send_to(&self, door: &Door, sighting: &Sighting) -> Reply {
        let event = json!({
            "specversion": "1.0",
            "id": sighting.id,
            "source": self.source,
            "type": sighting.kind,
            "datacontenttype": "application/json",
            "data": sighting.data,
        });
        let sent = self
            .agent
            .post(&door.address)
            .header("authorization", format!("Bearer {}", door.token))
            .header("content-type", "application/cloudevents+json")
            .send(event.to_string());
        match sent {
            Ok(reply) if reply.status().is_success() => Reply::Taken,
            // The token or the connection may be mended by a person; the event is not at fault.
            Ok(reply) if matches!(reply.status().as_u16(), 413 | 422) => {
                let status = reply.status();
                let text = reply.into_body().read_to_string().unwrap_or_default();
                Reply::Refused(format!("{status}: {text}"))
            }
            Ok(reply) => Reply::Again(format!("the node answered {}", reply.status())),
            Err(error) => Reply::Again(error.to_string()),
        }
    }

    /// Posts events in order until one is not taken.
    fn send_all(&self, memory: &Memory, events: Vec<(i64, Sighting)>) -> Result<Option<String>> {
        let mut done = Vec::new();
        let mut trouble = None;
        for (number, sighting) in events {
            match self.send(&sighting) {
                Reply::Taken => done.push(number),
                Reply::Refused(why) => {
                    tracing::error!(kind = sighting.kind, id = sighting.id, why, "event refused");
                    done.push(number);
                }
                Reply::Again(why) => {
                    trouble = Some(why);
                    break;
                }
            }
        }
        memory.posted(&done)?;
        Ok(trouble)
    }
}

async fn deliver(outbox: Outbox, post: Arc<Post>) {
    let mut pause = PAUSE_MIN;
    loop {
        let (memory, sender) = (outbox.memory.clone(), Arc::clone(&post));
        let round = tokio::task::spawn_blocking(move || {
            let events = memory.waiting(BATCH)?;
            let count = events.len();
            anyhow::Ok((count, sender.send_all(&memory, events)?))
        });
        match round.await {
            Ok(Ok((0, _))) => outbox.added.notified().await,
            Ok(Ok((_, None))) => pause = PAUSE_MIN,
            Ok(Ok((_, Some(why)))) => {
                tracing::warn!(why, "events wait for the node");
                tokio::time::sleep(pause).await;
                pause = (pause * 2).min(PAUSE_MAX);
            }
            Ok(Err(error)) => {
                tracing::error!(%error, "the outbox cannot be read");
                tokio::time::sleep(PAUSE_MAX).await;
            }
            Err(_) => return,
        }
    }
}

/// A part of a path, with everything escaped that is not plain.
pub(crate) fn escaped(text: &str) -> String {
    text.bytes()
        .map(|byte| match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'@' => {
                char::from(byte).to_string()
            }
            _ => format!("%{byte:02X}"),
        })
        .collect()
}
