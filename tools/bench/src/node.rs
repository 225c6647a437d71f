//! A node in a process of its own, with somebody beside it who hands it transactions.
//!
//! The transactions were signed before, and go in where the API's would: HTTP is not measured here.

use std::collections::VecDeque;
use std::fs;
use std::io::BufRead as _;
use std::path::Path;
use std::sync::atomic::{AtomicU32, AtomicUsize, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use althing_node::Node;
use althing_node::folder::Folder;
use althing_replica::Committed;
use althing_types::SignedTransaction;
use althing_work::Honest;
use anyhow::{Context as _, Result};
use tokio::sync::broadcast::error::RecvError;
use tokio::sync::mpsc;

use crate::child::{Ask, say};
use crate::load;
use crate::seen::Watch;

/// Commands that wait to be carried out: the parent sends one at a time.
const COMMANDS_WAITING: usize = 4;

/// The parent's commands, until it ends.
pub(crate) fn commands() -> mpsc::Receiver<Result<Ask>> {
    let (sender, receiver) = mpsc::channel(COMMANDS_WAITING);
    // Ends with the input.
    std::thread::spawn(move || {
        for line in std::io::stdin().lock().lines() {
            let ask = line.map_err(Into::into).and_then(|line| Ok(serde_json::from_str(&line)?));
            if sender.blocking_send(ask).is_err() {
                break;
            }
        }
    });
    receiver
}

/// How far behind its pace a sender may fall and make up for it.
const BURST: Duration = Duration::from_millis(50);

/// Waits: the pace of a load is given by the clock and by nothing else.
pub(crate) fn until(moment: Instant) {
    while let Some(left) = moment.checked_duration_since(Instant::now()) {
        std::thread::park_timeout(left);
    }
}

/// What the sender, the commits and the parent share.
struct Shared {
    watch: Mutex<Watch>,
    /// Something was committed, or may be sent.
    changed: Condvar,
    on_the_way_max: AtomicUsize,
    per_second: AtomicU32,
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, Watch> {
        self.watch.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Waits until one more may be on the way.
    fn wait_for_room(&self) {
        let mut watch = self.lock();
        while watch.on_the_way() >= self.on_the_way_max.load(Ordering::Relaxed) {
            watch = self.changed.wait(watch).unwrap_or_else(PoisonError::into_inner);
        }
    }

    fn allow(&self, on_the_way_max: usize, per_second: u32) {
        self.on_the_way_max.store(on_the_way_max, Ordering::Relaxed);
        self.per_second.store(per_second.max(1), Ordering::Relaxed);
        let _watch = self.lock(); // whoever waits has seen the old number, or waits already
        self.changed.notify_all();
    }

    /// Hands over what was loaded, one after another; ends with it.
    fn send(&self, node: &Node, mut transactions: VecDeque<Vec<u8>>) {
        let mut next = Instant::now();
        while let Some(bytes) = transactions.pop_front() {
            self.wait_for_room();
            // A node that was slow for a while is not asked to catch up.
            next = next.max(Instant::now().checked_sub(BURST).unwrap_or(next));
            until(next);
            next += Duration::from_secs(1) / self.per_second.load(Ordering::Relaxed);
            let hash = SignedTransaction::hash_of(&bytes);
            self.lock().submitted(hash, Instant::now());
            if let Err(error) = node.submit(&bytes) {
                self.lock().refused(&hash, error.to_string());
            }
        }
    }
}

/// The role: runs the node until the input ends.
pub(crate) async fn run(folder: &Path) -> Result<()> {
    let node = Node::start(&Folder::new(folder), Box::new(Honest)).await?;
    let node = Arc::new(node);
    let shared = Arc::new(Shared {
        watch: Mutex::new(Watch::new()),
        changed: Condvar::new(),
        on_the_way_max: AtomicUsize::new(0),
        per_second: AtomicU32::new(1),
    });
    let following = tokio::spawn(follow(node.clone(), shared.clone()));
    say(&"ready")?;
    let mut asked = commands();
    while let Some(ask) = asked.recv().await {
        match ask? {
            Ask::Load(file) => {
                let transactions = load::read(&fs::read(&file).context("reading transactions")?)?;
                let count = transactions.len();
                let (node, shared) = (node.clone(), shared.clone());
                // Ends with the transactions, or with the process.
                std::thread::spawn(move || shared.send(&node, transactions));
                say(&count)?;
            }
            Ask::Send { on_the_way_max, per_second } => {
                shared.allow(on_the_way_max, per_second);
                say(&())?;
            }
            Ask::Pause => {
                shared.allow(0, 1);
                say(&())?;
            }
            Ask::Report => {
                let seen = shared.lock().take();
                say(&seen)?;
            }
            Ask::Height(height) => {
                let mut commits = node.commits();
                while node.reader().head().tip.height.0 < height {
                    if let Err(RecvError::Closed) = commits.recv().await {
                        anyhow::bail!("the node has ended");
                    }
                }
                say(&node.reader().head().tip.height.0)?;
            }
        }
    }
    following.abort();
    following.await.ok(); // it was aborted
    if let Ok(node) = Arc::try_unwrap(node) {
        node.shutdown().await; // a thread that still waits for room ends with the process
    }
    Ok(())
}

async fn follow(node: Arc<Node>, shared: Arc<Shared>) {
    let mut commits = node.commits();
    loop {
        match commits.recv().await {
            Ok(committed) => {
                let Committed { header, receipts, .. } = &*committed;
                shared.lock().committed(header.height.0, receipts);
                shared.changed.notify_all();
            }
            Err(RecvError::Lagged(_)) => {}
            Err(RecvError::Closed) => return,
        }
    }
}
