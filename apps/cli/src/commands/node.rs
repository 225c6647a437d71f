//! Runs a node.
//!
//! Dishonest conduct has one way in, the hidden `dev-start`, and only that: `start` names no other
//! conduct than the honest one.

use std::fmt;
use std::io::Read as _;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::str::FromStr;
use std::time::Duration;

use althing_faults::{Copier, Liar, Mute};
use althing_keys::NodeKeys;
use althing_node::folder::{Folder, Settings};
use althing_node::{Node as RunningNode, genesis_file, parameters};
use althing_replica::application::Fault;
use althing_types::{Address, Amount, ChainId, Endowment, Genesis, GenesisValidator};
use althing_work::{Conduct, Honest};
use anyhow::{Context as _, Result};
use clap::{Args, Subcommand};
use serde::Serialize;
use tokio::sync::oneshot;

use crate::commands::account;
use crate::failure::Failure;
use crate::home::Home;
use crate::output::{Output, table};
use crate::patience::pause;

/// What a chain of one's own begins with.
const NODE_BALANCE: Amount = Amount::from_tokens(10_000);
const NODE_BOND: Amount = Amount::from_tokens(1_000);
const PERSON_BALANCE: Amount = Amount::from_tokens(1_000_000);

/// Run a node.
#[derive(Debug, Subcommand)]
pub(crate) enum Node {
    /// Make a folder for a node: keys, settings, genesis.
    Init(Init),
    /// Run the node in a folder until Ctrl-C.
    Start(Start),
    /// Run a node of a development network, honest or not, until standard input ends.
    #[command(hide = true)]
    DevStart(DevStart),
    /// Ask a node how it is.
    Status(Status),
}

impl Node {
    pub(crate) fn run(self, home: &Home, output: Output) -> Result<()> {
        match self {
            Self::Init(command) => command.run(home, output),
            Self::Start(command) => command.run(output),
            Self::DevStart(command) => command.run(output),
            Self::Status(command) => command.run(home, output),
        }
    }
}

/// Make a folder for a node: keys, settings, genesis.
#[derive(Debug, Args)]
pub(crate) struct Init {
    /// The folder; it must not hold a node.
    #[arg(long, value_name = "DIR")]
    dir: PathBuf,
    /// The chain to join [default: a chain of its own, with this node as its only validator].
    #[arg(long, value_name = "FILE")]
    genesis: Option<PathBuf>,
    /// UDP address for other nodes [default: 0.0.0.0:4900].
    #[arg(long, value_name = "ADDRESS")]
    listen: Option<SocketAddr>,
    /// TCP address of the HTTP interface [default: 127.0.0.1:4901].
    #[arg(long, value_name = "ADDRESS")]
    api: Option<SocketAddr>,
    /// A node to connect to first; may be given several times.
    #[arg(long, value_name = "ENDPOINT@ADDRESS")]
    peer: Vec<Peer>,
}

/// A node and where it listens.
#[derive(Clone, Debug)]
pub(crate) struct Peer(String);

impl FromStr for Peer {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let wrong = || format!("{text:?} is not ENDPOINT@ADDRESS, such as 0xab…@192.0.2.1:4900");
        let (endpoint, address) = text.split_once('@').ok_or_else(wrong)?;
        endpoint.parse::<althing_types::EndpointId>().map_err(|_| wrong())?;
        address.parse::<SocketAddr>().map_err(|_| wrong())?;
        Ok(Self(text.to_owned()))
    }
}

#[derive(Serialize)]
struct Made {
    folder: PathBuf,
    account: String,
    endpoint: String,
    genesis: String,
    peer: String,
    api: String,
}

