//! Lists applications.

use althing_api::wire::{Application, Visibility};
use althing_api::{Cut, PAGE_MAX};
use anyhow::Result;
use clap::Args;

use crate::commands::account;
use crate::home::Home;
use crate::output::{Output, table};

/// List applications: all public ones, and your own.
#[derive(Debug, Args)]
pub(crate) struct List {
    /// Only your own.
    #[arg(long)]
    mine: bool,
    /// At most so many.
    #[arg(long, default_value_t = 1000, value_name = "N")]
    limit: usize,
}

impl List {
    pub(super) fn run(self, home: &Home, output: Output) -> Result<()> {
        let client = home.viewer()?;
        let owner = self.mine.then(|| account::address(home, None)).transpose()?;
        let (mut found, mut after) = (Vec::new(), None);
        while found.len() < self.limit {
            let cut = Cut { after, limit: (self.limit - found.len()).min(PAGE_MAX) };
            let page = client.applications(owner, cut)?;
            found.extend(page.items);
            after = page.next.map(|next| next.0);
            if after.is_none() {
                break;
            }
        }
        output.print(&found, |found| text(found))
    }
}

fn text(applications: &[Application]) -> String {
    let row = |application: &Application| {
        vec![
            application.terms.alias.to_string(),
            match application.terms.visibility {
                Visibility::Public => "public".to_owned(),
                Visibility::Private(_) => "private".to_owned(),
            },
            application.state.to_string(),
            format!("{} open of {}", application.open, application.runs),
            application.deposit.to_string(),
            application.id.to_string(),
        ]
    };
    let rows: Vec<Vec<String>> = applications.iter().map(row).collect();
    table(&["application", "seen by", "state", "runs", "deposit", "id"], &rows)
}
