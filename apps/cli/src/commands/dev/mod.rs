//! A whole network on this machine: one operating-system process a node, dishonest ones if asked for.
//!
//! In a folder with `app.yaml` it also publishes, deploys and watches what is there ([`workspace`]).
//!
//! Each node's standard input is a pipe that this process holds: when it ends, however it ends, the
//! nodes notice and end too.

mod keys;
mod programs;
mod time;
mod workspace;

use std::fs::{File, TryLockError};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::str::FromStr;
use std::time::{Duration, Instant};

use althing_api::client::Client;
use althing_keys::Work;
use althing_node::dev_network::{self, DevNetwork};
use althing_types::Name;
use anyhow::{Context as _, Result};
use clap::Args;
use serde::Serialize;

use self::keys::{Key, Keyboard};
use self::time::FastTime;
use self::workspace::Workspace;
use crate::Global;
use crate::failure::Failure;
use crate::home::{Home, LOCAL, Preferences};
use crate::output::Output;

/// How long the nodes have to come up.
const START_TIMEOUT: Duration = Duration::from_secs(60);
/// How long a node has to end before it is killed.
const STOP_TIMEOUT: Duration = Duration::from_secs(10);
/// The password of the network's account: its tokens are worth nothing.
const PASSWORD: &str = "dev";
const ACCOUNT: &str = "dev";
/// The file in the network's folder that one `althing dev` holds at a time.
const LOCK: &str = "dev.lock";

/// Start a whole network on this machine, and what is in the folder; Ctrl-C stops it.
#[derive(Debug, Args)]
pub(crate) struct Dev {
    /// Folder with `app.yaml` and `services`: published, deployed and watched [default: the current
    /// one, if it has an `app.yaml`].
    folder: Option<PathBuf>,
    /// How many nodes, 1 to 32 [default: 4, or 1 with an application].
    #[arg(long, value_name = "N")]
    nodes: Option<usize>,
    /// Skip waits: when everything waits, the network's clock goes on to what is due next.
    #[arg(long)]
    fast_time: bool,
    /// Node I (from 1) lies on so many percent of its results [default percent: 100].
    #[arg(long, value_name = "I[:PERCENT]")]
    liar: Vec<Liar>,
    /// Node I copies others instead of working.
    #[arg(long, value_name = "I")]
    copier: Vec<usize>,
    /// Node I says nothing about its work.
    #[arg(long, value_name = "I")]
    mute: Vec<usize>,
    /// Folder of the network; an earlier network in it is continued [default: ./.althing].
    #[arg(long, value_name = "DIR")]
    dir: Option<PathBuf>,
    /// Throw an earlier network in the folder away.
    #[arg(long)]
    fresh: bool,
}

/// Who lies, and how often.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Liar {
    node: usize,
    percent: u8,
}

impl FromStr for Liar {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let (node, percent) = text.split_once(':').unwrap_or((text, "100"));
        let node = node.parse().map_err(|_| format!("{node:?} is not the number of a node"))?;
        let percent: u8 =
            percent.parse().map_err(|_| format!("{percent:?} is not a percentage"))?;
        if percent > 100 {
            Err(format!("{percent} is more than 100 percent"))
        } else {
            Ok(Self { node, percent })
        }
    }
}

/// What `althing dev` tells once everything is up.
#[derive(Serialize)]
struct Announcement {
    folder: PathBuf,
    genesis: String,
    account: String,
    nodes: Vec<Started>,
    /// Absent without an application's folder.
    #[serde(skip_serializing_if = "Option::is_none")]
    workspace: Option<Told>,
}

/// What was found in the folder.
#[derive(Serialize)]
struct Told {
    folder: PathBuf,
    /// Absent if the file has mistakes.
    application: Option<String>,
    programs: Vec<ToldProgram>,
}

#[derive(Serialize)]
struct ToldProgram {
    service: String,
    url: String,
    log: PathBuf,
}

#[derive(Serialize)]
struct Started {
    node: usize,
    pid: u32,
    api: String,
    network: String,
    account: String,
    folder: PathBuf,
    conduct: String,
}

/// A running node, ended with this process.
struct Running {
    child: Child,
}

impl Running {
    fn start(folder: &Path, conduct: &str, clock: Option<&Path>) -> Result<Self> {
        let log = File::options()
            .create(true)
            .append(true)
            .open(folder.join("node.log"))
            .with_context(|| format!("opening the log in {}", folder.display()))?;
        let mut command = Command::new(std::env::current_exe().context("finding this program")?);
        command.args(["node", "dev-start", "--conduct", conduct, "--dir"]).arg(folder);
        if let Some(clock) = clock {
            command.arg("--clock").arg(clock);
        }
        command.stdin(Stdio::piped()).stdout(log.try_clone()?).stderr(log);
        Ok(Self { child: command.spawn().context("starting a node")? })
    }
}

