//! Reading access to a state, and the failure that no node survives.

use alloc::vec::Vec;
use core::fmt;

/// The state cannot be trusted: what was read is not what was written. The node must stop.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the state cannot be trusted: {what}, key 0x{}", Hexadecimal(key))]
pub struct Fault {
    /// What is wrong.
    pub what: &'static str,
    /// Where.
    pub key: Vec<u8>,
}

struct Hexadecimal<'a>(&'a [u8]);

impl fmt::Display for Hexadecimal<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

/// A key and its value.
pub type Entry = (Vec<u8>, Vec<u8>);

/// A state that can be read.
pub trait View {
    /// The value of a key.
    ///
    /// # Errors
    ///
    /// [`Fault`] if the state cannot be trusted.
    fn read(&self, key: &[u8]) -> Result<Option<Vec<u8>>, Fault>;

    /// Up to `limit` entries whose keys begin with `prefix` and come after `after`, ascending.
    ///
    /// # Errors
    ///
    /// [`Fault`] if the state cannot be trusted.
    fn range(&self, prefix: &[u8], after: Option<&[u8]>, limit: usize)
    -> Result<Vec<Entry>, Fault>;
}

impl<V: View + ?Sized> View for &V {
    fn read(&self, key: &[u8]) -> Result<Option<Vec<u8>>, Fault> {
        (**self).read(key)
    }

    fn range(
        &self,
        prefix: &[u8],
        after: Option<&[u8]>,
        limit: usize,
    ) -> Result<Vec<Entry>, Fault> {
        (**self).range(prefix, after, limit)
    }
}

#[cfg(test)]
mod tests {
    use alloc::string::ToString;
    use alloc::vec;

    use super::*;

    #[test]
    fn a_fault_names_what_and_where() {
        let fault = Fault { what: "a value differs from its hash", key: vec![0xab, 0x01] };
        let expected = "the state cannot be trusted: a value differs from its hash, key 0xab01";
        assert_eq!(fault.to_string(), expected);
    }
}
