//! What can go wrong with keys.

use std::io;
use std::path::PathBuf;

/// Why a key could not be used, found or kept.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum KeyError {
    /// The password does not open the file; or its ciphertext was damaged, which looks the same.
    #[error("the password does not open account {account}")]
    WrongPassword {
        /// As the caller named it.
        account: String,
    },
    /// Nothing in the keystore has this name or address.
    #[error("no account {wanted} in {}", folder.display())]
    NoSuchAccount {
        /// What was looked for.
        wanted: String,
        /// Where.
        folder: PathBuf,
    },
    /// The file is not what it should be.
    #[error("{} is not a usable key file: {what}", path.display())]
    Corrupt {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        what: &'static str,
    },
    /// A secret is never overwritten.
    #[error("{name} is taken in {}", folder.display())]
    NameTaken {
        /// The name asked for.
        name: String,
        /// Where.
        folder: PathBuf,
    },
    /// Others than the owner may read the file.
    #[error("{} can be read by others: its mode is {mode:o}, and must be 600", path.display())]
    Permissions {
        /// The file.
        path: PathBuf,
        /// Its permission bits.
        mode: u32,
    },
    /// The operating system refused.
    #[error("{operation} {} failed", path.display())]
    Io {
        /// What was tried, such as `reading`.
        operation: &'static str,
        /// On what.
        path: PathBuf,
        /// Why it failed.
        #[source]
        source: io::Error,
    },
    /// The operating system has no entropy to give.
    #[error("no entropy for a new key")]
    Entropy {
        /// Why not.
        #[source]
        source: io::Error,
    },
}

impl KeyError {
    /// The code, whose page is `docs/errors/<code>.md`.
    #[must_use]
    pub fn code(&self) -> &'static str {
        match self {
            Self::WrongPassword { .. } => "KEY-0001",
            Self::NoSuchAccount { .. } => "KEY-0002",
            Self::Corrupt { .. } => "KEY-0003",
            Self::NameTaken { .. } => "KEY-0004",
            Self::Permissions { .. } => "KEY-0005",
            Self::Io { .. } | Self::Entropy { .. } => "KEY-0006",
        }
    }

    /// What the person who sees the error can do.
    #[must_use]
    pub fn hint(&self) -> &'static str {
        match self {
            Self::WrongPassword { .. } => "try again; the password cannot be recovered",
            Self::NoSuchAccount { .. } => "list the accounts with `althing account list`",
            Self::Corrupt { .. } => "restore the file from a backup, or move it away",
            Self::NameTaken { .. } => "choose another name; a key is never overwritten",
            Self::Permissions { .. } => "make it private: chmod 600 on the file",
            Self::Io { .. } => "check that the folder exists, is yours and has space left",
            Self::Entropy { .. } => "wait until the operating system has started completely",
        }
    }
}
