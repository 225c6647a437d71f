//! What a step hangs on: ends of earlier steps.

use althing_manifest::read::choose;
use althing_types::{After, End, Join, Name, StepStatus};

use super::Checker;
use crate::file::{Placed, StepText};
use crate::graph::Past;
use crate::mistake::MistakeKind;

/// Stands for what is not known, so that whatever hangs on it is checked all the same; a file with such
/// a step is not compiled.
pub(super) fn unknown_status() -> Name {
    "unknown".parse().expect("the word is a name")
}

impl Checker<'_> {
    pub(super) fn after(&mut self, text: &StepText, index: usize) -> Option<After> {
        let Some(after) = &text.after else {
            let above = index.checked_sub(1).map(|above| self.main_end(above));
            let ends = match above {
                Some(end) => vec![end?],
                None => Vec::new(),
            };
            ends.iter().for_each(|end| self.handle(end));
            return Some(After { mode: Join::All, ends });
        };
        // One end is the same in both ways.
        let is_all = !after.is_any && after.ends.len() > 1;
        let mut ends: Vec<End> = Vec::new();
        for end in &after.ends {
            let mut found = self.ends(end, index)?;
            found.iter().for_each(|end| self.handle(end));
            if is_all {
                found.truncate(1);
                if found.iter().any(|new| ends.iter().any(|old| old.step == new.step)) {
                    self.mistake(
                        MistakeKind::Unreachable,
                        end.at.clone(),
                        "again",
                        "one step cannot end in two ways at once",
                        "write `after: { any: [..] }` if either will do",
                    );
                    return None;
                }
            }
            ends.extend(found);
        }
        let mut distinct: Vec<End> = Vec::new();
        for end in ends {
            if !distinct.contains(&end) {
                distinct.push(end);
            }
        }
        let mode = if is_all || distinct.len() == 1 { Join::All } else { Join::Any };
        Some(After { mode, ends: distinct })
    }

    fn main_end(&self, index: usize) -> Option<End> {
        let first = self.known.get(index)?.statuses.first();
        let step = u16::try_from(index).ok()?;
        let status = first.map_or_else(unknown_status, |(status, _)| status.clone());
        Some(End { step, status: StepStatus::Returned(status) })
    }

    /// The ends that `step` or `step.status` means, of the first `count` steps: an `error` that a
    /// task declares and the failure of all attempts go by one name.
    pub(super) fn ends(&mut self, text: &Placed<String>, count: usize) -> Option<Vec<End>> {
        let file = self.file;
        let (id, status) = match text.value.split_once('.') {
            Some((id, status)) => (id, Some(status)),
            None => (text.value.as_str(), None),
        };
        let position = file.steps.iter().position(|step| step.id.value.as_str() == id);
        let Some(position) = position.filter(|position| *position < count) else {
            let known: Vec<&str> =
                file.steps.iter().take(count).map(|step| step.id.value.as_str()).collect();
            let (message, hint) = match position {
                Some(position) if position == count => {
                    (format!("`{id}` cannot come after itself"), choose("", &known))
                }
                Some(_) => (
                    format!(
                        "`{id}` stands below: a step comes after earlier ones, so that nothing goes in a circle"
                    ),
                    "move it up, or call a public application for each repetition".to_owned(),
                ),
                None => (format!("there is no step `{id}`"), choose(id, &known)),
            };
            self.mistake(MistakeKind::UnknownStep, text.at.clone(), "not above", message, hint);
            return None;
        };
        let Some(status) = status else { return self.main_end(position).map(|end| vec![end]) };
        let step = u16::try_from(position).ok()?;
        let known = self.known.get(position)?;
        let mut ends: Vec<End> = known
            .statuses
            .iter()
            .filter(|(name, _)| name.as_str() == status)
            .map(|(name, _)| End { step, status: StepStatus::Returned(name.clone()) })
            .collect();
        match status {
            "error" => ends.push(End { step, status: StepStatus::Error }),
            "timeout" if ends.is_empty() || known.may_time_out => {
                ends.push(End { step, status: StepStatus::Timeout });
            }
            _ => {}
        }
        // Nothing is known of the statuses of an unknown task: one mistake is enough.
        if ends.is_empty() && known.statuses.is_empty() {
            ends.push(End { step, status: StepStatus::Returned(unknown_status()) });
        }
        if ends.is_empty() {
            let declared = known.statuses.iter().map(|(name, _)| name.as_str());
            let mut all: Vec<&str> = declared.collect();
            for always in ["error", "timeout"] {
                if !all.contains(&always) {
                    all.push(always);
                }
            }
            let listed: Vec<String> = all.iter().map(|status| format!("`{status}`")).collect();
            let message =
                format!("`{id}` never ends with `{status}`; it ends with {}", listed.join(", "));
            let hint = choose(status, &all);
            self.mistake(MistakeKind::UnknownStatus, text.at.clone(), "never", message, hint);
        }
        (!ends.is_empty()).then_some(ends)
    }

    /// Tells of a step that nothing leads to.
    pub(super) fn reachable(&mut self, text: &StepText, after: Option<&After>, past: &Past) {
        let at = text
            .after
            .as_ref()
            .and_then(|after| after.ends.first())
            .map_or_else(|| text.id.at.clone(), |end| end.at.clone());
        let id = &text.id.value;
        if past.is_impossible {
            self.mistake(
                MistakeKind::Unreachable,
                at,
                "never all of them",
                format!("`{id}` is never reached: what it waits for excludes one another"),
                "join branches that can end together, or write `after: { any: [..] }`",
            );
            return;
        }
        let Some(after) = after else { return };
        let never = |end: &End| {
            let known = self.known.get(usize::from(end.step));
            end.status == StepStatus::Timeout && known.is_some_and(|known| !known.may_time_out)
        };
        let dead = match after.mode {
            Join::All => after.ends.iter().find(|end| never(end)),
            Join::Any => after.ends.first().filter(|_| after.ends.iter().all(never)),
        };
        let name = dead
            .and_then(|end| self.file.steps.get(usize::from(end.step)))
            .map(|step| &step.id.value);
        if let Some(name) = name {
            self.mistake(
                MistakeKind::Unreachable,
                at,
                "never",
                format!("`{id}` is never reached: `{name}` has no time that may run out"),
                format!("give `{name}` a `timeout`"),
            );
        }
    }
}
