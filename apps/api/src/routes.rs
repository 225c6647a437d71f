//! The routes: each reads its request, asks the node, and writes the answer.

#![expect(unused_qualifications, reason = "the description's macro writes full paths")]

use std::sync::Arc;

use althing_types::{Address, Hash, Height};
use axum::Json;
use axum::body::Body;
use axum::extract::rejection::{PathRejection, QueryRejection};
use axum::extract::{Path, Query, State};
use axum::http::HeaderMap;
use axum::http::header::{CACHE_CONTROL, CONTENT_TYPE, X_CONTENT_TYPE_OPTIONS};
use axum::response::{IntoResponse, Response};
use serde::Deserialize;
use utoipa::{IntoParams, OpenApi};

use crate::port::{ExecutionFilter, ServiceKey};
use crate::problem::{Kind, PROBLEM_JSON, Problem, Refusal};
use crate::request::{
    EncodedTransaction, ListQuery, Submission, WaitQuery, body, id, json, limit, parse, path,
    query, submission,
};
use crate::server::Shared;
use crate::viewer::viewer;
use crate::{events, routes_secrets, routes_work, wire};

type Answer<T> = Result<Json<T>, Refusal>;
type Node = State<Arc<Shared>>;
type Part = Result<Path<String>, PathRejection>;
type Parts = Result<Path<(String, String)>, PathRejection>;
type Parameters<T> = Result<Query<T>, QueryRejection>;

/// Builds the router and, from the same lines, the list of all routes.
macro_rules! routes {
    ($($method:ident $path:literal => $handler:path,)*) => {
        /// Every route: method and path.
        pub const ROUTES: &[(&str, &str)] = &[$((stringify!($method), $path),)*];

        pub(crate) fn routes() -> axum::Router<Arc<Shared>> {
            axum::Router::new()$(.route($path, axum::routing::$method($handler)))*
        }
    };
}

routes! {
    get "/" => index,
    get "/openapi.json" => openapi,
    get "/metrics" => metrics,
    get "/v1/status" => status,
    get "/v1/genesis" => genesis,
    get "/v1/totals" => totals,
    get "/v1/validators" => validators,
    get "/v1/blocks/latest" => latest_block,
    get "/v1/blocks/{height}" => block,
    get "/v1/headers" => headers,
    get "/v1/accounts/{address}" => account,
    post "/v1/transactions" => submit,
    post "/v1/transactions/typed-data" => typed_data,
    get "/v1/transactions/{hash}" => transaction,
    get "/v1/services" => services,
    get "/v1/services/{service}" => service,
    get "/v1/services/{service}/offers" => offers,
    get "/v1/aliases/{namespace}/{name}" => service_by_alias,
    get "/v1/aliases/{namespace}/{name}/offers" => offers_by_alias,
    get "/v1/executions" => executions,
    get "/v1/executions/{id}" => execution,
    get "/v1/executions/{id}/explanation" => explanation,
    get "/v1/executions/{id}/receipt" => receipt,
    get "/v1/applications" => routes_work::applications,
    get "/v1/applications/{application}" => routes_work::application,
    get "/v1/applications/{application}/secrets" => routes_secrets::secrets,
    put "/v1/applications/{application}/secrets/{name}" => routes_secrets::set,
    delete "/v1/applications/{application}/secrets/{name}" => routes_secrets::forget,
    get "/v1/runs" => routes_work::runs,
    get "/v1/runs/{id}" => routes_work::run,
    get "/v1/runs/{id}/history" => routes_work::run_history,
    get "/v1/runs/{id}/history/{height}" => routes_work::run_at,
    get "/v1/occurrences" => routes_work::occurrences,
    get "/v1/occurrences/{key}" => routes_work::occurrence,
    get "/v1/programs" => routes_work::connections,
    put "/v1/services/{service}/program" => routes_work::connect,
    delete "/v1/services/{service}/program" => routes_work::disconnect,
    post "/v1/services/{service}/events" => routes_work::observe,
    post "/v1/aliases/{namespace}/{name}/events" => routes_work::observe_by_alias,
    put "/v1/blobs" => put_blob,
    get "/v1/blobs/{hash}" => blob,
    get "/v1/events" => events::stream,
}

