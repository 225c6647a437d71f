//! Why a node does not start.

use std::net::SocketAddr;
use std::path::PathBuf;

use althing_keys::KeyError;
use althing_replica::OpenError;
use althing_runtime_http::ConnectionError;

/// Why a node does not start. Each has a page in `docs/errors/`.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum StartError {
    /// There is no node in the folder, or its settings or genesis are damaged.
    #[error("{} holds no usable node", folder.display())]
    Folder {
        /// The folder.
        folder: PathBuf,
        /// What is missing or wrong.
        #[source]
        source: anyhow::Error,
    },
    /// The node's keys.
    #[error("the node's keys cannot be used")]
    Keys(#[from] KeyError),
    /// The chain in the store.
    #[error("the chain in {} cannot be used", folder.display())]
    Chain {
        /// The node's folder.
        folder: PathBuf,
        /// What is wrong with it.
        #[source]
        source: OpenError,
    },
    /// A port is taken.
    #[error("the address {address} for {purpose} is in use")]
    Port {
        /// The address.
        address: SocketAddr,
        /// What it is for.
        purpose: &'static str,
        /// What the operating system says.
        #[source]
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// The network.
    #[error("the network cannot be joined")]
    Network(#[source] Box<dyn std::error::Error + Send + Sync>),
    /// Consensus.
    #[error("consensus cannot begin")]
    Consensus(#[from] althing_consensus_malachite::Error),
    /// The worker: its journal, its space for blobs, or the sandbox.
    #[error("the worker cannot begin")]
    Worker(#[source] Box<dyn std::error::Error + Send + Sync>),
    /// The programs of native services.
    #[error("the programs of native services are not known")]
    Programs(#[source] ConnectionError),
    /// The chain asks for another wasm engine than this program has.
    #[error("the chain counts fuel with {wanted}, this program has {found}")]
    Engine {
        /// The genesis' engine.
        wanted: String,
        /// This program's.
        found: &'static str,
    },
}

impl StartError {
    /// The code of the error's page.
    #[must_use]
    pub fn code(&self) -> &'static str {
        match self {
            Self::Folder { .. } => "NOD-0001",
            Self::Keys(error) => error.code(),
            Self::Chain { source, .. } => source.code(),
            Self::Port { .. } => "NOD-0002",
            Self::Network(_) => "NOD-0003",
            Self::Consensus(error) => error.code(),
            Self::Worker(_) => "NOD-0004",
            Self::Programs(error) => error.code(),
            Self::Engine { .. } => "NOD-0005",
        }
    }

    /// What its operator can do.
    #[must_use]
    pub fn hint(&self) -> &'static str {
        match self {
            Self::Folder { .. } => "make a node with `althing node init --dir DIR`",
            Self::Keys(error) => error.hint(),
            Self::Chain { source: OpenError::Busy, .. } => {
                "stop the other process that runs this node first; `althing doctor` finds it"
            }
            Self::Chain { .. } => {
                "move the folder `data` away: the node then fetches the chain from its peers"
            }
            Self::Port { .. } => "free the port, or choose another one in node.json",
            Self::Network(_) => "look at `listen` and `peers` in node.json",
            Self::Consensus(_) => "the page of this code says what to do before the log is removed",
            Self::Worker(_) => "look at the cause; the folder `data` must be writable",
            Self::Programs(error) => error.hint(),
            Self::Engine { .. } => "run the version of althing that the chain's genesis names",
        }
    }
}
