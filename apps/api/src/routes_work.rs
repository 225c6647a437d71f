//! The routes of applications, runs, events and programs.

#![expect(unused_qualifications, reason = "the description's macro writes full paths")]

use std::sync::Arc;

use althing_types::Height;
use axum::Json;
use axum::body::Body;
use axum::extract::rejection::{PathRejection, QueryRejection};
use axum::extract::{Path, Query, State};
use axum::http::header::AUTHORIZATION;
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse, Response};
use serde::Deserialize;
use utoipa::IntoParams;

use crate::port::{ApplicationKey, Applications, EventFilter, Programs, RunFilter, ServiceKey};
use crate::problem::{Kind, PROBLEM_JSON, Problem, Refusal};
use crate::request::{ListQuery, WaitQuery, body, id, json, parse, path, query};
use crate::server::Shared;
use crate::viewer::{Viewer, ViewerHeader, operator};
use crate::wire;

type Answer<T> = Result<Json<T>, Refusal>;
type Node = State<Arc<Shared>>;
type Part = Result<Path<String>, PathRejection>;
type Parts = Result<Path<(String, String)>, PathRejection>;
type Parameters<T> = Result<Query<T>, QueryRejection>;

/// Longest event in bytes.
const EVENT_BYTES_MAX: usize = 1 << 20;

/// Which applications.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(crate) struct ApplicationsQuery {
    /// Of this account.
    owner: Option<String>,
    /// The last id of the page before.
    after: Option<String>,
    /// Entries of the page: 1 to 1,000; 100 unless given.
    limit: Option<String>,
}

/// Applications: all public ones, and the private ones of the account that signs the request.
#[utoipa::path(get, path = "/v1/applications", tag = "applications",
    params(ApplicationsQuery, ViewerHeader),
    responses(
        (status = 200, body = wire::Page<wire::Application>),
        (status = "default", body = Problem, content_type = PROBLEM_JSON)))]
pub(crate) async fn applications(
    State(shared): Node,
    Viewer(viewer): Viewer,
    parameters: Parameters<ApplicationsQuery>,
) -> Answer<wire::Page<wire::Application>> {
    let ApplicationsQuery { owner, after, limit } = query(parameters)?;
    let owner = owner.map(|text| parse("owner", &text)).transpose()?;
    let cut = ListQuery { after, limit }.cut()?;
    Ok(Json(told(&shared)?.list(viewer, owner, cut).await?))
}

/// An application, by id or alias.
#[utoipa::path(get, path = "/v1/applications/{application}", tag = "applications",
    params(("application" = String, Path, description = "An id, or an alias whose slash is %2F."),
        ViewerHeader),
    responses(
        (status = 200, body = wire::Application),
        (status = "default", body = Problem, content_type = PROBLEM_JSON)))]
pub(crate) async fn application(
    State(shared): Node,
    Viewer(viewer): Viewer,
    application: Part,
) -> Answer<wire::Application> {
    let key: ApplicationKey = parse("application", &path(application)?)?;
    Ok(Json(told(&shared)?.application(viewer, key).await?))
}

/// Which runs.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(crate) struct RunsQuery {
    /// Of the application with this id.
    application: Option<String>,
    /// With this status: running, waiting, `out_of_funds`, failed, done, dead, skipped, cancelled.
    status: Option<String>,
    /// The last id of the page before.
    after: Option<String>,
    /// Entries of the page: 1 to 1,000; 100 unless given.
    limit: Option<String>,
}

/// Runs, open and ended lately.
#[utoipa::path(get, path = "/v1/runs", tag = "applications",
    params(RunsQuery, ViewerHeader),
    responses(
        (status = 200, body = wire::Page<wire::Run>),
        (status = "default", body = Problem, content_type = PROBLEM_JSON)))]
pub(crate) async fn runs(
    State(shared): Node,
    Viewer(viewer): Viewer,
    parameters: Parameters<RunsQuery>,
) -> Answer<wire::Page<wire::Run>> {
    let RunsQuery { application, status, after, limit } = query(parameters)?;
    let filter = RunFilter {
        application: application.map(|text| parse("application", &text)).transpose()?,
        status: status.map(|text| parse("status", &text)).transpose()?,
    };
    let cut = ListQuery { after, limit }.cut()?;
    Ok(Json(told(&shared)?.runs(viewer, filter, cut).await?))
}

/// A run with its steps and branches.
#[utoipa::path(get, path = "/v1/runs/{id}", tag = "applications",
    params(("id" = wire::HashText, Path), WaitQuery,
        ViewerHeader),
    responses(
        (status = 200, body = wire::Run),
        (status = "default", body = Problem, content_type = PROBLEM_JSON)))]
