//! Names of services, tasks and statuses.

use alloc::borrow::ToOwned;
use alloc::string::String;
use core::fmt;
use core::str::FromStr;

use borsh::io::{Error, ErrorKind, Read, Result as IoResult};
use borsh::{BorshDeserialize, BorshSerialize};

use crate::Malformed;

/// Longest name in bytes.
pub const NAME_BYTES_MAX: usize = 64;

/// 1 to 64 of `a-z 0-9 _ - .`, beginning with a letter or a digit.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, BorshSerialize)]
pub struct Name(String);

impl Name {
    /// The text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for Name {
    type Err = Malformed;

    fn from_str(text: &str) -> Result<Self, Malformed> {
        let allowed = |byte: u8| matches!(byte, b'a'..=b'z' | b'0'..=b'9' | b'_' | b'-' | b'.');
        let starts =
            text.bytes().next().is_some_and(|byte| matches!(byte, b'a'..=b'z' | b'0'..=b'9'));
        if !starts || text.len() > NAME_BYTES_MAX || !text.bytes().all(allowed) {
            return Err(Malformed::Name);
        }
        Ok(Self(text.to_owned()))
    }
}

impl BorshDeserialize for Name {
    /// Reads the length first: a hostile one allocates nothing.
    fn deserialize_reader<R: Read>(reader: &mut R) -> IoResult<Self> {
        let length = u32::deserialize_reader(reader)? as usize;
        if length > NAME_BYTES_MAX {
            return Err(Error::new(ErrorKind::InvalidData, "name too long"));
        }
        let mut bytes = [0; NAME_BYTES_MAX];
        let bytes = bytes.get_mut(..length).expect("the length was checked");
        reader.read_exact(bytes)?;
        let text = core::str::from_utf8(bytes)
            .map_err(|_| Error::new(ErrorKind::InvalidData, "name not UTF-8"))?;
        text.parse().map_err(|_| Error::new(ErrorKind::InvalidData, "not a name"))
    }
}

impl fmt::Display for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// What people call a service: `namespace/name@version`.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, BorshSerialize, BorshDeserialize)]
pub struct Alias {
    /// Owned by the account that first publishes in it.
    pub namespace: Name,
    /// The service.
    pub name: Name,
    /// A semantic version.
    pub version: Name,
}

impl FromStr for Alias {
    type Err = Malformed;

    fn from_str(text: &str) -> Result<Self, Malformed> {
        let (namespace, rest) = text.split_once('/').ok_or(Malformed::Alias)?;
        let (name, version) = rest.split_once('@').ok_or(Malformed::Alias)?;
        let part = |text: &str| text.parse().map_err(|_| Malformed::Alias);
        Ok(Self { namespace: part(namespace)?, name: part(name)?, version: part(version)? })
    }
}

impl fmt::Display for Alias {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}@{}", self.namespace, self.name, self.version)
    }
}

#[cfg(test)]
mod tests {
    use alloc::string::ToString;
    use alloc::vec;

    use super::*;
    use crate::canonical;

    #[test]
    fn an_alias_reads_back_what_it_prints() {
        let alias: Alias = "acme/invoice@1.0.0".parse().unwrap();
        assert_eq!(alias.to_string(), "acme/invoice@1.0.0");
        for text in ["acme", "acme/invoice", "/a@1", "A/b@1", "a/b@", "a/b/c@1", "a/../b@1"] {
            assert_eq!(text.parse::<Alias>(), Err(Malformed::Alias), "{text}");
        }
    }

    #[test]
    fn a_name_with_a_hostile_length_is_refused_before_it_is_allocated() {
        let mut bytes = vec![0xff, 0xff, 0xff, 0x7f];
        bytes.extend([b'a'; 8]);
        assert!(canonical::decode::<Name>(&bytes, 1024, "name").is_err());
    }
}
