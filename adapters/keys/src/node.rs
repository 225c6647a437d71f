//! The three secrets of a node, in one private file.

use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};
use zeroize::{Zeroize, ZeroizeOnDrop, Zeroizing};

use crate::{AccountKey, BeaconSecret, KeyError, files};

const FILE: &str = "node.key";
const VERSION: u32 = 1;

/// What a node is: its account, its name on the network, and its part of the beacon.
pub struct NodeKeys {
    /// Signs transactions and votes.
    pub account: AccountKey,
    /// The ed25519 seed of the node's endpoint.
    pub endpoint: Zeroizing<[u8; 32]>,
    /// Proves the beacon's values.
    pub beacon: BeaconSecret,
}

/// The file's contents.
#[derive(Serialize, Deserialize, Zeroize, ZeroizeOnDrop)]
#[serde(deny_unknown_fields)]
struct File {
    version: u32,
    account: String,
    endpoint: String,
    beacon: String,
}

impl NodeKeys {
    /// New keys from the operating system's entropy, not yet kept.
    ///
    /// # Errors
    ///
    /// [`KeyError::Entropy`] if there is none.
    pub fn generate() -> Result<Self, KeyError> {
        let (account, beacon) = (AccountKey::generate()?, BeaconSecret::generate()?);
        Ok(Self { account, endpoint: files::entropy()?, beacon })
    }

    /// Where the keys of the node in `folder` are.
    #[must_use]
    pub fn path(folder: &Path) -> PathBuf {
        folder.join(FILE)
    }

    /// Generates keys and keeps them in `folder`, which is created if need be.
    ///
    /// # Errors
    ///
    /// [`KeyError::NameTaken`] if there are keys already: they are never overwritten.
    /// [`KeyError::Io`] and [`KeyError::Entropy`] if the operating system refuses.
    pub fn create(folder: &Path) -> Result<Self, KeyError> {
        let keys = Self::generate()?;
        keys.save(folder)?;
        Ok(keys)
    }

    /// Keeps these keys in `folder`, which is created if need be.
    ///
    /// # Errors
    ///
    /// As [`create`](Self::create).
    pub fn save(&self, folder: &Path) -> Result<(), KeyError> {
        files::create_folder(folder)?;
        files::write_new(folder, FILE, &self.to_json())?
            .ok_or_else(|| KeyError::NameTaken { name: FILE.to_owned(), folder: folder.to_owned() })
    }

    fn to_json(&self) -> Zeroizing<Vec<u8>> {
        let file = File {
            version: VERSION,
            account: hex::encode(self.account.to_bytes().as_slice()),
            endpoint: hex::encode(self.endpoint.as_slice()),
            beacon: hex::encode(self.beacon.to_bytes().as_slice()),
        };
        Zeroizing::new(serde_json::to_vec_pretty(&file).expect("texts and a number are JSON"))
    }

    /// Reads the keys in `folder`.
    ///
    /// # Errors
    ///
    /// [`KeyError::Io`] if they cannot be read, [`KeyError::Permissions`] if others can read them,
    /// [`KeyError::Corrupt`] if they are no keys.
    pub fn load(folder: &Path) -> Result<Self, KeyError> {
        let path = Self::path(folder);
        let corrupt = |what| KeyError::Corrupt { path: path.clone(), what };
        let json = files::read_private(&path)?;
        let file: File = serde_json::from_slice(&json)
            .map_err(|_| corrupt("it is not the JSON of a node's keys"))?;
        if file.version != VERSION {
            return Err(corrupt("its version is not 1"));
        }
        let secret = |text: &str| {
            let mut bytes = Zeroizing::new([0; 32]);
            hex::decode_to_slice(text, bytes.as_mut_slice())
                .map_err(|_| corrupt("a secret is not 32 bytes in hexadecimal"))?;
            Ok(bytes)
        };
        let account = AccountKey::from_bytes(&*secret(&file.account)?)
            .ok_or_else(|| corrupt("the account's secret is not a key of secp256k1"))?;
        let beacon = BeaconSecret::from_bytes(&*secret(&file.beacon)?);
        Ok(Self { account, endpoint: secret(&file.endpoint)?, beacon })
    }

    /// Reads the keys in `folder`, or creates them if there are none.
    ///
    /// # Errors
    ///
    /// As [`load`](Self::load) and [`create`](Self::create).
    pub fn load_or_create(folder: &Path) -> Result<Self, KeyError> {
        match Self::load(folder) {
            Err(KeyError::Io { source, .. }) if source.kind() == std::io::ErrorKind::NotFound => {
                Self::create(folder)
            }
            result => result,
        }
    }
}

impl std::fmt::Debug for NodeKeys {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("NodeKeys")
            .field("account", &self.account)
            .field("beacon", &self.beacon)
            .finish_non_exhaustive()
    }
}
