//! The bare engine: opaque transactions between nodes over iroh, to compare the ledger with.
//!
//! ```text
//! bare [--nodes 4] [--transactions 1000] [--bytes 250] [--seconds 10] [--warm 3]
//! ```
//!
//! Every node is a process of its own; blocks and logs are on disk and synced, as in a real node.
//! Prints one JSON object: transactions a second, milliseconds a height (p50, p99), and the CPU
//! milliseconds that all nodes together spend on one height.

#[path = "../tests/common/mod.rs"]
mod common;

use std::io::{BufRead as _, BufReader, Write as _};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::str::FromStr;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use althing_consensus_malachite::{Config, ConsensusSigner as _, spawn};
use althing_net_iroh::{IrohNetwork, Limits, PeerAddress, endpoint_of};
use althing_types::{ChainId, Eip712, Hash, Height, ValidatorSet, keccak};
use common::{Disk, Key, Opaque, Secp, validator};
use serde_json::{Value, json};
use tokio::sync::watch;

const CHAIN: ChainId = ChainId(7);

type Failure = Box<dyn std::error::Error>;

/// The value after `--name`, or the default.
fn option<T: FromStr>(name: &str, default: T) -> T {
    let mut arguments = std::env::args().skip_while(|a| a.strip_prefix("--") != Some(name));
    arguments.nth(1).and_then(|value| value.parse().ok()).unwrap_or(default)
}

fn main() -> Result<(), Failure> {
    match option::<i64>("index", -1) {
        -1 => bench(),
        index => {
            let runtime = tokio::runtime::Builder::new_multi_thread()
                .worker_threads(2)
                .enable_all()
                .build()?;
            runtime.block_on(node(usize::try_from(index)?))
        }
    }
}

fn secret(node: usize) -> [u8; 32] {
    keccak(&[b"endpoint", &node.to_be_bytes()]).0
}

/// Free ports: taken together, then given back for the nodes to take.
fn free_ports(count: usize) -> std::io::Result<Vec<u16>> {
    let sockets: Vec<_> =
        (0..count).map(|_| std::net::UdpSocket::bind("127.0.0.1:0")).collect::<Result<_, _>>()?;
    sockets.iter().map(|socket| Ok(socket.local_addr()?.port())).collect()
}

/// Starts all nodes, and sums up what they measured.
fn bench() -> Result<(), Failure> {
    let nodes: usize = option("nodes", 4);
    let folder = tempfile::tempdir()?;
    let ports = free_ports(nodes)?;
    let ports: Vec<String> = ports.iter().map(u16::to_string).collect();
    let start = |index: usize| -> std::io::Result<Child> {
        Command::new(std::env::current_exe()?)
            .args(["--index", &index.to_string(), "--ports", &ports.join(",")])
            .arg("--folder")
            .arg(folder.path())
            .args(std::env::args().skip(1))
            .stdout(Stdio::piped())
            .spawn()
    };
    let children = (0..nodes).map(start).collect::<Result<Vec<_>, _>>()?;
    let mut measured = Vec::new();
    for mut child in children {
        let output = child.stdout.take().ok_or("a child has its output")?;
        let line = BufReader::new(output).lines().next().ok_or("a node measured nothing")??;
        measured.push(serde_json::from_str::<Value>(&line)?);
        child.wait()?;
    }
    let number = |value: &Value, key: &str| value[key].as_f64().unwrap_or(f64::NAN);
    let cpu_ms: f64 = measured.iter().map(|node| number(node, "cpu_ms")).sum();
    let first = measured.first().ok_or("no nodes")?;
    let result = json!({
        "nodes": nodes,
        "transactions_per_height": option("transactions", 1000),
        "transaction_bytes": option("bytes", 250),
        "heights": first["heights"],
        "extra_rounds": first["extra_rounds"],
        "transactions_per_second": first["transactions_per_second"],
        "height_ms_p50": first["height_ms_p50"],
        "height_ms_p99": first["height_ms_p99"],
        "cpu_ms": cpu_ms,
    });
    writeln!(std::io::stdout(), "{result}")?;
    Ok(())
}

fn address_of(port: &str) -> Result<SocketAddr, Failure> {
    Ok(SocketAddr::from(([127, 0, 0, 1], port.parse()?)))
}

