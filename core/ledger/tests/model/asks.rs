//! What anybody can ask of the bank: as an operation for the ledger, and as the model understands it.

use althing_ledger::{OfferStatus, ValidatorStatus};
use althing_types::{
    Address, BeaconKey, BlobRef, Bond, Call, Eip712, Evidence, Hash, Height, Operation, Publish,
    Resume, Round, SignedVote, TimeMs, Transfer, Unbond, Unjail, VoteKind, Withdraw, keccak,
};
use proptest::prelude::*;

use super::bank::{Bank, Offer, Open, TOKEN, Validator};
use crate::common::world::{CHECK_PRICE, PRICE, name, terms};
use crate::common::{Actor, CHAIN, endpoint, units};

/// How many people there are.
pub(crate) const PEOPLE: usize = 8;

/// One operation of somebody.
#[derive(Clone, Debug)]
pub(crate) enum Ask {
    Transfer { to: usize, amount: u128 },
    Bond { amount: u128, keys: u8, foreign: bool },
    Unbond { amount: u128 },
    Unjail,
    Accuse { whom: usize, nil: bool, same: bool, forged: bool },
    Publish { namespace: u8, number: u8, edition: u8, empty: bool },
    Offer { stake: u128, term_ms: u64, known: bool },
    Withdraw,
    Resume,
    Call { method: bool, checkers: u16, quorum: u16, picked: Vec<usize>, limit: u128, odd: u8 },
}

pub(crate) fn any_ask() -> impl Strategy<Value = Ask> {
    let person = 0..PEOPLE;
    // Around the least bond of 100 tokens and the stakes of 500 and 1,000.
    let stake = prop_oneof![
        Just(0),
        Just(100 * TOKEN),
        (0_u128..1_100).prop_map(|n| n * TOKEN),
        0_u128..1_200 * TOKEN,
    ];
    let amount =
        prop_oneof![4 => 0_u128..100_000 * TOKEN, 2 => 0_u128..50, 1 => Just(99_999 * TOKEN)];
    let rarely = || prop::bool::weighted(0.1);
    let term =
        prop_oneof![Just(0_u64), Just(1), Just(50_000), Just(86_400_000), Just(400_000_000_000)];
    let quorum = prop_oneof![4 => Just(0_u16), 1 => 1_u16..6];
    let picked = prop_oneof![
        4 => Just(vec![]),
        1 => prop::collection::vec(person.clone(), 1..5),
    ];
    let limit = prop_oneof![5 => Just(1_000 * TOKEN), 1 => 0_u128..50 * TOKEN];
    let odd = prop_oneof![8 => Just(0_u8), 1 => 1_u8..4];
    prop_oneof![
        3 => (person.clone(), amount).prop_map(|(to, amount)| Ask::Transfer { to, amount }),
        4 => (stake.clone(), prop_oneof![5 => Just(0_u8), 1 => Just(1)], rarely())
            .prop_map(|(amount, keys, foreign)| Ask::Bond { amount, keys, foreign }),
        4 => stake.clone().prop_map(|amount| Ask::Unbond { amount }),
        2 => Just(Ask::Unjail),
        1 => (person, any::<bool>(), rarely(), rarely())
            .prop_map(|(whom, nil, same, forged)| Ask::Accuse { whom, nil, same, forged }),
        1 => (0_u8..2, 0_u8..3, 0_u8..2, rarely()).prop_map(|(namespace, number, edition, empty)| {
            Ask::Publish { namespace, number, edition, empty }
        }),
        3 => (stake, term, prop::bool::weighted(0.9))
            .prop_map(|(stake, term_ms, known)| Ask::Offer { stake, term_ms, known }),
        1 => Just(Ask::Withdraw),
        1 => Just(Ask::Resume),
        5 => (any::<bool>(), 0_u16..5, quorum, picked, limit, odd).prop_map(
            |(method, checkers, quorum, picked, limit, odd)| {
                Ask::Call { method, checkers, quorum, picked, limit, odd }
            },
        ),
    ]
}

/// The people and the service that asks are about.
pub(crate) struct Cast {
    pub(crate) people: Vec<Actor>,
    pub(crate) service: Hash,
}

impl Cast {
    fn address(&self, person: usize) -> Address {
        self.people[person].address()
    }

