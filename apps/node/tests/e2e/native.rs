//! A native service end to end: a real program, its events, and runs whose steps it does.

use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use althing_api::client::Client;
use althing_api::{ServiceKey, Viewing, wire};
use althing_application::{ApplicationFile, Catalogue, Compiled};
use althing_keys::{AccountKey, NodeKeys};
use althing_ledger::{Conclusion, OfferStatus, query};
use althing_manifest::{Manifest, ServiceFile};
use althing_node::dev_network::DevNetwork;
use althing_node::{Node, now};
use althing_types::{
    Amount, ApplicationTerms, BlobRef, Deploy, Eip712, Hash, Height, Nonce, Offer, Operation,
    Outcome, Publish, SignedTransaction, Transaction, Visibility, application_id,
};

use crate::common::{create, person, start, start_all, transaction, until, until_height};

const APPLICATION: &str = r#"
app: carts
version: 1.0.0
visibility: private
services: { shop: acme/shop@1 }
when: { event: shop.cart_item_added, if: "${ event.cart != 'c-0' }" }
then:
  - { id: first,  do: shop.mark_cart, with: { cart: "${ event.cart }", status: processing } }
  - { id: second, do: shop.mark_cart, with: { cart: "${ first.cart }", status: "was ${ first.status }" } }
"#;

pub(crate) fn example(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../examples/native-python").join(name)
}

pub(crate) fn manifest() -> Manifest {
    let text = std::fs::read_to_string(example("service.yml")).unwrap();
    ServiceFile::parse("service.yml", &text).unwrap().into_manifest(b"")
}

/// The example's program; it ends with the test.
pub(crate) struct Program {
    child: Child,
    address: SocketAddr,
}

impl Drop for Program {
    fn drop(&mut self) {
        self.child.kill().ok();
        self.child.wait().ok();
    }
}

impl Program {
    pub(crate) fn free_address() -> SocketAddr {
        TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap()
    }

    pub(crate) fn start(address: SocketAddr, secret: &str) -> Self {
        let child = Command::new("python3")
            .arg(example("service.py"))
            .env("ALTHING_SECRET", secret)
            .env("PORT", address.port().to_string())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .expect("python3 is there");
        let program = Self { child, address };
        while TcpStream::connect(program.address).is_err() {
            std::thread::yield_now();
        }
        program
    }
}

/// A node, its key and a client that asks as its operator.
pub(crate) struct Operator {
    pub(crate) key: AccountKey,
    pub(crate) client: Client,
}

pub(crate) fn operator(network: &DevNetwork, node: &Node, index: usize) -> Operator {
    let key = NodeKeys::load(&network.nodes[index].folder).unwrap().account;
    Operator { client: client_of(network, node, &key), key }
}

/// A client that asks a node as the holder of `key`.
pub(crate) fn client_of(network: &DevNetwork, node: &Node, key: &AccountKey) -> Client {
    let (account, until) = (key.address(), now().after(600_000));
    let digest = Eip712::new(network.genesis.chain).view(account, until);
    let signature = key.sign_recoverable(&digest);
    let client = Client::new(&format!("http://{}", node.api()));
    client.viewing(&Viewing { account, until, signature })
}

pub(crate) fn signed(
    network: &DevNetwork,
    key: &AccountKey,
    node: &Node,
    op: Operation,
) -> SignedTransaction {
    let account = query::account(&node.reader().view(), &key.address()).unwrap();
    key.sign_transaction(Transaction {
        chain: network.genesis.chain,
        account: key.address(),
        nonce: Nonce(account.nonce.0),
        expires: Height(1_000_000),
        atomic: true,
        fee_limit: Amount::from_tokens(1),
        operations: vec![op],
    })
}