pub(crate) async fn run(
    State(shared): Node,
    Viewer(viewer): Viewer,
    run: Part,
    wait: Parameters<WaitQuery>,
) -> Answer<wire::Run> {
    let run = id(&path(run)?)?;
    let wait = query(wait)?.wait(shared.config.wait_max)?;
    Ok(Json(told(&shared)?.run(viewer, run, wait).await?))
}

/// What happened to a run, block by block: played again from what the ledger has kept of it.
#[utoipa::path(get, path = "/v1/runs/{id}/history", tag = "applications",
    params(("id" = wire::HashText, Path), ViewerHeader),
    responses(
        (status = 200, body = wire::RunHistory),
        (status = "default", body = Problem, content_type = PROBLEM_JSON)))]
pub(crate) async fn run_history(
    State(shared): Node,
    Viewer(viewer): Viewer,
    run: Part,
) -> Answer<wire::RunHistory> {
    let run = id(&path(run)?)?;
    Ok(Json(told(&shared)?.history(viewer, run).await?))
}

/// A run as it was after a block.
#[utoipa::path(get, path = "/v1/runs/{id}/history/{height}", tag = "applications",
    params(("id" = wire::HashText, Path), ("height" = u64, Path), ViewerHeader),
    responses(
        (status = 200, body = wire::Run),
        (status = "default", body = Problem, content_type = PROBLEM_JSON)))]
pub(crate) async fn run_at(
    State(shared): Node,
    Viewer(viewer): Viewer,
    parts: Parts,
) -> Answer<wire::Run> {
    let (run, height) = path(parts)?;
    let (run, height) = (id(&run)?, Height(parse("height", &height)?));
    Ok(Json(told(&shared)?.run_at(viewer, run, height).await?))
}

/// Which events.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(crate) struct OccurrencesQuery {
    /// Of the service with this id.
    service: Option<String>,
    /// With this name.
    event: Option<String>,
    /// In this state: open, valid, contradicted or expired.
    state: Option<String>,
    /// The last key of the page before.
    after: Option<String>,
    /// Entries of the page: 1 to 1,000; 100 unless given.
    limit: Option<String>,
}

/// Events, open and settled lately.
#[utoipa::path(get, path = "/v1/occurrences", tag = "applications", params(OccurrencesQuery),
    responses(
        (status = 200, body = wire::Page<wire::Occurrence>),
        (status = "default", body = Problem, content_type = PROBLEM_JSON)))]
pub(crate) async fn occurrences(
    State(shared): Node,
    parameters: Parameters<OccurrencesQuery>,
) -> Answer<wire::Page<wire::Occurrence>> {
    let OccurrencesQuery { service, event, state, after, limit } = query(parameters)?;
    let filter = EventFilter {
        service: service.map(|text| parse("service", &text)).transpose()?,
        event: event.map(|text| parse("event", &text)).transpose()?,
        state: state.map(|text| parse("state", &text)).transpose()?,
    };
    let cut = ListQuery { after, limit }.cut()?;
    Ok(Json(told(&shared)?.occurrences(filter, cut).await?))
}

/// An event with its observations.
#[utoipa::path(get, path = "/v1/occurrences/{key}", tag = "applications",
    params(("key" = wire::HashText, Path), WaitQuery),
    responses(
        (status = 200, body = wire::Occurrence),
        (status = "default", body = Problem, content_type = PROBLEM_JSON)))]
pub(crate) async fn occurrence(
    State(shared): Node,
    key: Part,
    wait: Parameters<WaitQuery>,
) -> Answer<wire::Occurrence> {
    let key = parse("key", &path(key)?)?;
    let wait = query(wait)?.wait(shared.config.wait_max)?;
    Ok(Json(told(&shared)?.occurrence(key, wait).await?))
}

fn told(shared: &Shared) -> Result<&dyn Applications, Refusal> {
    let missing = || Kind::NotFound.because("this node does not tell of applications");
    shared.node.applications().ok_or_else(missing)
}

fn programs(shared: &Shared) -> Result<&dyn Programs, Refusal> {
    let missing = || Kind::NotFound.because("this node does no work, so it has no programs");
    shared.node.programs().ok_or_else(missing)
}

/// The programs of this node's native services.
#[utoipa::path(get, path = "/v1/programs", tag = "programs",
    params(("althing-viewer" = String, Header,
        description = "Signed by the node's own account.")),
    responses(
        (status = 200, body = Vec<wire::Connected>),
        (status = "default", body = Problem, content_type = PROBLEM_JSON)))]
pub(crate) async fn connections(
    State(shared): Node,
    headers: HeaderMap,
) -> Answer<Vec<wire::Connected>> {
    operator(&shared, &headers).await?;
    Ok(Json(programs(&shared)?.connections().await?))
}