    pub(crate) fn operation(&self, who: usize, ask: &Ask) -> Operation {
        let actor = &self.people[who];
        match ask {
            Ask::Transfer { to, amount } => {
                Operation::Transfer(Transfer { to: self.address(*to), amount: units(*amount) })
            }
            Ask::Bond { amount, keys, foreign } => {
                let holder = if *foreign { &self.people[(who + 1) % PEOPLE] } else { actor };
                Operation::Bond(Bond {
                    amount: units(*amount),
                    public_key: holder.key.public_key(),
                    endpoint: endpoint(actor),
                    beacon_key: BeaconKey([*keys; 32]),
                })
            }
            Ask::Unbond { amount } => Operation::Unbond(Unbond { amount: units(*amount) }),
            Ask::Unjail => Operation::Unjail(Unjail {}),
            Ask::Accuse { whom, nil, same, forged } => self.evidence(*whom, *nil, *same, *forged),
            Ask::Publish { namespace, number, edition, empty } => {
                let mut terms = terms(&alias(*namespace, *number));
                terms.manifest = manifest(*namespace, *number, *edition);
                if *empty {
                    terms.tasks.clear();
                    terms.events.clear();
                }
                Operation::Publish(Publish { terms: terms.into() })
            }
            Ask::Offer { stake, term_ms, known } => Operation::Offer(althing_types::Offer {
                service: if *known { self.service } else { Hash([9; 32]) },
                stake: units(*stake),
                term_ms: *term_ms,
                owner: actor.address(),
                endpoint: endpoint(actor),
                labels: vec![],
            }),
            Ask::Withdraw => Operation::Withdraw(Withdraw { service: self.service }),
            Ask::Resume => Operation::Resume(Resume { service: self.service }),
            Ask::Call { method, checkers, quorum, picked, limit, odd } => Operation::Call(Call {
                service: if *odd == 1 { Hash([9; 32]) } else { self.service },
                task: name(match (*odd, *method) {
                    (2, _) => "nothing",
                    (_, true) => "find",
                    (_, false) => "compute",
                }),
                input: BlobRef { hash: Hash::ZERO, bytes: if *odd == 3 { 5 << 20 } else { 8 } },
                home: endpoint(actor),
                checkers: *checkers,
                quorum: *quorum,
                nodes: picked.iter().map(|n| self.address(*n)).collect(),
                price_max: units(*limit),
            }),
        }
    }

    fn evidence(&self, whom: usize, nil: bool, same: bool, forged: bool) -> Operation {
        let accused = &self.people[whom];
        let signer = if forged { &self.people[(whom + 1) % PEOPLE] } else { accused };
        let vote = |block: Option<Hash>| {
            let (kind, height, round) = (VoteKind::Precommit, Height(5), Round(1));
            let digest = Eip712::new(CHAIN).vote(kind, height, round, block);
            SignedVote { kind, height, round, block, signature: signer.key.sign_vote(&digest) }
        };
        let first = if nil { None } else { Some(Hash([1; 32])) };
        let second = if same { first } else { Some(Hash([2; 32])) };
        Operation::Evidence(Evidence {
            validator: accused.address(),
            first: vote(first).into(),
            second: vote(second).into(),
        })
    }