/// The interface's description.
#[derive(OpenApi)]
#[openapi(
    info(
        title = "Althing node",
        description = "Submit transactions and read the chain. Bytes are hexadecimal with 0x, amounts \
                       are texts in tokens, times are milliseconds since 1970. Every failure is a \
                       problem document (RFC 9457) with a code that has a page.",
        license(name = "Apache-2.0 OR MIT")
    ),
    paths(
        index,
        openapi,
        metrics,
        status,
        genesis,
        totals,
        validators,
        latest_block,
        block,
        headers,
        account,
        submit,
        typed_data,
        transaction,
        services,
        service,
        offers,
        service_by_alias,
        offers_by_alias,
        executions,
        execution,
        explanation,
        receipt,
        routes_work::applications,
        routes_work::application,
        routes_work::runs,
        routes_work::run,
        routes_work::run_history,
        routes_work::run_at,
        routes_work::occurrences,
        routes_work::occurrence,
        routes_work::connections,
        routes_work::connect,
        routes_secrets::secrets,
        routes_secrets::set,
        routes_secrets::forget,
        routes_work::disconnect,
        routes_work::observe,
        routes_work::observe_by_alias,
        put_blob,
        blob,
        events::stream
    ),
    components(schemas(Problem, EncodedTransaction, wire::Event))
)]
pub(crate) struct Specification;

/// Lists the routes.
#[utoipa::path(get, path = "/", tag = "interface", responses((status = 200, body = Object)))]
async fn index() -> Json<serde_json::Value> {
    let specification = Specification::openapi();
    let summary = |method: &str, path: &str| {
        let item = specification.paths.paths.get(path)?;
        let operation = match method {
            "get" => item.get.as_ref(),
            "post" => item.post.as_ref(),
            "put" => item.put.as_ref(),
            "delete" => item.delete.as_ref(),
            _ => None,
        };
        operation?.summary.clone()
    };
    let line = |(method, path): &(&str, &str)| {
        let summary = summary(method, path);
        serde_json::json!({ "method": method.to_uppercase(), "path": path, "summary": summary })
    };
    let routes: Vec<_> = ROUTES.iter().map(line).collect();
    Json(serde_json::json!({
        "name": "Althing node",
        "version": env!("CARGO_PKG_VERSION"),
        "specification": "/openapi.json",
        "routes": routes,
    }))
}

/// This description, in the form of `OpenAPI` 3.1.
#[utoipa::path(get, path = "/openapi.json", tag = "interface",
    responses((status = 200, body = Object)))]
async fn openapi() -> Json<utoipa::openapi::OpenApi> {
    Json(Specification::openapi())
}

/// Metrics as Prometheus text.
#[utoipa::path(get, path = "/metrics", tag = "interface",
    responses((status = 200, body = String, content_type = "text/plain")))]
async fn metrics(State(shared): Node) -> Response {
    let text = shared.node.metrics() + &shared.counters.to_string();
    ([(CONTENT_TYPE, "text/plain; version=0.0.4")], text).into_response()
}

/// The node and its chain.
#[utoipa::path(get, path = "/v1/status", tag = "chain", responses(
    (status = 200, body = wire::Status),
    (status = "default", body = Problem, content_type = PROBLEM_JSON)))]
async fn status(State(shared): Node) -> Answer<wire::Status> {
    Ok(Json(shared.node.status().await?))
}

/// The chain's start; its hash is what a light client trusts.
#[utoipa::path(get, path = "/v1/genesis", tag = "chain", responses(
    (status = 200, body = wire::Genesis),
    (status = "default", body = Problem, content_type = PROBLEM_JSON)))]
async fn genesis(State(shared): Node) -> Answer<wire::Genesis> {
    Ok(Json(shared.node.genesis().await?))
}

/// Where all tokens are.
#[utoipa::path(get, path = "/v1/totals", tag = "chain", responses(
    (status = 200, body = wire::Totals),
    (status = "default", body = Problem, content_type = PROBLEM_JSON)))]
async fn totals(State(shared): Node) -> Answer<wire::Totals> {
    Ok(Json(shared.node.totals().await?))
}

/// Everybody who stakes on consensus.
#[utoipa::path(get, path = "/v1/validators", tag = "chain", responses(
    (status = 200, body = wire::Validators),
    (status = "default", body = Problem, content_type = PROBLEM_JSON)))]
async fn validators(State(shared): Node) -> Answer<wire::Validators> {
    Ok(Json(shared.node.validators().await?))
}

