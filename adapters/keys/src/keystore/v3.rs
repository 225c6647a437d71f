//! One encrypted account: the Web3 Secret Storage Definition, version 3.
//!
//! ```text
//!   scrypt(password, salt) = encryption key, 16 bytes ‖ authentication key, 16 bytes
//!   ciphertext             = AES-128-CTR(encryption key, iv, secret)
//!   mac                    = keccak-256(authentication key ‖ ciphertext)
//! ```
//!
//! The mac leaves the iv out; the address, which the secret must give, covers it.

use althing_types::{Address, keccak};
use ctr::cipher::{KeyIvInit as _, StreamCipher as _};
use serde::{Deserialize, Serialize};
use zeroize::Zeroizing;

use crate::{AccountKey, KeyError, Work, files};

type Aes128Ctr = ctr::Ctr128BE<aes::Aes128>;

/// scrypt's block size, in our own files.
const R: u32 = 8;
/// scrypt's repetitions, in our own files.
const P: u32 = 1;
/// Length of what is derived, in bytes.
const DERIVED: usize = 32;
/// Most memory that a file may ask for: 128 · N · r bytes.
const MEMORY_BYTES_MAX: u64 = 512 << 20;
/// Most repetitions that a file may ask for.
const PARALLELISM_MAX: u32 = 16;

/// The file.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct File {
    #[serde(alias = "Crypto")]
    crypto: Crypto,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    address: Option<String>,
    id: String,
    version: u32,
}

#[derive(Debug, Serialize, Deserialize)]
struct Crypto {
    cipher: String,
    cipherparams: CipherParameters,
    ciphertext: String,
    kdf: String,
    kdfparams: ScryptParameters,
    mac: String,
}

#[derive(Debug, Serialize, Deserialize)]
struct CipherParameters {
    iv: String,
}

#[derive(Debug, Serialize, Deserialize)]
struct ScryptParameters {
    dklen: u32,
    n: u64,
    p: u32,
    r: u32,
    salt: String,
}

impl File {
    /// The account, as the file says.
    pub(super) fn address(&self) -> Option<Address> {
        self.address.as_ref()?.parse().ok()
    }

    fn to_json(&self) -> String {
        serde_json::to_string_pretty(self).expect("texts and numbers are JSON")
    }
}

/// Reads a file's JSON; the error says what is wrong with it.
pub(super) fn parse(json: &[u8]) -> Result<File, &'static str> {
    // The version first: another one's fields are not ours to judge.
    #[derive(Deserialize)]
    struct Version {
        version: u32,
    }
    let Version { version } =
        serde_json::from_slice(json).map_err(|_| "it is not the JSON of a keystore file")?;
    if version != 3 {
        return Err("its version is not 3");
    }
    serde_json::from_slice(json).map_err(|_| "it is not a keystore file of version 3 with scrypt")
}

/// Encrypts `key` with fresh salt and iv.
pub(super) fn encrypt(key: &AccountKey, password: &str, work: Work) -> Result<String, KeyError> {
    let (salt, iv) = (files::entropy::<32>()?, files::entropy::<16>()?);
    let parameters =
        ScryptParameters { dklen: 32, n: work.n(), p: P, r: R, salt: hex::encode(*salt) };
    let derived = derive(password, salt.as_slice(), &work.scrypt());
    let (encryption, authentication) = halves(&derived);
    let mut text = key.to_bytes();
    Aes128Ctr::new(&(*encryption).into(), &(*iv).into()).apply_keystream(text.as_mut_slice());
    let file = File {
        crypto: Crypto {
            cipher: "aes-128-ctr".to_owned(),
            cipherparams: CipherParameters { iv: hex::encode(*iv) },
            ciphertext: hex::encode(*text),
            kdf: "scrypt".to_owned(),
            kdfparams: parameters,
            mac: hex::encode(keccak(&[authentication.as_slice(), text.as_slice()])),
        },
        // Without 0x, as the other wallets write it.
        address: Some(hex::encode(key.address())),
        id: uuid(*files::entropy()?),
        version: 3,
    };
    Ok(file.to_json())
}

