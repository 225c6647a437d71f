//! What belongs to a private application is handed to whom it concerns.

use althing_api::ServiceKey;
use althing_api::client::Client;
use althing_keys::AccountKey;
use althing_ledger::{Conclusion, query};
use althing_node::Node;
use althing_node::dev_network::DevNetwork;
use althing_replica::Subject;
use althing_types::{Amount, BlobRef, Call, Deploy, Hash, Operation, Outcome, application_id};

use crate::common::{create, person, start_all, transaction, transfer, until, until_height};
use crate::native::{Program, client_of, compiled, deployed, event, offer, operator, signed};

/// Whether a node gives a blob, as a part of something or by its hash alone.
fn gives(client: &Client, of: Option<&Hash>, blob: &BlobRef) -> bool {
    let answer = tokio::task::block_in_place(|| match of {
        Some(of) => client.blob_of(of, &blob.hash),
        None => client.blob(&blob.hash),
    });
    match answer {
        Ok(bytes) => BlobRef::of(&bytes) == *blob,
        Err(error) => {
            assert!(error.is_not_found(), "{error}");
            false
        }
    }
}

/// Executions that returned something, with it.
fn returned(node: &Node, ids: &[Hash]) -> Vec<(Hash, BlobRef)> {
    let output = |id: &Hash| {
        let execution = node.reader().execution(id).unwrap()?;
        match execution.conclusion? {
            Conclusion::Accepted(Outcome::Returned { output, .. }) => Some((*id, output)),
            _ => None,
        }
    };
    ids.iter().filter_map(output).collect()
}

/// All executions of the chain that have ended.
fn ended(node: &Node) -> Vec<Hash> {
    let (reader, mut ids) = (node.reader(), Vec::new());
    for height in 1..=reader.head().tip.height.0 {
        let (block, _) = reader.decided(althing_types::Height(height)).unwrap().unwrap();
        let subjects = reader.subjects(&block.header.id()).unwrap().unwrap_or_default();
        ids.extend(subjects.iter().filter_map(|subject| match subject {
            Subject::Execution(id) => Some(*id),
            _ => None,
        }));
    }
    ids
}

/// Whoever calls a task on a blob, with what came of it.
async fn called(
    network: &DevNetwork,
    (at, home): (&Node, &Node),
    caller: &AccountKey,
    (service, input): (Hash, BlobRef),
) -> Conclusion {
    let before = ended(at);
    let call = Operation::Call(Call {
        service,
        task: "mark_cart".parse().unwrap(),
        input,
        home: home.endpoint(),
        checkers: 0,
        quorum: 0,
        nodes: Vec::new(),
        price_max: Amount::from_tokens(100),
    });
    at.submit(&signed(network, caller, at, call).encode()).unwrap();
    let news = || ended(at).into_iter().find(|id| !before.contains(id));
    until(at, "the call's end", || news().is_some()).await;
    let execution = at.reader().execution(&news().unwrap()).unwrap().unwrap();
    execution.conclusion.expect("it has ended")
}

