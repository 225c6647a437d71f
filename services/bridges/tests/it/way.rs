//! A way to a server that goes dead as networks do: without a word.

use std::io::{Read, Write as _};
use std::net::{TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

/// A way to a server that can fall silent: what is sent afterwards is lost, and neither side is told.
pub(crate) struct Way {
    pub(crate) port: u16,
    /// How often it has fallen silent: what was opened before carries nothing any more.
    silences: Arc<AtomicUsize>,
}

impl Way {
    pub(crate) fn open(to: u16) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        let silences = Arc::new(AtomicUsize::new(0));
        let counted = Arc::clone(&silences);
        std::thread::spawn(move || {
            for client in listener.incoming() {
                let (client, server) = (client.unwrap(), TcpStream::connect(("127.0.0.1", to)));
                let Ok(server) = server else { return };
                let back = (server.try_clone().unwrap(), client.try_clone().unwrap());
                for (from, to) in [(client, server), back] {
                    let (opened, silences) = (counted.load(Ordering::SeqCst), counted.clone());
                    std::thread::spawn(move || {
                        carry(from, to, || silences.load(Ordering::SeqCst) == opened);
                    });
                }
            }
        });
        Self { port, silences }
    }

    /// Nothing gets through any more on what is open now.
    pub(crate) fn fall_silent(&self) {
        self.silences.fetch_add(1, Ordering::SeqCst);
    }
}

fn carry(mut from: impl Read, mut to: TcpStream, speaks: impl Fn() -> bool) {
    let mut bytes = [0; 4096];
    while let Ok(count @ 1..) = from.read(&mut bytes) {
        if speaks() && to.write_all(&bytes[..count]).is_err() {
            return;
        }
    }
}
