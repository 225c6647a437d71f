//! The targets, by what they read.

#[cfg(feature = "node")]
mod api;
mod application;
mod chain;
#[cfg(feature = "node")]
mod component;
mod manifest;
#[cfg(feature = "node")]
mod network;
mod proofs;

pub use application::compiled;

/// How much memory an input may make a target take.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Memory {
    /// Whatever the input.
    pub bytes: usize,
    /// For each byte of the input.
    pub per_byte: usize,
}

impl Memory {
    /// For an input of this length.
    #[must_use]
    pub const fn of(self, length: usize) -> usize {
        self.bytes + self.per_byte * length
    }
}

/// Something that reads bytes from outside.
#[derive(Clone, Copy, Debug)]
pub struct Target {
    /// Its name: that of its corpus, and of its shell for libFuzzer.
    pub name: &'static str,
    /// Reads the bytes; panics if a promise is broken.
    pub run: fn(&[u8]),
    /// What it may take.
    pub memory: Memory,
    /// Whether it reads text.
    pub text: bool,
    /// How much longer an execution takes than a plain decoder's: it gets fewer of them.
    pub cost: u64,
}

/// A decoder of canonical bytes holds its input, what it decoded, and what that encodes to.
const PLAIN: Memory = Memory { bytes: 64 << 10, per_byte: 24 };
/// As [`PLAIN`]; for a string of bytes, borsh asks for what is announced, up to a mebibyte, before it
/// reads: once, since a string that is not there ends the decoding.
const STRINGS: Memory = Memory { bytes: (1 << 20) + PLAIN.bytes, ..PLAIN };
/// Readers of text build a tree, and tell what is wrong with it.
const TREE: Memory = Memory { bytes: 1 << 20, per_byte: 400 };
/// A compiler of strangers' regular expressions has a limit of its own for each.
const SCHEMAS: Memory = Memory { bytes: 16 << 20, per_byte: 400 };
/// What an expression makes is bounded by its meter, whatever it is made from.
const METERED: Memory = Memory { bytes: 128 << 20, per_byte: 400 };
/// A compiler of strangers' code; the pages of what then runs are not counted, but limited.
#[cfg(feature = "node")]
const COMPILER: Memory = Memory { bytes: 8 << 20, per_byte: 400 };

const fn plain(name: &'static str, run: fn(&[u8])) -> Target {
    Target { name, run, memory: PLAIN, text: false, cost: 1 }
}

const fn text(name: &'static str, run: fn(&[u8]), memory: Memory) -> Target {
    Target { name, run, memory, text: true, cost: 4 }
}

/// Every target.
pub const TARGETS: &[Target] = &[
    plain("transaction", chain::transaction),
    plain("block", chain::block),
    plain("certificate", chain::certificate),
    plain("ledger_receipt", chain::ledger_receipt),
    Target { cost: 4, ..plain("genesis", chain::genesis) },
    plain("merkle_proof", proofs::merkle_proof),
    plain("list_proof", proofs::list_proof),
    plain("header_range", proofs::header_range),
    Target { cost: 4, memory: STRINGS, ..plain("receipt", proofs::receipt) },
    Target { cost: 4, memory: STRINGS, ..plain("state_proof", proofs::state_proof) },
    text("receipt_file", proofs::receipt_file, TREE),
    #[cfg(feature = "node")]
    plain("hello", network::hello),
    #[cfg(feature = "node")]
    plain("peers", network::peers),
    #[cfg(feature = "node")]
    plain("vote_frame", network::vote_frame),
    #[cfg(feature = "node")]
    Target { memory: STRINGS, ..plain("body_frame", network::body_frame) },
    #[cfg(feature = "node")]
    plain("transactions_frame", network::transactions_frame),
    #[cfg(feature = "node")]
    plain("sync_request", network::sync_request),
    #[cfg(feature = "node")]
    plain("sync_response", network::sync_response),
    text("service_file", manifest::service_file, SCHEMAS),
    text("manifest", manifest::manifest, SCHEMAS),
    text("canonical_json", manifest::canonical_json, TREE),
    text("payload", manifest::payload, SCHEMAS),
    text("application_file", application::file, METERED),
    text("application_document", application::document, METERED),
    Target { cost: 40, ..text("expression", application::expression, METERED) },
    text("imported_file", application::imported, SCHEMAS),
    #[cfg(feature = "node")]
    text("api_transaction", api::transaction, TREE),
    #[cfg(feature = "node")]
    text("api_bodies", api::bodies, TREE),
    #[cfg(feature = "node")]
    Target { cost: 100, memory: COMPILER, ..plain("component", component::component) },
];

/// The target with this name.
#[must_use]
pub fn target(name: &str) -> Option<&'static Target> {
    TARGETS.iter().find(|target| target.name == name)
}

/// Runs the target with this name once: the whole of a shell for libFuzzer.
///
/// # Panics
///
/// If there is no such target, or if the input breaks a promise.
pub fn feed(name: &str, input: &[u8]) {
    let target = target(name).expect("a shell is named after its target");
    (target.run)(input);
}
