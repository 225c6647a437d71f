//! `althing-guests FOLDER --out FILE` builds a service to a component; `--rustc` names its compiler.
//! `althing-guests --rustc`: prints the compiler that it is built with.

use std::path::Path;
use std::process::ExitCode;

use anyhow::{Context as _, Result, bail};

const USAGE: &str =
    "usage: althing-guests FOLDER --out FILE [--features A,B]\n       althing-guests --rustc";

fn main() -> ExitCode {
    match run(std::env::args().skip(1)) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            #[expect(clippy::print_stderr, reason = "this is a program's talk")]
            {
                eprintln!("error: {error:#}");
            }
            ExitCode::FAILURE
        }
    }
}

fn run(mut arguments: impl Iterator<Item = String>) -> Result<()> {
    let (mut folder, mut out, mut features) = (None, None, String::new());
    while let Some(argument) = arguments.next() {
        match argument.as_str() {
            "--rustc" => return print_rustc(),
            "--out" => out = arguments.next(),
            "--features" => features = arguments.next().context(USAGE)?,
            _ if folder.is_none() => folder = Some(argument),
            _ => bail!(USAGE),
        }
    }
    let (folder, out) = (folder.context(USAGE)?, out.context(USAGE)?);
    let features: Vec<&str> = features.split(',').filter(|name| !name.is_empty()).collect();
    let component = althing_guests::build_with(Path::new(&folder), &features)?;
    std::fs::write(&out, &component).with_context(|| format!("cannot write {out}"))?;
    #[expect(clippy::print_stderr, reason = "this is a program's talk")]
    {
        eprintln!("{out}: {} bytes", component.len());
    }
    Ok(())
}

fn print_rustc() -> Result<()> {
    let rustc = althing_guests::rustc()?;
    #[expect(clippy::print_stdout, reason = "this is a program's answer")]
    {
        println!("{}", rustc.display());
    }
    Ok(())
}
