//! Values that travel as text: hexadecimal with `0x`, decimal amounts, names.

use std::borrow::Cow;
use std::fmt;
use std::ops::Deref;
use std::str::FromStr;

use althing_types::{
    Address, Alias, Amount, BeaconKey, BeaconProof, EndpointId, Hash, Name, PublicKey,
    RecoverableSignature, VoteSignature,
};
use serde::de::{Error, Unexpected, Visitor};
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use utoipa::openapi::RefOr;
use utoipa::openapi::schema::{ObjectBuilder, Schema, SchemaType, Type};
use utoipa::{PartialSchema, ToSchema};

/// A value of the core that is written as its own text.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Text<T>(pub T);

/// 32 bytes.
pub type HashText = Text<Hash>;
/// 20 bytes.
pub type AddressText = Text<Address>;
/// Tokens with up to six decimals.
pub type AmountText = Text<Amount>;
/// A secp256k1 key, compressed.
pub type PublicKeyText = Text<PublicKey>;
/// A node's name on the network.
pub type EndpointText = Text<EndpointId>;
/// A validator's key for the beacon.
pub type BeaconKeyText = Text<BeaconKey>;
/// A proof of a beacon's value.
pub type BeaconProofText = Text<BeaconProof>;
/// r ‖ s ‖ v.
pub type SignatureText = Text<RecoverableSignature>;
/// r ‖ s.
pub type VoteSignatureText = Text<VoteSignature>;
/// A name of a service, task or status.
pub type NameText = Text<Name>;
/// A service's name among people.
pub type AliasText = Text<Alias>;

impl<T> Deref for Text<T> {
    type Target = T;
    fn deref(&self) -> &T {
        &self.0
    }
}

impl<T> From<T> for Text<T> {
    fn from(value: T) -> Self {
        Self(value)
    }
}

impl<T: fmt::Display> fmt::Display for Text<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl<T: FromStr> FromStr for Text<T> {
    type Err = T::Err;
    fn from_str(text: &str) -> Result<Self, T::Err> {
        text.parse().map(Self)
    }
}

impl<T: fmt::Display> Serialize for Text<T> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(&self.0)
    }
}

impl<'de, T: Described> Deserialize<'de> for Text<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Reader<T>(std::marker::PhantomData<T>);

        impl<T: Described> Visitor<'_> for Reader<T> {
            type Value = Text<T>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(T::DESCRIPTION)
            }

            fn visit_str<E: Error>(self, text: &str) -> Result<Text<T>, E> {
                let wrong = |_| E::invalid_value(Unexpected::Str(text), &self);
                text.parse().map(Text).map_err(wrong)
            }
        }

        deserializer.deserialize_str(Reader(std::marker::PhantomData))
    }
}

/// How the specification shows a text.
pub trait Described: FromStr + 'static {
    /// The schema's name.
    const NAME: &'static str;
    /// What it is, after "expected".
    const DESCRIPTION: &'static str;
    /// A regular expression that it satisfies.
    const PATTERN: &'static str;
}

macro_rules! described {
    ($($type:ty: $name:literal, $description:literal, $pattern:literal;)*) => {$(
        impl Described for $type {
            const NAME: &'static str = $name;
            const DESCRIPTION: &'static str = $description;
            const PATTERN: &'static str = $pattern;
        }
    )*};
}

described! {
    Hash: "Hash", "32 bytes in hexadecimal", "^(0x)?[0-9a-fA-F]{64}$";
    Address: "Address", "an address: 20 bytes in hexadecimal", "^(0x)?[0-9a-fA-F]{40}$";
    PublicKey: "PublicKey", "a compressed secp256k1 key: 33 bytes in hexadecimal", "^(0x)?[0-9a-fA-F]{66}$";
    EndpointId: "EndpointId", "an ed25519 key: 32 bytes in hexadecimal", "^(0x)?[0-9a-fA-F]{64}$";
    BeaconKey: "BeaconKey", "a ristretto255 key: 32 bytes in hexadecimal", "^(0x)?[0-9a-fA-F]{64}$";
    BeaconProof: "BeaconProof", "pre-output and proof: 96 bytes in hexadecimal", "^(0x)?[0-9a-fA-F]{192}$";
    RecoverableSignature: "Signature", "r, s and v of 27 or 28: 65 bytes in hexadecimal", "^(0x)?[0-9a-fA-F]{130}$";
    VoteSignature: "VoteSignature", "r and s: 64 bytes in hexadecimal", "^(0x)?[0-9a-fA-F]{128}$";
    Amount: "Amount", "tokens as text, with up to six decimals, such as \"12.5\"", "^[0-9]+([.][0-9]{1,6})?$";
    Name: "Name", "a name: 1 to 64 of a-z, 0-9, '_', '-', '.'", "^[a-z0-9][a-z0-9_.-]{0,63}$";
    Alias: "Alias", "an alias: namespace/name@version", "^[a-z0-9][a-z0-9_.-]*/[a-z0-9][a-z0-9_.-]*@[a-z0-9][a-z0-9_.-]*$";
}

impl<T: Described> PartialSchema for Text<T> {
    fn schema() -> RefOr<Schema> {
        ObjectBuilder::new()
            .schema_type(SchemaType::Type(Type::String))
            .description(Some(T::DESCRIPTION))
            .pattern(Some(T::PATTERN))
            .into()
    }
}

impl<T: Described> ToSchema for Text<T> {
    fn name() -> Cow<'static, str> {
        Cow::Borrowed(T::NAME)
    }
}