/// Publishes the example's service, and has this node offer it.
pub(crate) async fn offer(network: &DevNetwork, node: &Node, operator: &Operator) -> Hash {
    let manifest = manifest();
    let service = manifest.id();
    tokio::task::block_in_place(|| operator.client.put_blob(&manifest.canonical()).unwrap());
    let publish = Operation::Publish(Publish { terms: manifest.terms().into() });
    node.submit(&transaction(network, 0, vec![publish]).encode()).unwrap();
    let reader = node.reader();
    until(node, "the service", || query::service(&reader.view(), &service).unwrap().is_some())
        .await;
    let offer = Operation::Offer(Offer {
        service,
        stake: Amount::from_tokens(1_000),
        term_ms: 3_600_000,
        owner: operator.key.address(),
        endpoint: node.endpoint(),
        labels: vec![],
    });
    node.submit(&signed(network, &operator.key, node, offer).encode()).unwrap();
    let address = node.address();
    until(node, "the offer", || {
        let offer = query::offer(&reader.view(), &service, &address).unwrap();
        offer.is_some_and(|offer| offer.status == OfferStatus::Active)
    })
    .await;
    service
}

/// Deploys the application; the person has used one nonce.
async fn deploy(network: &DevNetwork, node: &Node, operator: &Operator) -> Hash {
    let compiled = compiled();
    let document = compiled.document();
    let id = application_id(&person().address(), &compiled.blob().hash);
    tokio::task::block_in_place(|| operator.client.put_blob_of(&id, document).unwrap());
    deployed(network, node, &compiled, Vec::new()).await
}

/// The application, checked.
pub(crate) fn compiled() -> Compiled {
    let mut catalogue = Catalogue::default();
    catalogue.add_service(manifest());
    let file = ApplicationFile::parse("app.yaml", APPLICATION).unwrap();
    file.check(&catalogue, &serde_json::Map::new()).unwrap().compiled
}

/// Deploys it at the node that has its document; the person has used one nonce.
pub(crate) async fn deployed(
    network: &DevNetwork,
    node: &Node,
    compiled: &Compiled,
    grantees: Vec<althing_types::Address>,
) -> Hash {
    let terms = ApplicationTerms {
        alias: "acme/carts@1.0.0".parse().unwrap(),
        document: compiled.blob(),
        home: node.endpoint(),
        visibility: Visibility::Private(grantees),
        plan: compiled.plan().clone(),
    };
    let id = application_id(&person().address(), &terms.document.hash);
    let deposit = Amount::from_tokens(100);
    let deploy = Operation::Deploy(Deploy { terms: terms.into(), deposit, replaces: None });
    node.submit(&transaction(network, 1, vec![deploy]).encode()).unwrap();
    let reader = node.reader();
    until(node, "the application", || query::application(&reader.view(), &id).unwrap().is_some())
        .await;
    id
}

pub(crate) fn event(id: &str, cart: &str) -> wire::CloudEvent {
    serde_json::from_value(serde_json::json!({
        "specversion": "1.0", "id": id, "source": "shop", "type": "cart_item_added",
        "data": { "cart": cart },
    }))
    .unwrap()
}

