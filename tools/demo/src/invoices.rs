//! Two hundred invoices with known totals, from a fixed seed.
//!
//! Amounts are whole cents, so that the reference totals need no rounding. Every twentieth invoice
//! or so is malformed in one of four ways; its expected status is `unreadable`.

use std::fmt::Write as _;

/// What the service must answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Expected {
    /// Status `ok` with this total, as a decimal with two places.
    Total(String),
    /// Status `unreadable`.
    Unreadable,
}

/// One generated invoice.
#[derive(Clone, Debug)]
pub struct Invoice {
    /// Its file's name.
    pub name: String,
    /// Its file's text.
    pub csv: String,
    /// What the service must answer.
    pub expected: Expected,
}

/// splitmix64: a fixed sequence is all that is asked of it.
struct Sequence(u64);

impl Sequence {
    fn below(&mut self, bound: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (mixed ^ (mixed >> 31)) % bound
    }
}

const ITEMS: [&str; 8] = [
    "bolt M8",
    "hinge",
    "paint, white",
    "plywood 18 mm",
    "screws",
    "sealant",
    "timber 4x2",
    "wire",
];

/// Generates `count` invoices from `seed`.
#[must_use]
pub fn generate(count: u32, seed: u64) -> Vec<Invoice> {
    let mut sequence = Sequence(seed);
    (1..=count).map(|number| invoice(number, &mut sequence)).collect()
}

fn invoice(number: u32, sequence: &mut Sequence) -> Invoice {
    let name = format!("invoice-{number:03}.csv");
    let mut csv = String::from("item,quantity,unit_price\n");
    let mut total_cents = 0;
    let lines = 1 + sequence.below(12);
    for _ in 0..lines {
        let item = ITEMS[usize::try_from(sequence.below(8)).unwrap_or(0)];
        let (quantity, cents) = (1 + sequence.below(40), 1 + sequence.below(99_999));
        total_cents += quantity * cents;
        let item = if item.contains(',') { format!("\"{item}\"") } else { item.to_owned() };
        writeln!(csv, "{item},{quantity},{}.{:02}", cents / 100, cents % 100)
            .expect("writing to a string");
    }
    let expected = if sequence.below(20) == 0 {
        spoil(&mut csv, sequence.below(4));
        Expected::Unreadable
    } else {
        Expected::Total(format!("{}.{:02}", total_cents / 100, total_cents % 100))
    };
    Invoice { name, csv, expected }
}

fn spoil(csv: &mut String, way: u64) {
    match way {
        0 => csv.push_str("hinge,two,3.50\n"),
        1 => csv.push_str("hinge,2\n"),
        2 => csv.push_str("hinge,2,three\n"),
        _ => *csv = csv.replacen("quantity", "amount", 1),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_same_seed_gives_the_same_invoices_some_of_them_malformed() {
        let (first, second) = (generate(200, 7), generate(200, 7));
        assert!(first.iter().zip(&second).all(|(a, b)| a.csv == b.csv && a.expected == b.expected));
        let bad = first.iter().filter(|invoice| invoice.expected == Expected::Unreadable).count();
        assert!((3..=25).contains(&bad), "{bad} malformed");
    }
}
