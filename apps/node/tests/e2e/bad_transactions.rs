//! Bad transactions at a real node's door: each gets its code, none stops the node or loses anything.

use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};

use althing_ledger::query;
use althing_types::{Address, Amount, ChainId, SignedTransaction};

use crate::common::{create, person, start, transaction, transfer, until, until_height};

const STRANGER: Address = Address([9; 20]);

/// The order of secp256k1, big-endian.
const ORDER: [u8; 32] = [
    0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xfe,
    0xba, 0xae, 0xdc, 0xe6, 0xaf, 0x48, 0xa0, 0x3b, 0xbf, 0xd2, 0x5e, 0x8c, 0xd0, 0x36, 0x41, 0x41,
];

/// The other signature of the same transaction: order − s, and the other v.
fn with_high_s(mut signed: SignedTransaction) -> SignedTransaction {
    let mut borrow = 0_i16;
    for index in (0..32).rev() {
        let difference =
            i16::from(ORDER[index]) - i16::from(signed.signature.r_and_s[32 + index]) - borrow;
        borrow = i16::from(difference < 0);
        signed.signature.r_and_s[32 + index] = difference.rem_euclid(256).to_le_bytes()[0];
    }
    signed.signature.v = 27 + 28 - signed.signature.v;
    signed
}

#[tokio::test(flavor = "multi_thread")]
async fn a_transaction_that_is_handed_in_again_is_accepted_again_and_carried_out_once() {
    let place = tempfile::tempdir().unwrap();
    let network = create(place.path(), 1);
    let node = start(&network, 0).await;
    until_height(&node, 1).await;
    let good = transaction(&network, 0, vec![transfer(STRANGER, 5)]);
    let client = althing_api::client::Client::new(&format!("http://{}", node.api()));
    let hand_in = || {
        let (client, good) = (client.clone(), good.clone());
        tokio::task::spawn_blocking(move || client.submit(&good))
    };
    for _ in 0..3 {
        assert_eq!(hand_in().await.unwrap().unwrap(), good.hash());
    }
    let reader = node.reader();
    let balance = || query::account(&reader.view(), &STRANGER).unwrap().balance;
    until(&node, "the transfer", || balance() == Amount::from_tokens(5)).await;
    assert_eq!(hand_in().await.unwrap().unwrap(), good.hash());
    let height = node.reader().head().tip.height.0;
    until_height(&node, height + 1).await;
    assert_eq!(balance(), Amount::from_tokens(5));
    node.shutdown().await;
}

/// Posts a body as it is, and returns status and answer.
fn post(api: SocketAddr, body: &[u8]) -> (u16, String) {
    let mut stream = TcpStream::connect(api).unwrap();
    let head = format!(
        "POST /v1/transactions HTTP/1.1\r\nhost: {api}\r\nconnection: close\r\n\
         content-type: application/json\r\ncontent-length: {}\r\n\r\n",
        body.len()
    );
    stream.write_all(head.as_bytes()).unwrap();
    // A node that refuses a body for its size may close before it has read all of it.
    stream.write_all(body).ok();
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer).ok();
    let answer = String::from_utf8_lossy(&answer).into_owned();
    let status = answer.get(9..12).and_then(|status| status.parse().ok()).unwrap_or(0);
    (status, answer)
}

fn as_json(bytes: &[u8]) -> Vec<u8> {
    format!(r#"{{"encoded":"0x{}"}}"#, hex::encode(bytes)).into_bytes()
}

#[tokio::test(flavor = "multi_thread")]
async fn every_bad_transaction_is_refused_with_its_code_and_the_node_goes_on() {
    let place = tempfile::tempdir().unwrap();
    let network = create(place.path(), 1);
    let node = start(&network, 0).await;
    until_height(&node, 1).await;
    let code = |bytes: &[u8]| {
        let error = node.submit(bytes).expect_err("refused");
        error.code().map(str::to_owned).unwrap_or_else(|| error.to_string())
    };

    let good = transaction(&network, 0, vec![transfer(STRANGER, 5)]);
    let bytes = good.encode();
    // Malformed, cut short, too long, not canonical.
    assert_eq!(code(b"nonsense"), "TXN-0001");
    assert_eq!(code(&bytes[..bytes.len() - 1]), "TXN-0001");
    assert_eq!(code(&[&bytes[..], &[0]].concat()), "TXN-0001");
    assert_eq!(code(&vec![0; 1 << 20]), "TXN-0001");
    // Unsigned, wrongly signed, malleable, for another chain.
    let mut unsigned = good.clone();
    unsigned.signature.r_and_s = [0; 64];
    assert_eq!(code(&unsigned.encode()), "TXN-0002");
    let mut forged = good.clone();
    forged.transaction.account = STRANGER;
    assert_eq!(code(&forged.encode()), "TXN-0002");
    assert_eq!(code(&with_high_s(good.clone()).encode()), "TXN-0003");
    let mut elsewhere = good.transaction.clone();
    elsewhere.chain = ChainId(elsewhere.chain.0 + 1);
    assert_eq!(code(&person().sign_transaction(elsewhere).encode()), "TXN-0004");
    assert_eq!(code(&transaction(&network, 0, vec![]).encode()), "TXN-0005");

    // Good once; replayed it is no news, and after its block it is stale.
    node.submit(&bytes).unwrap();
    let reader = node.reader();
    until(&node, "the transfer", || {
        query::account(&reader.view(), &STRANGER).unwrap().balance == Amount::from_tokens(5)
    })
    .await;
    assert!(code(&bytes).starts_with("POL-"), "{}", code(&bytes));
    let balance = query::account(&reader.view(), &STRANGER).unwrap().balance;
    assert_eq!(balance, Amount::from_tokens(5));

    // The same at the HTTP door: problem documents with codes.
    let api = node.api();
    let answers = tokio::task::spawn_blocking(move || {
        [post(api, b"{"), post(api, &as_json(b"nonsense")), post(api, &vec![b' '; 4 << 20])]
    });
    for (status, answer) in answers.await.unwrap() {
        assert!((400..500).contains(&status), "{status}: {answer}");
        assert!(answer.contains("application/problem+json") && answer.contains("API-"), "{answer}");
    }
    let height = node.reader().head().tip.height.0;
    until_height(&node, height + 1).await;
    node.shutdown().await;
}
