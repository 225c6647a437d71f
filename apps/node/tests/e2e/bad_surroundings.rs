//! What goes wrong around a node: taken ports, a folder used twice, damaged files, a copied key. Each
//! has a code, and loses nothing.

use std::path::Path;

use althing_node::folder::{Folder, Settings};
use althing_node::{Node, StartError};
use althing_work::Honest;

use crate::common::{PATIENCE, create, start, start_all, until_height};

async fn refusal(folder: &Folder) -> StartError {
    match Node::start(folder, Box::new(Honest)).await {
        Ok(_) => panic!("the node must not start"),
        Err(error) => error,
    }
}

/// As [`refusal`], once an earlier attempt in this process has let go of the folder.
async fn refusal_when_free(folder: &Folder) -> StartError {
    loop {
        match refusal(folder).await {
            error if crate::common::is_held(&error) => tokio::task::yield_now().await,
            error => return error,
        }
    }
}

fn settings(folder: &Folder, change: impl FnOnce(&mut Settings)) {
    let mut settings = folder.settings().unwrap();
    change(&mut settings);
    folder.write_settings(&settings).unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_taken_port_is_named_with_its_purpose() {
    let place = tempfile::tempdir().unwrap();
    let network = create(place.path(), 1);
    let folder = Folder::new(&network.nodes[0].folder);

    let taken = std::net::TcpListener::bind(network.nodes[0].api).unwrap();
    let error = refusal(&folder).await;
    assert_eq!(error.code(), "NOD-0002");
    assert!(error.to_string().contains("the API"), "{error}");
    drop(taken);

    let taken = std::net::UdpSocket::bind(network.nodes[0].listen).unwrap();
    let error = refusal(&folder).await;
    assert_eq!(error.code(), "NOD-0002");
    assert!(error.to_string().contains("other nodes"), "{error}");
    drop(taken);
    start(&network, 0).await.shutdown().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_folder_without_a_node_or_with_a_misspelt_setting_is_refused() {
    let place = tempfile::tempdir().unwrap();
    assert_eq!(refusal(&Folder::new(place.path())).await.code(), "NOD-0001");

    let network = create(place.path(), 1);
    let folder = Folder::new(&network.nodes[0].folder);
    std::fs::write(folder.settings_file(), r#"{"lisen": "127.0.0.1:1"}"#).unwrap();
    let error = refusal(&folder).await;
    assert_eq!(error.code(), "NOD-0001");
    assert!(format!("{:#}", anyhow::Error::from(error)).contains("lisen"));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_genesis_for_another_wasm_engine_is_refused() {
    let place = tempfile::tempdir().unwrap();
    let network = create(place.path(), 1);
    let folder = Folder::new(&network.nodes[0].folder);
    let text = std::fs::read_to_string(folder.genesis_file()).unwrap();
    std::fs::write(folder.genesis_file(), text.replace("wasmtime-48", "wasmtime-47")).unwrap();
    assert_eq!(refusal(&folder).await.code(), "NOD-0005");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_damaged_file_of_connections_is_named() {
    let place = tempfile::tempdir().unwrap();
    let network = create(place.path(), 1);
    let folder = Folder::new(&network.nodes[0].folder);
    std::fs::write(folder.connections_file(), r#"{"x": 1}"#).unwrap();
    let error = refusal(&folder).await;
    assert_eq!(error.code(), "PRG-0004");
    assert!(format!("{:#}", anyhow::Error::from(error)).contains("connections.json"));
}

#[tokio::test(flavor = "multi_thread")]
async fn the_same_folder_is_never_run_twice() {
    let place = tempfile::tempdir().unwrap();
    let network = create(place.path(), 1);
    let folder = Folder::new(&network.nodes[0].folder);
    let node = start(&network, 0).await;
    until_height(&node, 1).await;
    settings(&folder, |settings| {
        settings.api = "127.0.0.1:0".parse().unwrap();
        settings.listen = "127.0.0.1:0".parse().unwrap();
    });
    assert_eq!(refusal(&folder).await.code(), "STO-0004");
    node.shutdown().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_damaged_store_log_or_journal_is_noticed_and_moving_it_away_heals() {
    let place = tempfile::tempdir().unwrap();
    let network = create(place.path(), 4);
    let mut nodes = start_all(&network).await;
    until_height(&nodes[0], 5).await;
    let victim = nodes.remove(3);
    victim.shutdown().await;
    let folder = Folder::new(&network.nodes[3].folder);

    // The journal: what it said may be sealed already, so damage before a whole entry is not ignored.
    let journal = folder.data("journal").join("work.log");
    let forget = [&[1][..], &[7; 32]].concat();
    let (length, check) = (33_u32.to_be_bytes(), crc32fast::hash(&forget).to_be_bytes());
    std::fs::write(&journal, [&[0xff; 64][..], &length, &check, &forget].concat()).unwrap();
    assert_eq!(refusal_when_free(&folder).await.code(), "NOD-0004");
    std::fs::remove_file(&journal).unwrap();

    // What the node has said in consensus: without it, it could vote twice.
    let wal = folder.data("consensus.wal");
    let good = std::fs::read(&wal).unwrap();
    std::fs::write(&wal, [&[0xff; 64][..], &good[64..]].concat()).unwrap();
    let code = refusal_when_free(&folder).await.code().to_owned();
    assert!(code.starts_with("WAL-"), "{code}");
    std::fs::write(&wal, good).unwrap();

    // The store: every file of the chain in turn.
    let chain = folder.data("chain");
    for entry in std::fs::read_dir(&chain).unwrap() {
        let path = entry.unwrap().path();
        let good = std::fs::read(&path).unwrap();
        if path.extension().is_some_and(|extension| extension == "redb") {
            damage_everywhere(&path);
            let code = refusal_when_free(&folder).await.code().to_owned();
            assert!(code.starts_with("STO-"), "{code} for {}", path.display());
        }
        std::fs::write(&path, good).unwrap();
    }

    // Without its data the node fetches the chain from its peers.
    std::fs::rename(folder.data(""), folder.path().join("data.old")).unwrap();
    let healed = start(&network, 3).await;
    let goal = nodes[0].reader().head().tip;
    until_height(&healed, goal.height.0).await;
    let (block, _) = healed.reader().decided(goal.height).unwrap().unwrap();
    assert_eq!(block.header.id(), goal.block);

    healed.shutdown().await;
    for node in nodes {
        node.shutdown().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_consensus_log_that_cannot_be_opened_or_has_grown_beyond_its_bound_is_a_coded_error() {
    let place = tempfile::tempdir().unwrap();
    let network = create(place.path(), 1);
    let folder = Folder::new(&network.nodes[0].folder);
    let node = start(&network, 0).await;
    until_height(&node, 2).await;
    node.shutdown().await;

    let wal = folder.data("consensus.wal");
    let aside = folder.data("aside");
    std::fs::rename(&wal, &aside).unwrap();
    std::fs::create_dir(&wal).unwrap();
    let error = refusal_when_free(&folder).await;
    assert_eq!(error.code(), "WAL-0001");
    let told = format!("{:#}", anyhow::Error::from(error));
    assert!(told.contains("consensus.wal"), "{told}");
    std::fs::remove_dir(&wal).unwrap();

    // One height that is not decided for days.
    std::fs::copy(&aside, &wal).unwrap();
    let log = std::fs::File::options().write(true).open(&wal).unwrap();
    log.set_len(129 << 20).unwrap();
    drop(log);
    assert_eq!(refusal_when_free(&folder).await.code(), "WAL-0005");

    std::fs::rename(&aside, &wal).unwrap();
    let node = start(&network, 0).await;
    until_height(&node, 4).await;
    node.shutdown().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_address_of_another_machine_is_a_coded_error() {
    let place = tempfile::tempdir().unwrap();
    let network = create(place.path(), 1);
    let folder = Folder::new(&network.nodes[0].folder);
    // Reserved for documentation: no machine has it.
    settings(&folder, |settings| settings.listen = "192.0.2.1:4900".parse().unwrap());
    let error = refusal(&folder).await;
    assert_eq!(error.code(), "NOD-0003");
    let told = format!("{:#}", anyhow::Error::from(error));
    assert!(told.contains("192.0.2.1:4900"), "{told}");
}

/// Flips a bit in every page: something of it is read at the start.
fn damage_everywhere(path: &Path) {
    let mut bytes = std::fs::read(path).unwrap();
    for page in bytes.chunks_mut(4096) {
        let middle = page.len() / 2;
        page[middle] ^= 1;
    }
    std::fs::write(path, bytes).unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_damaged_key_file_is_refused() {
    let place = tempfile::tempdir().unwrap();
    let network = create(place.path(), 1);
    let folder = Folder::new(&network.nodes[0].folder);
    let key = folder.path().join("node.key");
    let whole = std::fs::read(&key).unwrap();
    std::fs::write(&key, &whole[..whole.len() / 2]).unwrap();
    assert_eq!(refusal(&folder).await.code(), "KEY-0003");
}

#[tokio::test(flavor = "multi_thread")]
async fn two_nodes_with_one_key_notice_it_and_stop() {
    let place = tempfile::tempdir().unwrap();
    let network = create(place.path(), 4);
    let mut nodes = start_all(&network).await;
    until_height(&nodes[0], 3).await;

    let copy = place.path().join("copy");
    let original = Folder::new(&network.nodes[3].folder);
    std::fs::create_dir_all(&copy).unwrap();
    for file in ["node.key", "genesis.json", "node.json"] {
        std::fs::copy(original.path().join(file), copy.join(file)).unwrap();
    }
    let copy = Folder::new(&copy);
    settings(&copy, |settings| {
        settings.api = "127.0.0.1:0".parse().unwrap();
        settings.listen = "127.0.0.1:0".parse().unwrap();
    });
    let mut second = Node::start(&copy, Box::new(Honest)).await.unwrap();
    let first = &mut nodes[3];
    let fault = tokio::time::timeout(PATIENCE, async {
        tokio::select! {
            fault = first.stopped() => fault,
            fault = second.stopped() => fault,
        }
    });
    let fault = fault.await.expect("one of the two notices");
    assert_eq!(fault.code, Some("NET-0004"), "{fault}");

    second.shutdown().await;
    for node in nodes {
        node.shutdown().await;
    }
}
