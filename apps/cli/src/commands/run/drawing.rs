//! A run as a picture of text: what its branches have in common is drawn once.
//!
//! ```text
//!   ✓ address         ok
//!   ├─ ◷ processing   waits for received of althing/ethereum@2.0.0, until 2026-11-27T17:14:43Z
//!   │  └─ · email     not begun
//!   └─ ✓ told         ok                         → done: ok
//! ```

use althing_api::wire::{BranchStatus, EventName, Run, RunStatus, StepPhase, StepState};

use crate::moment::moment;

/// What an event is called.
pub(crate) type EventNames<'a> = dyn Fn(&EventName) -> String + 'a;

/// Whether a step is over.
pub(super) const fn has_ended(phase: &StepPhase) -> bool {
    matches!(phase, StepPhase::Ended { .. } | StepPhase::NotTaken)
}

/// Head, tree and money of a run.
pub(crate) fn drawing(run: &Run, names: &EventNames<'_>) -> String {
    let mut text = format!(
        "run {}\n  of         {}\n  status     {}\n  started    {}",
        run.id,
        run.alias,
        run.status,
        moment(run.started_at)
    );
    if let Some(event) = &run.event {
        text.push_str(&format!(" by event {event}"));
    }
    if let Some(parent) = &run.parent {
        text.push_str(&format!(" by step {} of run {}", parent.step, parent.run));
    }
    if let Some(ended) = run.ended_at {
        text.push_str(&format!("\n  ended      {}", moment(ended)));
    }
    if let Some(returned) = &run.returned {
        text.push_str(&format!("\n  returned   {returned}"));
    }
    text.push_str(&format!("\n  spent      {}\n\n", run.spent));
    text.push_str(&tree(run, names));
    if run.truncated {
        text.push_str("… and more branches\n");
    }
    text
}

/// A line of the tree before its columns are aligned.
struct Line {
    left: String,
    right: String,
    branch: Option<String>,
}

/// The branches as one tree.
pub(crate) fn tree(run: &Run, names: &EventNames<'_>) -> String {
    let paths: Vec<Path<'_>> = run
        .branches
        .iter()
        .map(|branch| Path {
            steps: branch.steps.iter().map(|step| step.as_str()).collect(),
            status: &branch.status,
        })
        .collect();
    let mut lines = Vec::new();
    let paths: Vec<&Path<'_>> = paths.iter().collect();
    grow(run, names, &paths, 0, "", &mut lines);
    let width = |of: fn(&Line) -> &String| {
        lines.iter().map(|line| of(line).chars().count()).max().unwrap_or(0)
    };
    let (left, right) = (width(|line| &line.left), width(|line| &line.right));
    let mut text = String::new();
    for line in &lines {
        let whole = match &line.branch {
            Some(branch) => {
                format!("{:<left$}  {:<right$}  → {branch}", line.left, line.right)
            }
            None => format!("{:<left$}  {}", line.left, line.right),
        };
        text.push_str(whole.trim_end());
        text.push('\n');
    }
    text
}

struct Path<'a> {
    steps: Vec<&'a str>,
    status: &'a BranchStatus,
}