/// The last block.
#[utoipa::path(get, path = "/v1/blocks/latest", tag = "chain", responses(
    (status = 200, body = wire::Block),
    (status = "default", body = Problem, content_type = PROBLEM_JSON)))]
async fn latest_block(State(shared): Node) -> Answer<wire::Block> {
    Ok(Json(shared.node.block(None).await?))
}

/// A block with its transactions and its certificate.
#[utoipa::path(get, path = "/v1/blocks/{height}", tag = "chain",
    params(("height" = u64, Path, description = "From 1 on.")),
    responses(
        (status = 200, body = wire::Block),
        (status = "default", body = Problem, content_type = PROBLEM_JSON)))]
async fn block(State(shared): Node, height: Part) -> Answer<wire::Block> {
    let height = Height(parse("height", &path(height)?)?);
    Ok(Json(shared.node.block(Some(height)).await?))
}

/// Which headers.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
struct HeadersQuery {
    /// The first height; 1 unless given.
    from: Option<String>,
    /// How many: 1 to 1,000; 100 unless given.
    limit: Option<String>,
}

/// Headers by ascending height.
#[utoipa::path(get, path = "/v1/headers", tag = "chain", params(HeadersQuery), responses(
    (status = 200, body = Vec<wire::IdentifiedHeader>),
    (status = "default", body = Problem, content_type = PROBLEM_JSON)))]
async fn headers(
    State(shared): Node,
    parameters: Parameters<HeadersQuery>,
) -> Answer<Vec<wire::IdentifiedHeader>> {
    let parameters = query(parameters)?;
    let from = parameters.from.as_deref().map_or(Ok(1), |text| parse("from", text))?;
    let limit = limit(parameters.limit.as_deref())?;
    Ok(Json(shared.node.headers(Height(from), limit).await?))
}

/// Balance, next nonce and stake of an account.
#[utoipa::path(get, path = "/v1/accounts/{address}", tag = "accounts",
    params(("address" = wire::AddressText, Path)),
    responses(
        (status = 200, body = wire::Account),
        (status = "default", body = Problem, content_type = PROBLEM_JSON)))]
async fn account(State(shared): Node, address: Part) -> Answer<wire::Account> {
    let address: Address = parse("address", &path(address)?)?;
    Ok(Json(shared.node.account(address).await?))
}

/// Submits a signed transaction.
///
/// It is checked and queued; it is not in a block yet. Submitting it again is harmless.
#[utoipa::path(post, path = "/v1/transactions", tag = "transactions", request_body = Submission,
    responses(
        (status = 202, body = wire::Submitted),
        (status = "default", body = Problem, content_type = PROBLEM_JSON)))]
async fn submit(State(shared): Node, request: Body) -> Result<Response, Refusal> {
    let bytes = body(request, shared.config.body_bytes_max).await?;
    let hash = shared.node.submit(submission(&bytes)?).await?.into();
    Ok((axum::http::StatusCode::ACCEPTED, Json(wire::Submitted { hash })).into_response())
}

/// A transaction as EIP-712 typed data, for a wallet to sign.
#[utoipa::path(post, path = "/v1/transactions/typed-data", tag = "transactions",
    request_body = wire::Transaction,
    responses(
        (status = 200, body = wire::TypedData),
        (status = "default", body = Problem, content_type = PROBLEM_JSON)))]
async fn typed_data(State(shared): Node, request: Body) -> Answer<wire::TypedData> {
    let bytes = body(request, shared.config.body_bytes_max).await?;
    let transaction: wire::Transaction = serde_json::from_value(json(&bytes)?)
        .map_err(|error| Kind::MalformedTransaction.because(error.to_string()))?;
    Ok(Json(wire::typed_data(&transaction.into())))
}

/// What became of a transaction.
#[utoipa::path(get, path = "/v1/transactions/{hash}", tag = "transactions",
    params(("hash" = wire::HashText, Path), WaitQuery),
    responses(
        (status = 200, body = wire::TransactionReceipt),
        (status = "default", body = Problem, content_type = PROBLEM_JSON)))]
async fn transaction(
    State(shared): Node,
    hash: Part,
    wait: Parameters<WaitQuery>,
) -> Answer<wire::TransactionReceipt> {
    let hash: Hash = parse("hash", &path(hash)?)?;
    let wait = query(wait)?.wait(shared.config.wait_max)?;
    Ok(Json(shared.node.transaction(hash, wait).await?))
}

