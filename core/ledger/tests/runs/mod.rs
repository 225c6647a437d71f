//! Runs of applications: what starts, wakes, repeats and ends them, and what they cost.

mod again;
mod applications;
mod many;
mod money;
mod nesting;
mod shapes;
mod waits;
