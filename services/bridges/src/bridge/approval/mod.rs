//! `approval`: asks people. What they decide is an event once one of them has signed it.
//!
//! ```text
//!   ask ──► a question, open      POST /questions/KEY, signed ──► decided, once ──► event
//!   read ◄── the event's data: is it signed by somebody who was asked?
//! ```
//!
//! Settings: `{"public": "https://ask.example.org", "chain": 7}`: where people reach the bridge, else its
//! own address; the chain whose signatures count, else that of its node. Open questions are shown under
//! `/questions`. The question's key derives from the idempotency key and is signed with question and
//! answer ([`Decision`]), so that no signature is of use for another question, chain or answer. The twin
//! is the same: a person needs no technology.
//!
//! - Errors: [`Refusal`], each with a code.
//! - Invariant: a question is decided once; what was decided reaches the node, whatever crashes when.

mod question;
mod refusal;

use std::sync::Arc;
use std::time::Duration;

use althing_keys::Secp256k1;
use althing_types::{Address, ChainId, Decision, Eip712, Hash, Signatures as _, tagged};
use anyhow::{Context as _, Result};
use async_trait::async_trait;
use axum::body::Bytes;
use axum::extract::{Path, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse as _, Response};
use axum::routing::get;
use axum::{Json, Router};
use jiff::Timestamp;
use question::{Decided, OPEN_MAX, Question, Questions, State as Stage};
use refusal::Refusal;
use serde_json::{Value, json};
use tokio::sync::{Mutex, OnceCell};

use crate::{Answer, Bridge, Judgement, Memory, Outbox, Setup, Sighting, Task, Trouble};

/// Longest question, longest comment, in bytes.
const TEXT_BYTES_MAX: usize = 4 << 10;
/// Most accounts that one question is put to.
const ASKED_MAX: usize = 64;
/// How long a question is open unless the task says so, and at most, in days.
const DAYS: i64 = 30;
const DAYS_MAX: i64 = 3_650;
const NODE_TIMEOUT: Duration = Duration::from_secs(10);
/// Most questions that are listed at once.
const LISTED_MAX: u32 = 1_000;

pub(super) struct Approval {
    questions: Questions,
    /// One decision at a time.
    deciding: Mutex<()>,
    base: String,
    chain: OnceCell<u64>,
    nodes: Vec<String>,
}

impl Approval {
    pub(super) fn open(setup: &Setup, memory: &Memory) -> Self {
        let own = format!("http://{}", setup.listen);
        let public = setup.config.text("public").unwrap_or(&own);
        let chain = setup.config.0.get("chain").and_then(Value::as_u64);
        Self {
            questions: Questions::new(memory.clone()),
            deciding: Mutex::new(()),
            base: format!("{}/questions/", public.trim_end_matches('/')),
            chain: chain.map_or_else(OnceCell::new, |chain| OnceCell::new_with(Some(chain))),
            nodes: setup.nodes.iter().map(|node| node.node.clone()).collect(),
        }
    }

    /// The chain whose signatures count; asked of the node once.
    async fn chain(&self) -> Result<u64> {
        let ask = || async {
            let nodes = self.nodes.clone();
            tokio::task::spawn_blocking(move || chain_of(&nodes))
                .await
                .context("asking panicked")?
        };
        self.chain.get_or_try_init(ask).await.copied()
    }

    async fn ask(&self, task: &Task) -> Result<Answer, Trouble> {
        let refused = |why: String| Ok(Answer::new("refused", json!({ "reason": why })));
        let text = task.text("question");
        if text.is_empty() || text.len() > TEXT_BYTES_MAX {
            return refused(format!("a question has 1 to {TEXT_BYTES_MAX} bytes"));
        }
        let to = match asked(&task.input) {
            Ok(to) => to,
            Err(why) => return refused(why),
        };
        let days = task.input.get("days").and_then(Value::as_i64).unwrap_or(DAYS);
        if !(1..=DAYS_MAX).contains(&days) {
            return refused(format!("a question is open for 1 to {DAYS_MAX} days"));
        }
        let key = tagged("althing question", &[task.key.as_bytes()]);
        let now = Timestamp::now().as_second();
        let question = Question {
            question: text.to_owned(),
            to,
            until: now.saturating_add(days.saturating_mul(86_400)),
            decided: None,
        };
        let questions = self.questions.clone();
        let kept = tokio::task::spawn_blocking(move || questions.ask(&key, &question, now)).await;
        kept.map_err(|_| Trouble::Again("the thread panicked".to_owned()))?
            .map_err(|error| Trouble::Again(error.to_string()))?;
        Ok(Answer::new("asked", json!({ "key": key.to_string(), "at": self.at(&key) })))
    }