impl Dev {
    pub(crate) fn run(self, global: &Global, output: Output) -> Result<()> {
        let workspace = self.workspace();
        let beside = workspace.as_deref().unwrap_or_else(|| Path::new("."));
        let folder = self.dir.clone().unwrap_or_else(|| beside.join(LOCAL));
        let count = self.nodes.unwrap_or_else(|| if workspace.is_some() { 1 } else { 4 });
        let conducts = self.conducts(count)?;
        let _alone = alone(&folder)?;
        if self.fresh && folder.join("home.json").exists() {
            empty(&folder)?;
        }
        let network = Self::network(&folder, count)?;
        let mut fast = self.fast_time.then(|| FastTime::new(&folder));
        // A network whose clock is ahead stays ahead.
        let clock = folder.join("clock");
        let clock = fast.as_ref().map(FastTime::file).or_else(|| clock.exists().then_some(&*clock));
        let mut running = Vec::new();
        for (node, conduct) in network.nodes.iter().zip(&conducts) {
            running.push(Running::start(&node.folder, conduct, clock)?);
        }
        let clients: Vec<Client> =
            network.nodes.iter().map(|node| Client::new(&format!("http://{}", node.api))).collect();
        wait_until_up(&clients, &mut running, &network)?;
        let home = Home::of(&Global {
            home: Some(folder.clone()),
            node: None,
            account: None,
            ..global.clone()
        })?;
        let mut workspace = match &workspace {
            Some(path) => Some(Workspace::open(&home, path, &network.nodes, output)?),
            None => None,
        };
        let mut announcement = announce(&folder, &network, &running, &conducts);
        announcement.workspace = match (&self.workspace(), &workspace) {
            (Some(path), Some(workspace)) => Some(told(path, workspace)),
            _ => None,
        };
        if output.json {
            // One line: whoever started this process reads it and knows that the network is up.
            use std::io::Write as _;
            writeln!(std::io::stdout(), "{}", serde_json::to_string(&announcement)?)?;
        } else {
            output.print(&announcement, text)?;
        }
        supervise(&mut running, &network, workspace.as_mut(), fast.as_mut(), output)?;
        output.say("stopping");
        // Programs before nodes: what they still have to post is posted again later.
        drop(workspace);
        stop(running)
    }

    /// The application's folder, if there is one.
    fn workspace(&self) -> Option<PathBuf> {
        match &self.folder {
            Some(folder) => Some(folder.clone()),
            None => Path::new("app.yaml").exists().then(|| PathBuf::from(".")),
        }
    }

    /// What each node is told to be: `honest`, `liar:30`, `copier`, `mute`.
    fn conducts(&self, count: usize) -> Result<Vec<String>> {
        let mut conducts = vec!["honest".to_owned(); count];
        let faults = self
            .liar
            .iter()
            .map(|liar| (liar.node, format!("liar:{}", liar.percent)))
            .chain(self.copier.iter().map(|node| (*node, "copier".to_owned())))
            .chain(self.mute.iter().map(|node| (*node, "mute".to_owned())));
        for (node, fault) in faults {
            let slot =
                node.checked_sub(1).and_then(|index| conducts.get_mut(index)).ok_or_else(|| {
                    let message = format!("there is no node {node} among {count}");
                    Failure::new("CLI-0008", message, "nodes are numbered from 1 to --nodes")
                })?;
            *slot = fault;
        }
        Ok(conducts)
    }

    /// Creates the network's folders, or finds the earlier ones.
    fn network(folder: &Path, count: usize) -> Result<DevNetwork> {
        let home_file = folder.join("home.json");
        if home_file.exists() {
            let network = dev_network::open(folder)?;
            if network.nodes.len() != count {
                let message = format!(
                    "{} holds a network of {} nodes",
                    folder.display(),
                    network.nodes.len()
                );
                let hint = "continue it with the same --nodes, or throw it away with --fresh";
                return Err(Failure::new("CLI-0009", message, hint).into());
            }
            return Ok(network);
        }
        std::fs::create_dir_all(folder)
            .with_context(|| format!("creating {}", folder.display()))?;
        let keystore = althing_keys::Keystore::open(folder.join("accounts"))?;
        let name: Name = ACCOUNT.parse().context("naming the network's account")?;
        let person = keystore.create(&name, PASSWORD, Work::DEVELOPMENT)?;
        let network = dev_network::create(folder, count, person.address(), althing_node::now())?;
        let preferences = Preferences {
            node: network.nodes.first().map(|node| format!("http://{}", node.api)),
            account: Some(ACCOUNT.to_owned()),
            dev_password: Some(PASSWORD.to_owned()),
            dev_nodes: network.nodes.iter().map(|node| absolute(&node.folder)).collect(),
        };
        let text = serde_json::to_string_pretty(&preferences)?;
        std::fs::write(&home_file, text + "\n")
            .with_context(|| format!("writing {}", home_file.display()))?;
        Ok(network)
    }
}

