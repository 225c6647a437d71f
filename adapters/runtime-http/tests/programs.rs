//! Programs as they come: over a real socket, from a server that does what a test tells it.

#![expect(
    clippy::unwrap_used,
    clippy::unwrap_in_result,
    reason = "a test fails by panicking, in its helpers too"
)]

use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use althing_manifest::{Limits, Manifest, Status, Task};
use althing_runtime_http::{Config, Connections, Programs};
use althing_types::{
    Address, Amount, ChainId, Doubt, Failure, Hash, Opinion, TimeMs, Verification,
};
use althing_work::port::{Assignment, Native as _};
use althing_work::{Returned, TaskRun, Unfinished, Unusable};
use axum::Router;
use axum::body::{Body, Bytes};
use axum::extract::State;
use axum::http::{HeaderMap, Response, StatusCode};
use standardwebhooks::Webhook;

const SERVICE: Hash = Hash([5; 32]);
const NOW_S: i64 = 1_795_000_000;
const LIMIT: Duration = Duration::from_millis(800);

/// What the server does with one post.
#[derive(Clone, Debug)]
enum Act {
    Answer(u16, String),
    Redirect(String),
    /// Never answers.
    Hang,
}

#[derive(Clone, Default)]
struct Script {
    acts: Arc<Mutex<Vec<Act>>>,
    posts: Arc<Mutex<Vec<(HeaderMap, Bytes)>>>,
}

async fn act(State(script): State<Script>, headers: HeaderMap, body: Bytes) -> Response<Body> {
    script.posts.lock().unwrap().push((headers, body));
    let next = {
        let mut acts = script.acts.lock().unwrap();
        if acts.len() > 1 { acts.remove(0) } else { acts[0].clone() }
    };
    match next {
        Act::Answer(status, body) => {
            Response::builder().status(status).body(Body::from(body)).unwrap()
        }
        Act::Redirect(to) => Response::builder()
            .status(StatusCode::TEMPORARY_REDIRECT)
            .header("location", to)
            .body(Body::empty())
            .unwrap(),
        Act::Hang => std::future::pending().await,
    }
}

async fn server(acts: Vec<Act>) -> (SocketAddr, Script) {
    let script = Script { acts: Arc::new(Mutex::new(acts)), ..Script::default() };
    let router = Router::new().fallback(act).with_state(script.clone());
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move { axum::serve(listener, router).await });
    (address, script)
}

fn manifest() -> Manifest {
    let payload = |field: &str| {
        serde_json::json!({
            "type": "object", "required": [field], "additionalProperties": false,
            "properties": { field: { "type": "string" } }
        })
    };
    let name = |text: &str| text.parse().unwrap();
    Manifest {
        service: "acme/shop@1.0.0".parse().unwrap(),
        summary: "For tests.".into(),
        module: None,
        stake_min: Amount::from_tokens(1),
        limits: Limits::DEFAULT,
        tasks: vec![Task {
            name: name("mark_cart"),
            summary: "Marks a cart.".into(),
            verification: Verification::Method,
            price: Amount::from_tokens(1),
            check_price: Amount::from_tokens(1),
            limits: Limits {
                time_ms: u32::try_from(LIMIT.as_millis()).unwrap(),
                output_kb: 1,
                ..Limits::DEFAULT
            },
            inputs: payload("cart"),
            statuses: vec![
                Status { name: name("ok"), outputs: payload("marked") },
                Status { name: name("gone"), outputs: payload("reason") },
            ],
        }],
        events: Vec::new(),
    }
}

struct Stage {
    _folder: tempfile::TempDir,
    connections: Arc<Connections>,
    programs: Programs,
}

fn stage(url: Option<&str>) -> Stage {
    let folder = tempfile::tempdir().unwrap();
    let entropy = |bytes: &mut [u8]| {
        bytes.fill(9);
        true
    };
    let path = folder.path().join("connections.json");
    let connections = Arc::new(Connections::open(&path, Arc::new(entropy)).unwrap());
    if let Some(url) = url {
        connections.connect(SERVICE, url).unwrap();
    }
    let config = Config { chain: ChainId(7), node: Address([3; 20]), now_s: Arc::new(|| NOW_S) };
    let programs = Programs::new(config, connections.clone()).unwrap();
    Stage { _folder: folder, connections, programs }
}