    fn at(&self, key: &Hash) -> String {
        format!("{}{key}", self.base)
    }

    /// What an event of this service says, if its signature holds.
    async fn read(&self, task: &Task) -> Result<Answer, Trouble> {
        let chain = self.chain().await.map_err(|error| Trouble::Again(error.to_string()))?;
        let forged = |why: &str| Ok(Answer::new("forged", json!({ "reason": why })));
        let to = match asked(&task.input) {
            Ok(to) => to,
            Err(why) => return forged(&why),
        };
        let said = task.input.get("decision").cloned().unwrap_or_default();
        let key = said.get("key").and_then(Value::as_str).and_then(|key| key.parse().ok());
        let (Some(key), Ok(decided)) = (key, serde_json::from_value::<Decided>(said)) else {
            return forged("it is no decision");
        };
        match signed(chain, &key, task.text("question"), &to, &decided) {
            Ok(()) => {
                let status = if decided.approved { "approved" } else { "rejected" };
                let output = json!({ "by": decided.by.to_string(), "comment": decided.comment });
                Ok(Answer::new(status, output))
            }
            Err(refusal) => forged(&refusal.to_string()),
        }
    }

    /// Takes a decision: once, durable, and on its way to the node when it returns.
    async fn decide(
        &self,
        outbox: &Outbox,
        key: Hash,
        decided: Decided,
    ) -> Result<Question, Refusal> {
        let chain = self.chain().await.map_err(Refusal::unavailable)?;
        let _turn = self.deciding.lock().await;
        let stage = self.questions.find(&key).map_err(Refusal::unavailable)?;
        let question = match stage.ok_or(Refusal::Unknown)? {
            Stage::Open(question) => question,
            Stage::Decided(question) => return Err(Refusal::Decided(question.outcome())),
        };
        if let Some(earlier) = &question.decided {
            // A crash came between this decision and its event.
            let outcome = earlier.words();
            self.tell(outbox, &key, &question).await.map_err(Refusal::unavailable)?;
            return Err(Refusal::Decided(outcome));
        }
        if question.until < Timestamp::now().as_second() {
            return Err(Refusal::Over);
        }
        signed(chain, &key, &question.question, &question.to, &decided)?;
        let question = Question { decided: Some(decided), ..question };
        self.questions.note(&key, &question).map_err(Refusal::unavailable)?;
        self.tell(outbox, &key, &question).await.map_err(Refusal::unavailable)?;
        Ok(question)
    }

    /// Makes an event of a decision that is noted; again if it is not known whether that was done.
    async fn tell(&self, outbox: &Outbox, key: &Hash, question: &Question) -> Result<()> {
        let decided = question.decided.as_ref().context("the question is not decided")?;
        let mut data = serde_json::to_value(decided)?;
        data["key"] = key.to_string().into();
        data["question"] = question.question.as_str().into();
        let sighting = Sighting { kind: "decided".to_owned(), id: key.to_string(), data };
        outbox.add(sighting).await?;
        self.questions.close(key, question)
    }

    async fn shown(&self, key: &Hash, stage: &Stage) -> Result<Value> {
        let (Stage::Open(question) | Stage::Decided(question)) = stage;
        let mut shown = serde_json::to_value(question)?;
        shown["key"] = key.to_string().into();
        shown["at"] = self.at(key).into();
        shown["chain"] = self.chain().await?.into();
        Ok(shown)
    }
}

