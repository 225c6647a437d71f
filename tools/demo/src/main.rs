//! `cargo xtask demo`: tells the story, prints it, and fails if a claim does not hold.

use std::io::Write as _;
use std::path::PathBuf;
use std::process::ExitCode;

use althing_demo::story::{self, Stage};
use althing_demo::{cart, stage};
use anyhow::{Context as _, Result, bail};

fn main() -> Result<ExitCode> {
    let binary = std::env::var_os("ALTHING_BIN")
        .map(PathBuf::from)
        .context("ALTHING_BIN names the binary `althing`")?;
    let folder = std::env::var_os("ALTHING_OUTPUT_DIR")
        .map_or_else(|| PathBuf::from("target/demo"), PathBuf::from);
    let mut out = std::io::stdout();
    let mut say = |line: &str| {
        writeln!(std::io::stdout(), "{line}").ok();
    };
    let told: Vec<String> = std::env::args().skip(1).collect();
    let told: Vec<&str> = told.iter().map(String::as_str).collect();
    let report = match told.as_slice() {
        [] => {
            let service = PathBuf::from("examples/invoice");
            let stage = Stage { binary, service, folder: folder.clone(), invoices: 200 };
            story::tell(&stage, &mut say)?
        }
        ["cart"] => {
            let repository = PathBuf::from(".");
            let stage = stage::Stage { binary, repository, folder: folder.clone() };
            let plot = cart::Plot { stage, carts: 500, payment_within: "PT30S".to_owned() };
            cart::tell(&plot, &mut say)?
        }
        other => bail!("there is no story '{}'; say nothing, or `cart`", other.join(" ")),
    };
    writeln!(out, "{}", report.text())?;
    writeln!(out, "Everything is in {}.", folder.display())?;
    Ok(if report.holds() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}