    /// What the ask does to the model, or the code of its rejection. `id` names a new execution.
    pub(crate) fn apply(
        &self,
        bank: &mut Bank,
        who: usize,
        ask: &Ask,
        id: Option<Hash>,
    ) -> Result<(), &'static str> {
        let me = self.address(who);
        match ask {
            Ask::Transfer { to, amount } => {
                if *amount == 0 {
                    return Err("LED-0002");
                }
                bank.take(&me, *amount)?;
                bank.give(self.address(*to), *amount);
                Ok(())
            }
            Ask::Bond { amount, keys, foreign } => apply_bond(bank, me, *amount, *keys, *foreign),
            Ask::Unbond { amount } => apply_unbond(bank, me, *amount),
            Ask::Unjail => {
                let now = bank.now;
                let validator = bank.validators.get_mut(&me).ok_or("LED-0006")?;
                match validator.status {
                    ValidatorStatus::Active => return Err("LED-0010"),
                    ValidatorStatus::Convicted => return Err("LED-0012"),
                    ValidatorStatus::Jailed { until } if now < until.0 => return Err("LED-0011"),
                    ValidatorStatus::Jailed { .. } => {}
                }
                validator.status = ValidatorStatus::Active;
                Ok(())
            }
            Ask::Accuse { whom, same, forged, .. } => {
                if *same {
                    return Err("LED-0013");
                }
                apply_evidence(bank, &self.address(*whom), *forged)
            }
            Ask::Publish { namespace, number, edition, empty } => {
                if *empty {
                    return Err("LED-0018");
                }
                let hash = manifest(*namespace, *number, *edition).hash;
                if bank.published.iter().any(|known| known.1 == hash) {
                    return Err("LED-0017");
                }
                let space = space(*namespace).to_owned();
                if *bank.namespaces.entry(space).or_insert(me) != me {
                    return Err("LED-0015");
                }
                let alias = alias(*namespace, *number);
                if bank.published.iter().any(|known| known.0 == alias) {
                    return Err("LED-0016");
                }
                bank.published.push((alias, hash));
                Ok(())
            }
            Ask::Offer { known: false, .. } => Err("LED-0019"),
            Ask::Offer { stake, term_ms, .. } => apply_offer(bank, me, *stake, *term_ms),
            Ask::Withdraw => apply_withdraw(bank, &me),
            Ask::Resume => {
                let least = bank.stake_min;
                let offer = bank.offers.get_mut(&me).ok_or("LED-0024")?;
                if offer.status != OfferStatus::Suspended {
                    return Err("LED-0026");
                }
                if offer.stake < least {
                    return Err("LED-0021");
                }
                (offer.status, offer.absences) = (OfferStatus::Active, 0);
                Ok(())
            }
            Ask::Call { .. } => self.apply_call(bank, me, ask, id),
        }
    }

    fn apply_call(
        &self,
        bank: &mut Bank,
        payer: Address,
        ask: &Ask,
        id: Option<Hash>,
    ) -> Result<(), &'static str> {
        let Ask::Call { method, checkers, quorum, picked, limit, odd } = ask else {
            panic!("a call was promised");
        };
        match odd {
            1 => return Err("LED-0019"),
            2 => return Err("LED-0020"),
            3 => return Err("LED-0031"),
            _ => {}
        }
        let all = checkers + 1;
        let majority = all / 2 + 1;
        if *quorum != 0 && !(majority..=all).contains(quorum) {
            return Err("LED-0028");
        }
        let nodes: Vec<Address> = picked.iter().map(|n| self.address(*n)).collect();
        if !nodes.is_sorted_by(|a, b| a < b) {
            return Err("LED-0030");
        }
        let check_price = if *method { CHECK_PRICE } else { PRICE }.base_units();
        let price = PRICE.base_units();
        let total = price + check_price * u128::from(*checkers);
        if total > *limit {
            return Err("LED-0029");
        }
        bank.take(&payer, total)?;
        let open = Open { payer, paid_in: total, escrow: total, fines: 0, price, check_price };
        // Undone within an atomic transaction, it has no name, and is never asked for again.
        bank.open.insert(id.unwrap_or(Hash::ZERO), open);
        Ok(())
    }
}

fn space(namespace: u8) -> &'static str {
    if namespace == 0 { "acme" } else { "bolt" }
}

fn alias(namespace: u8, number: u8) -> String {
    format!("{}/model{number}@1.0.0", space(namespace))
}

fn manifest(namespace: u8, number: u8, edition: u8) -> BlobRef {
    BlobRef { hash: keccak(&[b"manifest", &[namespace, number, edition]]), bytes: 10 }
}

fn apply_bond(
    bank: &mut Bank,
    me: Address,
    amount: u128,
    keys: u8,
    foreign: bool,
) -> Result<(), &'static str> {
    if amount == 0 {
        return Err("LED-0002");
    }
    if foreign {
        return Err("LED-0003");
    }
    if let Some(known) = bank.validators.get(&me) {
        if known.keys != keys {
            return Err("LED-0004");
        }
        if known.status == ValidatorStatus::Convicted {
            return Err("LED-0012");
        }
    }
    let bonded = bank.validators.get(&me).map_or(0, |known| known.bonded);
    if bonded + amount < bank.rules.bond_min.base_units() {
        return Err("LED-0005");
    }
    bank.take(&me, amount)?;
    let fresh = Validator {
        bonded: 0,
        unbonding: vec![],
        status: ValidatorStatus::Active,
        missed: 0,
        keys,
    };
    bank.validators.entry(me).or_insert(fresh).bonded += amount;
    Ok(())
}