impl Init {
    fn run(self, home: &Home, output: Output) -> Result<()> {
        let folder = Folder::new(&self.dir);
        if NodeKeys::path(&self.dir).exists() || folder.settings_file().exists() {
            let message = format!("{} already holds a node", self.dir.display());
            let hint = "choose another folder; a node's keys are never overwritten";
            return Err(Failure::new("CLI-0015", message, hint).into());
        }
        // Before anything is written: a genesis that cannot be read must leave no half-made folder.
        let joined = self.genesis.as_deref().map(genesis_file::read).transpose()?;
        let keys = NodeKeys::create(&self.dir)?;
        let genesis = match joined {
            Some(genesis) => genesis,
            None => own_chain(&keys, account::address(home, None).ok()),
        };
        let defaults = Settings::default();
        let settings = Settings {
            listen: self.listen.unwrap_or(defaults.listen),
            api: self.api.unwrap_or(defaults.api),
            peers: self.peer.into_iter().map(|peer| peer.0).collect(),
            ..defaults
        };
        genesis_file::write(&folder.genesis_file(), &genesis)?;
        folder.write_settings(&settings)?;
        let mut preferences = home.preferences()?;
        if preferences.node.is_none() {
            // Whoever runs a node talks to it, unless another one was chosen before.
            preferences.node = Some(format!("http://{}", settings.api));
            home.save_preferences(&preferences)?;
        }
        let endpoint = althing_net_iroh::endpoint_of(&keys.endpoint).to_string();
        let made = Made {
            folder: self.dir,
            account: keys.account.address().to_string(),
            peer: format!("{endpoint}@{}", settings.listen),
            endpoint,
            genesis: genesis.hash().to_string(),
            api: format!("http://{}", settings.api),
        };
        output.print(&made, |made| {
            format!(
                "a node in {}\n  account   {}\n  endpoint  {}\n  genesis   {}\n  API       {}\n\
                 start it with `althing node start --dir {}`",
                made.folder.display(),
                made.account,
                made.endpoint,
                made.genesis,
                made.api,
                made.folder.display()
            )
        })
    }
}

/// A new chain that this node decides alone, until others bond.
fn own_chain(keys: &NodeKeys, person: Option<Address>) -> Genesis {
    let (now, node) = (althing_node::now(), keys.account.address());
    let person = person.map(|address| Endowment { address, balance: PERSON_BALANCE });
    let mut accounts: Vec<Endowment> =
        person.into_iter().chain([Endowment { address: node, balance: NODE_BALANCE }]).collect();
    accounts.sort_by_key(|account| account.address);
    Genesis {
        // The time tells it apart from every earlier chain, so that no signature is valid on both.
        chain: ChainId(now.0),
        time: now,
        parameters: parameters::open_network(),
        accounts,
        validators: vec![GenesisValidator {
            address: node,
            public_key: keys.account.public_key(),
            endpoint: althing_net_iroh::endpoint_of(&keys.endpoint),
            beacon_key: keys.beacon.key(),
            bonded: NODE_BOND,
        }],
    }
}

/// Run the node in a folder until Ctrl-C.
#[derive(Debug, Args)]
pub(crate) struct Start {
    /// The node's folder.
    #[arg(long, value_name = "DIR")]
    dir: PathBuf,
    /// Another node to connect to, remembered in node.json; may be given several times.
    #[arg(long, value_name = "ENDPOINT@ADDRESS")]
    peer: Vec<Peer>,
}

impl Start {
    fn run(self, output: Output) -> Result<()> {
        let folder = Folder::new(&self.dir);
        if !self.peer.is_empty() {
            let mut settings = folder.settings()?;
            let known = settings.peers.clone();
            settings.peers.extend(
                self.peer.into_iter().map(|peer| peer.0).filter(|peer| !known.contains(peer)),
            );
            folder.write_settings(&settings)?;
        }
        run(&folder, Box::new(Honest), Until::Signal, output)
    }
}

