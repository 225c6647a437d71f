//! What a node is to a bridge: it posts signed tasks, and takes events with a token.

use std::net::SocketAddr;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use axum::Router;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode};
use axum::routing::post;
use serde_json::{Value, json};
use standardwebhooks::Webhook;

pub(crate) const SECRET: &str = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";
pub(crate) const TOKEN: &str = "token-of-a-test";
const PATIENCE: Duration = Duration::from_secs(60);

/// The node's side for events: keeps what is posted.
#[derive(Clone)]
pub(crate) struct Inbox {
    pub(crate) address: SocketAddr,
    state: Arc<Mutex<InboxState>>,
}

#[derive(Default)]
struct InboxState {
    events: Vec<Value>,
    /// How many posts are refused first.
    away: usize,
}

impl Inbox {
    /// A node that answers 503 to the first `away` posts.
    pub(crate) fn open(away: usize) -> Self {
        let state = Arc::new(Mutex::new(InboxState { events: Vec::new(), away }));
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        listener.set_nonblocking(true).unwrap();
        let address = listener.local_addr().unwrap();
        let app = Router::new()
            .route("/v1/services/{service}/events", post(take))
            .with_state(Arc::clone(&state));
        std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
            runtime.unwrap().block_on(async move {
                let listener = tokio::net::TcpListener::from_std(listener).unwrap();
                axum::serve(listener, app).await.unwrap();
            });
        });
        Self { address, state }
    }

    /// Waits until `count` events have come.
    pub(crate) fn wait(&self, count: usize) -> Vec<Value> {
        wait_for(|| {
            let events = self.state.lock().unwrap().events.clone();
            (events.len() >= count).then_some(events)
        })
    }
}

async fn take(
    State(state): State<Arc<Mutex<InboxState>>>,
    headers: HeaderMap,
    event: axum::Json<Value>,
) -> StatusCode {
    let mut state = state.lock().unwrap();
    if headers["authorization"] != format!("Bearer {TOKEN}") {
        return StatusCode::UNAUTHORIZED;
    }
    if state.away > 0 {
        state.away -= 1;
        return StatusCode::SERVICE_UNAVAILABLE;
    }
    state.events.push(event.0);
    StatusCode::ACCEPTED
}

/// A condition that comes true in time.
pub(crate) fn wait_for<T>(mut condition: impl FnMut() -> Option<T>) -> T {
    let deadline = Instant::now() + PATIENCE;
    loop {
        if let Some(found) = condition() {
            return found;
        }
        assert!(Instant::now() < deadline, "it did not happen in time");
        std::thread::park_timeout(Duration::from_millis(20));
    }
}

/// A bridge as a process of its own.
pub(crate) struct Bridge {
    child: Child,
    pub(crate) url: String,
}

impl Bridge {
    pub(crate) fn start(
        name: &str,
        folder: &Path,
        config: &Value,
        inbox: &Inbox,
        twin: bool,
    ) -> Self {
        let settings = folder.join("config.json");
        std::fs::write(&settings, config.to_string()).unwrap();
        let log = std::fs::File::create(folder.join("said.txt")).unwrap();
        let mut command = Command::new(env!("CARGO_BIN_EXE_althing-bridge"));
        command
            .arg(name)
            .args(["--node", &format!("http://{}", inbox.address), "--service", "acme/test@1"])
            .args(["--secret", SECRET, "--token", TOKEN, "--folder"])
            .arg(folder.join("state"))
            .arg("--config")
            .arg(&settings)
            .stdout(log)
            .stderr(Stdio::inherit());
        if twin {
            command.arg("--twin");
        }
        let mut child = command.spawn().unwrap();
        let url = wait_for(|| {
            assert!(child.try_wait().unwrap().is_none(), "the bridge ended");
            let said = std::fs::read_to_string(folder.join("said.txt")).unwrap();
            let line = said.lines().find_map(|line| line.strip_prefix("listening on "));
            line.map(|url| url.trim_end_matches('/').to_owned())
        });
        Self { child, url }
    }

    /// What a bridge says that does not start.
    pub(crate) fn refused(name: &str, folder: &Path, config: &Value, inbox: &Inbox) -> String {
        let settings = folder.join("config.json");
        std::fs::write(&settings, config.to_string()).unwrap();
        let said = folder.join("said.txt");
        let log = std::fs::File::create(&said).unwrap();
        let child = Command::new(env!("CARGO_BIN_EXE_althing-bridge"))
            .arg(name)
            .args(["--node", &format!("http://{}", inbox.address), "--service", "acme/test@1"])
            .args(["--secret", SECRET, "--token", TOKEN, "--folder"])
            .arg(folder.join("state"))
            .arg("--config")
            .arg(&settings)
            .stdout(log.try_clone().unwrap())
            .stderr(log)
            .spawn()
            .unwrap();
        let mut started = Self { child, url: String::new() };
        wait_for(|| {
            let ended = started.child.try_wait().unwrap().is_some();
            let text = std::fs::read_to_string(&said).unwrap();
            assert!(!text.contains("listening on "), "it started: {text}");
            ended.then_some(text)
        })
    }

    /// Posts a task as a node does: the answer's code and body.
    pub(crate) fn post(&self, kind: &str, task: &str, data: &Value) -> (u16, Value) {
        let event = json!({
            "specversion": "1.0", "id": data["key"], "source": "althing://1/0x00", "type": kind,
            "subject": task, "data": data,
        });
        let now = jiff::Timestamp::now().as_second();
        self.post_raw(&event.to_string(), now, SECRET)
    }

    pub(crate) fn post_raw(&self, body: &str, stamp: i64, secret: &str) -> (u16, Value) {
        let signature =
            Webhook::new(secret).unwrap().sign("message", stamp, body.as_bytes()).unwrap();
        let agent: ureq::Agent =
            ureq::Agent::config_builder().http_status_as_error(false).build().into();
        let mut reply = agent
            .post(&self.url)
            .header("webhook-id", "message")
            .header("webhook-timestamp", stamp.to_string())
            .header("webhook-signature", signature)
            .send(body)
            .unwrap();
        (reply.status().as_u16(), reply.body_mut().read_json().unwrap_or(Value::Null))
    }

    pub(crate) fn task(&self, task: &str, key: &str, input: Value) -> (u16, Value) {
        self.post("althing.task", task, &json!({ "key": key, "input": input }))
    }

    pub(crate) fn get(&self, path: &str) -> Value {
        let mut reply = ureq::get(format!("{}{path}", self.url)).call().unwrap();
        reply.body_mut().read_json().unwrap()
    }

    pub(crate) fn post_json(&self, path: &str, body: &Value) -> u16 {
        self.post_with(path, &[], &body.to_string())
    }

    pub(crate) fn post_with(&self, path: &str, headers: &[(&str, &str)], body: &str) -> u16 {
        let agent: ureq::Agent =
            ureq::Agent::config_builder().http_status_as_error(false).build().into();
        let post = agent.post(format!("{}{path}", self.url));
        let post = post.header("content-type", "application/json");
        let post = headers.iter().fold(post, |post, (name, value)| post.header(*name, *value));
        post.send(body).unwrap().status().as_u16()
    }

    /// `kill -9`.
    pub(crate) fn kill(mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }
}

impl Drop for Bridge {
    fn drop(&mut self) {
        drop(self.child.kill());
        drop(self.child.wait());
    }
}