fn apply_unbond(bank: &mut Bank, me: Address, amount: u128) -> Result<(), &'static str> {
    if amount == 0 {
        return Err("LED-0002");
    }
    let least = bank.rules.bond_min.base_units();
    let due = bank.now + bank.rules.unbonding_ms;
    let others = bank.validators.iter().any(|(address, v)| {
        *address != me && v.status == ValidatorStatus::Active && v.bonded >= least
    });
    let validator = bank.validators.get_mut(&me).ok_or("LED-0006")?;
    let rest = validator.bonded.checked_sub(amount).ok_or("LED-0007")?;
    if validator.unbonding.len() >= 16 {
        return Err("LED-0008");
    }
    if rest > 0 && rest < least {
        return Err("LED-0005");
    }
    if rest == 0 && validator.status == ValidatorStatus::Active && !others {
        return Err("LED-0009");
    }
    validator.bonded = rest;
    validator.unbonding.push((due, amount));
    Ok(())
}

fn apply_evidence(bank: &mut Bank, accused: &Address, forged: bool) -> Result<(), &'static str> {
    let share = u128::from(bank.rules.double_vote_slash.0);
    let validator = bank.validators.get_mut(accused).ok_or("LED-0006")?;
    if validator.status == ValidatorStatus::Convicted {
        return Err("LED-0012");
    }
    if forged {
        return Err("LED-0014");
    }
    let mut fine = validator.bonded * share / 10_000;
    validator.bonded -= fine;
    for (_, amount) in &mut validator.unbonding {
        let lost = *amount * share / 10_000;
        *amount -= lost;
        fine += lost;
    }
    validator.status = ValidatorStatus::Convicted;
    let burned = fine * u128::from(bank.rules.slash_burned.0) / 10_000;
    bank.burned += burned;
    bank.treasury += fine - burned;
    Ok(())
}

fn apply_offer(
    bank: &mut Bank,
    me: Address,
    stake: u128,
    term_ms: u64,
) -> Result<(), &'static str> {
    let known = bank.offers.get(&me).cloned();
    if let Some(OfferStatus::Leaving { .. }) = known.as_ref().map(|offer| offer.status) {
        return Err("LED-0025");
    }
    let term_until = bank.now + term_ms;
    let promised = known.as_ref().map_or(bank.now, |offer| offer.term_until);
    let decade = 3650 * 86_400_000;
    if term_ms == 0 || term_ms > decade || term_until < promised {
        return Err("LED-0022");
    }
    let sum = known.as_ref().map_or(0, |offer| offer.stake) + stake;
    if sum < bank.stake_min {
        return Err("LED-0021");
    }
    bank.take(&me, stake)?;
    let fresh = Offer {
        stake: 0,
        term_until: 0,
        status: OfferStatus::Gone,
        absences: 0,
        fined: 0,
        earned: 0,
    };
    let mut offer = known.unwrap_or(fresh);
    if offer.status == OfferStatus::Gone {
        offer.status = OfferStatus::Active;
    }
    (offer.stake, offer.term_until) = (sum, term_until);
    bank.offers.insert(me, offer);
    Ok(())
}

fn apply_withdraw(bank: &mut Bank, me: &Address) -> Result<(), &'static str> {
    let now = bank.now;
    let (early_exit, delay) = (u128::from(bank.rules.early_exit.0), bank.rules.unbonding_ms);
    let offer = bank.offers.get_mut(me).ok_or("LED-0024")?;
    match offer.status {
        OfferStatus::Active | OfferStatus::Suspended => {}
        OfferStatus::Leaving { .. } => return Err("LED-0025"),
        OfferStatus::Gone => return Err("LED-0024"),
    }
    let cost = if now < offer.term_until { offer.stake * early_exit / 10_000 } else { 0 };
    offer.stake -= cost;
    offer.status = OfferStatus::Leaving { due: TimeMs(now + delay) };
    bank.treasury += cost;
    Ok(())
}
