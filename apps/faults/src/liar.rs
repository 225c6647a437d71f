//! Works, and alters what came of it.

use althing_ledger::Execution;
use althing_types::{BlobRef, Claim, Hash, Opinion, Outcome, tagged};
use althing_work::{Conduct, Finding};

/// Lies about a share of the executions, chosen by its seed and the execution's id: always about
/// the same ones, whatever the order and however often it is restarted.
#[derive(Clone, Copy, Debug)]
pub struct Liar {
    seed: u64,
    percent: u8,
}

impl Liar {
    /// Lies about `percent` of a hundred executions.
    #[must_use]
    pub const fn new(seed: u64, percent: u8) -> Self {
        Self { seed, percent }
    }

    /// Whether it lies about this execution.
    #[must_use]
    pub fn lies_about(&self, execution: &Hash) -> bool {
        let Hash([first, second, ..]) =
            tagged("althing liar", &[&self.seed.to_be_bytes(), &execution.0]);
        u16::from_be_bytes([first, second]) % 100 < u16::from(self.percent)
    }
}

impl Conduct for Liar {
    fn on_result(&mut self, execution: &Execution, honest: Finding) -> Finding {
        if !self.lies_about(&execution.id) {
            return honest;
        }
        match (honest.claim, honest.output) {
            (Claim::Outcome(Outcome::Returned { status, keys, .. }), Some(output)) => {
                let output = altered(&output);
                let claim = Outcome::Returned { status, output: BlobRef::of(&output), keys };
                Finding { claim: Claim::Outcome(claim), output: Some(output) }
            }
            (Claim::Opinion(opinion), output) => {
                let opposite = match opinion {
                    Opinion::Valid => Opinion::Invalid,
                    Opinion::Invalid | Opinion::Unavailable | Opinion::Inconclusive => {
                        Opinion::Valid
                    }
                };
                Finding { claim: Claim::Opinion(opposite), output }
            }
            (claim @ Claim::Outcome(_), output) => Finding { claim, output },
        }
    }
}

/// Other bytes of the same shape: the last digit is another one, so that a number is wrong and the
/// JSON is still JSON. Without a digit, an empty object.
fn altered(output: &[u8]) -> Vec<u8> {
    let mut altered = output.to_vec();
    match altered.iter_mut().rev().find(|byte| byte.is_ascii_digit()) {
        Some(digit) => *digit = if *digit == b'9' { b'1' } else { *digit + 1 },
        None if output == b"{}" => altered = b"[]".to_vec(),
        None => altered = b"{}".to_vec(),
    }
    altered
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_share_of_lies_is_the_one_asked_for() {
        let liar = Liar::new(3, 30);
        let lies = (0u32..2000)
            .filter(|n| liar.lies_about(&tagged("execution", &[&n.to_be_bytes()])))
            .count();
        assert!((520..=680).contains(&lies), "{lies} of 2000 are not about 30 %");
        assert!(!Liar::new(3, 0).lies_about(&Hash::ZERO));
        assert!(Liar::new(3, 100).lies_about(&Hash::ZERO));
    }

    #[test]
    fn an_altered_output_is_always_another_one() {
        assert_eq!(altered(br#"{"total":"12.59"}"#), br#"{"total":"12.51"}"#);
        assert_eq!(altered(br#"{"total":120}"#), br#"{"total":121}"#);
        assert_eq!(altered(br#"{"ok":true}"#), b"{}");
        assert_eq!(altered(b"{}"), b"[]");
    }
}
