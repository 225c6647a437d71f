//! Which runs have ended, as the node's own commits tell: no polling, and next to no cost for the node.
//!
//! A commit is told as a frame: height (8 bytes), events settled (4), runs ended (4), and the id of
//! each run, numbers little-endian.

use std::collections::HashMap;
use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use althing_node::Node;
use althing_node::folder::Folder;
use althing_replica::{Committed, Subject};
use althing_types::Hash;
use althing_work::Honest;
use anyhow::{Context as _, Result, bail};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::net::{UnixListener, UnixStream};
use tokio::sync::{broadcast, oneshot, watch};

use crate::child::say;
use crate::node::commands;

/// The role: runs a node until the input ends, and tells of every commit through `socket`.
pub(crate) async fn run(folder: &Path, socket: &Path) -> Result<()> {
    let node = Node::start(&Folder::new(folder), Box::new(Honest)).await?;
    let mut commits = node.commits();
    let mut stream = UnixStream::connect(socket).await.context("reaching the benchmark")?;
    let mut asked = commands();
    say(&"ready")?;
    loop {
        tokio::select! {
            ask = asked.recv() => match ask {
                None => break,
                Some(ask) => bail!("a followed node is asked nothing, and was asked {:?}", ask?),
            },
            commit = commits.recv() => match commit {
                Ok(committed) => stream.write_all(&frame(&committed)?).await?,
                Err(broadcast::error::RecvError::Lagged(_)) => bail!("commits were missed"),
                Err(broadcast::error::RecvError::Closed) => bail!("the node has ended"),
            },
        }
    }
    node.shutdown().await;
    Ok(())
}

fn frame(committed: &Committed) -> Result<Vec<u8>> {
    let events = committed.receipts.iter().filter(|it| matches!(it, Subject::Event(_))).count();
    let runs = || {
        committed.receipts.iter().filter_map(|subject| match subject {
            Subject::Run(id) => Some(id),
            Subject::Transaction(_) | Subject::Execution(_) | Subject::Event(_) => None,
        })
    };
    let mut bytes = committed.header.height.0.to_le_bytes().to_vec();
    bytes.extend(u32::try_from(events)?.to_le_bytes());
    bytes.extend(u32::try_from(runs().count())?.to_le_bytes());
    runs().for_each(|id| bytes.extend(id.0));
    Ok(bytes)
}

/// How far the chain is.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Far {
    pub(crate) height: u64,
    /// Events that were settled since the start.
    pub(crate) events: u64,
    /// Runs that have ended since the start.
    pub(crate) runs: u64,
}

type Waiting = HashMap<Hash, oneshot::Sender<Instant>>;

/// The other end: knows who waits for which run.
#[derive(Clone, Debug)]
pub(crate) struct Followed {
    waiting: Arc<Mutex<Waiting>>,
    far: watch::Receiver<Far>,
}

impl Followed {
    /// Follows the node that connects to this socket; ends with the node.
    pub(crate) fn new(listener: UnixListener) -> Self {
        let waiting: Arc<Mutex<Waiting>> = Arc::default();
        let (sender, far) = watch::channel(Far::default());
        let ends = waiting.clone();
        tokio::spawn(async move {
            if let Ok((stream, _)) = listener.accept().await {
                // An end of the stream is the end of the node, which its process's end tells.
                hear(BufReader::new(stream), &ends, &sender).await.ok();
            }
        });
        Self { waiting, far }
    }

    fn lock(&self) -> MutexGuard<'_, Waiting> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// To be called before the event is sent: the end may be faster than its acknowledgement.
    pub(crate) fn expect(&self, run: Hash) -> oneshot::Receiver<Instant> {
        let (sender, receiver) = oneshot::channel();
        self.lock().insert(run, sender);
        receiver
    }

    /// How far the chain is now.
    pub(crate) fn far(&self) -> Far {
        *self.far.borrow()
    }

    /// Waits until the chain is as far as `enough` says.
    pub(crate) async fn until(&self, enough: impl FnMut(&Far) -> bool) -> Result<Far> {
        let mut far = self.far.clone();
        let far = far.wait_for(enough).await.context("the node has ended")?;
        Ok(*far)
    }
}

async fn hear(
    mut stream: BufReader<UnixStream>,
    waiting: &Mutex<Waiting>,
    sender: &watch::Sender<Far>,
) -> std::io::Result<()> {
    loop {
        let height = stream.read_u64_le().await?;
        let (events, runs) = (stream.read_u32_le().await?, stream.read_u32_le().await?);
        let now = Instant::now();
        for _ in 0..runs {
            let mut id = Hash::ZERO;
            stream.read_exact(&mut id.0).await?;
            let found = waiting.lock().unwrap_or_else(PoisonError::into_inner).remove(&id);
            if let Some(waiter) = found {
                waiter.send(now).ok(); // whoever waited has gone
            }
        }
        sender.send_modify(|far| {
            far.height = height;
            far.events += u64::from(events);
            far.runs += u64::from(runs);
        });
    }
}