fn outputs(client: &Client, node: &Node, service: Hash) -> Vec<Outcome> {
    let filter = althing_api::ExecutionFilter { service: Some(service), ..Default::default() };
    let cut = althing_api::Cut { after: None, limit: 100 };
    let page = client.executions(filter, cut).unwrap();
    let conclusion = |execution: wire::Execution| {
        node.reader().execution(&execution.id.0).unwrap().unwrap().conclusion
    };
    let accepted = |conclusion| match conclusion {
        Some(Conclusion::Accepted(outcome)) => outcome,
        other => panic!("not accepted: {other:?}"),
    };
    page.items.into_iter().map(conclusion).map(accepted).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn an_event_of_a_python_program_starts_a_run_whose_steps_it_does() {
    let place = tempfile::tempdir().unwrap();
    let network = create(place.path(), 1);
    let node = start(&network, 0).await;
    until_height(&node, 1).await;
    let operator = operator(&network, &node, 0);
    let service = offer(&network, &node, &operator).await;
    let application = deploy(&network, &node, &operator).await;
    let (client, key) = (&operator.client, ServiceKey::Id(service));

    let address = Program::free_address();
    let url = format!("http://{address}/");
    let connection = tokio::task::block_in_place(|| client.connect(&key, &url).unwrap());
    let program = tokio::task::block_in_place(|| Program::start(address, &connection.secret));

    let observe = |token: &str, event: &wire::CloudEvent| {
        tokio::task::block_in_place(|| client.observe(&key, token, event))
    };
    let token = connection.token.as_str();
    let wrong = observe(&"0".repeat(64), &event("cart-17", "c-17")).unwrap_err();
    assert_eq!(wrong.code(), "API-0014", "{wrong}");
    let mut unknown = event("cart-17", "c-17");
    unknown.kind = "cart_emptied".parse::<althing_types::Name>().unwrap().into();
    assert!(observe(token, &unknown).unwrap_err().is_not_found());
    let mut bad = event("cart-17", "c-17");
    bad.data = serde_json::json!({ "cart": 17 });
    assert_eq!(observe(token, &bad).unwrap_err().code(), "MAN-0034");

    let first = observe(token, &event("cart-17", "c-17")).unwrap();
    assert!(!first.duplicate && first.via.is_none());
    let again = observe(token, &event("cart-17", "c-17")).unwrap();
    assert_eq!((again.event, again.duplicate), (first.event, true));

    let reader = node.reader();
    let usage = || query::usage(&reader.view(), &application).unwrap();
    until(&node, "the run's end", || usage().runs == 1 && usage().open == 0).await;
    let marked = |status: &str| Outcome::Returned {
        status: "marked".parse().unwrap(),
        output: BlobRef::of(format!(r#"{{"cart":"c-17","status":"{status}"}}"#).as_bytes()),
        keys: Vec::new(),
    };
    let done = tokio::task::block_in_place(|| outputs(client, &node, service));
    assert_eq!(done.len(), 2);
    assert!(done.contains(&marked("processing")), "{done:?}");
    assert!(done.contains(&marked("was processing")), "{done:?}");

    // A condition that is false declines the first step, and nothing is posted.
    observe(token, &event("cart-0", "c-0")).unwrap();
    until(&node, "the second run's end", || usage().runs == 2 && usage().open == 0).await;
    let done = tokio::task::block_in_place(|| outputs(client, &node, service));
    assert_eq!(done.len(), 3);
    assert!(done.contains(&Outcome::Declined), "{done:?}");

    drop(reader); // it keeps the store open
    // After its start the node knows what it has observed, and whom it is connected to.
    node.shutdown().await;
    let node = start(&network, 0).await;
    let client = Client::new(&format!("http://{}", node.api()));
    let late =
        tokio::task::block_in_place(|| client.observe(&key, token, &event("cart-17", "c-17")));
    assert!(late.unwrap().duplicate);
    node.shutdown().await;
    drop(program);
}

#[tokio::test(flavor = "multi_thread")]
async fn any_node_takes_an_event_for_the_one_that_knows_the_program() {
    let place = tempfile::tempdir().unwrap();
    let network = create(place.path(), 2);
    let nodes = start_all(&network).await;
    until_height(&nodes[0], 2).await;
    let here = operator(&network, &nodes[0], 0);
    let service = offer(&network, &nodes[0], &here).await;
    let key = ServiceKey::Id(service);
    let url = format!("http://{}/", Program::free_address());
    let connection = tokio::task::block_in_place(|| here.client.connect(&key, &url).unwrap());

    let reader = nodes[1].reader();
    until(&nodes[1], "the service", || query::service(&reader.view(), &service).unwrap().is_some())
        .await;
    let elsewhere = Client::new(&format!("http://{}", nodes[1].api()));
    let observe = |token: &str| {
        tokio::task::block_in_place(|| elsewhere.observe(&key, token, &event("cart-1", "c-1")))
    };
    assert_eq!(observe(&"0".repeat(64)).unwrap_err().code(), "API-0014");
    let taken = observe(&connection.token).unwrap();
    assert_eq!(taken.via.map(|via| via.0), Some(nodes[0].endpoint()));
    assert!(!taken.duplicate);
    assert!(observe(&connection.token).unwrap().duplicate);
    let happened = || query::happened(&reader.view(), &taken.event.0).unwrap().is_some();
    until(&nodes[1], "the event on the ledger", happened).await;
    for node in nodes {
        node.shutdown().await;
    }
}
