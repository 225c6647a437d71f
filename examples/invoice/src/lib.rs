//! Totals one invoice in CSV.
//!
//! ```text
//! invoice,invoice 42         optional, before the columns; else the name of the file is used
//! currency,EUR               optional, EUR otherwise
//! item,quantity,unit_price   the columns, in any order
//! "Paper, A4",3,4.20
//! ```
//!
//! - Units: money in hundredths, by integers; each line is rounded to them, halves away from zero.
//! - Errors: what cannot be read is the status `unreadable` with a reason, and never a failure.
//! - Invariant: the same text gives the same bytes on every node.

mod decimal;
mod table;

use althing_sdk::{GaveUp, Inputs, Outcome, Service};
use serde::{Deserialize, Serialize};

/// The service.
pub struct Invoice;

#[derive(Deserialize)]
struct File {
    name: String,
    csv: String,
}

#[derive(Debug, PartialEq, Eq, Serialize)]
struct Total {
    invoice: String,
    currency: String,
    lines: u32,
    total: String,
}

#[derive(Serialize)]
struct Unreadable {
    reason: String,
}

impl Service for Invoice {
    fn task(name: &str, inputs: Inputs<'_>) -> Result<Outcome, GaveUp> {
        match name {
            "total" => match table::total(&inputs.read()?) {
                Ok(total) => Outcome::new("ok", &total),
                Err(reason) => Outcome::new("unreadable", &Unreadable { reason }),
            },
            _ => Err(GaveUp::unknown_task(name)),
        }
    }
}

althing_sdk::service!(Invoice);
