//! Changes inputs as a stranger would: bits, lengths, cuts, repetitions, and pieces of other inputs.
//!
//! - Invariant: equal seeds and corpora give equal inputs.

/// Longest input that is made, in bytes: what is long is slow, and rarely says more.
const INPUT_BYTES_MAX: usize = 256 << 10;

/// Numbers at which decoders stumble.
const EDGES: [u64; 12] = [
    0,
    1,
    0x7f,
    0x80,
    0xff,
    0xffff,
    0x7fff_ffff,
    0x8000_0000,
    0xffff_ffff,
    0x7fff_ffff_ffff_ffff,
    0x8000_0000_0000_0000,
    0xffff_ffff_ffff_ffff,
];

/// Pieces of text at which readers of JSON, YAML and expressions stumble.
const WORDS: [&str; 34] = [
    "{",
    "}",
    "[",
    "]",
    "\"",
    ":",
    ",",
    "\n",
    "  ",
    "- ",
    "null",
    "true",
    "-1",
    "1e400",
    "0x",
    "18446744073709551616",
    "\\u0000",
    "\\ud800",
    "&a ",
    "*a",
    "<<: ",
    "!!binary ",
    "|\n",
    "99.9999999",
    "${ ",
    " }",
    "event.",
    ".map(i, ",
    "[i, i]",
    ")",
    "(",
    " && ",
    " ? ",
    " + ",
];

/// A source of inputs.
#[derive(Clone, Debug)]
pub struct Mutator {
    seed: u64,
    text: bool,
}

impl Mutator {
    /// From a seed; for `text`, words are put in more often than numbers.
    #[must_use]
    pub const fn new(seed: u64, text: bool) -> Self {
        Self { seed, text }
    }

    /// splitmix64.
    fn next(&mut self) -> u64 {
        self.seed = self.seed.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let z = (self.seed ^ (self.seed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    fn below(&mut self, limit: usize) -> usize {
        let limit = u64::try_from(limit.max(1)).unwrap_or(u64::MAX);
        usize::try_from(self.next() % limit).unwrap_or(0)
    }

    /// An input made out of a corpus; `None` if the corpus is empty.
    pub fn input<B: AsRef<[u8]>>(&mut self, corpus: &[B]) -> Option<Vec<u8>> {
        let mut input = corpus.get(self.below(corpus.len()))?.as_ref().to_vec();
        for _ in 0..=self.below(4) {
            let kind = self.below(if self.text { 12 } else { 10 });
            self.change(&mut input, kind, corpus);
        }
        input.truncate(INPUT_BYTES_MAX);
        Some(input)
    }

    fn change<B: AsRef<[u8]>>(&mut self, input: &mut Vec<u8>, kind: usize, corpus: &[B]) {
        let at = self.below(input.len() + 1);
        let some = self.below(32);
        match kind {
            0 => {
                if let Some(byte) = input.get_mut(at) {
                    *byte ^= 1 << (some % 8);
                }
            }
            1 => {
                let random = self.next().to_le_bytes()[0];
                if let Some(byte) = input.get_mut(at) {
                    *byte = random;
                }
            }
            // Lengths are four bytes, numbers eight or sixteen: often at the start of something.
            2 | 3 => {
                let edge = EDGES[self.below(EDGES.len())].to_le_bytes();
                let width = [1, 2, 4, 8][self.below(4)];
                for (place, byte) in input.iter_mut().skip(at).zip(&edge[..width]) {
                    *place = *byte;
                }
            }
            4 => input.truncate(at),
            5 => {
                let end = (at + some).min(input.len());
                input.drain(at.min(end)..end);
            }
            6 => {
                let end = (at + some).min(input.len());
                let piece = input[at.min(end)..end].to_vec();
                let times = 1 + self.below(8);
                let place = self.below(input.len() + 1);
                input.splice(place..place, piece.repeat(times));
            }
            7 => {
                let random: Vec<u8> = (0..some).map(|_| self.next().to_le_bytes()[0]).collect();
                input.splice(at..at, random);
            }
            8 => {
                let other = corpus[self.below(corpus.len())].as_ref();
                let from = self.below(other.len() + 1);
                input.truncate(at);
                input.extend_from_slice(&other[from..]);
            }
            9 => {
                let other = corpus[self.below(corpus.len())].as_ref();
                let from = self.below(other.len() + 1);
                let piece = &other[from..(from + 4 * some).min(other.len())];
                input.splice(at..at, piece.iter().copied());
            }
            _ => {
                let word = WORDS[self.below(WORDS.len())];
                let times = if self.below(8) == 0 { 1 + self.below(2_000) } else { 1 };
                input.splice(at..at, word.repeat(times).into_bytes());
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn equal_seeds_give_equal_inputs_and_others_give_others() {
        let corpus = [b"one input".to_vec(), b"and another".to_vec()];
        let inputs = |seed| {
            let mut mutator = Mutator::new(seed, true);
            (0..200).filter_map(|_| mutator.input(&corpus)).collect::<Vec<_>>()
        };
        assert_eq!(inputs(7), inputs(7));
        assert_ne!(inputs(7), inputs(8));
        assert_eq!(inputs(7).len(), 200);
        assert!(inputs(7).iter().all(|input| input.len() <= INPUT_BYTES_MAX));
    }

    #[test]
    fn without_a_corpus_there_is_no_input() {
        assert_eq!(Mutator::new(1, false).input::<Vec<u8>>(&[]), None);
    }
}
