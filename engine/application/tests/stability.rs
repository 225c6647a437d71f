//! Whatever a file says, its document says the same, and so does the plan that follows from it.
#![expect(clippy::unwrap_used, reason = "the whole file is a test")]

mod common;

use std::fmt::Write as _;

use althing_application::{ApplicationFile, Checked, Compiled, duration};
use althing_types::{End, Join, StepStatus};
use common::{APPLICATIONS, catalogue, config, text};
use proptest::prelude::*;
use serde_json::Map;

/// One step: where it hangs, and its settings.
#[derive(Clone, Debug)]
struct Drawn {
    parents: Vec<(prop::sample::Index, bool)>,
    any: bool,
    checkers: u16,
    retries: u16,
    timeout_ms: u64,
    text: String,
}

fn drawn() -> impl Strategy<Value = Drawn> {
    (
        prop::collection::vec((any::<prop::sample::Index>(), any::<bool>()), 1..4),
        any::<bool>(),
        0..10_u16,
        1..100_u16,
        1..duration::DURATION_MS_MAX,
        "[ -~äß€]{0,24}",
    )
        .prop_map(|(parents, any, checkers, retries, timeout_ms, text)| Drawn {
            parents,
            any,
            checkers,
            retries,
            timeout_ms,
            // Leaves no "${" behind, as leaving out the brace could.
            text: text.replace("${", "$("),
        })
}

/// The file, and the ends on which each step hangs.
fn file(steps: &[Drawn]) -> (String, Vec<(Join, Vec<End>)>) {
    let mut out =
        "app: drawn\nversion: 1.0.0\nservices: { users: acme/users@1, notify: althing/notify@2 }\n\
                   when: users.registered\nthen:\n"
            .to_owned();
    let mut expected = Vec::new();
    for (index, step) in steps.iter().enumerate() {
        let mut ends: Vec<End> = Vec::new();
        for (parent, is_main) in step.parents.iter().filter(|_| index > 0) {
            let parent = u16::try_from(parent.index(index)).unwrap();
            let status = if *is_main {
                StepStatus::Returned("ok".parse().unwrap())
            } else {
                StepStatus::Error
            };
            // What must all be reached may not exclude one another.
            if ends.iter().all(|end| end.step != parent) && (step.any || ends.is_empty()) {
                ends.push(End { step: parent, status });
            }
        }
        let names: Vec<String> =
            ends.iter().map(|end| format!("s{}.{}", end.step, end.status)).collect();
        writeln!(
            out,
            "  - id: s{index}\n    do: notify.push\n    with: {{ text: {} }}",
            serde_json::json!(step.text)
        )
        .unwrap();
        if index > 0 {
            writeln!(out, "    after: {{ any: [{}] }}", names.join(", ")).unwrap();
        }
        writeln!(
            out,
            "    verify: {}\n    retry: {{ max: {} }}\n    timeout: {}",
            step.checkers,
            step.retries,
            duration::format(step.timeout_ms)
        )
        .unwrap();
        let mode = if ends.len() > 1 { Join::Any } else { Join::All };
        expected.push((mode, ends));
    }
    (out, expected)
}

fn checked(text: &str) -> Checked {
    ApplicationFile::parse("app.yaml", text).unwrap().check(&catalogue(), &Map::new()).unwrap()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    #[test]
    fn file_document_and_plan_say_the_same(steps in prop::collection::vec(drawn(), 1..24)) {
        let (text, expected) = file(&steps);
        let compiled = checked(&text).compiled;
        let again = Compiled::from_document(compiled.document()).unwrap();
        prop_assert_eq!(again.plan(), compiled.plan());
        prop_assert_eq!(again.blob(), checked(&text).compiled.blob());
        for ((step, (mode, ends)), drawn) in again.plan().steps.iter().zip(&expected).zip(&steps) {
            prop_assert_eq!(&step.after.ends, ends);
            prop_assert_eq!(step.after.mode, *mode);
            prop_assert_eq!(step.checkers, drawn.checkers);
            prop_assert_eq!(step.retry.max, drawn.retries);
            prop_assert_eq!(step.timeout_ms, drawn.timeout_ms);
        }
    }

    #[test]
    fn no_damage_to_a_file_makes_reading_it_fail_otherwise_than_by_mistakes(
        which in 0..APPLICATIONS.len(),
        at in any::<prop::sample::Index>(),
        with in "[ -~\n]{0,8}",
    ) {
        let name = APPLICATIONS[which];
        let mut text = text(name);
        let at = at.index(text.len());
        if text.is_char_boundary(at) && text.is_char_boundary(at + 1) {
            text.replace_range(at..=at, &with);
        }
        let read = ApplicationFile::parse("app.yaml", &text);
        if let Ok(checked) = read.and_then(|file| file.check(&catalogue(), &config(name))) {
            Compiled::from_document(checked.compiled.document()).unwrap();
        }
    }

    #[test]
    fn no_bytes_are_too_much_for_a_reader_of_documents(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
        prop_assert!(Compiled::from_document(&bytes).is_err());
    }
}