/// Draws what comes at `depth` of these branches, which have all in common until there.
fn grow(
    run: &Run,
    names: &EventNames<'_>,
    paths: &[&Path<'_>],
    depth: usize,
    indent: &str,
    lines: &mut Vec<Line>,
) {
    let mut groups: Vec<(&str, Vec<&Path<'_>>)> = Vec::new();
    for path in paths {
        let Some(step) = path.steps.get(depth) else { continue };
        match groups.iter_mut().find(|(known, _)| known == step) {
            Some((_, members)) => members.push(path),
            None => groups.push((step, vec![path])),
        }
    }
    let last = groups.len().saturating_sub(1);
    for (place, (name, members)) in groups.iter().enumerate() {
        let state = run.steps.iter().find(|step| step.id.as_str() == *name);
        let (mark, words) = state.map_or(("?", String::new()), |step| told(run, step, names));
        let (joint, below) = match (depth, place == last) {
            (0, _) => ("", ""),
            (_, true) => ("└─ ", "   "),
            (_, false) => ("├─ ", "│  "),
        };
        let ends_here = members.iter().find(|path| path.steps.len() == depth + 1);
        lines.push(Line {
            left: format!("{indent}{joint}{mark} {name}"),
            right: words,
            branch: ends_here.map(|path| branch(path.status, names)),
        });
        grow(run, names, members, depth + 1, &format!("{indent}{below}"), lines);
    }
}

fn told(run: &Run, step: &StepState, names: &EventNames<'_>) -> (&'static str, String) {
    let attempts =
        if step.attempts > 1 { format!(", attempt {}", step.attempts) } else { String::new() };
    // A run can end before its steps: nothing is waited for or worked on any more.
    if run.ended_at.is_some() && !has_ended(&step.phase) && !matches!(step.phase, StepPhase::Idle) {
        return match run.status {
            RunStatus::Skipped => ("╌", "not taken: the condition of `when` is false".to_owned()),
            _ => ("■", format!("stopped{attempts}")),
        };
    }
    match &step.phase {
        StepPhase::Idle => ("·", "not begun".to_owned()),
        StepPhase::Waiting { event, until } => {
            let until = until.map(|until| format!(", until {}", moment(until))).unwrap_or_default();
            ("◷", format!("waits for {}{until}", names(event)))
        }
        StepPhase::Working { .. } => ("▶", format!("at work{attempts}")),
        StepPhase::Resting { until } => {
            ("↻", format!("failed, tried again at {}{attempts}", moment(*until)))
        }
        StepPhase::Child { run, short: false } => ("▶", format!("run {run}")),
        StepPhase::Child { run, short: true } => ("$", format!("run {run} cannot be paid")),
        StepPhase::Short { until } => {
            ("$", format!("cannot be paid; the run ends at {}", moment(*until)))
        }
        StepPhase::Ended { status, .. } => {
            let mark = if matches!(status, althing_api::wire::StepStatus::Returned(_)) {
                "✓"
            } else {
                "✗"
            };
            (mark, format!("{status}{attempts}"))
        }
        StepPhase::NotTaken => ("╌", "not taken".to_owned()),
    }
}

/// A branch's status in a few words.
pub(crate) fn branch(status: &BranchStatus, names: &EventNames<'_>) -> String {
    match status {
        BranchStatus::Running => "running".to_owned(),
        BranchStatus::Waiting { step, event } => {
            format!("waiting at {step} for {}", names(event))
        }
        BranchStatus::OutOfFunds { step } => format!("out of funds at {step}"),
        BranchStatus::Done { with } => format!("done: {with}"),
        BranchStatus::Dead { step, with } => format!("dead at {step}: {with}"),
        BranchStatus::NotTaken => "not taken".to_owned(),
        BranchStatus::Stopped => "stopped".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    /// Two branches with a common beginning: one waits, one is done.
    fn run() -> Run {
        let (zero, one) = (format!("0x{}", "00".repeat(32)), format!("0x{}", "01".repeat(32)));
        let ok = json!({ "returned": "ok" });
        let event = json!({ "service": zero, "event": "received" });
        serde_json::from_value(json!({
            "id": one, "application": zero, "alias": "acme/cart@1.0.0",
            "owner": format!("0x{}", "07".repeat(20)), "event": zero, "parent": null,
            "started_at": 1_700_000_000_000_u64, "ended_at": null, "spent": "0.5", "payer": zero,
            "status": "waiting", "returned": null, "truncated": false,
            "steps": [
                { "id": "address", "attempts": 2, "attempt": one, "awaited": null,
                  "phase": "ended", "status": ok, "at": 5 },
                { "id": "processing", "attempts": 0, "attempt": null, "awaited": null,
                  "phase": "waiting", "event": event, "until": 1_700_000_060_000_u64 },
                { "id": "email", "attempts": 0, "attempt": null, "awaited": null,
                  "phase": "idle" },
                { "id": "expired", "attempts": 0, "attempt": null, "awaited": null,
                  "phase": "not_taken" },
                { "id": "told", "attempts": 1, "attempt": one, "awaited": null,
                  "phase": "ended", "status": "error", "at": 5 },
            ],
            "branches": [
                { "steps": ["address", "processing", "email"], "status": "waiting",
                  "step": "processing", "event": event },
                { "steps": ["address", "processing", "expired"], "status": "not_taken" },
                { "steps": ["address", "told"], "status": "dead", "step": "told",
                  "with": "error" },
            ],
        }))
        .unwrap()
    }

    #[test]
    fn branches_are_drawn_with_their_common_beginning_once() {
        let expected = "\
✓ address            ok, attempt 2
├─ ◷ processing      waits for received of shop, until 2023-11-14T22:14:20Z
│  ├─ · email        not begun                                               → waiting at processing for received of shop
│  └─ ╌ expired      not taken                                               → not taken
└─ ✗ told            error                                                   → dead at told: error
";
        let names = |event: &EventName| format!("{} of shop", event.event);
        let drawn = tree(&run(), &names);
        // The columns' widths follow from the longest entries; what is said does not.
        let squeezed = |text: &str| {
            let lines = text.lines().map(|line| {
                line.split("  ")
                    .map(str::trim)
                    .filter(|part| !part.is_empty())
                    .collect::<Vec<_>>()
                    .join("  ")
            });
            lines.collect::<Vec<_>>()
        };
        assert_eq!(squeezed(&drawn), squeezed(expected), "{drawn}");
        let column = |mark: char| {
            let places = drawn.lines().filter_map(|line| line.chars().position(|c| c == mark));
            places.collect::<std::collections::BTreeSet<_>>()
        };
        assert_eq!(column('→').len(), 1, "the branches' status stands in one column: {drawn}");
    }

    #[test]
    fn the_head_tells_what_started_it_and_what_it_cost() {
        let text = drawing(&run(), &|event| event.event.to_string());
        for part in
            ["of         acme/cart@1.0.0", "status     waiting", "by event 0x00", "spent      0.5"]
        {
            assert!(text.contains(part), "{part}: {text}");
        }
    }

    #[test]
    fn a_run_that_is_over_shows_nothing_at_work() {
        let names = |event: &EventName| event.event.to_string();
        let mut run = run();
        run.ended_at = Some(9);
        for (status, words) in
            [(RunStatus::Cancelled, "◷ processing"), (RunStatus::Skipped, "◷ processing")]
        {
            run.status = status;
            let drawn = tree(&run, &names);
            assert!(!drawn.contains(words) && !drawn.contains("waits for"), "{drawn}");
        }
        assert!(tree(&run, &names).contains("the condition of `when` is false"));
    }
}
