//! The ledger from the outside: blocks in, receipts and roots out.
#![expect(clippy::unwrap_used, reason = "the harness is as much a test as its callers")]

mod common;

mod batches;
mod conflicts;
mod deadlines;
mod draws;
mod events;
mod fees;
mod fines;
mod genesis;
mod golden;
mod labels;
mod methods;
mod model;
mod offers;
mod offices;
mod properties;
mod rejections;
mod results;
mod runs;
mod services;
mod shares;
mod standstill;
mod transactions;
mod transfers;
mod trust;
mod validators;
mod weights;
