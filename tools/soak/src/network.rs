//! The network: folders of `dev_network`, each node a process of the real binary.

use std::fs::{self, File};
use std::io;
use std::os::unix::process::ExitStatusExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

use althing_api::client::Client;
use althing_demo::cli::Cli;
use althing_keys::{AccountKey, Keystore, Work};
use althing_node::dev_network::{self, DevNetwork};
use althing_node::folder::Folder;
use althing_node::genesis_file;
use althing_types::{Address, Amount, ChainId, Endowment, Name, keccak};
use anyhow::{Context as _, Result, bail, ensure};
use serde_json::json;

/// How many nodes: two of them may be gone, and five are more than two thirds.
pub const NODES: usize = 7;
/// How many accounts the load is spread over.
pub const SENDERS: u64 = 8;
/// How long anything may take on a busy machine.
pub const PATIENCE: Duration = Duration::from_secs(90);

/// How long members have to open their seals: a node that is only restarted does so in time, also where
/// seven of them share a machine that is busy with other things.
const REVEAL_WINDOW_MS: u64 = 30_000;

/// The password of the network's account, whose tokens are worth nothing.
const PASSWORD: &str = "dev";
/// What each sender owns.
const BALANCE: Amount = Amount::from_tokens(100_000);

/// Lets time pass: another process has no way to wake this one.
pub fn pause(time: Duration) {
    let until = Instant::now() + time;
    while let Some(left) = until.checked_duration_since(Instant::now()) {
        std::thread::park_timeout(left);
    }
}

/// Waits until `done`, or fails with what was waited for.
///
/// # Errors
///
/// If it takes longer than [`PATIENCE`].
pub fn until(what: &str, mut done: impl FnMut() -> Result<bool>) -> Result<()> {
    let deadline = Instant::now() + PATIENCE;
    while !done()? {
        ensure!(Instant::now() < deadline, "waited in vain for {what}");
        pause(Duration::from_millis(50));
    }
    Ok(())
}

/// The key of the `n`-th account that the load uses.
#[must_use]
pub fn sender(n: u64) -> AccountKey {
    AccountKey::from_bytes(&keccak(&[b"soak sender", &n.to_be_bytes()]).0)
        .expect("a hash below the order of the curve, but for one in 2^128")
}

/// How a node is started, beside its folder.
#[derive(Clone, Debug, Default)]
pub struct Launch {
    /// A program and its first arguments that the node is started through.
    pub through: Vec<String>,
    /// Variables of its environment.
    pub environment: Vec<(String, String)>,
}

/// One node.
#[derive(Debug)]
pub struct Member {
    /// Its folder.
    pub folder: PathBuf,
    /// The URL of its API.
    pub api: String,
    /// Its account.
    pub account: Address,
    /// How it is started.
    pub launch: Launch,
    child: Option<Child>,
}

impl Member {
    /// A way to its API.
    #[must_use]
    pub fn client(&self) -> Client {
        Client::new(&self.api)
    }

    /// Where its log is.
    #[must_use]
    pub fn log(&self) -> PathBuf {
        self.folder.join("node.log")
    }

    fn start(&mut self, binary: &Path) -> Result<()> {
        ensure!(self.child.is_none(), "{} runs already", self.folder.display());
        let log = File::options().create(true).append(true).open(self.log())?;
        let mut words = self.launch.through.iter().map(String::as_str);
        let mut command = match words.next() {
            Some(program) => {
                let mut command = Command::new(program);
                command.args(words).arg(binary);
                command
            }
            None => Command::new(binary),
        };
        command.args(["node", "start", "--dir"]).arg(&self.folder);
        command.envs(self.launch.environment.iter().map(|(name, value)| (name, value)));
        command.stdin(Stdio::null()).stdout(log.try_clone()?).stderr(log);
        self.child = Some(command.spawn().context("starting a node")?);
        Ok(())
    }

    /// Whether its process runs.
    fn is_running(&mut self) -> io::Result<bool> {
        self.child.as_mut().map_or(Ok(false), |child| Ok(child.try_wait()?.is_none()))
    }
}

