//! Who is in office is found without looking at every offer.

use std::cell::Cell;
use std::collections::BTreeMap;

use althing_keys::Secp256k1;
use althing_ledger::{Applied, Authenticated, BlockContext, Ledger, OfferRecord, keys, query};
use althing_state::{Entry, Fault, MemoryState, View};
use althing_types::{Address, Amount, Eip712, Hash, Round};

use crate::common::world::STAKE;
use crate::common::{CHAIN, World};
use crate::events::{READ, key, read, the_only};

/// A state that counts what is read of it by ranges.
struct Counting<'a> {
    state: &'a MemoryState,
    entries: Cell<usize>,
}

impl View for Counting<'_> {
    fn read(&self, key: &[u8]) -> Result<Option<Vec<u8>>, Fault> {
        self.state.read(key)
    }

    fn range(
        &self,
        prefix: &[u8],
        after: Option<&[u8]>,
        limit: usize,
    ) -> Result<Vec<Entry>, Fault> {
        let found = self.state.range(prefix, after, limit)?;
        self.entries.set(self.entries.get() + found.len());
        Ok(found)
    }
}

/// Offers beside that of the only node, each with a smaller stake than the one before. More than
/// operations would let in: what is found must not hang on that limit.
fn crowd(world: &mut World, offers: u32) -> Vec<Address> {
    let model = world.record(&world.nodes[0].address());
    let mut writes = BTreeMap::new();
    let (mut totals, mut nodes) = (world.chain.totals(), Vec::new());
    for n in 0..offers {
        let mut node = Address::ZERO;
        node.0[..4].copy_from_slice(&n.wrapping_mul(0x9e37_79b1).to_be_bytes());
        let less = Amount::from_base_units(u128::from(n) + 1);
        let offer = OfferRecord { stake: STAKE.checked_sub(less).unwrap(), ..model.clone() };
        totals.offers = totals.offers.checked_add(offer.stake).unwrap();
        totals.supply = totals.supply.checked_add(offer.stake).unwrap();
        let seat = keys::seat(&world.service, offer.stake, &node);
        writes.insert(seat, Some(vec![]));
        let offer = borsh::to_vec(&offer).unwrap();
        writes.insert(keys::offer(&world.service, &node), Some(offer));
        nodes.push(node);
    }
    writes.insert(keys::TOTALS.to_vec(), Some(borsh::to_vec(&totals).unwrap()));
    world.chain.state.apply(&writes);
    nodes
}

#[test]
fn an_office_costs_what_it_holds_however_many_offer_the_service() {
    for offers in [0, 1_000, 10_000] {
        let mut world = World::new(1);
        let crowd = crowd(&mut world, offers);
        let (node, operation) = (world.nodes[0].clone(), read(&world, 1, b"truth"));
        let before = world.chain.clone();
        world.chain.done(&node, operation.clone());

        let event = key(&world, READ, 1);
        let record = query::event(&world.chain.state, &event).unwrap();
        let record = record.unwrap_or_else(|| the_only(&world, &event));
        let mut office: Vec<Address> = crowd.into_iter().take(127).collect();
        office.push(node.address());
        office.sort_unstable();
        assert_eq!(record.office, office, "the largest stakes of {offers}");

        // The same block once more, over a state that counts.
        let eip712 = Eip712::new(CHAIN);
        let counting = Counting { state: &before.state, entries: Cell::new(0) };
        let context = BlockContext {
            chain: CHAIN,
            height: world.chain.height,
            round: Round(0),
            time: world.chain.time,
            previous: before.time,
            proposer: world.validator.address(),
            beacon: Hash([1; 32]),
        };
        let mut ledger = Ledger::begin(&counting, context, &eip712, &Secp256k1).unwrap();
        let opened = counting.entries.get();
        let nonce = before.account(&node.address()).nonce;
        let signed = node.sign(before.transaction(node.address(), nonce, vec![operation]));
        let signed = signed.encode();
        let authenticated = Authenticated::decode(&signed, &eip712, CHAIN, &Secp256k1);
        assert_eq!(ledger.apply(&authenticated.unwrap()).unwrap(), Applied::Included);
        let entries = counting.entries.get() - opened;
        assert!(entries <= 128 + 1, "{entries} entries of {offers} offers are read");
    }
}