/// Published services.
#[utoipa::path(get, path = "/v1/services", tag = "services", params(ListQuery), responses(
    (status = 200, body = wire::Page<wire::Service>),
    (status = "default", body = Problem, content_type = PROBLEM_JSON)))]
async fn services(
    State(shared): Node,
    list: Parameters<ListQuery>,
) -> Answer<wire::Page<wire::Service>> {
    Ok(Json(shared.node.services(query(list)?.cut()?).await?))
}

/// A service, by id or alias.
#[utoipa::path(get, path = "/v1/services/{service}", tag = "services",
    params(("service" = String, Path, description = "An id, or an alias whose slash is %2F.")),
    responses(
        (status = 200, body = wire::Service),
        (status = "default", body = Problem, content_type = PROBLEM_JSON)))]
async fn service(State(shared): Node, service: Part) -> Answer<wire::Service> {
    let service: ServiceKey = parse("service", &path(service)?)?;
    Ok(Json(shared.node.service(service).await?))
}

/// Who offers a service, and with which reputation.
#[utoipa::path(get, path = "/v1/services/{service}/offers", tag = "services",
    params(("service" = String, Path, description = "An id, or an alias whose slash is %2F.")),
    responses(
        (status = 200, body = Vec<wire::Offer>),
        (status = "default", body = Problem, content_type = PROBLEM_JSON)))]
async fn offers(State(shared): Node, service: Part) -> Answer<Vec<wire::Offer>> {
    let service: ServiceKey = parse("service", &path(service)?)?;
    Ok(Json(shared.node.offers(service).await?))
}

/// A service, by alias.
#[utoipa::path(get, path = "/v1/aliases/{namespace}/{name}", tag = "services",
    params(
        ("namespace" = wire::NameText, Path),
        ("name" = String, Path, description = "Name, @ and version.")),
    responses(
        (status = 200, body = wire::Service),
        (status = "default", body = Problem, content_type = PROBLEM_JSON)))]
async fn service_by_alias(State(shared): Node, parts: Parts) -> Answer<wire::Service> {
    Ok(Json(shared.node.service(alias(parts)?).await?))
}

/// Who offers a service named by its alias.
#[utoipa::path(get, path = "/v1/aliases/{namespace}/{name}/offers", tag = "services",
    params(
        ("namespace" = wire::NameText, Path),
        ("name" = String, Path, description = "Name, @ and version.")),
    responses(
        (status = 200, body = Vec<wire::Offer>),
        (status = "default", body = Problem, content_type = PROBLEM_JSON)))]
async fn offers_by_alias(State(shared): Node, parts: Parts) -> Answer<Vec<wire::Offer>> {
    Ok(Json(shared.node.offers(alias(parts)?).await?))
}

fn alias(parts: Parts) -> Result<ServiceKey, Refusal> {
    let (namespace, name) = path(parts)?;
    parse("name", &format!("{namespace}/{name}")).map(ServiceKey::Alias)
}

/// Which executions.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
struct ExecutionsQuery {
    /// Paid by this account.
    payer: Option<String>,
    /// Worked on by this node.
    node: Option<String>,
    /// Of the service with this id.
    service: Option<String>,
    /// In this phase: created, working, checking, revealing or settled.
    phase: Option<String>,
    /// The last id of the page before.
    after: Option<String>,
    /// Entries of the page: 1 to 1,000; 100 unless given.
    limit: Option<String>,
}

/// Executions, open and settled.
#[utoipa::path(get, path = "/v1/executions", tag = "executions", params(ExecutionsQuery),
    responses(
        (status = 200, body = wire::Page<wire::Execution>),
        (status = "default", body = Problem, content_type = PROBLEM_JSON)))]
async fn executions(
    State(shared): Node,
    parameters: Parameters<ExecutionsQuery>,
) -> Answer<wire::Page<wire::Execution>> {
    let ExecutionsQuery { payer, node, service, phase, after, limit } = query(parameters)?;
    let filter = ExecutionFilter {
        payer: payer.map(|text| parse("payer", &text)).transpose()?,
        node: node.map(|text| parse("node", &text)).transpose()?,
        service: service.map(|text| parse("service", &text)).transpose()?,
        phase: phase.map(|text| parse("phase", &text)).transpose()?,
    };
    let cut = ListQuery { after, limit }.cut()?;
    Ok(Json(shared.node.executions(filter, cut).await?))
}

