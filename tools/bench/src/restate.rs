//! The peer of the benchmark `runs`: Restate's server, with a chain of three service calls.
//!
//! It is no dependency of the project: whoever wants the comparison installs it, as
//! `docs/bench.md` says, and names the folder.

use std::fs::{self, File};
use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};
use bytes::Bytes;
use http_body_util::{BodyExt as _, Full};
use hyper::client::conn::http1::{SendRequest, handshake};
use hyper::header::{CONTENT_TYPE, HOST};
use hyper::{Method, Request};
use hyper_util::rt::TokioIo;
use tokio::net::TcpStream;
use tokio::task::JoinSet;
use tokio::time::{sleep, timeout};

use crate::applications::senders::Time;
use crate::cost::{process_cpu, quantile};
use crate::stage::Stage;

/// The peer's side, from the repository's root.
const SERVICES: &str = "tools/bench/src/restate.mjs";
/// How long it may take to come up, and to answer.
const PATIENCE: Duration = Duration::from_secs(60);
const LOOK_EVERY: Duration = Duration::from_millis(100);

/// What the peer came to.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Measured {
    pub(crate) per_second: f64,
    pub(crate) p50_ms: f64,
    pub(crate) p99_ms: f64,
    /// CPU time of the server and of the services' process, for one chain.
    pub(crate) cpu_ms: f64,
}

/// A process that ends with its owner.
struct Process(Child);

impl Process {
    fn start(command: &mut Command, log: &Path) -> Result<Self> {
        let (output, errors) = (File::create(log)?, File::options().append(true).open(log)?);
        command.stdin(Stdio::null()).stdout(output).stderr(errors);
        let what = format!("starting {}", command.get_program().display());
        Ok(Self(command.spawn().context(what)?))
    }

    fn cpu(&self) -> Result<Duration> {
        process_cpu(self.0.id())
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        self.0.kill().ok(); // it may have ended by itself
        self.0.wait().ok();
    }
}

/// The server's program, in the package of this machine's kind.
fn program(folder: &Path) -> Result<PathBuf> {
    let packages = folder.join("node_modules/@restatedev");
    let reading = || format!("no packages of the peer in {}: see docs/bench.md", folder.display());
    let found = fs::read_dir(&packages).with_context(reading)?.flatten();
    let mut programs = found.map(|package| package.path().join("bin/restate-server"));
    programs.find(|path| path.is_file()).context("the peer's package has no server")
}

fn free_port() -> Result<u16> {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).context("looking for a port")?;
    Ok(listener.local_addr()?.port())
}

/// One connection over HTTP.
struct Connection {
    sender: SendRequest<Full<Bytes>>,
    host: String,
}

impl Connection {
    async fn open(port: u16) -> Result<Self> {
        let address = SocketAddr::from((Ipv4Addr::LOCALHOST, port));
        let stream = TcpStream::connect(address).await?;
        stream.set_nodelay(true)?;
        let (sender, connection) = handshake(TokioIo::new(stream)).await?;
        tokio::spawn(connection);
        Ok(Self { sender, host: address.to_string() })
    }

    async fn post(&mut self, path: &str, body: String) -> Result<Bytes> {
        let request = Request::builder()
            .method(Method::POST)
            .uri(path)
            .header(HOST, &self.host)
            .header(CONTENT_TYPE, "application/json")
            .body(Full::new(Bytes::from(body)))?;
        let answer = timeout(PATIENCE, self.sender.send_request(request)).await??;
        let status = answer.status();
        let body = answer.into_body().collect().await?.to_bytes();
        ensure!(status.is_success(), "{path}: {status}, {}", String::from_utf8_lossy(&body));
        Ok(body)
    }
}

async fn posted(port: u16, path: &str, body: &str) -> Result<Bytes> {
    Connection::open(port).await?.post(path, body.to_owned()).await
}

