//! Lists events.

use althing_api::wire::{EventState, Occurrence};
use althing_api::{Cut, EventFilter, PAGE_MAX, ServiceKey};
use althing_types::Name;
use anyhow::Result;
use clap::Args;

use crate::home::Home;
use crate::moment::moment;
use crate::output::{Output, table};
use crate::services::ServiceNames;

/// List events, open and settled.
#[derive(Debug, Args)]
pub(crate) struct List {
    /// Only those of this service: `namespace/name@version`, or the id.
    #[arg(long, value_name = "SERVICE")]
    service: Option<ServiceKey>,
    /// Only those with this name.
    #[arg(long, value_name = "EVENT")]
    event: Option<Name>,
    /// Only those in this state: open, valid, contradicted or expired.
    #[arg(long, value_name = "STATE")]
    state: Option<EventState>,
    /// At most so many.
    #[arg(long, default_value_t = 100, value_name = "N")]
    limit: usize,
}

impl List {
    pub(super) fn run(self, home: &Home, output: Output) -> Result<()> {
        let client = home.client()?;
        let service = match &self.service {
            Some(service) => Some(client.service(service)?.id.0),
            None => None,
        };
        let filter = EventFilter { service, event: self.event, state: self.state };
        let (mut found, mut after) = (Vec::new(), None);
        while found.len() < self.limit {
            let cut = Cut { after, limit: (self.limit - found.len()).min(PAGE_MAX) };
            let page = client.occurrences(&filter, cut)?;
            found.extend(page.items);
            after = page.next.map(|next| next.0);
            if after.is_none() {
                break;
            }
        }
        found.sort_by_key(|event| event.opened_at);
        let services = ServiceNames::new(&client);
        output.print(&found, |found| text(found, &services))
    }
}

fn text(events: &[Occurrence], services: &ServiceNames<'_>) -> String {
    let row = |event: &Occurrence| {
        vec![
            event.key.to_string(),
            services.event(&event.name),
            event.state.to_string(),
            format!("{}/{}", event.observations.len(), event.office.len()),
            moment(event.opened_at),
        ]
    };
    let rows: Vec<Vec<String>> = events.iter().map(row).collect();
    table(&["event", "name", "state", "observed by", "first"], &rows)
}
