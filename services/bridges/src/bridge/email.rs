//! `email`: sends mails through an SMTP server.
//!
//! Settings: `{"smtp": "smtp://user:password@host:587?tls=required", "from": "Shop <shop@example.org>",
//! "templates": {"order_paid": {"subject": "Order {cart}", "text": "Thank you …"}}}`; `{name}` stands for
//! a property of the input. The Message-ID derives from the idempotency key. A server cannot be asked
//! whether it took a mail: if a crash leaves that open the answer is `uncertain`, and no mail goes out
//! twice. The twin is a mail server of the bridge's own that keeps mails and shows them under `/mails`.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context as _, Result};
use async_trait::async_trait;
use axum::Router;
use axum::routing::get;
use lettre::message::Mailbox as Sender;
use lettre::{Message, SmtpTransport, Transport as _};
use serde_json::{Value, json};
use sha3::{Digest as _, Keccak256};

use crate::mailbox::Mailbox;
use crate::{Answer, Bridge, Outbox, Setup, Task, Trouble};

const SMTP_TIMEOUT: Duration = Duration::from_secs(20);

pub(super) struct Email {
    transport: SmtpTransport,
    from: Sender,
    templates: BTreeMap<String, Template>,
    twin: Option<Arc<Mailbox>>,
}

#[derive(serde::Deserialize)]
struct Template {
    subject: String,
    text: String,
}

impl Email {
    pub(super) async fn open(setup: &Setup) -> Result<Self> {
        let templates = setup.config.0.get("templates").cloned().unwrap_or_else(|| json!({}));
        let templates = serde_json::from_value(templates).context("the templates")?;
        let from = setup.config.text("from");
        if setup.twin {
            let (mailbox, address) = Mailbox::start(&setup.folder.join("mails")).await?;
            let transport = SmtpTransport::builder_dangerous(address.ip().to_string())
                .port(address.port())
                .timeout(Some(SMTP_TIMEOUT))
                .build();
            let from = from.unwrap_or("Althing <althing@localhost.localdomain>").parse()?;
            return Ok(Self { transport, from, templates, twin: Some(mailbox) });
        }
        let from = from.context("the settings name no `from`")?;
        let from = from.parse().with_context(|| format!("'{from}' is no address of a sender"))?;
        let server = setup.config.text("smtp").context("the settings name no `smtp`")?;
        let transport = SmtpTransport::from_url(server)
            .context("`smtp` is no address of a server")?
            .timeout(Some(SMTP_TIMEOUT))
            .build();
        Ok(Self { transport, from, templates, twin: None })
    }

    /// Subject and text.
    fn composed(&self, task: &Task) -> Option<(String, String)> {
        let name = task.text("template");
        if name.is_empty() {
            return Some((task.text("subject").to_owned(), task.text("text").to_owned()));
        }
        match (self.templates.get(name), &self.twin) {
            (Some(template), _) => {
                Some((filled(&template.subject, &task.input), filled(&template.text, &task.input)))
            }
            // The twin shows what a template would have been given.
            (None, Some(_)) => Some((name.to_owned(), task.input.to_string())),
            (None, None) => None,
        }
    }
}

/// A template with its places filled. What is filled in is read no further: it comes from strangers.
fn filled(template: &str, input: &Value) -> String {
    let mut text = String::new();
    let mut rest = template;
    while let Some((before, after)) = rest.split_once('{') {
        text.push_str(before);
        let place = after.split_once('}');
        match place.and_then(|(name, later)| Some((input.get(name)?, later))) {
            Some((value, later)) => {
                text.push_str(&value.as_str().map_or_else(|| value.to_string(), str::to_owned));
                rest = later;
            }
            None => {
                text.push('{');
                rest = after;
            }
        }
    }
    text + rest
}

#[async_trait]
impl Bridge for Email {
    async fn task(&self, task: Task) -> Result<Answer, Trouble> {
        if task.name != "send" {
            return Err(Trouble::Never(format!("email has no task '{}'", task.name)));
        }
        let id = format!("<{}@althing>", hex::encode(Keccak256::digest(&task.key)));
        if task.begun && self.twin.is_none() {
            return Ok(Answer::new("uncertain", json!({ "message_id": id })));
        }
        let rejected = |why: String| Ok(Answer::new("rejected", json!({ "reason": why })));
        let to: Sender = match task.text("to").parse() {
            Ok(to) => to,
            Err(error) => return rejected(format!("'{}' is no address: {error}", task.text("to"))),
        };
        let Some((subject, text)) = self.composed(&task) else {
            return rejected(format!("there is no template '{}'", task.text("template")));
        };
        let mail = Message::builder()
            .from(self.from.clone())
            .to(to)
            .subject(subject)
            .message_id(Some(id.clone()))
            .body(text);
        let mail = match mail {
            Ok(mail) => mail,
            Err(error) => return rejected(error.to_string()),
        };
        let transport = self.transport.clone();
        let sent = tokio::task::spawn_blocking(move || transport.send(&mail)).await;
        match sent.map_err(|_| Trouble::Again("the thread panicked".to_owned()))? {
            Ok(_) => Ok(Answer::new("sent", json!({ "message_id": id }))),
            Err(error) if error.is_permanent() => rejected(error.to_string()),
            // The server said that it did not take it, or was never reached.
            Err(error) if error.is_transient() || error.is_client() || unreached(&error) => {
                Err(Trouble::Again(error.to_string()))
            }
            Err(_) => Ok(Answer::new("uncertain", json!({ "message_id": id }))),
        }
    }

    fn routes(self: Arc<Self>, _outbox: Outbox) -> Router {
        Router::new().route(
            "/mails",
            get(async move || {
                axum::Json(self.twin.as_ref().map(|twin| twin.mails()).unwrap_or_default())
            }),
        )
    }
}

/// The connection was never made, so that no mail can have gone out. `lettre` says so in words only.
fn unreached(error: &lettre::transport::smtp::Error) -> bool {
    error.to_string().starts_with("Connection error")
}