/// Run a node of a development network, honest or not, until standard input ends.
#[derive(Debug, Args)]
pub(crate) struct DevStart {
    /// The node's folder.
    #[arg(long, value_name = "DIR")]
    dir: PathBuf,
    /// `honest`, `liar:PERCENT`, `copier` or `mute`.
    #[arg(long, default_value_t = DevConduct::Honest)]
    conduct: DevConduct,
    /// File that says how far the network's clock is ahead, in milliseconds; it is followed.
    #[arg(long, value_name = "FILE")]
    clock: Option<PathBuf>,
}

/// How a node of a development network behaves.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum DevConduct {
    Honest,
    Liar { percent: u8 },
    Copier,
    Mute,
}

impl FromStr for DevConduct {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let (name, percent) =
            text.split_once(':').map_or((text, None), |(name, rest)| (name, Some(rest)));
        match (name, percent) {
            ("honest", None) => Ok(Self::Honest),
            ("copier", None) => Ok(Self::Copier),
            ("mute", None) => Ok(Self::Mute),
            ("liar", percent) => match percent.unwrap_or("100").parse() {
                Ok(percent @ 0..=100) => Ok(Self::Liar { percent }),
                _ => Err(format!("{text:?} has no percentage from 0 to 100")),
            },
            _ => Err(format!("{text:?} is none of honest, liar:PERCENT, copier, mute")),
        }
    }
}

impl fmt::Display for DevConduct {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Honest => f.write_str("honest"),
            Self::Liar { percent } => write!(f, "liar:{percent}"),
            Self::Copier => f.write_str("copier"),
            Self::Mute => f.write_str("mute"),
        }
    }
}

impl DevConduct {
    /// Chance depends on the node alone, so that what a node does can be repeated.
    fn of(self, node: Address) -> Box<dyn Conduct> {
        let (first, _) = node.0.split_first_chunk::<8>().expect("an address has 20 bytes");
        let seed = u64::from_be_bytes(*first);
        match self {
            Self::Honest => Box::new(Honest),
            Self::Liar { percent } => Box::new(Liar::new(seed, percent)),
            Self::Copier => Box::new(Copier::new(seed, node)),
            Self::Mute => Box::new(Mute),
        }
    }
}

impl DevStart {
    fn run(self, output: Output) -> Result<()> {
        let node = NodeKeys::load(&self.dir)?.account.address();
        if let Some(file) = self.clock {
            follow(&file);
            // It ends with this program: nothing else tells of a change of the file.
            std::thread::spawn(move || {
                loop {
                    pause(CLOCK_POLL);
                    follow(&file);
                }
            });
        }
        run(&Folder::new(&self.dir), self.conduct.of(node), Until::InputEnds, output)
    }
}

/// Between two looks at the file that a network's clock follows.
const CLOCK_POLL: Duration = Duration::from_millis(50);

/// Sets the clock as far ahead as the file says.
fn follow(file: &Path) {
    let text = std::fs::read_to_string(file).unwrap_or_default();
    if let Ok(ms) = text.trim().parse() {
        althing_node::set_ahead(ms);
    }
}

/// What ends a node beside a signal.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Until {
    Signal,
    /// The supervisor holds the other end, and lets it go however it ends.
    InputEnds,
}

/// Why a node is to end.
enum End {
    Asked,
    Fault(Fault),
}

fn run(folder: &Folder, conduct: Box<dyn Conduct>, until: Until, output: Output) -> Result<()> {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
        .context("starting the threads of the node")?;
    runtime.block_on(Box::pin(async {
        let mut terminate =
            tokio::signal::unix::signal(tokio::signal::unix::SignalKind::terminate())?;
        let mut node = RunningNode::start(folder, conduct).await?;
        output.say(&format!("the node in {} runs; Ctrl-C stops it", folder.path().display()));
        let end = tokio::select! {
            fault = node.stopped() => End::Fault(fault),
            _ = terminate.recv() => End::Asked,
            interrupted = tokio::signal::ctrl_c() => interrupted.map(|()| End::Asked)?,
            () = input_ends(until) => End::Asked,
        };
        node.shutdown().await;
        match end {
            End::Asked => Ok(()),
            End::Fault(fault) => Err(stopped(fault)),
        }
    }))
}

