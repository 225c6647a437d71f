//! Looks for what is wrong with this machine, folder and node.

use std::net::{SocketAddr, TcpListener, UdpSocket};
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode};

use althing_api::client::Client;
use althing_api::wire::Status;
use althing_keys::NodeKeys;
use althing_node::folder::Folder;
use althing_node::genesis_file;
use anyhow::Result;
use clap::Args;
use serde::Serialize;

use crate::commands::node::client_of;
use crate::home::Home;
use crate::output::Output;

/// Less room than this will soon be too little.
const FREE_MB_MIN: u64 = 1_024;
/// A chain whose last block is older stands still, or the clock is wrong.
const AGE_MS_MAX: u64 = 60_000;
/// A block may be ahead of an honest clock by as much.
const AHEAD_MS_MAX: u64 = 10_000;

/// Look for what is wrong with this machine, folder and node.
#[derive(Debug, Args)]
pub(crate) struct Doctor {
    /// A node's folder to look at too [default: those of the development network].
    #[arg(long, value_name = "DIR")]
    dir: Option<PathBuf>,
}

/// How bad it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
enum Level {
    Fine,
    /// Nothing is wrong, but something may be missing.
    Note,
    Wrong,
}

#[derive(Debug, Serialize)]
struct Finding {
    about: String,
    level: Level,
    said: String,
    hint: Option<String>,
}

#[derive(Serialize)]
struct Report {
    healthy: bool,
    findings: Vec<Finding>,
}

impl Doctor {
    pub(crate) fn run(self, home: &Home, output: Output) -> Result<ExitCode> {
        let mut findings = Vec::new();
        person(home, &mut findings);
        let preferences = home.preferences().unwrap_or_default();
        let folders = self.dir.map_or(preferences.dev_nodes, |folder| vec![folder]);
        for folder in &folders {
            node_folder(folder, &mut findings);
        }
        the_node(home, preferences.node.is_some(), &mut findings);
        toolchain(&mut findings);
        disk(home.folder(), &mut findings);
        let healthy = findings.iter().all(|finding| finding.level != Level::Wrong);
        output.print(&Report { healthy, findings }, text)?;
        Ok(if healthy { ExitCode::SUCCESS } else { ExitCode::FAILURE })
    }
}

fn text(report: &Report) -> String {
    let mut text = String::new();
    for finding in &report.findings {
        let mark = match finding.level {
            Level::Fine => "fine ",
            Level::Note => "note ",
            Level::Wrong => "WRONG",
        };
        text.push_str(&format!("{mark}  {}: {}\n", finding.about, finding.said));
        if let Some(hint) = &finding.hint {
            text.push_str(&format!("       hint: {hint}\n"));
        }
    }
    text.push_str(if report.healthy { "nothing is wrong" } else { "something is wrong" });
    text
}

fn fine(about: impl Into<String>, said: impl Into<String>) -> Finding {
    Finding { about: about.into(), level: Level::Fine, said: said.into(), hint: None }
}

fn note(about: impl Into<String>, said: impl Into<String>, hint: &str) -> Finding {
    Finding {
        about: about.into(),
        level: Level::Note,
        said: said.into(),
        hint: Some(hint.to_owned()),
    }
}

fn wrong(about: impl Into<String>, said: impl Into<String>, hint: &str) -> Finding {
    Finding {
        about: about.into(),
        level: Level::Wrong,
        said: said.into(),
        hint: Some(hint.to_owned()),
    }
}

