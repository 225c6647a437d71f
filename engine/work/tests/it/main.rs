//! The worker against a real ledger, in virtual time: nodes, files and blocks in one process.

mod behaviour;
mod bounds;
mod crashes;
mod driven;
mod foreseen;
mod steps;

mod world;