async fn network(index: usize, addresses: &[SocketAddr]) -> Result<IrohNetwork, Failure> {
    let peers = addresses.iter().enumerate().filter(|(node, _)| *node != index);
    let peer = |(node, address): (usize, &SocketAddr)| PeerAddress {
        endpoint: endpoint_of(&secret(node)),
        address: *address,
    };
    let key = Key::of(index);
    let own = endpoint_of(&secret(index));
    let config = althing_net_iroh::Config {
        secret: secret(index),
        listen: *addresses.get(index).ok_or("an address for every node")?,
        chain: CHAIN,
        genesis: Hash::ZERO,
        account: key.address(),
        hello: key.sign_recoverable(&Eip712::new(CHAIN).hello(key.address(), &own.0)),
        bootstrap: peers.map(peer).collect(),
        signatures: Arc::new(Secp),
        limits: Limits { bytes_per_second: 1 << 30, ..Limits::default() },
    };
    Ok(IrohNetwork::bind(config).await?)
}

/// Runs one node, and prints what it measured.
async fn node(index: usize) -> Result<(), Failure> {
    let ports: String = option("ports", String::new());
    let addresses = ports.split(',').map(address_of).collect::<Result<Vec<_>, _>>()?;
    let folder = PathBuf::from(option("folder", String::new()));
    let network = Arc::new(network(index, &addresses).await?);

    let members = (0..addresses.len()).map(|node| {
        let power = [1000, 2000, 3000, 4000].into_iter().cycle().nth(node).unwrap_or(1000);
        validator(node, endpoint_of(&secret(node)), power)
    });
    let set = ValidatorSet::new(members.collect());
    let disk = Arc::new(Mutex::new(Disk::default()));
    let key = Key::of(index);
    let mut application = Opaque::new(disk, key.address(), Arc::new(move |_| set.clone()));
    application.transactions = option("transactions", 1000);
    application.transaction_bytes = option("bytes", 250);
    let blocks = |folder: &Path| std::fs::File::create(folder.join(format!("blocks-{index}")));
    application.file = Some(blocks(&folder)?);
    let mut committed = application.committed.subscribe();

    let mut config = Config::new(CHAIN, folder.join(format!("wal-{index}")));
    config.propose_timeout = Duration::from_secs(1);
    let (_work, work) = watch::channel(true);
    let (application, port) = (Arc::new(Mutex::new(application)), network.clone());
    let mut handle = spawn(config, application, port, Arc::new(key), Arc::new(Secp), work).await?;

    let seconds: u64 = option("seconds", 10);
    committed.wait_for(|height| *height > Height(0)).await?;
    let warm = Instant::now() + Duration::from_secs(option("warm", 3));
    while Instant::now() < warm {
        committed.changed().await?;
    }
    let (start, cpu) = (Instant::now(), cpu_time());
    let (mut last, mut gaps_ms) = (start, Vec::new());
    while start.elapsed() < Duration::from_secs(seconds) {
        tokio::select! {
            changed = committed.changed() => changed?,
            fault = handle.stopped() => return Err(fault.into()),
        }
        // A watch shows the last of several heights: none is that fast here.
        gaps_ms.push(last.elapsed().as_secs_f64() * 1e3);
        last = Instant::now();
    }
    let cpu_ms = (cpu_time() - cpu).as_secs_f64() * 1e3;
    gaps_ms.sort_by(f64::total_cmp);
    let heights = f64::from(u32::try_from(gaps_ms.len())?);
    let percentile = |percent: usize| gaps_ms.get(gaps_ms.len() * percent / 100);
    let transactions = f64::from(option("transactions", 1000_u32));
    let result = json!({
        "heights": gaps_ms.len(),
        "extra_rounds": handle.progress().borrow().extra_rounds,
        "transactions_per_second": heights * transactions / (last - start).as_secs_f64(),
        "height_ms_p50": percentile(50),
        "height_ms_p99": percentile(99),
        "cpu_ms": cpu_ms / heights,
    });
    writeln!(std::io::stdout(), "{result}")?;
    // The others are still measuring: leave together.
    tokio::time::sleep(Duration::from_millis(500)).await;
    handle.shutdown().await;
    network.shutdown().await;
    Ok(())
}

/// User and system time of this process, from the kernel's own account.
fn cpu_time() -> Duration {
    let ticks_per_second = 100;
    let account = std::fs::read_to_string("/proc/self/stat").unwrap_or_default();
    let fields = account.rsplit(')').next().unwrap_or_default().split_whitespace();
    let ticks: u64 = fields.skip(11).take(2).filter_map(|field| field.parse::<u64>().ok()).sum();
    Duration::from_millis(ticks * 1000 / ticks_per_second)
}
