//! One message to a program, posted until it is answered.

use std::time::Duration;

use reqwest::header::{CONTENT_LENGTH, CONTENT_TYPE};
use reqwest::{Client, Response, StatusCode};
use standardwebhooks::{
    HEADER_WEBHOOK_ID, HEADER_WEBHOOK_SIGNATURE, HEADER_WEBHOOK_TIMESTAMP, Webhook,
};
use tokio::time::Instant;

use crate::connections::Connection;

/// Pause before a message is posted again; doubles each time.
const PAUSE_MIN: Duration = Duration::from_millis(50);
/// The longest such pause.
const PAUSE_MAX: Duration = Duration::from_secs(2);
/// The media type of a CloudEvent in structured JSON.
const CLOUD_EVENT: &str = "application/cloudevents+json";

/// A message that is posted.
pub(crate) struct Message {
    /// The same for every repetition.
    pub(crate) id: String,
    /// A CloudEvent.
    pub(crate) body: String,
    /// Longest answer in bytes.
    pub(crate) answer_bytes_max: usize,
}

/// What became of a message.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Posted {
    /// A body with the status 200.
    Answered(Vec<u8>),
    /// An answer that is none, and why.
    Refused(String),
    /// No answer in time; how the last attempt failed.
    Silence(String),
}

enum Attempt {
    Ended(Posted),
    Again(String),
}

/// Posts until there is an answer or `until` has come. `now_s` gives the seconds since 1970.
pub(crate) async fn post(
    client: &Client,
    connection: &Connection,
    message: &Message,
    until: Instant,
    now_s: &(dyn Fn() -> i64 + Send + Sync),
) -> Posted {
    let webhook = match Webhook::new(&connection.secret) {
        Ok(webhook) => webhook,
        Err(error) => return Posted::Silence(format!("the secret cannot be used: {error}")),
    };
    let mut why = String::from("no time was left");
    let mut pause = PAUSE_MIN;
    while Instant::now() < until {
        let attempt = attempt(client, connection, &webhook, message, now_s());
        match tokio::time::timeout_at(until, attempt).await {
            Ok(Attempt::Ended(posted)) => return posted,
            Ok(Attempt::Again(reason)) => why = reason,
            Err(_) => return Posted::Silence("no answer in time".into()),
        }
        tokio::time::sleep_until(until.min(Instant::now() + pause)).await;
        pause = pause.saturating_mul(2).min(PAUSE_MAX);
    }
    Posted::Silence(why)
}

async fn attempt(
    client: &Client,
    connection: &Connection,
    webhook: &Webhook,
    message: &Message,
    now_s: i64,
) -> Attempt {
    let signature = match webhook.sign(&message.id, now_s, message.body.as_bytes()) {
        Ok(signature) => signature,
        Err(error) => return Attempt::Again(format!("signing failed: {error}")),
    };
    let request = client
        .post(&connection.url)
        .header(CONTENT_TYPE, CLOUD_EVENT)
        .header(HEADER_WEBHOOK_ID, &message.id)
        .header(HEADER_WEBHOOK_TIMESTAMP, now_s)
        .header(HEADER_WEBHOOK_SIGNATURE, signature)
        .body(message.body.clone());
    let response = match request.send().await {
        Ok(response) => response,
        Err(error) => return Attempt::Again(brief(&error)),
    };
    let status = response.status();
    if status == StatusCode::TOO_MANY_REQUESTS || status.is_server_error() {
        return Attempt::Again(format!("it answered {status}"));
    }
    if status != StatusCode::OK {
        return Attempt::Ended(Posted::Refused(format!("it answered {status}")));
    }
    body(response, message.answer_bytes_max).await
}

async fn body(mut response: Response, bytes_max: usize) -> Attempt {
    let too_long =
        || Attempt::Ended(Posted::Refused(format!("its answer is longer than {bytes_max} bytes")));
    let announced = response.headers().get(CONTENT_LENGTH).and_then(|length| length.to_str().ok());
    let announced: Option<u64> = announced.and_then(|length| length.parse().ok());
    if announced.is_some_and(|length| usize::try_from(length).map_or(true, |l| l > bytes_max)) {
        return too_long();
    }
    let mut bytes = Vec::new();
    loop {
        match response.chunk().await {
            Ok(Some(chunk)) if bytes.len() + chunk.len() > bytes_max => return too_long(),
            Ok(Some(chunk)) => bytes.extend_from_slice(&chunk),
            Ok(None) => return Attempt::Ended(Posted::Answered(bytes)),
            Err(error) => return Attempt::Again(brief(&error)),
        }
    }
}

/// An error with its causes, without the URL, which may carry what is nobody's business.
fn brief(error: &reqwest::Error) -> String {
    let mut text = match (error.is_connect(), error.is_timeout()) {
        (true, _) => "it cannot be reached".to_owned(),
        (_, true) => "it did not answer in time".to_owned(),
        _ => "the exchange broke off".to_owned(),
    };
    let mut cause = std::error::Error::source(error);
    while let Some(error) = cause {
        text.push_str(": ");
        text.extend(error.to_string().chars().take(100));
        cause = error.source();
    }
    text.truncate(text.floor_char_boundary(300));
    text
}
