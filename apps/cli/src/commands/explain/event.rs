//! The story of an event.

use althing_api::wire::{EventState, Observation, Occurrence, Standing};

use crate::moment::moment;
use crate::names::Names;
use crate::words;

/// Who said what, what was agreed on, and what it cost those who were wrong.
pub(super) fn tell(event: &Occurrence, name: &str, names: &Names) -> String {
    let (seen, office) = (event.observations.len(), event.office.len());
    let agreed = count(event, Standing::Agrees);
    let contradicted = count(event, Standing::Contradicts);
    let outcome = match event.state {
        EventState::Open => {
            format!(
                "is open until {}: so far {seen} of {office} emitters saw it",
                moment(event.until)
            )
        }
        EventState::Valid if office == 1 && seen == 1 => {
            "is valid: its service trusts one emitter, and it saw it".to_owned()
        }
        EventState::Valid => {
            format!(
                "is valid: {seen} of {office} emitters in office saw it and {agreed} of them agree"
            )
        }
        EventState::Contradicted => {
            format!(
                "is contradicted: {seen} of {office} emitters saw it, and no majority of them agrees"
            )
        }
        EventState::Expired => {
            format!(
                "has expired: only {seen} of {office} emitters saw it in time; its id has not counted"
            )
        }
    };
    let mut text = format!("{name} {outcome}.\n");
    if event.state == EventState::Valid && !event.measured.is_empty() {
        text.push_str(&format!("The agreed values are {}: the medians.\n", list(&event.measured)));
    }
    for said in &event.observations {
        if said.standing == Standing::Contradicts {
            text.push_str(&against(event, said, names));
        }
    }
    for absent in &event.absent {
        text.push_str(&format!(
            "{} was in office and silent; it was fined {}.\n",
            names.full(&absent.node),
            absent.fine
        ));
    }
    if contradicted == 0 && event.absent.is_empty() && event.state == EventState::Valid {
        text.push_str("Nobody was fined.\n");
    }
    text
}

fn count(event: &Occurrence, standing: Standing) -> usize {
    event.observations.iter().filter(|said| said.standing == standing).count()
}

fn list(values: &[i64]) -> String {
    values.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ")
}

fn against(event: &Occurrence, said: &Observation, names: &Names) -> String {
    let who = names.full(&said.node);
    let other_data = said.data.as_ref().is_some_and(|data| *data != event.base);
    let what = if other_data || said.keys != event.keys {
        "stated something else".to_owned()
    } else {
        let far =
            event.measured.iter().zip(&said.measured).map(|(agreed, value)| {
                format!("{value}, {} from {agreed}", agreed.abs_diff(*value))
            });
        format!("measured {}", far.collect::<Vec<_>>().join("; "))
    };
    let fined = said.offence.map_or_else(
        || "was not fined".to_owned(),
        |offence| format!("was fined {} for {}", said.fine, words::offence(offence)),
    );
    format!("{who} {what}, beyond the tolerance, and {fined}.\n")
        .replace("something else, beyond the tolerance,", "something else")
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn event(state: &str, observations: Value, absent: Value) -> Occurrence {
        let hash = format!("0x{}", "00".repeat(32));
        let blob = json!({ "hash": hash, "bytes": 2 });
        let node = |number: u8| format!("0x{}", format!("{number:02x}").repeat(20));
        serde_json::from_value(json!({
            "key": hash, "service": hash, "event": "metered", "id": hash, "state": state,
            "opened_at": 0, "until": 10_000, "decided_at": 5,
            "office": [node(1), node(2), node(3)], "observations": observations,
            "absent": absent, "keys": [], "base": blob, "measured": [1_201], "homes": [],
            "purse": "0",
        }))
        .unwrap()
    }

    fn said(number: u8, value: i64, standing: &str, fine: &str) -> Value {
        let hash = format!("0x{}", "00".repeat(32));
        let offence =
            if standing == "contradicts" { json!("wrong_observation") } else { Value::Null };
        json!({
            "node": format!("0x{}", format!("{number:02x}").repeat(20)), "at": 1, "keys": [],
            "data": { "hash": hash, "bytes": 2 }, "measured": [value], "standing": standing,
            "offence": offence, "fine": fine, "earned": "0",
        })
    }

    #[test]
    fn a_drifting_emitter_is_named_with_its_distance_and_its_fine() {
        let observations = json!([
            said(1, 1_200, "agrees", "0"),
            said(2, 1_201, "agrees", "0"),
            said(3, 1_296, "contradicts", "4"),
        ]);
        let names = Names::given(&[(althing_types::Address([3; 20]), "node 3")]);
        let text =
            tell(&event("valid", observations, json!([])), "metered of acme/meter@1.0.0", &names);
        assert_eq!(
            text,
            "metered of acme/meter@1.0.0 is valid: 3 of 3 emitters in office saw it and 2 of them agree.\n\
             The agreed values are 1201: the medians.\n\
             node 3 (0x0303030303030303030303030303030303030303) measured 1296, 95 from 1201, beyond the tolerance, and was fined 4 for a wrong observation.\n"
        );
    }

    #[test]
    fn each_end_of_an_event_is_told() {
        let one = json!([said(1, 1_201, "open", "0")]);
        for (state, words) in [
            ("open", "is open until 1970-01-01T00:00:10Z"),
            ("expired", "its id has not counted"),
            ("contradicted", "no majority of them agrees"),
        ] {
            let text = tell(&event(state, one.clone(), json!([])), "metered", &Names::default());
            assert!(text.contains(words), "{state}: {text}");
        }
        let silent = json!([{ "node": format!("0x{}", "02".repeat(20)), "fine": "0.5" }]);
        let text = tell(&event("valid", one, silent), "metered", &Names::default());
        assert!(text.contains("was in office and silent; it was fined 0.5."), "{text}");
    }
}
