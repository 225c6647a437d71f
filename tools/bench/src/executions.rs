//! Executions of a service a second, believed and checked.

use std::time::{Duration, Instant};

use althing_api::client::Client;
use althing_demo::invoices;
use althing_keys::{AccountKey, NodeKeys};
use althing_manifest::Manifest;
use althing_node::dev_network::DevNetwork;
use althing_types::{
    Amount, BlobRef, Call, ChainId, Height, Nonce, Offer, Operation, Publish, Transaction,
};
use anyhow::{Context as _, Result, ensure};

use crate::child::{Ask, Child, ask_all, cpu_of_all};
use crate::figure::Figure;
use crate::load;
use crate::seen::Seen;
use crate::stage::{self, Stage, person};
use crate::transfers::{NODES, pass};

const INVOICES: u32 = 400;
const SEED: u64 = 2026;
/// Calls on the way at a time.
const ON_THE_WAY: usize = 400;
const PATIENCE: Duration = Duration::from_secs(120);
const LOOK_EVERY: Duration = Duration::from_millis(20);

fn signed(chain: ChainId, key: &AccountKey, nonce: u64, operations: Vec<Operation>) -> Vec<u8> {
    let transaction = Transaction {
        chain,
        account: key.address(),
        nonce: Nonce(nonce),
        expires: Height(u64::MAX),
        atomic: false,
        fee_limit: Amount::from_tokens(1),
        operations,
    };
    key.sign_transaction(transaction).encode()
}

/// Publishes the service, puts its files on every node, and lets every node offer it.
fn publish(network: &DevNetwork, component: &[u8], manifest: &Manifest) -> Result<Vec<Vec<u8>>> {
    let chain = network.genesis.chain;
    let terms = manifest.terms();
    let service = terms.id();
    let mut transactions = vec![signed(
        chain,
        &person(),
        0,
        vec![Operation::Publish(Publish { terms: terms.into() })],
    )];
    for node in &network.nodes {
        let client = Client::new(&format!("http://{}", node.api));
        client.put_blob(&manifest.canonical())?;
        client.put_blob(component)?;
        let key = NodeKeys::load(&node.folder)?.account;
        let offer = Offer {
            service,
            stake: Amount::from_tokens(1_000),
            term_ms: 86_400_000,
            owner: node.account,
            endpoint: node.endpoint,
            labels: vec![],
        };
        transactions.push(signed(chain, &key, 0, vec![Operation::Offer(offer)]));
    }
    Ok(transactions)
}

/// One call for each invoice, whose input is put on the first node.
fn calls(network: &DevNetwork, manifest: &Manifest, checkers: u16) -> Result<Vec<Vec<u8>>> {
    let home = network.nodes.first().context("there are nodes")?;
    let client = Client::new(&format!("http://{}", home.api));
    let (service, task) = (manifest.id(), "total".parse::<althing_types::Name>()?);
    invoices::generate(INVOICES, SEED)
        .into_iter()
        .zip(1_u64..)
        .map(|(invoice, nonce)| {
            let input = serde_json::json!({ "name": invoice.name, "csv": invoice.csv });
            let input = serde_json::to_vec(&input)?;
            client.put_blob(&input)?;
            let call = Call {
                service,
                task: task.clone(),
                input: BlobRef::of(&input),
                home: home.endpoint,
                checkers,
                quorum: 0,
                nodes: Vec::new(),
                price_max: Amount::from_tokens(10),
            };
            Ok(signed(network.genesis.chain, &person(), nonce, vec![Operation::Call(call)]))
        })
        .collect()
}

fn hand_over(child: &mut Child, network: &DevNetwork, name: &str, all: &[Vec<u8>]) -> Result<()> {
    let folder = &network.nodes.first().context("there are nodes")?.folder;
    let file = folder.join(name);
    load::write(&file, all)?;
    child.ask::<usize>(&Ask::Load(file))?;
    Ok(())
}

fn measured(stage: &Stage, component: &[u8], manifest: &Manifest, checkers: u16) -> Result<Figure> {
    let network = stage.network("executions", NODES, &[])?;
    let mut children = stage::start(&network, &["node"])?;
    stage::all_reach(&mut children, 2)?;
    let offers = publish(&network, component, manifest)?;
    let calls = calls(&network, manifest, checkers)?;
    let first = children.first_mut().context("there are nodes")?;
    hand_over(first, &network, "offers", &offers)?;
    first.ask::<()>(&Ask::Send { on_the_way_max: ON_THE_WAY, per_second: u32::MAX })?;
    // The offers are on the ledger before the first call: they go in one after another.
    let at: u64 = first.ask(&Ask::Height(0))?;
    first.ask::<u64>(&Ask::Height(at + 3))?;
    ask_all::<Seen>(&mut children, &Ask::Report)?;

    let (start, before) = (Instant::now(), cpu_of_all(&children)?);
    hand_over(children.first_mut().context("there are nodes")?, &network, "calls", &calls)?;
    let mut settled = 0;
    while settled < calls.len() {
        ensure!(start.elapsed() < PATIENCE, "{settled} of {} executions are settled", calls.len());
        pass(LOOK_EVERY);
        let seen: Seen = children.first_mut().context("there are nodes")?.ask(&Ask::Report)?;
        ensure!(seen.refused == 0, "a call was not taken: {:?}", seen.refusal);
        settled += seen.heights.iter().skip(1).map(|height| height.executions).sum::<usize>();
    }
    let seconds = start.elapsed().as_secs_f64();
    let cpu = cpu_of_all(&children)? - before;
    stage::stop(children)?;
    let count = f64::from(INVOICES);
    Ok(Figure::new(format!("invoices with {checkers} checkers"), count / seconds, "/s")
        .cpu(cpu.as_secs_f64() * 1e3 / count, "ms each, all nodes")
        .note(format!("{INVOICES} executions, submitted at once, in {seconds:.2} s")))
}

/// Runs the benchmark.
pub(crate) fn run(stage: &Stage) -> Result<Vec<Figure>> {
    let (component, manifest) = crate::wasm::service()?;
    let believed = measured(stage, &component, &manifest, 0)?;
    let checked = measured(stage, &component, &manifest, 3)?;
    let checked = checked.against("the same, believed", believed.value());
    Ok(vec![believed, checked])
}
