//! Programs of native services as child processes.
//!
//! - A service's own program: `run:` in its `service.yml`, started in its folder with the
//!   connection in its environment (`ALTHING_BRIDGE_…`).
//! - A bridge that ships with Althing: `althing-bridge NAME --twin`, with the technology replaced by
//!   its offline twin.

use std::fs::File;
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use althing_api::wire::Connection;
use althing_types::Alias;
use anyhow::{Context as _, Result};

/// A running program, ended with this process.
#[derive(Debug)]
pub(super) struct Program {
    child: Child,
    pub(super) service: String,
    pub(super) url: String,
    pub(super) log: PathBuf,
}

/// What to start, and for whom.
pub(super) struct Order<'a> {
    pub(super) service: &'a Alias,
    /// The folder with the manifest.
    pub(super) folder: &'a Path,
    /// From the manifest.
    pub(super) run: Option<&'a str>,
    /// Where the program keeps what it must remember.
    pub(super) state: &'a Path,
    /// Base address of the node's interface.
    pub(super) node: &'a str,
}

/// An address that nobody uses now.
pub(super) fn free_address() -> Result<String> {
    let listener = TcpListener::bind("127.0.0.1:0").context("looking for a free port")?;
    Ok(listener.local_addr()?.to_string())
}

impl Program {
    /// Starts it; the node has been told that it will be at `address`.
    pub(super) fn start(order: &Order<'_>, connection: &Connection, address: &str) -> Result<Self> {
        std::fs::create_dir_all(order.state)
            .with_context(|| format!("creating {}", order.state.display()))?;
        let state = std::path::absolute(order.state)?;
        let mut command = match order.run {
            Some(run) => {
                let mut command = Command::new("sh");
                // The shell gives its place to the program, so that ending it ends the program.
                command.arg("-c").arg(format!("exec {run}")).current_dir(order.folder);
                command
            }
            None => {
                let mut command = Command::new(bridge());
                command.args([order.service.name.as_str(), "--twin"]);
                let settings = order.folder.join("settings.json");
                if settings.is_file() {
                    command.arg("--config").arg(settings);
                }
                command
            }
        };
        command
            .env("ALTHING_BRIDGE_LISTEN", address)
            .env("ALTHING_BRIDGE_NODE", order.node)
            .env("ALTHING_BRIDGE_SERVICE", order.service.to_string().replace('/', "%2F"))
            .env("ALTHING_BRIDGE_SECRET", &connection.secret)
            .env("ALTHING_BRIDGE_TOKEN", &connection.token)
            .env("ALTHING_BRIDGE_FOLDER", &state);
        if order.run.is_none() {
            // The bridges take an alias as people write it.
            command.env("ALTHING_BRIDGE_SERVICE", order.service.to_string());
        }
        let log = state.join("program.log");
        let file = File::options()
            .create(true)
            .append(true)
            .open(&log)
            .with_context(|| format!("opening {}", log.display()))?;
        command.stdin(Stdio::null()).stdout(file.try_clone()?).stderr(file);
        let child = command
            .spawn()
            .with_context(|| format!("starting the program of {}", order.service))?;
        let service = order.service.to_string();
        Ok(Self { child, service, url: format!("http://{address}/"), log })
    }

    /// How it ended, if it has.
    pub(super) fn ended(&mut self) -> Option<std::process::ExitStatus> {
        self.child.try_wait().ok().flatten()
    }
}

impl Drop for Program {
    fn drop(&mut self) {
        // It may have ended by itself.
        self.child.kill().ok();
        self.child.wait().ok();
    }
}

/// The program that ships beside this one, else whatever the path has.
fn bridge() -> PathBuf {
    let beside = std::env::current_exe().ok().map(|this| this.with_file_name("althing-bridge"));
    beside.filter(|path| path.is_file()).unwrap_or_else(|| PathBuf::from("althing-bridge"))
}
