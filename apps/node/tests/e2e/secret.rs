//! What an application's owner gives to the node that is drawn, and to nobody else.

use std::sync::Arc;

use althing_api::{ApplicationKey, ServiceKey};
use althing_application::{ApplicationFile, Catalogue, Compiled};
use althing_keys::{AccountKey, Secp256k1};
use althing_ledger::{Phase, query};
use althing_net_iroh::{Config, IrohNetwork, Limits, PeerAddress};
use althing_network::{Kind, Network as _, NetworkError};
use althing_node::Node;
use althing_node::dev_network::DevNetwork;
use althing_types::{Address, BlobRef, Eip712, Hash, Name, Outcome, application_id};
use bytes::Bytes;

use crate::common::{create, person, start_all, until, until_height};
use crate::native::{Program, client_of, deployed, event, manifest, offer, operator};

const SECRET: &str = "correct-horse-battery-staple";

/// One step, which only `executor` may do, with a secret for a status.
fn compiled(executor: &Address) -> Compiled {
    let text = format!(
        r#"
app: carts
version: 1.0.0
visibility: private
services: {{ shop: acme/shop@1 }}
when: shop.cart_item_added
then:
  - id: first
    do: shop.mark_cart
    with: {{ cart: "${{ event.cart }}", status: {{ secret: stamp }} }}
    nodes: {{ allow: [{executor}] }}
"#
    );
    let mut catalogue = Catalogue::default();
    catalogue.add_service(manifest());
    let file = ApplicationFile::parse("app.yaml", &text).unwrap();
    file.check(&catalogue, &serde_json::Map::new()).unwrap().compiled
}

/// Somebody on the network who is nobody on the ledger, connected to a node.
async fn stranger(network: &DevNetwork, home: &Node) -> IrohNetwork {
    let key = AccountKey::from_bytes(&[9; 32]).unwrap();
    let secret = [42; 32];
    let endpoint = althing_net_iroh::endpoint_of(&secret);
    let chain = network.genesis.chain;
    let bootstrap =
        vec![PeerAddress { endpoint: home.endpoint(), address: network.nodes[0].listen }];
    let config = Config {
        secret,
        listen: "127.0.0.1:0".parse().unwrap(),
        chain,
        genesis: network.genesis.hash(),
        account: key.address(),
        hello: key.sign_hello(&Eip712::new(chain), &endpoint.0),
        bootstrap,
        signatures: Arc::new(Secp256k1),
        limits: Limits::default(),
    };
    let stranger = IrohNetwork::bind(config).await.unwrap();
    until(home, "the stranger", || stranger.connected().contains(&home.endpoint())).await;
    stranger
}

/// The application is deployed through the first node, and the second alone may do its step.
#[tokio::test(flavor = "multi_thread")]
async fn a_secret_reaches_the_drawn_executor_and_nobody_else() {
    let place = tempfile::tempdir().unwrap();
    let network = create(place.path(), 3);
    let nodes = start_all(&network).await;
    until_height(&nodes[0], 2).await;
    let [home, executor, other] = &nodes[..] else { panic!("three nodes") };
    let worker = operator(&network, executor, 1);
    let service = offer(&network, executor, &worker).await;
    let address = Program::free_address();
    let (key, url) = (ServiceKey::Id(service), format!("http://{address}/"));
    let connection = tokio::task::block_in_place(|| worker.client.connect(&key, &url).unwrap());

    let compiled = compiled(&executor.address());
    let (owner, thief) = (person(), AccountKey::from_bytes(&[8; 32]).unwrap());
    let owners = client_of(&network, home, &owner);
    let id = application_id(&owner.address(), &compiled.blob().hash);
    tokio::task::block_in_place(|| owners.put_blob_of(&id, compiled.document()).unwrap());
    let reader = home.reader();
    until(home, "the service", || query::service(&reader.view(), &service).unwrap().is_some())
        .await;
    let application = deployed(&network, home, &compiled, vec![thief.address()]).await;
    let reader = executor.reader();
    until(executor, "the application", || {
        query::application(&reader.view(), &application).unwrap().is_some()
    })
    .await;

    // Only the owner, and only at the home. A grantee sees the application and sets nothing.
    let (app, name) = (ApplicationKey::Id(application), "stamp".parse::<Name>().unwrap());
    tokio::task::block_in_place(|| {
        let elsewhere = client_of(&network, other, &owner);
        assert_eq!(elsewhere.set_secret(&app, &name, SECRET).unwrap_err().code(), "API-0014");
        let theirs = client_of(&network, home, &thief);
        assert_eq!(theirs.set_secret(&app, &name, "x").unwrap_err().code(), "API-0014");
        assert_eq!(theirs.secrets(&app).unwrap_err().code(), "API-0014");
        let long = "x".repeat(5_000);
        assert_eq!(owners.set_secret(&app, &name, &long).unwrap_err().code(), "API-0002");
        assert_eq!(owners.set_secret(&app, &name, "").unwrap_err().code(), "API-0014");
        assert!(owners.forget_secret(&app, &name).unwrap_err().is_not_found());
        owners.set_secret(&app, &name, SECRET).unwrap();
        let told = owners.secrets(&app).unwrap();
        assert_eq!((told.len(), told[0].asked, told[0].set), (1, true, true));
    });

    // Nobody listens where the program is to be: the step is under way, and stays so.
    let observe = || worker.client.observe(&key, &connection.token, &event("cart-1", "c-1"));
    tokio::task::block_in_place(|| observe().unwrap());
    let open = |node: &Node| {
        let found = query::executions(&node.reader().view(), None, 10).unwrap();
        found.into_iter().find(|execution| execution.phase == Phase::Working)
    };
    until(home, "the step", || open(home).is_some()).await;
    let execution: Hash = open(home).unwrap().id;
    let stranger = stranger(&network, home).await;
    for question in [&execution.0[..], &application.0, b"", &[7; 33]] {
        let question = Bytes::copy_from_slice(question);
        let answer = stranger.request(home.endpoint(), Kind::Secrets, question).await;
        assert!(
            matches!(
                answer,
                Err(NetworkError::Refused { .. }
                    | NetworkError::TooLarge { .. }
                    | NetworkError::Broken { .. })
            ),
            "{answer:?}"
        );
    }
    assert!(
        open(home).is_some_and(|still| still.id == execution),
        "it was asked for while it was due"
    );
    stranger.shutdown().await;

    let _program = tokio::task::block_in_place(|| Program::start(address, &connection.secret));
    let usage = || query::usage(&reader.view(), &application).unwrap();
    until(executor, "the run's end", || usage().runs == 1 && usage().open == 0).await;
    // The example's program tells what it was given: that is how it is seen here.
    let output = BlobRef::of(format!(r#"{{"cart":"c-1","status":"{SECRET}"}}"#).as_bytes());
    let conclusions: Vec<_> = [execution]
        .iter()
        .filter_map(|id| executor.reader().execution(id).unwrap()?.conclusion)
        .collect();
    assert!(
        matches!(
            &conclusions[..],
            [althing_ledger::Conclusion::Accepted(Outcome::Returned { output: found, .. })]
                if *found == output
        ),
        "{conclusions:?}"
    );
    drop(reader);
    for node in nodes {
        node.shutdown().await;
    }
}
