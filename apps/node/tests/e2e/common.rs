//! A network of nodes in one process, over real sockets.

use std::path::Path;
use std::time::Duration;

use althing_keys::AccountKey;
use althing_node::dev_network::{self, DevNetwork};
use althing_node::folder::Folder;
use althing_node::{Node, StartError, now};
use althing_types::{Address, Amount, Height, Nonce, Operation, SignedTransaction, Transaction};
use althing_work::Honest;

/// How long anything may take on a busy machine.
pub(crate) const PATIENCE: Duration = Duration::from_secs(60);

/// The account of whoever plays with the network.
pub(crate) fn person() -> AccountKey {
    AccountKey::from_bytes(&[7; 32]).unwrap()
}

/// Folders of a network of `count` nodes.
pub(crate) fn create(folder: &Path, count: usize) -> DevNetwork {
    dev_network::create(folder, count, person().address(), now()).unwrap()
}

/// Whether an earlier node of this process still holds the folder or a port. Other processes let go
/// of both when they end.
pub(crate) fn is_held(error: &StartError) -> bool {
    matches!(error.code(), "STO-0004" | "NOD-0002")
}

/// Starts one of them.
pub(crate) async fn start(network: &DevNetwork, index: usize) -> Node {
    let folder = Folder::new(&network.nodes[index].folder);
    loop {
        match Node::start(&folder, Box::new(Honest)).await {
            Ok(node) => return node,
            Err(error) if is_held(&error) => tokio::task::yield_now().await,
            Err(error) => panic!("node {index} does not start: {error}"),
        }
    }
}

/// Starts all of them.
pub(crate) async fn start_all(network: &DevNetwork) -> Vec<Node> {
    let mut nodes = Vec::new();
    for index in 0..network.nodes.len() {
        nodes.push(start(network, index).await);
    }
    nodes
}

/// Waits until `done`, looking after every block.
pub(crate) async fn until(node: &Node, what: &str, mut done: impl FnMut() -> bool) {
    let reader = node.reader();
    let wait = async {
        while !done() {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    };
    if tokio::time::timeout(PATIENCE, wait).await.is_err() {
        panic!("waited in vain for {what}; the node is at {:?}", reader.head().tip);
    }
}

/// Waits until a node has committed this height.
pub(crate) async fn until_height(node: &Node, height: u64) {
    until(node, &format!("height {height}"), || node.reader().head().tip.height.0 >= height).await;
}

/// A signed transaction of the person.
pub(crate) fn transaction(
    network: &DevNetwork,
    nonce: u64,
    operations: Vec<Operation>,
) -> SignedTransaction {
    person().sign_transaction(Transaction {
        chain: network.genesis.chain,
        account: person().address(),
        nonce: Nonce(nonce),
        expires: Height(1_000_000),
        atomic: true,
        fee_limit: Amount::from_tokens(1),
        operations,
    })
}

/// A transfer.
pub(crate) fn transfer(to: Address, tokens: u64) -> Operation {
    Operation::Transfer(althing_types::Transfer { to, amount: Amount::from_tokens(tokens) })
}
