//! The routes of applications' secrets: a value goes in, and none comes out.

use std::sync::Arc;

use althing_types::Name;
use axum::Json;
use axum::body::Body;
use axum::extract::rejection::PathRejection;
use axum::extract::{Path, State};
use axum::http::{HeaderMap, StatusCode};
use zeroize::Zeroizing;

use crate::port::{ApplicationKey, Secrets};
use crate::problem::{Kind, PROBLEM_JSON, Problem, Refusal};
use crate::request::{body, parse, path};
use crate::server::Shared;
use crate::viewer::viewer;
use crate::wire;

type Node = State<Arc<Shared>>;
type Part = Result<Path<String>, PathRejection>;
type Parts = Result<Path<(String, String)>, PathRejection>;

/// Longest value in bytes.
const VALUE_BYTES_MAX: usize = 4 << 10;

fn kept(shared: &Shared) -> Result<&dyn Secrets, Refusal> {
    let missing = || Kind::NotFound.because("this node keeps no secrets");
    shared.node.secrets().ok_or_else(missing)
}

fn named(parts: Parts) -> Result<(ApplicationKey, Name), Refusal> {
    let (application, name) = path(parts)?;
    Ok((parse("application", &application)?, parse("name", &name)?))
}

/// The names of an application's secrets: those that it asks for and those that are set.
#[utoipa::path(get, path = "/v1/applications/{application}/secrets", tag = "applications",
    params(("application" = String, Path, description = "An id, or an alias whose slash is %2F."),
        ("althing-viewer" = String, Header, description = "Signed by the application's owner.")),
    responses(
        (status = 200, body = Vec<wire::SecretName>),
        (status = "default", body = Problem, content_type = PROBLEM_JSON)))]
pub(crate) async fn secrets(
    State(shared): Node,
    headers: HeaderMap,
    application: Part,
) -> Result<Json<Vec<wire::SecretName>>, Refusal> {
    let key: ApplicationKey = parse("application", &path(application)?)?;
    let viewer = viewer(&shared, &headers).await?;
    Ok(Json(kept(&shared)?.list(viewer, key).await?))
}

/// Keeps a secret of an application, whose home this node is. It is never told again.
#[utoipa::path(put, path = "/v1/applications/{application}/secrets/{name}", tag = "applications",
    params(("application" = String, Path, description = "An id, or an alias whose slash is %2F."),
        ("name" = String, Path, description = "As the application's file names it."),
        ("althing-viewer" = String, Header, description = "Signed by the application's owner.")),
    request_body(content = Vec<u8>, content_type = "application/octet-stream"),
    responses(
        (status = 204),
        (status = "default", body = Problem, content_type = PROBLEM_JSON)))]
pub(crate) async fn set(
    State(shared): Node,
    headers: HeaderMap,
    parts: Parts,
    request: Body,
) -> Result<StatusCode, Refusal> {
    let (key, name) = named(parts)?;
    let viewer = viewer(&shared, &headers).await?;
    let bytes = Zeroizing::new(Vec::from(body(request, VALUE_BYTES_MAX).await?));
    // The bytes themselves are told to nobody, also where they are wrong.
    let text = std::str::from_utf8(&bytes)
        .map_err(|_| Kind::BadParameter.because("a secret is a text in UTF-8"))?;
    kept(&shared)?.set(viewer, key, name, Zeroizing::new(text.to_owned())).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// Forgets a secret of an application.
#[utoipa::path(delete, path = "/v1/applications/{application}/secrets/{name}", tag = "applications",
    params(("application" = String, Path, description = "An id, or an alias whose slash is %2F."),
        ("name" = String, Path, description = "As the application's file names it."),
        ("althing-viewer" = String, Header, description = "Signed by the application's owner.")),
    responses(
        (status = 204),
        (status = "default", body = Problem, content_type = PROBLEM_JSON)))]
pub(crate) async fn forget(
    State(shared): Node,
    headers: HeaderMap,
    parts: Parts,
) -> Result<StatusCode, Refusal> {
    let (key, name) = named(parts)?;
    let viewer = viewer(&shared, &headers).await?;
    kept(&shared)?.forget(viewer, key, name).await?;
    Ok(StatusCode::NO_CONTENT)
}
