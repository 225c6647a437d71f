//! Repeatable chance: the same seed, the same faults in the same order.

use althing_types::keccak;

/// A sequence of numbers that its seed determines.
#[derive(Clone, Debug)]
pub struct Chance {
    seed: u64,
    drawn: u64,
}

impl Chance {
    /// The sequence of `seed`.
    #[must_use]
    pub fn new(seed: u64) -> Self {
        Self { seed, drawn: 0 }
    }

    /// The next number below `bound`, which must not be zero.
    pub fn below(&mut self, bound: u64) -> u64 {
        let hash = keccak(&[b"soak", &self.seed.to_be_bytes(), &self.drawn.to_be_bytes()]);
        self.drawn += 1;
        let (first, _) = hash.0.split_first_chunk::<8>().expect("a hash has 32 bytes");
        u64::from_be_bytes(*first) % bound.max(1)
    }

    /// One of `0..count`, as an index.
    pub fn index(&mut self, count: usize) -> usize {
        let bound = u64::try_from(count).unwrap_or(u64::MAX);
        usize::try_from(self.below(bound)).unwrap_or(0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_seed_determines_its_sequence_and_another_one_gives_another() {
        let draw = |seed| {
            let mut chance = Chance::new(seed);
            (0..50).map(|_| chance.below(7)).collect::<Vec<_>>()
        };
        assert_eq!(draw(1), draw(1));
        assert_ne!(draw(1), draw(2));
        assert!((0..7).all(|number| draw(1).contains(&number)));
    }
}