/// Returns when standard input ends, if that is to end the node.
async fn input_ends(until: Until) {
    if until == Until::Signal {
        return std::future::pending().await;
    }
    let (ended, wait) = oneshot::channel();
    // A thread, because a read of standard input cannot be cancelled; it ends with the process.
    std::thread::spawn(move || {
        std::io::stdin().lock().read_to_end(&mut Vec::new()).ok();
        ended.send(()).ok();
    });
    wait.await.ok();
}

/// A node that can no longer trust itself has stopped.
fn stopped(fault: Fault) -> anyhow::Error {
    let (code, hint) = match fault.code {
        Some(code) => (code, format!("docs/errors/{code}.md says what to do")),
        None => {
            ("CLI-0016", "see its log; `althing doctor --dir DIR` looks at the folder".to_owned())
        }
    };
    let failure = Failure::new(code, "the node has stopped itself", hint);
    anyhow::Error::new(fault).context(failure)
}

/// Ask a node how it is.
#[derive(Debug, Args)]
pub(crate) struct Status {
    /// Folder of the node to ask [default: the node that other commands talk to].
    #[arg(long, value_name = "DIR")]
    dir: Option<PathBuf>,
}

impl Status {
    fn run(self, home: &Home, output: Output) -> Result<()> {
        let client = match &self.dir {
            Some(dir) => client_of(dir)?,
            None => home.client()?,
        };
        output.print(&client.status()?, |status| {
            let rows = [
                ("node", status.address.to_string()),
                ("endpoint", status.endpoint.to_string()),
                ("version", status.version.clone()),
                ("genesis", status.genesis.to_string()),
                ("height", status.height.to_string()),
                ("syncing", if status.syncing { "yes" } else { "no" }.to_owned()),
                ("peers", status.peers.to_string()),
                ("pending", status.pending.to_string()),
            ];
            let rows: Vec<Vec<String>> =
                rows.into_iter().map(|(name, value)| vec![name.to_owned(), value]).collect();
            table(&["", ""], &rows).trim_start().to_owned()
        })
    }
}

/// The way to the node whose folder this is.
pub(crate) fn client_of(folder: &Path) -> Result<althing_api::client::Client> {
    let settings = Folder::new(folder).settings()?;
    Ok(althing_api::client::Client::new(&format!("http://{}", settings.api)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_conduct_reads_back_what_it_prints() {
        for text in ["honest", "liar:30", "liar:100", "copier", "mute"] {
            assert_eq!(text.parse::<DevConduct>().unwrap().to_string(), text);
        }
        for text in ["", "liar:101", "liar:x", "mute:3", "saint"] {
            assert!(text.parse::<DevConduct>().is_err(), "{text}");
        }
    }

    #[test]
    fn a_peer_is_an_endpoint_at_an_address() {
        let endpoint = format!("0x{}", "ab".repeat(32));
        assert!(format!("{endpoint}@127.0.0.1:4900").parse::<Peer>().is_ok());
        for text in [endpoint.as_str(), "127.0.0.1:4900", "0xab@127.0.0.1:4900", "x@y@z"] {
            assert!(text.parse::<Peer>().is_err(), "{text}");
        }
    }

    #[test]
    fn a_chain_of_ones_own_has_the_person_and_one_validator() {
        let keys = NodeKeys::generate().unwrap();
        let person = Address([7; 20]);
        let genesis = own_chain(&keys, Some(person));
        assert!(genesis.accounts.is_sorted_by_key(|account| account.address));
        assert!(
            genesis.accounts.iter().any(|a| a.address == person && a.balance == PERSON_BALANCE)
        );
        assert_eq!(genesis.validators.len(), 1);
    }
}
