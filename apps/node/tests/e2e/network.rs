//! Nodes that are assembled as they are shipped, over real sockets and disks.

use althing_ledger::query;
use althing_types::{Address, Amount};

use crate::common::{create, start, start_all, transaction, transfer, until, until_height};

const STRANGER: Address = Address([9; 20]);

#[tokio::test(flavor = "multi_thread")]
async fn four_nodes_agree_and_one_that_was_away_catches_up() {
    let folder = tempfile::tempdir().unwrap();
    let network = create(folder.path(), 4);
    let mut nodes = start_all(&network).await;
    until_height(&nodes[0], 2).await;

    nodes[0].submit(&transaction(&network, 0, vec![transfer(STRANGER, 5)]).encode()).unwrap();
    for node in &nodes {
        let reader = node.reader();
        until(node, "the transfer on every node", || {
            query::account(&reader.view(), &STRANGER).unwrap().balance == Amount::from_tokens(5)
        })
        .await;
    }

    let away = nodes.remove(3);
    let left_at = away.reader().head().tip.height.0;
    away.shutdown().await;
    nodes[0].submit(&transaction(&network, 1, vec![transfer(STRANGER, 7)]).encode()).unwrap();
    until_height(&nodes[0], left_at + 5).await;

    let back = start(&network, 3).await;
    let goal = nodes[0].reader().head().tip;
    until_height(&back, goal.height.0).await;
    let balance = query::account(&back.reader().view(), &STRANGER).unwrap().balance;
    assert_eq!(balance, Amount::from_tokens(12));
    let (block, _) = back.reader().decided(goal.height).unwrap().unwrap();
    assert_eq!(block.header.id(), goal.block);

    back.shutdown().await;
    for node in nodes {
        node.shutdown().await;
    }
}
