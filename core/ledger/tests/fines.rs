//! How large a fine is: f(n) falls with the participants, correlation raises it again.

use althing_ledger::{dilution, fine};
use althing_types::BasisPoints;
use proptest::prelude::*;

use crate::common::{tokens, units};

/// The table of `docs/adr/0005-verdicts-fines-and-fees.md`.
#[test]
fn dilution_and_fines_are_these() {
    let table = [
        (1, 10_000, "200", "200"),
        (2, 6_666, "99.99", "133.32"),
        (3, 5_000, "66.666666", "100"),
        (4, 4_000, "50", "80"),
        (5, 3_333, "39.996", "66.66"),
        (6, 2_857, "33.331666", "57.14"),
        (7, 2_500, "28.571428", "50"),
    ];
    for (participants, share, alone, together) in table {
        assert_eq!(dilution(participants), BasisPoints(share), "f({participants})");
        let found = fine(tokens(1_000), BasisPoints(1_000), participants, 1);
        assert_eq!(found, alone.parse().unwrap(), "n = {participants}");
        let found = fine(tokens(1_000), BasisPoints(1_000), participants, participants);
        assert_eq!(found, together.parse().unwrap(), "all of {participants}");
    }
}

#[test]
fn a_conspiracy_of_all_pays_twice_the_fine_of_nobody_else() {
    let of = |offenders| fine(tokens(1_000), BasisPoints(1_000), 4, offenders);
    assert_eq!([of(1), of(2), of(3), of(4)], [tokens(50), tokens(60), tokens(70), tokens(80)]);
    assert_eq!(of(9), of(4), "there are no more offenders than participants");
}

proptest! {
    #[test]
    fn a_fine_is_monotone_and_never_more_than_the_stake(
        stake in 0_u128..=1 << 96,
        severity in 0_u32..=10_000,
        participants in 0_u32..2_000,
        offenders in 0_u32..2_000,
    ) {
        let of = |stake, severity, n, m| fine(units(stake), BasisPoints(severity), n, m);
        let base = of(stake, severity, participants, offenders);
        prop_assert!(base <= units(stake));
        prop_assert!(of(stake, severity.saturating_sub(1), participants, offenders) <= base);
        prop_assert!(of(stake / 2, severity, participants, offenders) <= base);
        prop_assert!(of(stake, severity, participants, offenders + 1) >= base);
        prop_assert!(dilution(participants + 1) <= dilution(participants));
    }
}