/// The application is deployed through the first node and worked for by the second; the third has
/// nothing to do with it.
#[tokio::test(flavor = "multi_thread")]
async fn a_private_applications_payloads_go_to_whom_they_concern_and_to_nobody_else() {
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
    let _program = tokio::task::block_in_place(|| Program::start(address, &connection.secret));

    let grantee = AccountKey::from_bytes(&[8; 32]).unwrap();
    let stranger = AccountKey::from_bytes(&[9; 32]).unwrap();
    let (compiled, owner) = (compiled(), person());
    let owners = client_of(&network, home, &owner);
    let id = application_id(&owner.address(), &compiled.blob().hash);
    tokio::task::block_in_place(|| owners.put_blob_of(&id, compiled.document()).unwrap());
    let reader = home.reader();
    until(home, "the service", || query::service(&reader.view(), &service).unwrap().is_some())
        .await;
    let application = deployed(&network, home, &compiled, vec![grantee.address()]).await;
    let document = compiled.blob();
    let reader = executor.reader();
    until(executor, "the application", || {
        query::application(&reader.view(), &application).unwrap().is_some()
    })
    .await;
    let observe = || worker.client.observe(&key, &connection.token, &event("cart-1", "c-1"));
    tokio::task::block_in_place(|| observe().unwrap());
    let usage = || query::usage(&reader.view(), &application).unwrap();
    until(executor, "the run's end", || usage().runs == 1 && usage().open == 0).await;
    // Whoever is drawn got the document from the home, and each step what the one before returned.
    let outputs = returned(executor, &ended(executor));
    assert_eq!(outputs.len(), 2, "{outputs:?}");
    for node in &nodes {
        let (tip, reader) = (executor.reader().head().tip.height, node.reader());
        until(node, "the run's end everywhere", || reader.head().tip.height >= tip).await;
    }

    for node in &nodes {
        let (anybody, stranger) =
            (Client::new(&format!("http://{}", node.api())), client_of(&network, node, &stranger));
        for client in [&anybody, &stranger] {
            assert!(!gives(client, None, &document), "by its hash");
            assert!(!gives(client, Some(&application), &document));
            for (execution, output) in &outputs {
                assert!(!gives(client, None, output), "by its hash");
                assert!(!gives(client, Some(execution), output));
            }
        }
    }
    for key in [&owner, &grantee] {
        let client = client_of(&network, home, key);
        assert!(gives(&client, Some(&application), &document));
        for (execution, output) in &outputs {
            // The executor gives it to the home, which the owner has chosen.
            assert!(gives(&client, Some(execution), output));
            assert!(!gives(&client, Some(&application), output), "it is no part of that");
            let elsewhere = client_of(&network, other, key);
            assert!(!gives(&elsewhere, Some(execution), output), "no node vouches for a person");
        }
    }
    // What anybody can read in the blocks no list would hide: the application's page says so.
    let heights = 1..=home.reader().head().tip.height.0;
    let anybody = Client::new(&format!("http://{}", other.api()));
    let told = tokio::task::block_in_place(|| {
        let block = |height| anybody.block(Some(althing_types::Height(height))).unwrap();
        heights
            .map(block)
            .any(|block| serde_json::to_string(&block).unwrap().contains("acme/carts@1.0.0"))
    });
    assert!(told, "the deployment is in a block, with alias and graph");
    // Naming the hash in an application of one's own opens nothing.
    let fund = transfer(stranger.address(), 500);
    home.submit(&transaction(&network, 2, vec![fund]).encode()).unwrap();
    let (reader, thief) = (home.reader(), stranger.address());
    let nonce = || query::account(&reader.view(), &thief).unwrap();
    until(home, "the money", || !nonce().balance.is_zero()).await;
    let record = query::application(&reader.view(), &application).unwrap().unwrap();
    let mut terms = record.terms;
    terms.alias = "thief/carts@1.0.0".parse().unwrap();
    let deploy =
        Operation::Deploy(Deploy { terms: terms.into(), deposit: Amount::ZERO, replaces: None });
    home.submit(&signed(&network, &stranger, home, deploy).encode()).unwrap();
    until(home, "the copy", || nonce().nonce.0 == 1).await;
    let copy = application_id(&thief, &document.hash);
    assert!(query::application(&reader.view(), &copy).unwrap().is_some());
    for node in &nodes {
        let client = client_of(&network, node, &stranger);
        assert!(!gives(&client, Some(&copy), &document));
    }
    // Nor does having a task run on it, on the very node that has it: what the task returns is the
    // caller's. Here task and step return the same, so that it would be the private result itself.
    let (_, private) = outputs[0];
    let stolen = called(&network, (home, other), &stranger, (service, private)).await;
    assert!(matches!(stolen, Conclusion::Failed(_)), "{stolen:?}");
    // But who knows the very same bytes may use them as everywhere: hiding them would refuse others
    // an input such as `{}`.
    let known = tokio::task::block_in_place(|| {
        let execution = outputs[0].0;
        client_of(&network, home, &owner).blob_of(&execution, &private.hash).unwrap()
    });
    let theirs = client_of(&network, other, &stranger);
    tokio::task::block_in_place(|| theirs.put_blob(&known).unwrap());
    let own = called(&network, (home, other), &stranger, (service, private)).await;
    assert!(matches!(own, Conclusion::Accepted(Outcome::Returned { .. })), "{own:?}");
    drop(reader);
    for node in nodes {
        node.shutdown().await;
    }
}