/// The person's folder, settings and accounts.
fn person(home: &Home, findings: &mut Vec<Finding>) {
    let folder = home.folder();
    if !folder.exists() {
        let hint = "`althing account new` makes it";
        findings.push(note(
            "your folder",
            format!("{} does not exist yet", folder.display()),
            hint,
        ));
        return;
    }
    let accounts = folder.join("accounts");
    if accounts.exists() && is_open_to_others(&accounts) {
        let hint = format!("chmod 700 {}", accounts.display());
        findings.push(wrong(
            "your folder",
            format!("others can look into {}", accounts.display()),
            &hint,
        ));
    }
    match home.preferences() {
        Ok(_) => findings.push(fine("your folder", folder.display().to_string())),
        Err(error) => {
            findings.push(wrong(
                "your folder",
                format!("{error:#}"),
                "mend home.json, or move it away",
            ));
        }
    }
    match home.keystore().and_then(|keystore| Ok(keystore.list()?)) {
        Ok(accounts) if accounts.is_empty() => {
            findings.push(note(
                "your accounts",
                "there is none",
                "`althing account new` makes one",
            ));
        }
        Ok(accounts) => findings.push(fine("your accounts", format!("{}", accounts.len()))),
        Err(error) => {
            let hint =
                error.downcast_ref::<althing_keys::KeyError>().map_or("", |error| error.hint());
            findings.push(wrong("your accounts", error.to_string(), hint));
        }
    }
}

#[cfg(unix)]
fn is_open_to_others(path: &Path) -> bool {
    use std::os::unix::fs::PermissionsExt as _;
    std::fs::metadata(path).is_ok_and(|metadata| metadata.permissions().mode() & 0o077 != 0)
}

#[cfg(not(unix))]
fn is_open_to_others(_path: &Path) -> bool {
    false
}

/// A node's folder: settings, keys, genesis, ports.
fn node_folder(path: &Path, findings: &mut Vec<Finding>) {
    let (folder, about) = (Folder::new(path), format!("the node in {}", path.display()));
    let keys = match NodeKeys::load(path) {
        Ok(keys) => keys,
        Err(error) => return findings.push(wrong(about, error.to_string(), error.hint())),
    };
    let settings = match folder.settings() {
        Ok(settings) => settings,
        Err(error) => {
            let hint =
                "mend node.json; `althing node init` shows in another folder what it looks like";
            return findings.push(wrong(about, format!("{error:#}"), hint));
        }
    };
    let genesis = match genesis_file::read(&folder.genesis_file()) {
        Ok(genesis) => genesis,
        Err(error) => {
            let hint = "copy genesis.json from another node of the chain";
            return findings.push(wrong(about, format!("{error:#}"), hint));
        }
    };
    findings.push(fine(
        about.clone(),
        format!("{} on the chain {}", keys.account.address(), genesis.hash()),
    ));
    let status = client_of(path).ok().and_then(|client| client.status().ok());
    findings.push(api_port(&about, settings.api, status.as_ref(), &keys));
    if status.is_none() {
        findings.push(network_port(&about, settings.listen));
    }
}

fn api_port(about: &str, address: SocketAddr, status: Option<&Status>, keys: &NodeKeys) -> Finding {
    let about = format!("{about}, port {}", address.port());
    match status {
        Some(status) if status.address.0 == keys.account.address() => {
            fine(about, "the node answers there")
        }
        Some(status) => {
            let hint = "choose another `api` in node.json";
            wrong(about, format!("another node answers there: {}", status.address), hint)
        }
        None if TcpListener::bind(address).is_ok() => {
            note(about, "free; the node does not run", "`althing node start` runs it")
        }
        None => wrong(
            about,
            "taken by another program",
            "stop that program, or choose another `api` in node.json",
        ),
    }
}

fn network_port(about: &str, address: SocketAddr) -> Finding {
    let about = format!("{about}, UDP port {}", address.port());
    match UdpSocket::bind(address) {
        Ok(_) => fine(about, "free"),
        Err(error) => {
            let hint = "stop the program that has it, or choose another `listen` in node.json";
            wrong(about, format!("cannot be had: {error}"), hint)
        }
    }
}

