//! The stream of events (server-sent events).

#![expect(unused_qualifications, reason = "the description's macro writes full paths")]

use std::convert::Infallible;
use std::sync::Arc;

use althing_types::{Address, Hash};
use axum::extract::rejection::QueryRejection;
use axum::extract::{Query, State};
use axum::http::HeaderMap;
use axum::response::sse::{Event as Message, KeepAlive, Sse};
use axum::response::{IntoResponse, Response};
use futures_util::StreamExt as _;
use futures_util::future::ready;
use serde::Deserialize;
use tokio_stream::wrappers::BroadcastStream;
use tokio_stream::wrappers::errors::BroadcastStreamRecvError;
use utoipa::IntoParams;

use crate::problem::{Kind, PROBLEM_JSON, Problem, Refusal};
use crate::request::{parse, query};
use crate::server::Shared;
use crate::viewer::viewer;
use crate::wire;

/// Which events.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(crate) struct EventsQuery {
    /// `block`, `execution`, `event` or `run`; all unless given.
    kind: Option<String>,
    /// Only changes of the execution with this id.
    execution: Option<String>,
    /// Only changes of the run with this id.
    run: Option<String>,
    /// Only changes of runs of the application with this id.
    application: Option<String>,
}

/// The kinds of events, as they are asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kinds {
    All,
    Blocks,
    Executions,
    Events,
    Runs,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Wanted {
    kinds: Kinds,
    execution: Option<Hash>,
    run: Option<Hash>,
    application: Option<Hash>,
    /// Who asks: what is private is told to those who may know it.
    viewer: Option<Address>,
}

impl Wanted {
    fn of(query: &EventsQuery, viewer: Option<Address>) -> Result<Self, Refusal> {
        let id = |name: &str, text: &Option<String>| -> Result<Option<Hash>, Refusal> {
            text.as_deref().map(|text| parse(name, text)).transpose()
        };
        let named = match query.kind.as_deref() {
            None => None,
            Some("block") => Some(Kinds::Blocks),
            Some("execution") => Some(Kinds::Executions),
            Some("event") => Some(Kinds::Events),
            Some("run") => Some(Kinds::Runs),
            Some(_) => {
                let expected = "`kind`: `block`, `execution`, `event` or `run` is expected";
                return Err(Kind::BadParameter.because(expected));
            }
        };
        let execution = id("execution", &query.execution)?;
        let run = id("run", &query.run)?;
        let application = id("application", &query.application)?;
        // An id implies its kind; another kind beside it would tell nothing for ever.
        let implied = [
            ("execution", execution.is_some(), Kinds::Executions),
            ("run", run.is_some(), Kinds::Runs),
            ("application", application.is_some(), Kinds::Runs),
        ];
        let mut kinds = named;
        for (name, _, kind) in implied.into_iter().filter(|(_, given, _)| *given) {
            if kinds.is_some_and(|known| known != kind) {
                let detail = format!("`{name}`: goes with no other kind of event");
                return Err(Kind::BadParameter.because(detail));
            }
            kinds = Some(kind);
        }
        Ok(Self { kinds: kinds.unwrap_or(Kinds::All), execution, run, application, viewer })
    }

    fn includes(self, event: &wire::Event) -> bool {
        let kinds = |kind| self.kinds == Kinds::All || self.kinds == kind;
        match event {
            wire::Event::Lagged { .. } => true,
            wire::Event::Block { .. } => kinds(Kinds::Blocks),
            wire::Event::Execution { execution, .. } => {
                kinds(Kinds::Executions) && self.execution.is_none_or(|id| execution.0 == id)
            }
            wire::Event::Event { .. } => kinds(Kinds::Events),
            wire::Event::Run { run, application, readers, .. } => {
                let may_know = readers.as_ref().is_none_or(|readers| {
                    self.viewer.is_some_and(|viewer| readers.iter().any(|it| it.0 == viewer))
                });
                kinds(Kinds::Runs)
                    && may_know
                    && self.run.is_none_or(|id| run.0 == id)
                    && self.application.is_none_or(|id| application.0 == id)
            }
        }
    }
}

/// Streams blocks and changes of executions, events and runs as they happen (server-sent events).
///
/// Each message's data is one event; its type is the event's name. After `lagged`, ask for the
/// state of what you follow.
#[utoipa::path(get, path = "/v1/events", tag = "events", params(EventsQuery), responses(
    (status = 200, body = wire::Event, content_type = "text/event-stream"),
    (status = "default", body = Problem, content_type = PROBLEM_JSON)))]
pub(crate) async fn stream(
    State(shared): State<Arc<Shared>>,
    headers: HeaderMap,
    parameters: Result<Query<EventsQuery>, QueryRejection>,
) -> Result<Response, Refusal> {
    let viewer = viewer(&shared, &headers).await?;
    let wanted = Wanted::of(&query(parameters)?, viewer)?;
    let Ok(place) = Arc::clone(&shared.streams).try_acquire_owned() else {
        return Err(Kind::Busy.because("too many streams of events are open"));
    };
    let mut stopping = shared.stopping.clone();
    let stopped = async move {
        // An error means that the server is gone, which is stopped enough.
        drop(stopping.wait_for(|stopping| *stopping).await);
    };
    let events = BroadcastStream::new(shared.node.events())
        .map(|event| match event {
            Ok(event) => event,
            Err(BroadcastStreamRecvError::Lagged(missed)) => wire::Event::Lagged { missed },
        })
        .filter(move |event| ready(wanted.includes(event)))
        .map(move |event| {
            // The place is given back when the stream ends.
            let _ = &place;
            Ok::<_, Infallible>(message(&event))
        })
        .take_until(stopped);
    Ok(Sse::new(events).keep_alive(KeepAlive::default()).into_response())
}

fn message(event: &wire::Event) -> Message {
    let name = match event {
        wire::Event::Block { .. } => "block",
        wire::Event::Execution { .. } => "execution",
        wire::Event::Event { .. } => "event",
        wire::Event::Run { .. } => "run",
        wire::Event::Lagged { .. } => "lagged",
    };
    Message::default().event(name).data(serde_json::to_string(event).unwrap_or_default())
}
