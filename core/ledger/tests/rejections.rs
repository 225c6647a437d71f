//! Calls that are rejected. Other operations' rejections are with their nouns.

use althing_types::{BlobRef, Call, Hash, Operation};

use crate::common::world::{ENDOWMENT, name};
use crate::common::{World, actor};

#[test]
fn calls_are_rejected_with_their_reasons() {
    let mut world = World::new(4);
    let base = world.compute(3);
    let sorted = {
        let mut nodes: Vec<_> = (0..129).map(|n| actor(n).address()).collect();
        nodes.sort_unstable();
        nodes
    };
    let cases = [
        (Call { service: Hash([1; 32]), ..base.clone() }, "LED-0019"),
        (Call { task: name("other"), ..base.clone() }, "LED-0020"),
        (Call { checkers: 17, ..base.clone() }, "LED-0027"),
        (Call { checkers: u16::MAX, ..base.clone() }, "LED-0027"),
        (Call { quorum: 2, ..base.clone() }, "LED-0028"),
        (Call { quorum: 5, ..base.clone() }, "LED-0028"),
        (Call { nodes: sorted.clone(), ..base.clone() }, "LED-0030"),
        (Call { nodes: vec![sorted[1], sorted[0]], ..base.clone() }, "LED-0030"),
        (Call { nodes: vec![sorted[0], sorted[0]], ..base.clone() }, "LED-0030"),
        (
            Call { input: BlobRef { bytes: (4 << 20) + 1, ..base.input }, ..base.clone() },
            "LED-0031",
        ),
    ];
    for (call, code) in cases {
        assert_eq!(world.chain.rejected(&world.caller, Operation::Call(call)), code);
    }
    world.chain.done(&world.caller, Operation::Call(base));
}

#[test]
fn who_cannot_pay_the_price_calls_nothing() {
    let mut world = World::new(4);
    let poor = actor(80);
    let fee_alone = crate::transfers::transfer(&poor, crate::common::tokens(1));
    world.chain.done(&world.caller, fee_alone);
    let call = Operation::Call(world.compute(0));
    assert_eq!(world.chain.rejected(&poor, call), "LED-0001");
    assert!(world.chain.balance(&world.caller) < ENDOWMENT);
}