/// The node that commands talk to.
fn the_node(home: &Home, is_remembered: bool, findings: &mut Vec<Finding>) {
    let url = match home.node() {
        Ok(url) => url,
        Err(error) => {
            return findings.push(wrong("the node", format!("{error:#}"), "mend home.json"));
        }
    };
    let about = format!("the node at {url}");
    let status = match Client::new(&url).status() {
        Ok(status) => status,
        Err(error) => {
            let tell = if is_remembered { wrong } else { note };
            return findings.push(tell(about, error.to_string(), error.hint()));
        }
    };
    findings.push(match status.syncing {
        true => {
            note(about, format!("catches up, at height {}", status.height), "wait until it has")
        }
        false => fine(about, format!("height {}, {} peers", status.height, status.peers)),
    });
    findings.push(clock(status.time));
}

/// The machine's clock against the chain's.
fn clock(block: u64) -> Finding {
    let now = althing_node::now().0;
    let (age, ahead) = (now.saturating_sub(block), block.saturating_sub(now));
    let hint = "set the clock (NTP); if it is right, look whether the other validators run";
    if ahead > AHEAD_MS_MAX {
        return wrong("the clock", format!("the last block is {ahead} ms ahead of it"), hint);
    }
    if age > AGE_MS_MAX {
        return wrong("the clock", format!("the last block is {} s old", age / 1000), hint);
    }
    fine("the clock", format!("{} ms from the last block", age.max(ahead)))
}

/// Whether services can be built here.
fn toolchain(findings: &mut Vec<Finding>) {
    let about = "building services";
    findings.push(match althing_guests::toolchain_is_there() {
        Ok(true) => fine(about, "there is a Rust toolchain for wasm"),
        Ok(false) => note(
            about,
            "there is no Rust toolchain for wasm yet",
            "`althing service build` installs it: `rustup target add wasm32-unknown-unknown`, or Debian's packages",
        ),
        Err(error) => note(about, format!("{error:#}"), "install Rust from https://rustup.rs"),
    });
}

fn disk(folder: &Path, findings: &mut Vec<Finding>) {
    // The folder may not exist yet: its disk is that of the nearest folder that does.
    let existing = folder.ancestors().find(|path| path.is_dir()).unwrap_or_else(|| Path::new("."));
    let Some(free_mb) = free_mb(existing) else {
        return findings.push(note("the disk", "its room could not be measured", "look with `df`"));
    };
    findings.push(if free_mb < FREE_MB_MIN {
        wrong(
            "the disk",
            format!("only {free_mb} MB are free"),
            "make room, or move the folder to another disk",
        )
    } else {
        fine("the disk", format!("{free_mb} MB are free"))
    });
}

/// What `df` says, as POSIX lays its output down.
fn free_mb(folder: &Path) -> Option<u64> {
    let asked = Command::new("df").args(["-P", "-k"]).arg(folder).output().ok()?;
    available_mb(&String::from_utf8_lossy(&asked.stdout))
}

fn available_mb(df: &str) -> Option<u64> {
    let kilobytes: u64 = df.lines().nth(1)?.split_whitespace().nth(3)?.parse().ok()?;
    Some(kilobytes / 1024)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_room_on_a_disk_is_read_from_posix_output() {
        let df = "Filesystem 1024-blocks Used Available Capacity Mounted on\n/dev/vda1 41152736 1 20480 5% /\n";
        assert_eq!(available_mb(df), Some(20));
        assert_eq!(available_mb("nonsense"), None);
    }

    #[test]
    fn a_port_that_somebody_has_is_told() {
        let taken = TcpListener::bind(("127.0.0.1", 0)).unwrap();
        let keys = NodeKeys::generate().unwrap();
        let finding = api_port("the node", taken.local_addr().unwrap(), None, &keys);
        assert_eq!(
            (finding.level, finding.said.as_str()),
            (Level::Wrong, "taken by another program")
        );
    }

    #[test]
    fn findings_are_told_with_their_hints() {
        let report =
            Report { healthy: false, findings: vec![fine("a", "b"), wrong("c", "d", "e")] };
        assert_eq!(text(&report), "fine   a: b\nWRONG  c: d\n       hint: e\nsomething is wrong");
    }
}
