//! Every check, in order: cheap ones first, and a failure hides none of those behind it.

use std::fmt;
use std::process::ExitCode;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail};

use crate::workspace::{Workspace, answers};
use crate::{docs, format, guests, layers, lint, nextest, no_std, peers, tidy};

/// How a stage ended, when it did not fail.
#[derive(Debug)]
pub(crate) struct Done {
    skipped: bool,
    note: String,
}

impl Done {
    /// The check holds; `note` says how much was looked at.
    pub(crate) fn passed(note: impl Into<String>) -> Self {
        Self { skipped: false, note: note.into() }
    }

    /// The check is impossible on this machine; `why` says what is missing.
    pub(crate) fn skipped(why: impl Into<String>) -> Self {
        Self { skipped: true, note: why.into() }
    }
}

impl fmt::Display for Done {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let word = if self.skipped { "skipped" } else { "ok" };
        write!(formatter, "{word} {}", self.note)
    }
}

/// One check.
struct Stage {
    name: &'static str,
    run: fn(&Workspace) -> Result<Done>,
}

static STAGES: [Stage; 10] = [
    Stage { name: "fmt", run: format::check },
    Stage { name: "tidy", run: tidy::check },
    Stage { name: "layers", run: layers::check },
    Stage { name: "guests", run: guests::check },
    Stage { name: "peers", run: peers::install },
    Stage { name: "clippy", run: lint::check },
    Stage { name: "nextest", run: nextest::run },
    Stage { name: "doctests", run: docs::examples },
    Stage { name: "docs", run: docs::pages },
    Stage { name: "no-std", run: no_std::check },
];

/// Runs the chosen stages and tells how each of them ended.
pub(crate) fn run(workspace: &Workspace, arguments: &[String]) -> Result<ExitCode> {
    let stages = choose(arguments)?;
    system(workspace)?;
    let begin = Instant::now();
    let mut summary = Vec::new();
    let mut failed = false;
    for stage in stages {
        println!("── {}", stage.name);
        let start = Instant::now();
        let result = (stage.run)(workspace);
        failed |= result.is_err();
        let line = line(stage.name, start.elapsed(), &result);
        println!("{line}\n");
        summary.push(line);
    }
    println!("── summary");
    for line in summary {
        println!("{line}");
    }
    let (word, code) =
        if failed { ("FAILED", ExitCode::FAILURE) } else { ("passed", ExitCode::SUCCESS) };
    println!("{word} after {}", seconds(begin.elapsed()));
    Ok(code)
}

fn line(name: &str, took: Duration, result: &Result<Done>) -> String {
    let (word, note) = match result {
        Ok(done) if done.skipped => ("skipped", done.note.clone()),
        Ok(done) => ("ok", done.note.clone()),
        Err(error) => ("FAILED", format!("{error:#}")),
    };
    let line = format!("{name:<9} {word:<7} {:>9}  {note}", seconds(took));
    line.trim_end().to_owned()
}

fn seconds(duration: Duration) -> String {
    format!("{:.1} s", duration.as_secs_f64())
}

/// Reads `--only STAGE` and `--from STAGE`.
fn choose(arguments: &[String]) -> Result<&'static [Stage]> {
    let [flag, name] = arguments else {
        if arguments.is_empty() {
            return Ok(&STAGES);
        }
        bail!("`test` takes `--only STAGE` or `--from STAGE`");
    };
    let place = STAGES.iter().position(|stage| stage.name == name).with_context(|| {
        let names = STAGES.each_ref().map(|stage| stage.name).join(", ");
        format!("there is no stage `{name}`; there are {names}")
    })?;
    let chosen = match flag.as_str() {
        "--only" => STAGES.get(place..=place),
        "--from" => STAGES.get(place..),
        other => bail!("`test` takes `--only STAGE` or `--from STAGE`, not `{other}`"),
    };
    chosen.context("the place is that of a stage")
}

/// What the build needs from the system, named before an hour has passed.
fn system(workspace: &Workspace) -> Result<()> {
    if !answers(workspace.command("cc").arg("--version")) {
        bail!(
            "there is no C compiler `cc`, which signatures and cryptography are built with; \
             install one, on Debian with `apt-get install build-essential`"
        );
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(arguments: &[&str]) -> Result<Vec<&'static str>> {
        let arguments: Vec<String> = arguments.iter().map(|a| String::from(*a)).collect();
        Ok(choose(&arguments)?.iter().map(|stage| stage.name).collect())
    }

    #[test]
    fn without_arguments_every_stage_runs_in_order() {
        let all = names(&[]).unwrap();
        assert_eq!(all.first(), Some(&"fmt"));
        assert_eq!(all.len(), STAGES.len());
    }

    #[test]
    fn one_stage_or_the_rest_can_be_chosen() {
        assert_eq!(names(&["--only", "layers"]).unwrap(), ["layers"]);
        assert_eq!(names(&["--from", "docs"]).unwrap(), ["docs", "no-std"]);
    }

    #[test]
    fn an_unknown_stage_or_flag_is_refused_by_name() {
        let error = names(&["--only", "lunch"]).unwrap_err().to_string();
        assert!(error.contains("`lunch`") && error.contains("layers"), "{error}");
        assert!(names(&["--until", "docs"]).is_err());
        assert!(names(&["--only"]).is_err());
    }

    #[test]
    fn a_line_tells_how_a_stage_ended() {
        let took = Duration::from_millis(1250);
        assert_eq!(line("fmt", took, &Ok(Done::passed(""))), "fmt       ok          1.2 s");
        let skipped = line("no-std", took, &Ok(Done::skipped("no target")));
        assert!(skipped.contains("skipped") && skipped.ends_with("no target"));
        let failed = line("tidy", took, &Err(anyhow::anyhow!("2 findings")));
        assert!(failed.contains("FAILED") && failed.ends_with("2 findings"));
    }
}
