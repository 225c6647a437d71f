//! People's accounts: a folder of encrypted files that any Ethereum wallet reads.
//!
//! ```text
//!   <folder, 700>/<name>.json, 600     Web3 Secret Storage, version 3 (see `v3`)
//! ```
//!
//! - Bounds: 1,024 accounts a folder; 64 KiB a file; 512 MiB of memory to derive a key.
//! - Errors: [`KeyError`].

mod v3;

use std::fs;
use std::path::{Path, PathBuf};

use althing_types::{Address, Name};

use crate::{AccountKey, KeyError, files};

/// Most accounts that are listed in one folder.
const ACCOUNTS_MAX: usize = 1024;

/// How hard a password is to try: scrypt with N = 2^`log_n`, r = 8, p = 1.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Work {
    log_n: u8,
}

impl Work {
    /// For keys of value: 256 MiB and about a second each try; go-ethereum's standard.
    pub const STANDARD: Self = Self { log_n: 18 };

    /// For tests and networks of one's own, whose tokens are worth nothing: 2 MiB, milliseconds.
    pub const DEVELOPMENT: Self = Self { log_n: 11 };
}

/// A folder of encrypted accounts.
#[derive(Clone, Debug)]
pub struct Keystore {
    folder: PathBuf,
}

impl Keystore {
    /// Opens a folder, and creates it, private, if it is not there.
    ///
    /// # Errors
    ///
    /// [`KeyError::Io`] if it cannot be created.
    pub fn open(folder: impl Into<PathBuf>) -> Result<Self, KeyError> {
        let folder = folder.into();
        files::create_folder(&folder)?;
        Ok(Self { folder })
    }

    /// The folder.
    #[must_use]
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// Generates an account and keeps it under `name`.
    ///
    /// # Errors
    ///
    /// [`KeyError::NameTaken`] if an account has this name, or the name reads as an address.
    /// [`KeyError::Io`] and [`KeyError::Entropy`] if the operating system refuses.
    pub fn create(&self, name: &Name, password: &str, work: Work) -> Result<AccountKey, KeyError> {
        let key = AccountKey::generate()?;
        self.add(name, &key, password, work)?;
        Ok(key)
    }

    /// Keeps an existing key under `name`.
    ///
    /// # Errors
    ///
    /// As [`create`](Self::create).
    pub fn add(
        &self,
        name: &Name,
        key: &AccountKey,
        password: &str,
        work: Work,
    ) -> Result<(), KeyError> {
        let taken = || KeyError::NameTaken { name: name.to_string(), folder: self.folder.clone() };
        // Such a name would hide the account with that address.
        if name.as_str().parse::<Address>().is_ok() {
            return Err(taken());
        }
        // Before the work, for the impatient; `write_new` decides.
        if self.path(name).exists() {
            return Err(taken());
        }
        let json = v3::encrypt(key, password, work)?;
        files::write_new(&self.folder, &format!("{name}.json"), json.as_bytes())?.ok_or_else(taken)
    }

    /// Names and addresses of all accounts, by name. No password is needed.
    ///
    /// # Errors
    ///
    /// [`KeyError::Corrupt`], [`KeyError::Permissions`] and [`KeyError::Io`] for the first file
    /// that is unusable: an account that silently went missing would be worse.
    pub fn list(&self) -> Result<Vec<(Name, Address)>, KeyError> {
        let failed = |source| files::io_error("reading", &self.folder, source);
        let mut names: Vec<Name> = Vec::new();
        for entry in fs::read_dir(&self.folder).map_err(failed)? {
            let file = entry.map_err(failed)?.file_name();
            let Some(stem) = file.to_str().and_then(|file| file.strip_suffix(".json")) else {
                continue;
            };
            let Ok(name) = stem.parse() else { continue };
            if names.len() == ACCOUNTS_MAX {
                return Err(KeyError::Corrupt {
                    path: self.folder.clone(),
                    what: "it holds more than 1,024 accounts",
                });
            }
            names.push(name);
        }
        names.sort_unstable();
        names
            .into_iter()
            .map(|name| {
                let path = self.path(&name);
                let address = v3::parse(&files::read_private(&path)?)
                    .and_then(|file| file.address().ok_or("it has no address"))
                    .map_err(|what| KeyError::Corrupt { path, what })?;
                Ok((name, address))
            })
            .collect()
    }

    /// Opens the account with this name or address.
    ///
    /// # Errors
    ///
    /// [`KeyError::NoSuchAccount`], [`KeyError::WrongPassword`], and what [`list`](Self::list)
    /// returns.
    pub fn unlock(&self, name_or_address: &str, password: &str) -> Result<AccountKey, KeyError> {
        let none = || KeyError::NoSuchAccount {
            wanted: name_or_address.to_owned(),
            folder: self.folder.clone(),
        };
        let name = match name_or_address.parse::<Address>() {
            Ok(wanted) => self
                .list()?
                .into_iter()
                .find_map(|(name, address)| (address == wanted).then_some(name))
                .ok_or_else(none)?,
            Err(_) => name_or_address.parse().map_err(|_| none())?,
        };
        let path = self.path(&name);
        if !path.exists() {
            return Err(none());
        }
        let file = v3::parse(&files::read_private(&path)?);
        file.and_then(|file| v3::decrypt(&file, password))
            .map_err(|what| KeyError::Corrupt { path, what })?
            .ok_or_else(|| KeyError::WrongPassword { account: name_or_address.to_owned() })
    }

    fn path(&self, name: &Name) -> PathBuf {
        self.folder.join(format!("{name}.json"))
    }
}
