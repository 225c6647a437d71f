//! The bank in plain integers: balances, stakes, escrow, treasury, and who may do what with them.
//!
//! Written from the documents, not from the ledger: no overlay, no totals that follow, no codecs.
//! What is chance or work (who was drawn, who said what) is observed; what it costs is not.

use std::collections::{BTreeMap, VecDeque};

use althing_ledger::{
    Change, Conclusion, Execution, MemberState, Offence, OfferStatus, Role, Step, ValidatorStatus,
};
use althing_types::{
    Address, BasisPoints, Claim, Hash, Opinion, Parameters, TimeMs, ValidatorSet, Verification,
};

/// Units of a whole token.
pub(crate) const TOKEN: u128 = 1_000_000;

/// Somebody who stakes on consensus.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Validator {
    pub(crate) bonded: u128,
    /// Due time and amount.
    pub(crate) unbonding: Vec<(u64, u128)>,
    pub(crate) status: ValidatorStatus,
    pub(crate) missed: u32,
    /// Stands for endpoint and beacon key.
    pub(crate) keys: u8,
}

/// Somebody who offers the service.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Offer {
    pub(crate) stake: u128,
    pub(crate) term_until: u64,
    pub(crate) status: OfferStatus,
    pub(crate) absences: u32,
    pub(crate) fined: u128,
    pub(crate) earned: u128,
}

/// An open execution, as far as money goes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Open {
    pub(crate) payer: Address,
    pub(crate) paid_in: u128,
    pub(crate) escrow: u128,
    pub(crate) fines: u128,
    pub(crate) price: u128,
    pub(crate) check_price: u128,
}

/// All money, and whoever can move it.
#[derive(Clone, Debug)]
pub(crate) struct Bank {
    pub(crate) rules: Parameters,
    pub(crate) developer: Address,
    pub(crate) stake_min: u128,
    pub(crate) now: u64,
    pub(crate) accounts: BTreeMap<Address, u128>,
    pub(crate) nonces: BTreeMap<Address, u64>,
    pub(crate) validators: BTreeMap<Address, Validator>,
    pub(crate) offers: BTreeMap<Address, Offer>,
    pub(crate) open: BTreeMap<Hash, Open>,
    /// Who decides the next height, with how many votes.
    pub(crate) office: Vec<(Address, u64)>,
    pub(crate) treasury: u128,
    pub(crate) burned: u128,
    /// Aliases and manifests that are taken, and owners of namespaces.
    pub(crate) published: Vec<(String, Hash)>,
    pub(crate) namespaces: BTreeMap<String, Address>,
}

fn part(share: BasisPoints, of: u128) -> u128 {
    of * u128::from(share.0) / 10_000
}

/// What a block did to executions, in order, and how those ended that did.
#[derive(Debug, Default)]
pub(crate) struct Events {
    pub(crate) changes: VecDeque<Change>,
    pub(crate) ended: BTreeMap<Hash, Execution>,
}

impl Bank {
    pub(crate) fn balance(&self, of: &Address) -> u128 {
        self.accounts.get(of).copied().unwrap_or(0)
    }

    pub(crate) fn give(&mut self, to: Address, amount: u128) {
        *self.accounts.entry(to).or_insert(0) += amount;
    }

