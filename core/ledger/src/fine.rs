//! How large a fine is.
//!
//! fine = stake × severity × f(n) × c. Paper B §4.2: the fewer nodes take part in a process, the more
//! each is trusted and the higher the penalty, so f falls with the number n of *participants*:
//! f(n) = 2 / (n + 1), one for a lone executor. The share of offenders among them raises it again,
//! c = 1 + offenders / n: a conspiracy costs more than a lapse.

use althing_types::{Amount, BasisPoints};

/// f(n) in basis points.
#[must_use]
pub fn dilution(participants: u32) -> BasisPoints {
    let divisor = participants.max(1).saturating_add(1);
    BasisPoints(20_000u32.checked_div(divisor).unwrap_or(10_000))
}

/// The fine of one of `offenders` among `participants`; never more than the stake.
#[must_use]
pub fn fine(stake: Amount, severity: BasisPoints, participants: u32, offenders: u32) -> Amount {
    let participants = participants.max(1);
    let base = dilution(participants).of(severity.of(stake));
    let raised = base.share(
        u64::from(participants).saturating_add(u64::from(offenders.min(participants))),
        u64::from(participants),
    );
    raised.min(stake)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_fine_falls_with_the_number_of_participants() {
        let stake = Amount::from_tokens(1000);
        let of = |participants| fine(stake, BasisPoints(1000), participants, 1);
        assert!(of(3) > of(5));
        assert!(of(1) > of(3));
        assert_eq!(of(4), Amount::from_tokens(50), "1000 × 10 % × 2/5 × (1 + 1/4)");
    }

    #[test]
    fn a_fine_rises_with_the_share_of_offenders() {
        let stake = Amount::from_tokens(1000);
        assert!(fine(stake, BasisPoints(1000), 4, 2) > fine(stake, BasisPoints(1000), 4, 1));
    }

    #[test]
    fn a_fine_never_exceeds_the_stake() {
        let stake = Amount::from_base_units(7);
        assert_eq!(fine(stake, BasisPoints::WHOLE, 1, 1), stake);
    }
}