/// Asks until there is an answer.
async fn until_answered(port: u16, path: &str, body: &str) -> Result<()> {
    let deadline = Instant::now() + PATIENCE;
    loop {
        match posted(port, path, body).await {
            Ok(_) => return Ok(()),
            Err(error) if Instant::now() > deadline => {
                return Err(error).context("the peer does not come up: its logs are in the stage");
            }
            Err(_) => sleep(LOOK_EVERY).await,
        }
    }
}

async fn chains(
    ingress: u16,
    processes: &[Process],
    connections: usize,
    time: Time,
) -> Result<Measured> {
    let next = Arc::new(AtomicU64::new(0));
    let begin = Instant::now() + time.warm_up;
    let until = begin + time.measured;
    let mut tasks = JoinSet::new();
    for _ in 0..connections {
        let mut connection = Connection::open(ingress).await?;
        let next = next.clone();
        tasks.spawn(async move {
            let mut samples = Vec::new();
            while Instant::now() < until {
                let order = format!(r#"{{"order":"o-{}"}}"#, next.fetch_add(1, Ordering::Relaxed));
                let sent = Instant::now();
                connection.post("/chain/run", order).await?;
                samples.push((sent, Instant::now()));
            }
            anyhow::Ok(samples)
        });
    }
    let cpu = || processes.iter().map(Process::cpu).sum::<Result<Duration>>();
    tokio::time::sleep_until(begin.into()).await;
    let (before, start) = (cpu()?, Instant::now());
    tokio::time::sleep_until(until.into()).await;
    let (cpu, end) = (cpu()? - before, Instant::now());
    let mut samples = Vec::new();
    while let Some(done) = tasks.join_next().await {
        samples.extend(done??);
    }
    let ended = samples.iter().filter(|(_, ended)| (start..end).contains(ended));
    let mut ms: Vec<f64> =
        ended.map(|(sent, ended)| (*ended - *sent).as_secs_f64() * 1e3).collect();
    ms.sort_by(f64::total_cmp);
    ensure!(!ms.is_empty(), "the peer has finished no chain");
    let count = ms.len() as f64;
    Ok(Measured {
        per_second: count / (end - start).as_secs_f64(),
        p50_ms: quantile(&ms, 0.5),
        p99_ms: quantile(&ms, 0.99),
        cpu_ms: cpu.as_secs_f64() * 1e3 / count,
    })
}

/// Starts the peer that is installed in `folder`, and measures it at each number of connections.
pub(crate) async fn measure(
    stage: &Stage,
    folder: &Path,
    connections: &[usize],
    time: Time,
) -> Result<Vec<Measured>> {
    let data = stage.empty("restate")?;
    let folder = fs::canonicalize(folder).context("finding the peer's folder")?;
    let services =
        fs::canonicalize(SERVICES).context("the benchmark is run in the repository's root")?;
    let (ingress, admin, nodes, port) = (free_port()?, free_port()?, free_port()?, free_port()?);
    let mut command = Command::new("node");
    command.arg(services).arg(port.to_string()).current_dir(&folder);
    command.env("RESTATE_LOGGING", "ERROR").env("NODE_ENV", "production");
    let program_of_services = Process::start(&mut command, &data.join("services.log"))?;
    let mut command = Command::new(program(&folder)?);
    command.args(["--listen-mode", "tcp", "--node-name", "bench", "--log-filter", "error"]);
    command.arg("--base-dir").arg(data.join("data")).current_dir(&data);
    command.env("RESTATE_DISABLE_TELEMETRY", "true").env("RESTATE_BIND_PORT", nodes.to_string());
    command.env("RESTATE_ADMIN__BIND_PORT", admin.to_string());
    command.env("RESTATE_INGRESS__BIND_PORT", ingress.to_string());
    let server = Process::start(&mut command, &data.join("server.log"))?;
    let deployment = format!(r#"{{"uri":"http://127.0.0.1:{port}"}}"#);
    until_answered(admin, "/deployments", &deployment).await?;
    until_answered(ingress, "/chain/run", r#"{"order":"first"}"#).await?;
    let processes = [server, program_of_services];
    let mut measured = Vec::new();
    for count in connections {
        measured.push(chains(ingress, &processes, *count, time).await?);
    }
    Ok(measured)
}