/// The chain of the first node that says so.
fn chain_of(nodes: &[String]) -> Result<u64> {
    let agent: ureq::Agent =
        ureq::Agent::config_builder().timeout_global(Some(NODE_TIMEOUT)).build().into();
    let ask = |node: &String| -> Result<u64> {
        let address = format!("{}/v1/status", node.trim_end_matches('/'));
        let text = agent.get(address).call()?.body_mut().read_to_string()?;
        let status: Value = serde_json::from_str(&text)?;
        status.get("chain").and_then(Value::as_u64).context("the node names no chain")
    };
    let mut last = anyhow::anyhow!("there is no node to ask for its chain");
    for node in nodes {
        match ask(node) {
            Ok(chain) => return Ok(chain),
            Err(error) => last = error.context("asking the node for its chain"),
        }
    }
    Err(last)
}

/// The accounts that a task's input names.
fn asked(input: &Value) -> Result<Vec<Address>, String> {
    let to = input.get("to").and_then(Value::as_array).map(Vec::as_slice).unwrap_or_default();
    if to.is_empty() || to.len() > ASKED_MAX {
        return Err(format!("1 to {ASKED_MAX} accounts are asked"));
    }
    let account = |text: &Value| {
        let account = text.as_str().and_then(|text| text.parse().ok());
        account.ok_or_else(|| format!("{text} is no account"))
    };
    to.iter().map(account).collect()
}

/// Whether a decision is signed by who it names, and that account was asked.
fn signed(
    chain: u64,
    key: &Hash,
    question: &str,
    to: &[Address],
    decided: &Decided,
) -> Result<(), Refusal> {
    let Decided { by, approved, comment, signature } = decided;
    if comment.len() > TEXT_BYTES_MAX {
        return Err(Refusal::Malformed("the comment is too long"));
    }
    if !to.contains(by) {
        return Err(Refusal::NotAsked(*by));
    }
    let decision = Decision { account: *by, key: *key, question, approved: *approved, comment };
    let digest = Eip712::new(ChainId(chain)).decision(&decision);
    let signer = Secp256k1.recover(&digest, signature);
    if signer == Some(*by) { Ok(()) } else { Err(Refusal::Forged(*by)) }
}

#[async_trait]
impl Bridge for Approval {
    async fn task(&self, task: Task) -> Result<Answer, Trouble> {
        match task.name.as_str() {
            "ask" => self.ask(&task).await,
            "read" => self.read(&task).await,
            other => Err(Trouble::Never(format!("approval has no task '{other}'"))),
        }
    }

    /// Decisions can be read by everybody alike.
    async fn verify(&self, task: Task, answer: Answer) -> Result<Judgement, Trouble> {
        if task.name != "read" {
            return Err(Trouble::Never("nobody else can tell what was asked".to_owned()));
        }
        let valid = self.read(&task).await? == answer;
        let reason = if valid { String::new() } else { "the decision says otherwise".to_owned() };
        Ok(Judgement { valid, reason })
    }

    /// Tells of what was decided before a crash and not told.
    fn watch(self: Arc<Self>, outbox: Outbox) {
        tokio::spawn(async move {
            let _turn = self.deciding.lock().await;
            let open = match self.questions.open(OPEN_MAX) {
                Ok(open) => open,
                Err(error) => {
                    tracing::error!(%error, "the open questions cannot be read");
                    return;
                }
            };
            for (key, question) in open.iter().filter(|(_, question)| question.decided.is_some()) {
                if let Err(error) = self.tell(&outbox, key, question).await {
                    tracing::error!(%error, %key, "a decision waits for the next attempt");
                }
            }
        });
    }

    fn routes(self: Arc<Self>, outbox: Outbox) -> Router {
        Router::new()
            .route("/questions", get(list))
            .route("/questions/{key}", get(show).post(decide))
            .with_state((self, outbox))
    }
}

type Shared = State<(Arc<Approval>, Outbox)>;

async fn list(State((approval, _)): Shared) -> Result<Json<Value>, Refusal> {
    let open = approval.questions.open(LISTED_MAX).map_err(Refusal::unavailable)?;
    let mut shown = Vec::new();
    for (key, question) in open {
        let stage = Stage::Open(question);
        shown.push(approval.shown(&key, &stage).await.map_err(Refusal::unavailable)?);
    }
    Ok(Json(Value::Array(shown)))
}

