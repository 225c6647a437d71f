//! An event's final record as people read it in a receipt file.

use althing_ledger::{EventRecord, EventState, Observation, Standing};
use serde::Serialize;

use crate::receipt_file::offence_words;

#[derive(Serialize)]
pub(crate) struct EventWords {
    key: String,
    service: String,
    event: String,
    id: String,
    outcome: &'static str,
    opened_at_ms: u64,
    window_until_ms: u64,
    decided_at_ms: u64,
    emitters_in_office: usize,
    /// What was agreed on; nothing unless the event is valid.
    #[serde(skip_serializing_if = "Option::is_none")]
    agreed: Option<StatementWords>,
    observations: Vec<ObservationWords>,
    absent: Vec<AbsentWords>,
}

#[derive(Serialize)]
struct StatementWords {
    keys: Vec<String>,
    data: String,
    /// In units of the last decimal that the service declares.
    measured: Vec<i64>,
}

#[derive(Serialize)]
struct ObservationWords {
    node: String,
    at_ms: u64,
    #[serde(flatten)]
    said: StatementWords,
    standing: &'static str,
    /// From the agreed values.
    distance: Vec<u64>,
    offence: Option<&'static str>,
    fine: String,
    earned: String,
}

#[derive(Serialize)]
struct AbsentWords {
    node: String,
    fine: String,
}

impl EventWords {
    pub(crate) fn of(event: &EventRecord) -> Self {
        let keys = |keys: &[althing_types::Hash]| keys.iter().map(ToString::to_string).collect();
        let observation = |said: &Observation| {
            let statement = event.statements.get(usize::from(said.statement));
            ObservationWords {
                node: said.node.to_string(),
                at_ms: said.at.0,
                said: StatementWords {
                    keys: statement.map(|statement| keys(&statement.keys)).unwrap_or_default(),
                    data: statement
                        .map(|statement| statement.data.hash.to_string())
                        .unwrap_or_default(),
                    measured: said.measured.clone(),
                },
                standing: match said.standing {
                    Standing::Open => "nothing was agreed on",
                    Standing::Agrees => "agrees",
                    Standing::Contradicts => "contradicts",
                },
                distance: match said.standing {
                    Standing::Open => Vec::new(),
                    Standing::Agrees | Standing::Contradicts => event.distances(said).collect(),
                },
                offence: said.offence.map(offence_words),
                fine: said.fine.to_string(),
                earned: said.earned.to_string(),
            }
        };
        let agreed = (event.state == EventState::Valid).then(|| StatementWords {
            keys: keys(&event.keys),
            data: event.base.hash.to_string(),
            measured: event.measured.clone(),
        });
        Self {
            key: event.key.to_string(),
            service: event.name.service.to_string(),
            event: event.name.event.to_string(),
            id: event.id.to_string(),
            outcome: match event.state {
                EventState::Open => "open",
                EventState::Valid => "valid",
                EventState::Contradicted => "contradicted",
                EventState::Expired => "expired",
            },
            opened_at_ms: event.opened_at.0,
            window_until_ms: event.until.0,
            decided_at_ms: event.decided_at.0,
            emitters_in_office: event.office.len(),
            agreed,
            observations: event.observations.iter().map(observation).collect(),
            absent: event
                .absent
                .iter()
                .map(|absent| AbsentWords {
                    node: absent.node.to_string(),
                    fine: absent.fine.to_string(),
                })
                .collect(),
        }
    }
}
