//! `althing-bridge NAME`: starts one bridge beside a node.

use std::net::SocketAddr;
use std::path::PathBuf;

use althing_bridges::{Config, Connection, Memory, Setup, bridge, serve};
use anyhow::{Context as _, Result, ensure};
use clap::Parser;

/// Connects a technology with a node, as a native service.
#[derive(Debug, Parser)]
#[command(version)]
struct Arguments {
    /// Which one: approval, email, ethereum, files, http, notify, scripted, sql, timer.
    name: String,
    /// Where the node finds the bridge.
    #[arg(long, env = "ALTHING_BRIDGE_LISTEN", default_value = "127.0.0.1:0")]
    listen: SocketAddr,
    /// Base address of a node's API; with its secret and token, once for each node.
    #[arg(long, env = "ALTHING_BRIDGE_NODE", value_delimiter = ',', required = true)]
    node: Vec<String>,
    /// The service, as `namespace/name@version` or its id.
    #[arg(long, env = "ALTHING_BRIDGE_SERVICE")]
    service: String,
    /// The secret that `althing service connect` gave.
    #[arg(
        long,
        env = "ALTHING_BRIDGE_SECRET",
        hide_env_values = true,
        value_delimiter = ',',
        required = true
    )]
    secret: Vec<String>,
    /// The token that `althing service connect` gave.
    #[arg(
        long,
        env = "ALTHING_BRIDGE_TOKEN",
        hide_env_values = true,
        value_delimiter = ',',
        required = true
    )]
    token: Vec<String>,
    /// Where the bridge keeps what it must remember.
    #[arg(long, env = "ALTHING_BRIDGE_FOLDER")]
    folder: PathBuf,
    /// Settings of the technology, JSON.
    #[arg(long, env = "ALTHING_BRIDGE_CONFIG")]
    config: Option<PathBuf>,
    /// Replace the technology by its offline twin.
    #[arg(long)]
    twin: bool,
}

#[tokio::main]
async fn main() -> Result<()> {
    let filter = tracing_subscriber::EnvFilter::try_from_default_env();
    tracing_subscriber::fmt()
        .with_env_filter(filter.unwrap_or_else(|_| "info".into()))
        .with_writer(std::io::stderr)
        .init();
    let arguments = Arguments::parse();
    let config = arguments.config.as_deref().map(Config::read).transpose()?.unwrap_or_default();
    let count = arguments.node.len();
    ensure!(
        arguments.secret.len() == count && arguments.token.len() == count,
        "every node needs its secret and its token: there are {count} nodes, {} secrets, {} tokens",
        arguments.secret.len(),
        arguments.token.len()
    );
    let nodes = arguments.node.into_iter().zip(arguments.secret).zip(arguments.token);
    let nodes = nodes.map(|((node, secret), token)| Connection { node, secret, token }).collect();
    let setup = Setup {
        listen: arguments.listen,
        nodes,
        service: arguments.service,
        folder: arguments.folder,
        twin: arguments.twin,
        config,
    };
    let memory = Memory::open(&setup.folder)?;
    let bridge = bridge::open(&arguments.name, &setup, &memory)
        .await
        .with_context(|| format!("starting the bridge '{}'", arguments.name))?;
    serve(&setup, bridge, memory).await
}