/// Holds the folder for as long as the result lives, whatever ends this process.
fn alone(folder: &Path) -> Result<File> {
    std::fs::create_dir_all(folder).with_context(|| format!("creating {}", folder.display()))?;
    let path = folder.join(LOCK);
    let opening = || format!("opening {}", path.display());
    let file = File::options().create(true).append(true).open(&path).with_context(opening)?;
    match file.try_lock() {
        Ok(()) => Ok(file),
        Err(TryLockError::WouldBlock) => {
            let message = format!("another `althing dev` is at work in {}", folder.display());
            let hint = "use that one, stop it first, or give this one a --dir of its own";
            Err(Failure::new("CLI-0048", message, hint).into())
        }
        Err(TryLockError::Error(error)) => Err(error).with_context(opening),
    }
}

/// Removes what is in the network's folder, except for what holds it.
fn empty(folder: &Path) -> Result<()> {
    let removed = std::fs::read_dir(folder).and_then(|entries| {
        for entry in entries {
            let entry = entry?;
            if entry.file_name() == LOCK {
                continue;
            }
            if entry.file_type()?.is_dir() {
                std::fs::remove_dir_all(entry.path())?;
            } else {
                std::fs::remove_file(entry.path())?;
            }
        }
        Ok(())
    });
    removed.with_context(|| format!("removing what is in {}", folder.display()))
}

fn absolute(path: &Path) -> PathBuf {
    std::path::absolute(path).unwrap_or_else(|_| path.to_owned())
}

/// Waits until every node answers and the first block is made.
fn wait_until_up(clients: &[Client], running: &mut [Running], network: &DevNetwork) -> Result<()> {
    let start = Instant::now();
    for (index, client) in clients.iter().enumerate() {
        loop {
            if client.status().is_ok_and(|status| status.height > 0) {
                break;
            }
            let ended =
                running.get_mut(index).and_then(|node| node.child.try_wait().ok().flatten());
            if ended.is_some() || start.elapsed() > START_TIMEOUT {
                let log = network
                    .nodes
                    .get(index)
                    .map(|node| node.folder.join("node.log"))
                    .unwrap_or_default();
                let message = match ended {
                    Some(status) => {
                        format!("node {} ended while it was starting: {status}", index + 1)
                    }
                    None => format!(
                        "node {} did not come up in {} s",
                        index + 1,
                        START_TIMEOUT.as_secs()
                    ),
                };
                return Err(Failure::new(
                    "CLI-0010",
                    message,
                    format!("its log is {}", log.display()),
                )
                .into());
            }
            pause(Duration::from_millis(50));
        }
    }
    Ok(())
}

/// Lets time pass between two looks at another process, which has no way to wake this one.
fn pause(time: Duration) {
    std::thread::park_timeout(time);
}

fn announce(
    folder: &Path,
    network: &DevNetwork,
    running: &[Running],
    conducts: &[String],
) -> Announcement {
    let nodes = network.nodes.iter().zip(running).zip(conducts).enumerate();
    Announcement {
        folder: absolute(folder),
        genesis: network.genesis.hash().to_string(),
        account: ACCOUNT.to_owned(),
        nodes: nodes
            .map(|(index, ((node, running), conduct))| Started {
                node: index + 1,
                pid: running.child.id(),
                api: format!("http://{}", node.api),
                network: node.listen.to_string(),
                account: node.account.to_string(),
                folder: absolute(&node.folder),
                conduct: conduct.clone(),
            })
            .collect(),
        workspace: None,
    }
}

fn told(folder: &Path, workspace: &Workspace<'_>) -> Told {
    Told {
        folder: absolute(folder),
        application: workspace.application().map(|(id, _)| id.to_string()),
        programs: workspace
            .programs()
            .map(|program| ToldProgram {
                service: program.service.clone(),
                url: program.url.clone(),
                log: program.log.clone(),
            })
            .collect(),
    }
}

