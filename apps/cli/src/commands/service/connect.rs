//! Connects the program of a native service to a node.

use althing_api::ServiceKey;
use althing_api::wire::Connection;
use anyhow::Result;
use clap::Args;

use crate::commands::program::{self, Operator};
use crate::home::Home;
use crate::output::Output;
use crate::patience::Patience;

/// Connect the program of a native service to a node; its secret and token are shown once.
#[derive(Debug, Args)]
pub(crate) struct Connect {
    /// `namespace/name@version`, or the id.
    service: ServiceKey,
    /// The address to which the node posts tasks.
    #[arg(long, required_unless_present = "disconnect")]
    url: Option<String>,
    /// Forget the program instead.
    #[arg(long, conflicts_with = "url")]
    disconnect: bool,
    #[command(flatten)]
    operator: Operator,
}

impl Connect {
    pub(super) fn run(self, home: &Home, output: Output) -> Result<()> {
        let node = self.operator.open(home)?;
        let Some(url) = &self.url else {
            let id = Patience::short().ask(|| node.client.service(&self.service))?.id.0;
            Patience::short().ask(|| node.client.disconnect(&self.service))?;
            program::forget(home, &id)?;
            let told = serde_json::json!({ "service": id.to_string(), "connected": false });
            return output.print(&told, |_| format!("{} has no program any more", self.service));
        };
        let connection = Patience::short().ask(|| node.client.connect(&self.service, url))?;
        let kept = program::remember(home, &connection)?;
        output.print(&connection, |connection| {
            format!("{}\n  kept in  {}", text(connection), kept.display())
        })
    }
}

fn text(connection: &Connection) -> String {
    format!(
        "service {}\n  url      {}\n  secret   {}\n  token    {}",
        connection.service, connection.url, connection.secret, connection.token
    )
}
