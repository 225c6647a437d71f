//! The limits of the HTTP interface.

use std::net::{Ipv4Addr, SocketAddr};
use std::time::Duration;

use althing_types::TRANSACTION_BYTES_MAX;

/// What the interface takes at most. Since 0.1.0.
#[derive(Clone, Debug)]
pub struct Config {
    /// Where to listen; by default on loopback only: whoever can reach the interface can use it.
    pub listen: SocketAddr,
    /// Names under which the interface is reached, beside IP addresses and `localhost`; by default none.
    ///
    /// A page of a stranger can make its own name point to this machine, and its visitor's browser would
    /// then let it read what the node answers. Its name is in the request, and is not here.
    pub hosts: Vec<String>,
    /// Longest JSON body in bytes; by default four times the longest transaction.
    pub body_bytes_max: usize,
    /// Longest blob in bytes; by default 16 MiB.
    pub blob_bytes_max: usize,
    /// Most connections at a time; by default 1,024. More wait to be accepted.
    pub connections_max: usize,
    /// Most requests at a time; by default 512. More are refused with `API-0007`.
    pub requests_max: usize,
    /// Most streams of events at a time; by default 128. More are refused with `API-0007`.
    pub streams_max: usize,
    /// How long a request may take, waiting included; by default 35 s.
    pub request_timeout: Duration,
    /// How long a request may ask to wait for something; by default 30 s.
    pub wait_max: Duration,
    /// How long a connection may take for the head of its next request; by default 30 s. It is closed
    /// then, and gives its place to another one.
    pub head_timeout: Duration,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            listen: SocketAddr::from((Ipv4Addr::LOCALHOST, 4901)),
            hosts: Vec::new(),
            body_bytes_max: 4 * TRANSACTION_BYTES_MAX,
            blob_bytes_max: 16 << 20,
            connections_max: 1024,
            requests_max: 512,
            streams_max: 128,
            request_timeout: Duration::from_secs(35),
            wait_max: Duration::from_secs(30),
            head_timeout: Duration::from_secs(30),
        }
    }
}
