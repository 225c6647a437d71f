//! The first thing that two nodes say to each other, and why they may part at once.
//!
//! ```text
//!   dialler ── Hello ──►  acceptor: chain? genesis? signature over *this* endpoint?
//!   dialler ◄─ Hello ──   acceptor
//! ```
//!
//! TLS has proven who holds the endpoint's key; the hello adds which account it speaks for. The account
//! signs the endpoint, so that a hello overheard is worth nothing from another endpoint.

use std::net::{IpAddr, Ipv6Addr, SocketAddr};

use althing_types::{
    Address, ChainId, Eip712, EndpointId, Hash, Malformed, RecoverableSignature, Signatures,
    canonical,
};
use borsh::{BorshDeserialize, BorshSerialize};

/// The version of everything that nodes say to each other.
pub const PROTOCOL: u16 = 1;

/// Largest hello in bytes.
pub(crate) const HELLO_BYTES_MAX: usize = 512;

/// An IP address and port in 18 bytes; IPv4 is mapped into IPv6.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, BorshSerialize, BorshDeserialize)]
pub(crate) struct WireAddress {
    ip: [u8; 16],
    port: u16,
}

impl From<SocketAddr> for WireAddress {
    fn from(address: SocketAddr) -> Self {
        let ip = match address.ip() {
            IpAddr::V4(ip) => ip.to_ipv6_mapped(),
            IpAddr::V6(ip) => ip,
        };
        Self { ip: ip.octets(), port: address.port() }
    }
}

impl From<WireAddress> for SocketAddr {
    fn from(address: WireAddress) -> Self {
        Self::new(Ipv6Addr::from(address.ip).to_canonical(), address.port)
    }
}

/// Where a node says it is, with its account's word for the endpoint.
///
/// The socket address itself is a hint: whoever dials it learns from TLS whether the endpoint is there.
#[derive(Clone, Debug, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub(crate) struct Record {
    pub(crate) endpoint: EndpointId,
    pub(crate) account: Address,
    pub(crate) address: WireAddress,
    pub(crate) signature: RecoverableSignature,
}

impl Record {
    pub(crate) fn is_signed(&self, eip712: &Eip712, signatures: &dyn Signatures) -> bool {
        let digest = eip712.hello(self.account, &self.endpoint.0);
        self.signature.is_low_s()
            && signatures.recover(&digest, &self.signature) == Some(self.account)
    }

    /// Where to dial; an unspecified IP means "where this connection came from".
    pub(crate) fn dialled_at(&self, observed: Option<IpAddr>) -> Option<SocketAddr> {
        let said = SocketAddr::from(self.address);
        let ip = if said.ip().is_unspecified() { observed? } else { said.ip() };
        (said.port() != 0).then(|| SocketAddr::new(ip, said.port()))
    }
}

/// What a node says of itself.
#[derive(Clone, Debug, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub(crate) struct Hello {
    pub(crate) protocol: u16,
    pub(crate) chain: ChainId,
    pub(crate) genesis: Hash,
    pub(crate) record: Record,
}

impl Hello {
    pub(crate) fn encode(&self) -> Vec<u8> {
        canonical::encode(self)
    }

    pub(crate) fn decode(bytes: &[u8]) -> Result<Self, Malformed> {
        canonical::decode(bytes, HELLO_BYTES_MAX, "hello")
    }

    /// Judges the hello of `peer`, whom TLS has authenticated, against our own.
    pub(crate) fn judge(
        &self,
        peer: EndpointId,
        own: &Self,
        eip712: &Eip712,
        signatures: &dyn Signatures,
    ) -> Result<(), Reason> {
        if self.protocol != own.protocol {
            return Err(Reason::WrongProtocol);
        }
        if self.chain != own.chain {
            return Err(Reason::WrongChain);
        }
        if self.genesis != own.genesis {
            return Err(Reason::WrongGenesis);
        }
        if self.record.endpoint != peer || !self.record.is_signed(eip712, signatures) {
            return Err(Reason::BadSignature);
        }
        Ok(())
    }
}

/// Why a connection was closed: the QUIC application error code.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
#[repr(u32)]
#[non_exhaustive]
pub enum Reason {
    /// The node stops.
    Shutdown = 0,
    /// A newer connection of the same endpoint took its place.
    Replaced = 1,
    /// Another version of the protocol.
    WrongProtocol = 2,
    /// Another chain.
    WrongChain = 3,
    /// Another genesis under the same chain id.
    WrongGenesis = 4,
    /// The account did not sign this endpoint.
    BadSignature = 5,
    /// What should have been a hello was none, or none came in time.
    NoHello = 6,
    /// As many peers as the node takes.
    Full = 7,
    /// More than the node takes from one peer, for too long.
    RateExceeded = 8,
    /// A frame above its lane's limit, or not framed at all.
    BadFrame = 9,
    /// Two nodes with one key.
    Duplicate = 10,
    /// Both sides dialled at once; the other connection stays.
    Crossed = 11,
}

impl Reason {
    const ALL: [Self; 12] = [
        Self::Shutdown,
        Self::Replaced,
        Self::WrongProtocol,
        Self::WrongChain,
        Self::WrongGenesis,
        Self::BadSignature,
        Self::NoHello,
        Self::Full,
        Self::RateExceeded,
        Self::BadFrame,
        Self::Duplicate,
        Self::Crossed,
    ];

    pub(crate) fn code(self) -> iroh::endpoint::VarInt {
        iroh::endpoint::VarInt::from_u32(self as u32)
    }

    pub(crate) fn from_code(code: u64) -> Option<Self> {
        Self::ALL.into_iter().find(|reason| u64::from(*reason as u32) == code)
    }

    /// In words, as the other side reads it.
    #[must_use]
    pub fn text(self) -> &'static str {
        match self {
            Self::Shutdown => "shutting down",
            Self::Replaced => "replaced by a newer connection",
            Self::WrongProtocol => "another version of the protocol",
            Self::WrongChain => "another chain",
            Self::WrongGenesis => "another genesis",
            Self::BadSignature => "the account did not sign this endpoint",
            Self::NoHello => "no hello",
            Self::Full => "as many peers as allowed",
            Self::RateExceeded => "too much in too short a time",
            Self::BadFrame => "a bad frame",
            Self::Duplicate => "two nodes with one key",
            Self::Crossed => "both sides dialled at once",
        }
    }

    /// Whether the same peer would be refused again: no hurry to dial it.
    pub(crate) fn is_lasting(self) -> bool {
        matches!(
            self,
            Self::WrongProtocol
                | Self::WrongChain
                | Self::WrongGenesis
                | Self::BadSignature
                | Self::Full
                | Self::RateExceeded
                | Self::Duplicate
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_survive_the_wire() {
        for text in ["127.0.0.1:4001", "[2001:db8::7]:65535", "0.0.0.0:1", "[::]:9"] {
            let address: SocketAddr = text.parse().unwrap();
            let back = SocketAddr::from(WireAddress::from(address));
            assert_eq!(back.port(), address.port());
            assert_eq!(back.ip().is_unspecified(), address.ip().is_unspecified());
            if !address.ip().is_unspecified() {
                assert_eq!(back, address);
            }
        }
    }

    #[test]
    fn reasons_survive_as_codes() {
        for reason in Reason::ALL {
            assert_eq!(Reason::from_code(reason.code().into_inner()), Some(reason));
        }
        assert_eq!(Reason::from_code(99), None);
    }
}
