//! Questions as the bridge remembers them: open ones by their key, decided ones for ever.

use althing_types::{Address, Hash, RecoverableSignature};
use anyhow::{Context as _, Result, ensure};
use serde::{Deserialize, Serialize};

use super::as_text;
use crate::Memory;

/// Most questions that are open at once; those whose time is over make room first.
pub(super) const OPEN_MAX: u32 = 10_000;
const OPEN: &str = "open question ";
const DECIDED: &str = "decided question ";

/// What was asked, of whom.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct Question {
    pub(super) question: String,
    #[serde(with = "accounts")]
    pub(super) to: Vec<Address>,
    /// Until when it can be decided, in seconds since 1970.
    pub(super) until: i64,
    pub(super) decided: Option<Decided>,
}

/// What somebody decided and signed.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct Decided {
    pub(super) approved: bool,
    #[serde(with = "as_text")]
    pub(super) by: Address,
    #[serde(default)]
    pub(super) comment: String,
    #[serde(with = "as_text")]
    pub(super) signature: RecoverableSignature,
}

impl Decided {
    pub(super) fn words(&self) -> String {
        let Self { approved, by, .. } = self;
        format!("{} by {by}", if *approved { "approved" } else { "rejected" })
    }
}

impl Question {
    /// What was decided, in words.
    pub(super) fn outcome(&self) -> String {
        self.decided.as_ref().map(Decided::words).unwrap_or_default()
    }
}

/// How far a question is.
pub(super) enum State {
    /// It can be decided, or was and the event is on its way.
    Open(Question),
    /// The event is on its way.
    Decided(Question),
}

/// All questions of a bridge.
#[derive(Clone, Debug)]
pub(super) struct Questions {
    memory: Memory,
}

impl Questions {
    pub(super) const fn new(memory: Memory) -> Self {
        Self { memory }
    }

    /// Opens a question; one that is known stays as it is.
    pub(super) fn ask(&self, key: &Hash, question: &Question, now: i64) -> Result<()> {
        self.ask_within(key, question, now, OPEN_MAX)
    }

    pub(super) fn ask_within(
        &self,
        key: &Hash,
        question: &Question,
        now: i64,
        most: u32,
    ) -> Result<()> {
        if self.find(key)?.is_some() {
            return Ok(());
        }
        if self.memory.count_notes(OPEN)? >= most {
            for (key, question) in self.open(most)? {
                if question.until < now && question.decided.is_none() {
                    self.memory.forget_note(&format!("{OPEN}{key}"))?;
                }
            }
            ensure!(self.memory.count_notes(OPEN)? < most, "{most} questions are open");
        }
        self.note(key, question)
    }

    pub(super) fn note(&self, key: &Hash, question: &Question) -> Result<()> {
        self.memory.set_note(&format!("{OPEN}{key}"), &serde_json::to_string(question)?)
    }

    /// It is decided and told.
    pub(super) fn close(&self, key: &Hash, question: &Question) -> Result<()> {
        self.memory.set_note(&format!("{DECIDED}{key}"), &serde_json::to_string(question)?)?;
        self.memory.forget_note(&format!("{OPEN}{key}"))
    }

    pub(super) fn find(&self, key: &Hash) -> Result<Option<State>> {
        let read = |stage: &str| -> Result<Option<Question>> {
            let note = self.memory.note(&format!("{stage}{key}"))?;
            note.map(|text| serde_json::from_str(&text).context("a question is damaged"))
                .transpose()
        };
        if let Some(decided) = read(DECIDED)? {
            return Ok(Some(State::Decided(decided)));
        }
        Ok(read(OPEN)?.map(State::Open))
    }

    /// The open ones, in the order of their keys.
    pub(super) fn open(&self, most: u32) -> Result<Vec<(Hash, Question)>> {
        let read = |(name, text): (String, String)| {
            let key = name.strip_prefix(OPEN).context("a note of another kind")?;
            let key = key.parse().ok().context("a question's key is damaged")?;
            Ok((key, serde_json::from_str(&text).context("a question is damaged")?))
        };
        self.memory.notes(OPEN, most)?.into_iter().map(read).collect()
    }
}

/// Accounts as their texts.
mod accounts {
    use althing_types::Address;
    use serde::de::Error as _;
    use serde::{Deserialize as _, Deserializer, Serializer};

    pub(super) fn serialize<S: Serializer>(
        accounts: &[Address],
        serializer: S,
    ) -> Result<S::Ok, S::Error> {
        serializer.collect_seq(accounts.iter().map(ToString::to_string))
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(
        deserializer: D,
    ) -> Result<Vec<Address>, D::Error> {
        let texts = Vec::<String>::deserialize(deserializer)?;
        texts.iter().map(|text| text.parse().map_err(D::Error::custom)).collect()
    }
}