/// An execution as it stands.
#[utoipa::path(get, path = "/v1/executions/{id}", tag = "executions",
    params(("id" = wire::HashText, Path), WaitQuery),
    responses(
        (status = 200, body = wire::Execution),
        (status = "default", body = Problem, content_type = PROBLEM_JSON)))]
async fn execution(
    State(shared): Node,
    execution: Part,
    wait: Parameters<WaitQuery>,
) -> Answer<wire::Execution> {
    let execution = id(&path(execution)?)?;
    let wait = query(wait)?.wait(shared.config.wait_max)?;
    Ok(Json(shared.node.execution(execution, wait).await?))
}

/// Why an execution came out as it did; its draws are replayed.
#[utoipa::path(get, path = "/v1/executions/{id}/explanation", tag = "executions",
    params(("id" = wire::HashText, Path)),
    responses(
        (status = 200, body = wire::Explanation),
        (status = "default", body = Problem, content_type = PROBLEM_JSON)))]
async fn explanation(State(shared): Node, execution: Part) -> Answer<wire::Explanation> {
    Ok(Json(shared.node.explain(id(&path(execution)?)?).await?))
}

/// The portable receipt of a settled execution: verifiable without a node.
#[utoipa::path(get, path = "/v1/executions/{id}/receipt", tag = "executions",
    params(("id" = wire::HashText, Path)),
    responses(
        (status = 200, body = Object),
        (status = "default", body = Problem, content_type = PROBLEM_JSON)))]
async fn receipt(State(shared): Node, execution: Part) -> Result<Response, Refusal> {
    let bytes = shared.node.receipt(id(&path(execution)?)?).await?;
    Ok(([(CONTENT_TYPE, "application/json")], bytes).into_response())
}

/// Of what a blob that is kept is a part.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
struct KeepQuery {
    /// The id of the private application whose document it is: it is then given only to the owner
    /// and grantees, and to nodes that are drawn for its steps.
    of: Option<String>,
}

/// Keeps a blob on this node; the body is the blob.
#[utoipa::path(put, path = "/v1/blobs", tag = "blobs", params(KeepQuery),
    request_body(content = Vec<u8>, content_type = "application/octet-stream"),
    responses(
        (status = 201, body = wire::BlobRef),
        (status = "default", body = Problem, content_type = PROBLEM_JSON)))]
async fn put_blob(
    State(shared): Node,
    parameters: Parameters<KeepQuery>,
    request: Body,
) -> Result<Response, Refusal> {
    let of = query(parameters)?.of.map(|text| parse("of", &text)).transpose()?;
    let bytes = body(request, shared.config.blob_bytes_max).await?;
    let blob = shared.node.put_blob(bytes, of).await?;
    Ok((axum::http::StatusCode::CREATED, Json(blob)).into_response())
}

/// Of what a blob is a part.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
struct BlobQuery {
    /// The id of a private application or of an execution, whose owner or grantee signs the request.
    of: Option<String>,
}

/// A blob that this node has or finds.
#[utoipa::path(get, path = "/v1/blobs/{hash}", tag = "blobs",
    params(("hash" = wire::HashText, Path), BlobQuery,
        ("althing-viewer" = Option<String>, Header,
            description = "Account, time and signature of who wants to see what is private.")),
    responses(
        (status = 200, body = Vec<u8>, content_type = "application/octet-stream"),
        (status = "default", body = Problem, content_type = PROBLEM_JSON)))]
async fn blob(
    State(shared): Node,
    headers: HeaderMap,
    hash: Part,
    parameters: Parameters<BlobQuery>,
) -> Result<Response, Refusal> {
    let hash = parse("hash", &path(hash)?)?;
    let of = query(parameters)?.of.map(|text| parse("of", &text)).transpose()?;
    let viewer = viewer(&shared, &headers).await?;
    let bytes = shared.node.blob(viewer, hash, of).await?;
    // Anybody's bytes: a browser must not take them for a page. Named by their hash, they last, but
    // what is private is in nobody else's cache.
    let caching = match of {
        Some(_) => "private, no-store",
        None => "public, max-age=31536000, immutable",
    };
    let headers = [
        (CONTENT_TYPE, "application/octet-stream"),
        (X_CONTENT_TYPE_OPTIONS, "nosniff"),
        (CACHE_CONTROL, caching),
    ];
    Ok((headers, bytes).into_response())
}
