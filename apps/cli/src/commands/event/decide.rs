//! Decides a question that a run asks: `approve` and `reject`.
//!
//! What is signed is what is shown: the question with the answer, under the key that names it, on the
//! chain of the node that this account uses.

use std::io::{IsTerminal as _, Write as _};
use std::time::Duration;

use althing_types::{Address, Decision, Eip712, Hash};
use anyhow::{Context as _, Result};
use clap::Args;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use crate::failure::Failure;
use crate::home::Home;
use crate::output::Output;
use crate::words::plain;

const TIMEOUT: Duration = Duration::from_secs(30);
/// Largest answer of a bridge in bytes.
const ANSWER_BYTES_MAX: u64 = 256 << 10;

/// Which question is decided, and why.
#[derive(Debug, Args)]
pub(crate) struct Decide {
    /// Where the question is: what the task `ask` has returned.
    url: String,
    /// Why; everybody who reads the decision sees it.
    #[arg(long, default_value = "", value_name = "TEXT")]
    comment: String,
    /// Decide without being shown the question first.
    #[arg(long)]
    yes: bool,
}

/// A question as its bridge shows it.
#[derive(Debug, Deserialize, Serialize)]
struct Question {
    key: String,
    question: String,
    to: Vec<String>,
    chain: u64,
    decided: Option<Value>,
}

impl Decide {
    pub(super) fn run(self, approved: bool, home: &Home, output: Output) -> Result<()> {
        let agent: ureq::Agent = ureq::Agent::config_builder()
            .timeout_global(Some(TIMEOUT))
            .http_status_as_error(false)
            .build()
            .into();
        let asking = || format!("asking {}", self.url);
        let question: Question = answer(agent.get(&self.url).call().with_context(asking)?)?;
        let key = home.signer()?;
        let (account, chain) = (key.address(), home.client()?.genesis()?.chain);
        let named = fitting(&question, &account, chain)?;
        self.confirm(&question, approved)?;
        let decision = Decision {
            account,
            key: named,
            question: &question.question,
            approved,
            comment: &self.comment,
        };
        let digest = Eip712::new(althing_types::ChainId(chain)).decision(&decision);
        let body = json!({
            "by": account.to_string(),
            "approved": approved,
            "comment": self.comment,
            "signature": key.sign_recoverable(&digest).to_string(),
        });
        let sent = agent
            .post(&self.url)
            .header("content-type", "application/json")
            .send(body.to_string())
            .with_context(asking)?;
        let told: Question = answer(sent)?;
        output.print(&told, |told| {
            let done = if approved { "approved" } else { "rejected" };
            format!("{done} by {account}: {}", plain(&told.question))
        })
    }

    /// Nobody signs what they have not seen.
    fn confirm(&self, question: &Question, approved: bool) -> Result<()> {
        if self.yes {
            return Ok(());
        }
        let verb = if approved { "Approve" } else { "Reject" };
        let unseen = || {
            let hint = "answer y in a terminal, or add --yes";
            Failure::new("CLI-0040", "the decision was not confirmed", hint)
        };
        if !std::io::stdin().is_terminal() {
            return Err(unseen().into());
        }
        let mut err = std::io::stderr();
        write!(err, "{}\n{verb}? [y/N] ", plain(&question.question))?;
        err.flush()?;
        let mut line = String::new();
        std::io::stdin().read_line(&mut line).context("reading the answer")?;
        if line.trim().eq_ignore_ascii_case("y") { Ok(()) } else { Err(unseen().into()) }
    }
}

/// The question's key, if this account may decide it on this chain.
fn fitting(question: &Question, account: &Address, chain: u64) -> Result<Hash> {
    if question.chain != chain {
        let message = format!("the question is of chain {}", question.chain);
        let hint = format!("this account's node is of chain {chain}; choose another with --node");
        return Err(Failure::new("CLI-0041", message, hint).into());
    }
    let malformed = || {
        let hint = "give the address that the task `ask` has returned";
        Failure::new("CLI-0041", "there is no question at that address", hint)
    };
    let asked = |text: &String| text.parse().is_ok_and(|to: Address| to == *account);
    if !question.to.iter().any(asked) {
        let message = format!("{account} was not asked");
        let hint = format!("choose one of these with --account: {}", question.to.join(", "));
        return Err(Failure::new("ASK-0003", message, hint).into());
    }
    Ok(question.key.parse().map_err(|_| malformed())?)
}

/// What a bridge says, or why it refuses.
fn answer(reply: ureq::http::Response<ureq::Body>) -> Result<Question> {
    let status = reply.status();
    let body = reply.into_body().into_with_config().limit(ANSWER_BYTES_MAX).read_to_string();
    let body: Value = serde_json::from_str(&body.unwrap_or_default()).unwrap_or_default();
    if status.is_success()
        && let Ok(question) = serde_json::from_value(body.clone())
    {
        return Ok(question);
    }
    let text = |name: &str| body.get(name).and_then(Value::as_str).map(plain);
    let code = text("code").filter(|code| code.starts_with("ASK-"));
    let message = text("error").unwrap_or_else(|| format!("what is there answered {status}"));
    let hint = "the page of the code tells more; GET on the address shows the question";
    Err(Failure::new(code.unwrap_or_else(|| "CLI-0041".to_owned()), message, hint).into())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn question() -> Question {
        Question {
            key: Hash([1; 32]).to_string(),
            question: "Pay?".to_owned(),
            to: vec![Address([7; 20]).to_string()],
            chain: 7,
            decided: None,
        }
    }

    fn code(error: &anyhow::Error) -> String {
        let value: Value = serde_json::from_str(&crate::failure::render_json(error)).unwrap();
        value["error"]["code"].as_str().unwrap().to_owned()
    }

    #[test]
    fn only_who_was_asked_on_this_chain_signs() {
        let asked = Address([7; 20]);
        assert_eq!(fitting(&question(), &asked, 7).unwrap(), Hash([1; 32]));
        assert_eq!(code(&fitting(&question(), &asked, 8).unwrap_err()), "CLI-0041");
        assert_eq!(code(&fitting(&question(), &Address([8; 20]), 7).unwrap_err()), "ASK-0003");
        let unnamed = Question { key: "first".to_owned(), ..question() };
        assert_eq!(code(&fitting(&unnamed, &asked, 7).unwrap_err()), "CLI-0041");
    }
}