fn text(announcement: &Announcement) -> String {
    let mut text = format!(
        "Althing network of {} nodes in {}\n  genesis {}\n",
        announcement.nodes.len(),
        announcement.folder.display(),
        announcement.genesis
    );
    for node in &announcement.nodes {
        let conduct =
            if node.conduct == "honest" { String::new() } else { format!("   ({})", node.conduct) };
        text.push_str(&format!(
            "  node {:<2} {}   {}{conduct}\n",
            node.node, node.api, node.account
        ));
    }
    text.push_str(&format!(
        "  account {:?} owns 1,000,000 tokens; commands in this folder use it\n",
        announcement.account
    ));
    if let Some(workspace) = &announcement.workspace {
        let application = workspace.application.as_deref();
        text.push_str(&format!("  application {}\n", application.unwrap_or("not deployed")));
        for program in &workspace.programs {
            let (service, url) = (&program.service, &program.url);
            text.push_str(&format!("  {service}   {url}   {}\n", program.log.display()));
        }
        text.push_str("o open · e send a sample event · r send it again · q quit");
    } else {
        text.push_str("Ctrl-C stops all nodes.");
    }
    text
}

/// Waits for Ctrl-C, says when a node ends by itself, and looks after the application's folder.
fn supervise(
    running: &mut [Running],
    network: &DevNetwork,
    mut workspace: Option<&mut Workspace<'_>>,
    mut fast: Option<&mut FastTime>,
    output: Output,
) -> Result<()> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let mut reported = vec![false; running.len()];
    let stopping = std::sync::Arc::new(std::sync::atomic::AtomicBool::new(false));
    let told = stopping.clone();
    // Signals are waited for beside what follows, which blocks while it publishes and deploys.
    std::thread::spawn(move || {
        let waited = runtime.block_on(async {
            let terminate = tokio::signal::unix::SignalKind::terminate();
            let mut terminate = tokio::signal::unix::signal(terminate)?;
            tokio::select! {
                interrupted = tokio::signal::ctrl_c() => interrupted,
                _ = terminate.recv() => Ok(()),
            }
        });
        if let Err(error) = waited {
            tracing::error!(%error, "signals cannot be waited for");
        }
        told.store(true, std::sync::atomic::Ordering::SeqCst);
    });
    let keyboard = workspace.is_some().then(Keyboard::open);
    let mut looked = Instant::now();
    while !stopping.load(std::sync::atomic::Ordering::SeqCst) {
        pause(TICK);
        let key = keyboard.as_ref().and_then(Keyboard::pressed);
        if let (Some(key), Some(workspace)) = (key, workspace.as_deref_mut()) {
            if key == Key::Quit {
                return Ok(());
            }
            pressed(key, network, workspace, output);
        }
        if looked.elapsed() < LOOK {
            continue;
        }
        looked = Instant::now();
        for (index, (node, reported)) in running.iter_mut().zip(&mut reported).enumerate() {
            if !*reported && let Some(status) = node.child.try_wait()? {
                *reported = true;
                let folder = network.nodes.get(index).map(|node| node.folder.display().to_string());
                output.say(&format!(
                    "node {} ended: {status}; start it again with `althing node start --dir {}`",
                    index + 1,
                    folder.unwrap_or_default()
                ));
            }
        }
        if let Some(workspace) = workspace.as_deref_mut() {
            workspace.look();
            if let Some(fast) = fast.as_deref_mut() {
                match fast.look(workspace.client()) {
                    Ok(Some(ms)) => output.say(&format!("skipped {} s of waiting", ms / 1_000)),
                    Ok(None) => {}
                    Err(error) => tracing::debug!(%error, "the clock could not be set"),
                }
            }
        }
    }
    Ok(())
}

/// Between two looks at keyboard and signals.
const TICK: Duration = Duration::from_millis(50);
/// Between two looks at nodes, files and programs.
const LOOK: Duration = Duration::from_millis(500);

fn pressed(key: Key, network: &DevNetwork, workspace: &mut Workspace<'_>, output: Output) {
    let done = match key {
        Key::Open => {
            for node in &network.nodes {
                output.say(&format!("http://{}/", node.api));
            }
            for program in workspace.programs() {
                output.say(&format!("{}   {}", program.url, program.service));
            }
            Ok(())
        }
        Key::Event => workspace.send_sample(),
        Key::Replay => workspace.replay(),
        Key::Quit => Ok(()),
    };
    if let Err(error) = done {
        output.say(crate::failure::render(&error).trim_end());
    }
}

/// Ends the nodes: they notice that nobody holds the other end of their input.
fn stop(mut running: Vec<Running>) -> Result<()> {
    for node in &mut running {
        drop(node.child.stdin.take());
    }
    let deadline = Instant::now() + STOP_TIMEOUT;
    for node in &mut running {
        while node.child.try_wait()?.is_none() {
            if Instant::now() > deadline {
                node.child.kill()?;
            }
            pause(Duration::from_millis(20));
        }
    }
    Ok(())
}
