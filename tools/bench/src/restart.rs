//! A node with a million keys, killed and started again.

use std::path::Path;
use std::sync::Arc;
use std::time::Instant;

use althing_keys::{NodeKeys, Secp256k1};
use althing_node::folder::Folder;
use althing_node::genesis_file;
use althing_replica::{Config, Ports, Replica};
use althing_store_redb::RedbStore;
use althing_types::{Address, Amount, Operation, Transfer, keccak};
use anyhow::{Context as _, Result, ensure};

use crate::child::{Ask, Child, say};
use crate::figure::{Bar, Figure};
use crate::solo::Solo;
use crate::stage::{self, Stage, person};

const KEYS: u64 = 1_000_000;
/// Most operations in one transaction.
const TRANSFERS: u64 = 1_000;
/// Transactions in a block: some 2 MB.
const TRANSACTIONS: u64 = 50;
/// Where a node keeps its chain, below its data.
const CHAIN: &str = "chain";

fn address(n: u64) -> Address {
    let hash = keccak(&[b"bench key", &n.to_be_bytes()]);
    Address(*hash.0.first_chunk().expect("a hash has 32 bytes"))
}

/// Makes a chain with a million accounts in a node's folder.
fn fill(folder: &Folder) -> Result<()> {
    let genesis = genesis_file::read(&folder.genesis_file())?;
    let NodeKeys { account, beacon, endpoint: _ } = NodeKeys::load(folder.path())?;
    let store = Arc::new(RedbStore::open(folder.data(CHAIN))?);
    let mut solo = Solo::open(genesis, store, vec![account], beacon)?;
    let transfer = |n: u64| {
        Operation::Transfer(Transfer { to: address(n), amount: Amount::from_base_units(1) })
    };
    for block in (0..KEYS).step_by(usize::try_from(TRANSFERS * TRANSACTIONS)?) {
        for first in (block..block + TRANSFERS * TRANSACTIONS).step_by(usize::try_from(TRANSFERS)?)
        {
            solo.ask(&person(), (first..first + TRANSFERS).map(transfer).collect())?;
        }
        solo.block()?;
    }
    Ok(())
}

/// The role: opens the chain as a node does, says how long that took, and waits to be ended.
pub(crate) fn open(folder: &Path) -> Result<()> {
    let folder = Folder::new(folder);
    let genesis = genesis_file::read(&folder.genesis_file())?;
    let own = NodeKeys::load(folder.path())?.account.address();
    let start = Instant::now();
    let store = Arc::new(RedbStore::open(folder.data(CHAIN))?);
    let ports = Ports {
        store,
        signatures: Arc::new(Secp256k1),
        beacon: None,
        clock: Box::new(althing_node::now),
    };
    let replica = Replica::open(Config::new(genesis, own), ports)?;
    say(&start.elapsed().as_secs_f64())?;
    std::io::stdin().lines().for_each(drop);
    drop(replica);
    Ok(())
}

/// Runs the benchmark.
pub(crate) fn run(stage: &Stage) -> Result<Vec<Figure>> {
    let network = stage.network("restart", 1, &[])?;
    let folder = &network.nodes.first().context("there is one")?.folder;
    fill(&Folder::new(folder))?;
    // Alive and deciding when it is killed: what it has open then is what a restart has to cope with.
    let mut node = stage::start_one(folder, &["node"])?;
    node.answer::<String>().context("the node did not come up")?;
    let height: u64 = node.ask(&Ask::Height(0))?;
    node.ask::<u64>(&Ask::Height(height + 3))?;
    node.kill()?;

    let path = folder.to_str().context("the folder's path is not text")?;
    let mut opening = Child::begin(&["open", path], &folder.join("open.log"))?;
    let seconds: f64 = opening.answer()?;
    let cpu = opening.cpu()?;
    opening.kill()?;
    let chain = Figure::new("opening the chain with 1 M keys after kill -9", seconds, "s")
        .cpu(cpu.as_secs_f64(), "s")
        .bar(Bar::AtMost(2.0));

    let start = Instant::now();
    let mut node = stage::start_one(folder, &["node"])?;
    node.answer::<String>().context("the node did not come up again")?;
    let up = start.elapsed();
    let cpu = node.cpu()?;
    let at: u64 = node.ask(&Ask::Height(0))?;
    ensure!(at >= height, "the chain went back from {height} to {at}");
    node.ask::<u64>(&Ask::Height(at + 1))?;
    let decides = start.elapsed();
    node.stop()?;
    let whole = Figure::new("the whole node, until it is up", up.as_secs_f64(), "s")
        .cpu(cpu.as_secs_f64(), "s")
        .bar(Bar::AtMost(2.0))
        .note(format!("it decides its next height after {:.2} s", decides.as_secs_f64()));
    Ok(vec![chain, whole])
}