/// Decrypts; `None` if the password is wrong, an error if no password could be right.
pub(super) fn decrypt(file: &File, password: &str) -> Result<Option<AccountKey>, &'static str> {
    let crypto = &file.crypto;
    if crypto.cipher != "aes-128-ctr" || crypto.kdf != "scrypt" {
        return Err("its cipher is not aes-128-ctr, or its key derivation not scrypt");
    }
    let iv: [u8; 16] = bytes(&crypto.cipherparams.iv).ok_or("its iv is not 16 bytes")?;
    let ciphertext: [u8; 32] = bytes(&crypto.ciphertext).ok_or("its secret is not 32 bytes")?;
    let mac: [u8; 32] = bytes(&crypto.mac).ok_or("its mac is not 32 bytes")?;
    let salt = hex::decode(&crypto.kdfparams.salt).map_err(|_| "its salt is not hexadecimal")?;
    let parameters = crypto.kdfparams.scrypt().ok_or("its scrypt parameters are out of bounds")?;
    let derived = derive(password, &salt, &parameters);
    let (encryption, authentication) = halves(&derived);
    if keccak(&[authentication.as_slice(), &ciphertext]).0 != mac {
        return Ok(None);
    }
    let mut secret = Zeroizing::new(ciphertext);
    Aes128Ctr::new(&(*encryption).into(), &iv.into()).apply_keystream(secret.as_mut_slice());
    let key = AccountKey::from_bytes(&secret).ok_or("its secret is not a key of secp256k1")?;
    if file.address.is_some() && file.address() != Some(key.address()) {
        return Err("its secret is not that of its address");
    }
    Ok(Some(key))
}

impl Work {
    fn n(self) -> u64 {
        1 << self.log_n
    }

    fn scrypt(self) -> scrypt::Params {
        scrypt::Params::new(self.log_n, R, P, DERIVED).expect("both constants are within bounds")
    }
}

impl ScryptParameters {
    fn scrypt(&self) -> Option<scrypt::Params> {
        let memory = self.n.checked_mul(u64::from(self.r))?.checked_mul(128)?;
        let within = memory <= MEMORY_BYTES_MAX && self.p <= PARALLELISM_MAX;
        if !within || self.dklen != 32 || self.n < 2 || !self.n.is_power_of_two() {
            return None;
        }
        scrypt::Params::new(u8::try_from(self.n.ilog2()).ok()?, self.r, self.p, DERIVED).ok()
    }
}

fn derive(password: &str, salt: &[u8], parameters: &scrypt::Params) -> Zeroizing<[u8; DERIVED]> {
    let mut derived = Zeroizing::new([0; DERIVED]);
    scrypt::scrypt(password.as_bytes(), salt, parameters, derived.as_mut_slice())
        .expect("32 bytes are a length that scrypt can derive");
    derived
}

fn halves(derived: &[u8; DERIVED]) -> (Zeroizing<[u8; 16]>, Zeroizing<[u8; 16]>) {
    let half =
        |bytes: Option<&[u8; 16]>| Zeroizing::new(*bytes.expect("32 bytes have two halves of 16"));
    (half(derived.first_chunk()), half(derived.last_chunk()))
}

fn bytes<const N: usize>(text: &str) -> Option<[u8; N]> {
    let mut bytes = [0; N];
    let digits = text.strip_prefix("0x").unwrap_or(text);
    hex::decode_to_slice(digits, &mut bytes).ok()?;
    Some(bytes)
}

/// A random UUID (RFC 9562, version 4), which the format asks for.
fn uuid(mut bytes: [u8; 16]) -> String {
    bytes[6] = (bytes[6] & 0x0f) | 0x40;
    bytes[8] = (bytes[8] & 0x3f) | 0x80;
    let text = hex::encode(bytes);
    let mut out = String::with_capacity(36);
    for (place, digit) in text.chars().enumerate() {
        if matches!(place, 8 | 12 | 16 | 20) {
            out.push('-');
        }
        out.push(digit);
    }
    out
}
