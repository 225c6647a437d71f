//! The programs of native services: `althing-bridge`, as child processes.

use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail, ensure};
use serde_json::Value;

use crate::cli::Cli;
use crate::network::Network;

const UP_WITHIN: Duration = Duration::from_secs(30);

/// A bridge beside the nodes that it works for; ended when it is dropped.
#[derive(Debug)]
pub struct Bridge {
    child: Child,
    /// Base address of what it serves.
    pub url: String,
}

/// Which bridge, for which service.
#[derive(Clone, Copy, Debug)]
pub struct Order<'a> {
    /// As `althing-bridge` names it.
    pub name: &'a str,
    /// The folder with the `service.yml`, and perhaps `settings.json`.
    pub folder: &'a Path,
    /// `namespace/name@version`.
    pub service: &'a str,
    /// The numbers of the nodes that offer the service.
    pub nodes: &'a [usize],
}

/// What a bridge connects with.
#[derive(Clone, Copy, Debug)]
pub enum Technology<'a> {
    /// Its offline twin, with the settings of the service's folder.
    Twin,
    /// The technology itself, with these settings.
    Real(&'a Value),
}

impl Bridge {
    /// Publishes and offers the service, connects the program to the nodes and starts it.
    ///
    /// # Errors
    ///
    /// If one of these fails.
    pub fn start(
        cli: &Cli,
        network: &Network,
        binary: &Path,
        state: &Path,
        order: Order<'_>,
        technology: Technology<'_>,
    ) -> Result<Self> {
        let source = order.folder.to_str().context("the service's path is not text")?;
        cli.run(&["service", "publish", source])?;
        // Nobody else asks for a port in between, or the bridge says so.
        let address = TcpListener::bind("127.0.0.1:0")?.local_addr()?;
        let url = format!("http://{address}");
        let folder = state.join(order.name).join(order.service.replace('/', "_"));
        std::fs::create_dir_all(&folder)?;
        let mut command = Command::new(program(binary)?);
        command.arg(order.name).arg("--listen").arg(address.to_string());
        command.arg("--service").arg(order.service).arg("--folder").arg(&folder);
        let settings = match technology {
            Technology::Twin => {
                command.arg("--twin");
                order.folder.join("settings.json")
            }
            Technology::Real(settings) => {
                let path = folder.join("settings.json");
                std::fs::write(&path, settings.to_string())?;
                path
            }
        };
        if settings.is_file() {
            command.arg("--config").arg(&settings);
        }
        for number in order.nodes {
            let number_text = number.to_string();
            let node = ["--dev-node", number_text.as_str()];
            let offer = ["service", "offer", order.service, "--stake", "100", "--term", "30d"];
            cli.run(&[&offer[..], &node].concat())?;
            let connect = ["service", "connect", order.service, "--url", &url];
            let connection = cli.run(&[&connect[..], &node].concat())?;
            let text = |name: &str| -> Result<String> {
                let value = connection[name].as_str();
                Ok(value.with_context(|| format!("the connection has no {name}"))?.to_owned())
            };
            command.args(["--node", &network.node(*number)?.api]);
            command.args(["--secret", &text("secret")?, "--token", &text("token")?]);
        }
        let log = std::fs::File::create(folder.join("bridge.log"))?;
        let child = command
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(log)
            .spawn()
            .context("starting althing-bridge")?;
        let mut bridge = Self { child, url };
        bridge.wait()?;
        Ok(bridge)
    }

    fn wait(&mut self) -> Result<()> {
        let deadline = Instant::now() + UP_WITHIN;
        loop {
            if ureq::get(&self.url).call().is_ok() || refused_politely(&self.url) {
                return Ok(());
            }
            ensure!(self.child.try_wait()?.is_none(), "a bridge ended: see its log");
            if Instant::now() > deadline {
                bail!("a bridge did not come up");
            }
            std::thread::park_timeout(Duration::from_millis(20));
        }
    }

    /// What the twin shows under a path.
    ///
    /// # Errors
    ///
    /// If it does not answer.
    pub fn shown(&self, path: &str) -> Result<Vec<Value>> {
        let mut reply = ureq::get(format!("{}{path}", self.url)).call()?;
        Ok(reply.body_mut().with_config().limit(64 << 20).read_json()?)
    }

    /// Tells the twin something.
    ///
    /// # Errors
    ///
    /// If it does not take it.
    pub fn tell(&self, path: &str, body: &Value) -> Result<Value> {
        let mut reply = ureq::post(format!("{}{path}", self.url)).send_json(body)?;
        Ok(reply.body_mut().read_json()?)
    }
}

/// Any answer over HTTP shows that somebody listens.
fn refused_politely(url: &str) -> bool {
    matches!(ureq::get(url).call(), Err(ureq::Error::StatusCode(_)))
}

/// The program beside the binary `althing`.
fn program(binary: &Path) -> Result<PathBuf> {
    let path = binary.with_file_name("althing-bridge");
    ensure!(path.is_file(), "{} is missing: build the workspace", path.display());
    Ok(path)
}

impl Drop for Bridge {
    fn drop(&mut self) {
        self.child.kill().ok();
        self.child.wait().ok();
    }
}
