//! Lists runs.

use althing_api::wire::{Run, RunStatus};
use althing_api::{ApplicationKey, Cut, PAGE_MAX, RunFilter};
use anyhow::Result;
use clap::Args;

use crate::home::Home;
use crate::moment::moment;
use crate::output::{Output, table};

/// List runs, open and ended.
#[derive(Debug, Args)]
pub(crate) struct List {
    /// Only those of this application: `namespace/name@version`, or the id.
    #[arg(long, value_name = "APP")]
    app: Option<ApplicationKey>,
    /// Only those with this status: running, waiting, `out_of_funds`, failed, done, dead, skipped
    /// or cancelled.
    #[arg(long, value_name = "STATUS")]
    status: Option<RunStatus>,
    /// At most so many.
    #[arg(long, default_value_t = 100, value_name = "N")]
    limit: usize,
}

impl List {
    pub(super) fn run(self, home: &Home, output: Output) -> Result<()> {
        let client = home.viewer()?;
        let application = match &self.app {
            Some(key) => Some(client.application(key)?.id.0),
            None => None,
        };
        let filter = RunFilter { application, status: self.status };
        let (mut found, mut after) = (Vec::new(), None);
        while found.len() < self.limit {
            let cut = Cut { after, limit: (self.limit - found.len()).min(PAGE_MAX) };
            let page = client.runs(filter, cut)?;
            found.extend(page.items);
            after = page.next.map(|next| next.0);
            if after.is_none() {
                break;
            }
        }
        found.sort_by_key(|run| run.started_at);
        output.print(&found, |found| text(found))
    }
}

fn text(runs: &[Run]) -> String {
    let row = |run: &Run| {
        let ended = run.steps.iter().filter(|step| super::drawing::has_ended(&step.phase)).count();
        vec![
            run.id.to_string(),
            run.alias.to_string(),
            run.status.to_string(),
            format!("{ended}/{}", run.steps.len()),
            moment(run.started_at),
            run.spent.to_string(),
        ]
    };
    let rows: Vec<Vec<String>> = runs.iter().map(row).collect();
    table(&["run", "application", "status", "steps", "started", "spent"], &rows)
}
