//! Events in the canonical JSON of a manifest.

use althing_types::{Emitters, MeasuredTerms};
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::canonical::{NotAManifest, amount, name};
use crate::event::{AGREED_MAX, Agree, AgreeBy, DECIMALS_MAX, Event, KEYS_MAX};

/// How many emitters an event may ask for at least; the ledger seats no more.
pub(crate) const EMITTERS: std::ops::RangeInclusive<u16> = 2..=128;
/// Longest time that emitters may take: a day.
const WINDOW_MS_MAX: u32 = 86_400_000;

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct FormEvent {
    name: String,
    summary: String,
    data: Value,
    #[serde(skip_serializing_if = "Option::is_none")]
    id: Option<String>,
    keys: Vec<String>,
    window_ms: u32,
    emitters: FormEmitters,
    agree: Vec<FormAgree>,
    price: String,
}

#[derive(Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
enum FormEmitters {
    One,
    Majority,
    #[serde(untagged)]
    AtLeast(u16),
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct FormAgree {
    property: String,
    by: FormAgreeBy,
    #[serde(skip_serializing_if = "Option::is_none")]
    decimals: Option<u8>,
    /// In units of the last decimal; a string, since it may exceed 2^53.
    #[serde(skip_serializing_if = "Option::is_none")]
    tolerance: Option<String>,
}

#[derive(Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
enum FormAgreeBy {
    Ignore,
    Median,
    Within,
}

impl FormEvent {
    pub(crate) fn of(event: &Event) -> Self {
        let Event { name, summary, data, id, keys, window_ms, emitters, agree, price } = event;
        Self {
            name: name.to_string(),
            summary: summary.clone(),
            data: data.clone(),
            id: id.clone(),
            keys: keys.clone(),
            window_ms: *window_ms,
            emitters: match emitters {
                Emitters::One => FormEmitters::One,
                Emitters::Majority => FormEmitters::Majority,
                Emitters::AtLeast(least) => FormEmitters::AtLeast(*least),
            },
            agree: agree.iter().map(FormAgree::of).collect(),
            price: price.to_string(),
        }
    }

    pub(crate) fn into_event(self) -> Result<Event, NotAManifest> {
        let Self { name, summary, data, id, keys, window_ms, emitters, agree, price } = self;
        if keys.len() > KEYS_MAX || agree.len() > AGREED_MAX {
            return Err(NotAManifest::because("an event has too many keys or agreements"));
        }
        if !(1..=WINDOW_MS_MAX).contains(&window_ms) {
            return Err(NotAManifest::because("an event's window is zero or longer than a day"));
        }
        let event = Event {
            name: self::name(&name)?,
            summary,
            data,
            id,
            keys,
            window_ms,
            emitters: match emitters {
                FormEmitters::One => Emitters::One,
                FormEmitters::Majority => Emitters::Majority,
                FormEmitters::AtLeast(least) if EMITTERS.contains(&least) => {
                    Emitters::AtLeast(least)
                }
                FormEmitters::AtLeast(_) => {
                    return Err(NotAManifest::because(
                        "an event asks for 0, 1 or too many emitters",
                    ));
                }
            },
            agree: agree.into_iter().map(FormAgree::into_agree).collect::<Result<_, _>>()?,
            price: amount(&price)?,
        };
        let mut properties: Vec<&String> = event.agree.iter().map(|a| &a.property).collect();
        properties.sort_unstable();
        properties.dedup();
        if properties.len() != event.agree.len() {
            return Err(NotAManifest::because("a property is agreed on twice"));
        }
        match event.contradiction() {
            Some((_, message)) => Err(NotAManifest::because(message)),
            None => Ok(event),
        }
    }
}

impl FormAgree {
    fn of(agree: &Agree) -> Self {
        let property = agree.property.clone();
        match agree.by {
            AgreeBy::Ignore => {
                Self { property, by: FormAgreeBy::Ignore, decimals: None, tolerance: None }
            }
            AgreeBy::Value(MeasuredTerms { decimals, tolerance }) => Self {
                property,
                by: if tolerance.is_some() { FormAgreeBy::Within } else { FormAgreeBy::Median },
                decimals: Some(decimals),
                tolerance: tolerance.map(|tolerance| tolerance.to_string()),
            },
        }
    }

    fn into_agree(self) -> Result<Agree, NotAManifest> {
        let Self { property, by, decimals, tolerance } = self;
        let by = match (by, decimals, tolerance) {
            (FormAgreeBy::Ignore, None, None) => AgreeBy::Ignore,
            (FormAgreeBy::Median, Some(decimals), None) if decimals <= DECIMALS_MAX => {
                AgreeBy::Value(MeasuredTerms { decimals, tolerance: None })
            }
            (FormAgreeBy::Within, Some(decimals), Some(units)) if decimals <= DECIMALS_MAX => {
                let tolerance = Some(units.parse().map_err(NotAManifest::because)?);
                AgreeBy::Value(MeasuredTerms { decimals, tolerance })
            }
            _ => return Err(NotAManifest::because("an agreement contradicts itself")),
        };
        Ok(Agree { property, by })
    }
}