fn assignment(input: &str) -> Assignment {
    Assignment {
        execution: Hash([1; 32]),
        key: Hash([2; 32]),
        since: TimeMs(1_700_000_000_999),
        service: SERVICE,
        task: "mark_cart".parse().unwrap(),
        input: input.as_bytes().to_vec(),
        is_secret: false,
    }
}

async fn task(acts: Vec<Act>) -> (TaskRun, Script) {
    let (address, script) = server(acts).await;
    let stage = stage(Some(&format!("http://{address}/tasks")));
    stage.programs.prepare(&SERVICE, &manifest()).unwrap();
    (stage.programs.task(assignment(r#"{"cart":"c-17"}"#)).await, script)
}

fn answer(text: &str) -> Act {
    Act::Answer(200, text.into())
}

const GOOD: &str = r#"{ "status": "ok", "output": { "marked": "c-17" } }"#;

fn good() -> Result<Returned, Unfinished> {
    let output = br#"{"marked":"c-17"}"#.to_vec();
    Ok(Returned { status: "ok".parse().unwrap(), output })
}

#[tokio::test]
async fn a_task_is_one_signed_cloud_event_and_its_answer() {
    let (run, script) = task(vec![answer(GOOD)]).await;
    assert_eq!(run.result, good());
    let posts = script.posts.lock().unwrap();
    let [(headers, body)] = &posts[..] else { panic!("{} posts", posts.len()) };
    let event: serde_json::Value = serde_json::from_slice(body).unwrap();
    let id = Hash([1; 32]).to_string();
    let expected = serde_json::json!({
        "specversion": "1.0", "id": id, "type": "althing.task", "subject": "mark_cart",
        "source": format!("althing://7/{}", Address([3; 20])),
        "datacontenttype": "application/json",
        "data": { "key": Hash([2; 32]).to_string(), "since": 1_700_000_000, "input": { "cart": "c-17" } },
    });
    assert_eq!(event, expected);
    assert_eq!(headers["content-type"], "application/cloudevents+json");
    assert_eq!(headers["webhook-id"], id);
    let webhook = Webhook::from_bytes(vec![9; 32]).unwrap();
    let signature = webhook.sign(&id, NOW_S, body).unwrap();
    assert_eq!(headers["webhook-signature"], signature);
}

#[tokio::test]
async fn what_is_no_answer_fails_the_task_and_is_not_asked_again() {
    for act in [
        answer(""),
        answer("ok"),
        answer(r#"{"output":{"marked":"c-17"}}"#),
        answer(r#"{"status":["ok","gone"],"output":{"marked":"c-17"}}"#),
        answer(r#"{"status":"ok","status":"gone","output":{"marked":"c-17"}}"#),
        answer(&format!(r#"{{"status":"ok","output":{{"marked":"{}"}}}}"#, "x".repeat(6 << 10))),
        Act::Answer(204, String::new()),
        Act::Answer(201, GOOD.into()),
        Act::Answer(404, GOOD.into()),
        Act::Answer(401, String::new()),
    ] {
        let (run, script) = task(vec![act.clone()]).await;
        assert_eq!(run.result, Err(Unfinished::Failed(Failure::BadAnswer)), "{act:?}");
        assert_eq!(script.posts.lock().unwrap().len(), 1, "{act:?}");
        assert!(!run.log.is_empty());
    }
}

#[tokio::test]
async fn an_answer_against_the_manifest_is_a_bad_output() {
    for text in [
        r#"{"status":"late","output":{"marked":"c-17"}}"#,
        r#"{"status":"ok","output":{"marked":17}}"#,
        r#"{"status":"gone","output":{"marked":"c-17"}}"#,
        &format!(r#"{{"status":"ok","output":{{"marked":"{}"}}}}"#, "x".repeat(2 << 10)),
    ] {
        let (run, _) = task(vec![answer(text)]).await;
        assert_eq!(run.result, Err(Unfinished::Failed(Failure::BadOutput)), "{text}");
    }
}

#[tokio::test]
async fn a_program_that_is_busy_or_broken_is_asked_again_with_the_same_id() {
    let acts = vec![
        Act::Answer(503, "later".into()),
        Act::Answer(429, String::new()),
        Act::Answer(500, GOOD.into()),
        answer(GOOD),
    ];
    let (run, script) = task(acts).await;
    assert_eq!(run.result, good());
    let posts = script.posts.lock().unwrap();
    assert_eq!(posts.len(), 4);
    assert!(posts.iter().all(|post| post.0["webhook-id"] == posts[0].0["webhook-id"]));
    assert!(posts.iter().all(|post| post.1 == posts[0].1));
}

#[tokio::test]
async fn a_redirect_is_not_followed() {
    let (elsewhere, other) = server(vec![answer(GOOD)]).await;
    let (run, script) = task(vec![Act::Redirect(format!("http://{elsewhere}/"))]).await;
    assert_eq!(run.result, Err(Unfinished::Failed(Failure::BadAnswer)));
    assert_eq!(script.posts.lock().unwrap().len(), 1);
    assert_eq!(other.posts.lock().unwrap().len(), 0);
}

#[tokio::test]
async fn silence_ends_with_the_time_limit_and_says_nothing_about_the_task() {
    let over_time = Err(Unfinished::Inconclusive(Doubt::OverTime));
    let (run, _) = task(vec![Act::Hang]).await;
    assert_eq!(run.result, over_time);
    assert!(run.duration_us >= 800_000, "{}", run.duration_us);

    // A port where nobody listens any more.
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let nobody = listener.local_addr().unwrap();
    drop(listener);
    let stage = stage(Some(&format!("http://{nobody}/")));
    stage.programs.prepare(&SERVICE, &manifest()).unwrap();
    let run = stage.programs.task(assignment(r#"{"cart":"c-17"}"#)).await;
    assert_eq!(run.result, over_time);
    assert!(run.log[0].contains("cannot be reached"), "{:?}", run.log);
}

#[tokio::test]
async fn a_bad_input_is_never_posted() {
    let (address, script) = server(vec![answer(GOOD)]).await;
    let stage = stage(Some(&format!("http://{address}/")));
    stage.programs.prepare(&SERVICE, &manifest()).unwrap();
    for input in ["{}", r#"{"cart":17}"#, "no json"] {
        let run = stage.programs.task(assignment(input)).await;
        assert_eq!(run.result, Err(Unfinished::Failed(Failure::BadInput)), "{input}");
    }
    assert_eq!(script.posts.lock().unwrap().len(), 0);
}

#[tokio::test]
async fn without_a_connection_the_service_is_unavailable_until_there_is_one() {
    let (address, _) = server(vec![answer(GOOD)]).await;
    let stage = stage(None);
    assert_eq!(stage.programs.prepare(&SERVICE, &manifest()), Err(Unusable::Unavailable));
    stage.connections.connect(SERVICE, &format!("http://{address}/")).unwrap();
    stage.programs.prepare(&SERVICE, &manifest()).unwrap();
    assert_eq!(stage.programs.task(assignment(r#"{"cart":"c-17"}"#)).await.result, good());
    stage.connections.disconnect(&SERVICE).unwrap();
    let run = stage.programs.task(assignment(r#"{"cart":"c-17"}"#)).await;
    assert_eq!(run.result, Err(Unfinished::Inconclusive(Doubt::ServiceUnavailable)));
}

#[tokio::test]
async fn a_program_judges_another_nodes_answer() {
    let acts = vec![
        answer(r#"{"valid":true}"#),
        answer(r#"{"valid":false,"reason":"the cart is open"}"#),
        answer(r#"{"valid":"perhaps"}"#),
        Act::Answer(404, String::new()),
    ];
    let (address, script) = server(acts).await;
    let stage = stage(Some(&format!("http://{address}/")));
    stage.programs.prepare(&SERVICE, &manifest()).unwrap();
    let verify = |output: &str| {
        let output = output.as_bytes().to_vec();
        let assignment = assignment(r#"{"cart":"c-17"}"#);
        stage.programs.verify(assignment, "ok".parse().unwrap(), output)
    };
    let marked = r#"{"marked":"c-17"}"#;
    assert_eq!(verify(marked).await.opinion, Opinion::Valid);
    let refused = verify(marked).await;
    assert_eq!((refused.opinion, &*refused.reason), (Opinion::Invalid, "the cart is open"));
    assert_eq!(verify(marked).await.opinion, Opinion::Inconclusive);
    assert_eq!(verify(marked).await.opinion, Opinion::Inconclusive);
    let posts = script.posts.lock().unwrap().len();
    assert_eq!(verify(r#"{ "marked": "c-17" }"#).await.opinion, Opinion::Invalid);
    assert_eq!(verify(r#"{"marked":17}"#).await.opinion, Opinion::Invalid);
    assert_eq!(script.posts.lock().unwrap().len(), posts);
}