    /// LED-0001 if there is less.
    pub(crate) fn take(&mut self, from: &Address, amount: u128) -> Result<(), &'static str> {
        let balance = self.balance(from);
        if balance < amount {
            return Err("LED-0001");
        }
        self.accounts.insert(*from, balance - amount);
        Ok(())
    }

    /// Everything there is; never changes.
    pub(crate) fn supply(&self) -> u128 {
        let bonded = |v: &Validator| v.bonded + v.unbonding.iter().map(|u| u.1).sum::<u128>();
        self.accounts.values().sum::<u128>()
            + self.validators.values().map(bonded).sum::<u128>()
            + self.offers.values().map(|o| o.stake).sum::<u128>()
            + self.open.values().map(|e| e.escrow + e.fines).sum::<u128>()
            + self.treasury
            + self.burned
    }

    /// What a block does before its transactions: absent proposers, then what is due, oldest first.
    pub(crate) fn begin(
        &mut self,
        absent: &[Address],
        proposer: &Address,
        executions: &[(TimeMs, Hash)],
        events: &mut Events,
    ) {
        let office = self.office.clone();
        for address in absent {
            let (now, rules) = (self.now, self.rules.clone());
            // Those who are there, as far as anybody knows, must be a quorum of the rest.
            let (mut there, mut rest) = (0, 0);
            for (member, power) in office.iter().filter(|(member, _)| member != address) {
                let Some(known) = self.validators.get(member) else { continue };
                if known.status == ValidatorStatus::Active {
                    rest += power;
                    let is_there = known.missed == 0 || member == proposer;
                    there += if is_there { *power } else { 0 };
                }
            }
            // Whose loss the present set bears, the rest must bear as well.
            let others = self.active(&office, Some(address));
            let all: u64 = self.active(&office, None).iter().sum();
            let left: u64 = others.iter().sum();
            let spared = others.iter().any(|power| 3 * power < all && 3 * power >= left);
            let Some(validator) = self.validators.get_mut(address) else { continue };
            validator.missed += 1;
            let active = validator.status == ValidatorStatus::Active;
            let goes_on = there * 3 > rest * 2 && !spared;
            if validator.missed >= rules.missed_proposals_max && active && goes_on {
                validator.status = ValidatorStatus::Jailed { until: TimeMs(now + rules.jail_ms) };
                validator.missed = 0;
            }
        }
        if let Some(validator) = self.validators.get_mut(proposer) {
            validator.missed = 0;
        }
        // Due time, then executions before unbondings before offers.
        let mut due: Vec<(u64, u8, Vec<u8>)> = vec![];
        due.extend(executions.iter().map(|(at, id)| (at.0, 0, id.0.to_vec())));
        for (address, validator) in &self.validators {
            let at = validator.unbonding.iter().map(|u| u.0);
            due.extend(at.map(|at| (at, 1, address.0.to_vec())));
        }
        for (address, offer) in &self.offers {
            if let OfferStatus::Leaving { due: at } = offer.status {
                due.push((at.0, 2, address.0.to_vec()));
            }
        }
        due.retain(|item| item.0 <= self.now);
        due.sort();
        for (_, kind, id) in due {
            match kind {
                0 => self.follow(&Hash::try_from(id.as_slice()).unwrap(), events),
                1 => self.pay_unbonded(&Address::try_from(id.as_slice()).unwrap()),
                _ => self.pay_offer(&Address::try_from(id.as_slice()).unwrap()),
            }
        }
    }

    /// The votes of those in office who are not jailed, all or all but one.
    fn active(&self, office: &[(Address, u64)], without: Option<&Address>) -> Vec<u64> {
        let is = |member: &Address| {
            let known = self.validators.get(member);
            known.is_some_and(|known| known.status == ValidatorStatus::Active)
        };
        let counted = office.iter().filter(|(member, _)| Some(member) != without && is(member));
        counted.map(|(_, power)| *power).collect()
    }

    fn pay_unbonded(&mut self, address: &Address) {
        let now = self.now;
        let Some(validator) = self.validators.get_mut(address) else { return };
        let due = |u: &&(u64, u128)| u.0 <= now;
        let paid: u128 = validator.unbonding.iter().filter(due).map(|u| u.1).sum();
        validator.unbonding.retain(|u| u.0 > now);
        let gone = validator.bonded == 0 && validator.unbonding.is_empty();
        if gone && validator.status == ValidatorStatus::Active {
            self.validators.remove(address);
        }
        self.give(*address, paid);
    }

    fn pay_offer(&mut self, address: &Address) {
        let offer = self.offers.get_mut(address).unwrap();
        let stake = std::mem::take(&mut offer.stake);
        offer.status = OfferStatus::Gone;
        self.give(*address, stake);
    }

    /// The consequences of one step of an execution: up to the next thing that somebody did.
    pub(crate) fn follow(&mut self, id: &Hash, events: &mut Events) {
        let consequence = |change: &Change| {
            let done = matches!(
                change.step,
                Step::Created | Step::Sealed(_) | Step::Answered(_) | Step::Revealed(_)
            );
            change.execution == *id && !done
        };
        while events.changes.front().is_some_and(consequence) {
            let change = events.changes.pop_front().unwrap();
            match change.step {
                Step::Fined { node, offence, fine } => {
                    self.fine(id, &node, offence, fine.base_units());
                }
                Step::Settled => self.settle(&events.ended[id]),
                _ => {}
            }
        }
    }

    /// A fine is stake × severity × 2/(n+1) × (1 + offenders/n), whatever n was.
    fn fine(&mut self, id: &Hash, node: &Address, offence: Offence, fine: u128) {
        let rules = &self.rules;
        let severities = match offence {
            Offence::WrongResult => vec![rules.executor_wrong, rules.checker_wrong],
            Offence::WrongCheck => vec![rules.checker_wrong],
            Offence::WrongObservation => vec![rules.emitter_wrong],
            Offence::ForgedSeal => vec![rules.bad_opening],
            Offence::Withheld => vec![rules.withheld],
            Offence::Absence => vec![rules.absent],
        };
        let offer = self.offers.get_mut(node).unwrap();
        let stake = offer.stake;
        let formula = |severity: BasisPoints, n: u32, m: u32| {
            let diluted = part(BasisPoints(20_000 / (n + 1)), part(severity, stake));
            (diluted * u128::from(n + m) / u128::from(n)).min(stake)
        };
        let possible = severities
            .iter()
            .any(|severity| (1..40).any(|n| (1..=n).any(|m| formula(*severity, n, m) == fine)));
        assert!(possible, "no committee makes {fine} of {stake} for {offence:?}");
        offer.stake -= fine;
        offer.fined += fine;
        if offence == Offence::Absence {
            offer.absences += 1;
        }
        let low = offer.stake < self.stake_min || offer.absences >= rules.absences_max;
        if low && offer.status == OfferStatus::Active {
            offer.status = OfferStatus::Suspended;
        }
        let burned = part(rules.slash_burned, fine);
        self.burned += burned;
        self.open.get_mut(id).unwrap().fines += fine - burned;
    }

    fn settle(&mut self, ended: &Execution) {
        let Open { payer, paid_in, mut escrow, mut fines, price, check_price } =
            self.open.remove(&ended.id).unwrap();
        let mut refunded = 0;
        match ended.conclusion.as_ref().unwrap() {
            Conclusion::Accepted(_) => {
                let right = in_agreement(ended);
                let unit = |executor: bool| if executor { price } else { check_price };
                let wanted: u128 = right.iter().map(|m| unit(m.1)).sum();
                let budget = escrow;
                let bounty = fines.checked_div(right.len() as u128).unwrap_or(0);
                for (node, executor, earned) in right {
                    let gross = if wanted <= budget {
                        unit(executor)
                    } else {
                        budget * unit(executor) / wanted
                    };
                    let developers = part(self.rules.developer_share, gross);
                    let treasurys = part(self.rules.treasury_share, gross);
                    let pay = gross - developers - treasurys + bounty;
                    assert_eq!(pay, earned, "what a member earned");
                    self.give(node, pay);
                    self.give(self.developer, developers);
                    self.treasury += treasurys;
                    escrow -= gross;
                    fines -= bounty;
                    let offer = self.offers.get_mut(&node).unwrap();
                    offer.earned += pay;
                    offer.absences = 0;
                }
            }
            Conclusion::Failed(_) => {
                let compensation = fines.min(paid_in);
                fines -= compensation;
                refunded += compensation;
            }
        }
        refunded += escrow;
        assert_eq!(refunded, ended.refunded.base_units(), "what the payer got back");
        self.give(payer, refunded);
        self.treasury += fines;
    }

    /// Who decides the next height; the present ones if nobody else may.
    pub(crate) fn elect(&mut self) {
        let least = self.rules.bond_min.base_units();
        let may = |v: &&Validator| v.status == ValidatorStatus::Active && v.bonded >= least;
        let mut set: Vec<(Address, u64)> = self
            .validators
            .iter()
            .filter(|(_, validator)| may(validator))
            .map(|(address, v)| (*address, u64::try_from(v.bonded / TOKEN).unwrap()))
            .collect();
        set.sort_by(|a, b| b.1.cmp(&a.1).then(a.0.cmp(&b.0)));
        set.truncate(usize::try_from(self.rules.validators_max).unwrap());
        if !set.is_empty() {
            self.office = set;
        }
    }

    pub(crate) fn is_office(&self, set: &ValidatorSet) -> bool {
        set.members().iter().map(|v| (v.address, v.power)).eq(self.office.iter().copied())
    }
}

/// Who worked in agreement with the verdict: node, whether it executed, what it earned.
fn in_agreement(ended: &Execution) -> Vec<(Address, bool, u128)> {
    let Some(Conclusion::Accepted(accepted)) = &ended.conclusion else { return vec![] };
    let convicted = |round: u32| {
        ended.members.iter().any(|m| {
            let wrong = m.offence == Some(Offence::WrongResult);
            m.round == round && m.role == Role::Executor && wrong
        })
    };
    let method = ended.verification == Verification::Method;
    let agrees = |m: &&althing_ledger::Member| match &m.state {
        MemberState::Opened(Claim::Outcome(outcome)) => {
            outcome == accepted && (!method || m.round == ended.round)
        }
        MemberState::Opened(Claim::Opinion(Opinion::Valid)) => m.round == ended.round,
        MemberState::Opened(Claim::Opinion(Opinion::Invalid)) => convicted(m.round),
        _ => false,
    };
    let paid =
        |m: &althing_ledger::Member| (m.node, m.role == Role::Executor, m.earned.base_units());
    ended.members.iter().filter(agrees).map(paid).collect()
}
