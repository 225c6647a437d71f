//! Modular arithmetic below 2^64, primality and factors.

/// Exact for every number below 2^64 (J. Sinclair, 2011).
const BASES: [u64; 7] = [2, 325, 9375, 28178, 450_775, 9_780_504, 1_795_265_022];

fn multiply(a: u64, b: u64, modulus: u64) -> u64 {
    let rest = u128::from(a) * u128::from(b) % u128::from(modulus);
    u64::try_from(rest).expect("a rest is smaller than its modulus")
}

fn power(mut base: u64, mut exponent: u64, modulus: u64) -> u64 {
    let mut result = 1 % modulus;
    base %= modulus;
    while exponent > 0 {
        if exponent & 1 == 1 {
            result = multiply(result, base, modulus);
        }
        base = multiply(base, base, modulus);
        exponent >>= 1;
    }
    result
}

fn greatest_common_divisor(mut a: u64, mut b: u64) -> u64 {
    while b != 0 {
        (a, b) = (b, a % b);
    }
    a
}

/// Whether `n` is prime, by Miller and Rabin's test.
pub fn is_prime(n: u64) -> bool {
    if n < 4 {
        return n >= 2;
    }
    if n % 2 == 0 {
        return false;
    }
    let twos = (n - 1).trailing_zeros();
    let odd = (n - 1) >> twos;
    BASES.iter().all(|base| {
        if base % n == 0 {
            return true;
        }
        let mut x = power(*base, odd, n);
        if x == 1 || x == n - 1 {
            return true;
        }
        (1..twos).any(|_| {
            x = multiply(x, x, n);
            x == n - 1
        })
    })
}

/// Adds the prime factors of `n`, in the order in which chance finds them.
pub fn factor(n: u64, random: &mut impl FnMut() -> u64, found: &mut Vec<u64>) {
    if n < 2 {
        return;
    }
    if is_prime(n) {
        found.push(n);
        return;
    }
    let divisor = divisor(n, random);
    factor(divisor, random, found);
    factor(n / divisor, random, found);
}

/// A divisor of a composite number, by Pollard's rho with Floyd's cycle.
fn divisor(n: u64, random: &mut impl FnMut() -> u64) -> u64 {
    if n % 2 == 0 {
        return 2;
    }
    // A walk that closes without a divisor is begun anew elsewhere; the task's fuel bounds this.
    loop {
        let (start, step) = (random() % n, 1 + random() % (n - 1));
        let next = |x: u64| {
            let sum = u128::from(multiply(x, x, n)) + u128::from(step);
            u64::try_from(sum % u128::from(n)).expect("a rest is smaller than its modulus")
        };
        let (mut slow, mut fast) = (start, start);
        loop {
            slow = next(slow);
            fast = next(next(fast));
            let common = greatest_common_divisor(slow.abs_diff(fast), n);
            if common == n {
                break;
            }
            if common > 1 {
                return common;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn factors_are_prime_and_multiply_to_the_number() {
        let mut state: u64 = 1;
        let mut random = || {
            state = state
                .wrapping_mul(6_364_136_223_846_793_005)
                .wrapping_add(1_442_695_040_888_963_407);
            state >> 1
        };
        for n in [
            4,
            6,
            8,
            9,
            25,
            49,
            1001,
            4_295_098_369,
            18_446_744_073_709_551_615,
            18_446_743_979_220_271_189,
        ] {
            let mut found = Vec::new();
            factor(n, &mut random, &mut found);
            assert!(found.iter().all(|factor| is_prime(*factor)), "{n}: {found:?}");
            assert_eq!(found.iter().product::<u64>(), n);
        }
    }

    #[test]
    fn primality_agrees_with_trial_division() {
        for n in 0..5000_u64 {
            let slow = n >= 2 && (2..n).take_while(|d| d * d <= n).all(|d| n % d != 0);
            assert_eq!(is_prime(n), slow, "{n}");
        }
        assert!(is_prime(18_446_744_073_709_551_557));
    }
}
