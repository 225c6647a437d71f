//! Factors a number by Pollard's rho, from a random start.
//!
//! The start differs on every node, and with it the order in which factors are found: two honest
//! nodes return different bytes. So checkers do not repeat the work, they verify the answer, which
//! is far cheaper: the factors multiply to the number, and each is prime.
//!
//! - Units: numbers below 2^64, as decimal strings (JSON keeps only 53 bits).
//! - Source: J. M. Pollard, "A Monte Carlo method for factorization" (1975); the bases of the
//!   primality test are those of J. Sinclair (2011), exact below 2^64.

mod arithmetic;

use althing_sdk::{GaveUp, Inputs, Outcome, Service, Verdict};
use arithmetic::{factor, is_prime};
use serde::{Deserialize, Serialize};

/// The service.
pub struct Factor;

#[derive(Deserialize)]
struct Number {
    n: String,
}

#[derive(Deserialize, Serialize)]
struct Factors {
    factors: Vec<String>,
}

#[derive(Serialize)]
struct Prime {}

impl Service for Factor {
    fn task(name: &str, inputs: Inputs<'_>) -> Result<Outcome, GaveUp> {
        if name != "factor" {
            return Err(GaveUp::unknown_task(name));
        }
        let n = read(&inputs.read::<Number>()?.n)
            .ok_or_else(|| GaveUp::new("n is not from 2 to 2^64 - 1"))?;
        if is_prime(n) {
            return Outcome::new("prime", &Prime {});
        }
        let mut found = Vec::new();
        factor(n, &mut random, &mut found);
        let factors = found.iter().map(u64::to_string).collect();
        Outcome::new("found", &Factors { factors })
    }

    fn verify(name: &str, inputs: Inputs<'_>, status: &str, outputs: Inputs<'_>) -> Verdict {
        let verdict = match (name, status) {
            ("factor", "prime") => verify_prime(inputs),
            ("factor", "found") => verify_found(inputs, outputs),
            _ => Err("no such task and status".into()),
        };
        match verdict {
            Ok(()) => Verdict::Valid,
            Err(reason) => Verdict::Invalid(reason),
        }
    }
}

althing_sdk::service!(Factor);

fn read(text: &str) -> Option<u64> {
    text.parse().ok().filter(|n| *n >= 2)
}

fn random() -> u64 {
    althing_sdk::chance(8).iter().fold(0, |number, byte| number << 8 | u64::from(*byte))
}

fn number(inputs: Inputs<'_>) -> Result<u64, String> {
    let number = inputs.read::<Number>().map_err(|error| error.to_string())?;
    read(&number.n).ok_or_else(|| "n is not from 2 to 2^64 - 1".into())
}

fn verify_prime(inputs: Inputs<'_>) -> Result<(), String> {
    let n = number(inputs)?;
    if is_prime(n) { Ok(()) } else { Err(format!("{n} is not prime")) }
}

fn verify_found(inputs: Inputs<'_>, outputs: Inputs<'_>) -> Result<(), String> {
    let n = number(inputs)?;
    let factors: Factors = outputs.read().map_err(|error| error.to_string())?;
    if factors.factors.len() < 2 {
        return Err("a number that is not prime has at least two factors".into());
    }
    let mut product: u64 = 1;
    for text in &factors.factors {
        let factor = read(text).filter(|factor| is_prime(*factor));
        let factor = factor.ok_or_else(|| format!("{text} is not prime"))?;
        product = product.checked_mul(factor).ok_or("the factors multiply to more than 2^64")?;
    }
    if product == n {
        Ok(())
    } else {
        Err(format!("the factors multiply to {product}, not to {n}"))
    }
}
