//! Frames of transactions between nodes: a count, then each transaction behind its length.

use borsh::BorshDeserialize as _;

/// Transactions in one frame at most.
pub const FRAME_TRANSACTIONS_MAX: usize = 4_096;

/// The frame is not a list of transactions.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("not a frame of transactions")]
pub struct Garbled;

/// Puts encoded transactions into a frame.
#[must_use]
pub fn join<T: AsRef<[u8]>>(transactions: &[T]) -> Vec<u8> {
    let transactions: Vec<&[u8]> = transactions.iter().map(AsRef::as_ref).collect();
    borsh::to_vec(&transactions).expect("writing to memory cannot fail")
}

/// The encoded transactions in a frame, up to where it is garbled.
pub fn split(mut frame: &[u8]) -> impl Iterator<Item = Result<&[u8], Garbled>> {
    let count = u32::deserialize(&mut frame).map_or(usize::MAX, |count| count as usize);
    let mut left = if count > FRAME_TRANSACTIONS_MAX { Err(Garbled) } else { Ok(count) };
    std::iter::from_fn(move || {
        let next = match left {
            Ok(0) => return None,
            Ok(_) => u32::deserialize(&mut frame)
                .ok()
                .and_then(|length| frame.split_at_checked(length as usize))
                .ok_or(Garbled),
            Err(garbled) => Err(garbled),
        };
        left = match (next, left) {
            (Ok((_, rest)), Ok(more)) => {
                frame = rest;
                Ok(more - 1)
            }
            _ => Ok(0),
        };
        Some(next.map(|(transaction, _)| transaction))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_frame_gives_back_what_was_put_into_it() {
        let transactions = [vec![1, 2, 3], vec![], vec![9; 300]];
        let frame = join(&transactions);
        let found: Result<Vec<&[u8]>, Garbled> = split(&frame).collect();
        assert_eq!(found.unwrap(), transactions);
        assert_eq!(split(&join::<&[u8]>(&[])).count(), 0);
    }

    #[test]
    fn a_garbled_frame_says_so_once_and_ends() {
        let frame = join(&[vec![1, 2, 3], vec![4; 9]]);
        for length in 0..frame.len() {
            let found: Vec<_> = split(&frame[..length]).collect();
            assert_eq!(found.last(), Some(&Err(Garbled)), "{length} bytes");
            assert!(found.len() <= 2);
        }
        let too_many = u32::try_from(FRAME_TRANSACTIONS_MAX + 1).unwrap();
        assert_eq!(split(&too_many.to_le_bytes()).collect::<Vec<_>>(), [Err(Garbled)]);
    }
}