async fn show(
    State((approval, _)): Shared,
    Path(key): Path<String>,
) -> Result<Json<Value>, Refusal> {
    let key = key.parse().map_err(|_| Refusal::Unknown)?;
    let stage = approval.questions.find(&key).map_err(Refusal::unavailable)?;
    let stage = stage.ok_or(Refusal::Unknown)?;
    Ok(Json(approval.shown(&key, &stage).await.map_err(Refusal::unavailable)?))
}

async fn decide(
    State((approval, outbox)): Shared,
    Path(key): Path<String>,
    body: Bytes,
) -> Result<Response, Refusal> {
    let key: Hash = key.parse().map_err(|_| Refusal::Unknown)?;
    let decided: Decided = serde_json::from_slice(&body)
        .map_err(|_| Refusal::Malformed("`by`, `approved`, `comment` and `signature`, as JSON"))?;
    let question = approval.decide(&outbox, key, decided).await?;
    let shown = approval.shown(&key, &Stage::Decided(question)).await;
    Ok((StatusCode::ACCEPTED, Json(shown.map_err(Refusal::unavailable)?)).into_response())
}

/// Parses and writes as the text of a value of the core.
mod as_text {
    use std::fmt::Display;
    use std::str::FromStr;

    use serde::de::Error as _;
    use serde::{Deserialize as _, Deserializer, Serializer};

    pub(super) fn serialize<T: Display, S: Serializer>(
        value: &T,
        serializer: S,
    ) -> Result<S::Ok, S::Error> {
        serializer.collect_str(value)
    }

    pub(super) fn deserialize<'de, T, D>(deserializer: D) -> Result<T, D::Error>
    where
        T: FromStr<Err: Display>,
        D: Deserializer<'de>,
    {
        String::deserialize(deserializer)?.parse().map_err(D::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Config;

    fn decided() -> Decided {
        let signature = format!("0x{}1b", "01".repeat(64)).parse().unwrap();
        Decided { approved: true, by: Address([7; 20]), comment: String::new(), signature }
    }

    /// The code with which a question is refused that was open until then.
    async fn code(config: Value, until: i64) -> &'static str {
        let folder = tempfile::tempdir().unwrap();
        let setup = Setup {
            listen: "127.0.0.1:0".parse().unwrap(),
            service: "althing/approval@1.0.0".to_owned(),
            nodes: Vec::new(),
            folder: folder.path().to_owned(),
            twin: true,
            config: Config(config),
        };
        let memory = Memory::open(folder.path()).unwrap();
        let approval = Approval::open(&setup, &memory);
        let to = vec![Address([7; 20])];
        let question = Question { question: "Pay?".to_owned(), to, until, decided: None };
        let key = Hash([1; 32]);
        approval.questions.note(&key, &question).unwrap();
        let outbox = Outbox::start(memory, &setup);
        approval.decide(&outbox, key, decided()).await.unwrap_err().code()
    }

    #[tokio::test]
    async fn what_is_over_or_cannot_be_told_is_not_decided() {
        assert_eq!(code(json!({ "chain": 7 }), 0).await, "ASK-0006");
        assert_eq!(code(json!({}), i64::MAX).await, "ASK-0007", "no node tells the chain");
        assert_eq!(code(json!({ "chain": 7 }), i64::MAX).await, "ASK-0004");
    }

    #[test]
    fn questions_whose_time_is_over_make_room_and_those_that_are_open_do_not() {
        let folder = tempfile::tempdir().unwrap();
        let questions = Questions::new(Memory::open(folder.path()).unwrap());
        let question = |until| Question {
            question: "Pay?".to_owned(),
            to: vec![Address([7; 20])],
            until,
            decided: None,
        };
        let key = |number: u8| Hash([number; 32]);
        for number in 0..3 {
            questions.ask_within(&key(number), &question(i64::from(number)), 0, 3).unwrap();
        }
        assert!(questions.ask_within(&key(3), &question(9), 0, 3).is_err());
        questions.ask_within(&key(3), &question(9), 1, 3).unwrap();
        assert!(questions.find(&key(0)).unwrap().is_none());
        assert_eq!(questions.open(9).unwrap().len(), 3);
    }
}
