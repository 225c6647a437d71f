//! A small HTTP server: the program of a native service, or an endpoint that knows nothing of one.

use std::collections::BTreeMap;
use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::sync::{Arc, Mutex};

use serde_json::Value;

/// What was posted: headers in small letters, and the body.
#[derive(Clone, Debug)]
pub(crate) struct Posted {
    pub(crate) path: String,
    pub(crate) headers: BTreeMap<String, String>,
    pub(crate) body: Value,
}

type Answer = dyn Fn(&Posted) -> (u16, Value) + Send + Sync;

/// Answers until the test ends, and remembers what was posted.
pub(crate) struct Program {
    pub(crate) url: String,
    posted: Arc<Mutex<Vec<Posted>>>,
}

impl Program {
    pub(crate) fn start(answer: impl Fn(&Posted) -> (u16, Value) + Send + Sync + 'static) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let posted = Arc::new(Mutex::new(Vec::new()));
        let (answer, seen): (Arc<Answer>, _) = (Arc::new(answer), Arc::clone(&posted));
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let (answer, seen) = (Arc::clone(&answer), Arc::clone(&seen));
                std::thread::spawn(move || converse(stream, &*answer, &seen));
            }
        });
        Self { url, posted }
    }

    /// Everything that was posted so far.
    pub(crate) fn posted(&self) -> Vec<Posted> {
        self.posted.lock().unwrap().clone()
    }
}

/// One connection, for as long as the other side keeps it; a torn one ends it.
fn converse(stream: TcpStream, answer: &Answer, seen: &Mutex<Vec<Posted>>) -> Option<()> {
    let mut reader = BufReader::new(stream.try_clone().ok()?);
    let mut writer = stream;
    loop {
        let mut line = String::new();
        reader.read_line(&mut line).ok().filter(|bytes| *bytes > 0)?;
        let path = line.split_whitespace().nth(1)?.to_owned();
        let mut headers = BTreeMap::new();
        loop {
            let mut line = String::new();
            reader.read_line(&mut line).ok().filter(|bytes| *bytes > 0)?;
            let Some((name, value)) = line.trim().split_once(':') else { break };
            headers.insert(name.to_ascii_lowercase(), value.trim().to_owned());
        }
        let length = headers.get("content-length").and_then(|text| text.parse().ok());
        let mut body = vec![0; length.unwrap_or(0)];
        reader.read_exact(&mut body).ok()?;
        let body = serde_json::from_slice(&body).unwrap_or_default();
        let posted = Posted { path, headers, body };
        let (status, value) = answer(&posted);
        seen.lock().unwrap().push(posted);
        let value = value.to_string();
        let head = format!("HTTP/1.1 {status} Told\r\ncontent-length: {}\r\n\r\n", value.len());
        writer.write_all((head + &value).as_bytes()).ok()?;
    }
}