/// Connects a program to this node; its secret and token are told once.
#[utoipa::path(put, path = "/v1/services/{service}/program", tag = "programs",
    params(("service" = String, Path, description = "An id, or an alias whose slash is %2F."),
        ("althing-viewer" = String, Header, description = "Signed by the node's own account.")),
    request_body = wire::Connect,
    responses(
        (status = 200, body = wire::Connection),
        (status = "default", body = Problem, content_type = PROBLEM_JSON)))]
pub(crate) async fn connect(
    State(shared): Node,
    headers: HeaderMap,
    service: Part,
    request: Body,
) -> Answer<wire::Connection> {
    let service: ServiceKey = parse("service", &path(service)?)?;
    operator(&shared, &headers).await?;
    let bytes = body(request, shared.config.body_bytes_max).await?;
    let wire::Connect { url } = json(&bytes)?;
    Ok(Json(programs(&shared)?.connect(service, url).await?))
}

/// Forgets a service's program.
#[utoipa::path(delete, path = "/v1/services/{service}/program", tag = "programs",
    params(("service" = String, Path, description = "An id, or an alias whose slash is %2F."),
        ("althing-viewer" = String, Header, description = "Signed by the node's own account.")),
    responses(
        (status = 204),
        (status = "default", body = Problem, content_type = PROBLEM_JSON)))]
pub(crate) async fn disconnect(
    State(shared): Node,
    headers: HeaderMap,
    service: Part,
) -> Result<StatusCode, Refusal> {
    let service: ServiceKey = parse("service", &path(service)?)?;
    operator(&shared, &headers).await?;
    programs(&shared)?.disconnect(service).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// Takes an event from a service's program: a CloudEvent in structured JSON.
///
/// It is answered once the observation is durable. The same id is the same event, however often it
/// is posted.
#[utoipa::path(post, path = "/v1/services/{service}/events", tag = "programs",
    params(("service" = String, Path, description = "An id, or an alias whose slash is %2F."),
        ("authorization" = String, Header, description = "Bearer, and the program's token.")),
    request_body(content = wire::CloudEvent, content_type = "application/cloudevents+json"),
    responses(
        (status = 202, body = wire::Observed),
        (status = "default", body = Problem, content_type = PROBLEM_JSON)))]
pub(crate) async fn observe(
    State(shared): Node,
    headers: HeaderMap,
    service: Part,
    request: Body,
) -> Result<Response, Refusal> {
    observed(&shared, &headers, parse("service", &path(service)?)?, request).await
}

/// Takes an event from the program of a service named by its alias.
#[utoipa::path(post, path = "/v1/aliases/{namespace}/{name}/events", tag = "programs",
    params(
        ("namespace" = wire::NameText, Path),
        ("name" = String, Path, description = "Name, @ and version."),
        ("authorization" = String, Header, description = "Bearer, and the program's token.")),
    request_body(content = wire::CloudEvent, content_type = "application/cloudevents+json"),
    responses(
        (status = 202, body = wire::Observed),
        (status = "default", body = Problem, content_type = PROBLEM_JSON)))]
pub(crate) async fn observe_by_alias(
    State(shared): Node,
    headers: HeaderMap,
    parts: Parts,
    request: Body,
) -> Result<Response, Refusal> {
    let (namespace, name) = path(parts)?;
    let service = parse("name", &format!("{namespace}/{name}")).map(ServiceKey::Alias)?;
    observed(&shared, &headers, service, request).await
}

async fn observed(
    shared: &Shared,
    headers: &HeaderMap,
    service: ServiceKey,
    request: Body,
) -> Result<Response, Refusal> {
    let authorization = headers.get(AUTHORIZATION).and_then(|value| value.to_str().ok());
    let token = authorization
        .and_then(|value| value.split_once(' '))
        .filter(|(scheme, _)| scheme.eq_ignore_ascii_case("bearer"))
        .map(|(_, token)| token.trim().to_owned())
        .ok_or_else(|| Kind::NotAllowed.because("`authorization: Bearer` is expected"))?;
    let bytes = body(request, EVENT_BYTES_MAX).await?;
    let value: serde_json::Value = json(&bytes)?;
    let event: wire::CloudEvent = serde_json::from_value(value)
        .map_err(|error| Kind::NotAnEvent.because(error.to_string()))?;
    if event.specversion != "1.0" {
        let detail = format!("`specversion`: 1.0 is expected, not {:?}", event.specversion);
        return Err(Kind::NotAnEvent.because(detail));
    }
    let observed = programs(shared)?.observe(service, token, event).await?;
    Ok((StatusCode::ACCEPTED, Json(observed)).into_response())
}