/// Seven nodes; their processes end with it.
#[derive(Debug)]
pub struct Network {
    binary: PathBuf,
    folder: PathBuf,
    /// The chain.
    pub chain: ChainId,
    /// The nodes, in order; numbers begin with one, places with zero.
    pub members: Vec<Member>,
}

impl Network {
    /// Folders of a network in `folder`, which is emptied first; nothing is started.
    ///
    /// # Errors
    ///
    /// If the folder cannot be written, or there is no free port.
    pub fn create(binary: &Path, folder: &Path) -> Result<Self> {
        if folder.exists() {
            fs::remove_dir_all(folder).context("emptying the scenario's folder")?;
        }
        fs::create_dir_all(folder).context("creating the scenario's folder")?;
        let keystore = Keystore::open(folder.join("accounts"))?;
        let name: Name = "dev".parse().context("naming the network's account")?;
        let person = keystore.create(&name, PASSWORD, Work::DEVELOPMENT)?;
        let mut made = dev_network::create(folder, NODES, person.address(), althing_node::now())?;
        endow(&mut made)?;
        let members: Vec<Member> = made
            .nodes
            .iter()
            .map(|node| Member {
                folder: node.folder.clone(),
                api: format!("http://{}", node.api),
                account: node.account,
                launch: Launch::default(),
                child: None,
            })
            .collect();
        // What `althing dev` would leave for the commands of the person.
        let home = json!({
            "node": members.first().map(|member| member.api.clone()),
            "account": "dev",
            "dev_password": PASSWORD,
            "dev_nodes": members.iter().map(|member| &member.folder).collect::<Vec<_>>(),
        });
        fs::write(folder.join("home.json"), home.to_string()).context("writing home.json")?;
        let chain = made.genesis.chain;
        Ok(Self { binary: binary.to_owned(), folder: folder.to_owned(), chain, members })
    }

    /// Creates and starts a network, and waits for its first blocks.
    ///
    /// # Errors
    ///
    /// If it does not come up.
    pub fn running(binary: &Path, folder: &Path) -> Result<Self> {
        let mut network = Self::create(binary, folder)?;
        network.start_all()?;
        Ok(network)
    }

    /// Starts all nodes that do not run, and waits until each has a block.
    ///
    /// # Errors
    ///
    /// If one does not come up.
    pub fn start_all(&mut self) -> Result<()> {
        for place in 0..self.members.len() {
            if !self.is_running(place)? {
                self.start(place)?;
            }
        }
        for place in 0..self.members.len() {
            self.until_height(place, 1)?;
        }
        Ok(())
    }

    /// The folder of the whole network.
    #[must_use]
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// Commands of the person who plays with the network.
    #[must_use]
    pub fn cli(&self) -> Cli {
        Cli::new(&self.binary, &self.folder)
    }

    /// Ways to all nodes.
    #[must_use]
    pub fn clients(&self) -> Vec<Client> {
        self.members.iter().map(Member::client).collect()
    }

    /// Starts a node.
    ///
    /// # Errors
    ///
    /// If it runs already, or cannot be started.
    pub fn start(&mut self, place: usize) -> Result<()> {
        let binary = self.binary.clone();
        self.member(place)?.start(&binary)
    }

    fn member(&mut self, place: usize) -> Result<&mut Member> {
        self.members.get_mut(place).context("no such node")
    }

    /// Whether a node's process runs.
    ///
    /// # Errors
    ///
    /// If the system does not say.
    pub fn is_running(&mut self, place: usize) -> Result<bool> {
        Ok(self.member(place)?.is_running()?)
    }

    /// Ends a node as a power cut would: `kill -9`.
    ///
    /// # Errors
    ///
    /// If it does not run.
    pub fn kill(&mut self, place: usize) -> Result<()> {
        let mut child = self.member(place)?.child.take().context("the node does not run")?;
        child.kill().context("killing a node")?;
        let status = child.wait().context("waiting for a killed node")?;
        ensure!(status.signal() == Some(9), "node {} had ended before: {status}", place + 1);
        Ok(())
    }

