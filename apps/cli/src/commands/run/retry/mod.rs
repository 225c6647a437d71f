//! Repeats a step of a run, or what failed in many runs.

mod many;

use std::time::Duration;

use althing_api::ApplicationKey;
use althing_api::wire::{Run, RunStatus, StepPhase, StepStatus};
use althing_types::{Hash, Operation, Repeat, Restart};
use anyhow::Result;
use clap::Args;
use many::{Rate, Wish};

use crate::failure::Failure;
use crate::home::Home;
use crate::output::Output;
use crate::sign::{Fee, Signer, told};

/// Repeat a step that failed or could not be paid: of a run, or of all runs of an application.
#[derive(Debug, Args)]
pub(crate) struct Retry {
    /// The run.
    #[arg(required_unless_present = "app")]
    id: Option<Hash>,
    /// The step's name [default: the first one that failed or could not be paid; with --app, all].
    #[arg(long, value_name = "STEP")]
    step: Option<String>,
    /// End the run and begin it anew from its event, as another run: whatever it has done outside, such as
    /// mails and payments, is done again. Without this, only what has failed is repeated.
    #[arg(long, conflicts_with_all = ["step", "app"])]
    from_start: bool,
    /// All runs of this application: `namespace/name@version`, or the id. The same command again goes
    /// on where it ended.
    #[arg(long, value_name = "APP", conflicts_with = "id")]
    app: Option<ApplicationKey>,
    /// Those with this status: failed or `out_of_funds`.
    #[arg(long, value_name = "STATUS", default_value = "failed", conflicts_with = "id")]
    status: RunStatus,
    /// No more steps in a time than this, such as 5/s, 90/m or 1000/h.
    #[arg(long, value_name = "RATE", default_value = "5/s", conflicts_with = "id")]
    rate: Rate,
    /// At most so many runs.
    #[arg(long, value_name = "N", default_value_t = 100_000, conflicts_with = "id")]
    limit: usize,
    /// Only say how many it would be.
    #[arg(long, conflicts_with = "id")]
    dry_run: bool,
    #[command(flatten)]
    fee: Fee,
}

impl Retry {
    pub(super) fn run(self, home: &Home, output: Output) -> Result<()> {
        let key = home.signer()?;
        let client = home.viewed_by(&key)?;
        let signer = Signer::new(&client, key, self.fee)?;
        if let Some(application) = self.app {
            let Self { status, step, rate, limit, dry_run: dry, .. } = self;
            let wish = Wish { application, status, step, rate, limit, dry };
            return many::run(&client, &signer, &wish, output);
        }
        let id = self.id.expect("the command line has a run or an application");
        if self.from_start {
            let receipt = signer.carry_out(Operation::Restart(Restart { run: id }))?;
            return output.print(&receipt, told);
        }
        let run = client.run(&id, Duration::ZERO)?;
        let step = which(&run, self.step.as_deref())?;
        let operation = Operation::Repeat(Repeat { run: id, step });
        output.print(&signer.carry_out(operation)?, told)
    }
}

/// Whether a step has failed or lacks money.
const fn wanted(phase: &StepPhase) -> bool {
    matches!(phase, StepPhase::Short { .. } | StepPhase::Ended { status: StepStatus::Error, .. })
}

fn which(run: &Run, named: Option<&str>) -> Result<u16> {
    let found = match named {
        Some(name) => run.steps.iter().position(|step| step.id.as_str() == name),
        None => run.steps.iter().position(|step| wanted(&step.phase)),
    };
    let missing = || {
        let names: Vec<&str> = run.steps.iter().map(|step| step.id.as_str()).collect();
        match named {
            Some(name) => Failure::new(
                "CLI-0030",
                format!("the run has no step {name}"),
                format!("its steps are: {}", names.join(", ")),
            ),
            None => Failure::new(
                "CLI-0031",
                "no step of the run has failed or lacks money",
                "`althing run show` tells how far it is",
            ),
        }
    };
    let index = found.ok_or_else(missing)?;
    Ok(u16::try_from(index)?)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn run(second: serde_json::Value) -> Run {
        let zero = format!("0x{}", "00".repeat(32));
        serde_json::from_value(json!({
            "id": zero, "application": zero, "alias": "acme/cart@1.0.0",
            "owner": format!("0x{}", "07".repeat(20)), "event": null, "parent": null,
            "started_at": 0, "ended_at": null, "spent": "0", "payer": zero, "status": "failed",
            "returned": null, "truncated": false, "branches": [],
            "steps": [
                { "id": "first", "attempts": 0, "attempt": null, "awaited": null, "phase": "idle" },
                second,
            ],
        }))
        .unwrap()
    }

    fn code(error: &anyhow::Error) -> String {
        let text = crate::failure::render_json(error);
        let value: serde_json::Value = serde_json::from_str(&text).unwrap();
        value["error"]["code"].as_str().unwrap().to_owned()
    }

    #[test]
    fn the_step_that_failed_is_found_and_a_named_one_too() {
        let failed = json!({ "id": "second", "attempts": 1, "attempt": null, "awaited": null,
            "phase": "ended", "status": "error", "at": 0 });
        assert_eq!(which(&run(failed.clone()), None).unwrap(), 1);
        assert_eq!(which(&run(failed.clone()), Some("first")).unwrap(), 0);
        assert_eq!(code(&which(&run(failed), Some("third")).unwrap_err()), "CLI-0030");
        let short = json!({ "id": "second", "attempts": 0, "attempt": null, "awaited": null,
            "phase": "short", "until": 9 });
        assert_eq!(which(&run(short), None).unwrap(), 1);
        let idle = json!({ "id": "second", "attempts": 0, "attempt": null, "awaited": null,
            "phase": "idle" });
        assert_eq!(code(&which(&run(idle), None).unwrap_err()), "CLI-0031");
    }
}