    /// Asks a node to end, and waits until it has.
    ///
    /// # Errors
    ///
    /// If it does not end, or not well.
    pub fn stop(&mut self, place: usize) -> Result<()> {
        let member = self.member(place)?;
        let child = member.child.as_ref().context("the node does not run")?;
        let told = Command::new("kill").arg(child.id().to_string()).status()?;
        ensure!(told.success(), "node {} could not be asked to end", place + 1);
        let status = self.ended(place)?;
        ensure!(status.success(), "node {} ended badly: {status}", place + 1);
        Ok(())
    }

    /// Waits until a node's process has ended by itself.
    ///
    /// # Errors
    ///
    /// If it goes on.
    pub fn ended(&mut self, place: usize) -> Result<ExitStatus> {
        let mut status = None;
        until(&format!("the end of node {}", place + 1), || {
            let child = self.member(place)?.child.as_mut().context("the node does not run")?;
            status = child.try_wait()?;
            Ok(status.is_some())
        })?;
        self.member(place)?.child = None;
        status.context("it has ended")
    }

    /// Waits until a node has committed this height.
    ///
    /// # Errors
    ///
    /// If it ends, or takes too long.
    pub fn until_height(&mut self, place: usize, height: u64) -> Result<()> {
        let client = self.member(place)?.client();
        until(&format!("node {} at height {height}", place + 1), || {
            if !self.is_running(place)? {
                let log = self.member(place)?.log();
                bail!("node {} has ended: {}", place + 1, last_lines(&log));
            }
            Ok(client.status().is_ok_and(|status| status.height >= height))
        })
    }

    /// The highest block that any node has.
    #[must_use]
    pub fn height(&self) -> u64 {
        let heights = self.clients().into_iter().filter_map(|client| client.status().ok());
        heights.map(|status| status.height).max().unwrap_or(0)
    }

    /// Waits until all nodes have what the highest has now.
    ///
    /// # Errors
    ///
    /// If one does not catch up.
    pub fn level(&mut self) -> Result<u64> {
        let goal = self.height();
        for place in 0..self.members.len() {
            self.until_height(place, goal)?;
        }
        Ok(goal)
    }

    /// The program that the nodes run.
    #[must_use]
    pub fn binary(&self) -> &Path {
        &self.binary
    }
}

impl Drop for Network {
    fn drop(&mut self) {
        for child in self.members.iter_mut().filter_map(|member| member.child.as_mut()) {
            child.kill().ok(); // it may have ended by itself
            child.wait().ok();
        }
    }
}

/// Gives the load's accounts something to spend.
fn endow(network: &mut DevNetwork) -> Result<()> {
    let genesis = &mut network.genesis;
    let senders = (0..SENDERS).map(|n| sender(n).address());
    let senders = senders.map(|address| Endowment { address, balance: BALANCE });
    genesis.accounts.extend(senders);
    genesis.accounts.sort_by_key(|account| account.address);
    genesis.parameters.reveal_window_ms = REVEAL_WINDOW_MS;
    for node in &network.nodes {
        let file = Folder::new(&node.folder).genesis_file();
        fs::remove_file(&file).context("replacing the genesis")?;
        genesis_file::write(&file, genesis)?;
    }
    Ok(())
}

/// The errors in a log that ended a process, in order: code and title of each.
#[must_use]
pub fn errors(log: &Path) -> Vec<String> {
    let text = fs::read(log).map(|bytes| String::from_utf8_lossy(&bytes).into_owned());
    let lines = text.unwrap_or_default();
    lines.lines().filter(|line| line.starts_with("error[")).map(str::to_owned).collect()
}

/// The end of a log: what a process said before it ended.
#[must_use]
pub fn last_lines(log: &Path) -> String {
    let text = fs::read(log).map(|bytes| String::from_utf8_lossy(&bytes).into_owned());
    let text = text.unwrap_or_default();
    let lines: Vec<&str> = text.lines().collect();
    lines.iter().skip(lines.len().saturating_sub(12)).copied().collect::<Vec<_>>().join("\n")
}
